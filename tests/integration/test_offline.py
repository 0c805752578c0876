"""Jobs without a network, ordered from a spawner as the local engine orders them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobworker.engines.host.probe import probe
from jobworker.engines.host.uids import uid_of
from jobworker.engines.spawner import SpawnerProcess, open_log
from jobworker.model import JobId, Level
from jobworker.spool.spool import Spool
from jobworker.supervisor import records

WORKING: list[Level] = [result.level for result in probe() if result.works]
WALLED = [level for level in WORKING if level in ("full", "namespaces")]
OTHERS = [level for level in WORKING if level not in WALLED]


class Bench:
    """A spawner, and the spool that it works in."""

    def __init__(self, level: Level, state: Path) -> None:
        self._uid = uid_of(0, level)
        self._spool = Spool(state)
        log = open_log(state)
        try:
            self._spawner = SpawnerProcess(level, state, [state], log)
        finally:
            os.close(log)
        self._spawner.channel.settimeout(20)

    def run(self, *argv: str, offline: bool = True) -> dict[str, bytes]:
        """Run a job to its end; the fields of its events, and its ``output``."""
        job_id = JobId.new()
        self._spool.create(job_id, [("arg", os.fsencode(word)) for word in argv])
        self._spawner.order(job_id, self._uid, offline=offline)
        fields: dict[str, bytes] = {}
        while fields.get("event") != b"gone":
            received = self._spawner.receive()
            assert received is not None
            fields |= dict(received)
        output = Path(self._spool.path(job_id), records.STDOUT)
        fields["output"] = output.read_bytes() if output.exists() else b""
        self._spool.remove(job_id)
        return fields

    def close(self) -> None:
        self._spawner.close()
        self._spawner.wait()
        self._spool.close()


@pytest.fixture
def bench(level: Level, tmp_path: Path) -> Iterator[Bench]:
    with closing(Bench(level, tmp_path)) as bench:
        yield bench


@pytest.fixture
def port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("level", WALLED)
def test_only_its_own_loopback_is_there(
    bench: Bench, reach_program: str, port: int, abstract_listener: str
) -> None:
    end = bench.run(reach_program, "loopback:", f"tcp:{port}", f"abstract:{abstract_listener}")
    assert [int(line) for line in end["output"].split()] == [0] + [errno.ECONNREFUSED] * 2
    interfaces = bench.run("/bin/cat", "/proc/net/dev")["output"].splitlines()[2:]
    assert [line.split(b":")[0].strip() for line in interfaces] == [b"lo"]


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("level", WALLED)
def test_others_have_the_machines_network(bench: Bench, reach_program: str, port: int) -> None:
    """The same port is reached by a job that did not ask for none."""
    end = bench.run(reach_program, f"tcp:{port}", offline=False)
    assert end["output"] == b"0\n"


@pytest.mark.parametrize("level", OTHERS)
def test_without_namespaces_it_is_refused(bench: Bench) -> None:
    end = bench.run("/bin/true")
    assert end["stage"].startswith(b"clone")
    assert "exitCode" not in end
    assert bench.run("/bin/true", offline=False)["exitCode"] == b"0"
