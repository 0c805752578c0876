"""Which job is looked at next, for how long, and when it is over."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, cast

import pytest

from jobworker.cli import waiting

if TYPE_CHECKING:
    from jobworker.client.answers import JobView
    from jobworker.client.client import Client


class Server:
    """Jobs that end at a time of a clock that only waiting moves."""

    def __init__(self, ends: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends = ends
        self.now = 0.0
        self.asked: list[tuple[str, float | None]] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        self.asked.append((job_id, timeout))
        end = self.ends[job_id]
        self.now = max(self.now, end if timeout is None else min(end, self.now + timeout))
        finished = "2026-01-31T12:00:00Z" if self.now >= end else None
        return cast("JobView", {"id": job_id, "finishedAt": finished})

    @property
    def client(self) -> Client:
        return cast("Client", self)


def test_all_are_waited_for_with_a_request_each(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server({"a": 100, "b": 5, "c": 200}, monkeypatch)
    seen = list(waiting.wait(server.client, "abc", deadline=None, first=False))
    assert [job["id"] for job in seen] == ["a", "b", "c"]
    assert server.asked == [("a", None), ("b", None), ("c", None)]
    assert server.now == 200


def test_the_first_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server({"a": 1e9, "b": 7.3, "c": 1e9}, monkeypatch)
    (job,) = waiting.wait(server.client, "abc", deadline=None, first=True)
    assert job["id"] == "b"
    assert 7.3 <= server.now <= 8.3


def test_one_that_has_ended_long_ago_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server({"a": 1e9, "b": 0}, monkeypatch)
    (job,) = waiting.wait(server.client, "ab", deadline=None, first=True)
    assert (job["id"], server.now) == ("b", 0)


def test_the_last_one_left_is_waited_for_as_long_as_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server({"a": 1e6}, monkeypatch)
    assert len(list(waiting.wait(server.client, "a", deadline=None, first=True))) == 1
    assert len(server.asked) == 2


@pytest.mark.parametrize("first", [False, True])
def test_after_the_deadline_each_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    server = Server({"a": 1e9, "b": 1e9, "c": 1e9}, monkeypatch)
    seen = list(waiting.wait(server.client, "abc", deadline=30, first=first))
    assert sorted(job["id"] for job in seen) == ["a", "b", "c"]
    assert {job["finishedAt"] for job in seen} == {None}
    assert server.now == pytest.approx(30)


def test_an_end_before_the_deadline_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the deadline is over before its turn comes."""
    server = Server({"a": 1e9, "b": 10}, monkeypatch)
    seen = list(waiting.wait(server.client, "ab", deadline=30, first=False))
    assert [(job["id"], job["finishedAt"] is None) for job in seen] == [("b", False), ("a", True)]


def test_somebody_who_watches_is_told_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server({"a": 60, "b": 20.5, "c": 3}, monkeypatch)
    told: list[tuple[int, float]] = []
    seen = waiting.wait(
        server.client, "abc", deadline=None, first=False, watch=lambda *what: told.append(what)
    )
    assert {job["id"] for job in seen} == {"a", "b", "c"}
    pauses = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(told)]
    assert max(pauses) < 1.01
    assert [ended for ended, _ in told] == sorted(ended for ended, _ in told)
    assert next(at for ended, at in told if ended == 2) <= 20.5 + 5


@pytest.mark.parametrize("pending", [2, 5, 100, 5000])
@pytest.mark.parametrize("waited", [0, 1, 60, 1e6])
@pytest.mark.parametrize("watched", [False, True])
def test_the_pace_is_bounded(pending: int, waited: float, *, watched: bool) -> None:
    """Never more than 20 requests a second; a round in 5 s, where that allows it."""
    patience = waiting.pace(pending, waited, watched=watched)
    assert patience is not None
    assert patience >= 0.05
    assert patience * pending <= max(5, 0.05 * pending)


def test_who_waits_longer_is_asked_for_less(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server({"a": 3600, "b": 1e9}, monkeypatch)
    list(waiting.wait(server.client, "ab", deadline=None, first=True))
    assert len(server.asked) < 1600  # in an hour
