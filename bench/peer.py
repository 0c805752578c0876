"""The peer: OpenSSH on the loopback, with a connection that is ready.

The bench starts an sshd of its own, on a free port, with keys of its own. What a call does:
the server's session process forks, the login shell of the account starts, and it executes
the program; the exit code comes back over the same connection. There is no wall around the
program, no record of it on disk, and no output to look at later.

All calls share one connection: with one for each of 16 clients it was slower.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import packages

SSHD = "/usr/sbin/sshd"
_PRIVILEGE_SEPARATION = Path("/run/sshd")

_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {home}/host
PidFile none
AuthorizedKeysFile {home}/key.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
# The login shell would read the .bashrc of the account.
SetEnv HOME={home}
MaxStartups 64
MaxSessions 64
"""

_CLIENT = """\
Host peer
HostName 127.0.0.1
Port {port}
User root
IdentityFile {home}/key
IdentitiesOnly yes
StrictHostKeyChecking no
UserKnownHostsFile {home}/known
LogLevel ERROR
ControlMaster auto
ControlPath {home}/control
ControlPersist yes
"""


class Ssh:
    """An sshd and a connection to it, both ended and removed on leaving."""

    def __init__(self) -> None:
        # Not below the checkout, whose path may be longer than that of a socket may be.
        self._home = Path(tempfile.mkdtemp(prefix="sshd-bench-", dir="/var/tmp"))
        self._undo = ExitStack()
        self._undo.callback(shutil.rmtree, self._home)

    def __enter__(self) -> Self:
        try:
            self._serve()
            self._connect()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._undo.close()

    @property
    def call(self) -> list[str]:
        """The command that runs /bin/true over the connection."""
        return [*self._ssh(), "peer", "/bin/true"]

    def copy(self, file: Path) -> None:
        """Read a file over the connection, and throw it away."""
        subprocess.run(
            [*self._ssh(), "peer", "/bin/cat", str(file)], stdout=subprocess.DEVNULL, check=True
        )

    @property
    def control(self) -> Path:
        """The socket of the connection, for who needs no command."""
        return self._home / "control"

    def _serve(self) -> None:
        port = _free_port()
        for key in ("host", "key"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._home / key)]
            subprocess.run(keygen, check=True)
        self._write("sshd_config", _SERVER, port)
        self._write("ssh_config", _CLIENT, port)
        if not _PRIVILEGE_SEPARATION.exists():
            _PRIVILEGE_SEPARATION.mkdir()
            self._undo.callback(_PRIVILEGE_SEPARATION.rmdir)
        sshd = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(self._home / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us: the connection has to be closed first
        )
        self._undo.callback(_end, sshd)
        assert sshd.stderr
        said = sshd.stderr.readline().decode()
        if "listening" not in said:
            raise RuntimeError(f"cannot start sshd on port {port}: {said.strip()}")

    def _write(self, name: str, text: str, port: int) -> None:
        (self._home / name).write_text(text.format(home=self._home, port=port))

    def _connect(self) -> None:
        """Open the connection; ssh goes to the background once it is ready."""
        _run([*self._ssh(), "-f", "-N", "peer"])
        self._undo.callback(_run, [*self._ssh(), "-O", "exit", "peer"])

    def _ssh(self) -> list[str]:
        ssh = shutil.which("ssh")
        assert ssh, "missing() has been asked"
        return [ssh, "-F", str(self._home / "ssh_config")]


def missing() -> str | None:
    """Why the peer cannot be measured here, after an attempt to install it; or None."""
    if os.geteuid() != 0:
        return "the loopback sshd needs root"
    return packages.missing({"ssh": "openssh-client", "sshd": "openssh-server"})


def _run(command: Sequence[str]) -> None:
    # ssh would keep our standard error open in the background.
    silent = subprocess.DEVNULL
    subprocess.run(command, check=True, stdin=silent, stdout=silent, stderr=silent)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _end(sshd: subprocess.Popen[bytes]) -> None:
    sshd.terminate()
    sshd.wait()
    if sshd.stderr:
        sshd.stderr.close()
