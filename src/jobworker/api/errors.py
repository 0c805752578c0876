"""The one table from error to HTTP status, and the body of an error answer."""

from __future__ import annotations

from msgspec import UNSET

from jobworker import errors
from jobworker.api.answers import BytesAnswer, encode, json_answer
from jobworker.api.views import ErrorAnswer
from jobworker.errors import JobWorkerError

STATUS: dict[type[JobWorkerError], int] = {
    errors.InvalidRequest: 400,
    errors.BadAuthentication: 401,
    errors.UnauthorizedAction: 403,
    errors.ProgramForbidden: 403,
    errors.NotFound: 404,
    errors.JobNotFound: 404,
    errors.ProgramNotFound: 404,
    errors.UserNotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestTimedOut: 408,
    errors.JobNotRunning: 409,
    errors.JobRunning: 409,
    errors.NoDeadline: 409,
    errors.UserExists: 409,
    errors.NameTaken: 409,
    errors.LastAdmin: 409,
    errors.InputBusy: 409,
    errors.InputClosed: 409,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.RangeNotSatisfiable: 416,
    errors.ProgramNotExecutable: 422,
    errors.IdempotencyKeyReused: 422,
    errors.LimitUnavailable: 422,
    errors.LimitTooHigh: 422,
    errors.IsolationUnavailable: 422,
    errors.UpgradeRequired: 426,
    errors.TooManyJobs: 429,
    errors.TooManyRequests: 429,
    errors.StartFailed: 503,
    errors.ServiceUnavailable: 503,
    errors.StorageUnavailable: 503,
    errors.StorageFull: 507,
}
"""Every error that a client may meet. One that is missing here is a bug: a plain 500."""

_EXACT = (
    errors.BadAuthentication,
    errors.UnauthorizedAction,
    errors.JobNotFound,
    errors.JobNotRunning,
    errors.ProgramNotFound,
)
"""Errors whose text is part of the core contract, whatever was said where they arose."""

EXTRA_HEADERS: dict[type[JobWorkerError], tuple[tuple[bytes, bytes], ...]] = {
    errors.BadAuthentication: ((b"www-authenticate", b"Bearer"),),
    errors.UpgradeRequired: ((b"upgrade", b"websocket"), (b"connection", b"upgrade")),
    errors.ServiceUnavailable: ((b"retry-after", b"1"),),
    errors.TooManyJobs: ((b"retry-after", b"5"),),
    errors.TooManyRequests: ((b"retry-after", b"5"),),
}
"""Headers of every answer with that error."""

INTERNAL_ERROR = encode(
    ErrorAnswer(error=f"Error: {JobWorkerError.summary}", code=JobWorkerError.code)
)


def error_answer(error: JobWorkerError, *headers: tuple[bytes, bytes]) -> BytesAnswer:
    """The answer for ``error``, with ``headers`` beside those that its class asks for."""
    kind = type(error)
    status = STATUS.get(kind)
    if status is None:
        return json_answer(INTERNAL_ERROR, 500)
    message = kind.summary if kind in _EXACT else str(error)
    body = ErrorAnswer(
        error=f"Error: {message}",
        code=kind.code,
        field=error.field or UNSET,
        hint=error.hint or UNSET,
    )
    extra = (*EXTRA_HEADERS.get(kind, ()), *headers)
    return json_answer(encode(body), status, *extra)
