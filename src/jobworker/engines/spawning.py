"""Start a spawner, and speak with it: orders out, events in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jobworker
from jobworker.model import JobId, Level
from jobworker.supervisor import records
from jobworker.supervisor.records import Fields

_PACKAGE = Path(jobworker.__file__).parent
_CODE = "import sys; sys.path.append({!r}); from supervisor.spawner import main; main()"
_MOST_EVENT = 65536


class SpawnerProcess:
    """A spawner, and the socket to it. It outlives us as long as it has supervisors."""

    def __init__(self, level: Level, state: Path, hidden: Sequence[Path], log: int) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", "-c", _CODE.format(str(_PACKAGE))),
                    *(str(theirs.fileno()), level, str(state), *map(str, hidden)),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"LANG": "C.UTF-8"},
            )
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()

    def order(self, job_id: JobId, uid: int) -> None:
        """Have a supervisor made for the job, whose spec is in the spool."""
        self.channel.send(records.pack([("job", job_id.encode()), ("uid", b"%d" % uid)]))

    def receive(self) -> Fields | None:
        """The next event; None if the spawner is gone."""
        try:
            message = self.channel.recv(_MOST_EVENT)
        except ConnectionResetError:
            return None
        return records.unpack(message) if message else None

    def close(self) -> None:
        """Hang up, upon which the spawner ends with its last supervisor."""
        self.channel.close()


def open_log(state: Path) -> int:
    """Where a spawner or supervisor that breaks leaves its traceback.

    A file of its own: our standard error may be a pipe, which a supervisor that
    outlives us would hold open.
    """
    return os.open(
        state / "spawner.log",
        os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
    )
