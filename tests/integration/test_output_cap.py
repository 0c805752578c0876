"""The output limit, with real programs: what is kept, what is told, and nobody waits (T32-T34)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.engines.host.probe import probe
from jobworker.engines.local import engine as local
from jobworker.engines.local.account_files import JobAccount
from jobworker.engines.local.spec_record import spec_fields
from jobworker.model import Cause, Gap, Grant, Job, Level, Limits, Spec, Stream
from jobworker.output.reader import OutputReader
from jobworker.output.spans import length
from jobworker.supervisor.records import Fields
from support.replay import replay
from support.supervisors import supervisor_of

MIB = 1 << 20
NOTHING_GRANTED = Grant()
LEVELS: list[Level] = [result.level for result in probe() if result.works]
LINE = 8


def line(number: int) -> bytes:
    """What seq(1) prints for it; all lines have the same length."""
    return b"%07d\n" % number


def text_at(start: int, end: int) -> bytes:
    """The bytes ``[start, end)`` of what ``seq -f %07.0f 1 …`` prints."""
    first = start // LINE
    whole = b"".join(line(number + 1) for number in range(first, -(-end // LINE)))
    return whole[start - first * LINE : end - first * LINE]


def numbers(last: int) -> str:
    return f"seq -f %07.0f 1 {last}"


@asynccontextmanager
async def opened(tmp_path: Path, level: Level = "basic") -> AsyncIterator[Manager]:
    async with Manager.open(tmp_path / "state", containment=level) as manager:
        yield manager


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    async with opened(tmp_path) as manager:
        yield manager


async def start(manager: Manager, script: str, cap: int | None) -> Job:
    spec = Spec("/bin/sh", ("-c", script), limits=Limits(output=cap))
    return await manager.submit(spec, "alice")


async def until(condition: object, budget: float = 20.0) -> None:
    """Wait for a condition that nothing announces."""
    assert callable(condition)
    deadline = time.monotonic() + budget
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


async def until_archived(manager: Manager, job: Job, tmp_path: Path) -> None:
    await manager.wait(job.id, 60)
    await until(lambda: not (tmp_path / "state" / "spool" / job.id).exists())


def check_numbers(reader: OutputReader, stream: Stream) -> int:
    """Every kept byte is the one of its place; returns how many there are."""
    found = reader.spans(stream)
    for start, end in found:
        piece = reader.read(stream, start, end - start)
        assert (piece.offset, piece.data) == (start, text_at(start, end))
    return length(found)


def size_of(directory: Path) -> int:
    """Bytes of the files in a directory from which others delete some."""
    found = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found += entry.stat().st_size
    return found


@pytest.mark.parametrize("level", LEVELS)
async def test_t32_a_flood_keeps_its_beginning_and_its_end(tmp_path: Path, level: Level) -> None:
    last, cap = 600_000, MIB
    written = last * LINE
    async with opened(tmp_path, level) as manager:
        job = await start(manager, numbers(last), cap)
        ended = await manager.wait(job.id, 60)
        assert ended.exit_code == 0
        assert ended.end
        usage, (gap,) = ended.end.usage, ended.end.gaps
        assert gap.stream is Stream.STDOUT
        assert gap.start == cap // 8
        assert usage.stdout_bytes + usage.dropped_bytes == written
        assert cap * 25 // 32 <= usage.stdout_bytes <= cap
        assert gap.end - gap.start == usage.dropped_bytes
        before = await manager.output(job.id)
        assert before.gaps == (gap,)
        assert before.stdout == text_at(0, gap.start) + text_at(gap.end, written)
        await until_archived(manager, job, tmp_path)
        assert await manager.output(job.id) == before
        assert manager.status(job.id).end == ended.end
        with closing(manager.reader(job.id)) as reader:
            events = list(replay(reader))
            assert sum(event.length for event in events) == written
            missing = [(e.place, e.length) for e in events if e.data is None]
            assert missing == [(gap.start, usage.dropped_bytes)]


def resident_at_most(status: Path) -> int:
    """Most bytes that a process has held (proc_pid_status(5)); 0 once it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) * 1024 if found else 0


