"""What a supervisor is told to execute: the job's spec as fields of its record. Pure."""

from __future__ import annotations

import os

from jobworker.model import Job, Level
from jobworker.supervisor.records import Fields
from jobworker.supervisor.scratch import MACHINE_TMP, shared_name
from jobworker.supervisor.site import OWN_NAMESPACES

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def spec_fields(job: Job, level: Level) -> Fields:
    """The record ``spec`` for a job at a level of containment."""
    spec = job.spec
    fields = [("arg", os.fsencode(text)) for text in (spec.program, *spec.args)]
    environment = _environment(job, level) | dict(spec.env)
    fields += [("env", os.fsencode(f"{key}={value}")) for key, value in environment.items()]
    if spec.cwd is not None:
        fields.append(("cwd", os.fsencode(spec.cwd)))
    if spec.limits.timeout is not None:
        fields += [("timeout", b"%.3f" % spec.limits.timeout), ("grace", b"%.3f" % spec.grace)]
    return fields


def _environment(job: Job, level: Level) -> dict[str, str]:
    """What every job gets: nothing is inherited from the server."""
    tmp = MACHINE_TMP  # the job's own, where it has its own mounts
    if level not in OWN_NAMESPACES:
        tmp = f"{tmp}/{shared_name(job.id)}"
    return {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "HOME": tmp,
        "TMPDIR": tmp,
        "USER": job.owner,
        "LOGNAME": job.owner,
        "JOBD_JOB_ID": job.id,
    }
