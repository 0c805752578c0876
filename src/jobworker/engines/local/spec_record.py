"""The orders for a supervisor: spec and grant as fields of the job's record. Pure."""

from __future__ import annotations

import os

from jobworker.engines.host.enforcement import limit_fields
from jobworker.engines.host.hiding import of_home
from jobworker.engines.local.account_files import SHELL, JobAccount
from jobworker.model import Executable, Grant, Input, Job, Level
from jobworker.supervisor import records
from jobworker.supervisor.names import MACHINE_TMP, OWN_NAMESPACES, shared_name
from jobworker.supervisor.records import Fields

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_STDIN = {"given": records.GIVEN, "pipe": records.FED, "terminal": records.TERMINAL}

_NOTHING_GRANTED = Grant()


def spec_fields(
    job: Job,
    level: Level,
    grant: Grant = _NOTHING_GRANTED,
    account: JobAccount | None = None,
) -> Fields:
    """The record ``spec`` for a job at a level of containment.

    ``account`` is that of its user, where it has one of its own.

    A program that was checked gets its canonical path and not the one that was asked
    for: some do what they are called, or look for their parts beside that path.
    """
    spec, limits, checked = job.spec, job.terms.limits, grant.executable
    program = checked.path if checked else spec.program
    fields = [("arg", os.fsencode(text)) for text in (program, *spec.args)]
    environment = _environment(job, level, grant, account) | dict(spec.env)
    fields += [("env", os.fsencode(f"{key}={value}")) for key, value in environment.items()]
    cwd = grant.cwd or spec.cwd
    if cwd is not None:
        fields.append(("cwd", os.fsencode(cwd)))
    if limits.timeout is not None:
        fields += [("timeout", b"%.3f" % limits.timeout), ("grace", b"%.3f" % spec.grace)]
    if account:
        fields.append(("account", account.directory.encode()))
    if checked:
        fields.append(("executable", _identity(checked)))
    if grant.run_as:
        fields.append(("gid", b"%d" % grant.run_as.gid))
        fields += [("group", b"%d" % gid) for gid in grant.run_as.groups]
        fields += [("hide", os.fsencode(path)) for path in of_home(grant.run_as.home)]
    if limits.output is not None:
        fields.append(("output", b"%d" % limits.output))
        if grant.on_output_limit == "kill":
            fields.append(("outputAction", b"kill"))
    if spec.input is not None:
        fields += _input_fields(spec.input)
    return fields + limit_fields(limits)


def _input_fields(given: Input) -> Fields:
    fields = [("stdin", _STDIN[given.kind])]
    if given.kind == "terminal":
        fields += [("rows", b"%d" % given.rows), ("cols", b"%d" % given.cols)]
    return fields


def _identity(file: Executable) -> bytes:
    """The identity of a file, in the form of ``native/executable.c``."""
    return b"%d:%d:%d:%d:%d" % (file.dev, file.ino, file.size, file.mtime_ns, file.ctime_ns)


def _environment(
    job: Job, level: Level, grant: Grant, account: JobAccount | None
) -> dict[str, str]:
    """The environment that every job gets: nothing is inherited from the server."""
    tmp = MACHINE_TMP  # the job's own, where it has its own mounts
    if level not in OWN_NAMESPACES:
        tmp = f"{tmp}/{shared_name(job.id)}"
    known = account or grant.run_as
    name = known.name if known else job.owner
    return {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "HOME": tmp,
        "TMPDIR": tmp,
        "USER": name,
        "LOGNAME": name,
        "SHELL": SHELL,
        "JOBD_JOB_ID": job.id,
    }
