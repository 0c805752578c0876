"""A ``jobd`` of the benchmark's own, on the real disk, gone without a trace afterwards."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.connection import Connection

_READY = "jobd is ready at https://"
_READY_BUDGET = 60.0
"""Seconds until a server is ready: many times the target for 1,000 running jobs."""

_STOP_BUDGET = 60.0
"""Seconds for a server to end: it moves what is left of the load to its archive."""


class Server:
    """One server process with a state and a client configuration of its own."""

    def __init__(self, containment: str) -> None:
        # Not /tmp, which may be in memory: a start waits for the disk.
        self.home = Path(tempfile.mkdtemp(prefix="jobd-bench-", dir="/var/tmp"))
        self._containment = containment
        self._listen = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""

    def __enter__(self) -> Self:
        try:
            self.start()
            self._token = self._jobctl("token", "print")
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._process is None or self._process.poll() is not None:
                self.start()
            self.stop_jobs()
            self._end(signal.SIGTERM)
        finally:
            self._abandon()

    @property
    def pid(self) -> int:
        """The server's PID."""
        assert self._process
        return self._process.pid

    @property
    def environ(self) -> dict[str, str]:
        """The environment of both commands: ours, with directories below home."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "JOBCTL_"))}
        return inherited | {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "local-state"),
        }

    def start(self) -> float:
        """Start the server; returns the seconds until it said that it is ready."""
        options = ["--listen", self._listen, "--containment", self._containment]
        begun = time.perf_counter()
        with (self.home / "jobd.log").open("a") as log:
            self._process = subprocess.Popen(
                [command("jobd"), "serve", "--state", str(self.home / "state"), *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environ,
                start_new_session=True,  # Ctrl-C is for us: the jobs have to be stopped first
            )
        self._listen = self._ready_line().removeprefix(_READY).strip()
        return time.perf_counter() - begun

    def kill(self) -> None:
        """End the server with SIGKILL; jobs go on."""
        self._end(signal.SIGKILL)

    def connect(self, token: str | None = None, receive: int | None = None) -> Connection:
        """A connection as admin, or by another's token, ready for the first request.

        With ``receive`` the kernel keeps some so many bytes for it that it has not read.
        """
        host, _, port = self._listen.rpartition(":")
        ca = self.home / "state/tls/ca.pem"
        return Connection((host, int(port)), ca, token or self._token, receive)

    def add_admin(self, name: str) -> str:
        """One more admin; returns its token."""
        options = ["--role", "admin", "--state", str(self.home / "state")]
        subprocess.run(
            [command("jobd"), "user", "add", name, *options],
            env=self.environ,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return self._jobctl("-u", name, "token", "print")

    def curl(self, paths: Sequence[str]) -> None:
        """Read what is at ``paths``, all at once, and throw it away; a path may be a whole URL."""
        urls = [path if "://" in path else f"https://{self._listen}{path}" for path in paths]
        lines = [
            f'header = "Authorization: Bearer {self._token}"',
            f'cacert = "{self.home / "state/tls/ca.pem"}"',
            "tlsv1.3\nsilent\nshow-error\nfail\nno-progress-meter",
            f"parallel\nparallel-immediate\nparallel-max = {len(urls)}" if len(urls) > 1 else "",
        ]
        for url in urls:
            lines += [f'url = "{url}"', 'output = "/dev/null"']
        config = "\n".join(lines)  # by a pipe: the token must not be in the list of processes
        subprocess.run(["curl", "--config", "-"], input=config, text=True, check=True)

    def follow(self, job_id: str) -> None:
        """``jobctl output -f``, thrown away."""
        command_line = [command("jobctl"), "output", "-f", "--raw", job_id]
        subprocess.run(command_line, env=self.environ, stdout=subprocess.DEVNULL, check=True)

    def frames(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The frames of a job as they come, each as its JSON."""
        with closing(self.connect()) as connection:
            yield from connection.frames(job_id)

    def level(self) -> str:
        """The containment that its jobs get."""
        with closing(self.connect()) as connection:
            return str(connection.wait(connection.start("/bin/true"))["containment"])

    def spooled(self) -> set[str]:
        """What the spool still has: the jobs that run, and what has ended and is not gone yet."""
        return {path.name for path in (self.home / "state/spool").iterdir()}

    def stop_jobs(self) -> None:
        """Stop every job that runs."""
        with closing(self.connect()) as connection:
            while jobs := connection.list_running():
                for job in jobs:
                    connection.stop(job["id"])

    def _jobctl(self, *args: str) -> str:
        done = subprocess.run(
            [command("jobctl"), *args], env=self.environ, stdout=subprocess.PIPE, check=True
        )
        return done.stdout.decode().strip()

    def _ready_line(self) -> str:
        assert self._process
        assert self._process.stdout
        if select.select([self._process.stdout], [], [], _READY_BUDGET)[0]:
            line = self._process.stdout.readline().decode()
            if line.startswith(_READY):
                return line
        log = (self.home / "jobd.log").read_text()
        raise RuntimeError(f"jobd did not become ready; its log:\n{log}")

    def _end(self, number: signal.Signals) -> None:
        assert self._process
        assert self._process.stdout
        self._process.send_signal(number)
        self._process.wait(_STOP_BUDGET)
        self._process.stdout.close()
        self._process = None

    def _abandon(self) -> None:
        """Let go of the process, if it is still there, and of all files."""
        if self._process:
            self._end(signal.SIGKILL)
        shutil.rmtree(self.home)


def command(name: str) -> str:
    """The launcher that scripts/setup has made beside this Python."""
    return str(Path(sys.executable).with_name(name))
