"""When a job has to end, and why: decided without a process or a clock."""

from __future__ import annotations

import ctypes

from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker.supervisor import records
from jobworker.supervisor.records import Fields
from support import native

pytestmark = native.needs_compiler

NONE, ASK, KILL = 0, 1, 2
"""The actions of ``enum action``; without one there is ``None``."""


class Ending:
    """A ``struct ending``."""

    def __init__(self) -> None:
        self._library = native.library()
        self._library.ending_due_at.restype = ctypes.c_bool
        self._ending = native.zeroed("ending")
        self._library.ending_init(self._ending)

    def limit_time(self, now: float, timeout: float, grace: float) -> None:
        self._library.ending_limit_time(self._ending, *map(ctypes.c_double, (now, timeout, grace)))

    def move_deadline(self, section: Fields) -> None:
        data = records.pack(section)
        self._library.view_move_deadline(self._ending, data, ctypes.c_size_t(len(data)))

    def stop(self, now: float, section: Fields) -> int | None:
        data = records.pack(section)
        size = ctypes.c_size_t(len(data))
        return self._library.view_stop(self._ending, ctypes.c_double(now), data, size) or None

    def end_now(self, cause: bytes, why: Fields) -> int | None:
        told = native.FieldsOut()
        for key, value in why:
            self._library.fields_add(told.reference, key.encode(), value)
        # The cause is to stay where it is, as the constants of attend.c do.
        self._cause = ctypes.create_string_buffer(cause)
        return self._library.ending_now(self._ending, self._cause, told.reference) or None

    def due_at(self) -> float | None:
        at = ctypes.c_double()
        found = self._library.ending_due_at(self._ending, ctypes.byref(at))
        return at.value if found else None

    def due(self, now: float) -> int | None:
        return self._library.ending_due(self._ending, ctypes.c_double(now)) or None

    @property
    def cause(self) -> bytes | None:
        return dict(self._told()).get("cause")

    def evidence(self) -> Fields:
        return [(key, value) for key, value in self._told() if key != "cause"]

    def _told(self) -> Fields:
        told = native.FieldsOut()
        self._library.view_ending(self._ending, told.reference)
        return told.fields()


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


def test_an_end_of_our_own_kills_and_is_the_cause_unless_there_is_one() -> None:
    why = [("evidence.outputLimit", b"10"), ("evidence.outputBytes", b"11")]
    ending = Ending()
    assert ending.end_now(b"output-limit", why) == KILL
    assert (ending.cause, ending.evidence()) == (b"output-limit", why)
    assert ending.stop(5, stop(0)) is None
    asked = Ending()
    asked.stop(5, stop(10))
    assert asked.end_now(b"output-limit", why) == KILL
    assert asked.cause == b"stopped"
    assert not dict(asked.evidence()).keys() & dict(why).keys()


def test_a_deadline_without_a_time_changes_nothing() -> None:
    ending = Ending()
    ending.limit_time(100, 10, 0)
    ending.move_deadline([("extendedBy", b"bob")])
    assert ending.due_at() == 110


def test_evidence_that_has_no_room_is_left_out_and_the_job_ends_all_the_same() -> None:
    ending = Ending()
    ending.limit_time(100, 10, 0)
    assert ending.stop(5, [("note", b"x" * 5000), ("k" * 500, b"y"), *stop(0)]) == KILL
    evidence = dict(ending.evidence())
    assert "evidence.note" not in evidence
    assert evidence["evidence.by"] == b"alice"
    other = Ending()
    other.limit_time(100, 10, 0)
    other.move_deadline([("timeout", b"20"), ("extendedBy", b"z" * 5000)])
    assert other.due(120) == KILL


SECONDS = st.integers(0, 20).map(float)


@given(
    st.one_of(st.none(), st.tuples(SECONDS, SECONDS)),
    st.lists(st.tuples(SECONDS, st.one_of(st.none(), SECONDS)), max_size=12),
)
@settings(deadline=None)
def test_a_job_is_asked_once_and_killed_no_later_than_each_stop_said(
    limit: tuple[float, float] | None, steps: list[tuple[float, float | None]]
) -> None:
    """Each step is some time that passes, and then a stop with a grace, or none."""
    ending = Ending()
    if limit:
        ending.limit_time(0, *limit)
    now, latest, done = 0.0, float("inf"), []
    for passed, grace in steps:
        now += passed
        done += [ending.due(now), ending.due(now)]  # a limit and then its grace
        assert now < latest or KILL in done
        if grace is not None:
            latest = min(latest, now + grace)
            done.append(ending.stop(now, stop(grace)))
        assert now < latest or KILL in done
    assert done.count(ASK) <= 1
    assert done.count(KILL) <= 1
    assert ASK not in done or KILL not in done or done.index(ASK) < done.index(KILL)
