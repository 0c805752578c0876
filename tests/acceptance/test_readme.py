"""README and docs/ are true: the tour and the example run, what is named exists."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobworker.config.settings import SETTINGS
from support.jobd import Jobd

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
JOB_ID = re.compile(r"j-[0-9a-f-]{6,36}")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Each command of the tour with what it prints, in order."""
    found = []
    for block in blocks("console"):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = entry.partition("\n")
            found.append((command, printed))
    return found


class Session:
    """Types the tour's commands; knows which real job each ID of the text stands for."""

    def __init__(self, jobd: Jobd) -> None:
        self.jobd = jobd
        self.real_ids: dict[str, str] = {}

    def type(self, command: str) -> str:
        """Run one line by a shell; what it prints on both streams."""
        path = f"{Path(sys.executable).parent}:{self.jobd.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", self._with_real_ids(command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=self.jobd.environ | {"PATH": path},
            text=True,
            check=False,
        )
        return done.stdout

    def expect(self, printed: str, wanted: str) -> None:
        """Compare, with the IDs of the text taken for the real ones."""
        for of_the_text, real in zip(JOB_ID.findall(wanted), JOB_ID.findall(printed), strict=False):
            self.real_ids.setdefault(of_the_text, real)
        wanted = self._with_real_ids(wanted)
        assert TIME.sub("TIME", printed) == TIME.sub("TIME", wanted)

    def _with_real_ids(self, text: str) -> str:
        return JOB_ID.sub(lambda match: self._real(match[0]), text)

    def _real(self, of_the_text: str) -> str:
        """The same number of characters of the real ID."""
        for known, real in self.real_ids.items():
            if known.startswith(of_the_text):
                return real[: len(of_the_text)]
        return of_the_text


def test_the_tour(jobd: Jobd) -> None:
    session = Session(jobd)
    assert commands()
    for command, wanted in commands():
        session.expect(session.type(command), wanted)


def test_the_tour_leaves_nothing_behind(tmp_path: Path) -> None:
    """As it is typed: what it names for its files is all that it makes, and is removed."""
    begin, end = (block for block in blocks("sh") if "jobd-tour" in block)
    exports = [line for line in begin.splitlines() if line.startswith("export ")]
    stop, remove = end.splitlines()
    assert begin.splitlines()[-1] == "jobd serve"
    _, library = blocks("python")
    script = "\n".join(
        [
            *exports,
            # A port of its own, which the profile then names; the rest is as it is typed.
            'exec {ready}< <(exec jobd serve --listen 127.0.0.1:0 2>"$HOME/log")',
            "server=$!",
            'read -r -u "$ready" line',
            "jobctl run -- /bin/true",
            "jobctl start -- /bin/sleep 1000",
            f"python <<'END'\n{library}END",
            stop,
            'kill -INT "$server"; wait "$server"',
            remove,
        ]
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "JOBCTL_", "XDG_"))}
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "log").read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_the_client_example(jobd: Jobd) -> None:
    example, _ = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", example],
        env=jobd.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("b'hello\\n'\n", "")


def test_the_library_example(tmp_path: Path) -> None:
    _, example = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("Completed 0 b'hello\\n'\n", "")


def test_the_tests_that_it_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README)
    assert named
    for file, function in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {getattr(node, "name", None) for node in tree.body}
        assert function in names, f"{file} has no {function}"


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in sorted(PAGES)])
def test_links_lead_somewhere(page: str) -> None:
    """Links to files of this tree; a fragment is not looked at."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), f"it links to {target}"


def test_every_decision_stands_in_the_index() -> None:
    decisions = ROOT / "docs" / "decisions"
    index = (decisions / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in decisions.glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


def test_every_setting_stands_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "jobd.md").read_text(encoding="utf-8")
    for key in SETTINGS:
        assert f"| `{key}` | `JOBD_{key.upper()}` |" in page


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.reference.generate", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
