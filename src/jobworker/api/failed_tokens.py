"""Slows down who shows tokens that do not count.

Nobody can guess one: this is about the work and the lines of the log that each costs. A
source is never locked out, as others may share its address (on this machine every job does):
a good token is looked up and served at once, whatever else comes from there. Only the refusal
waits, so that a connection cannot ask for the next one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network

_log = logging.getLogger(__name__)

BURST = 100
"""Failures that are answered at once: a fleet of scripts whose token has just been revoked."""

RATE = 20.0
"""Failures a second that are answered at once when the burst is over."""

LONGEST = 1.0
"""Most seconds that a refusal waits: nobody who mistypes a token should think that we hang."""

MOST_SOURCES = 4096
"""Sources that are told apart, the busiest of the last seconds; others share one count."""

TELL_AGAIN = 60.0
"""Seconds between two lines of the log about one source."""

_LENIENCE = BURST / RATE
_ELSEWHERE = ""


class FailedTokens:
    """Counts the failures of each source, by a clock that only goes forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<FailedTokens: {len(self._due)} sources>"

    def pause(self, address: str) -> float:
        """Notes a failure from ``address``; returns the seconds that its answer is to wait.

        Each failure moves the time at which the source has made good for all of them by
        1/``RATE`` s; who is more than ``BURST`` of them ahead waits.
        """
        now, source = self._clock(), self._source(address)
        due = max(self._due.get(source, now), now) + 1 / RATE
        self._due[source] = min(due, now + _LENIENCE + LONGEST)
        pause = min(max(due - now - _LENIENCE, 0.0), LONGEST)
        if pause:
            self._tell(source, now)
        return pause

    def _source(self, address: str) -> str:
        source = _network(address)
        if source in self._due or len(self._due) < MOST_SOURCES:
            return source
        now = self._clock()
        self._due = {source: due for source, due in self._due.items() if due > now}
        self._told = {source: at for source, at in self._told.items() if source in self._due}
        return source if len(self._due) < MOST_SOURCES else _ELSEWHERE

    def _tell(self, source: str, now: float) -> None:
        if now - self._told.get(source, -TELL_AGAIN) >= TELL_AGAIN:
            self._told[source] = now
            _log.warning(
                "many tokens from %s do not count: refusals wait, and are not logged one by one",
                source or "many addresses",
            )


def _network(address: str) -> str:
    """The address, or for IPv6 the network of 64 bits, which one host has to itself."""
    if ":" not in address:
        return address
    try:
        return str(ip_network((int(ip_address(address)) >> 64 << 64, 64)))
    except ValueError:  # one with a zone
        return address
