"""Puts the process in order, however it was started.

A service manager, a cron job, a shell script or a debugger may each hand down closed
descriptors, ignored signals, a signal mask or an umask. What they hand down would reach
every child, and some of it breaks asyncio.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_DUMPABLE = 4
_PR_SET_PDEATHSIG = 1

_OOM_SCORE = -500
"""Half of the machine's memory is taken off our score (proc_pid_oom_score_adj(5))."""

PRIVATE = 0o077
"""The umask: what jobd makes is for its own account only."""


def prepare() -> None:
    """Gives the process open standard streams, default signals and a private umask."""
    _open_standard_streams()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # SIGHUP stays as it came: whoever uses nohup means it.
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(PRIVATE)
    # OpenSSL's Python bindings would write the keys of TLS sessions to this file.
    os.environ.pop("SSLKEYLOGFILE", None)


def _open_standard_streams() -> None:
    """Opens ``/dev/null`` where a standard stream is closed, lest another file gets its number."""
    for number in (0, 1, 2):
        if not _is_open(number):
            opened = os.open(os.devnull, os.O_RDWR)
            assert opened == number, "the kernel gives the lowest free number"
            os.set_inheritable(number, True)
    # Python gives up a stream whose descriptor was closed when it started; these two
    # last as long as the process.
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError as error:
        if error.errno == errno.EBADF:
            return False
        raise
    return True


def allow_many_descriptors() -> None:
    """Raises the soft limit of open files to the hard one.

    A job that another server started takes one, a connection or a follower a few. Jobs
    do not inherit it (``supervisor/spawner.py``).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def outlive_jobs() -> None:
    """Has the kernel end others first where the machine has no memory left, if we may say so.

    A lower value that we have been given stays. Spawner and supervisors inherit it; jobs
    do not (``supervisor/oom_score.py``). Not the least of all, in case the leak is ours.
    """
    own = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):  # it takes CAP_SYS_RESOURCE
        if int(own.read_text(encoding="ascii")) > _OOM_SCORE:
            own.write_text(str(_OOM_SCORE), encoding="ascii")


def share_the_interpreter() -> None:
    """Lets a thread that waits for the interpreter's lock have it after 0.5 ms, not 5.

    The event loop gives the lock up and takes it back so often under load that the
    thread which receives requests, and the one which commits, could wait for long.
    """
    sys.setswitchinterval(0.0005)


def forbid_inspection() -> None:
    """Keeps others of the same account from our memory, environment and descriptors.

    It also means that no core is dumped (PR_SET_DUMPABLE in prctl(2)).
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Has this process killed once its parent is gone (PR_SET_PDEATHSIG in prctl(2))."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(option, *[ctypes.c_ulong(word) for word in (value, 0, 0, 0)]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl")
