"""Starts a spawner, and speaks with it: orders out, events in."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from jobworker.model import JobId, Level
from jobworker.supervisor import program, records
from jobworker.supervisor.names import NO_NETWORK
from jobworker.supervisor.records import Fields

_MOST_EVENT = 65536

_MOST_LOG = 1024 * 1024
"""Bytes of log that are kept when a spawner starts: some hundred tracebacks, not a disk full."""


_CHANNEL = 3
"""The spawner's end of the socket: the first descriptor after standard error."""


class SpawnerProcess:
    """A spawner, and the socket to it. It outlives us as long as it has supervisors.

    ``limiting`` are more arguments for it, those of ``enforcement.spawner_arguments``.
    """

    def __init__(
        self,
        level: Level,
        state: Path,
        hidden: Sequence[Path],
        log: int,
        limiting: Sequence[str] = (),
    ) -> None:
        executable = str(program.path())
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = [
            executable,
            f"channel={_CHANNEL}",
            f"level={level}",
            f"state={state}",
            *(f"hide={path}" for path in hidden),
            *limiting,
        ]
        try:
            # Not subprocess.Popen, which complains of a child that is not waited for.
            self._pid = os.posix_spawn(
                executable,
                arguments,
                {"LANG": "C.UTF-8"},
                file_actions=(
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), _CHANNEL),
                ),
                setsid=True,
            )
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()
        # Its end of the socket does not tell its death: its supervisors share it.
        self.pidfd = os.pidfd_open(self._pid)

    def __repr__(self) -> str:
        return f"<SpawnerProcess {self._pid}>"

    def order(self, job_id: JobId, uid: int, *, offline: bool = False) -> None:
        """Has a supervisor made for the job, whose spec is in the spool.

        ``offline`` for a job without a network, which takes namespaces.
        """
        fields = [("job", job_id.encode()), ("uid", b"%d" % uid)]
        if offline:
            fields.append(("network", NO_NETWORK))
        self.channel.send(records.pack(fields))

    def ping(self) -> None:
        """Asks for the event ``pong``, which comes once all orders before are carried out."""
        self.channel.send(records.pack([("ping", b"")]))

    def kill(self) -> None:
        """Kills it; its supervisors go on."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def receive(self) -> Fields | None:
        """The next event; None if the spawner is gone."""
        try:
            message = self.channel.recv(_MOST_EVENT)
        except ConnectionResetError:
            return None
        return records.unpack(message) if message else None

    def close(self) -> None:
        """Hangs up, upon which the spawner ends with its last supervisor."""
        self.channel.close()
        os.close(self.pidfd)

    def wait(self) -> None:
        """Blocks until it has ended; only after ``close``, and with no supervisor left."""
        os.waitpid(self._pid, 0)


def open_log(state: Path) -> int:
    """The log in which a spawner or supervisor that breaks leaves its traceback.

    It is a file of its own: our standard error may be a pipe, which a supervisor that
    outlives us would hold open.
    """
    log = os.open(
        state / "spawner.log",
        os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
    )
    if os.fstat(log).st_size > _MOST_LOG:
        os.ftruncate(log, 0)
    return log
