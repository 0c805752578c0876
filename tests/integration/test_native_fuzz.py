"""What others can write to the spawner and its supervisors, garbled by a fuzzer.

A fuzzer makes inputs from real ones, as many as take some seconds, under the sanitizers of
addresses and of undefined behaviour. For more of them run
``scripts/native --fuzz clang DIRECTORY -fsanitize=fuzzer,address,undefined``, and then the
program by hand, with a directory to keep what it has found.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobworker.engines.local.spec_record import spec_fields
from jobworker.model import Account, Grant, Input, Job, JobId, Limits, Spec, Starting, Terms
from jobworker.spool import terminal
from jobworker.supervisor import records
from support import native

pytestmark = pytest.mark.needs("clang")

RUNS = {"records": 15_000, "orders": 400_000, "mounts": 25_000, "frames": 250_000}
"""Inputs to each, of at most so many bytes as below."""

LONGEST = 4096

BUDGET = 300
"""Seconds for what takes about five on an idle machine."""

SANITIZERS = "-fsanitize=fuzzer,address,undefined"


@pytest.fixture(scope="module")
def fuzzers() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        native.build("--fuzz", "clang", directory, SANITIZERS, "-fno-sanitize-recover=all")
        yield Path(directory)


def test_each_fuzzer_is_run() -> None:
    sources = (native.ROOT / "tests" / "native").glob("fuzz_*.c")
    assert {source.stem for source in sources} == {f"fuzz_{what}" for what in RUNS}


@pytest.mark.parametrize("what", RUNS)
def test_no_input_does_harm(fuzzers: Path, tmp_path: Path, what: str) -> None:
    seeds, work = tmp_path / "seeds", tmp_path / "work"
    seeds.mkdir()
    work.mkdir()
    for number, seed in enumerate(SEEDS[what]()):
        (seeds / str(number)).write_bytes(seed)
    done = subprocess.run(
        [
            str(fuzzers / f"fuzz_{what}"),
            f"-runs={RUNS[what]}",
            f"-max_len={LONGEST}",
            "-seed=1",
            "-timeout=60",
            "-close_fd_mask=2",
            str(seeds),
        ],
        cwd=work,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=BUDGET,
        check=False,
    )
    left = [path.name for path in work.iterdir() if path.name != "record"]
    assert (done.returncode, left) == (0, []), done.stderr[-10_000:]
    assert f"Done {RUNS[what]} runs" in done.stderr


def real_record(*, input_kind: str | None) -> bytes:
    """The record of a job that came and went."""
    job = Job(
        id=JobId.new(),
        owner="alice",
        spec=Spec("/bin/echo", ("a", ""), env={"X": "1"}, grace=3, input=_input(input_kind)),
        terms=Terms(Limits(timeout=10, memory=1 << 30, cpus=0.5, pids=9, output=1000, tmp=1 << 20)),
        status=Starting(),
        created_at=datetime.now(UTC),
        containment="full",
        node="here",
    )
    grant = Grant(run_as=Account("alice", 1000, 1001, (4, 24), "/home/alice"))
    with tempfile.TemporaryDirectory() as path:
        spool = records.open_directory(path)
        try:
            records.begin(spool, spec_fields(job, "full", grant))
            records.append(spool, "deadline", [("timeout", b"60.000"), ("extendedBy", b"bob")])
            records.append(spool, "stop", [("by", b"alice"), ("grace", b"10.000")])
            records.append(spool, "exit", [("cause", b"stopped"), ("signal", b"SIGTERM")])
        finally:
            os.close(spool)
        return Path(path, "record").read_bytes()


def _input(kind: str | None) -> Input | None:
    match kind:
        case "terminal":
            return Input("terminal", rows=24, cols=80)
        case "pipe":
            return Input("pipe")
        case _:
            return None


def of_records() -> list[bytes]:
    whole = [real_record(input_kind=kind) for kind in (None, "pipe", "terminal")]
    return [*whole, whole[0][: len(whole[0]) * 2 // 3]]


def of_orders() -> list[bytes]:
    job = ("job", JobId.new().encode())
    return [
        records.pack([job, ("uid", b"1000"), ("network", b"none")]),
        records.pack([job, ("uid", b"0")]),
        records.pack([("ping", b"1")]),
    ]


def of_mounts() -> list[bytes]:
    return [
        Path("/proc/self/mountinfo").read_bytes()[:LONGEST],
        rb"36 27 0:31 /a\040b /mnt/x\011y\134z rw,relatime shared:1 - tmpfs some\040name rw",
        b"37 27 0:31 / /srv rw - tmpfs none rw\n38 27 0:31 /state /run/user rw - devpts none rw\n",
    ]


def of_frames() -> list[bytes]:
    window = terminal.FRAME.pack(terminal.WINDOW, 4) + terminal.SIZE.pack(24, 80)
    typed = terminal.FRAME.pack(terminal.TYPED, 6) + b"exit\r\x04"
    long = terminal.FRAME.pack(terminal.TYPED, 2000) + bytes(2000)
    return [window + typed, typed + window + typed, long + long]


SEEDS = {"records": of_records, "orders": of_orders, "mounts": of_mounts, "frames": of_frames}
