"""Who has a port, as far as this account may know."""

from __future__ import annotations

import os
import socket

import pytest

from jobworker.daemon.port_holder import who_listens


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_process_that_listens_is_named(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        assert who_listens(port).startswith(f"PID {os.getpid()} (")
    assert who_listens(port) == "a process that is not found"
