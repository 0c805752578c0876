"""Following a job's output over every connection that it takes.

Each frame says how much has come with it, so the next connection asks for what is
behind the last one: no byte is lost and none comes twice, wherever the first broke.
"""

from __future__ import annotations

from urllib.parse import urlencode

from jobworker.client.exchange import Request, not_jobd, path_of
from jobworker.client.frames import Decoder, End
from jobworker.client.session import RETRYABLE
from jobworker.errors import TooManyRequests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from jobworker.client.exchange import Exchange
    from jobworker.client.frames import Frame
    from jobworker.client.requests import Moment, Window
    from jobworker.client.session import Session


class Wanted:
    """The frames of a job that are still to come."""

    def __init__(self, job_id: str, window: Window, *, live: bool) -> None:
        self._path = path_of(job_id, "output")
        self._live = live
        self._after = window.get("after", 0)
        self._tail = window.get("tail")
        self._since = _text(window.get("since"))
        self._until = _text(window.get("until"))
        self._streams = tuple(dict.fromkeys(window.get("streams") or ()))

    def request(self) -> Request:
        """The request for the frames that are still to come."""
        query: list[tuple[str, object]] = [("follow", "true" if self._live else "false")]
        named = {"since": self._since, "until": self._until, "tail": self._tail}
        query += [(name, value) for name, value in named.items() if value is not None]
        if self._after:
            query.append(("after", self._after))
        if len(self._streams) == 1:  # both is what there is without a choice
            query.append(("stream", self._streams[0]))
        return Request(
            "GET",
            f"{self._path}?{urlencode(query)}",
            headers={"Accept": "application/x-ndjson"},
            takes=None if self._live else 0.0,  # a job may be silent for hours
        )

    def has_come(self, frame: Frame | End) -> None:
        """Notes that nothing up to ``frame`` is wanted again, and that the tail has been found."""
        self._after = max(self._after, frame.seq)
        self._tail = None

    def may_end(self) -> bool:
        """Whether an answer is whole that ends without the job's end."""
        return not self._live or (self._until is not None and _is_over(self._until))


async def frames(session: Session, wanted: Wanted) -> AsyncGenerator[Frame | End, None]:
    """The frames that are wanted, over as many connections as it takes."""
    outage = session.retry_state(session.retry_policy.outage)
    ended = False
    while not ended:
        request = wanted.request()
        try:
            answer = _Frames(await session.open(request), session.server)
            outage.answered()
            try:
                while batch := await answer.some():
                    outage.over()
                    for frame in batch:
                        wanted.has_come(frame)
                        ended = ended or isinstance(frame, End)
                        yield frame
            finally:
                await answer.close()
            if ended or wanted.may_end():
                return
            raise session.lost("the answer ended before the job did")
        except RETRYABLE as error:
            if isinstance(error, TooManyRequests):
                outage.answered()  # who has no place to follow in comes back until it has one
            if not ended:  # what breaks behind the end breaks nothing
                await session.wait_or_raise(error, outage, request)


class _Frames:
    """The frames of one answer."""

    def __init__(self, answer: Exchange, server: str) -> None:
        self._answer = answer
        self._server = server
        self._decoder = Decoder()

    async def some(self) -> list[Frame | End]:
        """The next frames, as they come; none at the answer's end."""
        while piece := await self._answer.piece():
            try:
                found = list(self._decoder.feed(piece))
            except ValueError as error:
                raise not_jobd(self._server, str(error)) from None
            if found:
                return found
        return []

    async def close(self) -> None:
        """Releases the connection."""
        await self._answer.close()


def _text(moment: Moment | None) -> str | None:
    if moment is None or isinstance(moment, str):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone, so it is no moment in time")
    return moment.isoformat()


def _is_over(moment: str) -> bool:
    """Whether ``moment`` is in the past, by the clock of this machine."""
    from datetime import UTC, datetime

    return datetime.fromisoformat(moment) < datetime.now(UTC)
