"""The signals that the spawner and its supervisors deal with.

``_signal`` is the C half of ``signal``, which wraps it in enums: those would come to
a fifth of the spawner's imports, and every supervisor would pay for touching them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

SIGCHLD = int(_signal.SIGCHLD)
SIGCONT = int(_signal.SIGCONT)
SIGKILL = int(_signal.SIGKILL)
SIGSTOP = int(_signal.SIGSTOP)
SIGTERM = int(_signal.SIGTERM)

IGNORED = tuple(
    int(number)
    for number in (
        _signal.SIGINT,
        _signal.SIGTERM,
        _signal.SIGHUP,
        _signal.SIGPIPE,
        _signal.SIGXFSZ,
    )
)
"""The signals that the spawner and its supervisors ignore, and their programs must not."""

WAKING = (SIGCHLD, SIGTERM)
"""Signals blocked and read from a descriptor: a child has ended; the server notifies us.

A blocked signal reaches even the init of a PID namespace, from outside and inside alike,
so SIGTERM only makes a supervisor look whether its record has a stop.
"""


def reset() -> None:
    """Resets what was inherited: every signal to its default, but for those we ignore.

    With SIGCHLD ignored, for one, a process would have no exit status to wait for.
    """
    for number in _signal.valid_signals():
        try:
            _signal.signal(number, _signal.SIG_IGN if number in IGNORED else _signal.SIG_DFL)
        except OSError:
            continue  # SIGKILL and SIGSTOP have no disposition to set
    _signal.pthread_sigmask(_signal.SIG_SETMASK, WAKING)


def reset_for_program() -> None:
    """Gives this process the signals that a program expects: all at default, none blocked."""
    for number in IGNORED:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def name_of(number: int) -> str:
    """``SIGKILL`` for 9; a real-time signal has no name of its own (signal(7))."""
    for name in dir(_signal):
        if name.startswith("SIG") and "_" not in name and getattr(_signal, name) == number:
            return name
    return f"SIGRTMIN+{number - _signal.SIGRTMIN}"
