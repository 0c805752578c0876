"""A key is good for one process, whatever is killed meanwhile (T27)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.errors import IdempotencyKeyReused
from jobworker.model import Job, Spec
from jobworker.supervisor import records
from support.adoption import everything_below
from support.calls import Calls
from support.jobd import Jobd
from support.waiting import until

CHILD = Path(__file__).with_name("keyed_child.py")
CROWD = 100
PROGRAM = {"program": "/bin/sleep", "args": ["2718"]}


def start_and_be_killed(moment: str, state: Path, spec: Spec) -> None:
    command = [sys.executable, str(CHILD), moment, str(state), "k", spec.program, *spec.args]
    assert subprocess.run(command, timeout=120, check=False).returncode == -signal.SIGKILL


def begun(state: Path) -> bool:
    """Whether the supervisor of the one job has noted its start."""
    (name,) = os.listdir(state / "spool")  # noqa: PTH208 - names are wanted
    directory = records.open_directory(str(state / "spool" / name))
    try:
        return records.STARTED in records.read(directory)
    finally:
        os.close(directory)


async def start_again(state: Path, spec: Spec) -> tuple[Job, int]:
    """What becomes of the job that a retry is answered with; how many jobs there are."""
    async with Manager.open(state, containment="basic") as manager:
        with pytest.raises(IdempotencyKeyReused):
            await manager.submit(Spec("/bin/false"), "alice", idempotency_key="k")
        first = await manager.submit(spec, "alice", idempotency_key="k")
        second = await manager.submit(spec, "alice", idempotency_key="k")
        assert first.id == second.id
        jobs = await manager.list()
        return await manager.wait(first.id, 20), len(jobs.jobs)


@pytest.mark.parametrize("moment", ["committed", "ordered", "started"])
async def test_t27_killed_before_the_answer(moment: str, shared_dir: Path) -> None:
    """Also between the commit and the order: that job never ran, so the key is free."""
    state, marks = shared_dir / "state", shared_dir / "marks"
    spec = Spec("/bin/sh", ("-c", f"echo ran >> {marks}"))
    start_and_be_killed(moment, state, spec)
    if moment != "committed":
        until(lambda: begun(state))
    job, jobs = await start_again(state, spec)
    assert (job.status.name, job.exit_code) == ("Completed", 0)
    assert marks.read_text() == "ran\n"
    assert jobs == (2 if moment == "committed" else 1)


def start_at_once(jobd: Jobd, key: str) -> tuple[list[threading.Thread], list[str]]:
    """Send the same start from many threads; the IDs come into the list."""
    ids: list[str] = []
    call = Calls.of(jobd, "admin")
    body = json.dumps(PROGRAM).encode()

    def start() -> None:
        with suppress(OSError, HTTPException):  # where the server is killed
            status, _, answer = call.raw("POST", "/jobs/start", body, Idempotency_Key=key)
            assert status == 201, answer
            ids.append(json.loads(answer)["id"])

    threads = [threading.Thread(target=start) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    return threads, ids


def sleepers() -> int:
    words = [PROGRAM["program"], *PROGRAM["args"]]
    return sum(text.split() == words for text in everything_below().values())


def test_t27_a_hundred_at_once_and_a_retry(jobd: Jobd) -> None:
    """Over a restart and a crash too."""
    threads, ids = start_at_once(jobd, "one")
    for thread in threads:
        thread.join()
    assert len(ids) == CROWD
    for end in (jobd.stop, jobd.kill):
        end()
        jobd.start()
        retry, more = start_at_once(jobd, '"one"')
        for thread in retry:
            thread.join()
        ids += more
    assert len(ids) == 3 * CROWD
    assert len(set(ids)) == 1
    assert sleepers() == 1
    jobd.succeed("stop", ids[0])


def test_t27_killed_amid_a_hundred(jobd: Jobd) -> None:
    """Whoever got an answer got the ID that all others get after the crash."""
    answered: set[str] = set()
    for round_ in range(4):
        threads, ids = start_at_once(jobd, f"round-{round_}")
        until(lambda ids=ids: len(ids) >= 1)  # type: ignore[misc]
        jobd.kill()
        for thread in threads:
            thread.join()
        jobd.start()
        threads, more = start_at_once(jobd, f"round-{round_}")
        for thread in threads:
            thread.join()
        assert len(more) == CROWD
        assert len({*ids, *more}) == 1
        answered |= {*ids}
        assert sleepers() == len(answered) == round_ + 1
    jobd.succeed("stop", *answered)
    until(lambda: sleepers() == 0)
