"""Our terminal at the other end of a job's: it sends every key there, and its size."""

from __future__ import annotations

import os
import select
import signal
import termios
import threading
import tty
from typing import Generic, TypeVar

from jobworker.cli import job_input
from jobworker.client.input import PIECE, Feed
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from jobworker.client.profiles import Profile

T = TypeVar("T")

DETACH = b"\x10\x11"
"""Ctrl-P Ctrl-Q, as in Docker: the first is held back until the next key."""

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Detached(Exception):
    """The keys that detach were typed: the job goes on."""


class Keys:
    """Looks for the keys that detach among what is typed."""

    def __init__(self) -> None:
        self._held = b""

    def pass_on(self, typed: bytes) -> tuple[bytes, bool]:
        """The bytes that go to the job, and whether the keys that detach came after them."""
        data, detach, _ = (self._held + typed).partition(DETACH)
        self._held = data[-1:] if data.endswith(DETACH[:1]) else b""
        return data[: len(data) - len(self._held)], bool(detach)


def connect(profile: Profile, job_id: str, follow: Callable[[], T], *, takeover: bool) -> T:
    """Serves as the job's terminal until ``follow`` has shown all output; returns its result.

    ``follow`` runs in a thread of its own. Raises ``Detached``, and the errors of ``follow``.
    However it ends, our terminal is left as it was.
    """
    feed = Feed(profile, job_id, takeover=takeover)
    settings = termios.tcgetattr(0)
    before = {number: signal.signal(number, _end) for number in _ENDING}
    try:
        tty.setraw(0)
        return _Session(profile, job_id, feed, follow).run()
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, settings)
        for number, handler in before.items():
            signal.signal(number, handler)
        feed.close()


def _end(number: int, _frame: FrameType | None) -> Any:
    raise SystemExit(128 + number)


class _Session(Generic[T]):
    """One loop over what is typed, changes of the window, and the end of the output."""

    def __init__(self, profile: Profile, job_id: str, feed: Feed, follow: Callable[[], T]) -> None:
        self._job = (profile, job_id)
        self._feed = feed
        self._follow = follow
        self._keys = Keys()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lost: JobWorkerError | None = None
        self._shown: list[T] = []
        self._failed: Exception | None = None

    def run(self) -> T:
        """Passes keys on until all output has been shown; returns the result of ``follow``."""
        for work in (self._show, self._listen):
            threading.Thread(target=self._then_wake, args=(work,), daemon=True).start()
        waker = signal.set_wakeup_fd(self._waker)
        resized = signal.signal(signal.SIGWINCH, lambda *_: None)
        try:
            self._resize()
            self._pass_keys_on()
        finally:
            signal.signal(signal.SIGWINCH, resized)
            signal.set_wakeup_fd(waker)
        if self._failed:
            raise self._failed
        return self._shown[0]

    def _then_wake(self, work: Callable[[], None]) -> None:
        work()
        os.write(self._waker, b"\0")

    def _show(self) -> None:
        try:
            self._shown.append(self._follow())
        except Exception as error:  # noqa: BLE001  raised again by run
            self._failed = error

    def _listen(self) -> None:
        try:
            self._feed.listen()
        except JobWorkerError as error:
            self._lost = error

    def _pass_keys_on(self) -> None:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while not self._shown and self._failed is None:
            for fd, _ in poll.poll():
                if fd == self._woken:
                    os.read(fd, 64)
                    self._resize()
                elif not self._type():
                    poll.unregister(0)
            self._tell_lost()

    def _type(self) -> bool:
        """Passes on what is typed; False once there is nothing more."""
        try:
            typed = os.read(0, PIECE)
        except OSError:  # the terminal is gone, and a signal about to say so
            return False
        data, detached = self._keys.pass_on(typed)
        if data:
            self._feed.send(data)
        if detached:
            raise Detached
        return bool(typed)

    def _resize(self) -> None:
        cols, rows = os.get_terminal_size(0)
        if rows and cols:
            self._feed.resize(rows, cols)

    def _tell_lost(self) -> None:
        error, self._lost = self._lost, None
        if error is not None:
            job_input.tell_lost(error, self._feed, *self._job)
