"""A wrong use is told in one line, with exit code 2, before a profile is read."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from jobworker.cli import commands, endings, invocation, main, pages
from jobworker.cli.invocation import UsageError
from jobworker.client import profiles
from jobworker.client.retry import DEFAULT

ID = "j-9f8b6c52-0d3e-4c7a-8a53-1f2e3d4c5b6a"


@pytest.fixture(autouse=True)
def no_profile_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str | None = None) -> None:
        raise AssertionError("a profile was read")

    monkeypatch.setattr(profiles, "load", refuse)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no verb was given; see jobctl help"),
        (["dance"], "there is no verb 'dance'; see jobctl help"),
        (["stauts"], "there is no verb 'stauts'; did you mean 'status'? see jobctl help"),
        (["ps"], "there is no verb 'ps'; did you mean 'list'? see jobctl help"),
        (["--dance"], "option --dance not recognized; see jobctl help"),
        (["-x", "list"], "option -x not recognized; see jobctl help"),
        (["status", "--dance", ID], "option --dance not recognized; see jobctl help status"),
        (["wait", "--tiemout", "1", ID], "not recognized; did you mean --timeout? see jobctl help"),
        (["-u"], "option -u requires argument; see jobctl help"),
        (["status", "--json=1", ID], "option --json must not have an argument; see"),
        (["start"], "no program was given"),
        (["start", "--"], "no program was given"),
        (["start", "--", ""], "the program is empty"),
        (["start", "sh"], "must be an absolute path, not 'sh'; try /bin/sh"),
        (["run", "sh"], "must be an absolute path, not 'sh'; try /bin/sh"),
        (["start", "no-such-program"], "not 'no-such-program'; give its whole path"),
        (["start", "./no/such"], "not './no/such'; give its whole path"),
        (["start", "/bin/\0"], "cannot hold a NUL byte"),
        (["start", "/bin/echo", "a\0b"], "cannot hold a NUL byte"),
        (["start", "/bin/\udcff"], "the program must be UTF-8"),
        (["start", "--env", "HOME", "/bin/true"], "--env takes KEY=VALUE, not 'HOME'"),
        (["start", "--env", "=x", "/bin/true"], "--env takes KEY=VALUE, not '=x'"),
        (["start", "--env", "A=\udcff", "/bin/true"], "the env must be UTF-8"),
        (["start", "--label", "x", "/bin/true"], "--label takes KEY=VALUE, not 'x'"),
        (["status"], "name a job; see jobctl list"),
        (["status", ID, "j-x"], "'j-x' is not a job ID"),
        (["why", ID, ID], "name one job, not 2"),
        (["status", "j-nonsense"], "'j-nonsense' is not a job ID; one looks like j-"),
        (["status", "web\n"], "is not a job ID"),
        (["status", "x" * 257], "is not a job ID"),
        (["show"], "name a job"),
        (["list", "-o", "id,size"], "there is no column 'size'; there are id, name"),
        (["list", "-o", ""], "there is no column ''"),
        (["list", "--sort", "size"], "there is no column 'size'"),
        (["list", "--sort", "id,name"], "--sort takes one column, not 'id,name'"),
        (["list", "--version"], "option --version not recognized"),
        (["status", ""], "'' is not a job ID"),
        (["status", "j-"], "'j-' is not a job ID"),
        (["status", "j-9f8"], "'j-9f8' is not a job ID"),
        (["status", ID.upper()], "is not a job ID"),
        (["status", ID + "0"], "is not a job ID"),
        (["status", ID.replace("-4c7a", "-1c7a")], "is not a job ID"),
        (["status", "j-../../etc/passwd"], "is not a job ID"),
        (["output", "J-9f8b6c52"], "is not a job ID"),
        (["stop"], "name a job"),
        (["stop", ID, "j-x"], "'j-x' is not a job ID"),
        (["stop", "--grace", "soon", ID], "--grace: 'soon' is not a duration"),
        (["start", "--memory", "lots", "/bin/true"], "--memory: 'lots' is not a size; write"),
        (["start", "--memory", "64MB", "/bin/true"], "--memory: '64MB' is not a size; write"),
        (["run", "--memory", "0", "/bin/true"], "--memory must be from 1 byte to 1048576 T, not"),
        (["run", "--tmp", "9999999T", "/bin/true"], "--tmp must be from 1 byte to 1048576 T"),
        (["run", "--output", "-1", "/bin/true"], "--output: '-1' is not a size"),
        (["start", "--cpus", "nan", "/bin/true"], "--cpus: 'nan' is not a number of CPUs"),
        (["start", "--cpus", "0", "/bin/true"], "--cpus must be from 0.01 to 1024, not '0'"),
        (["start", "--pids", "1.5", "/bin/true"], "--pids: '1.5' is not a whole number"),
        (["start", "--open-files", "7", "/bin/true"], "--open-files must be from 8 to 1048576"),
        (["start", "--nice", "20", "/bin/true"], "--nice must be from 0 to 19, not '20'"),
        (["run", "--timeout", "soon", "/bin/true"], "--timeout: 'soon' is not a duration"),
        (["run", "--timeout", "0", "/bin/true"], "--timeout must be from a millisecond to ten"),
        (["run", "--grace", "2d", "/bin/true"], "--grace must be at most a day, not '2d'"),
        (["run", "--run-as", "", "/bin/true"], "--run-as takes the name of an account, not ''"),
        (["run", "--run-as", "\udcff", "/bin/true"], "--run-as takes the name of an account"),
        (["run", "--containment", "most", "/bin/true"], "--containment takes one of full, names"),
        (["run", "--no-network=1", "/bin/true"], "--no-network must not have an argument"),
        (["why"], "name one job, not none"),
        (["why", "j-x"], "'j-x' is not a job ID"),
        (["extend", ID], "name a job and how much longer it may run: jobctl extend ID 30m"),
        (["extend", "30m", ID], "is not a duration; write seconds"),
        (["extend", ID, "soon"], "DURATION: 'soon' is not a duration"),
        (["extend", ID, "0"], "DURATION must be from a millisecond to ten years, not '0'"),
        (["signal", ID], "name a job and a signal: jobctl signal ID HUP"),
        (["signal", "HUP", ID], "there is no signal 'j-9f8b6c52"),
        (["signal", ID, "FOO"], "there is no signal 'FOO'; write HUP, TERM, USR1"),
        (["signal", ID, "0"], "there is no signal '0'"),
        (["rerun"], "name one job, not none"),
        (["rerun", "j-x"], "'j-x' is not a job ID"),
        (["can-i"], "can-i knows one thing to ask for: jobctl can-i start"),
        (["can-i", "stop", ID], "can-i knows one thing to ask for"),
        (["can-i", "start"], "no program was given"),
        (["can-i", "start", "sh"], "must be an absolute path, not 'sh'; try /bin/sh"),
        (["can-i", "start", "--memory", "1M", "/bin/sh"], "--memory not recognized"),
        (["rm"], "name a job"),
        (["wait"], "name a job"),
        (["completion"], "name one shell: bash, zsh, fish"),
        (["completion", "csh"], "name one shell: bash, zsh, fish"),
        (["wait", "--timeout", "-1", ID], "--timeout: '-1' is not a duration"),
        (["list", "x"], "'x' is one word too many"),
        (["list", "--status", "Dead"], "--status takes one of Queued, Running"),
        (["list", "--limit", "0"], "--limit takes a whole number from 1 on, not '0'"),
        (["list", "--limit", "x"], "--limit takes a whole number from 1 on, not 'x'"),
        (["list", "--since", "yesterday"], "'yesterday' is neither a time"),
        (["list", "--label", "x"], "--label takes KEY=VALUE, not 'x'"),
        (["token"], "jobctl token print"),
        (["version", "x"], "'x' is one word too many"),
        (["help", "dance"], "there is no verb 'dance'"),
    ],
)
def test_wrong_use(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jobctl: ")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["output", "--tail", "x", "--json", ID], "--tail takes a number of lines, not 'x'"),
        (["--json", "dance"], "there is no verb 'dance'; see jobctl help"),
        (["status", "--json"], "name a job; see jobctl list"),
        (["status", "--json", "--dance"], "option --dance not recognized"),
        (["start", "--json", "--", "sh"], "must be an absolute path"),
    ],
)
def test_wrong_use_with_json_is_an_answer(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 2
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer == {
        "error": "Error: " + err.rstrip("\n").removeprefix("jobctl: "),
        "code": "wrong_use",
    }
    assert says in err


def test_what_is_the_programs_asks_for_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["start", "--dance", "--", "/bin/echo", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_a_word_that_is_misunderstood_cannot_act(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main.run(["--\x1b]52;c;AAAA\x07"]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "user", "rest"),
    [
        (["-u", "bob", "start", "/bin/echo"], "bob", ["/bin/echo"]),
        (["start", "-u", "bob", "--", "/bin/echo"], "bob", ["/bin/echo"]),
        (["-u", "alice", "start", "--user", "bob", "/bin/echo"], "bob", ["/bin/echo"]),
        (["start", "--", "/bin/echo", "-u", "x"], None, ["/bin/echo", "-u", "x"]),
        (["start", "/bin/echo", "-u", "x", "--json"], None, ["/bin/echo", "-u", "x", "--json"]),
        (["start", "/bin/echo", "--", "x"], None, ["/bin/echo", "--", "x"]),
        (["run", "--", "/bin/echo", "--help"], None, ["/bin/echo", "--help"]),
        (["status", ID, "-u", "bob"], "bob", [ID]),
        (["status", "-ubob", ID], "bob", [ID]),
    ],
)
def test_what_follows_the_program_is_the_programs(
    words: list[str], user: str | None, rest: list[str]
) -> None:
    _, call = main.understand(words)
    assert call.value("user") == user
    assert call.words == rest
    assert not call.has("json")


@pytest.mark.parametrize("name", [name for name, _, _ in commands.VERBS])
def test_each_verb_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: jobctl ")
    for option, _, _, meaning in commands.load(name).OPTIONS:
        assert f"--{option}" in out
        assert meaning in out
    assert "\nExit codes:\n" in out
    assert "  2  " in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("name", [name for name, _, _ in commands.VERBS])
def test_each_example_is_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An example is a use that ``jobctl`` itself would take, up to the first request."""
    examples = pages.Page(name).examples
    assert len(examples) >= 2
    for example in examples:
        for command in re.findall(r"\bjobctl ([^|>)]*)", example):
            words = shlex.split(command)
            _, call = main.understand(words)
            assert call is not None
    assert any(f"jobctl {name}" in example or f" {name} " in example for example in examples)
    assert capsys.readouterr() == ("", "")


