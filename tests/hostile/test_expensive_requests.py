"""Requests that cost much: whatever one client sends, the others are served meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.calls import Calls
from support.jobd import Jobd

_HELD_UP = 2.5
"""Most seconds that another client's request may take: milliseconds where nothing is wrong, on
a machine whose processors are shared with other tests; what is defended against took 5 to 20."""


@contextmanager
def others_are_served(server: Jobd) -> Iterator[None]:
    """Ask for the server's health again and again meanwhile; no answer may take long."""
    call, over, slowest = Calls(server, None), threading.Event(), 0.0

    def ask() -> None:
        nonlocal slowest
        while not over.is_set():
            began = time.monotonic()
            assert call("GET", "/healthz")[0] == 200
            slowest = max(slowest, time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
    assert slowest < _HELD_UP


def test_a_start_with_a_megabyte_of_paths_does_not_hold_up_others(server: Jobd) -> None:
    """T66: each part of each path was once looked at on the event loop."""
    call = Calls.of(server, "admin")
    winding = "/usr/lib" + "/../lib" * 560
    with others_are_served(server):
        body = {"program": "/bin/true", "args": [winding] * 250}
        assert call("POST", "/jobs/start", body)[0] == 201
        body = {"program": "/absent", "args": [winding] * 250}
        assert call("POST", "/jobs/start", body)[0] == 404


def test_a_job_cannot_learn_through_a_link_which_paths_exist(
    server: Jobd, shared_dir: Path
) -> None:
    """T66: a hint once followed links with the rights of the server."""
    call = Calls.of(server, "admin")
    closed = shared_dir / "closed"
    closed.mkdir(mode=0o700)
    (closed / "there").touch(mode=0o600)
    hints = []
    for name in ("there", "gone!"):
        link = shared_dir / f"to-{name}"
        link.symlink_to(closed / name)
        status, started = call("POST", "/jobs/start", {"program": "/bin/cat", "args": [str(link)]})
        assert status == 201
        hints.append(str(started.get("hint")).replace(name, ""))
    assert hints[0] == hints[1]
