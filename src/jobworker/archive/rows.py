"""Jobs as rows and rows as jobs."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import MISSING
from typing import Any

import msgspec
from sqlalchemy import Row

from jobworker.model import (
    Completed,
    End,
    Failed,
    Final,
    Job,
    JobId,
    Limits,
    Queued,
    Spec,
    Starting,
    Stopped,
    Terms,
    Usage,
    brief,
    from_microseconds,
    microseconds,
)

# In ASCII, because it then carries lone surrogates and NUL through every database.
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))

_BESIDE = 1024
"""Bytes that a job takes beside what it has as JSON in its row."""

_FINAL: dict[str, type[Final]] = {kind.name: kind for kind in (Completed, Failed, Stopped)}


def searchable(text: str) -> str:
    r"""``text`` as a filter finds it: surrogate escapes, which no database takes, as ``\udcff``.

    Two texts may give the same result; the exact one stands in the spec.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


ADMITTED = "Admitted"
"""The status, in its row, of a job that had to queue and is to be started: it counts as running."""


ACCEPTED = (
    "id",
    "owner",
    "status",
    "program",
    "name",
    "created_at",
    "spec",
    "terms",
    "containment",
    "node",
)
"""The columns of ``accepted``."""

ENDING = ("status", "cause", "finished_at", "exit_code", "end", "terms")
"""The columns of ``ending``."""


def accepted(job: Job) -> dict[str, Any]:
    """The row of a job that has just been accepted."""
    name = job.spec.name
    return {
        "id": str(job.id),
        "owner": job.owner,
        "status": job.status.name.value,
        "program": searchable(job.spec.program),
        "name": None if name is None else searchable(name),
        "created_at": microseconds(job.created_at),
        "spec": _to_json(job.spec),
        "terms": _to_json(job.terms),
        "containment": job.containment,
        "node": job.node,
    }


def ending(job: Job) -> dict[str, Any]:
    """The columns that change in the row of a job when it ends."""
    assert job.end
    return {
        "status": job.status.name.value,
        "cause": job.end.cause.value,
        "finished_at": microseconds(job.end.finished_at),
        "exit_code": job.end.exit_code,
        "end": _to_json(job.end),
        "terms": _to_json(job.terms),  # those of a job that was queued are settled at its start
    }


def job_of(row: Row[Any]) -> Job:
    """The job of a row of the table ``jobs``."""
    spec, terms = _asked_and_granted(row)
    return Job(
        id=JobId(row.id),
        owner=row.owner,
        spec=spec,
        terms=terms,
        status=_status_of(row),
        created_at=from_microseconds(row.created_at),
        containment=row.containment,
        node=row.node,
    )


def brief_of(row: Row[Any]) -> tuple[Job, int]:
    """The job of a row without what is long in its spec, and roughly its bytes as JSON."""
    job = brief(job_of(row))
    spec = _to_json(job.spec) if job.cut else row.spec
    return job, _BESIDE + len(spec) + len(row.terms or "") + len(row.end or "")


def _asked_and_granted(row: Row[Any]) -> tuple[Spec, Terms]:
    """Spec and terms of a row.

    Rows from before there were terms have one spec for both, in which ``imposed`` names
    the fields that were set by the policy.
    """
    fields = json.loads(row.spec)
    if row.terms is not None:
        return msgspec.convert(fields, Spec), msgspec.convert(json.loads(row.terms), Terms)
    imposed = set(fields.pop("imposed", ()))
    granted = msgspec.convert(fields, Spec)
    terms = Terms(granted.limits, granted.network, granted.run_as)
    unlimited: dict[str, Any] = {
        each.name: None for each in dataclasses.fields(Limits) if each.name in imposed
    }
    asked = dataclasses.replace(
        granted,
        limits=dataclasses.replace(granted.limits, **unlimited),
        network=granted.network or "network" in imposed,
        run_as=None if "run_as" in imposed else granted.run_as,
    )
    return asked, terms


def _status_of(row: Row[Any]) -> Queued | Starting | Final:
    if row.end is None:
        if row.status == Queued.name:
            return Queued()
        return Starting(acknowledged=row.status == ADMITTED)
    return _FINAL[row.status](msgspec.convert(json.loads(row.end), End))


def _to_json(value: Spec | Terms | End) -> str:
    return _ENCODER.encode(_told(value))


def _told(value: Any) -> Any:
    """The fields of ``value`` as JSON has them, without those that have their defaults.

    They would be two thirds of a usual row. Rows of earlier versions have them.
    """
    defaults = _DEFAULTS.get(type(value))
    if defaults is None:
        return msgspec.to_builtins(value)
    fields = ((name, getattr(value, name), default) for name, default in defaults)
    return {name: _told(own) for name, own, default in fields if own != default}


def _defaults(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """The fields' names and defaults; ``MISSING`` where there is none, which nothing equals."""
    return tuple(
        (
            each.name,
            each.default if each.default_factory is MISSING else each.default_factory(),
        )
        for each in dataclasses.fields(kind)
    )


_DEFAULTS = {kind: _defaults(kind) for kind in (Spec, Terms, Limits, End, Usage)}
"""The kinds of values that leave out defaults. A default is one for ever: another one, some day,
would be read into all rows that were written before."""
