"""When the client asks again, and when it gives up."""

from __future__ import annotations

import pytest

from jobworker.client.retry import RetryPolicy, RetryState
from jobworker.errors import ServerUnreachable, ServiceUnavailable

AWAY = ServerUnreachable("refused")


def pauses(outage: RetryState, times: int) -> list[float]:
    """The pauses of so many attempts that fail at once."""
    found, now = [], 100.0
    for _ in range(times):
        retry = outage.retry(AWAY, now, chance=0.0)
        if retry is None:
            break
        found.append(retry.pause)
        now += retry.pause
    return found


def test_pauses_double_up_to_the_longest() -> None:
    outage = RetryState(RetryPolicy(first_pause=1.0, longest_pause=5.0), 100.0)
    assert pauses(outage, 5) == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_chance_takes_half_of_a_pause_at_most() -> None:
    outage = RetryState(RetryPolicy(first_pause=1.0), 100.0)
    retry = outage.retry(AWAY, 0.0, chance=1.0)
    assert retry
    assert (retry.pause, retry.attempt, retry.error) == (0.5, 1, AWAY)


def test_the_budget_is_of_one_outage() -> None:
    outage = RetryState(RetryPolicy(first_pause=1.0, longest_pause=1.0), 3.0)
    assert len(pauses(outage, 100)) == 3
    outage.answered()
    assert outage.retry(AWAY, 1000.0, chance=0.0)


def test_who_answers_and_hangs_up_is_not_asked_in_a_rush() -> None:
    outage = RetryState(RetryPolicy(first_pause=1.0, longest_pause=60.0), 1000.0)
    pauses(outage, 3)
    outage.answered()
    assert pauses(outage, 1) == [8.0]
    outage.over()
    assert pauses(outage, 1) == [1.0]


def test_no_budget_is_no_retry() -> None:
    assert RetryState(RetryPolicy(), 0.0).retry(AWAY, 0.0) is None


@pytest.mark.parametrize(("asks", "pause"), [(2.0, 2.0), (900.0, 5.0), (0.0, 0.1)])
def test_the_servers_own_wish_counts_within_reason(asks: float, pause: float) -> None:
    error = ServiceUnavailable("stopping")
    error.retry_after = asks
    retry = RetryState(RetryPolicy(), 100.0).retry(error, 0.0, chance=0.0)
    assert retry
    assert retry.pause == pause


def test_it_can_be_asked_for_ever() -> None:
    """No overflow, however long the server stays away."""
    outage = RetryState(RetryPolicy(), float("inf"))
    for _ in range(2000):
        assert outage.retry(AWAY, 0.0, chance=0.0)
