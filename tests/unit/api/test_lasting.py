"""The bounds on requests that last."""

from __future__ import annotations

import pytest

from jobworker.api.lasting import Lasting
from jobworker.errors import TooManyRequests


def test_one_user_has_a_bound_and_another_his_own() -> None:
    lasting = Lasting("waits", most=10)
    held = [lasting.take("alice", 2) for _ in range(2)]
    with pytest.raises(TooManyRequests, match="alice has 2 waits at once, the most for one user"):
        lasting.take("alice", 2)
    lasting.take("bob", 2)
    held[0].close()
    lasting.take("alice", 2)


def test_all_users_together_have_one() -> None:
    lasting = Lasting("waits", most=2)
    lasting.take("alice", 2)
    lasting.take("bob", 2)
    with pytest.raises(TooManyRequests, match="the server has 2 waits at once"):
        lasting.take("carol", 2)


def test_one_user_has_half_of_few() -> None:
    lasting = Lasting("waits", most=5)
    for _ in range(3):
        lasting.take("alice", 200)
    with pytest.raises(TooManyRequests, match="alice has 3 waits at once"):
        lasting.take("alice", 200)
    lasting.take("bob", 200)


def test_a_place_is_given_back_once() -> None:
    lasting = Lasting("waits", most=2)
    place = lasting.take("alice", 2)
    with place:
        assert repr(lasting) == "<Lasting: 1 of 2 waits, 1 users>"
    place.close()
    assert repr(lasting) == "<Lasting: 0 of 2 waits, 0 users>"
