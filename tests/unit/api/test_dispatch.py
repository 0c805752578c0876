"""The API in-process: the dispatcher and every handler, over a manager in memory."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from jobworker.api import answers, decode, fields
from jobworker.api.allocators import Heap
from jobworker.api.dispatch import CLIENT_GONE, Dispatcher
from jobworker.api.errors import STATUS
from jobworker.api.route import Route
from jobworker.api.routes import ROUTES
from jobworker.api.service import Service, StreamBroken
from jobworker.archive.cursors import cursor_at
from jobworker.errors import (
    JobNotFound,
    JobWorkerError,
    ProgramNotExecutable,
    ProgramNotFound,
    StateInUse,
    StorageFull,
    StorageUnavailable,
)
from jobworker.identity.users import User
from jobworker.model import (
    Job,
    JobId,
    JobQuery,
    Limits,
    Page,
    Piece,
    Role,
    SignalRequest,
    Spec,
    StopRequest,
    Stream,
)
from jobworker.output.frames import Frame
from jobworker.policy.decide import Decision
from jobworker.testing import MemoryOutput
from support.managed import NOW, PATIENCE, Accounts, Managed, watch

BROKEN = "cannot answer the request: the server's disk is broken"
WRONG_WAITS = (
    "wait=nan",
    "wait=-nan",
    "wait=inf",
    "wait=-1",
    "wait=-0.001",
    "wait=300.001",
    "wait=1e400",
    f"wait={'9' * 400}",
    "wait=",
    "wait=true",
    "wait=30s",
    "wait=0x1",
    "wait=1&wait=1",
    "wait=%00",
)
UNKNOWN = "j-00000000-0000-4000-8000-000000000000"
USERS = {
    "token-alice": User("alice", Role.USER),
    "token-bob": User("bob", Role.USER),
    "token-admin": User("root", Role.ADMIN),
}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Body = Any


class Client:
    """Calls the application as granian does."""

    def __init__(self, app: Dispatcher) -> None:
        self.app = app
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.first_chunk = asyncio.Event()

    async def __call__(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        token: str | None = "token-alice",
        headers: list[tuple[bytes, bytes]] | None = None,
        pieces: list[bytes] | None = None,
    ) -> Answer:
        path, _, query = path.partition("?")
        head = list(headers or [])
        if token:
            head.append((b"authorization", b"Bearer " + token.encode()))
        if body is not None:
            head.append((b"content-type", b"application/json"))
            pieces = [body if isinstance(body, bytes) else json.dumps(body).encode()]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": head,
            "client": ("192.0.2.1", "1"),
        }
        self.sent = []
        await self.app(scope, self._receive(pieces or [b""]), self._send)
        start = self.sent[0]
        return Answer(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in self.sent[1:]),
        )

    def _receive(self, pieces: list[bytes]) -> Callable[[], Awaitable[Any]]:
        left = list(pieces)

        async def receive() -> Any:
            if left:
                return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        return receive

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        if message.get("body"):
            self.first_chunk.set()


@pytest.fixture
def client(managed: Managed) -> Client:
    return Client(Dispatcher(Service(managed.manager, Accounts(USERS)), ROUTES))


@pytest.fixture
async def job(managed: Managed) -> Job:
    """A running job of alice's, which has an hour."""
    spec = Spec("/bin/sleep", ("5",), limits=Limits(timeout=3600))
    return await managed.manager.submit(spec, "alice")


@pytest.fixture
def readers_closed(monkeypatch: pytest.MonkeyPatch) -> list[MemoryOutput]:
    """The readers of output that were closed."""
    closed: list[MemoryOutput] = []

    def close(reader: MemoryOutput) -> None:
        closed.append(reader)

    monkeypatch.setattr(MemoryOutput, "close", close)
    return closed


