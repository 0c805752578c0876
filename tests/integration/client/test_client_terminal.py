"""What ``jobctl`` does on a terminal only, and what it lets nothing do there (T45)."""

from __future__ import annotations

import json
import threading
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from support.small_server import FAILED, ID, Handler, Jobctl, Server, lines, on_terminal, view

OTHER = "j-07aab6c5-0d3e-4c7a-8a53-1f2e3d4c5b6a"
EVIL = (
    "\x1b]52;c;AAAA\x07\x1b]0;title\x07\x1b[2J"
    "\x9b31m\x9d0;t\x9c\x90\u202e\u2066\u2028\x85\x7f\r\b\0x"
)
"""Clipboard, title, clear screen, the same by C1 controls, other ways to turn text around."""

BAD = view(
    status="Failed",
    reason=EVIL,
    cause="exited",
    signal=EVIL,
    owner=EVIL,
    program=f"/bin/{EVIL}",
    args=[EVIL, {"base64": "/w=="}],
    name=EVIL,
    labels={EVIL: EVIL},
    evidence={EVIL: EVIL},
    finishedAt="2026-01-31T12:00:01Z",
)


def controls(text: str) -> set[str]:
    """The characters that act on a terminal, but for those that begin a line."""
    acting = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")}
    return acting - {"\r", "\n"}


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "--wide"],
        ["list", "-q"],
        ["list", "--json"],
        ["status", ID],
        ["status", "--json", ID],
        ["why", ID],
        ["why", "-q", ID],
        ["wait", ID],
        ["output", ID],
        ["show", ID],
        ["list", "-o", "id,name,labels,owner,reason,command"],
        ["list", "--sort", "name"],
        ["start", "/bin/true"],
        ["stop", ID],
        ["rm", ID],
        ["rm", "--json", ID, ID[:8]],
        ["extend", ID, "1m"],
        ["can-i", "start", "/bin/true"],
        ["whoami"],
        ["__complete", "--", "status", ""],
    ],
    ids=" ".join,
)
def test_t45_nothing_of_a_job_acts_on_a_terminal(
    words: list[str], jobctl: Jobctl, server: Server
) -> None:
    refusal = (409, {"error": f"Error: {EVIL}", "code": EVIL, "hint": EVIL, "field": EVIL})
    page = {"jobs": [BAD], "next": None, "error": None}
    server.answers = {
        "GET /jobs?limit=100": (200, page),
        f"GET /jobs?idPrefix={ID[:8]}&limit=10": (200, page),
        f"GET /jobs/{ID}": (200, BAD),
        f"GET /jobs/{ID}?wait=60.000": (200, BAD),
        f"GET /jobs/{ID}?wait=0.000": (200, BAD),
        f"GET /jobs/{ID}/output": (200, lines([EVIL], [EVIL])),
        "POST /jobs/start": (201, {"id": ID, "error": None, "hint": EVIL}),
        f"POST /jobs/{ID}/stop": refusal,
        f"DELETE /jobs/{ID}": refusal,
        f"POST /jobs/{ID}/extend": refusal,
        "POST /policy/can-start": (200, {"allowed": False, "reason": EVIL, "error": None}),
        "GET /me": (200, {"name": EVIL, "role": EVIL, "error": None}),
    }
    jobctl.environment |= {"NO_COLOR": "1", "TERM": "dumb", "JOBCTL_COMPLETION_TIMEOUT": "15s"}
    _, seen = on_terminal(jobctl, *words)
    assert controls(seen) <= {"\t"}
    assert seen.strip()
    assert "Traceback" not in seen


def test_a_start_says_what_is_next(jobctl: Jobctl, server: Server) -> None:
    server.answers["POST /jobs/start"] = (201, {"id": ID, "error": None})
    said = f"Job started with ID {ID}.\r\n"
    _, seen = on_terminal(jobctl, "start", "/bin/true")
    assert seen == f"{said}follow it with: jobctl output -f {ID[:10]}\r\n"
    _, seen = on_terminal(jobctl, "-u", "admin", "run", "-d", "/bin/true")
    assert seen == f"{said}follow it with: jobctl -u admin output -f {ID[:10]}\r\n"


