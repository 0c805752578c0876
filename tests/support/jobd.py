"""A real server and a real ``jobctl``, each a process, on a state of their own."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.directories import make_directory

_READY = "jobd is ready at "
_READY_BUDGET = 30.0
"""Seconds until a server is ready: the first start makes keys and a database, on a
machine that may be busy with other tests."""

_STOP_BUDGET = 30.0
"""Seconds for a server to end after SIGTERM: it finishes the requests in hand."""

_CALL_BUDGET = 120.0
"""Seconds for one ``jobctl``: longer than any program that a test runs to its end."""

MakeJobd = Callable[..., "Jobd"]


class Jobd:
    """One ``jobd serve`` with a state and a client configuration below ``home``.

    Listens on a free port and keeps it over a restart, as the profiles name it.
    ``account`` is the number of the user and group to run both commands as;
    ``wrapper`` is a command that starts the server, with less than all rights for one;
    ``inside`` one that is run as who runs the tests, and has the server begin as its
    account: with mounts of its own, for one.
    ``variables`` are added to the environment of both; the server inherits ``inherits``.
    """

    def __init__(
        self,
        home: Path,
        *options: str,
        account: int | None = None,
        wrapper: tuple[str, ...] = (),
        inside: tuple[str, ...] = (),
    ) -> None:
        self.home = home
        self.state = home / "state"
        self.log = home / "jobd.log"
        self.options = options
        self.account = account
        self.wrapper = wrapper
        self.inside = inside
        self.listen = "127.0.0.1:0"
        self.variables: dict[str, str] = {}
        self.inherits: tuple[int, ...] = ()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._earlier: list[int] = []
        """The spawners of servers that were killed: they stay until their jobs have ended."""

    @property
    def environ(self) -> dict[str, str]:
        """The environment of both commands: this one's, with directories below home."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "JOBCTL_"))}
        return inherited | {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "local-state"),
            "JOBD_STATE": str(self.state),
            **self.variables,
        }

    @property
    def pid(self) -> int:
        """The server's PID."""
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server; returns once it is ready, raises with its log if it ends."""
        serve = ["serve", "--listen", self.listen, *self.options]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._prefix(), _command("jobd"), *serve],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environ,
                cwd=self.home,
                pass_fds=self.inherits,
                **({} if self.inside else self._credentials()),
            )
        self.url = self._ready_line().removeprefix(_READY)
        self.listen = self.url.removeprefix("https://")

    def jobd(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run another ``jobd`` command, as ``jobd("user", "add", "user1")``."""
        return self._run("jobd", args)

    def jobctl(
        self, *args: str, user: str | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run ``jobctl`` with the profile of ``user`` (admin's, if none is named)."""
        return self._run("jobctl", _with_user(user, args), stdin)

    def jobctl_bytes(
        self, *args: str, user: str | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """The same, for output that need not be text."""
        return subprocess.run(
            [_command("jobctl"), *_with_user(user, args)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=self.environ,
            timeout=_CALL_BUDGET,
            check=False,
            **self._credentials(),
        )

    def succeed(self, *args: str, user: str | None = None) -> str:
        """Run ``jobctl`` and return what it prints; fails where it does."""
        done = self.jobctl(*args, user=user)
        assert done.returncode == 0, f"{done.args}: {done.stderr}\n{self.log.read_text()}"
        return done.stdout

    def start_job(self, program: str, *args: str, user: str | None = None) -> str:
        """Start a job and return its ID."""
        return self.succeed("start", "-q", "--", program, *args, user=user).strip()

    def stop(self) -> int:
        """End the server with SIGTERM and return its exit code; jobs go on."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server with SIGKILL; jobs go on, and their spawner with them."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        self._earlier += [os.pidfd_open(int(pid)) for pid in children]
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server, unless it has ended, and start it again on the same address."""
        if self.running:
            assert self.stop() == 0
        self.start()

    def close(self) -> None:
        """End the server and every job; where it is down, a new one finds the jobs."""
        if self._process is None:
            return
        if not self.running:
            self._end(signal.SIGKILL)
            self.start()
        running = self.succeed("list", "-q", "--all", "--status", "Running").split()
        for job_id in running:
            self.jobctl("stop", job_id)
        self._await_earlier_spawners()
        code = self.stop()
        assert code == 0, f"jobd ended with {code}:\n{self.log.read_text()}"

    def _await_earlier_spawners(self) -> None:
        """Return once those of killed servers are gone: the last server to stop tidies up."""
        poll = select.poll()
        while self._earlier:
            spawner = self._earlier.pop()
            poll.register(spawner, select.POLLIN)
            poll.poll(_STOP_BUDGET * 1000)
            poll.unregister(spawner)
            os.close(spawner)

    def abandon(self) -> None:
        """Let go of the server's process and pipe, whatever state it is in."""
        if self._process:
            self._end(signal.SIGKILL)

    def _run(
        self, command: str, args: tuple[str, ...], stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_command(command), *args],
            capture_output=True,
            text=True,
            input=stdin,
            env=self.environ,
            timeout=_CALL_BUDGET,
            check=False,
            **self._credentials(),
        )

    def _prefix(self) -> list[str]:
        if not self.inside or self.account is None:
            return [*self.inside, *self.wrapper]
        ids = (f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups")
        return [*self.inside, "setpriv", *ids, *self.wrapper]

    def _credentials(self) -> dict[str, Any]:
        if self.account is None:
            return {}
        return {"user": self.account, "group": self.account, "extra_groups": []}

    def _ready_line(self) -> str:
        """The line that says where the server is ready; reads on until it comes."""
        assert self._process
        assert self._process.stdout
        printed, pipe = b"", self._process.stdout.fileno()
        deadline = time.monotonic() + _READY_BUDGET
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            chunk = os.read(pipe, 4096)
            printed += chunk
            line = printed.decode().partition("\n")[0]
            if line.startswith(_READY) and b"\n" in printed:
                return line
            if not chunk:
                break
        self.abandon()
        raise AssertionError(f"jobd did not become ready:\n{printed!r}\n{self.log.read_text()}")

    def _end(self, number: signal.Signals) -> int:
        assert self._process
        self._process.send_signal(number)
        try:
            return self._process.wait(_STOP_BUDGET)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            if self._process.stdout:
                self._process.stdout.close()


def _command(name: str) -> str:
    """The launcher that scripts/setup has made beside this Python."""
    return str(Path(sys.executable).with_name(name))


def _with_user(user: str | None, args: tuple[str, ...]) -> tuple[str, ...]:
    return ("-u", user, *args) if user else args


@pytest.fixture
def make_jobd() -> Iterator[MakeJobd]:
    """Start servers: ``make_jobd("--containment", "basic", account=65534)``.

    With ``state`` one goes on from that state, which an earlier server has left: an archive
    of its directory.
    """
    yield from _servers()


@pytest.fixture(scope="module")
def make_module_jobd() -> Iterator[MakeJobd]:
    """The same, for a server that all tests of a file use."""
    yield from _servers()


@pytest.fixture
def jobd(make_jobd: MakeJobd) -> Jobd:
    """A server of this test's own, on the strongest containment that works here."""
    return make_jobd()


@pytest.fixture(scope="module")
def module_jobd(make_module_jobd: MakeJobd) -> Jobd:
    """One server for a file of tests that leave nothing running."""
    return make_module_jobd()


@pytest.fixture
def shared_dir() -> Iterator[Path]:
    """A directory for files that jobs read: not under /tmp, readable by every user."""
    path = make_directory("jobworker-")
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def _servers() -> Iterator[MakeJobd]:
    made: list[Jobd] = []

    def make(
        *options: str,
        account: int | None = None,
        wrapper: tuple[str, ...] = (),
        inside: tuple[str, ...] = (),
        state: Path | None = None,
    ) -> Jobd:
        # Short, as the path of a Unix socket has at most 107 bytes.
        home = make_directory("jobd-")
        if account is not None:
            os.chown(home, account, account)
        server = Jobd(home, *options, account=account, wrapper=wrapper, inside=inside)
        try:
            if state is not None:
                subprocess.run(["tar", "-xzf", state, "-C", home, "--no-same-owner"], check=True)
            server.start()
        except BaseException:
            shutil.rmtree(home)
            raise
        made.append(server)
        return server

    yield make
    for server in made:
        try:
            server.close()
        finally:
            server.abandon()
            shutil.rmtree(server.home)
