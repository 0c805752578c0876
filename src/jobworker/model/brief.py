"""Jobs without what is long in their specs, for where there are many of them: in memory, in lists.

Arguments and environment of one job may have 2 MiB. The archive has them whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jobworker.model.job import Job

MOST_ARGUMENTS = 1024
"""Characters of arguments that a brief job has, an end of each counted in."""

MOST_ENVIRONMENT = 4096
"""Characters of an environment that a brief job has; of a longer one it has nothing."""

MARK = "\N{HORIZONTAL ELLIPSIS}"
"""The end of the last argument of a brief job, where something is missing."""


def brief(job: Job) -> Job:
    """The job without what is long in its spec; ``Job.cut`` tells what that was."""
    spec, cut = job.spec, job.cut
    if _is_long(spec.args):
        spec, cut = replace(spec, args=_beginning(spec.args)), (*cut, "args")
    if _size(spec.env) > MOST_ENVIRONMENT:
        spec, cut = replace(spec, env={}), (*cut, "env")
    return job if spec is job.spec else replace(job, spec=spec, cut=cut)


def _is_long(args: Sequence[str]) -> bool:
    return len(args) > MOST_ARGUMENTS or sum(map(len, args)) + len(args) > MOST_ARGUMENTS


def _beginning(args: Sequence[str]) -> tuple[str, ...]:
    """The first arguments, and the beginning of one more with the mark."""
    kept: list[str] = []
    room = MOST_ARGUMENTS - len(MARK) - 1
    for argument in args:
        if len(argument) + 1 > room:
            kept.append(argument[:room] + MARK)
            break
        kept.append(argument)
        room -= len(argument) + 1
    return tuple(kept)


def _size(env: Mapping[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in env.items())
