"""The record of a job, read into values; torn or odd sections count as missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from jobworker.model import (
    Cause,
    End,
    Fact,
    Gap,
    StopRequest,
    Stream,
    Usage,
    time_text,
)
from jobworker.supervisor.records import Fields

T = TypeVar("T")

_EVIDENCE = "evidence."
"""The prefix of the key of each field of an exit record that is evidence for its cause."""

_TEXTS = frozenset({"by", "at", "extendedBy", "signal", "sender", "sentAt", "outputError"})


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """The ``launch`` section: written by a supervisor that is about to execute its program."""

    supervisor: int
    supervisor_start: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """The ``refused`` section: the program was not executed, ``failure`` has what these mean."""

    stage: str
    errno: int
    kind: str


@dataclass(frozen=True, slots=True)
class StartRecord:
    """The ``started`` section: written by a supervisor once its program's exec had succeeded."""

    pid: int
    at: datetime
    supervisor: int
    supervisor_start: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Deadline:
    """The number of seconds from its start that a job may run, as ``by`` has changed it."""

    timeout: float
    by: str


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a job's record so far; ``input_over`` once no more input is to come."""

    start: StartRecord | None
    stop: StopRequest | None
    deadline: Deadline | None
    end: End | None
    input_over: bool = False
    launch: LaunchRecord | None = None
    refusal: RefusalRecord | None = None

    @property
    def supervisor(self) -> LaunchRecord | StartRecord | None:
        """The section that names the job's supervisor; None where it is not known yet."""
        return self.start or self.launch


def launch_record(fields: Fields) -> LaunchRecord:
    """Reads the supervisor's account of itself."""
    values = dict(fields)
    return LaunchRecord(
        supervisor=int(values["supervisor"]),
        supervisor_start=int(values["supervisorStart"]),
        boot_id=values["bootId"].decode(),
    )


def refusal_record(fields: Fields) -> RefusalRecord:
    """Reads the supervisor's account of why it did not execute the program."""
    values = dict(fields)
    return RefusalRecord(
        stage=values["stage"].decode(), errno=int(values["errno"]), kind=values["kind"].decode()
    )


def start_record(fields: Fields) -> StartRecord:
    """Reads the supervisor's account of a start."""
    values = dict(fields)
    return StartRecord(
        pid=int(values["pid"]),
        at=_time(values["startedAt"]),
        supervisor=int(values["supervisor"]),
        supervisor_start=int(values["supervisorStart"]),
        boot_id=values["bootId"].decode(),
    )


def end_of(fields: Fields) -> End:
    """Reads the supervisor's account of an end."""
    values = dict(fields)
    started_at = _time(values["startedAt"])
    evidence = evidence_of(fields)
    if timeout := evidence.get("timeout"):
        evidence["deadline"] = time_text(started_at + timedelta(seconds=float(timeout)))
    return End(
        cause=Cause(values["cause"].decode()),
        started_at=started_at,
        finished_at=_time(values["finishedAt"]),
        exit_code=int(values["exitCode"]) if "exitCode" in values else None,
        signal=values["signal"].decode() if "signal" in values else None,
        stopped_by=str(evidence["by"]) if "by" in evidence else None,
        evidence=evidence,
        usage=Usage(
            cpu_seconds=float(values["cpuSeconds"]),
            peak_memory=int(values["peakMemory"]),
            stdout_bytes=int(values["stdoutBytes"]),
            stderr_bytes=int(values["stderrBytes"]),
            dropped_bytes=int(values["droppedBytes"]),
        ),
        gaps=tuple(_gap(value) for key, value in fields if key == "gap"),
    )


def _gap(value: bytes) -> Gap:
    name, start, end = value.decode().split()
    return Gap(Stream[name.upper()], int(start), int(end))


def stop_request(fields: Fields) -> StopRequest:
    """Reads the stop that the server noted last."""
    values = dict(fields)
    at = datetime.fromisoformat(values["at"].decode())
    return StopRequest(values["by"].decode(), at, grace=float(values["grace"]))


def deadline(fields: Fields) -> Deadline:
    """Reads the time limit that the server noted last."""
    values = dict(fields)
    return Deadline(float(values["timeout"]), values["extendedBy"].decode())


def evidence_of(fields: Fields) -> dict[str, Fact]:
    """The evidence in an exit record: text where a name or a time is due, else numbers."""
    found = {key[len(_EVIDENCE) :]: value.decode() for key, value in fields if _is_evidence(key)}
    return {
        key: _text(key, text) if key in _TEXTS else _number(text) for key, text in found.items()
    }


def _text(key: str, text: str) -> str:
    """A text as it is; of an error of the disk the record has the number."""
    return os.strerror(int(text)) if key == "outputError" and text.isdecimal() else text


def _is_evidence(key: str) -> bool:
    return key.startswith(_EVIDENCE)


def _number(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text)


def parse(reader: Callable[[Fields], T], fields: Fields | None) -> T | None:
    """The value that ``reader`` makes of a section; None where it is missing or incomplete."""
    if fields is None:
        return None
    try:
        return reader(fields)
    except (KeyError, ValueError):
        return None


def _time(value: bytes) -> datetime:
    return datetime.fromtimestamp(float(value), UTC)
