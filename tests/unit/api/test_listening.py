"""What holds for every connection that a listening socket accepts."""

from __future__ import annotations

import socket

from jobworker.api.server.listening import UNSENT, listen, prepare
from jobworker.config.settings import Address


def test_a_connection_keeps_little_that_is_not_sent() -> None:
    """T80: a client that does not read would have megabytes in the kernel."""
    with listen(Address("127.0.0.1", 0), 1) as listener:
        prepare(listener)
        with socket.create_connection(listener.getsockname()):
            listener.setblocking(True)
            accepted, _ = listener.accept()
            with accepted:
                kept = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
    assert kept == UNSENT
