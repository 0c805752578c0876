"""The limits that are enforced, and by what; and what a supervisor is told of them."""

from __future__ import annotations

import pytest

from jobworker.engines.host.cgroup_settings import settings
from jobworker.engines.host.cgroups import Cgroups
from jobworker.engines.host.enforcement import (
    Enforcement,
    check_limits,
    limit_fields,
    spawner_arguments,
    table,
)
from jobworker.engines.local.refusals import refusal
from jobworker.errors import InvalidRequest, LimitUnavailable
from jobworker.model import Limits, Spec, Terms
from jobworker.spool.record import end_of
from jobworker.supervisor.names import MEMORY_STAGE

BOTH = Cgroups(
    found={"memory": (2, "/c/x"), "cpus": (1, "/cpu/y z")}, missing={"pids": "no controller"}
)


NO_TMP = Enforcement("tmp", None, "no quota", "get one")


def never() -> str | None:
    raise AssertionError("tried a resource limit where it cannot mean the same")


def test_a_limit_without_a_mechanism_says_what_is_missing() -> None:
    rows = {row.limit: row for row in table(BOTH, "full", never, NO_TMP)}
    assert rows["memory"].mechanism == "cgroup v2"
    assert rows["cpus"].mechanism == "cgroup v1"
    assert (rows["pids"].mechanism, rows["pids"].missing) == (None, "no controller")
    assert "Delegate=yes" in (rows["pids"].hint or "")
    assert rows["openFiles"].mechanism == "rlimit"
    assert rows["nice"].mechanism == "priority"


def test_a_user_namespace_counts_processes() -> None:
    assert table(BOTH, "namespaces", lambda: None, NO_TMP)[2].mechanism == "rlimit"
    row = table(BOTH, "namespaces", lambda: "it does not bind", NO_TMP)[2]
    assert row.mechanism is None
    assert "it does not bind" in (row.missing or "")


def test_only_what_is_asked_for_is_checked() -> None:
    kept = table(BOTH, "basic", never, NO_TMP)
    check_limits(Limits(memory=1, cpus=1, open_files=9, nice=1, timeout=3, output=1), kept)
    with pytest.raises(LimitUnavailable, match="pids is not enforced here: no controller"):
        check_limits(Limits(pids=1), kept)
    with pytest.raises(LimitUnavailable, match="tmp is not enforced here: no quota") as refused:
        check_limits(Limits(tmp=1), kept)
    assert (refused.value.field, refused.value.hint) == ("limits.tmp", "get one")


def test_fields_of_the_record() -> None:
    limits = Limits(memory=64, cpus=0.5, pids=3, open_files=9, nice=0, timeout=1.5)
    assert limit_fields(limits) == [
        ("memory", b"64"),
        ("cpus", b"0.5"),
        ("pids", b"3"),
        ("openFiles", b"9"),
        ("nice", b"0"),
    ]
    assert limit_fields(Limits()) == []


def test_arguments_of_a_spawner() -> None:
    assert spawner_arguments(BOTH, Limits(memory=5)) == [
        "cgroup=memory:2:/c/x",
        "cgroup=cpus:1:/cpu/y z",
        "ceiling=memory:5",
    ]


@pytest.mark.parametrize(
    ("version", "cpus", "written"),
    [
        (2, b"0.5", [("cpu.max", b"50000 100000")]),
        (2, b"0.005", [("cpu.max", b"5000 1000000")]),
        (1, b"2", [("cpu.cfs_quota_us", b"200000")]),
        (1, b"0.005", [("cpu.cfs_period_us", b"1000000"), ("cpu.cfs_quota_us", b"5000")]),
    ],
)
def test_shares_of_a_processor(version: int, cpus: bytes, written: list[tuple[str, bytes]]) -> None:
    assert [entry[:2] for entry in settings(version, "cpus", cpus)] == written


def test_evidence_is_read_as_what_it_is() -> None:
    base = [
        ("cause", b"oom"),
        ("signal", b"SIGKILL"),
        ("startedAt", b"1"),
        ("finishedAt", b"2"),
        *((key, b"0") for key in ("cpuSeconds", "peakMemory", "stdoutBytes", "stderrBytes")),
        ("droppedBytes", b"0"),
    ]
    end = end_of([*base, ("evidence.a", b"12"), ("evidence.b", b"1.5"), ("evidence.by", b"12")])
    assert end.evidence == {"a": 12, "b": 1.5, "by": "12"}


def test_a_memory_limit_that_is_too_small_is_the_callers_to_change() -> None:
    error = refusal(Spec("/bin/true"), Terms(Limits(memory=4096)), MEMORY_STAGE, 12, "other", None)
    assert isinstance(error, InvalidRequest)
    assert str(error) == "the memory limit of 4 KiB is too small to start the program"
    assert error.field == "limits.memory"
