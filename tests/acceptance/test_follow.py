"""Output never hangs, vanishes or lies: frames over HTTPS, with real programs."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from jobworker.api.interruptions import LOOK_AT_TOKENS
from support.frames import Api, Frame, data_of
from support.jobd import Jobd, MakeJobd
from support.waiting import until

NDJSON = "application/x-ndjson"
TALK = "for i in 1 2 3; do echo out $i; echo err $i >&2; done"


@pytest.fixture(scope="module")
def server(make_module_jobd: MakeJobd) -> Jobd:
    return make_module_jobd()


@pytest.fixture(scope="module")
def api(server: Jobd) -> Api:
    return Api(server)


def joined(frames: list[Frame], stream: str) -> bytes:
    return b"".join(data_of(frame) for frame in frames if frame["stream"] == stream)


def test_both_streams_in_order_and_then_the_end(server: Jobd, api: Api) -> None:
    job = server.start_job("/bin/sh", "-c", TALK + "; exit 3")
    *frames, end = api.frames(job)
    assert joined(frames, "stdout") == b"out 1\nout 2\nout 3\n"
    assert joined(frames, "stderr") == b"err 1\nerr 2\nerr 3\n"
    assert [frame["seq"] for frame in frames] == list(
        itertools.accumulate(len(frame["data"]) for frame in frames)
    )
    assert all(re.fullmatch(r"2\d{3}-.*T.*Z", frame["time"]) for frame in [*frames, end])
    assert end == {
        "seq": 36,
        "time": end["time"],
        "stream": "end",
        "data": "",
        "status": "Failed",
        "exitCode": 3,
        "signal": None,
        "cause": "exited",
        "reason": "exited with code 3",
    }


def test_a_frame_comes_while_the_job_runs(server: Jobd, api: Api) -> None:
    job = server.start_job("/bin/sh", "-c", "echo now; exec sleep 300")
    frames = api.frames(job)
    assert next(frames)["data"] == "now\n"
    server.succeed("stop", job)
    (end,) = frames
    assert (end["stream"], end["status"], end["signal"]) == ("end", "Stopped", "SIGKILL")


def test_after_any_byte_the_rest_comes(server: Jobd, api: Api) -> None:
    job = server.start_job("/bin/sh", "-c", "echo one; echo two >&2; echo three")
    *whole, end = api.frames(job)
    everything = b"".join(map(data_of, whole))
    for after in range(len(everything) + 1):
        *rest, again = api.frames(job, f"follow=true&after={after}")
        assert b"".join(map(data_of, rest)) == everything[after:]
        assert again == end
    beyond = list(api.frames(job, "follow=true&after=1000"))
    assert [frame["stream"] for frame in beyond] == ["end"]


def test_what_is_not_utf_8_is_exact(server: Jobd, api: Api, shared_dir: Path) -> None:
    """T34: 0xff, NUL, a character at the edge, no newline at the end."""
    content = bytes(range(256)) * 3000 + "äöü".encode() * 50_000 + b"\xff\0no newline"
    file = shared_dir / "content"
    file.write_bytes(content)
    job = server.start_job("/bin/cat", str(file))
    *frames, _ = api.frames(job)
    assert joined(frames, "stdout") == content


def test_a_line_of_a_gibibyte_is_exact(make_jobd: MakeJobd) -> None:
    """T34, and the server's memory stays where it was."""
    jobd = make_jobd()
    api = Api(jobd)
    script = "head -c 1073741824 /dev/zero | tr '\\0' x"
    job = jobd.succeed("start", "-q", "--output", "2G", "--", "/bin/sh", "-c", script).strip()
    with api.get(f"/jobs/{job}/output/stdout?follow=true") as answer:
        digest, length = hashlib.sha256(), 0
        while piece := answer.read1(1 << 20):
            digest.update(piece)
            length += len(piece)
    assert length == 1 << 30
    expected = hashlib.sha256()
    for _ in range(1024):
        expected.update(b"x" * (1 << 20))
    assert digest.hexdigest() == expected.hexdigest()
    status = Path(f"/proc/{jobd.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak
    assert int(peak[1]) < 400_000
    jobd.close()


def test_events_for_a_browser(server: Jobd, api: Api) -> None:
    job = server.start_job("/bin/echo", "hello")
    path = f"/jobs/{job}/output?follow=true"
    with api.get(path, Accept="text/event-stream") as answer:
        assert answer.getheader("Content-Type") == "text/event-stream"
        text = answer.read().decode()
    events = [event for event in text.split("\n\n") if event]
    assert events[0] == "retry: 1000"
    number, data = events[1].split("\n")
    assert number == "id: 6"
    assert json.loads(data.removeprefix("data: "))["data"] == "hello\n"
    kind, number, data = events[2].split("\n")
    assert (kind, number) == ("event: end", "id: 6")
    assert json.loads(data.removeprefix("data: "))["exitCode"] == 0
    with api.get(path, Accept="text/event-stream", Last_Event_ID="2") as answer:
        assert '"data":"llo\\n"' in answer.read().decode()


def test_without_follow_what_there_is_now(server: Jobd, api: Api) -> None:
    job = server.start_job("/bin/sh", "-c", "echo now; exec sleep 300")
    until(lambda: list(api.frames(job, "", Accept=NDJSON)) != [])
    (frame,) = api.frames(job, "", Accept=NDJSON)
    assert frame["data"] == "now\n"
    server.succeed("stop", job)
    assert [frame["stream"] for frame in api.frames(job, "", Accept=NDJSON)] == ["stdout", "end"]
    status, lines = api.json(f"/jobs/{job}/output")
    assert (status, lines["stdout"]) == (200, ["now"])


def test_the_last_lines_one_stream_and_by_time(server: Jobd, api: Api) -> None:
    job = server.start_job("/bin/sh", "-c", "seq 1 5; seq 6 9 >&2; sleep 0.1; echo last")
    *whole, _ = api.frames(job)
    *tail, _ = api.frames(job, "follow=true&tail=3")
    assert b"".join(map(data_of, tail)) == b"8\n9\nlast\n"
    *errors, _ = api.frames(job, "follow=true&stream=stderr&tail=2")
    assert b"".join(map(data_of, errors)) == b"8\n9\n"
    *since, _ = api.frames(job, f"follow=true&since={whole[-1]['time']}")
    assert b"".join(map(data_of, since)) == b"last\n"
    *before, _ = api.frames(job, f"follow=true&until={whole[-1]['time']}")
    assert b"".join(map(data_of, before)) == b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("after=3", {}, "after"),
        ("tail=3", {}, "tail"),
        ("follow=true&tail=3&after=1", {}, "tail"),
        ("follow=true&tail=-1", {}, "tail"),
        ("follow=true&after=x", {}, "after"),
        ("follow=true&since=yesterday", {}, "since"),
        ("follow=true&stream=index", {}, "stream"),
        ("follow=true", {"Last_Event_ID": "12a"}, "Last-Event-ID"),
        ("follow=true", {"Last_Event_ID": "9" * 19}, "Last-Event-ID"),
        ("follow=true&after=" + "9" * 30, {}, "after"),
    ],
)
def test_a_wrong_request_names_its_field(
    server: Jobd, api: Api, query: str, headers: dict[str, str], field: str
) -> None:
    job = server.start_job("/bin/true")
    status, answer = api.json(f"/jobs/{job}/output?{query}", **headers)
    assert (status, answer["field"]) == (400, field)


