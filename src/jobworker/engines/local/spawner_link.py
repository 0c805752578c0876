"""The spawner as the engine sees it: orders out, events in, another one when it is killed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from jobworker.engines.spawner import SpawnerProcess
from jobworker.futures import resolve
from jobworker.model import JobId
from jobworker.supervisor.records import Fields

log = logging.getLogger(__name__)

_PONG = ("event", b"pong")

_QUIET = 5.0
"""Seconds after an order until it is asked whether the spawner still answers."""

_PATIENCE = 15.0
"""Seconds for its answer. It carries out hundreds of orders a second, and its socket holds some
300: on the busiest machine it is stopped, or waits for a disk that does not answer."""

_PAUSE = 1.0
"""Seconds between attempts to start a spawner: a free process has no event to wait for."""


class SpawnerLink:
    """Keeps one spawner running, and speaks with it on the event loop.

    ``start`` makes a spawner; ``on_event`` gets everything that it and its supervisors tell;
    ``on_replaced`` is called after it was killed and another one took its place.
    """

    def __init__(
        self,
        start: Callable[[], SpawnerProcess],
        on_event: Callable[[Fields], None],
        on_replaced: Callable[[], None],
    ) -> None:
        self._start = start
        self._on_event = on_event
        self._on_replaced = on_replaced
        self._ready = asyncio.Event()
        self._spawner = self._started()
        self._waiting: list[asyncio.Future[None]] = []
        self._asked: asyncio.Task[None] | None = None
        self._pong = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<SpawnerLink {'closed' if self._closed else 'open'} to {self._spawner!r}>"

    async def close(self, *, wait: bool) -> None:
        """Hangs up; the spawner goes on while it has supervisors. ``wait`` only if it has none."""
        self._closed = True
        self._ready.set()  # an order that waits for that finds nobody to take it
        for waiting in (self._watch, self._watching):
            if waiting is not None:
                waiting.cancel()
        if self._spawner.channel.fileno() < 0:
            return  # it was killed, and no other could be started
        self._hang_up()
        if wait:
            await asyncio.to_thread(self._spawner.wait)

    async def order(self, job_id: JobId, uid: int, *, offline: bool, patience: float) -> None:
        """Has a supervisor made; raises ``OSError`` where the spawner takes no orders.

        So it does where the spawner has no room for the order within ``patience`` seconds.
        """
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(_QUIET, self._look)
        if not self._ready.is_set():
            await self._until_ready(patience)
        while True:
            try:
                self._spawner.order(job_id, uid, offline=offline)
            except BlockingIOError:
                # Its queue is full: it makes hundreds a second, so this does not last.
                try:
                    await asyncio.wait_for(self._until_room(), patience)
                except TimeoutError:
                    raise TimeoutError(f"it has taken none for {patience:g} s") from None
            else:
                return

    async def _until_ready(self, patience: float) -> None:
        """Returns once the spawner has taken the lock by which a later server knows of it.

        What it is ordered before that would be carried out behind that server's back.
        """
        try:
            await asyncio.wait_for(self._ready.wait(), patience)
        except TimeoutError:
            raise TimeoutError(f"it was not ready within {patience:g} s") from None

    async def answers(self, patience: float) -> bool:
        """Whether the spawner answers, and so takes orders, within that many seconds."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ask())
        asked = self._asked
        await asyncio.wait([asked], timeout=patience)
        return asked.done() and not asked.cancelled() and asked.exception() is None

    async def _ask(self) -> None:
        self._pong.clear()
        while True:
            try:
                self._spawner.ping()
            except BlockingIOError:
                await self._until_room()
            else:
                break
        await self._pong.wait()

    def _look(self) -> None:
        """Looks after a spawner that has had an order: one that hangs would leave it for ever."""
        self._watch = None
        self._watching = asyncio.create_task(self._kill_if_it_hangs())

    async def _kill_if_it_hangs(self) -> None:
        spawner = self._spawner
        if not await self.answers(_PATIENCE) and spawner is self._spawner:
            log.error("the spawner does not answer; killing it, as its supervisors need it not")
            with suppress(OSError):  # it is gone by itself
                spawner.kill()

    async def _until_room(self) -> None:
        """Returns once a spawner takes orders again: this one, or the one after it."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.add_writer(self._spawner.channel, self._wake)
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        asyncio.get_running_loop().remove_writer(self._spawner.channel)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            resolve(future)

    def _started(self) -> SpawnerProcess:
        spawner = self._start()
        spawner.channel.setblocking(False)
        self._ready.clear()
        spawner.ping()
        loop = asyncio.get_running_loop()
        loop.add_reader(spawner.channel, self._receive)
        loop.add_reader(spawner.pidfd, self._replace)
        return spawner

    def _hang_up(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._spawner.channel)
        loop.remove_reader(self._spawner.pidfd)
        self._wake()
        if self._asked is not None:
            self._asked.cancel()
        self._spawner.close()

    def _receive(self) -> None:
        """Takes all events that the spawner and its supervisors have sent."""
        while True:
            try:
                event = self._spawner.receive()
            except BlockingIOError:
                return
            if event is None:  # gone; its pidfd says so too, and may be relied on
                asyncio.get_running_loop().remove_reader(self._spawner.channel)
                return
            if event[0] == _PONG:
                self._ready.set()
                self._pong.set()
            else:
                self._on_event(event)

    def _replace(self) -> None:
        """Starts another spawner for one that was killed, whose supervisors live on."""
        log.error("the spawner is gone; starting another")
        self._receive()
        self._hang_up()
        self._spawner.wait()
        self._start_another()

    def _start_another(self) -> None:
        if self._closed:
            return
        try:
            self._spawner = self._started()
        except OSError as error:
            log.warning("cannot start a spawner, will try again: %s", error)
            asyncio.get_running_loop().call_later(_PAUSE, self._start_another)
        else:
            self._on_replaced()
