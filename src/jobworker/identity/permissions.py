"""The permission of a user for an action: one pure decision for every route."""

from __future__ import annotations

from enum import StrEnum

from jobworker.identity.users import User
from jobworker.model import Role


class Action(StrEnum):
    """An action of a route; each route names one."""

    START = "start"
    STOP = "stop"
    EXTEND = "extend"
    SIGNAL = "signal"
    RERUN = "rerun"
    STATUS = "status"
    OUTPUT = "output"
    INPUT = "input"
    LIST = "list"
    REMOVE = "remove"
    CAN_START = "can-start"
    WHOAMI = "whoami"
    PUBLIC = "public"


ON_A_JOB = frozenset(
    {
        Action.STOP,
        Action.EXTEND,
        Action.SIGNAL,
        Action.RERUN,
        Action.STATUS,
        Action.OUTPUT,
        Action.INPUT,
        Action.REMOVE,
    }
)
"""Actions on one job: for its owner and for admins."""

FOR_EVERY_USER = frozenset({Action.START, Action.CAN_START, Action.LIST, Action.WHOAMI})
"""Actions that need no job to be looked up. The handler of LIST decides whose jobs it shows."""


def allowed(user: User | None, action: Action, job_owner: str | None = None) -> bool:
    """Whether ``user`` may do ``action`` to a job of ``job_owner``.

    ``user`` is None for a caller who has not been authenticated, ``job_owner`` where
    there is no job.
    """
    if action is Action.PUBLIC:
        return True
    if user is None:
        return False
    if action in FOR_EVERY_USER:
        return True
    return action in ON_A_JOB and (user.role is Role.ADMIN or user.name == job_owner)
