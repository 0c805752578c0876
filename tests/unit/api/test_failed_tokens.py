"""How long the refusal of a token waits."""

from __future__ import annotations

import logging

import pytest

from jobworker.api import failed_tokens
from jobworker.api.failed_tokens import BURST, LONGEST, RATE, FailedTokens


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_answered_at_once_and_then_each_waits_longer_up_to_a_second() -> None:
    failed = FailedTokens(Clock())
    assert {failed.pause("192.0.2.1") for _ in range(BURST)} == {0.0}
    pauses = [failed.pause("192.0.2.1") for _ in range(BURST)]
    assert pauses == sorted(pauses)
    assert 0 < pauses[0] < pauses[5] < pauses[-1] == LONGEST


def test_a_source_makes_good_by_waiting() -> None:
    clock = Clock()
    failed = FailedTokens(clock)
    for _ in range(10 * BURST):
        failed.pause("192.0.2.1")
    clock.now += LONGEST + 2 / RATE
    assert failed.pause("192.0.2.1") == 0


def test_sources_are_told_apart_and_a_network_of_ipv6_is_one() -> None:
    failed = FailedTokens(Clock())
    for number in range(2 * BURST):
        failed.pause(f"2001:db8::{number:x}")
    assert failed.pause("2001:db8::ffff") == LONGEST
    assert failed.pause("2001:db8:0:1::1") == 0
    assert failed.pause("fe80::1%eth0") == 0


def test_the_table_of_sources_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_tokens, "MOST_SOURCES", 3)
    clock = Clock()
    failed = FailedTokens(clock)
    for number in range(10):
        failed.pause(f"192.0.2.{number}")
    assert repr(failed) == "<FailedTokens: 4 sources>"
    clock.now += 10
    failed.pause("192.0.2.77")
    assert repr(failed) == "<FailedTokens: 1 sources>"


def test_one_line_a_minute_tells_of_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    failed = FailedTokens(clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(3 * BURST):
            failed.pause("192.0.2.1")
        clock.now += failed_tokens.TELL_AGAIN
        for _ in range(3 * BURST):
            failed.pause("192.0.2.1")
    assert len(caplog.records) == 2
    assert "many tokens from 192.0.2.1 do not count" in caplog.text