@pytest.fixture
def queries(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> list[JobQuery]:
    """What the archive was asked for."""
    asked: list[JobQuery] = []
    find = managed.archive.find

    async def noting(query: JobQuery) -> Page:
        asked.append(query)
        return await find(query)

    monkeypatch.setattr(managed.archive, "find", noting)
    return asked


def fail_starts(managed: Managed, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """Let every start fail where the job is to be recorded."""

    async def add(*_: object) -> None:
        raise failure

    monkeypatch.setattr(managed.archive, "add", add)


@pytest.mark.parametrize(
    ("path", "is_large"), [("/jobs/{id}/output?stream=stdout&after=0", True), ("/jobs/{id}", False)]
)
async def test_the_heap_is_trimmed_after_what_is_large(
    client: Client, job: Job, path: str, *, is_large: bool
) -> None:
    """T80: what a crowd of readers took goes back, and a small request costs no trim."""
    client.app.service.heap = Heap(lambda: None)
    frames = [(b"accept", b"application/x-ndjson")]
    assert (await client("GET", path.format(id=job.id), headers=frames)).status == 200
    state = "to be trimmed" if is_large else "at rest"
    assert repr(client.app.service.heap) == f"<Heap {state}>"
    client.app.drain()


@pytest.mark.parametrize(("sent", "key"), [(b"a", "a"), (b'"a"', "a"), (None, None)])
async def test_a_start_with_an_idempotency_key(
    client: Client, managed: Managed, sent: bytes | None, key: str | None
) -> None:
    headers = [] if sent is None else [(b"idempotency-key", sent)]
    answer = await client("POST", "/jobs/start", {"program": "/bin/true"}, headers=headers)
    assert answer.status == 201
    bound = {name: binding.job_id for name, binding in managed.archive._bindings.items()}
    assert bound == ({} if key is None else {("alice", key): answer.json["id"]})


async def test_a_start_with_two_idempotency_keys(client: Client, managed: Managed) -> None:
    answer = await client(
        "POST", "/jobs/start", {"program": "/bin/true"}, headers=[(b"idempotency-key", b"a")] * 2
    )
    assert (answer.status, answer.json["field"]) == (400, "Idempotency-Key")
    assert not await managed.jobs()


async def test_start_answers_with_the_id_alone(client: Client, managed: Managed) -> None:
    answer = await client("POST", "/jobs/start", {"program": "/bin/sleep", "args": [5, 1.5, "x"]})
    (job,) = await managed.jobs()
    assert answer.status == 201
    assert answer.json == {"id": job.id, "error": None}
    assert answer.headers["content-type"] == "application/json"
    assert job.owner == "alice"
    assert job.spec.args == ("5", "1.5", "x")


async def test_start_passes_advice_on(client: Client, managed: Managed) -> None:
    managed.engine.hidden = "mind the gap"
    answer = await client("POST", "/jobs/start", {"program": "/bin/hint"})
    assert answer.json["hint"] == "mind the gap"


@pytest.mark.parametrize(
    ("failure", "status", "text"),
    [
        (ProgramNotFound("no /x here", hint="look"), 404, "program not found"),
        (ProgramNotExecutable("program cannot be executed: permission denied"), 422, None),
        (StorageFull(), 507, None),
        (StorageUnavailable("cannot write: broken"), 503, None),
        (OSError(errno.EIO, "I/O error"), 503, f"{BROKEN}: I/O error"),
        (OSError(errno.EROFS, "read-only"), 503, f"{BROKEN}: read-only"),
        (OSError(errno.ENOSPC, "full"), 507, "cannot answer the request: no space left"),
        (StateInUse("a detail for the operator"), 500, "internal error"),
        (RuntimeError("a detail for the operator"), 500, "internal error"),
    ],
)
async def test_a_failed_start_says_why(
    client: Client,
    managed: Managed,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    status: int,
    text: str | None,
) -> None:
    fail_starts(managed, monkeypatch, failure)
    answer = await client("POST", "/jobs/start", {"program": "/x"})
    assert answer.status == status
    assert answer.json["error"] == f"Error: {text or failure}"


async def test_a_bug_is_logged_with_its_traceback(
    client: Client,
    managed: Managed,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fail_starts(managed, monkeypatch, RuntimeError("the cause"))
    answer = await client("POST", "/jobs/start", {"program": "/x"})
    assert answer.json == {"error": "Error: internal error", "code": "internal_error"}
    assert "the cause" in caplog.text


async def test_stop(client: Client, managed: Managed, job: Job) -> None:
    answer = await client("POST", f"/jobs/{job.id}/stop")
    assert (answer.status, answer.json) == (200, {"id": job.id, "error": None})
    assert managed.engine.stops == [(job.id, StopRequest("alice", NOW, 0.0))]


async def test_stop_with_a_grace(client: Client, managed: Managed, job: Job) -> None:
    await client("POST", f"/jobs/{job.id}/stop", {"grace": 10})
    assert managed.engine.stops == [(job.id, StopRequest("alice", NOW, 10.0))]


async def test_stop_of_an_ended_job(client: Client, managed: Managed, job: Job) -> None:
    managed.engine.exit(job.id)
    answer = await client("POST", f"/jobs/{job.id}/stop")
    assert answer.status == 409
    assert answer.json == {"error": "Error: job not running", "code": "job_not_running"}


async def test_a_stop_goes_on_when_its_client_leaves(
    client: Client, managed: Managed, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = watch(monkeypatch, managed.manager, "stop")
    stop.may_go_on.clear()
    call = asyncio.create_task(client("POST", f"/jobs/{job.id}/stop"))
    assert await asyncio.to_thread(stop.begun.wait, PATIENCE)
    client.gone.set()
    with pytest.raises(IndexError):  # no answer was sent
        await call
    assert not stop.over.is_set()
    stop.may_go_on.set()
    assert await asyncio.to_thread(stop.over.wait, PATIENCE)
    assert managed.engine.stops == [(job.id, StopRequest("alice", NOW, 0.0))]


async def test_status(client: Client, job: Job) -> None:
    answer = await client("GET", f"/jobs/{job.id}")
    expected = {"id": job.id, "status": "Running", "exitCode": None, "error": None}
    assert answer.status == 200
    assert answer.json["pid"] == job.pid is not None
    assert expected.items() <= answer.json.items()


def starting(client: Client, query: str = "wait=30", **options: Any) -> asyncio.Task[Answer]:
    """A start that waits, under way."""
    return asyncio.create_task(
        client("POST", f"/jobs/start?{query}", {"program": "/bin/sleep"}, **options)
    )


async def begun(managed: Managed) -> Job:
    """The one job, once it runs."""
    async with asyncio.timeout(PATIENCE):
        while (  # noqa: ASYNC110 - turns of the loop, not time
            not (jobs := await managed.jobs()) or jobs[0].started_at is None
        ):
            await asyncio.sleep(0)
    (job,) = jobs
    return job


async def test_a_start_waits_for_the_end(client: Client, managed: Managed) -> None:
    waiting = starting(client)
    job = await begun(managed)
    await asyncio.sleep(0)
    assert not waiting.done()
    managed.engine.exit(job.id)
    answer = await waiting
    assert answer.status == 201
    assert (answer.json["status"], answer.json["exitCode"]) == ("Completed", 0)
    assert answer.json == (await client("GET", f"/jobs/{job.id}")).json, "as its status would"


async def test_a_start_waits_no_longer_than_asked(client: Client, managed: Managed) -> None:
    answer = await starting(client, "wait=0.001")
    (job,) = await managed.jobs()
    assert answer.status == 201
    assert (answer.json["id"], answer.json["status"]) == (job.id, "Running")


async def test_a_start_with_a_wait_of_nothing_is_one_without(client: Client) -> None:
    answer = await starting(client, "wait=0")
    assert answer.status == 201
    assert set(answer.json) == {"id", "error"}


async def test_a_start_that_waits_passes_its_hint_on(client: Client, managed: Managed) -> None:
    managed.engine.hidden = "mind the gap"
    assert (await starting(client, "wait=0.001")).json["hint"] == "mind the gap"


async def test_a_start_that_is_refused_does_not_wait(
    client: Client, managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_starts(managed, monkeypatch, ProgramNotFound())
    assert (await starting(client)).status == 404


async def test_a_start_that_waits_tells_the_beginning_of_what_is_long(
    client: Client, managed: Managed
) -> None:
    """Who has sent it has no use for the rest."""
    body = {"program": "/bin/sleep", "args": ["x" * 5000]}
    answer = await client("POST", "/jobs/start?wait=0.001", body)
    assert answer.json["argsCut"] is True
    assert len(answer.body) < 3000
    (job,) = await managed.jobs()
    assert managed.manager.status(job.id).spec.args == ("x" * 5000,)


async def test_a_server_that_stops_tells_of_the_job_that_it_has_started(
    client: Client, managed: Managed
) -> None:
    """A refusal would have a client start it once more."""
    waiting = starting(client)
    job = await begun(managed)
    client.app.drain()
    answer = await waiting
    assert answer.status == 201
    assert (answer.json["id"], answer.json["status"]) == (job.id, "Running")
    late = await starting(client)
    assert (late.status, late.json["status"]) == (201, "Running")


async def test_a_client_that_leaves_does_not_stop_the_job_that_it_waits_for(
    client: Client, managed: Managed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    waiting = starting(client)
    job = await begun(managed)
    client.gone.set()
    await asyncio.wait({waiting}, timeout=PATIENCE)
    assert waiting.done()
    assert not client.sent
    assert managed.manager.status(job.id).end is None
    assert [vars(record)["status"] for record in caplog.records] == [CLIENT_GONE]


async def test_a_key_that_is_sent_again_waits_for_the_same_job(
    client: Client, managed: Managed
) -> None:
    """With or without a wait, while the job runs and when it has ended."""
    key = [(b"idempotency-key", b"k")]
    waiting = starting(client, headers=key)
    job = await begun(managed)
    other = Client(client.app)
    assert (await starting(other, "", headers=key)).json == {"id": job.id, "error": None}
    again = starting(other, headers=key)
    await asyncio.sleep(0)
    managed.engine.exit(job.id)
    first, second = await waiting, await again
    assert first.json == second.json
    assert first.json["status"] == "Completed"
    late = await starting(client, headers=key)
    assert (late.status, late.json) == (201, first.json)
    assert len(await managed.jobs()) == 1


async def test_a_start_that_finds_no_place_to_wait_in_starts_nothing(
    client: Client, managed: Managed
) -> None:
    client.app.service.shares.lasting.most = 1
    waiting = starting(client)
    job = await begun(managed)
    other = Client(client.app)
    refused = await starting(other)
    assert (refused.status, refused.json["code"]) == (429, "too_many_requests")
    assert len(await managed.jobs()) == 1
    managed.engine.exit(job.id)
    assert (await waiting).status == 201
    assert (await starting(other, "wait=0.001")).status == 201, "the place was given back"


@pytest.mark.parametrize("wait", WRONG_WAITS)
async def test_a_wait_out_of_bounds_is_refused_and_starts_nothing(
    client: Client, managed: Managed, wait: str
) -> None:
    answer = await starting(client, wait)
    assert answer.status == 400, answer.json
    assert answer.json["field"] == "wait"
    assert not await managed.jobs()


async def test_status_waits_for_the_end(client: Client, managed: Managed, job: Job) -> None:
    waiting = asyncio.create_task(client("GET", f"/jobs/{job.id}?wait=30"))
    asyncio.get_running_loop().call_soon(managed.engine.exit, job.id)
    assert (await waiting).json["status"] == "Completed"


async def test_a_long_poll_ends_when_the_server_stops(client: Client, job: Job) -> None:
    waiting = asyncio.create_task(client("GET", f"/jobs/{job.id}?wait=30"))
    asyncio.get_running_loop().call_soon(client.app.drain)
    answer = await waiting
    assert (answer.status, answer.json["code"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert (await client("GET", "/readyz", token=None)).status == 503
    assert (await client("GET", "/healthz", token=None)).status == 200


async def test_t80_it_is_not_ready_where_no_job_can_be_started(
    client: Client, managed: Managed
) -> None:
    assert (await client("GET", "/readyz", token=None)).status == 200
    managed.engine.ailment = "the spawner does not answer"
    answer = await client("GET", "/readyz", token=None)
    assert (answer.status, answer.json["error"]) == (503, "Error: the spawner does not answer")
    assert (await client("GET", "/healthz", token=None)).status == 200


async def test_readiness_names_every_cause(client: Client) -> None:
    """Of whatever part keeps the server from its work; without a token."""
    causes: list[str | None] = [None, "the disk is broken", "the spawner hangs"]

    async def trouble(which: int) -> str | None:
        return causes[which]

    client.app.service.troubles = [partial(trouble, which) for which in range(3)]
    answer = await client("GET", "/readyz", token=None)
    assert answer.status == 503
    assert answer.json["error"] == "Error: the disk is broken; the spawner hangs"
    causes[:] = [None] * 3
    assert (await client("GET", "/readyz", token=None)).status == 200


async def test_output_by_lines(client: Client, managed: Managed, job: Job) -> None:
    managed.engine.write(job.id, b"one\r\n\nth\xffree\n")
    answer = await client("GET", f"/jobs/{job.id}/output")
    assert answer.json == {
        "id": job.id,
        "stdout": ["one\r", "", "th\ufffdree"],
        "stderr": [],
        "error": None,
    }


async def test_no_line_joins_both_sides_of_a_gap(
    client: Client, managed: Managed, job: Job
) -> None:
    managed.engine.write(job.id, b"one\ntw\xc3")
    managed.engine.skip(job.id, 100)
    managed.engine.write(job.id, b"\xa4o\nlast\n")
    managed.engine.skip(job.id, 3)
    managed.engine.skip(job.id, 5, Stream.STDERR)
    managed.engine.write(job.id, b"e", Stream.STDERR)
    managed.engine.exit(job.id)  # by when it is known that the last bytes are missing
    answer = await client("GET", f"/jobs/{job.id}/output")
    assert answer.json["stdout"] == ["one", "tw\ufffd", "\ufffdo", "last"]
    assert answer.json["stderr"] == ["e"]
    assert answer.json["gaps"] == [
        {"stream": "stdout", "start": 7, "end": 107, "line": 2},
        {"stream": "stdout", "start": 115, "end": 118, "line": 4},
        {"stream": "stderr", "start": 0, "end": 5, "line": 0},
    ]


async def test_much_output_by_lines(client: Client, managed: Managed, job: Job) -> None:
    managed.engine.write(job.id, b"line\n" * answers.CHUNK, Stream.STDERR)
    answer = await client("GET", f"/jobs/{job.id}/output")
    assert answer.json["stderr"] == ["line"] * answers.CHUNK


@pytest.mark.parametrize("size", [0, 1, answers.CHUNK, answers.CHUNK * 3 + 1])
async def test_output_byte_by_byte(
    client: Client, managed: Managed, job: Job, readers_closed: list[MemoryOutput], size: int
) -> None:
    content = (b"\x00\xff\n" * size)[:size]
    managed.engine.write(job.id, content, Stream.STDERR)
    answer = await client("GET", f"/jobs/{job.id}/output/stderr")
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-length"] == str(size)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job.id}.stderr"'
    assert readers_closed


@pytest.mark.parametrize("follow", ["false", "true"])
async def test_an_end_frame_is_only_told_behind_all_of_the_output(
    client: Client, managed: Managed, job: Job, monkeypatch: pytest.MonkeyPatch, follow: str
) -> None:
    """Without follow, a job that ends meanwhile has written what was not read."""
    managed.engine.write(job.id, b"text")
    frames = managed.manager.frames

    async def ending(*args: Any, **kwargs: Any) -> AsyncGenerator[list[Frame]]:
        async with aclosing(frames(*args, **kwargs)) as batches:
            async for batch in batches:
                yield batch
                if managed.manager.status(job.id).end is None:
                    managed.engine.write(job.id, b"too late")
                    managed.engine.exit(job.id)

    monkeypatch.setattr(managed.manager, "frames", ending)
    path = f"/jobs/{job.id}/output?follow={follow}"
    answer = await client("GET", path, headers=[(b"accept", b"application/x-ndjson")])
    told = [json.loads(line) for line in answer.body.splitlines()]
    late = [("stdout", "too late"), ("end", "")] if follow == "true" else []
    assert [(each["stream"], each["data"]) for each in told] == [("stdout", "text"), *late]
    again = await client("GET", path, headers=[(b"accept", b"application/x-ndjson")])
    assert json.loads(again.body.splitlines()[-1])["stream"] == "end"


async def test_a_range_of_the_output(client: Client, managed: Managed, job: Job) -> None:
    managed.engine.write(job.id, b"0123456789")
    path = f"/jobs/{job.id}/output/stdout"
    answer = await client("GET", path, headers=[(b"range", b"bytes=2-4")])
    assert (answer.status, answer.body) == (206, b"234")
    assert answer.headers["content-range"] == "bytes 2-4/10"
    answer = await client("GET", path, headers=[(b"range", b"bytes=10-")])
    assert (answer.status, answer.json["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */10"
    headers = [(b"range", b"bytes=2-4"), (b"if-range", b'"etag"')]
    assert (await client("GET", path, headers=headers)).body == b"0123456789"


@pytest.mark.parametrize("size", [3, answers.CHUNK])
async def test_the_kept_bytes_are_what_a_range_counts(
    client: Client, managed: Managed, job: Job, readers_closed: list[MemoryOutput], size: int
) -> None:
    for letter in b"abc":
        managed.engine.skip(job.id, 1000)
        managed.engine.write(job.id, bytes([letter]) * size)
    kept = b"a" * size + b"b" * size + b"c" * size
    path = f"/jobs/{job.id}/output/stdout"
    answer = await client("GET", path)
    assert (answer.headers["content-length"], answer.body) == (str(3 * size), kept)
    for first, last in ((0, 0), (size - 1, size), (1, 3 * size - 2), (2 * size, 3 * size - 1)):
        answer = await client("GET", path, headers=[(b"range", b"bytes=%d-%d" % (first, last))])
        assert (answer.status, answer.body) == (206, kept[first : last + 1])
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{3 * size}"
    assert len(readers_closed) == 5


async def test_an_offset_counts_what_was_written_with_and_without_follow(
    client: Client, managed: Managed, job: Job
) -> None:
    """It is a place in the stream, so a gap counts; and a range beside it means nothing."""
    managed.engine.write(job.id, b"abc")
    managed.engine.skip(job.id, 10)
    managed.engine.write(job.id, b"xyz")
    path = f"/jobs/{job.id}/output/stdout?offset="
    expected = {0: b"abcxyz", 1: b"bcxyz", 3: b"xyz", 13: b"xyz", 15: b"z", 16: b"", 99: b""}
    for offset, content in expected.items():
        answer = await client("GET", f"{path}{offset}")
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["content-length"] == str(len(content))
    answer = await client("GET", f"{path}15", headers=[(b"range", b"bytes=0-0")])
    assert (answer.status, answer.body) == (200, b"z")


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "Too many open files"), RuntimeError("can't start new thread")]
)
async def test_what_is_short_for_now_is_a_503(
    client: Client, managed: Managed, job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """T35: not a bug, and the client may come again."""

    def reader(_: JobId) -> MemoryOutput:
        raise error

    monkeypatch.setattr(managed.manager, "reader", reader)
    answer = await client("GET", f"/jobs/{job.id}/output")
    assert (answer.status, answer.json["code"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_stream_that_is_removed_while_it_is_read_is_cut(
    client: Client,
    managed: Managed,
    job: Job,
    readers_closed: list[MemoryOutput],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    managed.engine.write(job.id, bytes(answers.CHUNK * 3))
    monkeypatch.setattr(MemoryOutput, "read", lambda _, _stream, at, _length: Piece(at, b""))
    with pytest.raises(StreamBroken):
        await client("GET", f"/jobs/{job.id}/output/stdout")
    assert len(readers_closed) == 1


async def test_follow_streams_until_the_job_ends(
    client: Client, managed: Managed, job: Job
) -> None:
    managed.engine.write(job.id, b"0123456789")
    call = asyncio.create_task(client("GET", f"/jobs/{job.id}/output/stdout?follow=true&offset=8"))
    await client.first_chunk.wait()
    managed.engine.write(job.id, b"the end")
    managed.engine.exit(job.id)
    answer = await call
    assert (answer.status, answer.body) == (200, b"89the end")
    assert "content-length" not in answer.headers


async def test_follow_ends_when_the_client_leaves(
    client: Client, managed: Managed, job: Job, follower_closed: threading.Event
) -> None:
    managed.engine.write(job.id, b"x")
    call = asyncio.create_task(client("GET", f"/jobs/{job.id}/output/stdout?follow=true"))
    await client.first_chunk.wait()
    client.gone.set()
    await call
    assert follower_closed.is_set()
    assert client.sent[-1].get("more_body")


@pytest.mark.parametrize("failure", [None, JobNotFound(), RuntimeError("a bug")])
async def test_a_stream_that_cannot_end_well_is_cut(
    client: Client,
    managed: Managed,
    job: Job,
    follower_closed: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception | None,
) -> None:
    """A server that stops and an error mid-way must not look like the end of the output."""
    managed.engine.write(job.id, b"x")
    call = asyncio.create_task(client("GET", f"/jobs/{job.id}/output/stdout?follow=true"))
    await client.first_chunk.wait()

    def read(*_: object) -> Piece:
        assert failure is not None
        raise failure

    if failure:
        monkeypatch.setattr(MemoryOutput, "read", read)
        managed.engine.write(job.id, b"what cannot be read")
    else:
        client.app.drain()
    with pytest.raises(StreamBroken):
        await call
    assert follower_closed.is_set()


async def test_a_client_that_takes_nothing_is_let_go(
    client: Client,
    managed: Managed,
    job: Job,
    follower_closed: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    managed.engine.write(job.id, b"x")
    monkeypatch.setattr(answers, "SEND_BUDGET", 0.01)

    async def stuck(message: Any) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    client._send = stuck  # type: ignore[method-assign]
    with pytest.raises(StreamBroken):
        await client("GET", f"/jobs/{job.id}/output/stdout?follow=true")
    assert follower_closed.is_set()


async def test_list(client: Client, managed: Managed, job: Job, queries: list[JobQuery]) -> None:
    spec = Spec("/bin/x", name="n", labels={"a": "b=c", "d": ""})
    wanted = [await managed.start(spec) for _ in range(8)]
    path = "/jobs?status=Running&label=a=b=c&label=d=&since=2026-01-01T00:00:00Z&idPrefix=j-"
    answer = await client("GET", f"{path}&limit=7&cursor={cursor_at(99)}&name=n&program=/bin/x")
    assert [each["id"] for each in answer.json["jobs"]] == wanted[:0:-1]
    assert answer.json["next"] == cursor_at(3)  # the last that is shown, after one and ``job``
    (query,) = queries
    assert query.owner == "alice"
    assert query.labels == {"a": "b=c", "d": ""}
    assert (query.since, query.until) == (NOW, None)
    assert (query.limit, query.cursor, query.id_prefix) == (7, cursor_at(99), "j-")
    assert (query.name, query.program, query.status) == ("n", "/bin/x", "Running")
    answer = await client("GET", f"/jobs?idPrefix={job.id[:20]}")
    assert [each["id"] for each in answer.json["jobs"]] == [job.id]


@pytest.mark.parametrize(
    ("token", "asked", "status", "owner"),
    [
        ("token-alice", "", 200, "alice"),
        ("token-alice", "?owner=alice", 200, "alice"),
        ("token-alice", "?owner=bob", 403, None),
        ("token-alice", "?owner=", 403, None),
        ("token-admin", "", 200, None),
        ("token-admin", "?owner=bob", 200, "bob"),
    ],
)
async def test_whose_jobs_are_listed(
    client: Client, queries: list[JobQuery], token: str, asked: str, status: int, owner: str | None
) -> None:
    answer = await client("GET", f"/jobs{asked}", token=token)
    assert answer.status == status
    assert [query.owner for query in queries] == ([owner] if status == 200 else [])


async def test_signal(client: Client, managed: Managed, job: Job) -> None:
    for signal in ("HUP", 1):
        answer = await client("POST", f"/jobs/{job.id}/signal", {"signal": signal})
        expected = {"id": job.id, "signal": "SIGHUP", "error": None}
        assert (answer.status, answer.json) == (200, expected)
    assert managed.engine.signals == [(job.id, SignalRequest(1, "alice", NOW))] * 2
    for body in ({}, {"signal": True}, {"signal": None}, {"signal": 1.5}, {"signal": "1", "to": 1}):
        answer = await client("POST", f"/jobs/{job.id}/signal", body)
        assert (answer.status, answer.json["field"]) == (400, "to" if "to" in body else "signal")
    managed.engine.exit(job.id)
    answer = await client("POST", f"/jobs/{job.id}/signal", {"signal": "HUP"})
    assert (answer.status, answer.json["code"]) == (409, "job_not_running")


async def test_rerun(client: Client, managed: Managed, job: Job) -> None:
    headers = [(b"idempotency-key", b"k")]
    answer = await client("POST", f"/jobs/{job.id}/rerun", headers=headers, token="token-admin")
    new = managed.manager.status(answer.json["id"])
    assert (answer.status, answer.json) == (201, {"id": new.id, "error": None})
    assert (new.owner, new.spec) == ("root", job.spec)
    bound = managed.archive.binding("root", "k")
    assert bound is not None
    assert bound.job_id == new.id
    answer = await client("POST", f"/jobs/{job.id}/rerun", {"env": {"A": "1"}})
    assert (answer.status, answer.json["field"]) == (400, "env")


async def test_extend(
    client: Client, managed: Managed, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Role]] = []
    explain = managed.authority.explain

    def noting(user: str, role: Role, spec: Spec) -> Decision:
        asked.append((user, role))
        return explain(user, role, spec)

    monkeypatch.setattr(managed.authority, "explain", noting)
    answer = await client("POST", f"/jobs/{job.id}/extend", {"seconds": 1800})
    assert (answer.status, answer.json["id"]) == (200, job.id)
    assert answer.json["deadline"] == (NOW + timedelta(seconds=5400)).isoformat().replace(
        "+00:00", "Z"
    )
    assert managed.engine.extensions == [(job.id, 5400, "alice")]
    assert asked == [("alice", Role.USER)]
    for seconds in (0, -1, "ten", None, 1e300):
        answer = await client("POST", f"/jobs/{job.id}/extend", {"seconds": seconds})
        assert (answer.status, answer.json["field"]) == (400, "seconds")
    managed.engine.exit(job.id)
    answer = await client("POST", f"/jobs/{job.id}/extend", {"seconds": 1})
    assert (answer.status, answer.json["code"]) == (409, "job_not_running")


async def test_remove(client: Client, managed: Managed, job: Job) -> None:
    assert (await client("DELETE", f"/jobs/{job.id}")).status == 409
    managed.engine.exit(job.id)
    answer = await client("DELETE", f"/jobs/{job.id}")
    assert (answer.status, answer.json["id"]) == (200, job.id)
    assert (await client("DELETE", f"/jobs/{job.id}")).status == 404


async def test_me(client: Client) -> None:
    answer = await client("GET", "/me", token="token-admin")
    assert answer.json == {"name": "root", "role": "admin", "error": None}


async def test_openapi_is_served_without_a_token(client: Client) -> None:
    answer = await client("GET", "/openapi.json", token=None)
    assert answer.json["openapi"].startswith("3.1")


# T36: every route for every kind of caller.

EXPECTED = {
    "none": 401,
    "bad": 401,
    "token-bob": 403,
    "token-alice": None,
    "token-admin": None,
}


BODIES: dict[str, dict[str, object]] = {
    "/jobs/start": {"program": "/bin/true"},
    "/jobs/{id}/extend": {"seconds": 60},
    "/jobs/{id}/signal": {"signal": "HUP"},
    "/policy/can-start": {"program": "/bin/true"},
}
"""For the routes that take more than an empty body."""


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("caller", EXPECTED)
async def test_who_may_call_what(
    client: Client, managed: Managed, job: Job, route: Route, caller: str
) -> None:
    token = None if caller == "none" else caller
    answer = await client(
        route.method, route.path.replace("{id}", job.id), BODIES.get(route.path), token=token
    )
    refusal = EXPECTED[caller]
    if route.public or (refusal == 403 and not route.about_job) or refusal is None:
        assert answer.status in (426 if route.is_socket else route.status, 409)
    else:
        assert answer.status == refusal
        text = "bad authentication" if refusal == 401 else "unauthorized action"
        assert answer.json["error"] == f"Error: {text}"
    if refusal:
        assert not managed.engine.stops
        assert job in await managed.jobs()


@pytest.mark.parametrize(
    "path", ["//", "/nothing", "/jobs/start/x", f"/jobs/{UNKNOWN}/nothing", ""]
)
async def test_unknown_paths(client: Client, path: str) -> None:
    """Without a token nobody learns which paths there are."""
    assert (await client("GET", path, token=None)).status == 401
    answer = await client("GET", path)
    assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_a_wrong_method_is_told_the_right_ones(client: Client) -> None:
    answer = await client("PUT", f"/jobs/{UNKNOWN}")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, DELETE")
    answer = await client("GET", "/jobs/start")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = await client("PUT", "/healthz", token=None)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


async def test_another_users_job_is_403_whatever_else_is_wrong(client: Client, job: Job) -> None:
    answer = await client("POST", f"/jobs/{job.id}/stop?x=1", b"nonsense", token="token-bob")
    assert answer.status == 403


@pytest.mark.parametrize(
    "job_id",
    ["..", "../x", "j-", "%2e%2e", "\0", "j" * 10_000, UNKNOWN.upper(), UNKNOWN + "\n", "é", "."],
)
async def test_malformed_ids_reach_nothing(
    client: Client, managed: Managed, monkeypatch: pytest.MonkeyPatch, job_id: str
) -> None:
    """T37: they are answered like an unknown job, and nothing below ever sees them."""
    looked_up: list[str] = []
    monkeypatch.setattr(managed.manager, "status", looked_up.append)
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/output"), ("POST", "/stop")):
        answer = await client(method, f"/jobs/{job_id}{rest}")
        assert answer.status == 404
        assert answer.json["code"] in {"job_not_found", "not_found"}
    assert not looked_up


async def test_an_unknown_job(client: Client) -> None:
    answer = await client("GET", f"/jobs/{UNKNOWN}")
    assert answer.status == 404
    assert answer.json == {"error": "Error: job not found", "code": "job_not_found"}


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"token-alice"],
        [b"Basic token-alice"],
        [b"bearer token-alice"],
        [b"Bearer  token-alice"],
        [b"Bearer token-alice "],
        [b"Bearer token-alice\t"],
        [b"Bearer token alice"],
        [b"Bearer \xc3\xa9"],
        [b"Bearer \xff\x00"],
        [b"Bearer " + b"x" * 100_000],
        [b"Bearer token-alice", b"Bearer token-alice"],
        [b"Bearer token-alice", b"Basic x"],
    ],
)
async def test_broken_credentials(client: Client, values: list[bytes]) -> None:
    """T39: anything but one well-formed bearer token is 401."""
    headers = [(b"authorization", value) for value in values]
    answer = await client("GET", "/jobs", token=None, headers=headers)
    assert answer.status == 401
    assert answer.json == {"error": "Error: bad authentication", "code": "bad_authentication"}
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/jobs?colour=red", "colour"),
        ("/jobs?limit=0", "limit"),
        ("/jobs?limit=1001", "limit"),
        ("/jobs?limit=x", "limit"),
        ("/jobs?limit=1&limit=2", "limit"),
        ("/jobs?label=nothing", "label"),
        ("/jobs?status=Dead", "status"),
        ("/jobs?since=yesterday", "since"),
        ("/jobs?until=2026-01-01T00:00:00", "until"),
        ("/me?x=1", "x"),
        (f"/jobs?x={'9' * 9000}", "x"),
        ("/jobs?%FF=1", None),
        ("/jobs?" + "label=a=b&" * 200, None),
    ],
)
async def test_wrong_parameters(client: Client, path: str, field: str | None) -> None:
    answer = await client("GET", path)
    assert answer.status == 400
    assert answer.json.get("field") == field


@pytest.mark.parametrize("wait", ["-1", "301", "nan", "inf", "x", ""])
async def test_wrong_waits(client: Client, job: Job, wait: str) -> None:
    answer = await client("GET", f"/jobs/{job.id}?wait={wait}")
    assert (answer.status, answer.json["field"]) == (400, "wait")


@pytest.mark.parametrize(
    "content_type", [b"text/plain", b"", b"application/json; charset=latin-1", b"application/jsonx"]
)
async def test_a_body_that_is_not_json_by_its_header(client: Client, content_type: bytes) -> None:
    answer = await client(
        "POST", "/jobs/start", pieces=[b"{}"], headers=[(b"content-type", content_type)]
    )
    assert answer.status == 415


async def test_a_compressed_body_is_refused(client: Client) -> None:
    headers = [(b"content-encoding", b"gzip")]
    assert (await client("POST", "/jobs/start", {}, headers=headers)).status == 415


async def test_a_declared_length_over_the_limit_is_refused_unread(client: Client) -> None:
    headers = [(b"content-length", b"%d" % (fields.MAX_START + 1))]
    answer = await client("POST", "/jobs/start", {}, headers=headers)
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")


async def test_a_body_that_lies_about_its_length(client: Client) -> None:
    headers = [(b"content-length", b"5"), (b"content-type", b"application/json")]
    pieces = [b" " * 1024 * 1024] * (fields.MAX_START // 1024**2 + 1)
    assert (await client("POST", "/jobs/start", headers=headers, pieces=pieces)).status == 413


async def test_two_lengths_are_refused(client: Client) -> None:
    headers = [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")]
    assert (await client("GET", "/me", headers=headers)).status == 400


async def test_a_dripping_body_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BODY_PAUSE", 0.01)
    started = asyncio.Event()

    async def never() -> Any:
        if started.is_set():
            await asyncio.Event().wait()
        started.set()
        return {"type": "http.request", "body": b"{", "more_body": True}

    monkeypatch.setattr(client, "_receive", lambda _: never)
    answer = await client("POST", "/jobs/start", {})
    assert (answer.status, answer.json["code"]) == (408, "request_timed_out")


async def test_one_line_is_logged_for_each_request(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """T42: what happened, and no token, header or parameter."""
    token = "jw_0123456789ab_" + "s" * 43 + "01234567"
    with caplog.at_level(logging.INFO, "jobworker.api.dispatch"):
        await client("GET", f"/jobs/{token}{'x' * 1000}?name=secret")
    (record,) = caplog.records
    fields = vars(record)
    expected = {"user": "alice", "method": "GET", "status": 404, "client": "192.0.2.1"}
    assert expected.items() <= fields.items()
    assert fields["path"].startswith("/jobs/jw_0123456789ab_")
    assert len(fields["path"]) <= 200
    for secret in ("s" * 43, "secret", "token-alice"):
        assert secret not in repr(fields)


async def test_the_line_of_a_start_has_its_job_and_program(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """And no argument or variable, which may be secrets."""
    body = {"program": "/bin/true", "args": ["secret"], "env": {"A": "secret"}}
    with caplog.at_level(logging.INFO, "jobworker.api.dispatch"):
        started = (await client("POST", "/jobs/start", body)).json["id"]
        again = (await client("POST", f"/jobs/{started}/rerun")).json["id"]
        await client("POST", "/jobs/start", {"program": "relative"})
    lines = [(vars(record)["program"], vars(record)["job"]) for record in caplog.records]
    assert lines == [("/bin/true", started), ("/bin/true", again), ("relative", None)]
    assert "secret" not in repr([vars(record) for record in caplog.records])


def test_every_error_that_a_route_names_has_a_status() -> None:
    named = {error for route in ROUTES for error in route.all_errors}
    assert named <= STATUS.keys()
    assert JobWorkerError not in STATUS


async def test_the_repr_shows_what_is_in_hand(client: Client, job: Job) -> None:
    assert repr(client.app) == "<Dispatcher serving: 0 requests in hand, 0 of them WebSockets>"
    waiting = asyncio.create_task(client("GET", f"/jobs/{job.id}?wait=60"))
    await asyncio.sleep(0)
    assert repr(client.app) == "<Dispatcher serving: 1 requests in hand, 0 of them WebSockets>"
    client.app.drain()
    await waiting
    assert repr(client.app) == "<Dispatcher draining: 0 requests in hand, 0 of them WebSockets>"
