"""One key, one job: the answer to a retry of a start with an idempotency key.

The first start with a key is carried out, and its key is recorded together with its job.
A call with the same key while that is under way waits for it and is answered like it; a
later one is given the same job. A start that was refused leaves no key.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from jobworker.errors import IdempotencyKeyReused, InvalidRequest, JobNotFound
from jobworker.jobs.lifecycle import never_ran
from jobworker.jobs.live import LiveJobs
from jobworker.jobs.ports import Archive
from jobworker.model import Job, JobId, KeyBinding, Spec, StartKey

_KEY = re.compile(r"[!-~]{1,255}")


def key_for_start(text: str, spec: Spec) -> StartKey:
    """The key for a start of ``spec``; raises ``InvalidRequest``."""
    return _key(text, "start", spec)


def key_for_rerun(text: str, job_id: JobId) -> StartKey:
    """The key for a rerun of a job; raises ``InvalidRequest``."""
    return _key(text, "rerun", job_id)


def _key(text: str, act: str, of: Spec | JobId) -> StartKey:
    if not _KEY.fullmatch(text):
        raise InvalidRequest(
            "Idempotency-Key must be 1 to 255 visible ASCII characters",
            field="Idempotency-Key",
            hint="a UUID for each thing to be done will do",
        )
    canonical = json.dumps([act, _plain(of)], sort_keys=True, separators=(",", ":"))
    return StartKey(text, hashlib.sha256(canonical.encode("ascii")).digest())


def _plain(value: Any) -> Any:
    """A form of ``value`` that JSON can carry, the same for equal values.

    Fields at their defaults are left out: a version that adds a field must not find
    another digest for the request that it is sent again.
    """
    if is_dataclass(value):
        given = {each.name: (getattr(value, each.name), _default(each)) for each in fields(value)}
        return {name: _plain(is_) for name, (is_, was) in given.items() if is_ != was}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _default(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


class KeyedStarts:
    """The starts with a key that are under way, and the results of those before."""

    def __init__(self, archive: Archive, live_jobs: LiveJobs) -> None:
        self._archive = archive
        self._live_jobs = live_jobs
        self._under_way: dict[tuple[str, str], tuple[bytes, asyncio.Task[Job]]] = {}

    def __repr__(self) -> str:
        # Not the keys: a key and a name are enough to learn of somebody's job.
        return f"<KeyedStarts: {len(self._under_way)} under way>"

    async def once(self, owner: str, key: StartKey, begin: Callable[[], Awaitable[Job]]) -> Job:
        """Lets ``begin`` start the job and record the key, unless that has been done before.

        Raises ``IdempotencyKeyReused`` where the key was used for another request,
        ``JobNotFound`` where its job has been removed since, and the errors of ``begin``.
        """
        name = owner, key.text
        if name not in self._under_way:
            task = asyncio.ensure_future(self._find_or_begin(owner, key, begin))
            self._under_way[name] = key.digest, task
            task.add_done_callback(lambda _: self._under_way.pop(name))
        digest, task = self._under_way[name]
        if digest != key.digest:
            raise IdempotencyKeyReused
        return await asyncio.shield(task)

    async def _find_or_begin(
        self, owner: str, key: StartKey, begin: Callable[[], Awaitable[Job]]
    ) -> Job:
        bound = self._archive.binding(owner, key.text)
        if bound is not None:
            if bound.digest != key.digest:
                raise IdempotencyKeyReused
            if job := self._job_of(bound):
                return job
            await self._archive.release(owner, key.text)
        return await begin()

    def _job_of(self, bound: KeyBinding) -> Job | None:
        """The job that the key stands for; None where its start came to nothing.

        It came to nothing where the program was refused and the archive could not yet
        roll it back, or where a crash came before it was executed and before anybody was
        told of it.
        """
        live = self._live_jobs.get(bound.job_id)
        if live is not None and live.refusal:
            return None
        job = live.job if live else self._archive.get(bound.job_id)
        if job is None:
            raise JobNotFound(
                hint="the job that this Idempotency-Key started has been removed; "
                "a new key starts another"
            )
        return None if never_ran(job) and not bound.acknowledged else job
