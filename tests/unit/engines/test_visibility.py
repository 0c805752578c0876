"""The warning about paths that a job cannot see, and what it must not tell."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from jobworker.engines.host import visibility
from jobworker.engines.host.visibility import VisibilityWarnings, visibility_warning
from jobworker.model import Level, Spec

STRANGER = 1_999_999_999


def warning(*args: object) -> str | None:
    """The warning about a job of a stranger's with mounts of its own."""
    return visibility_warning(Spec("/bin/cat", tuple(map(str, args))), "full", STRANGER)


def test_of_a_file_in_the_machines_tmp_it_is_said_that_jobs_have_their_own(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    assert f"the machine's {there} is not there" in str(warning(there))
    assert f"the machine's {there} is not there" in str(warning(f"--input={there}"))


def test_of_a_closed_directory_in_tmp_no_content_is_told(tmp_path: Path) -> None:
    """``tmp_path`` is below a directory that is the tests' alone: present or not is one answer."""
    present, missing = tmp_path / "present", tmp_path / "missing"
    present.touch()
    told = [str(warning(path)).replace(path.name, "") for path in (present, missing)]
    assert told[0] == told[1]


def test_a_closed_directory_is_named(shared_dir: Path) -> None:
    closed = shared_dir / "closed"
    closed.mkdir(mode=0o700)
    assert f"may not enter {closed};" in str(warning(closed / "any"))
    file = shared_dir / "file"
    file.touch(mode=0o600)
    assert f"may not read {file};" in str(warning(file))


def test_no_link_is_followed(shared_dir: Path) -> None:
    """T66: a link is a job's question about what the server sees."""
    closed = shared_dir / "closed"
    closed.mkdir(mode=0o700)
    (closed / "there").touch(mode=0o600)
    for name in ("there", "absent"):
        link = shared_dir / f"link-{name}"
        link.symlink_to(closed / name)
        assert warning(link, link / "below") is None
    (shared_dir / "way").symlink_to(closed)
    assert warning(shared_dir / "way" / "there") is None


@pytest.mark.parametrize("path", ["/proc/1/root", "/run/lock/x", "/srv/../root/x", "/usr/x"])
def test_there_are_paths_that_are_not_looked_at(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ``/proc`` and more a job has its own; ``..`` leads out of where a path seems to lie."""

    def refuse(path: str) -> None:
        raise AssertionError(f"looked at {path}")

    monkeypatch.setattr(visibility, "_walk", refuse)
    assert warning(path) is None


def test_only_some_paths_of_a_spec_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look(path: str) -> list[object]:
        looked.append(path)
        return []

    monkeypatch.setattr(visibility, "_walk", look)
    assert warning(*[f"/srv/{number}" for number in range(1000)]) is None
    assert len(looked) == visibility.MOST_PATHS
    looked.clear()
    assert warning(*["x"] * visibility.MOST_CANDIDATES, "/srv/late") is None
    assert not looked


async def test_a_file_system_that_does_not_answer_holds_up_no_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(visibility, "BUDGET", 0.05)
    monkeypatch.setattr(visibility, "visibility_warning", lambda *_: answered.wait() and "late")
    warnings = VisibilityWarnings("full")
    spec = Spec("/bin/cat", ("/srv/x",))
    try:
        found = await asyncio.gather(
            *(warnings.find(spec, None) for _ in range(2 * visibility.MOST_WAITING))
        )
        assert set(found) == {None}
        assert repr(warnings) == "<VisibilityWarnings at full, 64 looks under way>"
    finally:
        answered.set()
        warnings.close()


@pytest.mark.parametrize(
    ("level", "path", "words"),
    [
        ("full", "/run/user/1000/bus", "jobs do not see the machine's /run/user"),
        ("namespaces", "--socket=/run/munge/munge.socket.2", "not see the machine's /run/munge"),
    ],
)
def test_a_path_in_a_covered_place_is_warned_of(level: Level, path: str, words: str) -> None:
    assert words in str(visibility_warning(Spec("/bin/cat", (path,)), level, None))


@pytest.mark.parametrize(
    ("level", "path"), [("full", "/run/lock/x"), ("basic", "/run/user/1000/bus")]
)
def test_others_are_not(level: Level, path: str) -> None:
    assert visibility_warning(Spec("/bin/cat", (path,)), level, None) is None
