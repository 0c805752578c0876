from itertools import product

import pytest

from jobworker.identity.permissions import FOR_EVERY_USER, ON_A_JOB, Action, allowed
from jobworker.identity.users import User
from jobworker.model import Role

ALICE, ROOT = User("alice", Role.USER), User("root", Role.ADMIN)


def expected(user: User | None, action: Action, owner: str | None) -> bool:
    """The contract, written as the list of what is refused."""
    if user is None:
        return action is Action.PUBLIC
    return not (user is ALICE and action in ON_A_JOB and owner != "alice")


@pytest.mark.parametrize(
    ("user", "action", "owner"),
    [*product((None, ALICE, ROOT), Action, (None, "alice", "root", "bob"))],
)
def test_every_combination(user: User | None, action: Action, owner: str | None) -> None:
    assert allowed(user, action, owner) is expected(user, action, owner)


def test_every_action_has_its_rule() -> None:
    """An action that stands in no set would be refused to everybody."""
    assert ON_A_JOB | FOR_EVERY_USER | {Action.PUBLIC} == set(Action)
    assert not ON_A_JOB & FOR_EVERY_USER


def test_a_user_named_like_the_owner_in_other_letters_is_another() -> None:
    assert not allowed(ALICE, Action.STOP, "Alice")
