"""The names of jobs on the command line: the whole ID or its beginning."""

from __future__ import annotations

from jobworker.cli import report
from jobworker.cli.invocation import UsageError
from jobworker.errors import JobNotFound, JobWorkerError, ServerUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker.cli.invocation import Invocation
    from jobworker.client.client import Client

_FORM = "j-xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx"
_ALLOWED = {"x": "0123456789abcdef", "y": "89ab"}
_LEAST = len("j-xxxx")
_SHOWN = 10


def check(word: str) -> None:
    """Raises ``UsageError`` unless ``word`` can be an ID or its beginning."""
    fits = all(c in _ALLOWED.get(form, form) for c, form in zip(word, _FORM, strict=False))
    if not fits or not _LEAST <= len(word) <= len(_FORM):
        raise UsageError(
            f"{word!r} is not a job ID; one looks like j-9f8b6c52-0d3e-4c7a-8a53-1f2e3d4c5b6a, "
            "and its first digits are enough (j-9f8b)"
        )


def only_word(call: Invocation) -> str:
    """The one job that a verb is about, as it was typed; raises ``UsageError``."""
    if len(call.words) != 1:
        raise UsageError(f"name one job, not {len(call.words) or 'none'}; see jobctl list")
    check(call.words[0])
    return call.words[0]


def all_words(call: Invocation) -> list[str]:
    """The jobs that a verb is about, as they were typed; raises ``UsageError``."""
    if not call.words:
        raise UsageError("name a job; see jobctl list")
    for word in call.words:
        check(word)
    return call.words


def find(client: Client, word: str) -> str:
    """The ID that ``word`` stands for; only a shortened one costs a request."""
    if len(word) == len(_FORM):
        return word
    found = client.list((("idPrefix", word), ("limit", str(_SHOWN))))
    matches = [job["id"] for job in found["jobs"]]
    if not matches:
        raise JobNotFound(hint=f"no ID of your jobs begins with {word}; see jobctl list")
    if len(matches) > 1:
        more = " and more" if found["next"] else ""
        raise UsageError(f"{word!r} fits more than one job: {', '.join(matches)}{more}")
    return matches[0]


def each(call: Invocation, act: Callable[[Client, str], None]) -> int:
    """Does ``act`` to every job that was named, also where one before it was refused.

    Every word is looked up first: an ambiguous one is wrong use, and then nothing is done.
    """
    words = all_words(call)
    with call.client() as client:
        ids: list[str] = []
        looked_up = _attempt(call, words, lambda word: ids.append(find(client, word)))
        acted = _attempt(call, list(dict.fromkeys(ids)), lambda job_id: act(client, job_id))
    return 0 if looked_up and acted else 1


def _attempt(call: Invocation, names: list[str], step: Callable[[str], None]) -> bool:
    """Takes ``step`` for each name, and reports refusals; returns whether there were none."""
    all_done = True
    for name in names:
        try:
            step(name)
        except ServerUnreachable:
            raise  # all others would fail too, each after its time-out
        except JobWorkerError as error:
            report.failure(error, call, about=name if len(call.words) > 1 else None)
            all_done = False
    return all_done
