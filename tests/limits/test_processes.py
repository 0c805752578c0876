"""CPU time, open files, priority; and all limits at once, at every level that works here."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from jobworker.engines.host.cgroups import name_for
from jobworker.engines.host.probe import probe
from jobworker.engines.host.survey import survey
from jobworker.errors import InvalidRequest, ProgramNotExecutable, ProgramNotFound
from jobworker.model import Level, Limits, Spec
from support.limited_jobs import Jobs, Open
from support.waiting import until

LEVELS: list[Level] = [result.level for result in probe() if result.works]

PYTHON = "/usr/bin/python3"
BURN = """
import time
began = time.monotonic()
while time.monotonic() - began < 3:
    pass
print(time.process_time() / (time.monotonic() - began))
"""

MOST_OF_HALF = 0.75 if "JOBWORKER_IN_KERNEL" in os.environ else 0.6
"""The emulated kernel counts time in ticks of 10 ms, which is a fifth of the quota of 50 ms:
that much more may be used before it looks."""

C_LIBRARY = 1 << 31 | 1 << 32
"""The signals 32 and 33 in a mask of ``/proc/PID/status``: the C library's own, for threads.

glibc's posix_spawn ignores them in its child where it handles them itself (spawni.c), which
depends on its version and on what the caller has imported; exec keeps that, and no call of
the library's can undo it. A fork hands them on as they are. A thread of the program's takes
them for itself either way.
"""

STATUS = "cat /proc/self/status; ulimit -n; ulimit -Hn; nice; ls /proc/self/fd; pwd; cat"
BY_CGROUPS = Limits(memory=128 << 20, cpus=0.9, pids=20, nice=7)
"""What a program can begin under: on v1 it is spawned from within its cgroups."""

EVERYTHING = replace(BY_CGROUPS, open_files=40)
"""With a limit that only the program's own process can put on itself, by a fork."""


async def test_a_burner_gets_its_share_of_a_processor(jobs: Jobs) -> None:
    """Measured by itself over its own time, whatever else the machine does."""
    ran = await jobs.run(Limits(cpus=0.5), PYTHON, "-c", BURN)
    if ran:
        assert float(ran[1]) < MOST_OF_HALF
        job = ran[0]
        assert job.end
        assert job.end.usage.cpu_seconds < 0.75 * 3


async def test_open_files_are_limited(jobs: Jobs) -> None:
    count = "import os\ntry:\n while True: os.dup(0)\nexcept OSError: print(os.dup2(0, 9))"
    ran = await jobs.run(Limits(open_files=10), PYTHON, "-I", "-S", "-c", count)
    assert ran
    assert ran[1] == "9\n"
    ran = await jobs.run(Limits(open_files=12), "/bin/sh", "-c", "ulimit -Sn; ulimit -Hn")
    assert ran
    assert ran[1] == "12\n12\n"


async def test_no_more_open_files_than_the_machine_allows(jobs: Jobs) -> None:
    ran = await jobs.run(Limits(open_files=1 << 30), "/bin/sh", "-c", "ulimit -Sn")
    assert ran
    assert 0 < int(ran[1]) < 1 << 30


async def test_priority_is_lowered(jobs: Jobs) -> None:
    ran = await jobs.run(Limits(nice=11), "/bin/nice")
    assert ran
    assert ran[1] == "11\n"


@pytest.mark.parametrize("limits", [BY_CGROUPS, EVERYTHING], ids=["by cgroups", "everything"])
@pytest.mark.parametrize("level", LEVELS)
async def test_limits_together_and_the_rest_is_as_ever(
    open_jobs: Open, level: Level, limits: Limits
) -> None:
    """The same user, rights, signals, descriptors and directory as a job without limits."""
    async with open_jobs(level) as jobs:
        plain = await jobs.run(Limits(), "/bin/sh", "-c", STATUS)
        if not jobs.keeps("memory", "cpus", "pids"):
            limits = Limits(open_files=limits.open_files, nice=limits.nice)
        limited = await jobs.run(limits, "/bin/sh", "-c", STATUS)
        assert plain
        assert limited
        job, printed = limited
        assert job.status.name == "Completed", printed
        assert facts(printed) == facts(plain[1])
        assert ("\n40\n40\n7\n" if limits.open_files else "\n7\n") in printed
        until(lambda: jobs.any_cgroups() == [])


def facts(printed: str) -> list[str]:
    """What is to be the same: all rights and signals, the descriptors, the directory."""
    names = "Uid|Gid|Groups|Cap...|NoNewPrivs|Sig(?:Blk|Ign|Cgt)|Umask"
    directory = re.sub("j-[0-9a-f-]+", "", printed.splitlines()[-1])
    descriptors = re.search(r"\n0\n1\n2\n3\n(?!4\n)", printed)
    lines = re.findall(rf"^(?:{names}):.*$", printed, re.MULTILINE)
    return [
        *map(_without_the_c_library, lines),
        directory,
        str(bool(descriptors)),
    ]


def _without_the_c_library(line: str) -> str:
    name, _, value = line.partition(":\t")
    return f"{name} {int(value, 16) & ~C_LIBRARY:x}" if name.startswith("Sig") else line


LOOSEN = """
for file in "$1/$JOBD_JOB_ID/memory.max" "$1/$JOBD_JOB_ID/memory.limit_in_bytes" \\
    "$1/$JOBD_JOB_ID/cgroup.procs" "$1/cgroup.procs" "$1/../cgroup.procs"; do
    if (echo 0 >"$file") 2>/dev/null; then echo "wrote $file"; fi
done
echo "looked at $JOBD_JOB_ID"
"""


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "basic"])
async def test_a_job_cannot_loosen_or_leave_its_limits(open_jobs: Open, level: Level) -> None:
    """Level basic promises no such thing: there the job is the server's own user."""
    async with open_jobs(level) as jobs:
        if not jobs.keeps("memory"):
            return
        _, path = jobs.engine.machine.cgroups.found["memory"]
        ran = await jobs.run(Limits(memory=64 << 20), "/bin/sh", "-c", LOOSEN, "sh", path)
        assert ran
        assert ran[1] == f"looked at {ran[0].id}\n"


async def test_a_survey_tells_the_same_and_leaves_nothing(jobs: Jobs) -> None:
    surveyed = await asyncio.to_thread(survey, jobs.engine.containment, jobs.state)
    assert [(row.limit, row.mechanism) for row in surveyed] == [
        (row.limit, row.mechanism) for row in jobs.engine.machine.limits
    ]
    assert job_directories() == []


def job_directories() -> list[Path]:
    """Of a survey of this very process, wherever it may have left one."""
    return list(Path("/sys/fs/cgroup").rglob(name_for(Path(f"survey-{os.getpid()}"))))


async def test_what_cannot_be_executed_is_told_apart_under_limits(jobs: Jobs) -> None:
    for program, error, words in (
        ("/bin/none", ProgramNotFound, "program not found"),
        ("/etc", ProgramNotExecutable, "it is a directory"),
        ("/etc/passwd", ProgramNotExecutable, "permission denied"),
    ):
        with pytest.raises(error, match=words):
            await jobs.manager.submit(Spec(program, limits=Limits(nice=1)), "alice")
    with pytest.raises(InvalidRequest, match="/none") as refused:
        await jobs.manager.submit(Spec("/bin/pwd", cwd="/none", limits=Limits(nice=1)), "alice")
    assert refused.value.field == "cwd"
    until(lambda: jobs.any_cgroups() == [])
