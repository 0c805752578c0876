"""Several calls at once, and calls that are given up: threads and tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobworker import AsyncClient, Client
from jobworker.client import Profile, RetryPolicy
from jobworker.client.async_connection import MAX_SHORT
from support.journal import Journal
from support.small_server import ID, Handler, Server
from support.waiting import until

ME = (200, {"name": "admin", "role": "admin", "error": None})


@pytest.fixture
async def client(profile: Profile) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(profile) as client:
        yield client


@pytest.fixture
def gate(server: Server) -> threading.Event:
    """Until it is set, ``GET /me`` is not answered."""
    opened = threading.Event()

    def answer(handler: Handler) -> None:
        opened.wait(30)
        handler.reply(200, b'{"name": "admin", "role": "admin", "error": null}')

    server.answers["GET /me"] = answer
    server.answers[f"GET /jobs/{ID}"] = (200, {"id": ID, "status": "Running"})
    return opened


async def seen(server: Server, requests: int) -> None:
    """Return once as many requests have come."""
    await asyncio.to_thread(until, lambda: len(server.seen) >= requests)


async def test_calls_do_not_wait_for_each_other(
    client: AsyncClient, server: Server, gate: threading.Event
) -> None:
    slow = asyncio.create_task(client.whoami())
    await seen(server, 1)
    assert (await client.status(ID))["status"] == "Running"
    gate.set()
    assert (await slow)["name"] == "admin"


async def test_many_calls_share_a_few_connections(client: AsyncClient, server: Server) -> None:
    server.answers["GET /me"] = ME
    answers = await asyncio.gather(*(client.whoami() for _ in range(200)))
    assert len(answers) == 200
    assert server.connections == MAX_SHORT


async def test_long_calls_take_no_turn_of_short_ones(client: AsyncClient, server: Server) -> None:
    gone = threading.Event()

    def wait(handler: Handler) -> None:
        gone.wait(30)
        handler.reply(200, b'{"id": "x", "status": "Completed"}')

    server.answers[f"GET /jobs/{ID}?*"] = wait
    server.answers["GET /me"] = ME
    waiting = [asyncio.create_task(client.wait(ID)) for _ in range(MAX_SHORT + 4)]
    await seen(server, len(waiting))
    assert (await client.whoami())["name"] == "admin"
    gone.set()
    await asyncio.gather(*waiting)


async def test_a_cancelled_call_leaves_no_half_answer(
    client: AsyncClient, server: Server, gate: threading.Event
) -> None:
    slow = asyncio.create_task(client.whoami())
    await seen(server, 1)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    gate.set()
    assert (await client.status(ID))["status"] == "Running"
    assert server.connections == 2


async def test_cancelled_calls_give_their_turns_back(
    client: AsyncClient, server: Server, gate: threading.Event
) -> None:
    slow = [asyncio.create_task(client.whoami()) for _ in range(2 * MAX_SHORT)]
    await seen(server, MAX_SHORT)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    gate.set()
    answers = await asyncio.gather(*(client.whoami() for _ in range(2 * MAX_SHORT)))
    assert len(answers) == 2 * MAX_SHORT


async def test_a_follower_that_is_left_ends_its_connection(
    client: AsyncClient, server: Server
) -> None:
    body = Journal([("stdout", b"one\n")], ended=False).body()

    def answer(handler: Handler) -> None:
        handler.begin_chunks()
        handler.chunk(body)
        handler.connection.recv(1)  # returns when the client is gone

    server.answers[f"GET /jobs/{ID}/output?*"] = answer
    frames = client.follow(ID)
    assert (await anext(frames)).data == b"one\n"
    await frames.aclose()
    await asyncio.to_thread(server.wait_for_close)


async def test_time_outs_are_told(profile: Profile, gate: threading.Event) -> None:
    async with AsyncClient(profile, retry_policy=RetryPolicy(answer=0.05, calls=0)) as hasty:
        with pytest.raises(Exception, match="it did not answer in time"):
            await hasty.whoami()
    gate.set()


def test_threads_share_a_client(profile: Profile, server: Server) -> None:
    server.answers["GET /me"] = ME
    with Client(profile) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.whoami()["name"], range(100)))
    assert answers == ["admin"] * 100
    assert server.connections < 100
