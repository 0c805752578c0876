"""The filter of system calls, run by an interpreter as the kernel would run it."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import native, system_calls

pytestmark = native.needs_compiler

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF_0000, 0x0005_0001, 0x0005_0026, 0x8000_0000
NEWUSER = 0x1000_0000

X86_64, I386, AARCH64, ARM = 0xC000_003E, 0x4000_0003, 0xC000_00B7, 0x4000_0028
CONVENTIONS = {"x86_64": [(X86_64, 0), (I386, 1)], "aarch64": [(AARCH64, 2)]}
"""By machine: AUDIT_ARCH of a call, and the column of the tables."""

MACHINE = os.uname().machine

every_convention = pytest.mark.parametrize(("architecture", "column"), CONVENTIONS[MACHINE])
on_x86_64 = pytest.mark.skipif(MACHINE != "x86_64", reason="there is no such convention on others")


class SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


@functools.cache
def program(*, io_uring: bool = False) -> bytes:
    """The instructions of this machine's filter."""
    seccomp_filter = native.library().seccomp_filter
    seccomp_filter.restype = SockFprog
    made = seccomp_filter(io_uring)
    return ctypes.string_at(made.filter, 8 * made.len)


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
    denied = {numbers[column]: EPERM for numbers in system_calls.DENIED.values()}
    denied[system_calls.CLONE3[column]] = ENOSYS
    denied |= {numbers[column]: ENOSYS for numbers in system_calls.IO_URING.values()}
    return {number: verdict for number, verdict in denied.items() if number is not None}


@every_convention
def test_every_number_gets_its_verdict(architecture: int, column: int) -> None:
    code = program()
    verdicts = expected(column)
    for number in range(2048):
        for argument in (0, 1, 0x7E02_0000 & ~NEWUSER, 0xFFFF_FFFF_FFFF_FFFF & ~NEWUSER):
            verdict = judge(code, architecture, number, argument)
            assert verdict == verdicts.get(number, ALLOW), number


@every_convention
def test_no_user_namespace(architecture: int, column: int) -> None:
    code = program()
    for numbers in system_calls.WITHOUT_NEWUSER.values():
        number = numbers[column]
        assert number is not None
        for flags in (NEWUSER, NEWUSER | 17, 0x7E02_0000, 0xFFFF_FFFF_FFFF_FFFF):
            assert judge(code, architecture, number, flags) == EPERM
        assert judge(code, architecture, number, NEWUSER << 32) == ALLOW


@every_convention
def test_no_change_of_projects(architecture: int, column: int) -> None:
    """However the upper half is filled, which the kernel does not look at."""
    code = program()
    number = system_calls.IOCTL[column]
    assert number is not None
    for request in system_calls.ATTRIBUTES:
        assert judge(code, architecture, number, second=request) == EPERM
        assert judge(code, architecture, number, second=request | 0x7 << 32) == EPERM
        assert judge(code, architecture, number, second=request + 1) == ALLOW
        assert judge(code, architecture, number, request) == ALLOW


@on_x86_64
def test_x32_calls_do_not_exist() -> None:
    code = program()
    for number in (0, 1, 56, 165, 435, 520, 547, 0x3FFF_FFFF, 0xBFFF_FFFE):
        assert judge(code, X86_64, number | 0x4000_0000) == ENOSYS
    assert judge(code, X86_64, 0xFFFF_FFFE) == ENOSYS


@on_x86_64
def test_a_call_that_a_tracer_has_cancelled_stays_its_own_business() -> None:
    assert judge(program(), X86_64, 0xFFFF_FFFF) == ALLOW


@every_convention
def test_io_uring_is_simply_allowed_where_that_was_said(architecture: int, column: int) -> None:
    code = program(io_uring=True)
    for numbers in system_calls.IO_URING.values():
        number = numbers[column]
        assert number is not None
        assert judge(code, architecture, number) == ALLOW
    assert judge(code, architecture, 435) == ENOSYS


def test_calls_by_an_unknown_convention_kill() -> None:
    known = {architecture for architecture, _ in CONVENTIONS[MACHINE]}
    for architecture in {0, X86_64, I386, AARCH64, ARM} - known:
        assert {judge(program(), architecture, number) for number in range(512)} == {KILL}


@pytest.mark.parametrize("io_uring", [False, True])
def test_it_is_short(io_uring: bool) -> None:  # noqa: FBT001
    """The kernel walks it for every number when it is installed, once for each job."""
    assert len(program(io_uring=io_uring)) // 8 < 128


def test_every_jump_leads_forward_to_an_instruction() -> None:
    """What the kernel refuses otherwise; also where no call of a test leads."""
    code = list(struct.iter_unpack("<HBBI", program()))
    for at, (operation, yes, no, _) in enumerate(code):
        if operation & 0x07 == 0x05:
            assert at + 1 + max(yes, no) < len(code)
        else:
            assert (yes, no) == (0, 0)
    assert code[-1][0] == 0x06


Row = tuple[str, system_calls.Numbers]


def rows(table: str) -> Iterator[Row]:
    """The lines of a table in seccomp.c."""
    text = (native.SOURCES / "seccomp.c").read_text()
    body = re.search(rf"{table}\[\] = {{\n(.*?)\n}};", text, re.DOTALL)
    assert body
    for verdict, numbers in re.findall(r"{(\w+), {([^}]*)}}", body[1]):
        columns = [None if word == "NO_CALL" else int(word) for word in numbers.split(", ")]
        one, two, three = columns
        yield verdict, (one, two, three)


def test_the_tables_are_the_same_for_every_machine() -> None:
    """Also for those that this one has no filter of."""
    expected: list[Row] = [("REFUSE", numbers) for numbers in system_calls.DENIED.values()]
    expected += [("JUDGE_FLAGS", numbers) for numbers in system_calls.WITHOUT_NEWUSER.values()]
    expected += [("JUDGE_REQUEST", system_calls.IOCTL), ("UNKNOWN", system_calls.CLONE3)]
    assert sorted(rows("CALLS"), key=str) == sorted(expected, key=str)
    assert [("UNKNOWN", numbers) for numbers in system_calls.IO_URING.values()] == list(
        rows("IO_URING")
    )


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
    tables = system_calls.DENIED | system_calls.WITHOUT_NEWUSER | {"clone3": system_calls.CLONE3}
    tables["ioctl"] = system_calls.IOCTL
    for younger_than_most_headers in ("open_tree_attr", "file_setattr"):  # Linux 6.15, 6.17
        tables.pop(younger_than_most_headers)
    assert {name: numbers[column] for name, numbers in tables.items()} == {
        name: known.get(name) for name in tables
    }
