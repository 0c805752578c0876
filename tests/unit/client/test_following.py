"""Following output over connections that break anywhere: no byte is lost, none comes twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker import errors
from jobworker.client import Profile
from jobworker.client.blocking import run_sync
from jobworker.client.calls import Calls
from jobworker.client.exchange import Request
from jobworker.client.failures import ConnectionLost
from jobworker.client.frames import End, Frame
from jobworker.client.retry import RetryPolicy
from jobworker.client.session import Session
from support.journal import TIME, Journal

PROFILE = Profile("admin", server="https://127.0.0.1:1", ca="/ca", token="t")
JOURNAL = Journal([("stdout", b"one\n"), ("stderr", b"\xff\n"), ("stdout", b"two\n")])


class Answer:
    """An answer that is ``body`` and then ends, or breaks."""

    reason = ""

    def __init__(self, body: bytes, *, status: int = 200, breaks: bool, width: int = 16) -> None:
        self.status = status
        self.closed = False
        self._pieces = [body[at : at + width] for at in range(0, len(body), width)]
        self._breaks = breaks

    def header(self, _: str) -> str | None:
        return None

    async def piece(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._breaks:
            raise ConnectionLost("it broke")
        return b""

    async def close(self) -> None:
        self.closed = True


class Network:
    """A transport that answers from a journal; each answer by the next of ``events``.

    A number is where the answer breaks, ``None`` lets it come whole, and then no more
    events are needed; an exception is raised in the place of an answer.
    """

    def __init__(self, journal: Journal, events: list[int | Exception | None]) -> None:
        self.journal = journal
        self.events = events
        self.asked: list[str] = []
        self.answers: list[Answer] = []
        self.pauses: list[float] = []

    async def send(self, request: Request) -> Answer:
        self.asked.append(request.target)
        event = self.events.pop(0) if self.events else None
        if isinstance(event, Exception):
            raise event
        query = parse_qs(urlsplit(request.target).query)
        body = self.journal.body(int(query.get("after", ["0"])[0]))
        self.answers.append(Answer(body[:event], breaks=event is not None))
        return self.answers[-1]

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def close(self) -> None:
        """Nothing is open."""


def calls_over(network: Network, patience: RetryPolicy | None = None) -> Calls:
    return Calls(Session(PROFILE, network, patience or RetryPolicy(), None))


async def collect(network: Network, **window: object) -> list[Frame | End]:
    return [frame async for frame in calls_over(network).follow("j-1", **window)]  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(min_size=1)), max_size=8),
    st.integers(1, 20),
    st.lists(st.integers(0, 2000), max_size=12),
)
def test_random_cuts_give_the_same_bytes(
    pieces: list[tuple[str, bytes]], width: int, cuts: list[int]
) -> None:
    journal = Journal(pieces, width)
    network = Network(journal, list(cuts))

    async def check() -> None:
        found = await collect(network)
        for stream in ("stdout", "stderr"):
            got = b"".join(frame.data for frame in found if frame.stream == stream)
            assert got == journal.of(stream)
        assert isinstance(found[-1], End)
        assert sum(isinstance(frame, End) for frame in found) == 1

    run_sync(check())
    assert all(answer.closed for answer in network.answers)


async def test_each_request_asks_for_what_is_behind_the_last_frame() -> None:
    whole = JOURNAL.body()
    behind_two = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    network = Network(JOURNAL, [behind_two + 5, 0, None])
    await collect(network)
    assert network.asked == [
        "/jobs/j-1/output?follow=true",
        "/jobs/j-1/output?follow=true&after=6",
        "/jobs/j-1/output?follow=true&after=6",
    ]
    assert len(network.pauses) == 2


async def test_a_server_that_stops_ends_an_answer_without_the_jobs_end() -> None:
    stopping = Network(Journal(JOURNAL.pieces, ended=False), [])
    calls = calls_over(stopping)
    frames = calls.follow("j-1", after=3)
    assert (await anext(frames)).data == b"\n"
    stopping.journal = JOURNAL
    rest = [frame async for frame in frames]
    assert b"".join(frame.data for frame in rest) == b"\xff\ntwo\n"
    assert isinstance(rest[-1], End)


async def test_the_tail_is_asked_for_until_some_of_it_has_come() -> None:
    network = Network(JOURNAL, [0, 200, None])
    await collect(network, tail=3, streams=["stdout"])
    assert network.asked == [
        "/jobs/j-1/output?follow=true&tail=3&stream=stdout",
        "/jobs/j-1/output?follow=true&tail=3&stream=stdout",
        "/jobs/j-1/output?follow=true&after=6&stream=stdout",
    ]


async def test_both_streams_are_no_choice() -> None:
    network = Network(JOURNAL, [])
    await collect(network, streams=("stdout", "stderr"), since=datetime(2026, 1, 2, tzinfo=UTC))
    assert network.asked == ["/jobs/j-1/output?follow=true&since=2026-01-02T00%3A00%3A00%2B00%3A00"]


async def test_a_time_without_a_zone_is_no_moment() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        await collect(Network(JOURNAL, []), since=datetime(2026, 1, 2))  # noqa: DTZ001


async def test_a_moment_that_has_passed_ends_it_without_the_jobs_end() -> None:
    network = Network(Journal(JOURNAL.pieces, ended=False), [])
    found = await collect(network, until=datetime.now(UTC) - timedelta(seconds=1))
    assert [type(frame) for frame in found] == [Frame] * len(found)
    assert len(network.asked) == 1


async def test_what_there_is_now_is_not_waited_for() -> None:
    network = Network(Journal([("stdout", b"one")], ended=False), [])
    found = [frame async for frame in calls_over(network).frames("j-1")]
    assert found == [Frame(3, TIME, "stdout", b"one")]
    assert network.asked == ["/jobs/j-1/output?follow=false"]


async def test_what_breaks_behind_the_end_breaks_nothing() -> None:
    network = Network(JOURNAL, [100_000])
    assert isinstance((await collect(network))[-1], End)
    assert len(network.asked) == 1


@pytest.mark.parametrize(
    "refusal", [errors.BadAuthentication(), errors.UnauthorizedAction(), errors.JobNotFound()]
)
async def test_a_refusal_ends_it(refusal: errors.JobWorkerError) -> None:
    network = Network(JOURNAL, [5, refusal])
    with pytest.raises(type(refusal)):
        await collect(network)
    assert len(network.asked) == 2


@pytest.mark.parametrize(
    ("events", "asked"),
    [
        ([errors.ServerUnreachable("refused")], 1),
        ([0, errors.ServerUnreachable("refused"), errors.ServiceUnavailable("stopping")], 4),
    ],
    ids=["never reached", "reached before"],
)
async def test_who_was_never_reached_is_not_waited_for(
    events: list[int | Exception | None], asked: int
) -> None:
    network = Network(JOURNAL, events)
    if asked == 1:
        with pytest.raises(errors.ServerUnreachable):
            await collect(network)
    else:
        await collect(network)
    assert len(network.asked) == asked


async def test_it_gives_up_when_the_budget_is_used_up() -> None:
    """Five seconds of pauses do not fit into one."""
    network = Network(JOURNAL, [0] * 100)
    calls = calls_over(network, RetryPolicy(outage=1.0, first_pause=5.0))
    with pytest.raises(errors.ServerUnreachable, match="it broke"):
        _ = [frame async for frame in calls.follow("j-1")]
    assert network.pauses == []


async def test_an_answer_that_is_no_frame_is_named() -> None:
    class Other(Journal):
        def body(self, _: int = 0) -> bytes:
            return b"<html>\n"

    with pytest.raises(errors.JobWorkerError, match="but not as jobd does"):
        await collect(Network(Other([]), []))


async def test_who_leaves_early_lets_go_of_the_connection() -> None:
    network = Network(JOURNAL, [])
    frames = calls_over(network).follow("j-1")
    await anext(frames)
    await frames.aclose()
    assert network.answers[0].closed
