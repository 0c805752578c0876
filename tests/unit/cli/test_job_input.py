"""What of an input is decided before anything is sent."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from jobworker.api import fields
from jobworker.cli import main, stdin
from jobworker.cli.invocation import UsageError
from jobworker.cli.session import Keys


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        ([b"abc"], b"abc", False),
        ([b"\x10\x11"], b"", True),
        ([b"ab\x10\x11cd"], b"ab", True),
        ([b"ab\x10", b"\x11cd"], b"ab", True),
        ([b"\x10"], b"", False),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10"], b"\x10", False),
        ([b"\x10\x10", b"\x11"], b"\x10", True),
        ([b"\x11\x10", b"a"], b"\x11\x10a", False),
    ],
)
def test_the_keys_that_detach(typed: list[bytes], passed: bytes, *, detached: bool) -> None:
    keys = Keys()
    answers = [keys.pass_on(piece) for piece in typed]
    assert b"".join(data for data, _ in answers) == passed
    assert answers[-1][1] is detached


def test_what_can_go_with_a_start_is_what_the_server_takes() -> None:
    assert stdin.MOST == fields.MAX_STDIN
    # All of it as base64, beside as much as any other request may hold.
    assert fields.MAX_START >= fields.MAX_BODY + (stdin.MOST + 2) // 3 * 4


def test_standard_input_goes_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"\xff\0")
    assert stdin.read(str(file)) == b"\xff\0"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"ours\n")))
    assert stdin.read("-") == b"ours\n"


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stdin, "MOST", 4)
    file = tmp_path / "input"
    file.write_bytes(b"12345")
    for check in (stdin.check, stdin.read):
        with pytest.raises(UsageError, match="input is larger than the 16M"):
            check(str(file))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"12345")))
    with pytest.raises(UsageError, match="standard input is larger"):
        stdin.read("-")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "--stdin", "/no/such", "/bin/cat"], "--stdin: cannot read /no/such: No such file"),
        (["start", "--stdin", "/", "/bin/cat"], "--stdin: / is a directory"),
        (["run", "-i", "--stdin", "-", "/bin/cat"], "it goes without -i and -t"),
        (["run", "-d", "-i", "/bin/cat"], "so nobody would feed the job"),
        (["run", "-t", "--json", "/bin/cat"], "--json shows no output"),
        (["run", "-t", "/bin/cat"], "a terminal needs one at our end too; use -i in scripts"),
        (["start", "-i", "/bin/cat"], "option -i not recognized"),
        (["attach"], "name one job, not none"),
    ],
)
def test_wrong_use(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 2
    assert says in capsys.readouterr().err
