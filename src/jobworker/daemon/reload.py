"""Makes the rules of the configuration effective anew on SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobworker.config.settings import SETTINGS, Settings
from jobworker.daemon.bounds import rules_of
from jobworker.errors import ConfigurationInvalid
from jobworker.model import NO_SAFEGUARDS
from jobworker.policy.authority import Authority
from jobworker.policy.load import warnings
from jobworker.policy.rules import Rules

_log = logging.getLogger(__name__)


@contextmanager
def reloading(
    settings: Settings,
    load_settings: Callable[[], Settings],
    authority: Authority,
    refresh: Callable[[], None],
) -> Iterator[None]:
    """Logs the effective rules, and reloads them on SIGHUP for as long as this lasts.

    ``settings`` are the effective ones, ``load_settings`` reads them anew; ``refresh`` is
    called when ``authority`` has other rules. Without a file there
    is nothing to do, and SIGHUP stays as it came: whoever uses nohup means it.
    """
    if settings.config is None:
        yield
        return
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, asked.set)

    def reload() -> None:
        _reload(settings, load_settings(), authority)

    _tell(authority.rules)
    task = asyncio.create_task(_reload_when(asked, reload, refresh))
    try:
        yield
    finally:
        # The handler stays: a late SIGHUP must not cut the last requests off.
        task.cancel()


async def _reload_when(
    asked: asyncio.Event, reload: Callable[[], None], refresh: Callable[[], None]
) -> None:
    """Reloads for each request; those that come meanwhile are met by one, with the newest file."""
    while await asked.wait():
        asked.clear()
        try:
            # In a thread: the names of accounts may come over a network (nsswitch.conf(5)).
            await asyncio.to_thread(reload)
            refresh()
        except ConfigurationInvalid as error:
            _log.error("the effective policy stays, as the new one cannot be used: %s", error)
        except Exception:  # noqa: BLE001 - whatever it is, a server with a policy goes on
            _log.exception("the effective policy stays, as the new one cannot be loaded")


def _reload(settings: Settings, found: Settings, authority: Authority) -> None:
    rules = rules_of(settings)
    changed = [name for name in SETTINGS if getattr(found, name) != getattr(settings, name)]
    if found.jobs != settings.jobs:
        changed.append("jobs")
    found_guards, guards = (one.safeguards or NO_SAFEGUARDS for one in (rules, authority))
    if (rules.total, found_guards.memory) != (authority.total, guards.memory):
        changed.append("total")
    if found_guards.pids != guards.pids:
        changed.append("per-user.pids")
    authority.replace(rules)
    _tell(rules)
    if changed:
        _log.warning("restart jobd for what only its start reads: %s", ", ".join(changed))


def _tell(rules: Rules) -> None:
    count = len(rules.policy.rules)
    default = "allow" if rules.policy.allow_by_default else "deny"
    _log.info("policy loaded", extra={"rules": count, "default": default})
    for warning in warnings(rules.policy):
        _log.warning("%s", warning)
