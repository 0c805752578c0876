"""What is sent again when an answer is lost or the server is away, and what is not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jobworker import errors
from jobworker.client import Profile, Retry, RetryPolicy, session
from jobworker.client.calls import Calls
from jobworker.client.exchange import Request
from jobworker.client.failures import ConnectionLost, Untrusted
from jobworker.client.session import Session

ID = "j-9f8b6c52-0d3e-4c7a-8a53-1f2e3d4c5b6a"
DONE = (200, {"id": ID, "error": None})
LOST = ConnectionLost("lost the connection")
REFUSED = errors.ServerUnreachable("connection refused")
STOPPING = (503, {"error": "Error: stopping", "code": "service_unavailable"})
NOT_RUNNING = (409, {"error": "Error: job not running", "code": "job_not_running"})
NOT_FOUND = (404, {"error": "Error: job not found", "code": "job_not_found"})
TOO_MANY = (429, {"error": "Error: too many", "code": "too_many_jobs"})

Event = Exception | tuple[int, dict[str, Any]]


class Answer:
    reason = ""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self._pieces = [json.dumps(body).encode()]

    def header(self, name: str) -> str | None:
        return "7" if name == "Retry-After" else None

    async def piece(self) -> bytes:
        return self._pieces.pop() if self._pieces else b""

    async def close(self) -> None:
        """Nothing is open."""


class Network:
    """A transport that has one event for each request, and no other."""

    def __init__(self, *events: Event) -> None:
        self.events = list(events)
        self.sent: list[Request] = []
        self.pauses: list[float] = []

    async def send(self, request: Request) -> Answer:
        self.sent.append(request)
        event = self.events.pop(0)
        if isinstance(event, Exception):
            raise event
        return Answer(*event)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def close(self) -> None:
        """Nothing is open."""


def calls(network: Network, told: list[Retry] | None = None) -> Calls:
    profile = Profile("admin", server="https://127.0.0.1:1", ca="/ca", token="t")
    on_retry = None if told is None else told.append
    return Calls(Session(profile, network, RetryPolicy(), on_retry))


Act = Callable[[Calls], Awaitable[object]]
REPEATABLE: list[Act] = [
    lambda c: c.start("/bin/true"),
    lambda c: c.rerun(ID),
    lambda c: c.can_start("/bin/true"),
    lambda c: c.stop(ID),
    lambda c: c.remove(ID),
    lambda c: c.status(ID),
    lambda c: c.list(),
    lambda c: c.whoami(),
    lambda c: c.output(ID),
]
TWICE_IS_NOT_ONCE: list[Act] = [lambda c: c.signal(ID, "HUP"), lambda c: c.extend(ID, 60)]


@pytest.mark.parametrize("act", REPEATABLE)
async def test_a_lost_answer_is_asked_for_again(act: Act) -> None:
    network = Network(LOST, REFUSED, STOPPING, LOST, DONE)
    assert await act(calls(network)) == DONE[1]
    first, *others = network.sent
    for other in others:
        assert (other.method, other.target, other.body, other.headers) == (
            first.method,
            first.target,
            first.body,
            first.headers,
        )


@pytest.mark.parametrize("act", TWICE_IS_NOT_ONCE)
async def test_what_would_be_done_twice_is_not_sent_again(act: Act) -> None:
    network = Network(LOST)
    with pytest.raises(errors.ServerUnreachable, match="lost"):
        await act(calls(network))


@pytest.mark.parametrize("act", TWICE_IS_NOT_ONCE)
async def test_what_was_certainly_not_done_is_sent_again(act: Act) -> None:
    network = Network(STOPPING, REFUSED, DONE)
    assert await act(calls(network)) == DONE[1]


def as_job(status: str, **more: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"id": ID, "error": None, "status": status, **more}


async def test_a_start_that_waits_is_one_request() -> None:
    network = Network(as_job("Completed"))
    assert await calls(network).start("/bin/true", wait=5) == as_job("Completed")[1]
    (request,) = network.sent
    assert request.target == "/jobs/start?wait=5.000"
    assert request.takes == 5
    assert request.headers["Idempotency-Key"]


@pytest.mark.parametrize(
    ("wait", "sent"), [(0, "0.000"), (-1, "0.000"), (600, "60.000"), (float("inf"), "60.000")]
)
async def test_a_start_waits_no_longer_than_a_connection_may_be_idle(
    wait: float, sent: str
) -> None:
    network = Network(as_job("Failed"))
    await calls(network).start("/bin/true", wait=wait)
    assert network.sent[0].target == f"/jobs/start?wait={sent}"


async def test_a_start_that_was_answered_early_is_waited_for() -> None:
    """As by a server that stops: there is more time, and the job goes on."""
    network = Network(as_job("Running", hint="mind"), STOPPING, as_job("Completed"))
    job = await calls(network).start("/bin/true", wait=30)
    assert job == as_job("Completed", hint="mind")[1]
    assert [request.method for request in network.sent] == ["POST", "GET", "GET"]


async def test_a_start_that_waits_is_sent_again_under_its_key() -> None:
    network = Network(LOST, REFUSED, STOPPING, as_job("Completed"))
    assert (await calls(network).start("/bin/true", wait=30))["status"] == "Completed"
    assert len({request.headers["Idempotency-Key"] for request in network.sent}) == 1
    assert {request.target for request in network.sent} == {"/jobs/start?wait=30.000"}


async def test_a_start_that_finds_no_place_to_wait_in_is_sent_without_a_wait() -> None:
    """Under the same key, lest it be two jobs."""
    full = (429, {"error": "Error: too many", "code": "too_many_requests"})
    network = Network(full, DONE, as_job("Completed"))
    assert (await calls(network).start("/bin/true", wait=30))["status"] == "Completed"
    first, second, third = network.sent
    assert (second.target, second.headers) == ("/jobs/start", first.headers)
    assert third.target.startswith(f"/jobs/{ID}?wait=")


async def test_each_start_has_a_key_of_its_own() -> None:
    network = Network(DONE, DONE, DONE)
    client = calls(network)
    await client.start("/bin/true")
    await client.start("/bin/true")
    await client.start("/bin/true", idempotency_key="mine")
    keys = [request.headers["Idempotency-Key"] for request in network.sent]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"
    assert len(keys[0]) == 32


@pytest.mark.parametrize(
    ("given", "sent"),
    [("text\n", "text\n"), (b"text", {"base64": "dGV4dA=="}), (b"\xff", {"base64": "/w=="})],
)
async def test_standard_input_goes_with_the_start(given: str | bytes, sent: object) -> None:
    network = Network(DONE)
    await calls(network).start("/bin/cat", stdin=given)
    assert json.loads(network.sent[0].body or b"")["stdin"] == sent


async def test_too_many_is_the_callers_to_decide() -> None:
    network = Network(TOO_MANY)
    with pytest.raises(errors.TooManyJobs) as caught:
        await calls(network).start("/bin/true")
    assert caught.value.retry_after == 7.0
    assert network.pauses == []


@pytest.mark.parametrize("event", [REFUSED, Untrusted("another CA")])
async def test_who_was_never_reached_is_not_asked_again(event: Exception) -> None:
    network = Network(event)
    with pytest.raises(errors.ServerUnreachable):
        await calls(network).status(ID)


async def test_who_is_not_trusted_any_more_is_not_asked_again() -> None:
    network = Network(DONE, Untrusted("another CA"))
    client = calls(network)
    await client.status(ID)
    with pytest.raises(errors.ServerUnreachable, match="another CA"):
        await client.status(ID)


async def test_a_hook_is_told_before_each_pause() -> None:
    told: list[Retry] = []
    network = Network(LOST, STOPPING, DONE)
    await calls(network, told).status(ID)
    assert [(type(retry.error), retry.attempt) for retry in told] == [
        (ConnectionLost, 1),
        (errors.ServiceUnavailable, 2),
    ]
    assert [retry.pause for retry in told] == network.pauses
    assert told[1].pause == 5.0  # the server asked for 7, and the longest is 5


def stopped(status: str) -> Event:
    return (200, {"id": ID, "status": status})


@pytest.mark.parametrize("first", [LOST, STOPPING])
async def test_a_stop_whose_answer_was_lost_has_stopped_it(first: Event) -> None:
    network = Network(first, NOT_RUNNING, stopped("Stopped"))
    assert await calls(network).stop(ID) == DONE[1]


async def test_a_job_that_ended_by_itself_was_not_stopped() -> None:
    with pytest.raises(errors.JobNotRunning):
        await calls(Network(LOST, NOT_RUNNING, stopped("Completed"))).stop(ID)


async def test_a_first_stop_of_a_stopped_job_is_refused() -> None:
    network = Network(REFUSED, NOT_RUNNING)
    client = calls(network)
    client._session._reached = True
    with pytest.raises(errors.JobNotRunning):
        await client.stop(ID)


async def test_a_removal_whose_answer_was_lost_has_removed_it() -> None:
    assert await calls(Network(LOST, NOT_FOUND)).remove(ID) == DONE[1]


async def test_a_first_removal_of_nothing_is_refused() -> None:
    with pytest.raises(errors.JobNotFound):
        await calls(Network(NOT_FOUND)).remove(ID)


async def test_waiting_goes_on_after_a_restart() -> None:
    network = Network(STOPPING, REFUSED, REFUSED, stopped("Running"), stopped("Completed"))
    job = await calls(network).wait(ID)
    assert job["status"] == "Completed"
    assert {request.target for request in network.sent} == {f"/jobs/{ID}?wait=60.000"}


async def test_filters_are_the_query() -> None:
    network = Network(DONE)
    await calls(network).list(
        (("idPrefix", "j-9f8b"),), status="Running", label={"team": "web", "a": "b=c"}, limit=5
    )
    assert network.sent[0].target == (
        "/jobs?idPrefix=j-9f8b&status=Running&label=team%3Dweb&label=a%3Db%3Dc&limit=5"
    )


@pytest.mark.parametrize("key", ["", "a\nb", "ä", "a\x7f"])
async def test_a_key_that_no_header_carries_is_refused_before_anything_is_sent(key: str) -> None:
    network = Network()
    with pytest.raises(errors.InvalidRequest) as caught:
        await calls(network).start("/bin/true", idempotency_key=key)
    assert caught.value.field == "Idempotency-Key"


async def test_what_is_no_id_leads_to_no_other_path() -> None:
    network = Network(NOT_FOUND)
    with pytest.raises(errors.JobNotFound):
        await calls(network).status("../me?a=b c\n#")
    assert network.sent[0].target == "/jobs/..%2Fme%3Fa%3Db%20c%0A%23"


async def test_a_wait_for_seconds_does_not_bear_minutes() -> None:
    network = Network(DONE, *[LOST] * 100)
    profile = Profile("admin", server="https://127.0.0.1:1", ca="/ca", token="t")
    patience = RetryPolicy(calls=1.0, first_pause=4.0, longest_pause=4.0)
    client = Calls(Session(profile, network, patience, None))
    await client.status(ID)
    with pytest.raises(errors.ServerUnreachable):
        await client.wait(ID, timeout=1.5)
    assert network.pauses == []


NO_PLACE = (429, {"error": "Error: alice has 64", "code": "too_many_requests"})


async def test_who_finds_no_place_to_wait_in_looks_now_and_then() -> None:
    """However long it takes: the job goes on, and the server answers what is short."""
    running, ended = (200, {"id": ID, "status": "Running"}), (200, {"id": ID, "status": "Stopped"})
    network = Network(*[NO_PLACE, running] * 50, NO_PLACE, ended)
    assert (await calls(network).wait(ID))["status"] == "Stopped"
    assert network.pauses == [7.0] * 50
    assert {request.target for request in network.sent[1::2]} == {f"/jobs/{ID}"}


async def test_who_finds_no_place_to_follow_in_comes_back_until_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred seconds pass each time, and no budget for an outage is spent."""
    clock = itertools.count(0, 100)
    monkeypatch.setattr(session, "monotonic", lambda: float(next(clock)))
    network = Network(*[NO_PLACE] * 50, NOT_FOUND)
    with pytest.raises(errors.JobNotFound):
        _ = [frame async for frame in calls(network).follow(ID)]
    assert len(network.pauses) == 50


async def test_who_finds_no_place_to_read_in_tries_again() -> None:
    network = Network(NO_PLACE, (200, {"stands for": "output"}))
    pieces = [piece async for piece in calls(network).raw(ID, "stdout", follow=True)]
    assert pieces == [b'{"stands for": "output"}']
    assert len(network.pauses) == 1
