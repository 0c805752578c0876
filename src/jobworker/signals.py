"""Signals by their names, as kill(1) takes them: ``HUP``, ``SIGHUP``, ``hup``, ``1``.

A number means what it means on this machine, which is the server's or the client's.
"""

from __future__ import annotations

import re
import signal

from jobworker.errors import InvalidRequest

_REAL_TIME = re.compile(r"RTMIN\+([0-9]{1,2})|RTMAX-([0-9]{1,2})")


def number_of(text: str | int) -> int:
    """The number of a signal; raises ``InvalidRequest`` where there is no such signal."""
    word = str(text).upper().removeprefix("SIG")
    number = _number(word)
    if number not in signal.valid_signals():
        raise InvalidRequest(
            f"there is no signal {str(text)[:20]!r}", field="signal", hint="write HUP, TERM, USR1"
        )
    return number


def _number(word: str) -> int:
    """The number that ``word`` stands for, valid or not; -1 where it stands for none."""
    if word.isascii() and word.isdecimal():
        return int(word[:5])
    if found := _REAL_TIME.fullmatch(word):
        return signal.SIGRTMIN + int(found[1]) if found[1] else signal.SIGRTMAX - int(found[2])
    return getattr(signal.Signals, f"SIG{word}", -1)


def name_of(number: int) -> str:
    """``SIGHUP`` for 1; a real-time signal without a name of its own is ``SIGRTMIN+3``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
