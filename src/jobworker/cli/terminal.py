"""The parts for a terminal only: colour, text that fits, and a line of progress."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

COLOURS = {
    "Queued": "2",  # faint
    "Running": "36",  # cyan
    "Completed": "32",  # green
    "Failed": "31",  # red
    "Stopped": "33",  # yellow
}
"""The SGR parameter (ECMA-48) that a status is shown in."""


def has_colour(stream: TextIO) -> bool:
    """Whether text on ``stream`` may be coloured; see no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and not _is_dumb()


def can_redraw(stream: TextIO) -> bool:
    """Whether what stands on ``stream`` can be written over."""
    return stream.isatty() and not _is_dumb()


def coloured(text: str, status: str) -> str:
    """``text`` in the colour of a status."""
    colour = COLOURS.get(status)
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def width(text: str) -> int:
    """The number of columns that printable text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def cut(text: str, columns: int) -> str:
    """The beginning of ``text`` that fits, with an ellipsis in the place of the rest."""
    if len(text) <= 4 * columns and width(text) <= columns:
        return text
    kept, taken = "", width("\u2026")
    for character in text:
        taken += width(character)
        if taken > columns:
            break
        kept += character
    return kept + "\u2026"


def _is_dumb() -> bool:
    return os.environ.get("TERM", "dumb") == "dumb"


class Progress:
    """One line on a terminal that is written over and over; nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""
        self.visible = can_redraw(stream)

    def show(self, text: str) -> None:
        """Puts ``text`` in the place of the line so far."""
        if self.visible and text != self._shown:
            self._stream.write(f"\r{text}{' ' * (len(self._shown) - len(text))}")
            self._stream.flush()
            self._shown = text

    def clear(self) -> None:
        """Leaves the line empty, as it was before."""
        if self._shown:
            self.show("")
            self._stream.write("\r")
            self._stream.flush()
