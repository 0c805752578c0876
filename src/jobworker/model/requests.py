"""The requests of users to jobs, and the roles of users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """The rights of a user: to own jobs only, or to everything."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class StartKey:
    """An idempotency key, and the digest of the request that it came with."""

    text: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A request to stop: by whom, when, and the seconds from SIGTERM to SIGKILL.

    A grace of 0 means SIGKILL at once.
    """

    by: str
    at: datetime
    grace: float = 0.0


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """A request to send a job's program the signal of a number (signal(7)): by whom, when."""

    number: int
    by: str
    at: datetime
