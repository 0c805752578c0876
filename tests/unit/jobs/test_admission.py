"""Who may start, who waits, who is next."""

from __future__ import annotations

import pytest

from jobworker.errors import TooManyJobs
from jobworker.jobs.admission import Admission
from jobworker.model import JobId
from jobworker.policy.rules import QueueBounds


def wait(admission: Admission, owner: str) -> JobId:
    assert not admission.enter(owner)
    job_id = JobId.new()
    admission.enqueue(job_id, owner)
    return job_id


def test_without_bounds_everybody_enters() -> None:
    admission = Admission(QueueBounds())
    assert all(admission.enter("alice") for _ in range(10_000))
    assert admission.next() is None


def test_a_place_that_is_given_back_goes_to_who_waits() -> None:
    admission = Admission(QueueBounds(running=1))
    assert admission.enter("alice")
    first, second = wait(admission, "alice"), wait(admission, "alice")
    assert admission.next() is None
    admission.leave("alice")
    assert admission.next() == first
    assert admission.next() is None
    admission.leave("alice")
    assert admission.next() == second


def test_a_user_who_fills_the_line_does_not_hold_up_another() -> None:
    admission = Admission(QueueBounds(running=2))
    assert admission.enter("alice")
    assert admission.enter("alice")
    many = [wait(admission, "alice") for _ in range(50)]
    late = wait(admission, "bob")
    admission.leave("alice")
    assert admission.next() == late
    admission.leave("alice")
    assert admission.next() == many[0], "alice has none running now, and bob has one"


def test_users_take_turns() -> None:
    """Or who has queued a hundred jobs first would have all of them done first."""
    admission = Admission(QueueBounds(running=1))
    assert admission.enter("alice")
    alices = [wait(admission, "alice") for _ in range(3)]
    bobs = [wait(admission, "bob") for _ in range(2)]
    order = []
    running = "alice"
    for _ in range(5):
        admission.leave(running)
        job_id = admission.next()
        assert job_id is not None
        order.append(job_id)
        running = "bob" if job_id in bobs else "alice"
    assert order == [bobs[0], alices[0], bobs[1], alices[1], alices[2]]


def test_among_equals_the_one_who_has_waited_longest_goes_first() -> None:
    admission = Admission(QueueBounds(running=1))
    assert admission.enter("alice")
    first, second = wait(admission, "carol"), wait(admission, "bob")
    admission.leave("alice")
    assert admission.next() == first
    admission.leave("carol")
    assert admission.next() == second


def test_a_user_has_no_more_than_the_bound_of_each() -> None:
    admission = Admission(QueueBounds(running_per_user=1))
    assert admission.enter("alice")
    waiting = wait(admission, "alice")
    assert admission.enter("bob"), "a bound of one user is none of another's"
    assert admission.next() is None
    admission.leave("alice")
    assert admission.next() == waiting


@pytest.mark.parametrize("queued", [0, 1, 3])
def test_no_more_may_wait_than_the_bound(queued: int) -> None:
    admission = Admission(QueueBounds(running=1, queued=queued))
    assert admission.enter("alice")
    waiting = [wait(admission, "alice") for _ in range(queued)]
    with pytest.raises(TooManyJobs):
        admission.enter("bob")
    for job_id in waiting:
        admission.dequeue(job_id, "alice")
        admission.dequeue(job_id, "alice")  # twice is no more than once
    if queued:
        assert not admission.enter("bob")
        admission.give_up()
        assert not admission.enter("bob")


def test_jobs_of_a_server_before_count_although_they_are_too_many() -> None:
    admission = Admission(QueueBounds(running=1, queued=0))
    for _ in range(3):
        admission.occupy("alice")
    admission.expect()
    job_id = JobId.new()
    admission.enqueue(job_id, "bob")
    for _ in range(2):
        admission.leave("alice")
        assert admission.next() is None
    admission.leave("alice")
    assert admission.next() == job_id