def test_another_users_output_is_not_followed(server: Jobd) -> None:
    server.jobd("user", "add", "mallory")
    job = server.start_job("/bin/true")
    status, answer = Api(server, "mallory").json(f"/jobs/{job}/output?follow=true")
    assert (status, answer["code"]) == (403, "unauthorized_action")


# It takes its time, as a follower is to be there while it writes.
WRITER = """
import os, random, sys, time
chance = random.Random(7)
for number in range(4000):
    os.write(1 + (number % 3 == 0), b"%d:%s\\n" % (number, b"x" * chance.randint(0, 60)))
    if number % 40 == 0:
        time.sleep(0.004)  # 0.4 s in all, in which a follower is cut off and comes back
"""


def test_killed_and_resumed_a_thousand_times_it_gets_the_same_bytes(server: Jobd, api: Api) -> None:
    """While the job runs, and across its move to the archive in mid-follow."""
    chance = random.Random(20261124)
    job = server.start_job("/usr/bin/python3", "-c", WRITER)
    streams = {"stdout": b"", "stderr": b""}
    seq, kills, over = 0, 0, False
    while not over:
        wanted = chance.choice((1, 1, 2, 3, 5)) if kills < 1000 else 1 << 30
        kills += 1
        for frame in itertools.islice(api.frames(job, f"follow=true&after={seq}"), wanted):
            if frame["stream"] == "end":
                over = True
                break
            data = data_of(frame)
            assert frame["seq"] == seq + len(data)
            seq = frame["seq"]
            streams[frame["stream"]] += data
    for stream, data in streams.items():
        with api.get(f"/jobs/{job}/output/{stream}") as answer:
            assert answer.read() == data, stream
    lines = re.findall(rb"^(\d+):", streams["stdout"] + streams["stderr"], re.MULTILINE)
    assert sorted(map(int, lines)) == list(range(4000))


