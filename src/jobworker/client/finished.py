"""The result of ``run``."""

from __future__ import annotations

from jobworker.errors import JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from jobworker.client.answers import JobView


class Finished:
    """A job that has ended, with all of its output that was kept."""

    __slots__ = ("job", "stderr", "stdout")

    def __init__(self, job: JobView, stdout: bytes, stderr: bytes) -> None:
        self.job = job
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self) -> str:
        return f"Finished({self.id!r}, {self.status!r}, exit_code={self.exit_code!r})"

    @property
    def id(self) -> str:
        """The job's ID."""
        return self.job["id"]

    @property
    def status(self) -> str:
        """``Completed``, ``Failed`` or ``Stopped``."""
        return self.job["status"]

    @property
    def exit_code(self) -> int | None:
        """The program's own exit code; None where it has none."""
        return self.job["exitCode"]

    def check(self) -> Self:
        """Returns this job where it has completed; raises ``JobFailed`` where it has not."""
        if self.status == "Completed":
            return self
        reason = self.job["reason"] or self.status.lower()
        failure = JobFailed(f"job {self.id} did not succeed: {reason}")
        failure.exit_code, failure.stdout, failure.stderr = self.exit_code, self.stdout, self.stderr
        raise failure
