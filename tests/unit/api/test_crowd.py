"""Which connections are closed where there are too many."""

from __future__ import annotations

from jobworker.api.callers import Callers
from jobworker.api.server.crowd import (
    A_MOMENT,
    A_WHILE,
    GRACE,
    Seen,
    Stranger,
    surplus_idle,
    surplus_strangers,
)
from jobworker.api.server.gate import FdBudget

BUDGET = FdBudget(256)


def stranger(number: int, silent_for: float, *, spoken: bool = False) -> Stranger:
    return Stranger(Seen(number, ("192.0.2.1", str(number))), spoken, silent_for)


def known(number: int, user: str, *, busy: bool = False, answered: float = 0.0) -> Seen:
    return Seen(number, ("192.0.2.1", str(number)), user, busy, answered)


def test_few_strangers_are_left_alone_however_long_they_are_silent() -> None:
    crowd = [stranger(number, 100.0) for number in range(BUDGET.strangers)]
    assert surplus_strangers(crowd, BUDGET)[1] == 0


def test_more_have_a_grace() -> None:
    crowd = [stranger(number, GRACE + 1) for number in range(BUDGET.strangers)]
    assert surplus_strangers([*crowd, stranger(99, 0.1)], BUDGET)[1] == 1
    young = [stranger(number, 0.1) for number in range(BUDGET.strangers + 5)]
    assert surplus_strangers(young, BUDGET)[1] == 0


def test_far_more_have_none() -> None:
    crowd = [stranger(number, 0.0) for number in range(BUDGET.strangers_at_most + 3)]
    assert surplus_strangers(crowd, BUDGET)[1] == 3


def test_the_longest_silent_go_first_and_those_in_a_handshake_after_those_who_say_nothing() -> None:
    crowd = [
        stranger(6, A_MOMENT / 2),
        stranger(5, A_MOMENT / 3, spoken=True),
        stranger(4, A_WHILE / 2, spoken=True),
        stranger(3, A_MOMENT * 2),
        stranger(2, A_WHILE * 3, spoken=True),
        stranger(1, A_WHILE * 2),
    ]
    assert [one.fd for one in surplus_strangers(crowd, BUDGET)[0]] == [1, 2, 3, 4, 6, 5]


def test_of_idle_connections_the_oldest_of_who_has_most_go_first() -> None:
    mine = [known(number, "alice", answered=float(number)) for number in range(5)]
    others = [known(10, "bob"), known(11, "bob"), known(12, "carol")]
    closed = list(surplus_idle([*others, *reversed(mine)], 4))
    assert [one.fd for one in closed] == [0, 1, 2, 3]


def test_what_is_being_answered_is_never_closed() -> None:
    busy = [known(number, "alice", busy=True) for number in range(9)]
    assert [one.fd for one in surplus_idle([*busy, known(20, "bob")], 2)] == [20]


def test_callers_that_are_gone_are_forgotten_unless_they_are_being_answered() -> None:
    callers = Callers()
    gone, here, busy = (callers.enter(("192.0.2.1", port), "alice") for port in "123")
    for one in (gone, here):
        one.leave()
    callers.keep({("192.0.2.1", "2")})
    assert len(callers) == 2
    assert callers.get(("192.0.2.1", "1")) is None
    assert callers.get(("192.0.2.1", "3")) is busy
