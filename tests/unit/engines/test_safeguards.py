"""T70: the safeguards that a machine keeps, and the plain line about each that it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobworker.engines.host import resources
from jobworker.engines.host.cgroups import Cgroups
from jobworker.engines.host.enforcement import Enforcement, spawner_arguments
from jobworker.engines.host.safeguards import gaps, kept
from jobworker.model import NO_LIMITS, NO_SAFEGUARDS, Level, Limits, Safeguards

ASKED = Safeguards(memory=5, pids=7)
WITH = [Enforcement("memory", "cgroup v2")]
WITHOUT = [Enforcement("memory", None, "there is no cgroup", "make one")]


@pytest.mark.parametrize(
    ("level", "rows", "by_job", "keeps", "said"),
    [
        ("full", WITH, None, ASKED, []),
        ("uid", WITHOUT, None, Safeguards(pids=7), ["memory of all jobs together"]),
        ("namespaces", WITH, None, ASKED, ["those of each job are, to 7"]),
        (
            "namespaces",
            WITHOUT,
            "it does not bind",
            NO_SAFEGUARDS,
            ["there is no cgroup", "does not count a job's processes alone (it does not bind)"],
        ),
        ("basic", WITH, None, Safeguards(memory=5), ["at containment level basic"]),
    ],
)
def test_what_is_kept_and_what_is_said(
    level: Level, rows: list[Enforcement], by_job: str | None, keeps: Safeguards, said: list[str]
) -> None:
    assert kept(ASKED, NO_LIMITS, level, rows, by_job) == keeps
    found = list(gaps(ASKED, NO_LIMITS, level, rows, by_job))
    assert len(found) == len(said)
    for words, line in zip(said, found, strict=True):
        assert words in line


def test_a_limit_of_all_jobs_that_is_asked_for_is_no_gap() -> None:
    ceiling = Limits(memory=9)
    assert kept(ASKED, ceiling, "full", WITH, None) == Safeguards(pids=7)
    assert not list(gaps(ASKED, ceiling, "full", WITH, None))


def test_what_the_configuration_turns_off_is_said_so() -> None:
    lines = list(gaps(NO_SAFEGUARDS, NO_LIMITS, "full", WITH, None))
    assert lines == [
        "the memory of all jobs together is not bounded: the configuration says none",
        "the processes of a user are not bounded: the configuration says none",
    ]


def test_the_spawner_is_told() -> None:
    cgroups = Cgroups({"memory": (2, "/sys/fs/cgroup/x")})
    assert spawner_arguments(cgroups, NO_LIMITS, ASKED)[1:] == [
        "processes=7",
        "commons=2:5:/sys/fs/cgroup/x/common",
    ]
    assert spawner_arguments(cgroups, NO_LIMITS) == ["cgroup=memory:2:/sys/fs/cgroup/x"]


def test_this_machine_has_something_of_each() -> None:
    assert resources.memory() > 1 << 26
    assert resources.processes() > 64
    assert resources.disk(Path("/nowhere/at/all")) == resources.disk(Path("/"))
