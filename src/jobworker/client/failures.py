"""Errors as they cross the wire: from an answer to a class of ``errors.py`` and back."""

from __future__ import annotations

from jobworker import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jobworker.client.answers import ErrorAnswer


_CLASSES = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.JobWorkerError)
}


class Untrusted(errors.ServerUnreachable):
    """The peer that answers is not our server, and asking again does not change that."""


class ConnectionLost(errors.ServerUnreachable):
    """The connection broke once something had been sent, so it may have been carried out."""


def from_answer(answer: dict[str, Any], retry_after: str | None = None) -> errors.JobWorkerError:
    """The failure that an error answer speaks of; an unknown code keeps its name.

    ``retry_after`` is the header of that name: seconds, or what is ignored.
    """
    code = str(answer.get("code"))
    message = str(answer.get("error")).removeprefix("Error: ")
    kind = _CLASSES.get(code, errors.JobWorkerError)
    failure = kind(message, hint=answer.get("hint"), field=answer.get("field"))
    failure.code = code
    if retry_after and retry_after.isascii() and retry_after.isdecimal():
        failure.retry_after = float(retry_after)
    return failure


def to_answer(failure: errors.JobWorkerError) -> ErrorAnswer:
    """``failure`` in the form in which the server would have answered it."""
    answer: ErrorAnswer = {"error": f"Error: {failure}", "code": failure.code}
    if failure.field:
        answer["field"] = failure.field
    if failure.hint:
        answer["hint"] = failure.hint
    return answer
