"""The filter of system calls, run by an interpreter as the kernel would run it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from jobworker.supervisor import seccomp

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF_0000, 0x0005_0001, 0x0005_0026, 0x8000_0000
NEWUSER = 0x1000_0000

X86_64, I386, AARCH64, ARM = 0xC000_003E, 0x4000_0003, 0xC000_00B7, 0x4000_0028
CONVENTIONS = [("x86_64", X86_64, 0), ("x86_64", I386, 1), ("aarch64", AARCH64, 2)]
"""Machine, AUDIT_ARCH of the call, column of the tables."""

every_convention = pytest.mark.parametrize(("machine", "architecture", "column"), CONVENTIONS)


def judge(code: bytes, architecture: int, number: int, argument: int = 0, second: int = 0) -> int:
    """What the filter says to a call: a BPF machine with what our programs use.

    Whatever else is in the program, or a jump out of it, breaks the test.
    """
    data = struct.pack("<IIQ6Q", number, architecture, 0, argument, second, *[0] * 4)
    program = list(struct.iter_unpack("<HBBI", code))
    accumulator = at = 0
    while True:
        operation, yes, no, k = program[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x15:
                at += yes if accumulator == k else no
            case 0x35:
                at += yes if accumulator >= k else no
            case 0x45:
                at += yes if accumulator & k else no
            case 0x06:
                assert isinstance(k, int)
                return k
            case _:
                raise AssertionError(f"operation {operation:#x}")


def expected(column: int) -> dict[int, int]:
    """The calls that are not simply allowed, but for clone and unshare."""
    denied = {numbers[column]: EPERM for numbers in seccomp.DENIED.values()}
    denied[seccomp.CLONE3[column]] = ENOSYS
    denied |= {numbers[column]: ENOSYS for numbers in seccomp.IO_URING.values()}
    return {number: verdict for number, verdict in denied.items() if number is not None}


@every_convention
def test_every_number_gets_its_verdict(machine: str, architecture: int, column: int) -> None:
    code = seccomp.program(machine)
    verdicts = expected(column)
    for number in range(2048):
        for argument in (0, 1, 0x7E02_0000 & ~NEWUSER, 0xFFFF_FFFF_FFFF_FFFF & ~NEWUSER):
            verdict = judge(code, architecture, number, argument)
            assert verdict == verdicts.get(number, ALLOW), number


@every_convention
def test_no_user_namespace(machine: str, architecture: int, column: int) -> None:
    code = seccomp.program(machine)
    for numbers in seccomp.WITHOUT_NEWUSER.values():
        number = numbers[column]
        assert number is not None
        for flags in (NEWUSER, NEWUSER | 17, 0x7E02_0000, 0xFFFF_FFFF_FFFF_FFFF):
            assert judge(code, architecture, number, flags) == EPERM
        assert judge(code, architecture, number, NEWUSER << 32) == ALLOW


@every_convention
def test_no_change_of_projects(machine: str, architecture: int, column: int) -> None:
    """However the upper half is filled, which the kernel does not look at."""
    code = seccomp.program(machine)
    number = seccomp.IOCTL[column]
    assert number is not None
    for request in seccomp.ATTRIBUTES:
        assert judge(code, architecture, number, second=request) == EPERM
        assert judge(code, architecture, number, second=request | 0x7 << 32) == EPERM
        assert judge(code, architecture, number, second=request + 1) == ALLOW
        assert judge(code, architecture, number, request) == ALLOW


def test_x32_calls_do_not_exist() -> None:
    code = seccomp.program("x86_64")
    for number in (0, 1, 56, 165, 435, 520, 547, 0x3FFF_FFFF, 0xBFFF_FFFE):
        assert judge(code, X86_64, number | 0x4000_0000) == ENOSYS
    assert judge(code, X86_64, 0xFFFF_FFFE) == ENOSYS


def test_a_call_that_a_tracer_has_cancelled_stays_its_own_business() -> None:
    assert judge(seccomp.program("x86_64"), X86_64, 0xFFFF_FFFF) == ALLOW


@every_convention
def test_io_uring_is_simply_allowed_where_that_was_said(
    machine: str, architecture: int, column: int
) -> None:
    code = seccomp.program(machine, io_uring=True)
    for numbers in seccomp.IO_URING.values():
        number = numbers[column]
        assert number is not None
        assert judge(code, architecture, number) == ALLOW
    assert judge(code, architecture, 435) == ENOSYS


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", 0), ("x86_64", AARCH64), ("aarch64", ARM), ("aarch64", I386), ("aarch64", X86_64)],
)
def test_calls_by_an_unknown_convention_kill(machine: str, architecture: int) -> None:
    code = seccomp.program(machine)
    assert {judge(code, architecture, number) for number in range(512)} == {KILL}


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(OSError, match="riscv64"):
        seccomp.program("riscv64")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_it_is_short(machine: str) -> None:
    """The kernel walks it for every number when it is installed, once for each job."""
    code = seccomp.program(machine)
    assert len(code) % 8 == 0
    assert len(code) // 8 < 128


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("x86_64-linux-gnu/asm/unistd_64.h", 0),
        ("x86_64-linux-gnu/asm/unistd_32.h", 1),
        ("asm-generic/unistd.h", 2),
    ],
)
def test_the_numbers_are_those_of_the_kernel(header: str, column: int) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip(f"takes {path}")
    define = re.compile(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", re.MULTILINE)
    known = {name: int(number) for name, number in define.findall(path.read_text())}
    tables = seccomp.DENIED | seccomp.WITHOUT_NEWUSER | {"clone3": seccomp.CLONE3}
    tables["ioctl"] = seccomp.IOCTL
    for younger_than_most_headers in ("open_tree_attr", "file_setattr"):  # Linux 6.15, 6.17
        tables.pop(younger_than_most_headers)
    assert {name: numbers[column] for name, numbers in tables.items()} == {
        name: known.get(name) for name in tables
    }
