"""A job's input over a WebSocket, in-process: through the dispatcher, over a manager in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobworker.api import interruptions
from jobworker.api.dispatch import Dispatcher
from jobworker.api.fields import MAX_PIECE
from jobworker.api.resources import input as job_input
from jobworker.api.routes import ROUTES
from jobworker.api.service import Service
from jobworker.embedded import Manager
from jobworker.errors import BadAuthentication
from jobworker.identity.users import User
from jobworker.model import Input, JobId, Role, Spec
from jobworker.policy.authority import Authority
from jobworker.policy.rules import QueueBounds, Rules
from jobworker.testing import FakeEngine, MemoryArchive, MemoryOwners


class Accounts:
    def __init__(self) -> None:
        self.users = {"alice": Role.USER, "bob": Role.USER, "root": Role.ADMIN}

    def authenticate(self, token: str) -> User:
        if token not in self.users:
            raise BadAuthentication
        return User(token, self.users[token])


@dataclass
class World:
    """A server in memory, and clients of its WebSockets."""

    manager: Manager
    engine: FakeEngine
    accounts: Accounts = field(default_factory=Accounts)

    def __post_init__(self) -> None:
        self.app = Dispatcher(Service(self.manager, self.accounts), ROUTES)

    async def job(self, kind: str = "pipe") -> JobId:
        source = Input("terminal", rows=24, cols=80) if kind == "terminal" else Input("pipe")
        return (await self.manager.submit(Spec("/bin/cat", input=source), "alice")).id

    def connect(self, path: str, token: str | None = "alice", **headers: str) -> Socket:
        return Socket(self, path, token, headers)


class Socket:
    """A client: what it says is in a queue, and so is what it hears."""

    def __init__(self, world: World, path: str, token: str | None, headers: dict[str, str]) -> None:
        self._says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._hears: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        path, _, query = path.partition("?")
        head = [(name.encode(), value.encode()) for name, value in headers.items()]
        if token:
            head.append((b"authorization", b"Bearer " + token.encode()))
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": query.encode(),
            "headers": head,
            "client": ("192.0.2.1", "1"),
        }
        self._says.put_nowait({"type": "websocket.connect"})
        self.serving = asyncio.ensure_future(world.app(scope, self._says.get, self._hear))

    async def _hear(self, message: MutableMapping[str, Any]) -> None:
        self._hears.put_nowait(message)

    def say(self, data: bytes | str) -> None:
        kind = "bytes" if isinstance(data, bytes) else "text"
        self._says.put_nowait({"type": "websocket.receive", kind: data})

    def leave(self) -> None:
        self._says.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def hear(self) -> MutableMapping[str, Any]:
        async with asyncio.timeout(10):
            return await self._hears.get()

    async def told(self) -> dict[str, Any]:
        message = await self.hear()
        assert message["type"] == "websocket.send", message
        told: dict[str, Any] = json.loads(message["text"])
        return told

    async def opened(self) -> Socket:
        assert (await self.hear())["type"] == "websocket.accept"
        assert await self.told() == {"type": "taken", "bytes": 0}
        return self

    async def over(self) -> tuple[int, str]:
        """Hear to the end; the code and the reason."""
        while (told := await self.told())["type"] != "over":
            pass
        self.leave()
        async with asyncio.timeout(10):
            await self.serving
        return told["code"], told["reason"]

    async def refused(self) -> tuple[int, str]:
        """The status and the error's code of an answer that is no WebSocket."""
        start, body = await self.hear(), await self.hear()
        assert start["type"] == "websocket.http.response.start"
        await self.serving
        return start["status"], json.loads(body["body"])["code"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    engine = FakeEngine()
    async with Manager.open(
        tmp_path, engine=engine, archive=MemoryArchive(), owners=MemoryOwners()
    ) as manager:
        yield World(manager, engine)


async def test_input_is_taken_and_told(world: World) -> None:
    job_id = await world.job()
    socket = await world.connect(f"/jobs/{job_id}/input").opened()
    socket.say(b"hello ")
    assert await socket.told() == {"type": "taken", "bytes": 6}
    socket.say(b"x" * MAX_PIECE)
    assert await socket.told() == {"type": "taken", "bytes": 6 + MAX_PIECE}
    socket.say('{"type": "eof"}')
    assert await socket.over() == (1000, "end of input")
    assert world.engine.input.data[job_id] == b"hello " + b"x" * MAX_PIECE
    assert world.engine.input.over == {job_id}


async def test_a_client_that_goes_ends_nothing(world: World) -> None:
    job_id = await world.job()
    socket = await world.connect(f"/jobs/{job_id}/input").opened()
    socket.leave()
    await socket.serving
    assert not world.engine.input.over
    await world.connect(f"/jobs/{job_id}/input").opened()


@pytest.mark.parametrize(
    ("said", "code", "reason"),
    [
        (b"x" * (MAX_PIECE + 1), 1009, "at most 65536 bytes"),
        ("", 1007, "not a message that is known here"),
        ("[" * 100_000, 1007, "not a message that is known here"),
        ('{"type": "dance"}', 1007, "not a message that is known here"),
        ('{"type": "eof", "now": true}', 1007, "not a message that is known here"),
        ('{"type": "resize", "rows": 0, "cols": 80}', 1007, "not a message that is known here"),
        ('{"type": "resize", "rows": 24, "cols": 80}', 1007, "the job has no terminal"),
    ],
)
async def test_what_cannot_be_taken(
    world: World, said: bytes | str, code: int, reason: str
) -> None:
    job_id = await world.job()
    socket = await world.connect(f"/jobs/{job_id}/input").opened()
    socket.say(said)
    got, why = await socket.over()
    assert got == code
    assert reason in why
    assert len(why.encode()) <= 123  # RFC 6455: what fits into a close frame
    assert not world.engine.input.data.get(job_id)


async def test_a_terminal_has_a_size_and_no_end(world: World) -> None:
    job_id = await world.job("terminal")
    socket = await world.connect(f"/jobs/{job_id}/input").opened()
    socket.say('{"type": "resize", "rows": 30, "cols": 100}')
    socket.say('{"type": "eof"}')
    assert await socket.over() == (1007, "eof: a terminal's end of input is typed (Ctrl-D)")


async def test_the_jobs_end_is_the_end(world: World) -> None:
    job_id = await world.job()
    socket = await world.connect(f"/jobs/{job_id}/input").opened()
    world.engine.exit(job_id)
    assert await socket.over() == (1000, "the job has ended")
    assert await world.connect(f"/jobs/{job_id}/input").refused() == (409, "job_not_running")


async def test_a_server_that_stops_says_so(world: World) -> None:
    job_id = await world.job()
    socket = await world.connect(f"/jobs/{job_id}/input").opened()
    world.app.drain()
    assert await socket.over() == (1012, "the server is stopping")
    await world.app.until_sockets_end(10)
    assert not world.engine.input.over


async def test_a_client_that_does_not_hear_is_let_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_input, "GOODBYE_BUDGET", 0.01)
    socket = await world.connect(f"/jobs/{await world.job()}/input").opened()
    world.app.drain()
    await world.app.until_sockets_end(10)
    assert (await socket.told())["type"] == "taken"
    assert (await socket.told())["type"] == "over"
    closed = await socket.hear()
    assert (closed["type"], closed["code"]) == ("websocket.close", 1012)


