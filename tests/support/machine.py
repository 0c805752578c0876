"""A real ``jobd`` as an operator meets it: started in odd ways, broken, started again.

``support.jobd`` is for tests of jobs, which want a server that just works.
"""

from __future__ import annotations

import os
import select
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from jobworker.client.config_text import parse

READY = "jobd is ready at "
BUDGET = 30.0
"""Seconds for anything that is waited for, on a machine that may be busy."""


class Machine:
    """An account's home with a state and a client configuration in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.profiles = home / "config" / "jobctl" / "config.json"
        self.log = home / "log"
        self.started: list[subprocess.Popen[bytes]] = []

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "JOBCTL_"))}
        return kept | {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "JOBD_STATE": str(self.state),
            "SSLKEYLOGFILE": str(self.home / "keylog"),
        }

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        settings: dict[str, Any] = {"env": self.environ, "timeout": BUDGET}
        command = jobd(*arguments)
        return subprocess.run(
            command, capture_output=True, text=True, check=False, **(settings | options)
        )

    def succeed(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a server; it need not be ready yet."""
        with self.log.open("ab") as log:
            settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": log}
            command = jobd("serve", "--listen", "127.0.0.1:0", *arguments)
            server: subprocess.Popen[bytes] = subprocess.Popen(
                command, env=self.environ, **(settings | options)
            )
        self.started.append(server)
        return server

    def serve(self, *arguments: str, **options: Any) -> str:
        """Start a server and return its URL once it is ready."""
        server = self.start(*arguments, **options)
        assert server.stdout
        readable, _, _ = select.select([server.stdout], [], [], BUDGET)
        assert readable, self.log.read_text()
        line = server.stdout.readline().decode()
        assert line.startswith(READY), self.log.read_text()
        return line.removeprefix(READY).strip()

    def jobctl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``jobctl`` as admin to its end."""
        command = [str(Path(sys.executable).with_name("jobctl")), "-u", "admin", *arguments]
        settings: dict[str, Any] = {"env": self.environ, "timeout": BUDGET}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, **(settings | options)
        )

    def stop(self) -> int:
        """End the last server with SIGTERM and return its exit code."""
        server = self.started[-1]
        server.terminate()
        return server.wait(BUDGET)

    def profile(self, name: str) -> dict[str, str]:
        return parse(self.profiles.read_text())["profiles"][name]

    def get(self, name: str, path: str, url: str | None = None) -> int:
        """The status of a request with the stored profile of ``name``."""
        profile = self.profile(name)
        request = urllib.request.Request((url or profile["server"]) + path)
        request.add_header("Authorization", f"Bearer {profile['token']}")
        context = ssl.create_default_context(cafile=profile["ca"])
        try:
            with urllib.request.urlopen(request, context=context, timeout=BUDGET) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def close(self) -> None:
        for server in self.started:
            server.terminate()  # one that is killed leaves its empty cgroups
            server.wait(BUDGET)
            for stream in (server.stdout, server.stderr):
                if stream:
                    stream.close()


def jobd(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jobworker.daemon", *arguments]
