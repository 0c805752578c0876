"""What output costs: one reader's rate, two hundred readers, and the delay of a line.

Every reader over TLS is curl, for nginx as for us, and writes to /dev/null; ssh copies the
same file by ``cat`` over a connection that is ready. All have their turn in every round.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, percentile
from bench.peer import Ssh
from bench.server import Server
from bench.web import Nginx

_WRITER = """
import time
for number in range({lines}):
    time.sleep(0.005)
    print(time.time_ns(), flush=True)
"""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sizes:
    """Megabytes that one reader gets and that each of a crowd gets; readers; lines timed."""

    alone: int
    crowd: int
    readers: int
    lines: int


@dataclass(frozen=True)
class _Round:
    """Megabytes a second of each way to read, and the server's CPU seconds for a gigabyte."""

    nginx: float | None
    ssh: float | None
    stored: float
    followed: float
    frames: float
    cpu: float


def figures(
    server: Server, ssh: Ssh | None, nginx: Nginx | None, sizes: Sizes, repeats: int
) -> list[Figure]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        Path(home).chmod(0o755)
        file = Path(home) / "content"
        _fill(file, sizes.alone)
        if nginx:
            shutil.copy(file, nginx.root / "content")
        job = _job_of(server, file)
        rounds = [_measure(server, ssh, nginx, job, file, sizes.alone) for _ in range(repeats)]
    found = _rates(rounds)
    found += _crowds(server, sizes, repeats)
    return found + _delays(server, sizes.lines)


def _fill(file: Path, megabytes: int) -> None:
    """Lines of text, as programs write them; the same each time."""
    line = 0
    with file.open("wb") as out:
        for _ in range(megabytes):
            block = b"".join(b"%07d %s\n" % (line + k, b"x" * 55) for k in range(15_625))
            line += 15_625
            out.write(block)
    file.chmod(0o644)


def _job_of(server: Server, file: Path) -> str:
    """An ended job whose output is the file, in the archive."""
    with closing(server.connect()) as connection:
        job = connection.start("/bin/cat", str(file))
        assert connection.wait(job)["status"] == "Completed"
    return job


def _measure(
    server: Server, ssh: Ssh | None, nginx: Nginx | None, job: str, file: Path, megabytes: int
) -> _Round:
    stored = _rate(lambda: server.curl(f"/jobs/{job}/output/stdout"), megabytes)
    used = _cpu(server.pid)
    followed = _live(server, file, megabytes, "/output/stdout?follow=true")
    cpu = (_cpu(server.pid) - used) / megabytes * 1000
    frames = _live(server, file, megabytes, "/output?follow=true")
    return _Round(
        nginx=_rate(lambda: server.curl_of(f"{nginx.url}/content"), megabytes) if nginx else None,
        ssh=_rate(lambda: ssh.cat(file), megabytes) if ssh else None,
        stored=stored,
        followed=followed,
        frames=frames,
        cpu=cpu,
    )
