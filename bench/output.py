"""What output costs: the rate of one reader, two hundred readers, and the delay of a line.

Every reader over TLS is curl, of nginx as of us, and writes to /dev/null; ssh copies the
same file by ``cat`` over a connection that is ready. All have their turn in every round.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench import load
from bench.figures import Figure, percentile
from bench.peer import Ssh
from bench.server import Server
from bench.web import Nginx

_LINE = b"%07d " + b"x" * 55 + b"\n"
_LINES_A_MEGABYTE = 15_625  # of 64 bytes

_WRITER = """
import time
for _ in range({lines}):
    time.sleep(0.01)
    print(time.time_ns(), flush=True)
"""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sizes:
    """Megabytes of one reader and of each of a crowd; readers of that; lines that are timed."""

    alone: int
    crowd: int
    readers: int
    lines: int


@dataclass(frozen=True)
class _Round:
    """Megabytes a second by each way; CPU seconds of the server for a gigabyte that it sends."""

    stored: float
    followed: float
    frames: float
    command: float
    cpu: float
    ssh: float | None
    nginx: float | None


def figures(
    server: Server, ssh: Ssh | None, nginx: Nginx | None, sizes: Sizes, repeats: int
) -> list[Figure]:
    """The rows of the table."""
    with content(sizes.alone) as file, content(sizes.crowd) as small:
        if nginx:
            shutil.copy(file, nginx.root / "content")
        stored = _ended_job(server, file)
        rounds = [_round(server, ssh, nginx, stored, file, sizes.alone) for _ in range(repeats)]
        crowds = [_crowd(server, small, sizes) for _ in range(repeats)]
    return [*_rates(rounds), *_crowd_figures(crowds, sizes), *_delays(server, sizes.lines)]


@contextmanager
def content(megabytes: int) -> Iterator[Path]:
    """A file of lines of text, as programs write them."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        Path(home).chmod(0o755)
        file = Path(home) / "content"
        with file.open("wb") as out:
            for block in range(megabytes):
                first = block * _LINES_A_MEGABYTE
                out.write(b"".join([_LINE % (first + k) for k in range(_LINES_A_MEGABYTE)]))
        yield file


def _ended_job(server: Server, file: Path) -> str:
    with closing(server.connect()) as connection:
        job = connection.start("/bin/cat", str(file))
        assert connection.wait(job)["status"] == "Completed"
    return job


def _round(
    server: Server, ssh: Ssh | None, nginx: Nginx | None, stored: str, file: Path, megabytes: int
) -> _Round:
    def rate(work: Callable[[], None]) -> float:
        load.settle(server)  # what is moved to the archive is moved at everybody's expense
        begun = time.perf_counter()
        work()
        return megabytes / (time.perf_counter() - begun)

    def live(read: Callable[[str], None]) -> float:
        """Of a job that is started for it: the reader cannot be faster than the program."""
        with closing(server.connect()) as connection:
            return rate(lambda: read(connection.start("/bin/cat", str(file))))

    sent = rate(lambda: server.curl([f"/jobs/{stored}/output/stdout"]))
    used = _cpu(server.pid)
    followed = live(lambda job: server.curl([f"/jobs/{job}/output/stdout?follow=true"]))
    cpu = (_cpu(server.pid) - used) * 1000 / megabytes
    return _Round(
        stored=sent,
        followed=followed,
        cpu=cpu,
        frames=live(lambda job: server.curl([f"/jobs/{job}/output?follow=true"])),
        command=live(server.follow),
        ssh=rate(lambda: ssh.copy(file)) if ssh else None,
        nginx=rate(lambda: server.curl([f"{nginx.url}/content"])) if nginx else None,
    )


def _rates(rounds: list[_Round]) -> list[Figure]:
    found = [
        Figure("one reader: stdout of an ended job", [one.stored for one in rounds], "MB/s"),
        Figure("  stdout of a running job, as it comes", [one.followed for one in rounds], "MB/s"),
    ]
    by_ssh = [one.followed / one.ssh for one in rounds if one.ssh]
    by_nginx = [one.stored / one.nginx for one in rounds if one.nginx]
    if by_ssh:
        found.append(Figure("    of `ssh peer cat FILE`", by_ssh, "times", at_least=1.0))
    if by_nginx:
        found.append(Figure("    ended, of nginx over TLS", by_nginx, "times", at_least=0.5))
        live = [one.followed / one.nginx for one in rounds if one.nginx]
        found.append(Figure("    running, of nginx over TLS", live, "times", at_least=0.5))
    found += [
        Figure("  both streams as frames, by curl", [one.frames for one in rounds], "MB/s"),
        Figure("  `jobctl output -f`", [one.command for one in rounds], "MB/s"),
        Figure("  the server's CPU for a gigabyte", [one.cpu for one in rounds], "s"),
    ]
    for name, rates in (
        ("peer: `ssh peer cat FILE`, ready connection", [one.ssh for one in rounds if one.ssh]),
        ("peer: nginx, the same file", [one.nginx for one in rounds if one.nginx]),
    ):
        found += [Figure(name, rates, "MB/s")] if rates else []
    return found


@dataclass(frozen=True)
class _Crowd:
    """Seconds that a program ran without readers and with, and megabytes a second to them all."""

    alone: float
    followed: float
    rate: float


def _crowd(server: Server, file: Path, sizes: Sizes) -> _Crowd:
    """A program that writes one megabyte after another, two a second.

    It waits first, so that all readers are there from its first byte on.
    """
    pace = (
        f"sleep 2; for n in $(seq {sizes.crowd}); do dd if={file} bs=1000000 count=1 skip=$n "
        "status=none; sleep 0.5; done"
    )
    with closing(server.connect()) as connection:
        alone = _ran(connection.wait(connection.start("/bin/sh", "-c", pace)))
        job = connection.start("/bin/sh", "-c", pace)
    begun = time.perf_counter()
    server.curl([f"/jobs/{job}/output/stdout?follow=true"] * sizes.readers)
    taken = time.perf_counter() - begun
    with closing(server.connect()) as connection:  # the one before has been idle for long
        followed = _ran(connection.wait(job))
    return _Crowd(alone, followed, sizes.crowd * sizes.readers / taken)


def _ran(job: dict[str, str]) -> float:
    started, ended = (datetime.fromisoformat(job[name]) for name in ("startedAt", "finishedAt"))
    return (ended - started).total_seconds()


def _crowd_figures(crowds: list[_Crowd], sizes: Sizes) -> list[Figure]:
    readers = f"{sizes.readers} readers of one job that writes {sizes.crowd} MB"
    return [
        Figure(f"{readers}: all together", [one.rate for one in crowds], "MB/s"),
        Figure(
            "  how long the job takes, of without readers",
            [one.followed / one.alone for one in crowds],
            "times",
            at_most=1.05,
        ),
    ]


def _delays(server: Server, lines: int) -> list[Figure]:
    """From the program's write to the arrival of its line at a reader of frames."""
    delays = []
    with closing(server.connect()) as connection:
        job = connection.start("/usr/bin/python3", "-c", _WRITER.format(lines=lines))
        for frame in server.frames(job):
            now = time.time_ns()
            if frame["stream"] == "stdout":
                delays += [(now - int(sent)) / 1e6 for sent in re.findall(r"\d+", frame["data"])]
    return [
        Figure(
            "from a line's write to its arrival, p50", [percentile(delays, 0.5)], "ms", at_most=5
        ),
        Figure("  p99", [percentile(delays, 0.99)], "ms"),
    ]


def _cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
