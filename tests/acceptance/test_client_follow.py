"""Both Python clients follow output on a real server, also over its restart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jobworker import errors
from jobworker.client import Client, End, Frame, Profile, Retry
from support.both_clients import MakeClient
from support.jobd import Jobd
from support.waiting import until

BOTH = "printf 'one\\n\\377'; sleep 0.05; echo two >&2; sleep 0.05; echo three; exit 3"


def profile_of(jobd: Jobd) -> Profile:
    token, ca = jobd.succeed("token", "print").strip(), jobd.succeed("ca").strip()
    return Profile("admin", server=jobd.url, ca=ca, token=token)


@pytest.fixture
def client(module_jobd: Jobd, make_client: MakeClient) -> Client:
    return make_client(profile_of(module_jobd))


@pytest.fixture
def gate(shared_dir: Path) -> Iterator[tuple[Path, int]]:
    """A named pipe that jobs read, and the end to write to it."""
    path = shared_dir / "gate"
    os.mkfifo(path)
    path.chmod(0o666)
    writer = os.open(path, os.O_RDWR)
    yield path, writer
    os.close(writer)


def of(frames: list[Frame | End], stream: str) -> bytes:
    return b"".join(frame.data for frame in frames if frame.stream == stream)


def test_frames_come_in_order_and_the_end_last(client: Client) -> None:
    job_id = client.start("/bin/sh", "-c", BOTH)["id"]
    frames = list(client.follow(job_id))
    assert (of(frames, "stdout"), of(frames, "stderr")) == (b"one\n\xffthree\n", b"two\n")
    order = list(dict.fromkeys(frame.stream for frame in frames))
    assert order == ["stdout", "stderr", "end"]
    end = frames[-1]
    assert isinstance(end, End)
    assert (end.status, end.exit_code, end.signal, end.cause) == ("Failed", 3, None, "exited")
    assert end.seq == 15
    assert client.status(job_id)["finishedAt"]


def test_any_place_can_be_gone_on_from(client: Client) -> None:
    """Also one that lies within a frame or a character."""
    job_id = client.start("/bin/sh", "-c", r"printf 'a\303\244b\n'; printf '%010d' 5 >&2")["id"]
    client.wait(job_id)
    joined = b"".join(frame.data for frame in client.frames(job_id))
    assert len(joined) == 15
    for after in range(16):
        rest = list(client.frames(job_id, after=after))
        assert b"".join(frame.data for frame in rest) == joined[after:]
        assert isinstance(rest[-1], End)


def test_what_is_there_now_is_not_waited_for(client: Client, gate: tuple[Path, int]) -> None:
    path, writer = gate
    job_id = client.start("/bin/sh", "-c", f"echo first; read go < {path}; echo last")["id"]
    until(lambda: of(list(client.frames(job_id)), "stdout") == b"first\n")
    assert not any(isinstance(frame, End) for frame in client.frames(job_id))
    os.write(writer, b"go\n")
    assert of(list(client.follow(job_id)), "stdout") == b"first\nlast\n"


def test_a_tail_and_one_stream(client: Client) -> None:
    job_id = client.start("/bin/sh", "-c", "seq 100; echo err >&2")["id"]
    client.wait(job_id)
    assert of(list(client.follow(job_id, tail=2, streams=["stdout"])), "stdout") == b"99\n100\n"
    assert of(list(client.follow(job_id, streams=["stderr"])), "stderr") == b"err\n"


def test_output_that_was_not_kept_is_counted(client: Client) -> None:
    limits: Any = {"output": 65_536}
    job_id = client.start("/usr/bin/seq", "100000", limits=limits)["id"]
    client.wait(job_id)
    frames = list(client.frames(job_id))
    dropped = sum(frame.dropped for frame in frames)
    assert dropped > 0
    assert dropped + sum(len(frame.data) for frame in frames) == frames[-1].seq == 588_895


@pytest.mark.parametrize("leave", [Jobd.stop, Jobd.kill])
def test_following_survives_the_server(
    jobd: Jobd,
    gate: tuple[Path, int],
    make_client: MakeClient,
    leave: Callable[[Jobd], object],
) -> None:
    """Stopped or killed in the middle of the output: the same bytes, each once."""
    told: list[Retry] = []
    path, writer = gate
    client = make_client(profile_of(jobd), on_retry=told.append)
    script = f"seq 1 50000; read go < {path}; seq 50001 100000; exit 7"
    job_id = client.start("/bin/sh", "-c", script)["id"]
    seen: list[Frame | End] = []
    with ThreadPoolExecutor() as threads:
        following = threads.submit(lambda: seen.extend(client.follow(job_id)))
        until(lambda: bool(seen) and seen[-1].seq >= 288_894)
        leave(jobd)
        until(lambda: bool(told))
        os.write(writer, b"go\n")
        jobd.start()
        following.result(60)
    assert of(seen, "stdout") == b"".join(b"%d\n" % number for number in range(1, 100_001))
    end = seen[-1]
    assert isinstance(end, End)
    assert end.exit_code == 7


def test_a_removed_job_is_not_followed(client: Client) -> None:
    job_id = client.run("/bin/true").id
    client.remove(job_id)
    with pytest.raises(errors.JobNotFound):
        list(client.follow(job_id))
