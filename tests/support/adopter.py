"""Adopts and reaps every orphan of a program, as an init would.

A process can leave its parent, its session and its environment behind, but not the process
that adopts orphans (prctl(2), PR_SET_CHILD_SUBREAPER). So whatever a test leaves running
stays below that one and can be found. It reaps at once, where PID 1 of a container may reap
late or never.

    python adopter.py PROGRAM ARGUMENT...

runs a program below such a process. A worker of pytest-xdist takes this way: it has threads
before any plugin of ours is asked, and what has threads cannot fork and go on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def fork_below_adopter() -> None:
    """Forks once: the child returns, the parent only adopts, and exits as the child does."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        end_with_parent(signal.SIGKILL)
    else:
        os._exit(_adopt_until_end_of(child))


def end_with_parent(number: signal.Signals) -> None:
    """Has the kernel send this signal to us when the thread ends that has started us."""
    _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _adopt_until_end_of(child: int) -> int:
    """Reaps everything until ``child`` ends; returns what to exit with."""
    # Who talks to the child through its input and output is to see their ends.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    for ignored in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)  # a terminal sends these to the child as well
    for passed_on in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(passed_on, lambda number, _frame: os.kill(child, number))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    fork_below_adopter()
    os.execvp(sys.argv[1], sys.argv[1:])
