"""Feed a job that runs: its standard input over a WebSocket (RFC 6455)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from jobworker.api.answers import SEND_BUDGET, encode
from jobworker.api.asgi import Message, Receive, Send
from jobworker.api.bodies import EndOfInput, Resize
from jobworker.api.decode import bearer_token, header, invalid
from jobworker.api.fields import MAX_PIECE
from jobworker.api.interruptions import Interruptions
from jobworker.api.lasting import Place
from jobworker.api.query import InputQuery
from jobworker.api.service import Call, ClientGone
from jobworker.api.shortage import blame
from jobworker.api.views import Over, Taken
from jobworker.errors import BadAuthentication, InputClosed, JobWorkerError, UnauthorizedAction
from jobworker.jobs.input import InputSession

_log = logging.getLogger(__name__)

GOODBYE_BUDGET = 5.0
"""Most seconds for a client to hear that it is over, and to close."""

CLOSE_BUDGET = 1.0
"""Most seconds for the last word to a client that has not heard before."""

Close = tuple[int, str]
"""A close code (RFC 6455, 7.4.1) and the reason beside it, of at most 123 bytes."""

_DECODER = msgspec.json.Decoder(EndOfInput | Resize)


async def attach(call: Call) -> SocketAnswer:
    """Feed a job's standard input over a WebSocket.

    Binary messages are input, at most 65,536 bytes each. Text messages are JSON:
    `{"type": "eof"}` ends a pipe's input for good, and `{"type": "resize", "rows": 24,
    "cols": 80}` changes the size of a terminal. The server says `{"type": "taken", "bytes":
    0}` once the program runs, and then how many bytes of this connection the program's pipe
    has taken; it reads no more from the client than the program does. In the end it says
    `{"type": "over", "code": 1000, "reason": "end of input"}`, and closes with that code once
    the client has, or after five seconds: 1000 where the input or the job has ended or nobody
    reads it; 1012 where the server stops (the input stays open: connect again); 1008 where the
    token is not good any more or another client took over; 1007 or 1009 for what it cannot
    take. A client that goes ends nothing. Output comes by the routes of the output.
    """
    query: InputQuery = call.query
    _refuse_strangers(call.headers)
    place = call.lasting()
    try:
        session = call.jobs.attach(call.job.id, by=call.user.name, takeover=query.takeover)
    except BaseException:
        place.close()
        raise
    return SocketAnswer(session, call.service.interruptions, bearer_token(call.headers), place)


class SocketAnswer:
    """The answer that takes a connection over, for as long as there is something to feed."""

    status = 101

    def __init__(
        self,
        session: InputSession,
        interruptions: Interruptions,
        token: str,
        place: Place,
    ) -> None:
        self._session = session
        self._interruptions = interruptions
        self._token = token
        self._place = place

    async def serve(self, receive: Receive, send: Send) -> None:
        """Take what the client sends until one of the sides has had enough."""
        send = _noticing(send)
        try:
            await receive()  # that it wants to connect
            await send({"type": "websocket.accept"})
            close = await self._until_over(receive, send)
            await _say_goodbye(close, self._session, receive, send)
        except TimeoutError:
            raise ClientGone from None
        finally:
            self._session.close()
            self._place.close()

    async def _until_over(self, receive: Receive, send: Send) -> Close:
        interruption = self._interruptions.expect(self._token)
        ends: dict[asyncio.Task[Any], Close] = {
            asyncio.ensure_future(work): close
            for work, close in (
                (self._session.job_ended(), (1000, "the job has ended")),
                (self._session.displaced.wait(), (1008, "another client took over")),
            )
        }
        feeding = asyncio.ensure_future(_feed(self._session, receive, send))
        try:
            everything: list[asyncio.Future[Any]] = [feeding, interruption, *ends]
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            if feeding.done():
                return _how_it_ended(feeding)
            if interruption.done():
                return _close_for(interruption.result())
            return next(close for task, close in ends.items() if task.done())
        finally:
            self._interruptions.forget(interruption)
            for task in (feeding, *ends):
                task.cancel()
            await asyncio.gather(feeding, *ends, return_exceptions=True)


def _close_for(interruption: JobWorkerError) -> Close:
    if isinstance(interruption, BadAuthentication):
        return 1008, interruption.summary
    return 1012, "the server is stopping"


def _how_it_ended(feeding: asyncio.Task[Close]) -> Close:
    try:
        return feeding.result()
    except InputClosed as error:
        return 1000, str(error)
    except (ClientGone, TimeoutError):
        raise
    except JobWorkerError as error:
        return 1011, str(error)[:120]
    except Exception as error:  # noqa: BLE001  # the last resort: logged whole, and no detail goes out
        if known := blame(error):
            return 1011, str(known)[:120]
        _log.exception("cannot go on with an input: this is a bug")
        return 1011, JobWorkerError.summary


async def _feed(session: InputSession, receive: Receive, send: Send) -> Close:
    """Pass on what comes, one message after another; returns how to close.

    Raises ``InputClosed``, and ``ClientGone``.
    """
    # Begun at once, as who leaves while the job waits in the queue is to hold its input no
    # more; and never given up, as a message could be lost with it.
    coming = asyncio.ensure_future(receive())
    try:
        await _open(session, coming)
        await _send_taken(send, session)
        while True:
            message = await coming
            if message["type"] == "websocket.disconnect":
                raise ClientGone
            close = await _take(message, session, send)
            if close is not None:
                return close
            coming = asyncio.ensure_future(receive())
    finally:
        coming.cancel()


async def _open(session: InputSession, coming: asyncio.Future[Message]) -> None:
    """Return once the program runs; raises ``ClientGone`` where the client leaves before."""
    opening = asyncio.ensure_future(session.open())
    try:
        await asyncio.wait((opening, coming), return_when=asyncio.FIRST_COMPLETED)
        if coming.done() and coming.result()["type"] == "websocket.disconnect":
            raise ClientGone
        await opening
    finally:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)


async def _take(message: Message, session: InputSession, send: Send) -> Close | None:
    data = message.get("bytes")
    if data is None:
        return await _handle_text(message.get("text") or "", session)
    return await _pass_on(data, session, send)


async def _pass_on(data: bytes, session: InputSession, send: Send) -> Close | None:
    if len(data) > MAX_PIECE:
        return 1009, f"a message may have at most {MAX_PIECE} bytes"
    await session.write(data)
    await _send_taken(send, session)
    return None


async def _handle_text(text: str, session: InputSession) -> Close | None:
    """Do what a text message asks for."""
    try:
        asked = _DECODER.decode(text)
    except msgspec.ValidationError as error:
        return 1007, f"not a message that is known here: {invalid(error, 'it')}"[:100]
    except (msgspec.MsgspecError, RecursionError):
        return 1007, "not a message that is known here: it is not JSON"
    if isinstance(asked, Resize):
        if not session.terminal:
            return 1007, "resize: the job has no terminal"
        await session.resize(asked.rows, asked.cols)
        return None
    if session.terminal:
        return 1007, "eof: a terminal's end of input is typed (Ctrl-D)"
    await session.end()
    return 1000, "end of input"


async def _say_goodbye(close: Close, session: InputSession, receive: Receive, send: Send) -> None:
    """Tell the client, and take what it has sent meanwhile, or it would never hear."""
    code, reason = close
    try:
        async with asyncio.timeout(GOODBYE_BUDGET):
            await _send_taken(send, session)
            await _send_text(send, Over(code=code, reason=reason))
            while (await receive())["type"] != "websocket.disconnect":
                pass
    except TimeoutError:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_BUDGET):
                await send({"type": "websocket.close", "code": code, "reason": reason})


def _noticing(send: Send) -> Send:
    """``send`` that raises ``ClientGone`` where granian only has a ``RuntimeError``."""

    async def sending(message: Message) -> None:
        try:
            await send(message)
        except RuntimeError:
            raise ClientGone from None

    return sending


async def _send_taken(send: Send, session: InputSession) -> None:
    """Tell how much has been taken; raises ``TimeoutError`` where the client does not listen."""
    async with asyncio.timeout(SEND_BUDGET):
        await _send_text(send, Taken(bytes=session.taken))


async def _send_text(send: Send, body: Taken | Over) -> None:
    await send({"type": "websocket.send", "text": encode(body).decode("utf-8")})


def _refuse_strangers(headers: list[tuple[bytes, bytes]]) -> None:
    """Refuse the page of another site. No browser sends our token by itself, so this is depth."""
    origin = header(headers, b"origin")
    if origin is None:
        return
    host = header(headers, b"host") or b""
    if urlsplit(origin.decode("latin-1")).netloc.lower() != host.decode("latin-1").lower():
        raise UnauthorizedAction(hint="the Origin header names another site")
