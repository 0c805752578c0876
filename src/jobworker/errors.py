"""The taxonomy of failures.

Each class carries a stable ``code`` that clients and scripts may test for. The
classes know nothing of HTTP: ``api/errors.py`` holds the one table from class to
status, and the client builds the same classes back from ``code``.

This module is imported by ``jobctl`` on every call and so imports nothing.
"""

from __future__ import annotations


class JobWorkerError(Exception):
    """The base of every failure that this project reports.

    ``str(error)`` is the sentence for people, without the leading ``Error: ``.
    ``hint`` says what to do about it, where there is something to say; ``field``
    names the part of a request that is to blame. ``retry_after``, on the client's side,
    is the number of seconds after which the server wants to be asked again.
    """

    code = "internal_error"
    summary = "internal error"
    retry_after: float | None = None

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(message or self.summary)
        self.hint = hint
        self.field = field


def reason_of(error: Exception) -> str:
    """The error in words, ``/a/file: Permission denied``: no number, no quotes, no class."""
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        text = name.decode(errors="replace") if isinstance(name, bytes) else name
        return f"{text}: {error.strerror}" if isinstance(text, str) else error.strerror
    return str(error)


class BadAuthentication(JobWorkerError):
    """The caller's token is missing, malformed, unknown or revoked."""

    code = "bad_authentication"
    summary = "bad authentication"


class UnauthorizedAction(JobWorkerError):
    """The caller is known but may not do this."""

    code = "unauthorized_action"
    summary = "unauthorized action"


class InvalidRequest(JobWorkerError):
    """A request that cannot be understood or breaks a rule; ``field`` says where."""

    code = "invalid_request"
    summary = "invalid request"


class NotFound(JobWorkerError):
    """There is no such route."""

    code = "not_found"
    summary = "not found"


class MethodNotAllowed(JobWorkerError):
    """The route exists, but not with this method."""

    code = "method_not_allowed"
    summary = "method not allowed"


class RequestTimedOut(JobWorkerError):
    """The rest of a request did not come in time."""

    code = "request_timed_out"
    summary = "the request did not arrive in time"


class BodyTooLarge(JobWorkerError):
    """The request body is over the limit."""

    code = "body_too_large"
    summary = "request body too large"


class UnsupportedMediaType(JobWorkerError):
    """The request body is not declared to be JSON."""

    code = "unsupported_media_type"
    summary = "the body must be JSON, sent as Content-Type: application/json"


class UpgradeRequired(JobWorkerError):
    """The route is a WebSocket, and the request does not ask for one."""

    code = "upgrade_required"
    summary = "this path is a WebSocket (RFC 6455); ask for an upgrade"


class RangeNotSatisfiable(JobWorkerError):
    """The requested byte range begins past the end of the output."""

    code = "range_not_satisfiable"
    summary = "range not satisfiable"


class JobNotFound(JobWorkerError):
    """No job has this ID."""

    code = "job_not_found"
    summary = "job not found"


class JobNotRunning(JobWorkerError):
    """The job has ended, or has not begun: there is nothing to stop, or to send a signal to."""

    code = "job_not_running"
    summary = "job not running"


class IdempotencyKeyReused(JobWorkerError):
    """The caller has used this idempotency key for another request before."""

    code = "idempotency_key_reused"
    summary = "the idempotency key was used for another request before"


class JobRunning(JobWorkerError):
    """The job has not ended, so it cannot be removed."""

    code = "job_running"
    summary = "job is running"


class InputClosed(JobWorkerError):
    """The job takes no input: it has none, or no more; the message says which."""

    code = "input_closed"
    summary = "the job takes no input"


class InputBusy(JobWorkerError):
    """Another session feeds the job, and two at once would mix their bytes."""

    code = "input_busy"
    summary = "somebody else is feeding this job"


class ProgramNotFound(JobWorkerError):
    """The program does not exist where the job would see it."""

    code = "program_not_found"
    summary = "program not found"


class ProgramNotExecutable(JobWorkerError):
    """The program exists but cannot be executed; the message has the reason."""

    code = "program_not_executable"
    summary = "program cannot be executed"