async def test_t32_yes_is_bounded_and_not_blocked(manager: Manager, tmp_path: Path) -> None:
    cap = 64 * MIB
    job = await start(manager, "timeout 10 yes", cap)
    spool = tmp_path / "state" / "spool" / job.id
    supervisor = Path(f"/proc/{supervisor_of(tmp_path / 'state', job.id)}/status")
    most, memory = 0, 0
    while not manager.status(job.id).ended:
        most = max(most, size_of(spool))
        memory = max(memory, resident_at_most(supervisor))
        await asyncio.sleep(0.05)
    ended = manager.status(job.id)
    assert ended.exit_code == 124
    assert ended.end
    usage = ended.end.usage
    assert most < cap * 1.1
    assert 0 < memory < 32 * MIB
    assert usage.dropped_bytes > 2 * cap
    assert usage.stdout_bytes <= cap
    (gap,) = ended.end.gaps
    assert (gap.start, gap.end - gap.start) == (cap // 8, usage.dropped_bytes)


@pytest.mark.parametrize("over", [0, 1])
async def test_t34_all_is_exact_up_to_the_cap(
    manager: Manager, tmp_path: Path, shared_dir: Path, over: int
) -> None:
    cap = 300_000
    content = os.urandom(1000).replace(b"a", b"\0\xff\n\xe2\x82") * 500
    file = shared_dir / "bytes"
    file.write_bytes(content[: cap + over])
    file.chmod(0o644)
    job = await start(manager, f"cat {file}", cap)
    await until_archived(manager, job, tmp_path)
    output = await manager.output(job.id)
    if not over:
        assert (output.stdout, output.gaps) == (content[:cap], ())
        return
    (gap,) = output.gaps
    assert gap.start == cap // 8
    assert output.stdout == content[: gap.start] + content[gap.end : cap + 1]


@pytest.mark.parametrize("cap", [1, 100, 64 * 1024])
async def test_small_caps(manager: Manager, cap: int) -> None:
    job = await start(manager, f"{numbers(50_000)}; echo done >&2", cap)
    await manager.wait(job.id, 60)
    output = await manager.output(job.id)
    assert len(output.stdout) + len(output.stderr) <= cap
    assert output.stderr == b"done\n"[-cap:]
    with closing(manager.reader(job.id)) as reader:
        check_numbers(reader, Stream.STDOUT)


async def test_both_streams_share_the_cap(manager: Manager) -> None:
    script = f"{numbers(100_000)} & {numbers(100_000)} >&2; wait"
    job = await start(manager, script, MIB)
    ended = await manager.wait(job.id, 60)
    assert ended.end
    usage = ended.end.usage
    with closing(manager.reader(job.id)) as reader:
        assert check_numbers(reader, Stream.STDOUT) == usage.stdout_bytes
        assert check_numbers(reader, Stream.STDERR) == usage.stderr_bytes
    assert usage.stdout_bytes + usage.stderr_bytes <= MIB
    assert usage.stdout_bytes + usage.stderr_bytes + usage.dropped_bytes == 200_000 * LINE


async def test_a_reader_that_races_with_rotation_misses_and_repeats_nothing(
    manager: Manager,
) -> None:
    """What it is told is a gap is gone for good: a later reader does not find it either."""
    last = 1_500_000
    job = await start(manager, numbers(last), 256 * 1024)
    at, pieces, gaps = 0, 0, 0
    while True:
        ended = manager.status(job.id).ended
        with closing(manager.reader(job.id)) as reader:
            piece = reader.read(Stream.STDOUT, at, 10_000)
        if not piece.data:
            if ended:
                break
            await asyncio.sleep(0)
            continue
        assert piece.offset >= at
        assert piece.data == text_at(piece.offset, piece.end)
        if piece.offset > at:
            gaps += 1
            with closing(manager.reader(job.id)) as later:
                found = later.spans(Stream.STDOUT)
            assert not any(start < piece.offset and at < end for start, end in found)
        at = piece.end
        pieces += 1
        if not pieces % 40:
            await asyncio.sleep(0.01)  # falls behind, or nothing would be deleted before it
    assert at == last * LINE
    assert gaps


async def test_t33_a_slow_follower_neither_slows_the_job_nor_sees_a_byte_twice(
    manager: Manager,
) -> None:
    last = 400_000
    job = await start(manager, numbers(last), MIB)
    follower = manager.follow(job.id, Stream.STDOUT)
    first = await anext(follower)
    ended = await manager.wait(job.id, 60)  # the follower takes nothing meanwhile
    rest = b"".join([chunk async for chunk in follower])
    assert ended.end
    assert first == text_at(0, len(first))
    assert len(rest) <= MIB
    (gap,) = ended.end.gaps
    assert rest[-(last * LINE - gap.end) :] == text_at(gap.end, last * LINE)


async def test_a_follower_that_keeps_up_gets_what_is_deleted_later(manager: Manager) -> None:
    script = "i=0; while [ $i -lt 40 ]; do head -c 100 /dev/zero; i=$((i+1)); sleep 0.01; done"
    job = await start(manager, script, 1000)
    got = b"".join([chunk async for chunk in manager.follow(job.id, Stream.STDOUT)])
    ended = await manager.wait(job.id, 60)
    assert len(got) == 4000
    assert ended.end
    assert ended.end.usage.dropped_bytes >= 3000


async def test_a_capped_job_outlives_the_manager(tmp_path: Path, shared_dir: Path) -> None:
    script = f"{numbers(100_000)}; until [ -e {shared_dir}/go ]; do sleep 0.05; done; echo end"
    async with opened(tmp_path) as manager:
        job = await start(manager, script, 64 * 1024)
        async for _ in manager.follow(job.id, Stream.STDOUT, 100_000 * LINE - 1):
            break
        with closing(manager.reader(job.id)) as reader:
            before = reader.spans(Stream.STDOUT)
    (shared_dir / "go").touch()
    async with opened(tmp_path) as manager:
        ended = await manager.wait(job.id, 60)
        output = await manager.output(job.id)
    assert ended.end
    assert output.gaps == ended.end.gaps == (Gap(Stream.STDOUT, 8192, output.gaps[0].end),)
    assert output.stdout.endswith(line(100_000) + b"end\n")
    assert before[0] == (0, 8192)


async def test_a_job_is_killed_for_its_output_where_that_was_asked(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fields(job: Job, level: Level, grant: Grant, account: JobAccount | None) -> Fields:
        return spec_fields(job, level, replace(grant, on_output_limit="kill"), account)

    monkeypatch.setattr(local, "spec_fields", fields)
    job = await start(manager, "yes", 100_000)
    ended = await manager.wait(job.id, 60)
    assert ended.end
    assert ended.end.cause is Cause.OUTPUT_LIMIT
    assert ended.reason == "wrote more than 97.66 KiB of output"
    assert ended.end.evidence["outputLimit"] == 100_000
    assert int(ended.end.evidence["outputBytes"]) > 100_000
    assert ended.end.usage.stdout_bytes == 100_000
    assert (await manager.output(job.id)).stdout == b"y\n" * 50_000
    quiet = await start(manager, "head -c 100000 /dev/zero", 100_000)
    assert (await manager.wait(quiet.id, 60)).exit_code == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB for the state."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path], check=True)
    yield tmp_path
    deadline = time.monotonic() + 20  # the spawner goes once it has seen that the server has
    while subprocess.run(["umount", tmp_path], check=False, stderr=subprocess.DEVNULL).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # umount(2) only fails; it does not wait


@pytest.mark.root
@pytest.mark.needs("mount")
async def test_t25_what_a_full_disk_cannot_take_is_a_gap(
    small_disk: Path, shared_dir: Path
) -> None:
    """The program goes on; once there is room again, so does its output."""
    shared_dir.chmod(0o777)  # noqa: ASYNC240 - nobody waits for it
    more = f"touch {shared_dir}/full; until [ -e {shared_dir}/go ]; do sleep 0.05; done"
    script = f"{numbers(600_000)}; echo full >&2; {more}; echo again; exit 5"
    filler = small_disk / "filler"
    async with opened(small_disk, "full") as manager:
        filler.write_bytes(bytes(13 * MIB))
        job = await start(manager, script, None)
        await until((shared_dir / "full").exists)
        filler.unlink()
        (shared_dir / "go").touch()
        ended = await manager.wait(job.id, 60)
        assert (ended.exit_code, ended.status.name) == (5, "Failed")
        assert ended.end
        gaps = [gap for gap in ended.end.gaps if gap.stream is Stream.STDOUT]
        assert gaps
        assert Gap(Stream.STDERR, 0, len("full\n")) in ended.end.gaps
        output = await manager.output(job.id)
        assert output.stdout.endswith(b"again\n")
        usage = ended.end.usage
        assert usage.dropped_bytes == sum(gap.end - gap.start for gap in ended.end.gaps)
        written = 600_000 * LINE + len("again\n") + len("full\n")
        assert usage.stdout_bytes + usage.stderr_bytes + usage.dropped_bytes == written
        assert output.stdout[: gaps[0].start] == text_at(0, gaps[0].start)
        await until_archived(manager, job, small_disk)
        assert await manager.output(job.id) == output