def test_the_exit_codes_of_a_job_stand_where_they_are_used() -> None:
    """Every verb that exits as a job did says so."""
    as_the_job = {name for name, _, _ in commands.VERBS if hasattr(commands.load(name), "endings")}
    assert {name for name in as_the_job if pages.Page(name).exits == endings.EXITS} == as_the_job


def test_help_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["help", "--json", "wait"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert page["usage"].startswith("jobctl wait")
    assert {option["name"] for option in page["options"]} >= {"any", "timeout", "json"}
    assert main.run(["--json", "help"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [verb["verb"] for verb in listed["verbs"]] == [name for name, _, _ in commands.VERBS]


@pytest.mark.parametrize("words", [["help"], ["--help"], ["-h"]])
def test_help_names_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 0
    out = capsys.readouterr().out
    for name, _, summary in commands.VERBS:
        assert re.search(rf"^  {name} +{re.escape(summary)}$", out, re.MULTILINE)


def test_every_verb_stands_in_the_table() -> None:
    """A file that holds a verb is one that the table names."""
    directory = Path(commands.__file__).with_name("verbs")
    holding = {path.stem for path in directory.glob("[a-z]*.py")}
    assert holding == {module for _, module, _ in (*commands.VERBS, commands.HIDDEN)}


def test_an_unknown_verb_has_no_module() -> None:
    with pytest.raises(UsageError):
        commands.load("invocation")


def test_patience_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBCTL_PATIENCE", raising=False)
    assert invocation.retry_policy() is DEFAULT
    monkeypatch.setenv("JOBCTL_PATIENCE", "1m30s")
    assert (invocation.retry_policy().calls, invocation.retry_policy().outage) == (90, 90)
    monkeypatch.setenv("JOBCTL_PATIENCE", "for ever")
    with pytest.raises(UsageError, match="JOBCTL_PATIENCE: 'for ever' is not a dur"):
        invocation.retry_policy()
