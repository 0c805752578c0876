"""The ways to name a job on the command line: its whole ID, the beginning of it, its name."""

from __future__ import annotations

from jobworker.cli import report
from jobworker.cli.invocation import UsageError
from jobworker.errors import JobNotFound, JobWorkerError, ServerUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker.cli.invocation import Invocation
    from jobworker.client.answers import JobList
    from jobworker.client.client import Client

_FORM = "j-xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx"
_ALLOWED = {"x": "0123456789abcdef", "y": "89ab"}
_LEAST = len("j-xxxx")
_SHOWN = 10
_LONGEST_NAME = 256
_OPEN = ("Running", "Queued")


def check(word: str) -> None:
    """Raises ``UsageError`` unless ``word`` can be an ID, its beginning, or a name.

    What begins as an ID does is taken for nothing else, so that a slip never means a name.
    """
    if word[:2].lower() != _FORM[:2]:
        fits = word.isprintable() and 0 < len(word) <= _LONGEST_NAME
    else:
        fits = all(c in _ALLOWED.get(form, form) for c, form in zip(word, _FORM, strict=False))
        fits = fits and _LEAST <= len(word) <= len(_FORM)
    if not fits:
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
    """The ID that ``word`` stands for; only a whole one costs no request."""
    if not word.startswith(_FORM[:2]):
        return _named(client, word)
    if len(word) == len(_FORM):
        return word
    match = _only(word, client.list((("idPrefix", word), ("limit", str(_SHOWN)))))
    if match is None:
        raise JobNotFound(hint=f"no ID of your jobs begins with {word}; see jobctl list")
    return match


def _named(client: Client, name: str) -> str:
    """The ID of the one job of that name that has not ended, else of the one that has."""
    query = (("name", name), ("limit", str(_SHOWN)))
    open_ones = [client.list((("status", status), *query)) for status in _OPEN]
    found: JobList = {
        "jobs": [job for page in open_ones for job in page["jobs"]],
        "next": next((page["next"] for page in open_ones if page["next"]), None),
        "error": None,
    }
    match = _only(name, found) or _only(name, client.list(query))
    if match is None:
        raise UsageError(f"{name!r} is neither a job ID nor the name of a job; see jobctl list")
    return match


def _only(word: str, found: JobList) -> str | None:
    """The one job that was found, or None; raises ``UsageError`` where there are several."""
    matches = [job["id"] for job in found["jobs"]]
    if len(matches) > 1:
        more = " and more" if found["next"] else ""
        raise UsageError(f"{word!r} fits more than one job: {', '.join(matches)}{more}")
    return matches[0] if matches else None


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
