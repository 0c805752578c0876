"""Requests that cost much: whatever one client sends, the others are served meanwhile."""

from __future__ import annotations

import base64
import http.client
import json
import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from jobworker.api.decode import BODY_PAUSE
from jobworker.api.resources.input import GOODBYE_BUDGET
from support.calls import Calls
from support.jobd import Jobd

_HELD_UP = 2.5
"""Most seconds that another client's request may take: milliseconds where nothing is wrong, on
a machine whose processors are shared with other tests; what is defended against took 5 to 20."""


_MIB = 1024 * 1024


@contextmanager
def memory_grows_by_less_than(most: int, server: Jobd) -> Iterator[None]:
    """Hold the server's peak of memory, from here to there, to what it has now and so much."""
    process = Path(f"/proc/{server.pid}")
    (process / "clear_refs").write_text("5")  # the peak is what there is now, proc(5)
    before = _peak(process)
    yield
    grown = _peak(process) - before
    assert grown < most, f"by {grown / _MIB:.0f} MiB"


def _peak(process: Path) -> int:
    lines = (process / "status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


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


def test_64_mib_of_newlines_are_answered_in_little_memory(server: Jobd) -> None:
    """T67: as lines, they once took 18 times their bytes, and killed a server of 900 MB."""
    call = Calls.of(server, "admin")
    newlines = "head -c 67108864 /dev/zero | tr '\\0' '\\n'"
    job_id = server.succeed("start", "-q", "--", "/bin/sh", "-c", newlines).strip()
    server.succeed("wait", job_id)
    path = f"/jobs/{job_id}/output"
    with (
        others_are_served(server),
        memory_grows_by_less_than(96 * _MIB, server),
        ThreadPoolExecutor(8) as pool,
    ):
        answers = [*pool.map(lambda _: call.raw("GET", path), range(8))]
    for status, _, data in answers:
        assert status == 200
        lines, rest = data.partition(b'"stdout":[')[2].split(b"]", 1)
        count = (len(lines) + 1) // 3
        assert lines == b",".join([b'""'] * count)
        assert count >= 8 * _MIB - 64 * 1024
        (gap,) = json.loads(b"{" + rest.partition(b",")[2])["gaps"]
        assert (gap["leftOut"], gap["end"] + count) == (True, 64 * _MIB)


def test_jobs_with_2_mb_of_arguments_are_listed_in_little_memory(server: Jobd) -> None:
    """T67: neither a list nor the table of live jobs has their arguments whole."""
    call = Calls.of(server, "admin")
    longest = ["x" * 120_000] * 16
    sleeping = {"program": "/bin/sh", "args": ["-c", "read forever", *longest], "input": "pipe"}
    ended = {"program": "/bin/true", "args": longest}
    with memory_grows_by_less_than(100 * _MIB, server), others_are_served(server):
        for body in [sleeping, ended] * 15:
            assert call("POST", "/jobs/start", body)[0] == 201
        status, page = call("GET", "/jobs?limit=1000")
    assert status == 200
    jobs = page["jobs"]
    assert len(jobs) == 30
    assert page["next"] is None
    for job in jobs:
        assert job["argsCut"] is True
        assert job["args"][-1].endswith("x\u2026")
        assert sum(map(len, job["args"])) <= 1024
    for job in jobs[:2]:
        status, whole = call("GET", f"/jobs/{job['id']}")
        assert (status, whole["args"][-16:]) == (200, longest)
        assert "argsCut" not in whole


def test_a_page_of_jobs_ends_where_it_is_large(server: Jobd) -> None:
    """T67: what is not cut, labels for one, is bounded by the page."""
    call = Calls.of(server, "admin")
    labels = {f"{number}{'k' * 250}": "v" * 256 for number in range(64)}
    body = {"program": "/bin/true", "labels": labels}
    for _ in range(200):
        assert call("POST", "/jobs/start", body)[0] == 201
    found, path = [], "/jobs?limit=1000"
    while path:
        _, _, data = call.raw("GET", path)
        assert len(data) < 4.2 * _MIB
        page = json.loads(data)
        found += [job["id"] for job in page["jobs"]]
        path = f"/jobs?limit=1000&cursor={page['next']}" if page["next"] else ""
    assert len(set(found)) == len(found) == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", {f"k{number}": "v" for number in range(230_000)}),
        ("env", {f"V{number}": "v" for number in range(90_000)}),
        ("args", [""] * 1_000_000),
    ],
)
def test_thousands_of_names_are_refused_at_once(server: Jobd, field: str, value: object) -> None:
    """T69: labels became rows and variables were compared with patterns, for 6 and 9 seconds."""
    call = Calls.of(server, "admin")
    body = {"program": "/bin/true", field: value}
    with others_are_served(server):
        status, refused = call("POST", "/jobs/start", body)
    assert (status, refused["field"]) == (400, field)


