"""What limits build on, asked of the kernel itself.

Everything in this directory is run on this machine's cgroups, v1 or v2, and by
``tests/faults/test_in_a_kernel.py`` on v2, as root and as a user with a delegated subtree.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.cgroups import Cgroup
from support.kernel import is_inside

MB = 1_000_000

FORK_UNTIL_REFUSED = """
import os, signal
made = []
try:
    while True:
        made.append(os.fork())
        if made[-1] == 0:
            signal.pause()
except BlockingIOError:
    print(len(made))
for pid in made:
    os.kill(pid, signal.SIGKILL)
"""
USE_THE_PROCESSOR = """
import time
began, used = time.monotonic(), time.process_time()
while time.process_time() - used < 0.2:
    pass
print(time.monotonic() - began)
"""
BE_FOUR = "import os, signal; os.fork(); os.fork(); print('up', flush=True); signal.pause()"


def take(megabytes: int) -> str:
    return f"x = b'x' * ({megabytes} * {MB}); print(len(x))"


def test_the_kernel_of_our_own_has_v2(cgroup: Cgroup) -> None:
    """That the tests in there are about v2 must not be left to chance."""
    hierarchies = Path("/proc/self/cgroup").read_text().splitlines()
    if is_inside():
        assert [line.split(":")[0] for line in hierarchies] == ["0"]
        assert cgroup.version == 2
    else:
        assert (cgroup.version == 1) == (len(hierarchies) > 1)


def test_there_are_no_limits_at_first(cgroup: Cgroup) -> None:
    assert cgroup.file("memory.max", "memory.limit_in_bytes").exists()
    assert cgroup.file("cpu.max", "cpu.cfs_quota_us").read_text() in ("max 100000\n", "-1\n")
    assert cgroup.file("pids.max", "pids.max").read_text() == "max\n"


def test_who_takes_too_much_memory_is_killed(cgroup: Cgroup) -> None:
    cgroup.limit_memory(64 * MB)
    assert cgroup.run(take(128)) == (-signal.SIGKILL, "")
    assert cgroup.facts("memory.events", "memory.oom_control")["oom_kill"] == 1


def test_who_takes_less_is_left_alone_and_the_peak_is_known(cgroup: Cgroup) -> None:
    cgroup.limit_memory(64 * MB)
    assert cgroup.run(take(32)) == (0, f"{32 * MB}\n")
    peak = int(cgroup.file("memory.peak", "memory.max_usage_in_bytes").read_text())
    assert 32 * MB < peak <= 64 * MB
    assert cgroup.facts("memory.events", "memory.oom_control")["oom_kill"] == 0


def test_there_are_no_more_processes_than_allowed(cgroup: Cgroup) -> None:
    cgroup.limit_processes(3)
    assert cgroup.run(FORK_UNTIL_REFUSED) == (0, "2\n")
    assert cgroup.facts("pids.events", "pids.events")["max"] == 1


def test_who_uses_more_than_its_share_of_a_processor_is_throttled(cgroup: Cgroup) -> None:
    cgroup.limit_cpu(percent=20)
    code, printed = cgroup.run(USE_THE_PROCESSOR)
    assert code == 0, printed
    assert float(printed) > 0.4  # unlimited it takes 0.2 s, with a fifth of a processor 1 s
    assert cgroup.facts("cpu.stat", "cpu.stat")["nr_throttled"] > 0


def test_all_that_is_inside_can_be_ended(cgroup: Cgroup) -> None:
    with cgroup.python(BE_FOUR) as program:
        assert program.stdout
        assert [program.stdout.readline() for _ in range(4)] == ["up\n"] * 4
        assert len(cgroup.processes()) == 4
        cgroup.kill()
        assert program.stdout.read() == ""  # which tells that nobody holds it any more


@pytest.mark.parametrize("name", ["cgroup.kill", "cgroup.freeze", "memory.oom.group"])
def test_only_v2_has(cgroup: Cgroup, name: str) -> None:
    """Who builds on these needs another way on v1."""
    assert (cgroup.directories["memory"] / name).exists() == (cgroup.version == 2)