async def test_a_revoked_token_feeds_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptions, "LOOK_AT_TOKENS", 0.01)
    socket = await world.connect(f"/jobs/{await world.job()}/input").opened()
    del world.accounts.users["alice"]
    assert await socket.over() == (1008, "bad authentication")


async def test_who_leaves_while_the_job_waits_holds_its_input_no_more(tmp_path: Path) -> None:
    engine = FakeEngine()
    rules = Authority(Rules(queue=QueueBounds(running=1, queued=3)))
    async with Manager.open(
        tmp_path, engine=engine, archive=MemoryArchive(), owners=MemoryOwners(), authority=rules
    ) as manager:
        world = World(manager, engine)
        await world.job()
        waiting = await world.job()
        assert manager.status(waiting).status.name == "Queued"
        first = world.connect(f"/jobs/{waiting}/input")
        assert (await first.hear())["type"] == "websocket.accept"
        first.leave()
        async with asyncio.timeout(10):
            await first.serving
        second = world.connect(f"/jobs/{waiting}/input")
        assert (await second.hear())["type"] == "websocket.accept"
        second.leave()
        async with asyncio.timeout(10):
            await second.serving


async def test_a_second_client_waits_or_takes_over(world: World) -> None:
    path = f"/jobs/{await world.job()}/input"
    first = await world.connect(path).opened()
    assert await world.connect(path).refused() == (409, "input_busy")
    second = world.connect(f"{path}?takeover=true")
    assert await first.over() == (1008, "another client took over")
    await second.opened()


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, (401, "bad_authentication")),
        ("mallory", (401, "bad_authentication")),
        ("bob", (403, "unauthorized_action")),
        ("root", None),
        ("alice", None),
    ],
)
async def test_only_the_owner_and_admins(
    world: World, token: str | None, expected: tuple[int, str] | None
) -> None:
    socket = world.connect(f"/jobs/{await world.job()}/input", token)
    if expected:
        assert await socket.refused() == expected
    else:
        await socket.opened()


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("https://jobs.example:8443", None),
        ("https://JOBS.example:8443", None),
        ("https://evil.example", 403),
        ("https://jobs.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_a_page_of_another_site(world: World, origin: str, refused: int | None) -> None:
    path = f"/jobs/{await world.job()}/input"
    socket = world.connect(path, origin=origin, host="jobs.example:8443")
    if refused:
        assert await socket.refused() == (refused, "unauthorized_action")
    else:
        await socket.opened()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/jobs", (400, "invalid_request")),
        ("/healthz", (400, "invalid_request")),
        ("/jobs/start", (405, "method_not_allowed")),
        ("/nowhere", (404, "not_found")),
        ("/jobs/j-00000000-0000-4000-8000-000000000000/input", (404, "job_not_found")),
        ("/jobs/../input", (404, "job_not_found")),
    ],
)
async def test_a_websocket_where_there_is_none(
    world: World, path: str, expected: tuple[int, str]
) -> None:
    assert await world.connect(path).refused() == expected
