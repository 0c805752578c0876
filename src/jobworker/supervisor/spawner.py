"""The spawner: a bare process without threads that makes supervisors.

It is the parent of every supervisor, tells the server when one is gone, and stays
until its last one has ended, also when the server that started it is long gone.

It is run as ``python -I -S -c 'from supervisor.spawner import main; main()'`` with
arguments of the form ``key=value``, of which some may come more than once: ``channel``,
the descriptor of a socket to the server, and those of ``site.Site``.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import select
import sys

from . import kernel, network, records, signals, tree
from .contain import clone_flags
from .failure import step_of
from .site import OWN_NAMESPACES, OWN_UID, Site
from .supervise import Charge, refusal, supervise, tell

_MOST_ORDER = 4096
_SIGNALS = 1024
_OPEN_FILES = 1024
_BROKEN = 70
_EIO = 5

_TITLE = b"jobd: spawner"
"""The name of spawner and supervisors in a list of processes: it names no path."""

_PAUSE = 1000
"""Milliseconds between attempts that fail for want of a resource."""


def main() -> None:
    """Serves the server at the other end of the socket until there is nothing left to do."""
    words = arguments(sys.argv[1:])
    # A supervisor is process 1 of its job, which may read what it was executed with.
    kernel.replace_arguments(_TITLE)
    channel = int(words["channel"][0])
    os.set_inheritable(channel, False)
    signals.reset()
    os.umask(0o077)
    site = Site(words)
    _set_limits(site)
    if site.level not in OWN_NAMESPACES:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    if site.level == "full":
        kernel.drop_bounding_set()
    # Modules that only a job under limits, or with input, needs are loaded, but last: earlier
    # they would spread what every supervisor touches over more pages, each of which is copied.
    from . import commons, feed, limited, quota, terminal, visit  # noqa: F401, PLC0415

    site.commons = commons.opened(words.get("commons", []))

    # The collector would write into every object's header, and so copy every page.
    gc.disable()
    gc.freeze()
    Spawner(site, channel).run()


def arguments(argv: list[str]) -> dict[str, list[str]]:
    """The values of each key, in the order given."""
    words: dict[str, list[str]] = {}
    for text in argv:
        key, _, value = text.partition("=")
        words.setdefault(key, []).append(value)
    return words


def _set_limits(site: Site) -> None:
    """Allows no core files, and as many open files as a service manager gives.

    The server raises its own soft limit, and programs that use select(2) break above
    1,024. A program that needs more may raise it to the hard limit. Where each user has a
    UID, all processes of a user are counted together; root, as which supervisors run, is
    not bound (``set_user`` and ``copy_process`` in the kernel).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, _OPEN_FILES), hard))
    if site.processes is not None and site.level in OWN_UID:
        resource.setrlimit(resource.RLIMIT_NPROC, (site.processes, site.processes))


class Spawner:
    """The table of living supervisors, and the loop that feeds and reaps them."""

    def __init__(self, site: Site, channel: int) -> None:
        self._site = site
        self._channel = channel
        self._supervisors: dict[int, str] = {}
        self._server_is_there = True
        self._strays = False

    def run(self) -> None:
        """Takes orders and reaps until the server and all supervisors are gone."""
        # Held for as long as there may be orders, also of a server that is gone: the next one
        # waits for it. It is of the kind that belongs to a process, so no clone has it.
        fcntl.lockf(self._site.spool, fcntl.LOCK_SH)
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._site.signals, select.POLLIN)
        walls = self._site.walls
        if walls is not None:
            walls.watch(poll)
        while self._server_is_there or self._supervisors or self._strays:
            # The last first: what changes the walls goes before an order.
            for fd, _ in reversed(poll.poll(_PAUSE if self._strays else None)):
                if fd == self._channel:
                    if not self._take_order():
                        poll.unregister(fd)
                        self._server_is_there = False
                        fcntl.lockf(self._site.spool, fcntl.LOCK_UN)
                elif fd == self._site.signals:
                    os.read(fd, _SIGNALS)
                    self._reap()
                elif walls is not None:
                    walls.take_notice()
            if self._strays:
                self._kill_strays()

    def _take_order(self) -> bool:
        """Makes the supervisor that the server asks for; False if the server is gone."""
        try:
            order = os.read(self._channel, _MOST_ORDER)
        except ConnectionResetError:
            # It died with events unread, which is told once, and first: its orders still wait.
            return True
        fields = dict(records.unpack(order))
        if "ping" in fields:
            tell(self._channel, "pong", "", [])
        elif fields:
            offline = fields.get("network") == network.NONE
            self._make_supervisor(fields["job"].decode(), int(fields["uid"]), offline=offline)
        return bool(order)

    def _make_supervisor(self, job_id: str, uid: int, *, offline: bool) -> None:
        try:
            charge = Charge(self._site, job_id, uid)
        except OSError as error:
            self._refuse(job_id, "setup", error)
            return
        except Exception as error:  # noqa: BLE001 - one job's record must not end the others' spawner
            sys.excepthook(*sys.exc_info())
            self._refuse(job_id, "setup", OSError(_EIO, repr(error)))
            return
        try:
            pid = kernel.clone(clone_flags(self._site.level, offline=offline))
        except OSError as error:
            charge.drop()
            self._refuse(job_id, "clone", error)
            return
        if pid == 0:
            self._be_supervisor(charge, offline=offline)
        self._supervisors[pid] = job_id
        charge.hand_over()

    def _refuse(self, job_id: str, stage: str, error: OSError) -> None:
        tell(self._channel, "refused", job_id, refusal(step_of(stage, error), error.errno or 5))
        self._tell_gone(job_id, 0)

    def _be_supervisor(self, charge: Charge, *, offline: bool) -> None:
        """Supervises the job, in the clone. Never returns."""
        status = _BROKEN
        try:
            supervise(self._site, charge, self._channel, offline=offline)
            status = 0
        except BaseException:  # noqa: BLE001 - a clone may never return into the spawner's loop
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while (reaped := _reap_one()) is not None:
            pid, status = reaped
            if os.WIFSTOPPED(status):
                # Whoever did it (at ``basic`` a job may): its job could not be stopped, nor timed.
                os.kill(pid, signals.SIGCONT)
                continue
            job_id = self._supervisors.pop(pid, None)
            if job_id is not None:
                self._tell_gone(job_id, status)
            if job_id is None or status != 0:
                self._strays = self._site.level not in OWN_NAMESPACES

    def _kill_strays(self) -> None:
        """Kills the processes that a killed supervisor has left behind: they fall to us."""
        try:
            tree.kill_descendants(keep=frozenset(self._supervisors))
        except OSError as error:  # no file can be opened just now, say: there is a next time
            sys.stderr.write(f"cannot look for processes of dead supervisors: {error}\n")
        else:
            self._strays = False

    def _tell_gone(self, job_id: str, status: int) -> None:
        tell(self._channel, "gone", job_id, [("status", b"%d" % status)])


def _reap_one() -> tuple[int, int] | None:
    """A child that has ended, or was stopped, with its status; None where there is no more."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None