class ProgramForbidden(JobWorkerError):
    """The policy does not let this user run this program; the message names the rule."""

    code = "program_forbidden"
    summary = "the policy does not allow this program"


class LimitUnavailable(JobWorkerError):
    """A limit that was asked for cannot be enforced on this machine; the message says why."""

    code = "limit_unavailable"
    summary = "a limit is not enforced on this machine"


class LimitTooHigh(JobWorkerError):
    """More was asked for than the user's role or the policy allows."""

    code = "limit_too_high"
    summary = "more than the ceiling was asked for"


class IsolationUnavailable(JobWorkerError):
    """The job asked for a containment, network or account that this machine does not have."""

    code = "isolation_unavailable"
    summary = "what was asked for is not available on this machine"


class NoDeadline(JobWorkerError):
    """The job has no time limit, so there is no deadline to move."""

    code = "no_deadline"
    summary = "the job has no time limit"


class TooManyJobs(JobWorkerError):
    """As many jobs as may run are running, and as many as may wait are waiting."""

    code = "too_many_jobs"
    summary = "too many jobs are waiting already"


class TooManyRequests(JobWorkerError):
    """As many requests as may last are open, of this user or in all; the message says which."""

    code = "too_many_requests"
    summary = "too many requests that last are open"


class UserNotFound(JobWorkerError):
    """No user has this name."""

    code = "user_not_found"
    summary = "user not found"


class UserExists(JobWorkerError):
    """A user of this name exists already."""

    code = "user_exists"
    summary = "user exists already"


class NameTaken(JobWorkerError):
    """The name belongs to a user who was removed and has left jobs."""

    code = "name_taken"
    summary = "the name has jobs of a user who was removed"


class LastAdmin(JobWorkerError):
    """The user is the only admin, without whom nobody could act on others' jobs."""

    code = "last_admin"
    summary = "the user is the only admin"


class StartFailed(JobWorkerError):
    """The service could not set the job up; the program was not run."""

    code = "start_failed"
    summary = "the job could not be started"


class StorageFull(JobWorkerError):
    """There is no room left to record a new job."""

    code = "storage_full"
    summary = "no space left for new jobs"


class StorageUnavailable(JobWorkerError):
    """The disk under the server's state, or the database on it, is broken; the message says how."""

    code = "storage_unavailable"
    summary = "the server's storage does not work"


class ServiceUnavailable(JobWorkerError):
    """The service is stopping or out of a resource; try again."""

    code = "service_unavailable"
    summary = "service unavailable"


class ContainmentUnavailable(JobWorkerError):
    """A containment level was asked for by name and does not work on this machine."""

    code = "containment_unavailable"
    summary = "containment level unavailable"


class UidsUnavailable(JobWorkerError):
    """The users that jobs were to have are another server's, or not there."""

    code = "uids_unavailable"
    summary = "the user IDs for jobs are not available"


class StateInUse(JobWorkerError):
    """Another server holds the state directory."""

    code = "state_in_use"
    summary = "the state directory is in use by another server"


class StateUnusable(JobWorkerError):
    """The state directory, or a file in it, cannot be used as it is."""

    code = "state_unusable"
    summary = "the state directory cannot be used"


class ConfigurationInvalid(JobWorkerError):
    """A setting is unknown or has a value that cannot be used."""

    code = "configuration_invalid"
    summary = "invalid configuration"


class ProfileNotFound(JobWorkerError):
    """The client configuration has no profile of this name."""

    code = "profile_not_found"
    summary = "profile not found"


class ServerUnreachable(JobWorkerError):
    """The client cannot reach the server, or does not trust what answers there."""

    code = "server_unreachable"
    summary = "cannot reach the server"


class JobFailed(JobWorkerError):
    """A job that was to succeed did not; the message has the reason.

    ``exit_code`` is the program's own, None where it has none; ``stdout`` and ``stderr``
    are what it wrote.
    """

    code = "job_failed"
    summary = "the job did not succeed"
    exit_code: int | None = None
    stdout = b""
    stderr = b""
