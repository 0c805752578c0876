from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.supervisor import kernel, records
from jobworker.supervisor.removal import remove_tree

FIELDS = [("arg", b"/bin/echo"), ("arg", b""), ("arg", b"a=b\n\xff"), ("env", b"X=1=2")]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = records.open_directory(str(tmp_path))
    yield fd
    os.close(fd)


def test_a_record_comes_back_byte_for_byte(directory: int) -> None:
    records.write_record(directory, "spec", FIELDS, durable=True)
    assert records.read_record(directory, "spec") == FIELDS
    assert records.read_record(directory, "none") is None


def test_a_record_is_private_and_leaves_no_draft(directory: int, tmp_path: Path) -> None:
    records.write_record(directory, "spec", FIELDS, durable=False)
    assert [path.name for path in tmp_path.iterdir()] == ["spec"]
    assert (tmp_path / "spec").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"cut=of", b"no value\0"])
def test_a_damaged_record_is_noticed(directory: int, tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "exit").write_bytes(damage)
    with pytest.raises(ValueError, match="the record"):
        records.read_record(directory, "exit")


def test_a_record_is_not_read_through_a_link(directory: int, tmp_path: Path) -> None:
    (tmp_path / "spec").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        records.read_record(directory, "spec")


def test_a_process_is_known_by_pid_and_start_time() -> None:
    """The command name may hold spaces and parentheses."""
    stat = "17 (a) b (c) S 1 " + " ".join(str(n) for n in range(5, 53))
    assert records.process_identity(stat) == (17, 22)


def test_a_tree_goes_whole_however_deep_odd_or_closed(directory: int, tmp_path: Path) -> None:
    """Deeper than the limit of open files and than Python's stack; links stay unfollowed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    job = tmp_path / "job"
    job.mkdir()
    (job / "link").symlink_to(outside)
    (job / "closed").mkdir()
    (job / "closed" / "file").write_text("x")
    (job / "closed").chmod(0)
    at = records.open_directory("job", directory)
    for _ in range(3000):
        os.mkdir("d", dir_fd=at)
        below = records.open_directory("d", at)
        os.close(at)
        at = below
    os.close(at)
    remove_tree("job", directory)
    assert not job.exists()
    assert (outside / "precious").read_text() == "x"
    remove_tree("job", directory)


def test_the_spawner_imports_a_handful_of_modules() -> None:
    """Every module would be in the memory of every supervisor."""
    package = Path(records.__file__).parents[1]
    code = (
        f"import sys; before = set(sys.modules); sys.path.append({str(package)!r}); "
        "import supervisor.spawner; print(*sorted(set(sys.modules) - before))"
    )
    bare = [sys.executable, "-I", "-S", "-c", code]
    loaded = set(subprocess.run(bare, capture_output=True, text=True, check=True).stdout.split())
    dear = {"json", "re", "enum", "signal", "socket", "contextlib", "typing", "subprocess"}
    assert "supervisor.spawner" in loaded
    assert not loaded & (dear | {"jobworker", "threading", "asyncio", "pathlib"})


def test_a_failed_system_call_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere-at-all"):
        kernel.mount("nothing", "/nowhere-at-all", "nofs", 0)
