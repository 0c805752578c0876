"""Completion in real shells, on a terminal, with job IDs from a real server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.jobd import Jobd
from support.keyboard import Keyboard, at_terminal

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(jobctl completion bash)"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit && compinit -u -D; source <(jobctl completion zsh)",
    ),
    "fish": (["fish", "--no-config", "-i"], "jobctl completion fish | source"),
}
KILL_LINE = "\x15"
PATIENT = {"JOBCTL_COMPLETION_TIMEOUT": "15s"}
"""On a machine that is busy with other tests 0.2 s may be over before anything began."""


@pytest.fixture(scope="module")
def running(module_jobd: Jobd) -> str:
    return module_jobd.succeed(
        "start", "-q", "--name", "nightly", "--", "/bin/sleep", "1000"
    ).strip()


@pytest.fixture(scope="module")
def ended(module_jobd: Jobd) -> str:
    job_id = module_jobd.start_job("/bin/echo", "a\x1b]52;c;x\x07b\tc\nd")
    assert module_jobd.jobctl("wait", job_id).returncode == 0
    return job_id


def jobctl(environ: dict[str, str], *words: str) -> tuple[int, str, str]:
    command = [str(Path(sys.executable).with_name("jobctl")), *words]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@contextmanager
def shell(name: str, server: Jobd) -> Iterator[Keyboard]:
    command, load = SHELLS[name]
    bin_directory = str(Path(sys.executable).parent)
    environ = server.environ | PATIENT | {"PATH": f"{bin_directory}:/usr/bin:/bin", "PS1": "$ "}
    with at_terminal(command, environ) as keyboard:
        keyboard.type(f"{load}; echo lo''aded\r", shows="loaded")
        yield keyboard


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.needs(name)) for name in SHELLS]
)
def test_a_shell_completes(name: str, module_jobd: Jobd, running: str, ended: str) -> None:
    with shell(name, module_jobd) as keyboard:
        keyboard.type("jobctl stat\t", shows="jobctl status")
        keyboard.type(f"{KILL_LINE}jobctl stop j-\t", shows=f"stop {running}")
        seen = keyboard.type(f"{KILL_LINE}jobctl rm j-\t", shows=f"rm {ended}")
        assert running not in seen.partition("jobctl rm")[2]
        keyboard.type(f"{KILL_LINE}jobctl list --status=Ru\t", shows="--status=Running")
        keyboard.type(f"{KILL_LINE}jobctl list --status Co\t", shows="--status Completed")
        keyboard.type(f"{KILL_LINE}jobctl -u adm\t", shows="-u admin")
        keyboard.type(f"{KILL_LINE}jobctl start -- /bin/slee\t", shows="/bin/sleep")
        keyboard.type(f"{KILL_LINE}jobctl completion f\t", shows="completion fish")
        keyboard.type(f"{KILL_LINE}jobctl status j-\t\t\t", shows=(ended[2:], running[2:]))
        assert "\x1b]52" not in keyboard.raw


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("zsh", "fish")]
)
def test_a_shell_that_can_says_what_a_job_is(
    name: str, module_jobd: Jobd, running: str, ended: str
) -> None:
    assert running != ended
    with shell(name, module_jobd) as keyboard:
        jobs = ("Running nightly: /bin/sleep 1000", "Completed /bin/echo")
        keyboard.type("jobctl status j-\t\t\t", shows=jobs)


def complete(server: Jobd, *words: str) -> str:
    code, out, err = jobctl(server.environ | PATIENT, "__complete", *words)
    assert (code, err) == (0, "")
    return out


def candidates(server: Jobd, *words: str) -> list[str]:
    return [line.partition("\t")[0] for line in complete(server, "--", *words).splitlines()]


def test_the_jobs_are_those_that_the_verb_can_be_about(
    module_jobd: Jobd, running: str, ended: str
) -> None:
    for verb in ("stop", "extend", "wait"):
        assert candidates(module_jobd, verb, "") == [running]
    for verb in ("rm", "why"):
        assert candidates(module_jobd, verb, "") == [ended]
    for verb in ("status", "output", "logs"):
        assert candidates(module_jobd, verb, "j-") == [ended, running]
        assert candidates(module_jobd, verb, running[:9]) == [running]
    assert candidates(module_jobd, "status", running, "") == [ended]
    assert candidates(module_jobd, "status", "x") == []


def test_jobs_are_offered_by_name_where_no_id_is_typed(
    module_jobd: Jobd, running: str, ended: str
) -> None:
    assert running
    assert ended
    assert candidates(module_jobd, "stop", "n") == ["nightly"]
    assert candidates(module_jobd, "rm", "n") == []


def test_the_columns_of_a_list(module_jobd: Jobd) -> None:
    assert candidates(module_jobd, "list", "--sort", "st") == ["status", "started"]
    assert candidates(module_jobd, "list", "-o", "id,st") == ["id,status", "id,started"]
    assert candidates(module_jobd, "list", "-o", "status,st") == ["status,started"]
    assert "--version" in candidates(module_jobd, "--v")


def test_the_jobs_are_those_of_the_profile_on_the_line(module_jobd: Jobd, running: str) -> None:
    assert module_jobd.jobd("user", "add", "other").returncode == 0
    assert candidates(module_jobd, "-u", "other", "status", "") == []
    assert running in candidates(module_jobd, "-u", "admin", "status", "")
    assert candidates(module_jobd, "-u", "o") == ["other"]
    assert candidates(module_jobd, "-u", "nobody", "status", "") == []


def test_nothing_in_a_description_acts(module_jobd: Jobd, ended: str) -> None:
    (line,) = complete(module_jobd, "--", "rm", ended[:6]).splitlines()
    assert line == f"{ended}\tCompleted /bin/echo a\\x1b]52;c;x\\x07b c\\nd"


def test_completion_says_nothing_where_no_server_answers(module_jobd: Jobd, running: str) -> None:
    """Neither one that refuses nor one that is silent; the shell waits for neither."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (1, silent.getsockname()[1]):
            environ = module_jobd.environ | {"JOBCTL_SERVER": f"https://127.0.0.1:{port}"}
            begun = time.monotonic()
            done = jobctl(environ, "__complete", "--", "stop", running[:4])
            took = time.monotonic() - begun
            assert done == (0, "", "")
            assert took < 2, "0.3 s, and patience with a busy machine"


def test_completion_as_json(module_jobd: Jobd, running: str) -> None:
    answer = json.loads(complete(module_jobd, "--json", "--", "stop", running[:6]))
    meaning = "Running nightly: /bin/sleep 1000"
    assert answer == {"candidates": [{"word": running, "meaning": meaning}], "error": None}
