"""Records as the C reads and writes them: the same as ``records`` does, torn or garbled."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobworker.supervisor import records
from jobworker.supervisor.records import Fields
from support import native

pytestmark = native.needs_compiler

NAMES = ["spec", "stop", "deadline", "exit"]
KEYS = st.text(st.sampled_from("abcXYZ.0"), min_size=0, max_size=8)
VALUES = st.binary(max_size=40).map(lambda value: value.replace(b"\0", b"="))
FIELDS: st.SearchStrategy[Fields] = st.lists(st.tuples(KEYS, VALUES), max_size=6)


class Spool:
    """A directory with a record, and both that read and write it."""

    def __init__(self, path: str) -> None:
        self.path = Path(path, "record")
        self.directory = records.open_directory(path)

    def append(self, name: str, fields: Fields) -> None:
        told = native.FieldsOut()
        for key, value in fields:
            native.library().fields_add(told.reference, key.encode(), value)
        assert told.raw() == records.pack(fields)
        done = native.library().record_append(self.directory, name.encode(), told.reference, False)
        assert done == 0

    def section(self, name: str) -> Fields | None:
        told = native.FieldsOut()
        found = native.library().view_section(self.directory, name.encode(), told.reference)
        assert found >= 0
        return told.fields() if found else None

    def check(self) -> None:
        """Both read the same sections."""
        read = records.read(self.directory)
        assert {name: self.section(name) for name in NAMES} == {
            name: read.get(name) for name in NAMES
        }
        others = native.library().view_has_others(self.directory, b"spec")
        assert others == bool(read.keys() - {"spec"})


@contextmanager
def spool() -> Iterator[Spool]:
    with tempfile.TemporaryDirectory() as path:
        made = Spool(path)
        try:
            yield made
        finally:
            os.close(made.directory)


def read_in_c(data: bytes) -> Fields:
    told = native.FieldsOut()
    native.library().view_fields(data, ctypes.c_size_t(len(data)), told.reference)
    return told.fields()


@given(FIELDS)
@settings(deadline=None)
def test_what_python_packs_is_read_by_c(fields: Fields) -> None:
    assert read_in_c(records.pack(fields)) == fields


@given(st.binary(max_size=200))
@example(b"=\0a=\0=b\0a\0")
@settings(deadline=None)
def test_any_bytes_are_read_as_by_python(data: bytes) -> None:
    assert read_in_c(data) == [
        (key.decode("ascii", "replace"), value)
        for key, equals, value in (field.partition(b"=") for field in data.split(b"\0")[:-1])
        if equals
    ] or any(byte >= 0x80 for byte in data)


SECTIONS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(NAMES), FIELDS, st.one_of(st.none(), st.integers(0))),
    max_size=6,
)


@given(SECTIONS)
@settings(deadline=None)
def test_each_reads_what_the_other_has_written_also_where_it_is_torn(
    sections: list[tuple[bool, str, Fields, int | None]],
) -> None:
    """Each is by C or by Python; one that is torn has lost so many of its last bytes."""
    with spool() as it:
        it.path.touch(0o600)
        for by_c, name, fields, lost in sections:
            before = it.path.stat().st_size
            if by_c:
                it.append(name, fields)
            else:
                records.append(it.directory, name, fields)
            if lost is not None:
                size = it.path.stat().st_size
                os.truncate(it.path, size - lost % (size - before))
            it.check()


@given(FIELDS)
@settings(deadline=None)
def test_a_record_that_was_begun_with_room_is_read(fields: Fields) -> None:
    with spool() as it:
        records.begin(it.directory, fields)
        it.append("exit", [("cause", b"exited")])
        assert it.section("spec") == fields
        assert records.read(it.directory)["exit"] == [("cause", b"exited")]
        it.check()


@pytest.mark.parametrize("most", range(1, 12))
def test_a_field_without_room_is_left_out_whole(most: int) -> None:
    told = native.FieldsOut(most)
    native.library().fields_add(told.reference, b"key", b"abc")
    native.library().fields_add(told.reference, b"k", b"")
    assert told.raw() in (b"", b"k=\0", b"key=abc\0", b"key=abc\0k=\0")
    assert (b"key" in told.raw()) == (most >= 8)


def test_a_record_is_private_and_not_read_through_a_link(tmp_path: Path) -> None:
    with spool() as it:
        assert it.section("spec") is None
        it.append("spec", [])
        assert it.path.stat().st_mode & 0o777 == 0o600
        it.path.rename(tmp_path / "record")
        it.path.symlink_to(tmp_path / "record")
        told = native.FieldsOut()
        library = native.library()
        assert library.view_section(it.directory, b"spec", told.reference) == -1
        assert ctypes.get_errno() == errno.ELOOP
        assert library.record_append(it.directory, b"spec", told.reference, False) == -1
        assert ctypes.get_errno() == errno.ELOOP


def test_a_record_that_is_no_file_is_not_waited_for() -> None:
    with spool() as it:
        os.mkfifo(it.path)
        assert it.section("spec") is None


def test_a_record_too_large_is_refused() -> None:
    with spool() as it:
        it.path.touch()
        os.truncate(it.path, (64 << 20) + 1)
        told = native.FieldsOut()
        assert native.library().view_section(it.directory, b"spec", told.reference) == -1
        assert ctypes.get_errno() == errno.EFBIG


NUMBERS = st.one_of(
    st.text(st.sampled_from("0123456789 +-x"), max_size=24),
    st.integers(0, (1 << 64) + 20).map(str),
)


@given(NUMBERS)
@example("18446744073709551615")
@example("18446744073709551616")
@settings(deadline=None)
def test_a_number_is_digits_alone(text: str) -> None:
    number = ctypes.c_uint64()
    number_of = native.library().number_of
    number_of.restype = ctypes.c_bool
    assert number_of(text.encode(), ctypes.byref(number)) == (
        text.isdigit() and int(text) < 1 << 64
    )
    if text.isdigit() and int(text) < 1 << 64:
        assert number.value == int(text)


@given(st.lists(st.tuples(st.sampled_from(["oom", "oom_kill", "max"]), st.integers(0, 1 << 60))))
@settings(deadline=None)
def test_a_count_of_the_kernel_is_the_first_of_its_name(lines: list[tuple[str, int]]) -> None:
    text = "".join(f"{name} {count}\n" for name, count in lines)
    small_file_number = native.library().small_file_number
    small_file_number.restype = ctypes.c_uint64
    first = next((count for name, count in lines if name == "oom_kill"), 0)
    assert small_file_number(text.encode(), b"oom_kill") == first
