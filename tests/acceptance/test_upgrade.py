"""A server goes on from the state of the one before it.

``states/python-supervisors.tar.gz`` is that of the last server whose supervisors were Python
programs. It ran a job to its end, started five and was killed; then one exited, one was ended
by SIGKILL, one by its time limit, one by somebody's SIGTERM, and one by the end of its
supervisor, which was killed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.jobd import Jobd, MakeJobd

STATE = Path(__file__).with_name("states") / "python-supervisors.tar.gz"


ENDS: dict[str, dict[str, Any]] = {
    "archived": {"status": "Completed", "cause": "exited", "exitCode": 0},
    "exits": {"status": "Failed", "cause": "exited", "exitCode": 3},
    "killed": {"status": "Failed", "cause": "signaled", "signal": "SIGKILL"},
    "timed": {"status": "Failed", "cause": "timeout", "signal": "SIGKILL"},
    "cut": {"status": "Failed", "cause": "signaled", "signal": "SIGTERM"},
    "lost": {"status": "Failed", "cause": "lost"},
}

OUTPUT = {
    "archived": ("long ago\n", ""),
    "exits": ("out\n", "err\n"),
    "killed": ("", ""),
    "timed": ("", ""),
    "cut": ("begun\n", ""),
    "lost": ("begun\n", ""),
}


@pytest.fixture
def upgraded(make_jobd: MakeJobd) -> Jobd:
    server = make_jobd("--containment", "basic", state=STATE)
    added = server.jobd("user", "add", "operator", "--role", "admin")
    assert added.returncode == 0, added.stderr
    return server


def ids(server: Jobd) -> dict[str, str]:
    """The ID of each job, by its name."""
    jobs = json.loads(server.succeed("list", "--all", "--json"))["jobs"]
    return {job["name"]: job["id"] for job in jobs}


def test_ends_are_told_as_the_earlier_supervisors_recorded_them(upgraded: Jobd) -> None:
    told: dict[str, dict[str, Any]] = {
        name: json.loads(upgraded.succeed("status", "--json", job_id))
        for name, job_id in ids(upgraded).items()
    }
    assert told.keys() == ENDS.keys()
    for name, end in ENDS.items():
        assert end.items() <= {key: told[name].get(key) for key in end}.items(), name


def test_output_is_whole(upgraded: Jobd) -> None:
    written = {}
    for name, job_id in ids(upgraded).items():
        done = upgraded.jobctl("output", "--raw", job_id)
        written[name] = (done.stdout, done.stderr)
    assert written == OUTPUT


def test_a_restart_finds_the_same(upgraded: Jobd) -> None:
    before = upgraded.succeed("list", "--all", "--json")
    upgraded.restart()
    assert upgraded.succeed("list", "--all", "--json") == before
    assert not list((upgraded.state / "spool").iterdir())
