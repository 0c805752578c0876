"""Queries for jobs: by their properties, page by page, or by the key of their start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from jobworker.model.job import Job, JobId, StatusName


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """The meaning of an owner's idempotency key: a request, by its digest, and its job.

    It is ``acknowledged`` where the job had to queue, so that its ID was answered before it
    ran.
    """

    digest: bytes
    job_id: JobId
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class JobQuery:
    """The conditions for a list of jobs, newest first; each one that is set must hold.

    ``program`` and ``name`` must match whole; ``since`` and ``until`` bound the time
    of creation (``since`` included, ``until`` not). ``cursor`` is the ``next`` of the
    page before.
    """

    owner: str | None = None
    status: StatusName | None = None
    program: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    id_prefix: str | None = None
    limit: int = 100
    cursor: str | None = None

    def matches(self, job: Job) -> bool:
        """Whether the conditions hold for ``job``; which page it is on is another matter."""
        return (
            self.owner in (None, job.owner)
            and self.status in (None, job.status.name)
            and self.program in (None, job.spec.program)
            and self.name in (None, job.spec.name)
            and self.labels.items() <= job.spec.labels.items()
            and (self.since is None or self.since <= job.created_at)
            and (self.until is None or job.created_at < self.until)
            and job.id.startswith(self.id_prefix or "")
        )


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ``next`` is the cursor of the page after, or None."""

    jobs: tuple[Job, ...]
    next: str | None