def test_a_start_says_no_more_to_a_script(jobctl: Jobctl, server: Server) -> None:
    server.answers["POST /jobs/start"] = (201, {"id": ID, "error": None})
    assert on_terminal(jobctl, "start", "-q", "/bin/true") == (0, f"{ID}\r\n")
    _, seen = on_terminal(jobctl, "start", "--json", "/bin/true")
    assert json.loads(seen) == {"id": ID, "error": None}
    assert jobctl("start", "/bin/true").stderr == b""


def ends_when(asked: int, ended: dict[str, Any]) -> Callable[[Handler], None]:
    """An answer that says ``Running`` until it was asked for so many times."""
    times = 0

    def answer(handler: Handler) -> None:
        nonlocal times
        times += 1
        if times < asked:
            # As a server that has nothing to tell; but a test has no minute to spare.
            threading.Event().wait(min(1.0, float(handler.path.partition("wait=")[2])))
        job = ended if times >= asked else view(id=ended["id"])
        handler.reply(200, json.dumps(job).encode())

    return answer


def waits(server: Server, job_id: str, answer: Any) -> None:
    """Lay out an answer for however long the client is ready to wait."""
    for milliseconds in range(1_001):
        server.answers[f"GET /jobs/{job_id}?wait={milliseconds / 1000:.3f}"] = answer
    server.answers[f"GET /jobs/{job_id}?wait=60.000"] = answer


DONE = FAILED | {"id": OTHER, "finishedAt": "2026-01-31T12:00:01Z"}


def test_a_long_wait_tells_how_far_it_is(jobctl: Jobctl, server: Server) -> None:
    waits(server, ID, ends_when(5, DONE | {"id": ID}))
    waits(server, OTHER, (200, DONE))
    jobctl.environment |= {"TERM": "xterm"}
    code, seen = on_terminal(jobctl, "wait", OTHER, ID)
    assert code == 3
    assert "\r1 of 2 ended, 1 s" in seen
    *_, last = seen.split("\r1 of 2 ended,")
    assert last.partition("\r")[2].lstrip(" \r\n").startswith(f"ID: {ID}")
    assert "2 of 2" not in seen


@pytest.mark.parametrize("option", [["-q"], []])
def test_a_wait_is_silent_where_it_should_be(
    option: list[str], jobctl: Jobctl, server: Server
) -> None:
    waits(server, ID, ends_when(3, DONE | {"id": ID}))
    jobctl.environment |= {"TERM": "xterm" if option else "dumb"}
    _, seen = on_terminal(jobctl, "wait", *option, ID)
    assert "ended," not in seen


def test_the_first_of_several_to_end(jobctl: Jobctl, server: Server) -> None:
    waits(server, ID, (200, view()))
    waits(server, OTHER, (200, DONE))
    done = jobctl("wait", "-q", "--any", ID, OTHER, ID)
    assert (done.returncode, done.stdout) == (3, f"{OTHER}\n".encode())


def test_all_are_told_in_the_order_given(jobctl: Jobctl, server: Server) -> None:
    succeeded = DONE | {"id": ID, "status": "Completed", "exitCode": 0}
    waits(server, ID, (200, succeeded))
    waits(server, OTHER, (200, DONE))
    done = jobctl("wait", "--json", OTHER, ID, OTHER)
    assert done.returncode == 3
    assert [json.loads(line) for line in done.stdout.splitlines()] == [DONE, succeeded]
    blocks = jobctl("wait", ID, OTHER).stdout.decode().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [f"ID: {ID}", f"ID: {OTHER}"]


def test_what_has_not_ended_in_time_counts_as_124(jobctl: Jobctl, server: Server) -> None:
    waits(server, ID, (200, view()))
    waits(server, OTHER, (200, DONE))
    for words, code in (([ID, OTHER], 124), ([OTHER, ID], 3)):
        done = jobctl("wait", "--timeout", "0.1s", *words)
        assert done.returncode == code
        assert done.stderr.decode().count("has not ended in the time given; it goes on") == 1


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_refused_wait_is_not_taken_for_a_job_that_exits_with_1(
    status: int, jobctl: Jobctl, server: Server
) -> None:
    waits(server, ID, (status, {"error": "Error: no", "code": "some_code"}))
    done = jobctl("wait", "--json", ID)
    assert (done.returncode, json.loads(done.stdout)["code"]) == (125, "some_code")
