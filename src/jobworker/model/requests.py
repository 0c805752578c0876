"""What users ask of jobs, and in which role."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a user may do: own jobs only, or everything."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class StartKey:
    """An idempotency key, and the digest of the request that it came with."""

    text: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Who asked for a stop, when, and how many seconds after SIGTERM SIGKILL comes.

    A grace of 0 means SIGKILL at once.
    """

    by: str
    at: datetime
    grace: float = 0.0


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """Who sends a signal of that number (signal(7)) to a job's program, and when."""

    number: int
    by: str
    at: datetime