def test_a_follower_goes_on_across_restarts_of_the_server(make_jobd: MakeJobd) -> None:
    """By its number, whether the server is stopped or killed: no byte lost or repeated."""
    jobd = make_jobd()
    api = Api(jobd)
    job = jobd.start_job("/usr/bin/python3", "-c", WRITER.replace("0.004", "0.02"))
    got = {"stdout": b"", "stderr": b""}
    seq, over = 0, False
    ends: list[Callable[[], object]] = [jobd.stop, jobd.kill, jobd.stop]
    while not over:
        for frame in api.frames(job, f"follow=true&after={seq}"):
            over = frame["stream"] == "end"
            if not over:
                assert frame["seq"] == seq + len(data_of(frame))
                seq = frame["seq"]
                got[frame["stream"]] += data_of(frame)
            if ends and len(got["stdout"]) > 20_000 * (4 - len(ends)):
                ends.pop()()
                jobd.start()
    assert not ends
    for stream, data in got.items():
        with api.get(f"/jobs/{job}/output/{stream}") as answer:
            assert answer.read() == data
    jobd.close()


def test_what_children_write_is_kept_up_to_the_end_of_the_job(server: Jobd, api: Api) -> None:
    """They are killed once the program has ended; nothing that they wrote before is lost."""
    child = "(i=0; while :; do echo $i; i=$((i+1)); done) & sleep 0.2; echo the program ends >&2"
    *frames, end = api.frames(server.start_job("/bin/sh", "-c", child))
    assert end["status"] == "Completed"
    *lines, last = joined(frames, "stdout").split(b"\n")
    assert [int(line) for line in lines] == list(range(len(lines)))
    assert b"%d" % len(lines) == last or last == b""
    assert joined(frames, "stderr") == b"the program ends\n"


def test_gaps_are_told_in_their_place(server: Jobd, api: Api) -> None:
    script = "head -c 1000000 /dev/zero | tr '\\0' a; echo; echo end"
    job = server.succeed("start", "-q", "--output", "64K", "--", "/bin/sh", "-c", script).strip()
    *frames, end = api.frames(job)
    dropped = sum(frame.get("dropped", 0) for frame in frames)
    kept = joined(frames, "stdout")
    assert dropped + len(kept) == end["seq"] == 1_000_005
    assert kept.startswith(b"a" * 8000)
    assert kept.endswith(b"a\nend\n")
    assert all(frame["data"] == "" for frame in frames if "dropped" in frame)


def test_two_hundred_followers_of_fifty_megabytes_get_every_byte(
    server: Jobd, api: Api, shared_dir: Path
) -> None:
    """And by then the job has ended long ago: it waits for none of them."""
    followers, size = 200, 50_000_000
    content = random.Random(200).randbytes(size)
    file = shared_dir / "content"
    file.write_bytes(content)
    go = shared_dir / "go"
    script = f"while [ ! -e {go} ]; do sleep 0.1; done; cat {file}"
    job = server.start_job("/bin/sh", "-c", script)
    sums: list[tuple[int, int]] = []
    listening = threading.Semaphore(0)

    def follow() -> None:
        checksum, length = 0, 0
        with api.get(f"/jobs/{job}/output/stdout?follow=true") as answer:
            listening.release()
            while piece := answer.read1(1 << 18):
                checksum = zlib.crc32(piece, checksum)
                length += len(piece)
        sums.append((checksum, length))

    threads = [threading.Thread(target=follow) for _ in range(followers)]
    for thread in threads:
        thread.start()
    for _ in threads:
        listening.acquire()
    go.touch()
    for thread in threads:
        thread.join()
    assert sums == [(zlib.crc32(content), size)] * followers


