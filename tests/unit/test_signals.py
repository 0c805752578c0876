"""Which signal is meant by what people write."""

from __future__ import annotations

import ctypes
import signal

import pytest

from jobworker.errors import InvalidRequest
from jobworker.signals import name_of, number_of
from support import native


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("HUP", 1),
        ("SIGHUP", 1),
        ("sighup", 1),
        ("Hup", 1),
        ("1", 1),
        (1, 1),
        ("KILL", 9),
        ("cld", signal.SIGCHLD),
        ("RTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("rtmax-1", signal.SIGRTMAX - 1),
        (64, 64),
    ],
)
def test_what_names_a_signal(text: str | int, number: int) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *("", "SIG", "SIGSIG", "SIGSIGHUP", "FOO", "_DFL", "__class__", "name", "HUP "),
        *("0", 0, "-1", -1, "+1", "1 ", 65, 32, "\u0661", "9" * 5000, 2**64),
        *("RTMIN+31", "RTMAX-99", "RTMIN-1"),
    ],
)
def test_what_names_none(text: str | int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        number_of(text)
    assert caught.value.field == "signal"
    assert len(str(caught.value)) < 60


@native.needs_compiler
def test_both_sides_use_the_same_names() -> None:
    for number in signal.valid_signals():
        name = ctypes.create_string_buffer(24)
        native.library().signals_name(int(number), name)
        assert name_of(number) == name.value.decode()
        assert number_of(name_of(number)) == number
