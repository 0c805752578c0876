"""The frames in which typed bytes, and changes of the window's size, reach a job's terminal.

They go through a pipe in the spool. A frame is written whole or not at all (pipe(7):
PIPE_BUF), so a server that dies leaves no half of one.
"""

from __future__ import annotations

import select
import struct

FRAME = struct.Struct("<cH")
"""The head of a frame: ``TYPED`` or ``WINDOW``, and the number of bytes that follow."""
TYPED = b"t"
WINDOW = b"w"
SIZE = struct.Struct("<HH")
"""The body of a ``WINDOW`` frame: rows and columns."""

MOST_TYPED = select.PIPE_BUF - FRAME.size
"""The most bytes in one frame."""
