"""The wait for several jobs over one connection, without a thread for each.

Each request is a long poll of one job. Where all have to end, it does not matter which
ends first: each in turn is waited for as long as it takes. Where the first counts, or a
person watches, the jobs are looked at in turn, and ``pace`` says for how long each.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobworker.client.answers import JobView
    from jobworker.client.client import Client

_SHORTEST = 0.05
"""The least seconds of a look: at most 20 requests a second, however many jobs there are."""

_ROUND = (0.5, 5.0)
"""Seconds for a look at every job: at first, and after a minute; an end is noticed that late."""

_TICK = 1.0
"""Seconds between two changes of a line of progress."""


def pace(pending: int, waited: float, *, watched: bool) -> float | None:
    """Seconds to stay with one of ``pending`` jobs; None for as long as it takes.

    A round takes longer the longer the wait has lasted (``waited``, seconds): a person who
    has waited for a minute does not mind 5 seconds.
    """
    if pending == 1:
        return _TICK if watched else None
    least, most = _ROUND
    share = max(_SHORTEST, min(most, max(least, waited / 12)) / pending)
    return min(_TICK, share) if watched else share


def wait(
    client: Client,
    ids: Sequence[str],
    *,
    deadline: float | None,
    first: bool,
    watch: Callable[[int, float], None] | None = None,
) -> Iterator[JobView]:
    """Jobs as their ends are noticed; after the ``deadline`` the others as they are.

    With ``first`` it is only the first that ends. ``watch`` is told every second how many
    have ended, and how many seconds it has lasted.
    """
    began = time.monotonic()
    pending, late, turns = list(ids), [], 0
    while pending:
        patience = None
        if first or watch:
            patience = pace(len(pending), time.monotonic() - began, watched=watch is not None)
            if turns < len(ids):  # it may have ended long ago
                patience = 0.0
        job = client.wait(pending.pop(0), _until(deadline, patience))
        turns += 1
        if job["finishedAt"] is not None:
            yield job
            if first:
                return
        elif deadline is None or time.monotonic() < deadline:
            pending.append(job["id"])
        else:
            late.append(job)
        if watch and pending:
            watch(len(ids) - len(pending) - len(late), time.monotonic() - began)
    yield from late


def _until(deadline: float | None, patience: float | None) -> float | None:
    if deadline is None:
        return patience
    left = max(0.0, deadline - time.monotonic())
    return left if patience is None else min(left, patience)
