"""A job in the foreground, for ``run`` and ``attach``: its output here, its exit code ours."""

from __future__ import annotations

import sys

from jobworker.cli import endings, job_input, report
from jobworker.errors import JobNotRunning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation
    from jobworker.client.client import Client
    from jobworker.client.frames import End

_INTERRUPTED = 130
_TELLS_ALL = ("signaled", "stopped")
"""The causes of which the reason says all that there is to know."""


def follow(
    call: Invocation, client: Client, job_id: str, kind: str | None, *, takeover: bool = False
) -> int:
    """Stays with the job to its end, or until Ctrl-C and the answer whether to stop it.

    A job whose input is of that ``kind`` is fed from our terminal or standard input.
    """
    foreground = _Foreground(call, client, job_id)
    try:
        _tell_if_it_waits(client, job_id)
        if kind == "terminal":
            return foreground.on_terminal(takeover=takeover)
        if kind == "pipe":
            job_input.feed_from_stdin(client.profile, job_id, takeover=takeover)
        return foreground.to_the_end()
    except BrokenPipeError:
        report.message(f"jobctl: nobody reads any more; {_goes_on(call, job_id, kind)}")
        raise
    except KeyboardInterrupt:
        if not (call.has("stop-on-interrupt") or _shall_stop(call, job_id, kind)):
            return _INTERRUPTED
    try:
        client.stop(job_id)
    except JobNotRunning:
        pass  # it ended while the question stood
    return foreground.to_the_end()


def _tell_if_it_waits(client: Client, job_id: str) -> None:
    """Tells a person that the job is queued; a script does not pay for the request."""
    if sys.stderr.isatty() and client.status(job_id)["status"] == "Queued":
        report.message(f"jobctl: job {job_id} waits until there is room for it")


class _Foreground:
    """Shows the output of one job, from where it was left, and then the job's end."""

    def __init__(self, call: Invocation, client: Client, job_id: str) -> None:
        self._call = call
        self._client = client
        self._job_id = job_id
        self._seen = 0

    def to_the_end(self) -> int:
        """Shows the output to its end; returns the job's exit code."""
        if self._call.has("json"):
            job = self._client.wait(self._job_id)
            report.answer(job)
            return endings.exit_code(job)
        return self._tell(self._follow(raw=False))

    def on_terminal(self, *, takeover: bool) -> int:
        """Serves as the job's terminal; returns the exit code, 0 where it was detached."""
        from jobworker.cli import session

        try:
            end = session.connect(
                self._client.profile,
                self._job_id,
                lambda: self._follow(raw=True),
                takeover=takeover,
            )
        except session.Detached:
            command = _command(self._call, "attach", self._job_id)
            report.message_below(f"jobctl: detached; job {self._job_id} goes on: {command}")
            return 0
        except JobNotRunning:  # it has ended already, and its output can be seen
            end = self._follow(raw=True)
        return self._tell(end)

    def _tell(self, end: End) -> int:
        # A program that used its grace has an exit code of its own, which is not ours then.
        if end.reason and end.cause != "exited":
            self._tell_reason(end.reason, evident=end.cause in _TELLS_ALL)
        if end.cause == "start-failed":  # it had to wait, and then its program was not there
            return endings.exit_code(self._client.status(self._job_id))
        return endings.code_of(end.cause, end.signal, end.exit_code)

    def _tell_reason(self, reason: str, *, evident: bool) -> None:
        if evident:
            report.message(f"jobctl: {reason}")
            return
        # The ID of a job that ran in the foreground is known to nobody else.
        report.message(f"jobctl: {reason}; see {_command(self._call, 'why', self._job_id)}")

    def _follow(self, *, raw: bool) -> End:
        from jobworker.cli.interrupt import Deferred
        from jobworker.cli.streams import Streams
        from jobworker.client.frames import End

        streams = Streams(raw=raw)
        # On a terminal every key goes to the program, Ctrl-C too.
        whole = Deferred(wanted=not raw)
        for frame in self._client.follow(self._job_id, after=self._seen):
            if isinstance(frame, End):
                streams.close()
                return frame
            with whole:
                streams.write(frame)
                self._seen = frame.seq
        raise AssertionError("a follow ends with the end of its job")


def _shall_stop(call: Invocation, job_id: str, kind: str | None) -> bool:
    """Whether a person wants the job stopped; who feeds it has no line left for the answer."""
    report.message_below(f"jobctl: {_goes_on(call, job_id, kind)}")
    if kind == "pipe" or not sys.stdin.isatty():
        return False
    sys.stderr.write("Stop it? [y/N] ")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return False


def _goes_on(call: Invocation, job_id: str, kind: str | None) -> str:
    verb = "attach" if kind in ("pipe", "terminal") else "output -f"
    return f"job {job_id} goes on; come back to it with: {_command(call, verb, job_id)}"


def _command(call: Invocation, verb: str, job_id: str) -> str:
    """A command about the job for the profile of this call."""
    user = call.value("user")
    return f"jobctl {f'-u {user} ' if user else ''}{verb} {job_id}"
