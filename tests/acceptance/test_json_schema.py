"""Every verb with ``--json``: objects with ``error``, and with ``code`` where it is refused.

The verbs and how they are used are taken from the table, so that a new one takes part.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobworker.cli import commands
from jobworker.cli.cursor import place
from support.jobd import Jobd

NAMES = [name for name, _, _ in commands.VERBS]
ABSENT = "j-00000000-0000-4000-8000-000000000000"
WORDS = {
    "PROGRAM": "/bin/true",
    "DURATION": "30m",
    "SIGNAL": "HUP",
    "VERB": "status",
    "FILE": "/dev/null",
}
"""What stands for a word of a usage line; a lower-case one stands for itself."""


@pytest.fixture(scope="module")
def ended(module_jobd: Jobd) -> str:
    job_id = module_jobd.start_job("/bin/echo", "hello")
    assert module_jobd.jobctl("wait", job_id).returncode == 0
    return job_id


def words_of(verb: str, job_id: str) -> list[str]:
    """A use of a verb as its usage line has it, with one job, one program, no arguments."""
    words: list[str] = []
    known = WORDS | {"ID": job_id}
    while (name := place(commands.load(verb).USAGE, len(words))) not in ("", "ARGUMENT"):
        word = known.get(name, name.partition("|")[0])
        if word == job_id and word in words:
            break
        words.append(word)
    return words


def answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What was printed, each line an object with an error, and with a code beside one."""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for answer in found:
        assert isinstance(answer, dict)
        if answer["error"] is not None:
            assert answer["error"].startswith("Error: ")
            assert answer["code"].replace("_", "").isalpha()
    return found


@pytest.mark.parametrize("verb", NAMES)
def test_a_verb_answers_in_json(verb: str, module_jobd: Jobd, ended: str) -> None:
    done = module_jobd.jobctl(verb, "--json", *words_of(verb, ended))
    found = answers(done)
    assert found, f"{verb} --json prints nothing: {done.stderr}"
    if done.returncode == 0:
        assert [answer["error"] for answer in found] == [None] * len(found)
    else:
        assert found[-1]["error"] is not None


@pytest.mark.parametrize("verb", NAMES)
def test_an_option_before_the_verb_counts_as_well(verb: str, module_jobd: Jobd) -> None:
    (answer,) = answers(module_jobd.jobctl("--json", verb, "--no-such-option"))
    assert answer["code"] == "wrong_use"


@pytest.mark.parametrize("verb", [name for name in NAMES if "ID" in commands.load(name).USAGE])
def test_a_job_that_is_not_there(verb: str, module_jobd: Jobd) -> None:
    done = module_jobd.jobctl(verb, "--json", *words_of(verb, ABSENT))
    (answer,) = answers(done)
    assert answer["code"] == "job_not_found"
    assert done.returncode in (1, 2, 125)


@pytest.mark.parametrize("verb", NAMES)
def test_a_server_that_is_not_there(verb: str, module_jobd: Jobd) -> None:
    """Told as any other error is; a verb that needs no server does without."""
    command = [str(Path(sys.executable).with_name("jobctl")), verb, "--json"]
    done = subprocess.run(
        [*command, *words_of(verb, ABSENT)],
        env=module_jobd.environ | {"JOBCTL_SERVER": "https://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (answer,) = answers(done)
    assert (answer["error"] is None) == (done.returncode == 0)
    assert answer.get("code") in {None, "server_unreachable", "wrong_use"}
