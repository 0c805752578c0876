"""What the tests of the client share: a server, a profile for it, and ``jobctl``."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobworker.client import profiles
from support.small_server import TOKEN, Authority, Jobctl, Server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def serve() -> Iterator[Callable[[ssl.SSLContext | None], Server]]:
    """Start servers, each with the TLS that it is given; all end with the test."""
    running: list[tuple[Server, threading.Thread]] = []

    def start(context: ssl.SSLContext | None) -> Server:
        server = Server(context)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(serve: Callable[[ssl.SSLContext | None], Server], authority: Authority) -> Server:
    return serve(authority.context())


@pytest.fixture
def profile(server: Server, authority: Authority) -> profiles.Profile:
    return profiles.Profile("admin", server=server.url, ca=str(authority.path), token=TOKEN)


@pytest.fixture
def jobctl(profile: profiles.Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobctl:
    """``jobctl`` with the profile of the test's server as its default one."""
    monkeypatch.setenv("JOBCTL_CONFIG", str(tmp_path / "config" / "config.json"))
    monkeypatch.delenv("JOBCTL_USER", raising=False)
    monkeypatch.delenv("JOBCTL_SERVER", raising=False)
    profiles.store(profile)
    return Jobctl(dict(os.environ))
