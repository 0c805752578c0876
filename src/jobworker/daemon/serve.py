"""``jobd serve``: the server, from start to end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import Callable
from functools import partial

from jobworker.api.dispatch import Dispatcher
from jobworker.api.routes import ROUTES
from jobworker.api.server.https import HttpsServer
from jobworker.api.service import Service
from jobworker.config.settings import Settings
from jobworker.daemon.address import published, url_of
from jobworker.daemon.enrol import Server, where_tokens_are
from jobworker.daemon.init import make_admin
from jobworker.daemon.options import add_settings, load_settings, settings_of
from jobworker.daemon.process import (
    allow_many_descriptors,
    forbid_inspection,
    outlive_jobs,
    share_the_interpreter,
)
from jobworker.daemon.reload import reloading
from jobworker.daemon.state import State, make_state
from jobworker.embedded import Manager, open_database
from jobworker.errors import ServiceUnavailable
from jobworker.identity.users import Users
from jobworker.policy.authority import Authority
from jobworker.policy.load import load
from jobworker.tls.files import provide

ABOUT = "Run the server in the foreground; the first start makes all that it needs."

_log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the server's settings."""
    add_settings(parser, "state", "listen", "containment")


def run(arguments: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = settings_of(arguments)
    forbid_inspection()
    allow_many_descriptors()
    outlive_jobs()
    share_the_interpreter()
    asyncio.run(_serve(settings, partial(load_settings, arguments)))


async def _serve(settings: Settings, load_again: Callable[[], Settings]) -> None:
    stop = _stop_asked()
    authority = Authority(load(settings.config))
    state = make_state(settings.state)
    # The lock goes first: it makes all the rest ours to change.
    async with (
        open_database(state.directory) as database,
        Manager.open(
            state.directory,
            containment=settings.containment,
            database=database,
            hidden=where_tokens_are(),
            authority=authority,
            jobs=settings.jobs,
        ) as manager,
    ):
        with reloading(settings, load_again, authority, manager.refresh):
            users = Users(database)
            service = Service(manager, users, authority)
            await _serve_jobs(service, users, settings, state, stop)


async def _serve_jobs(
    service: Service, users: Users, settings: Settings, state: State, stop: asyncio.Event
) -> None:
    files = provide(state.tls, settings.listen.host)
    app = Dispatcher(service, ROUTES)
    server = await HttpsServer.start(app, settings.listen, files.server, files.server)
    try:
        with published(state.address, server.address):
            make_admin(users, Server(url_of(server.address), files.ca))
            _log.info("ready", extra={"address": str(server.address)})
            print(f"jobd is ready at https://{server.address}", flush=True)  # noqa: T201 - the contract
            await _until(stop, server)
            _log.info("stopping; jobs go on")
    finally:
        await server.stop()


async def _until(stop: asyncio.Event, server: HttpsServer) -> None:
    """Returns when a stop is asked; raises ``ServiceUnavailable`` when the server breaks."""
    asked, broken = asyncio.create_task(stop.wait()), asyncio.create_task(server.wait())
    await asyncio.wait((asked, broken), return_when=asyncio.FIRST_COMPLETED)
    for task in (asked, broken):
        task.cancel()
    _, error = await asyncio.gather(asked, broken, return_exceptions=True)
    if not stop.is_set():
        raise ServiceUnavailable(
            f"cannot go on serving: the HTTPS server has ended by itself ({error!r})",
            hint="jobs go on; start jobd again",
        )


def _stop_asked() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
