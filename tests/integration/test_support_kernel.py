"""The kernel of our own keeps its promises: what it tells, when it ends, what it cannot do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.kernel import (
    ALICE,
    ROOT,
    all_passed,
    choice,
    choose,
    is_inside,
    run_in_kernel,
    run_tests_in_kernel,
    scratch_prefix,
)
from support.kernel_boot import WAYS

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(is_inside(), reason="there is no kernel within a kernel"),
]

BOOT = 60
"""Seconds to boot and do little: it takes 2 in user mode, on a machine that is not busy."""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Its files are gone as well; the processes are looked after for every test."""
    yield
    assert list(Path("/var/tmp").glob(f"{scratch_prefix()}*")) == []


def test_it_tells_the_exit_code_and_every_byte() -> None:
    ended = run_in_kernel(["printf", r"a\nb\r\nc\t\n"], budget=BOOT)
    assert (ended.exit_code, ended.output) == (0, "a\nb\r\nc\t\n")
    assert not ended.timed_out


@pytest.mark.parametrize(
    ("command", "code"),
    [(["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], -9), (["no-such-program"], 127)],
)
def test_it_tells_how_a_command_fails(command: list[str], code: int) -> None:
    assert run_in_kernel(command, budget=BOOT).exit_code == code


def test_a_panic_loses_nothing_of_the_output() -> None:
    script = "seq 2000; echo c >/proc/sysrq-trigger; sleep 60"
    ended = run_in_kernel(["sh", "-c", script], budget=BOOT)
    assert ended.exit_code is None
    assert ended.output.split() == [str(n) for n in range(1, 2001)]
    assert "Kernel panic" in ended.kernel_log
    assert "the kernel ended before" in str(ended)


def test_out_of_time_everything_ends_and_the_output_is_kept() -> None:
    began = time.monotonic()
    script = "trap '' TERM; echo up; setsid sleep 100 & sleep 100"
    ended = run_in_kernel(["sh", "-c", script], budget=10)
    assert ended.timed_out
    assert ended.exit_code is None
    assert ended.output == "up\n"
    assert "out of time" in str(ended)
    assert time.monotonic() - began < 30  # where the sleeps would take 100


def test_what_a_command_leaves_running_does_not_keep_it() -> None:
    script = "(setsid sleep 100 &); echo done"
    ended = run_in_kernel(["sh", "-c", script], budget=BOOT)
    assert (ended.exit_code, ended.output) == (0, "done\n")


@pytest.mark.parametrize("user", [ROOT, ALICE])
def test_nothing_inside_reaches_this_machine(user: int, shared_dir: Path) -> None:
    """Not even as root, whose writes would be those of the user outside."""
    name = f"kernel-test-{os.getpid()}"
    script = (
        f"id -u; echo x >{shared_dir}/x; touch {__file__}; rm -f {__file__}; kill -9 {os.getpid()};"
        f"for place in /tmp /var/tmp /dev/shm; do echo x >$place/{name} || exit; done; echo fine"
    )
    ended = run_in_kernel(["sh", "-c", script], user=user, budget=BOOT)
    assert ended.output.split()[0] == str(user)
    assert ended.output.endswith("fine\n")
    assert list(shared_dir.iterdir()) == []
    assert Path(__file__).exists()
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        assert not Path(place, name).exists()


def test_there_is_a_network_to_itself() -> None:
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(s.getsockname()); s.accept(); print(socket.if_nameindex())"
    )
    ended = run_in_kernel(["python", "-c", code], budget=BOOT)
    assert ended.exit_code == 0, ended
    assert "lo" in ended.output


def test_a_run_without_tests_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="exit code 5"):
        run_tests_in_kernel("tests/unit/model/test_model.py", "-k", "nothing", user=ROOT)


def test_a_run_with_a_skipped_test_fails() -> None:
    """This very file is skipped inside."""
    with pytest.raises(pytest.fail.Exception, match="JOBWORKER_REQUIRE_ALL"):
        run_tests_in_kernel(__file__, "-k", "exit_code", user=ROOT)


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("3 passed in 0.12s", True),
        ("103 passed in 63.01s (0:01:03)", True),
        ("no tests ran in 0.01s", False),
        ("1 skipped in 0.01s", False),
        ("3 passed, 1 skipped in 0.12s", False),
        ("3 passed, 1 xfailed in 0.12s", False),
        ("3 passed, 2 deselected in 0.12s", False),
        ("1 failed, 3 passed in 0.12s", False),
        ("", False),
    ],
)
def test_only_passed_tests_will_do(line: str, good: bool) -> None:  # noqa: FBT001 - a case's verdict
    assert all_passed(f"....   [100%]\n{line}\n") == good


def test_the_first_way_that_boots_is_taken_and_the_others_are_told_of() -> None:
    """One hangs, as KVM may, one panics, as user mode may, one is not installed."""
    works = choice().way
    assert works
    bad = replace(works, patience=2, slowness=1)
    hangs = replace(bad, name="hangs", command=lambda _: ["sleep", "600"])
    script = "echo Kernel panic - not syncing: put_fp_registers; echo Call Trace:; exit 1"
    panics = replace(bad, name="panics", command=lambda _: ["sh", "-c", script])
    absent = replace(bad, name="absent", needs=("no-such-program",))
    made = choose([hangs, panics, absent, works])
    assert made.way == works
    assert made.told.startswith(f"{works.name}, up and off in ")
    assert made.told.endswith(
        " s; not hangs: it was not up within 2 s"
        "; not panics: Kernel panic - not syncing: put_fp_registers"
        "; not absent: there is no no-such-program"
    )
    nothing = choose([absent])
    assert (nothing.way, nothing.told) == (None, "none; not absent: there is no no-such-program")


@pytest.mark.needs("qemu-system-x86_64")
def test_emulation_takes_no_luck_of_processors() -> None:
    """It is what is left elsewhere, so it must not rot where another way is taken."""
    made = choose([WAYS["tcg"]])
    assert made.way, made.told
