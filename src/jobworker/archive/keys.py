"""The idempotency keys and their jobs: the statements, and the writes made of them."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from jobworker.archive.tables import idempotency_keys as keys
from jobworker.errors import ServiceUnavailable
from jobworker.model import Job, JobId, KeyBinding, Queued, StartKey

_THIS: ColumnElement[bool] = (keys.c.owner == bindparam("who")) & (keys.c.key == bindparam("text"))

_BIND = insert(keys)
_BINDING = select(keys.c.digest, keys.c.job, keys.c.acknowledged).where(_THIS)
_RELEASE = delete(keys).where(_THIS)
_RELEASE_OF = delete(keys).where(keys.c.job == bindparam("of"))


def bind(connection: Connection, job: Job, key: StartKey) -> None:
    """Binds the key to the job; raises ``ServiceUnavailable`` where it is taken."""
    row = {
        "owner": job.owner,
        "key": key.text,
        "digest": key.digest,
        "job": str(job.id),
        "acknowledged": isinstance(job.status, Queued),
    }
    try:
        connection.execute(_BIND, row)
    except IntegrityError:
        # Only another server on the same database can have come between.
        raise ServiceUnavailable(
            "the idempotency key was used by another start at the same moment", hint="try again"
        ) from None


def binding(owner: str, key: str, connection: Connection) -> KeyBinding | None:
    """The request and job that the owner's key is bound to, or None where it is free."""
    row = connection.execute(_BINDING, {"who": owner, "text": key}).one_or_none()
    return row and KeyBinding(row.digest, JobId(row.job), row.acknowledged)


def release(owner: str, key: str, connection: Connection) -> None:
    """Frees the owner's key."""
    connection.execute(_RELEASE, {"who": owner, "text": key})


def release_of(connection: Connection, job_id: JobId) -> None:
    """Frees the key of a job, where it had one."""
    connection.execute(_RELEASE_OF, {"of": str(job_id)})
