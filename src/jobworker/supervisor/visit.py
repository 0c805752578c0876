"""Executes a program from within its cgroups of v1: a thread enters them, and spawns it there.

v1 knows threads, and a process begins where the thread that spawns it is. So the program
needs no fork that copies the supervisor to put itself under its limits, most of the cost
of limits. The supervisor stays outside: memory is charged to where the first thread of a
process is (``mm->owner``); only first threads are candidates to be killed for it
(``mem_cgroup_scan_tasks``, since Linux 5.4), and none that still shares its parent's
memory (``in_vfork`` in ``oom_badness``).
"""

from __future__ import annotations

import _thread

from .cgroups import JobCgroup
from .failure import NotExecuted, step_of
from .limited import ProcessLimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_EAGAIN = 11


class _Visit:
    """The work of the thread, and its result."""

    def __init__(self, spawn: Callable[[], int], limits: ProcessLimits, group: JobCgroup) -> None:
        self._spawn = spawn
        self._limits = limits
        self._group = group
        self._over = _thread.allocate_lock()
        self._over.acquire()
        self._pid = 0
        self._error: BaseException | None = None

    def run(self) -> None:
        """Enters, spawns and leaves, in the thread."""
        try:
            self._group.visit()
            self._limits.impose()  # of these nice alone, which is each thread's own
            self._pid = self._spawn()
            self._group.end_visit()
        except BaseException as error:  # noqa: BLE001 - it is raised again where it can be dealt with
            self._error = error
        finally:
            self._over.release()

    def result(self) -> int:
        """The PID, or what was raised; it is ``NotExecuted`` where there was no spawn at all."""
        self._over.acquire()
        error = self._error
        if isinstance(error, OSError) and not self._pid:
            raise NotExecuted(step_of("cgroup", error), error.errno or 5) from error
        if error is not None:
            raise error
        return self._pid


def spawn_within(spawn: Callable[[], int], limits: ProcessLimits, group: JobCgroup) -> int:
    """Calls ``spawn`` from within ``group``; returns or raises what it does.

    Raises ``NotExecuted`` where there can be no thread, or it cannot enter.
    """
    visit = _Visit(spawn, limits, group)
    try:
        _thread.start_new_thread(visit.run, ())
    except RuntimeError:  # which does not say more (pthread_create(3): EAGAIN)
        raise NotExecuted("thread", _EAGAIN) from None
    return visit.result()
