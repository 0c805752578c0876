from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.supervisor import records

FIELDS = [("arg", b"/bin/echo"), ("arg", b""), ("arg", b"a=b\n\xff"), ("env", b"X=1=2")]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = records.open_directory(str(tmp_path))
    yield fd
    os.close(fd)


def test_a_record_comes_back_byte_for_byte(directory: int) -> None:
    assert records.read(directory) == {}
    records.append(directory, "spec", FIELDS)
    records.append(directory, "exit", [("code", b"1")], durable=True)
    assert records.read(directory) == {"spec": FIELDS, "exit": [("code", b"1")]}


def test_a_record_is_private(directory: int, tmp_path: Path) -> None:
    records.append(directory, "spec", FIELDS)
    assert (tmp_path / "record").stat().st_mode & 0o777 == 0o600


def test_the_last_section_of_a_name_counts(directory: int) -> None:
    records.append(directory, "stop", [("grace", b"60")])
    records.append(directory, "stop", [("grace", b"0")])
    assert records.read(directory) == {"stop": [("grace", b"0")]}


def test_a_torn_section_is_as_good_as_not_written(directory: int, tmp_path: Path) -> None:
    """Torn at any byte, it neither counts nor takes the sections around it with it."""
    records.append(directory, "spec", FIELDS)
    record = tmp_path / "record"
    before = record.read_bytes()
    records.append(directory, "exit", [("cause", b"exited"), ("exitCode", b"0")])
    whole = record.read_bytes()
    for length in range(len(before), len(whole) - 1):  # without its last NUL it is whole
        record.write_bytes(whole[:length])
        assert records.read(directory) == {"spec": FIELDS}
        records.append(directory, "stop", [("grace", b"0")])
        sections = records.read(directory)
        assert sections["spec"] == FIELDS
        assert dict(sections["stop"])["grace"] == b"0"
        assert "exit" not in sections


def test_a_record_is_not_read_through_a_link(directory: int, tmp_path: Path) -> None:
    (tmp_path / "record").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        records.read(directory)


def test_a_process_is_known_by_pid_and_start_time() -> None:
    """The command name may hold spaces and parentheses."""
    stat = "17 (a) b (c) S 1 " + " ".join(str(n) for n in range(5, 53))
    assert records.process_identity(stat) == (17, 22)
