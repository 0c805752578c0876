"""Standard input of real programs, at every level of containment that works here."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobworker.config.settings import Containment
from jobworker.embedded import Manager
from jobworker.engines.host.probe import probe
from jobworker.errors import InputClosed, LimitUnavailable
from jobworker.jobs.input import InputSession
from jobworker.model import Input, Job, Level, Limits, Spec, Stream
from jobworker.policy.authority import Authority
from jobworker.policy.rules import QueueBounds, Rules
from jobworker.spool.input import INPUTS

LEVELS: list[Level] = [result.level for result in probe() if result.works]
DATA = os.urandom(3_000_000)
PIPE_SIZE = 65_536
"""Bytes that a pipe holds (pipe(7))."""

_BUDGET = 30.0
"""Seconds: far more than anything takes, on a machine that may be busy."""


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@asynccontextmanager
async def opened(state: Path, level: Containment = "auto") -> AsyncIterator[Manager]:
    async with Manager.open(state / "state", containment=level) as manager:
        yield manager


@pytest.fixture
async def manager(tmp_path: Path, level: Level) -> AsyncIterator[Manager]:
    async with opened(tmp_path, level) as manager:
        yield manager


@asynccontextmanager
async def attached(manager: Manager, job: Job) -> AsyncIterator[InputSession]:
    attachment = manager.attach(job.id)
    try:
        await attachment.open()
        yield attachment
    finally:
        attachment.close()


async def piped(manager: Manager, script: str, limits: Limits | None = None) -> Job:
    spec = Spec("/bin/sh", ("-c", script), input=Input("pipe"), limits=limits or Limits())
    return await manager.submit(spec, "alice")


async def on_terminal(manager: Manager, script: str, limits: Limits | None = None) -> Job:
    source = Input("terminal", rows=11, cols=77)
    spec = Spec("/bin/sh", ("-c", script), input=source, limits=limits or Limits())
    return await manager.submit(spec, "alice")


async def printed(manager: Manager, job: Job) -> str:
    """What the job has printed by its end, with the line ends of a terminal as others."""
    ended = await manager.wait(job.id, _BUDGET)
    assert ended.ended
    return (await manager.output(job.id)).stdout.decode().replace("\r\n", "\n")


async def until_printed(manager: Manager, job: Job, text: bytes) -> None:
    """Return once ``text`` is in what the job has printed."""
    seen = b""
    async with asyncio.timeout(_BUDGET):
        async for piece in manager.follow(job.id, Stream.STDOUT):
            seen += piece
            if text in seen:
                return
    raise AssertionError(f"the job ended without {text!r}: {seen!r}")


async def test_what_comes_with_the_start(manager: Manager, tmp_path: Path) -> None:
    job_id = await manager.start("/bin/cat", owner="alice", stdin=DATA)
    assert (await manager.wait(job_id, _BUDGET)).exit_code == 0
    assert (await manager.output(job_id)).stdout == DATA
    assert not list((tmp_path / "state" / INPUTS).iterdir())


async def test_it_can_be_opened_by_its_name_but_not_written(manager: Manager, level: Level) -> None:
    script = "wc -c < /dev/stdin; (echo x > /dev/stdin) 2> /dev/null || echo read-only"
    job_id = await manager.start("/bin/sh", ["-c", script], owner="alice", stdin=b"12345")
    await manager.wait(job_id, _BUDGET)
    shown = (await manager.output(job_id)).stdout.decode()
    # At level basic the job is root where the server is, and no mode keeps that out.
    writable = level == "basic" and os.geteuid() == 0
    assert shown == ("5\n" if writable else "5\nread-only\n")


@pytest.mark.parametrize("stdin", [None, b""])
async def test_no_input_is_an_empty_one(manager: Manager, stdin: bytes | None) -> None:
    job_id = await manager.start("/usr/bin/wc", ["-c"], owner="alice", stdin=stdin)
    await manager.wait(job_id, _BUDGET)
    assert (await manager.output(job_id)).stdout == b"0\n"


async def test_what_is_fed_arrives_and_ends(manager: Manager) -> None:
    job = await piped(manager, "sha256sum")
    async with attached(manager, job) as attachment:
        await attachment.write(DATA)
        await attachment.end()
        assert attachment.taken == len(DATA)
    assert (await printed(manager, job)).split()[0] == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("limits", [Limits(open_files=64), Limits(memory=2**28)], ids=str)
async def test_under_limits_too(tmp_path: Path, limits: Limits) -> None:
    async with opened(tmp_path) as manager:
        try:
            job = await piped(manager, "wc -c", limits)
        except LimitUnavailable as error:
            pytest.skip(str(error))
        async with attached(manager, job) as attachment:
            await attachment.write(b"12345")
            await attachment.end()
        assert await printed(manager, job) == "5\n"
        job = await on_terminal(manager, "tty; stty size", limits)
        assert (await printed(manager, job)).split("\n")[1:] == ["11 77", ""]
        job_id = await manager.start("/bin/cat", owner="alice", limits=limits, stdin=b"given")
        await manager.wait(job_id, _BUDGET)
        assert (await manager.output(job_id)).stdout == b"given"


async def test_a_program_that_does_not_read_holds_the_writer_up(manager: Manager) -> None:
    job = await piped(manager, "echo there; sleep 300")
    await until_printed(manager, job, b"there")
    async with attached(manager, job) as attachment:
        writing = asyncio.ensure_future(attachment.write(DATA))
        await asyncio.sleep(0)  # its turn, in which it writes until it has to wait
        assert attachment.taken == PIPE_SIZE
        assert not writing.done()
        await manager.stop(job.id)
        with pytest.raises(InputClosed, match="reads no more"):
            await writing


async def test_a_program_that_reads_no_more_is_noticed(manager: Manager) -> None:
    job = await piped(manager, "exec 0<&-; echo closed; sleep 300")
    await until_printed(manager, job, b"closed")
    attachment = manager.attach(job.id)
    with pytest.raises(InputClosed, match="reads no more"):
        await attachment.open()
    attachment.close()
    await manager.stop(job.id)


async def test_a_server_that_goes_is_no_end_of_input(tmp_path: Path, level: Level) -> None:
    async with opened(tmp_path, level) as manager:
        job = await piped(manager, "read line; echo got $line; wc -c")
        async with attached(manager, job) as attachment:
            await attachment.write(b"one\nab")
        await until_printed(manager, job, b"got one")
    async with opened(tmp_path, level) as manager:
        assert manager.status(job.id).status.name == "Running"
        async with attached(manager, job) as attachment:
            await attachment.write(b"cde")
            await attachment.end()
        # A shell reads a pipe byte by byte, so that what follows the line is left for others.
        assert await printed(manager, job) == "got one\n5\n"


async def test_the_end_is_the_end(manager: Manager) -> None:
    job = await piped(manager, "wc -c; sleep 300")
    async with attached(manager, job) as attachment:
        await attachment.end()
    await until_printed(manager, job, b"0")
    again = manager.attach(job.id)
    with pytest.raises(InputClosed, match="end of the job's input has been sent"):
        await again.open()
    again.close()
    await manager.stop(job.id)


async def test_input_waits_with_its_job(tmp_path: Path) -> None:
    """Over a restart of the server, and it goes with the job."""
    one_at_a_time = Authority(Rules(queue=QueueBounds(running=1)))
    kept = tmp_path / "state" / INPUTS
    async with Manager.open(tmp_path / "state", authority=one_at_a_time) as manager:
        blocking = await manager.start("/bin/sleep", ["300"], owner="alice")
        waiting = await manager.start("/bin/cat", owner="alice", stdin=b"patience")
        unwanted = await manager.start("/bin/cat", owner="alice", stdin=b"unwanted")
        assert manager.status(waiting).status.name == "Queued"
    (kept / "j-of-nobody").write_bytes(b"left over")
    async with Manager.open(tmp_path / "state", authority=one_at_a_time) as manager:
        assert {path.name for path in kept.iterdir()} == {waiting, unwanted}
        await manager.stop(unwanted)
        await manager.stop(blocking)
        assert (await manager.wait(waiting, _BUDGET)).exit_code == 0
        assert (await manager.output(waiting)).stdout == b"patience"
        await manager.remove(unwanted)
        assert not list(kept.iterdir())


async def test_a_terminal(manager: Manager) -> None:
    job = await on_terminal(manager, "test -t 0 && test -t 1 && test -t 2 && stty size; exit 4")
    assert await printed(manager, job) == "11 77\n"
    assert manager.status(job.id).exit_code == 4


async def test_what_is_typed_is_echoed_and_read(manager: Manager) -> None:
    job = await on_terminal(manager, "read line; echo got: $line")
    async with attached(manager, job) as attachment:
        await attachment.write(b"hellp\x7fo\n")
        assert await printed(manager, job) == "hellp\b \bo\ngot: hello\n"


async def test_ctrl_d_ends_the_input(manager: Manager) -> None:
    job = await on_terminal(manager, "wc -c")
    async with attached(manager, job) as attachment:
        await attachment.write(b"abc\n\x04")
        assert (await printed(manager, job)).endswith("4\n")


async def test_ctrl_c_reaches_the_program(manager: Manager) -> None:
    job = await on_terminal(manager, "trap 'echo interrupted; exit 9' INT; echo on; read x")
    await until_printed(manager, job, b"on")
    async with attached(manager, job) as attachment:
        await attachment.write(b"\x03")
        assert "interrupted" in await printed(manager, job)
    assert manager.status(job.id).exit_code == 9


async def test_a_change_of_the_window_is_told(manager: Manager) -> None:
    script = "trap 'stty size; exit' WINCH; echo on; while :; do sleep 0.1; done"
    job = await on_terminal(manager, script)
    await until_printed(manager, job, b"on")
    async with attached(manager, job) as attachment:
        await attachment.resize(30, 120)
        assert await printed(manager, job) == "on\n30 120\n"


async def test_a_terminal_takes_more_than_fits_at_once(manager: Manager) -> None:
    """In lines, as a terminal keeps at most 4,095 bytes of one (termios(3))."""
    text = b"".join(b"%079d\n" % number for number in range(5000))
    job = await on_terminal(manager, "stty -echo; echo on; head -c 400000 | sha256sum")
    await until_printed(manager, job, b"on")
    async with attached(manager, job) as attachment:
        await attachment.write(text)
        assert hashlib.sha256(text).hexdigest() in await printed(manager, job)


async def test_what_a_terminal_shows_last_is_not_lost(manager: Manager) -> None:
    job = await on_terminal(manager, "seq 20000")
    assert (await printed(manager, job)).split() == [str(number) for number in range(1, 20001)]


OWN_TERMINALS = [level for level in LEVELS if level in ("full", "namespaces")]
"""Without a mount namespace all terminals are the machine's."""


@pytest.mark.parametrize("level", OWN_TERMINALS)
async def test_nobody_elses_terminal_is_seen(manager: Manager) -> None:
    first = await on_terminal(manager, "echo on; read x")
    await until_printed(manager, first, b"on")
    second = await on_terminal(manager, "ls /dev/pts")
    assert (await printed(manager, second)).split() == ["0", "ptmx"]
    await manager.stop(first.id)


@pytest.mark.parametrize("level", OWN_TERMINALS)
async def test_a_terminals_job_can_make_more(manager: Manager) -> None:
    script = "python3 -c 'import os; print(os.ttyname(os.openpty()[1]))'"
    assert await printed(manager, await on_terminal(manager, script)) == "/dev/pts/1\n"


async def test_a_terminal_outlives_its_server(tmp_path: Path, level: Level) -> None:
    async with opened(tmp_path, level) as manager:
        job = await on_terminal(manager, "stty -echo; echo on; read x; echo got $x")
        await until_printed(manager, job, b"on")
    async with opened(tmp_path, level) as manager, attached(manager, job) as attachment:
        await attachment.write(b"later\n")
        assert await printed(manager, job) == "on\ngot later\n"
