import errno
import json
from argparse import Namespace

import pytest

from jobworker.daemon import doctor, log
from jobworker.daemon import main as program
from jobworker.daemon.main import COMMANDS, describe, main
from jobworker.engines.host.enforcement import Enforcement
from jobworker.engines.host.probe import Probe
from jobworker.errors import JobWorkerError, StateInUse, StateUnusable
from jobworker.identity.tokens import mint
from jobworker.version import VERSION


@pytest.fixture(autouse=True)
def _as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signals, the umask and the logging of the test process alone."""
    monkeypatch.setattr(program, "prepare", lambda: None)
    monkeypatch.setattr(log, "configure", lambda: None)


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["nonsense"], ["serve", "--nonsense"], ["serve", "--listen"], ["user"],
        ["serve", "--listen", "8443"], ["serve", "--listen", "a:99999"], ["serve", "--state", ""],
        ["serve", "--containment", "strong"], ["serve", "--config", "/missing.toml"],
        ["serve", "--lis", "127.0.0.1:0"],
        ["user", "add"], ["user", "add", "Al"], ["user", "add", "al", "--role", "king"],
        ["token"], ["token", "revoke"], ["policy"], ["policy", "test"], ["version", "extra"],
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jobd: ")
    assert err.count("\n") == 1
    assert "--help" in err


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS), ["user", "add"]])
def test_every_command_has_its_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--help"])
    assert caught.value.code == 0
    assert "usage: jobd" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"jobd {VERSION}\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StateInUse(), "cannot version: the state directory is in use by another server"),
        (StateUnusable("cannot use /x: why", hint="do this"), "cannot use /x: why; do this"),
        (
            OSError(errno.ENOSPC, "No space left", "/x"),
            "cannot version: /x: No space left",
        ),
        (KeyboardInterrupt(), "cannot version: interrupted"),
        (
            RuntimeError("a\nb"),
            "cannot version: RuntimeError('a\\nb'); this is a bug, please report it",
        ),
    ],
)
def test_a_failure_is_one_line_and_never_a_trace(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    line: str,
) -> None:
    def fail(_: Namespace) -> None:
        raise error

    monkeypatch.setattr(COMMANDS["version"], "run", fail)
    assert main(["version"]) == 1
    assert capsys.readouterr().err == f"jobd: {line}\n"


def test_no_token_gets_into_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = mint()[0].reveal()

    def fail(_: Namespace) -> None:
        raise RuntimeError(token)

    monkeypatch.setattr(COMMANDS["version"], "run", fail)
    assert main(["version"]) == 1
    assert token[16:] not in capsys.readouterr().err


def test_an_error_without_hint_ends_with_its_reason() -> None:
    assert describe("serve", JobWorkerError("cannot do it: why")) == "cannot do it: why"


PROBES = [
    Probe("full", works=False, missing="it needs root"),
    Probe("uid", works=True, missing=None, weaker="jobs can do this"),
    Probe("basic", works=True, missing=None),
]


LIMITS = [
    Enforcement("memory", None, "there is no cgroup", "make one"),
    Enforcement("openFiles", "rlimit"),
]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which the above is found out."""
    monkeypatch.setattr(doctor, "probe", lambda: PROBES)
    monkeypatch.setattr(doctor, "choose", lambda _: "uid")
    monkeypatch.setattr(doctor, "survey", lambda *_: LIMITS)


@pytest.mark.usefixtures("patient")
def test_doctor_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "LEVEL       WORKS  MISSING OR WEAKER",
        "full        no     it needs root",
        "uid         yes    jobs can do this",
        "basic       yes    -",
        "",
        "Limits at uid, the level that auto takes here:",
        "LIMIT       ENFORCED BY    MISSING",
        "memory      nothing        there is no cgroup",
        "openFiles   rlimit         -",
        "",
        "For memory: make one.",
        "",
        "Warning: the memory of all jobs together is not bounded: there is no cgroup.",
    ]


@pytest.mark.usefixtures("patient")
def test_doctor_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["containment"][0] == {
        "level": "full",
        "works": False,
        "missing": "it needs root",
        "weaker": None,
    }
    assert found["limits"][0] == {
        "limit": "memory",
        "mechanism": None,
        "missing": "there is no cgroup",
        "hint": "make one",
    }
