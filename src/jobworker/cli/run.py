"""``jobctl run``."""

from __future__ import annotations

import sys

from jobworker.cli import endings, missing, program, report, start
from jobworker.client.client import Client
from jobworker.errors import JobNotRunning, JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.frames import StreamName
    from jobworker.client.profiles import Profile

USAGE = "run [OPTIONS] [--] PROGRAM [ARGUMENT...]"
OPTIONS: tuple[Option, ...] = (
    ("detach", "d", "", "do not wait: the same as start"),
    *program.OPTIONS,
)
PROGRAM_FOLLOWS = True
EXAMPLES = (
    "jobctl run -- /bin/echo hello",
    "jobctl run --memory 512M --timeout 10m --grace 10s -- /usr/bin/make -C /srv/project",
)

_INTERRUPTED = 130
_TELLS_ALL = ("exited", "signaled", "stopped")
"""Causes of which the reason says all that there is to know."""


def run(call: Invocation) -> int:
    """Run a program as a job in the foreground: its output here, its exit code ours."""
    if call.has("detach"):
        return start.run(call)
    order = program.Order(call)
    try:
        with call.client() as client:
            answer = order.start(client)
            if hint := answer.get("hint"):
                report.message(f"hint: {hint}")
            return _attend(call, client, answer["id"])
    except JobWorkerError as error:
        report.failure(error, call)
        return endings.of_refusal(error.code)


def _tell_if_it_waits(client: Client, job_id: str) -> None:
    """Nothing comes of a job in the queue, so a person is told; nobody else pays a request."""
    if sys.stderr.isatty() and client.status(job_id)["status"] == "Queued":
        report.message(f"jobctl: job {job_id} waits until there is room for it")


def _attend(call: Invocation, client: Client, job_id: str) -> int:
    """Stay with the job to its end, or until Ctrl-C and the answer to what then."""
    profile = client.profile
    try:
        _tell_if_it_waits(client, job_id)
        return _follow(call, profile, job_id)
    except BrokenPipeError:
        report.message(f"jobctl: nobody reads any more; {_goes_on(job_id)}")
        raise
    except KeyboardInterrupt:
        if not _shall_stop(job_id):
            return _INTERRUPTED
    try:
        client.stop(job_id)
    except JobNotRunning:
        pass  # it ended while the question stood
    return _follow_to_end(call, profile, job_id, {})


def _follow(call: Invocation, profile: Profile, job_id: str) -> int:
    arrived: dict[StreamName, int] = {}
    if not call.has("json"):
        from jobworker.cli.streams import follow

        arrived = follow(profile, job_id, ("stdout", "stderr"))
    return _follow_to_end(call, profile, job_id, arrived)


def _follow_to_end(
    call: Invocation, profile: Profile, job_id: str, arrived: Mapping[StreamName, int]
) -> int:
    with Client(profile) as client:
        job = client.wait(job_id)
    missing.tell(job, arrived)
    if call.has("json"):
        report.answer(job)
    elif job["reason"] and job["exitCode"] is None:
        report.message(f"jobctl: {job['reason']}")
        if job["evidence"] and job["cause"] not in _TELLS_ALL:
            report.message(f"hint: the evidence is at: jobctl why {job_id}")
    return endings.exit_code(job)


def _shall_stop(job_id: str) -> bool:
    """Whether a person, where there is one, wants the job stopped."""
    report.message(f"\njobctl: {_goes_on(job_id)}")
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("Stop it? [y/N] ")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return False


def _goes_on(job_id: str) -> str:
    return f"job {job_id} goes on; come back to it with: jobctl output -f {job_id}"