def test_bodies_that_drip_hold_up_no_large_start(server: Jobd) -> None:
    """T69: they once took the places of large bodies for as long as they came, a minute."""
    server.jobd("user", "add", "dripping")
    call = Calls.of(server, "admin")
    token = server.succeed("token", "print", user="dripping").strip()
    with ThreadPoolExecutor(8) as pool:
        dripping = [pool.submit(_drip, call, token) for _ in range(8)]
        began = time.monotonic()
        body = {"program": "/bin/cat", "stdin": "x" * 12 * _MIB}
        assert call("POST", "/jobs/start", body)[0] == 201
        assert time.monotonic() - began < BODY_PAUSE
        for drip in dripping:
            assert drip.result() < BODY_PAUSE + 10  # it is let go long before a minute is over


def _drip(call: Calls, token: str) -> float:
    """Begin a large start, and send a byte more now and then; the seconds until it is refused."""
    connection = call.connect()
    try:
        connection.putrequest("POST", "/jobs/start")
        for name, value in (
            ("Authorization", f"Bearer {token}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(20 * _MIB)),
        ):
            connection.putheader(name, value)
        connection.endheaders()
        began = time.monotonic()
        while not select.select([connection.sock], [], [], 0.2)[0]:
            connection.send(b" ")
        assert connection.getresponse().status == 408
        return time.monotonic() - began
    finally:
        connection.close()


def test_an_input_taken_over_again_and_again_is_held_by_two_at_most(server: Jobd) -> None:
    """T69: those who were displaced were not counted, and each may have had 64 MiB on its way."""
    call = Calls.of(server, "admin")
    token = server.succeed("token", "print").strip()
    body = {"program": "/bin/cat", "input": "pipe"}
    job_id = call("POST", "/jobs/start", body)[1]["id"]
    began = time.monotonic()
    with ExitStack() as stack:
        statuses = []
        for _ in range(20):
            connection = stack.enter_context(closing(call.connect()))
            statuses.append(_take_over(connection, job_id, token))
        goodbyes = int((time.monotonic() - began) // GOODBYE_BUDGET)  # each makes room for one
        assert statuses[:3] == [101, 101, 503]
        assert statuses.count(101) <= 2 + goodbyes
        assert set(statuses) == {101, 503}


def _take_over(connection: http.client.HTTPSConnection, job_id: str, token: str) -> int:
    """Ask for the input of a job; the status of the answer, after which nothing is read."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    }
    connection.request("GET", f"/jobs/{job_id}/input?takeover=true", headers=headers)
    return connection.getresponse().status


def test_a_crowd_that_follows_a_flood_takes_little_memory(server: Jobd) -> None:
    """T80: 500 followers took 576 MiB: each had six chunks of 256 KiB on its way."""
    call = Calls.of(server, "admin")
    job_id = server.start_job("/usr/bin/yes", "x" * 100)
    followers = 120
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(call.connect())) for _ in range(followers)]
        with memory_grows_by_less_than(100 * _MIB, server), others_are_served(server):
            for number, connection in enumerate(connections):
                form = ("/stdout?follow=true", "?follow=true")[number % 2]
                connection.request("GET", f"/jobs/{job_id}/output{form}", headers=call.headers)
            *crowd, reader = [connection.getresponse() for connection in connections]
            assert {response.status for response in (*crowd, reader)} == {200}
            # Of the others nothing is read: by then each has all that it will have in memory.
            assert len(reader.read(32 * _MIB)) == 32 * _MIB
            stopped = call("POST", f"/jobs/{job_id}/stop")
        assert stopped[0] == 200
