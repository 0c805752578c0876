"""When a job has to end, and why: decided without a process or a clock."""

from __future__ import annotations

from jobworker.supervisor.ending import ASK, KILL, Ending
from jobworker.supervisor.records import Fields


def stop(grace: float, by: str = "alice") -> Fields:
    return [("by", by.encode()), ("grace", b"%.3f" % grace)]


def test_nothing_is_due_of_itself() -> None:
    ending = Ending()
    assert (ending.due_at(), ending.due(1e9), ending.cause, ending.evidence()) == (
        None,
        None,
        None,
        [],
    )


def test_a_stop_without_grace_kills_at_once() -> None:
    ending = Ending()
    assert ending.stop(5, stop(0)) == KILL
    assert ending.cause == b"stopped"
    assert ending.due_at() is None
    assert ("evidence.by", b"alice") in ending.evidence()


def test_a_stop_with_grace_asks_and_kills_later() -> None:
    ending = Ending()
    assert ending.stop(5, stop(10)) == ASK
    assert ending.due(14.9) is None
    assert ending.due_at() == 15
    assert ending.due(15) == KILL
    assert ending.due(16) is None


def test_a_second_stop_only_hastens() -> None:
    ending = Ending()
    assert ending.stop(5, stop(10)) == ASK
    assert ending.stop(6, stop(60)) is None
    assert ending.due_at() == 15
    assert ending.stop(6, stop(2, by="bob")) is None, "it has been asked already"
    assert ending.due_at() == 8
    assert ending.stop(7, stop(0)) == KILL
    assert ("evidence.by", b"alice") in ending.evidence(), "what came first is the cause"


def test_the_time_limit_asks_and_kills_after_its_grace() -> None:
    ending = Ending()
    ending.limit_time(100, 10, 3)
    assert ending.due(109.9) is None
    assert ending.due(110) == ASK
    assert ending.cause == b"timeout"
    assert ending.due_at() == 113
    assert ending.due(113) == KILL
    assert ending.evidence() == [("evidence.timeout", b"10.000"), ("evidence.grace", b"3.000")]


def test_the_time_limit_without_grace_kills() -> None:
    ending = Ending()
    ending.limit_time(100, 10, 0)
    assert ending.due(110) == KILL


def test_a_deadline_that_moves_is_counted_from_the_start() -> None:
    ending = Ending()
    ending.limit_time(100, 10, 0)
    ending.move_deadline([("timeout", b"60.000"), ("extendedBy", b"bob")])
    assert ending.due(110) is None
    assert ending.due_at() == 160
    assert ending.due(160) == KILL
    assert ("evidence.extendedBy", b"bob") in ending.evidence()


def test_a_time_limit_after_a_stop_does_not_change_the_cause() -> None:
    ending = Ending()
    ending.limit_time(100, 10, 0)
    assert ending.stop(105, stop(60)) == ASK
    assert ending.due(110) is None
    assert ending.due_at() == 165
    assert ending.cause == b"stopped"


def test_a_stop_after_the_time_limit_may_hasten_the_end() -> None:
    ending = Ending()
    ending.limit_time(100, 10, 60)
    assert ending.due(110) == ASK
    assert ending.stop(111, stop(0)) == KILL
    assert ending.cause == b"timeout"