def test_t40_a_follow_ends_soon_after_its_token_was_revoked(make_jobd: MakeJobd) -> None:
    """And so does a long poll; who holds another token goes on."""
    jobd = make_jobd()
    assert jobd.jobd("user", "add", "leaver").returncode == 0
    job = jobd.start_job("/bin/sh", "-c", "echo begun; exec sleep 300", user="leaver")
    leaver, admin = Api(jobd, "leaver"), Api(jobd)
    frames, others = leaver.frames(job), admin.frames(job)
    assert next(frames)["data"] == next(others)["data"] == "begun\n"
    answers: list[int] = []
    poll = threading.Thread(target=lambda: answers.append(leaver.json(f"/jobs/{job}?wait=300")[0]))
    poll.start()
    began = time.monotonic()
    assert jobd.jobd("token", "revoke", "leaver").returncode == 0
    assert list(frames) == []
    poll.join(30)
    assert time.monotonic() - began < 2 * LOOK_AT_TOKENS + 5
    assert answers == [401]
    jobd.succeed("stop", job)
    assert [frame["stream"] for frame in others] == ["end"]
    jobd.close()


def test_t33_a_reader_of_a_byte_a_second_slows_nobody(make_jobd: MakeJobd) -> None:
    """Its socket is full at once; the job ends all the same, and memory stays where it was."""
    jobd = make_jobd()
    api = Api(jobd)
    script = "sleep 1; head -c 200000000 /dev/zero"
    job = jobd.start_job("/bin/sh", "-c", script)
    with (
        api.get(f"/jobs/{job}/output?follow=true") as frames,
        api.get(f"/jobs/{job}/output/stdout?follow=true") as raw,
    ):
        before = memory_of(jobd)
        begun = time.monotonic()
        while json.loads(jobd.succeed("status", "--json", job))["status"] == "Running":
            assert len(frames.read(1)) == len(raw.read(1)) == 1
            assert time.monotonic() - begun < 60
        assert memory_of(jobd) - before < 30_000
    jobd.close()


def memory_of(jobd: Jobd) -> int:
    """Kilobytes that the server has in memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{jobd.pid}/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_run_outlives_its_server(make_jobd: MakeJobd, how: str) -> None:
    """It says that it tries again, goes on with the next byte, and exits as the job did."""
    jobd = make_jobd()
    writer = WRITER.replace("0.004", "0.02") + "sys.exit(7)\n"
    command = [jobctl_path(), "run", "--", "/usr/bin/python3", "-c", writer]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=jobd.environ
    ) as run:
        assert run.stdout
        first = os.read(run.stdout.fileno(), 65536)
        jobd.stop() if how == "stopped" else jobd.kill()
        jobd.start()
        rest, err = run.communicate(timeout=120)
    assert run.returncode == 7
    messages = re.findall(rb"^jobctl: .*$", err, re.MULTILINE)
    assert len(messages) == 1
    assert b"trying again" in messages[0]
    job = jobd.succeed("list", "-q").strip()
    api = Api(jobd)
    with api.get(f"/jobs/{job}/output/stdout") as answer:
        assert answer.read() == first + rest
    with api.get(f"/jobs/{job}/output/stderr") as answer:
        assert answer.read() == re.sub(rb"jobctl: .*\n", b"", err)
    jobd.close()


def jobctl_path() -> str:
    return str(Path(sys.executable).with_name("jobctl"))


def test_output_from_where_it_was_left(server: Jobd) -> None:
    """``jobctl output``: times, the last lines, one stream, frames as JSON."""
    job = server.start_job("/bin/sh", "-c", "echo one; echo two >&2; echo three")
    server.jobctl("wait", job)
    stamped = server.succeed("output", "-f", "-t", "--stdout", job)
    assert re.fullmatch(r"(20\S+Z one\n)(20\S+Z three\n)", stamped)
    assert server.succeed("output", "--stdout", "--tail", "1", job) == "Output:\nthree\n"
    assert server.succeed("logs", "--since", "1h", job) == "one\nthree\n"
    assert server.succeed("logs", "--until", "1h", job) == ""
    frames = [
        json.loads(line) for line in server.succeed("output", "-f", "--json", job).split("\n")[:-1]
    ]
    assert joined(frames, "stdout") == b"one\nthree\n"
    assert joined(frames, "stderr") == b"two\n"
    assert frames[-1]["stream"] == "end"


def test_logs_in_json_are_frames(server: Jobd) -> None:
    job = server.start_job("/usr/bin/printf", "a\\0\\377")
    server.jobctl("wait", job)
    frame, end = map(json.loads, server.succeed("logs", "--json", job).splitlines())
    assert data_of(frame) == b"a\0\xff"
    assert end["stream"] == "end"
