"""The gate before the listening socket, and how descriptors are shared out."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from jobworker.api.server import gate as gate_module
from jobworker.api.server.gate import AcceptGate, FdBudget
from jobworker.api.shortage import is_shortage
from jobworker.errors import ConfigurationInvalid


@pytest.mark.parametrize("files", [64, 128, 256, 512, 1024, 4096, 20_000, 1 << 20])
def test_the_parts_of_the_budget_leave_room_for_each_other(files: int) -> None:
    budget = FdBudget(files)
    assert budget.connections <= gate_module.MAX_CONNECTIONS
    assert budget.open_below < budget.shut_above < budget.limit
    assert budget.limit + budget.queue < files
    assert budget.open_below > gate_module.OWN_FILES
    assert budget.lasting + budget.stops <= budget.connections < budget.places


def test_a_process_that_may_open_too_few_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (63, 63))
    with pytest.raises(ConfigurationInvalid, match="cannot serve with 63 open files at most"):
        FdBudget.of_this_process()


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family, backlog=10) as one:
        yield one


@pytest.fixture(params=["as this user may", "without CAP_NET_ADMIN"])
def rights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a newer kernel refuses to an ordinary user, also where root runs the tests."""

    def refuse(_gate: AcceptGate) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if request.param != "as this user may":
        monkeypatch.setattr(AcceptGate, "_attach_filter", refuse)


def reach(listener: socket.socket) -> bool:
    """Whether a connection is made at once, as it is on this machine's own network."""
    with socket.socket(listener.family) as client:
        client.settimeout(0.3)
        with suppress(TimeoutError):
            client.connect(listener.getsockname())
            return True
        return False


@pytest.mark.usefixtures("rights")
async def test_a_crowd_shuts_the_gate_and_its_end_opens_it(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the loop that everything runs in, so each look is awaited."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    budget = FdBudget(soft)
    count = 0
    looked = asyncio.Event()

    def open_files() -> int:
        looked.set()
        return count

    monkeypatch.setattr(gate_module, "_open_files", open_files)
    monkeypatch.setattr(gate_module, "PAUSE", 0.01)
    monkeypatch.setattr(gate_module, "PAUSE_IN_A_CROWD", 0.01)
    gate = AcceptGate(listener, budget)
    watching = asyncio.create_task(gate.watch())

    async def look() -> None:
        for _ in range(2):  # the first may have begun before the count was changed
            looked.clear()
            again = asyncio.create_task(looked.wait())
            await asyncio.wait({again, watching}, return_when=asyncio.FIRST_COMPLETED)
            assert again.done(), watching
        await asyncio.sleep(0)

    await look()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == budget.limit
    assert reach(listener)
    count = budget.shut_above + 1
    await look()
    assert gate.shut
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == budget.files
    assert not reach(listener)
    count = budget.open_below
    await look()
    assert gate.shut, "between the two nothing changes"
    count = budget.open_below - 1
    await look()
    assert reach(listener)
    watching.cancel()
    await asyncio.wait({watching})
    gate.close()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EMFILE, "Too many open files"), True),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), True),
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("dictionary changed size during iteration"), False),
        (OSError(errno.EACCES, "Permission denied"), False),
        (ValueError(), False),
    ],
)
def test_what_counts_as_a_shortage(error: Exception, expected: bool) -> None:  # noqa: FBT001  a parameter of the test
    assert is_shortage(error) is expected


async def test_the_repr_shows_whether_it_is_shut(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    gate = AcceptGate(listener, FdBudget(soft))
    assert repr(gate) == f"<AcceptGate open, FdBudget(files={soft})>"
    monkeypatch.setattr(gate_module, "_open_files", lambda: soft)
    watching = asyncio.create_task(gate.watch())
    await asyncio.sleep(0)  # one look
    assert repr(gate) == f"<AcceptGate shut, FdBudget(files={soft})>"
    watching.cancel()
    await asyncio.wait({watching})
    gate.close()
