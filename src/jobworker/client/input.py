"""The way to a job's standard input: a WebSocket, whose library only this module loads.

One thread has the connection to itself, and an event loop. A TLS connection of ``ssl`` is not
for one thread that reads and another that writes: each calls OpenSSL without a lock, and what
one of them does can be lost (https://github.com/python/cpython/issues/143756).
"""

from __future__ import annotations

import json
import threading

from jobworker.client import failures, trust
from jobworker.client.detour import Detour
from jobworker.errors import JobWorkerError, ServerUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any, TypeVar

    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import InvalidStatus

    from jobworker.client.profiles import Profile

    T = TypeVar("T")

PIECE = 32 * 1024
"""Bytes of one message: half a pipe, and half of what the server takes in one."""

_OPEN_TIMEOUT = 10.0
"""Seconds for TCP, TLS and the server's answer."""

_CLOSE_TIMEOUT = 2.0
"""Seconds to say goodbye; what was taken stays taken without."""

_OVER = 1000
_SERVER_STOPS = 1012


class Feed:
    """Feeds one job; for any threads."""

    def __init__(self, profile: Profile, job_id: str, *, takeover: bool = False) -> None:
        """Connects; raises as the calls of ``Client`` do."""
        self.taken = 0
        """Bytes that the program's pipe has taken, as far as the server has told."""
        self._over: dict[str, Any] | None = None
        self._turns = _Turns()
        self._socket = self._turns.run(_connect(profile, job_id, takeover=takeover))

    def send(self, data: bytes) -> bool:
        """Sends input, waiting while the program does not read; False where it is of no use."""
        return self._send(data)

    def end(self) -> bool:
        """Says that no more is to come, to a program that reads from a pipe."""
        return self._send(json.dumps({"type": "eof"}))

    def resize(self, rows: int, cols: int) -> bool:
        """Tells a program on a terminal how large that is."""
        return self._send(json.dumps({"type": "resize", "rows": rows, "cols": cols}))

    def listen(self) -> None:
        """Takes note of what is taken, until the input, the job or the program's reading ends.

        Raises ``ServerUnreachable`` where the connection is lost or the server stops, and
        ``JobWorkerError`` where the server wants no more for another reason.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            while self._over is None:
                self._heed(json.loads(self._turns.run(self._socket.recv())))
        except ConnectionClosed:
            raise ServerUnreachable("lost the way to the job's input") from None
        code, reason = self._over["code"], self._over["reason"]
        self.close()
        if code == _SERVER_STOPS:
            raise ServerUnreachable(f"lost the way to the job's input: {reason}")
        if code != _OVER:
            raise JobWorkerError(f"the server takes no more input: {reason}")

    def close(self) -> None:
        """Closes the connection; the input stays open unless it was ended."""
        self._turns.run(self._socket.close())

    def _heed(self, told: dict[str, Any]) -> None:
        if told["type"] == "taken":
            self.taken = int(told["bytes"])
        elif told["type"] == "over":
            self._over = told

    def _send(self, message: str | bytes) -> bool:
        from websockets.exceptions import ConnectionClosed

        if self._over is not None:
            return False
        try:
            self._turns.run(self._socket.send(message))
        except ConnectionClosed:
            return False  # ``listen`` tells why
        return True


class _Turns:
    """A thread with an event loop, on which the work that other threads wait for takes turns."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.new_event_loop()
        # It ends with the process and not before, or a thread that waits would do so for ever.
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``."""
        import asyncio

        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _connect(profile: Profile, job_id: str, *, takeover: bool) -> ClientConnection:
    _find_library()
    import logging

    from websockets.asyncio import client
    from websockets.exceptions import InvalidHandshake, InvalidStatus

    quiet = logging.getLogger(__name__)  # of what goes wrong we tell ourselves
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    address = f"wss{profile.server.removeprefix('https').rstrip('/')}/jobs/{job_id}/input"

    def opened(**place: Any) -> client.connect:
        return client.connect(
            address + ("?takeover=true" if takeover else ""),
            ssl=trust.make_context(profile),
            additional_headers={"Authorization": f"Bearer {profile.token}"},
            user_agent_header=None,
            compression=None,
            logger=quiet,
            proxy=None,
            open_timeout=_OPEN_TIMEOUT,
            close_timeout=_CLOSE_TIMEOUT,
            # The server reads, and so answers a ping, only as fast as the program does.
            ping_interval=None,
            **place,
        )

    try:
        return await _by_either(Detour(profile), opened)
    except InvalidStatus as error:
        raise _refusal(error, profile) from None
    except InvalidHandshake as error:
        raise ServerUnreachable(f"cannot feed the job on {profile.server}: {error}") from None
    except OSError as error:
        raise trust.explain(error, profile) from None


async def _by_either(
    detour: Detour, opened: Callable[..., Awaitable[ClientConnection]]
) -> ClientConnection:
    """A connection to the address, or by the server's own socket where that cannot be had."""
    if detour.first and (plain := detour.connect()):
        return await opened(sock=plain)
    detour.insist()
    try:
        return await opened()
    except OSError:
        if (plain := detour.connect()) is None:
            raise
        return await opened(sock=plain)


def _refusal(error: InvalidStatus, profile: Profile) -> JobWorkerError:
    """The error that the server answered with in place of a WebSocket."""
    try:
        answer = json.loads(error.response.body or b"")
    except ValueError:
        answer = {}
    if isinstance(answer, dict) and "code" in answer:
        return failures.from_answer(answer)
    return JobWorkerError(
        f"{profile.server} answered {error.response.status_code}, but not as jobd does",
        hint="check the address of the profile; a proxy in between may know no WebSockets",
    )


def _find_library() -> None:
    """Makes site-packages known: ``jobctl`` starts without, as nothing else in it needs them."""
    try:
        import websockets  # noqa: F401
    except ModuleNotFoundError:
        import site

        site.main()
