"""Orders: what the C makes of a record's spec, also where it is garbled."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker.engines.local.account_files import JobAccount
from jobworker.engines.local.spec_record import spec_fields
from jobworker.model import Account, Executable, Grant, Job, JobId, Limits, Spec, Starting, Terms
from jobworker.supervisor import records
from jobworker.supervisor.records import Fields
from support import native

pytestmark = native.needs_compiler

TEXTS = ("cwd", "account", "executable", "stdin", "memory", "cpus", "pids", "openFiles", "nice")
LISTS = ("arg", "env", "hide", "group")
VALUES = st.binary(max_size=30).map(lambda value: value.replace(b"\0", b"="))
NUMBERS = st.integers(0, (1 << 63) - 1).map(lambda number: b"%d" % number)
GROUPS = st.integers(0, (1 << 32) - 2).map(lambda number: b"%d" % number)
CELLS = st.integers(0, 65535).map(lambda number: b"%d" % number)
SECONDS = st.integers(0, 10**9).map(lambda number: b"%.3f" % (number / 1000))


def of(key: str, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.tuples(st.just(key), values)


FIELD = st.one_of(
    st.tuples(st.sampled_from([*TEXTS, "arg", "env", "hide"]), VALUES),
    of("group", GROUPS),
    of("gid", GROUPS),
    of("timeout", SECONDS),
    of("grace", SECONDS),
    of("output", NUMBERS),
    of("tmp", NUMBERS),
    of("rows", CELLS),
    of("cols", CELLS),
    of("outputAction", st.just(b"kill")),
)


def expected(spec: Fields, uid: int) -> dict[str, list[bytes]]:
    """What was asked for, by key: all of a list, the last of anything else, and what is said
    where nothing was."""
    found: dict[str, list[bytes]] = {
        "uid": [b"%d" % uid],
        "gid": [b"%d" % uid],
        "rows": [b"0"],
        "cols": [b"0"],
        "grace": [b"0.000"],
        "tmp": [b"0"],
    }
    for key, value in spec:
        found[key] = [*found.get(key, []), value] if key in LISTS else [value]
    limits = {"memory", "cpus", "pids", "openFiles", "nice"} & found.keys()
    found["hasLimits"] = [b"yes" if limits else b"no"]
    return found


def grouped(fields: Fields) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for key, value in fields:
        found.setdefault(key, []).append(value)
    return found


@given(st.lists(FIELD, max_size=20), VALUES, st.integers(0, (1 << 32) - 2))
@settings(deadline=None)
def test_all_that_is_asked_for_is_read(fields: Fields, program: bytes, uid: int) -> None:
    spec = [*fields, ("arg", program)]
    accepted, order = native.order(spec, uid)
    assert accepted
    assert grouped(order) == expected(spec, uid)


def test_the_order_of_a_job_that_has_everything_is_read() -> None:
    limits = Limits(
        timeout=10,
        memory=1 << 30,
        cpus=0.5,
        pids=9,
        output=1000,
        open_files=64,
        nice=5,
        tmp=1 << 20,
    )
    job = Job(
        id=JobId.new(),
        owner="alice",
        spec=Spec("/bin/echo", ("a", "", "\udcff"), env={"X": "1=2"}, grace=3),
        terms=Terms(limits),
        status=Starting(),
        created_at=datetime.now(UTC),
        containment="full",
        node="here",
    )
    grant = Grant(
        run_as=Account("alice", 1000, 1001, (4, 24), "/home/alice"),
        executable=Executable("/usr/bin/echo", 1, 2, 3, 4, 5),
        cwd="/srv",
        on_output_limit="kill",
    )
    spec = spec_fields(job, "full", grant, JobAccount("alice", "accounts/1000"))
    accepted, order = native.order(spec, 1000)
    assert accepted
    assert grouped(order) == expected(spec, 1000)


@pytest.mark.parametrize("key", ["group", "gid", "output", "tmp", "rows", "cols"])
@pytest.mark.parametrize(
    "value", [b"", b" 1", b"-1", b"+1", b"1 ", b"0x1", b"1.0", b"9" * 19, b"9" * 30, b"\xff"]
)
def test_a_number_that_is_none_is_refused(key: str, value: bytes) -> None:
    accepted, why = native.order([("arg", b"/bin/true"), (key, value)])
    assert not accepted
    assert dict(why)["stage"] == b"setup (the order has a number that is none)"


@pytest.mark.parametrize("key", ["timeout", "grace"])
@pytest.mark.parametrize("value", [b"", b"-1", b"1 ", b"nan", b"-nan", b"x", b"1s"])
def test_a_time_that_is_none_is_refused(key: str, value: bytes) -> None:
    accepted, _ = native.order([("arg", b"/bin/true"), (key, value)])
    assert not accepted


@pytest.mark.parametrize("key", ["group", "gid"])
def test_nobody_gets_the_group_that_means_none(key: str) -> None:
    """setresgid(2) leaves a group as it is where it gets -1."""
    assert not native.order([("arg", b"/bin/true"), (key, b"4294967295")])[0]
    assert native.order([("arg", b"/bin/true"), (key, b"4294967294")])[0]


def test_an_order_without_a_program_is_refused() -> None:
    accepted, why = native.order([("cwd", b"/")])
    assert not accepted
    assert dict(why)["stage"] == b"setup (the order names no program)"


def test_a_record_without_an_order_is_refused(tmp_path: Path) -> None:
    spool = records.open_directory(str(tmp_path))
    try:
        assert dict(native.order_in(spool)[1])["stage"] == b"setup (the record has no order)"
        records.append(spool, "stop", [("grace", b"0")])
        assert dict(native.order_in(spool)[1])["stage"] == b"setup (the record has no order)"
        (tmp_path / "record").unlink()
        (tmp_path / "record").symlink_to("elsewhere")
        assert dict(native.order_in(spool)[1])["stage"] == b"setup (record)"
    finally:
        os.close(spool)


def test_many_arguments_are_read() -> None:
    spec = [("arg", b"%d" % number) for number in range(20_000)]
    accepted, order = native.order(spec)
    assert accepted
    assert [value for key, value in order if key == "arg"] == [value for _, value in spec]


@given(
    st.lists(
        st.tuples(st.sampled_from([*TEXTS, *LISTS, "gid", "timeout", "section", "end"]), VALUES)
    ),
    st.lists(st.tuples(st.integers(0), st.binary(max_size=3)), max_size=8),
)
@settings(deadline=None, max_examples=300)
def test_a_garbled_record_is_refused_or_has_a_program(
    fields: Fields, changes: list[tuple[int, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as path:
        spool = records.open_directory(path)
        try:
            records.append(spool, "spec", [("arg", b"/bin/true"), *fields])
            record = Path(path, "record")
            data = record.read_bytes()
            for place, put in changes:
                at = place % (len(data) + 1)
                data = data[:at] + put + data[at + len(put) :]
            record.write_bytes(data)
            accepted, order = native.order_in(spool)
        finally:
            os.close(spool)
    told = grouped(order)
    assert ("arg" in told) == accepted
    assert ("stage" in told) == (not accepted)
