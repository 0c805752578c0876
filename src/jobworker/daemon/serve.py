"""``jobd serve``: the server, from start to end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from jobworker.api.allocators import set_up_jemalloc
from jobworker.api.dispatch import Dispatcher
from jobworker.api.routes import ROUTES
from jobworker.api.server.https import HttpsServer
from jobworker.api.service import Service
from jobworker.ballast import Ballast
from jobworker.config.settings import Address, Settings
from jobworker.daemon.activation import Inherited, inherited
from jobworker.daemon.address import published, url_of
from jobworker.daemon.bounds import gaps, rules_of
from jobworker.daemon.enrol import Server, where_tokens_are
from jobworker.daemon.first_start import make_what_is_missing
from jobworker.daemon.init import make_admin
from jobworker.daemon.network import Waiting, serve_network
from jobworker.daemon.options import add_settings, load_settings, settings_of
from jobworker.daemon.process import (
    allow_many_descriptors,
    forbid_inspection,
    outlive_jobs,
    share_the_interpreter,
)
from jobworker.daemon.reload import reloading
from jobworker.daemon.renewal import renewing
from jobworker.daemon.state import State, make_state
from jobworker.embedded import Manager, open_database
from jobworker.errors import ServiceUnavailable, StateUnusable
from jobworker.identity.users import Users
from jobworker.policy.authority import Authority
from jobworker.tls.files import TlsFiles, provide

ABOUT = "Run the server in the foreground; the first start makes all that it needs."

_log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the server's settings."""
    add_settings(parser, "state", "listen", "containment")


def run(arguments: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = settings_of(arguments)
    forbid_inspection()
    set_up_jemalloc()
    allow_many_descriptors()
    outlive_jobs()
    share_the_interpreter()
    authority = Authority(rules_of(settings))
    given = inherited()
    make_what_is_missing(settings.state, (given.address if given else settings.listen).host)
    asyncio.run(_serve(settings, authority, given, partial(load_settings, arguments)))


async def _serve(
    settings: Settings,
    authority: Authority,
    given: Inherited | None,
    load_again: Callable[[], Settings],
) -> None:
    stop = _stop_asked()
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
        for gap in gaps(authority.rules):
            _log.warning("%s", gap)
        with reloading(settings, load_again, authority, manager.refresh):
            users = Users(database)
            service = Service(manager, users, authority, troubles=[database.trouble])
            await _serve_jobs(service, users, settings.listen, given, state, stop)


async def _serve_jobs(
    service: Service,
    users: Users,
    listen: Address,
    given: Inherited | None,
    state: State,
    stop: asyncio.Event,
) -> None:
    address = given.address if given else listen
    ballast = Ballast(state.directory)
    files = ballast.relieve(partial(provide, state.tls, address.host))
    app = Dispatcher(service, ROUTES)
    operators = await _serve_operator(app, state, files)
    ours = Server(url_of(address), files.ca, state.socket)
    servers = [operators] if operators else []
    try:
        server = await serve_network(
            app,
            files,
            address,
            given.listener if given else None,
            Waiting(stop, lambda: make_admin(users, ours), state.socket),
        )
        if server is None:  # a stop was asked while another process had the port
            return
        servers.append(server)
        with published(state.address, server.address, ballast):
            make_admin(users, replace(ours, url=url_of(server.address)))
            _log.info("ready", extra={"address": str(server.address)})
            print(f"jobd is ready at https://{server.address}", flush=True)  # noqa: T201 - the contract
            with renewing(files, address.host, partial(_renew, servers)):
                await _until(stop, servers)
            _log.info("stopping; jobs go on")
    finally:
        await asyncio.gather(*(each.stop() for each in servers))
        with suppress(OSError):  # on a broken disk it stays; the next server takes its place
            state.socket.unlink()


async def _serve_operator(app: Dispatcher, state: State, files: TlsFiles) -> HttpsServer | None:
    """Serves this account by the socket in the state; None, and a warning, where that cannot be."""
    try:
        return await HttpsServer.start_for_operator(
            app, state.directory, files.server, files.server
        )
    except StateUnusable as error:
        _log.warning("%s: the server is reached by its address alone", error)
        return None


def _renew(servers: list[HttpsServer]) -> None:
    for server in servers:
        server.renew()


async def _until(stop: asyncio.Event, servers: list[HttpsServer]) -> None:
    """Returns when a stop is asked; raises ``ServiceUnavailable`` when a server breaks."""
    tasks = [asyncio.create_task(each) for each in (stop.wait(), *(one.wait() for one in servers))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    _, *ends = await asyncio.gather(*tasks, return_exceptions=True)
    if not stop.is_set():
        raise ServiceUnavailable(
            f"cannot go on serving: an HTTPS server has ended by itself ({ends!r})",
            hint="jobs go on; start jobd again",
        )


def _stop_asked() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
