"""A pseudo-terminal for one program (pty(7)), and the typed bytes on their way there.

It is loaded by the spawner last, as only jobs with a terminal need it. Typed bytes come
through a pipe in the spool, in frames, as do changes of the window's size. A frame is
written whole or not at all (pipe(7): PIPE_BUF), so a server that dies leaves no half of
one.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios

from . import records
from .failure import NotExecuted
from .site import OWN_UID, Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .streams import Action

FRAME = struct.Struct("<cH")
"""The head of a frame: ``TYPED`` or ``WINDOW``, and the number of bytes that follow."""
TYPED = b"t"
WINDOW = b"w"
SIZE = struct.Struct("<HH")
"""The body of a ``WINDOW`` frame: rows and columns."""

MOST_TYPED = select.PIPE_BUF - FRAME.size
"""The most bytes in one frame."""

_IUTF8 = 0o40000
_ENOSPC, _EAGAIN = 28, 11


class Terminal:
    """A terminal: the program has one side of it, and we the other, ``sources[0]``."""

    def __init__(self, site: Site, spool: int, owner: tuple[int, int]) -> None:
        """Makes it for the user and group ``owner``; raises ``NotExecuted``."""
        try:
            self._master, self._slave = _open(site, owner)
            flags = os.O_NOFOLLOW | os.O_NONBLOCK
            self.inlet = os.open(records.STDIN, os.O_RDONLY | flags, dir_fd=spool)
            # Held so that the pipe never ends, whoever comes and goes at its other end.
            self._keeper = os.open(records.STDIN, os.O_WRONLY | flags, dir_fd=spool)
        except OSError as error:
            # The kernel says ENOSPC where no more terminals are allowed.
            errno = _EAGAIN if error.errno == _ENOSPC else error.errno or 5
            raise NotExecuted("terminal", errno) from error
        self.path = os.ttyname(self._slave)
        self.sources: tuple[int, ...] = (self._master,)
        self._came = b""
        self._typed = b""

    def resize(self, rows: int, cols: int) -> None:
        """Gives it a size; the kernel tells the program by SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def spawn_actions(self) -> tuple[Action, ...]:
        """The actions for posix_spawn; the new session that opens this gets it as terminal."""
        return (
            (os.POSIX_SPAWN_OPEN, 0, self.path, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        )

    def take_place(self) -> None:
        """Makes it the terminal of this process, which has made itself a new session."""
        opened = os.open(self.path, os.O_RDWR)
        for target in (0, 1, 2):
            os.dup2(opened, target)

    def let_go(self) -> None:
        """Closes nothing: our end of its side stays, so that it may open it again."""

    def end(self) -> None:
        """Does nothing: a terminal has no end of input but the one that is typed."""

    def register(self, poll: select.poll) -> None:
        """Has ``poll`` tell when something is typed."""
        poll.register(self.inlet, select.POLLIN)

    def heed(self, fd: int, event: int, poll: select.poll) -> bool:
        """Passes on what is typed; returns whether there is output to read from ``fd``."""
        if fd == self.inlet:
            self._read_frames()
            self._type(poll)
            return False
        if event & select.POLLOUT:
            self._type(poll)
        return bool(event & ~select.POLLOUT)

    def _read_frames(self) -> None:
        self._came += os.read(self.inlet, select.PIPE_BUF)
        while len(self._came) >= FRAME.size:
            kind, length = FRAME.unpack_from(self._came)
            end = FRAME.size + length
            if len(self._came) < end:
                return
            body, self._came = self._came[FRAME.size : end], self._came[end:]
            if kind == WINDOW:
                try:
                    self.resize(*SIZE.unpack(body))
                except OSError:
                    pass  # the program has hung up
            else:
                self._typed += body

    def _type(self, poll: select.poll) -> None:
        """Writes what the terminal takes now, and reads no more from the pipe before it has all."""
        if self._typed:
            try:
                self._typed = self._typed[os.write(self._master, self._typed) :]
            except BlockingIOError:
                pass
            except OSError:
                self._typed = b""  # the program has hung up
        waiting = bool(self._typed)
        poll.register(self.inlet, 0 if waiting else select.POLLIN)
        poll.register(self._master, select.POLLIN | (select.POLLOUT if waiting else 0))


def _open(site: Site, owner: tuple[int, int]) -> tuple[int, int]:
    master, slave = os.openpty()
    if site.level in OWN_UID:
        os.fchown(slave, *owner)
    os.fchmod(slave, 0o600)
    os.set_blocking(master, False)
    settings = termios.tcgetattr(slave)
    settings[0] |= _IUTF8  # so that erasing takes a whole character
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    return master, slave
