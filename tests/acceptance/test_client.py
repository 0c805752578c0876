"""Both Python clients against a real server, through one suite."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobworker import errors
from jobworker.client import Client, Profile, Retry, RetryPolicy
from support.both_clients import MakeClient
from support.jobd import Jobd
from support.waiting import until


def profile_of(jobd: Jobd, user: str = "admin") -> Profile:
    token, ca = jobd.succeed("token", "print", user=user), jobd.succeed("ca", user=user)
    return Profile(user, server=jobd.url, ca=ca.strip(), token=token.strip())


@pytest.fixture(scope="module")
def profile(module_jobd: Jobd) -> Profile:
    return profile_of(module_jobd)


@pytest.fixture
def client(profile: Profile, make_client: MakeClient) -> Client:
    return make_client(profile)


def test_a_program_runs(client: Client) -> None:
    finished = client.run("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert (finished.stdout, finished.stderr) == (b"out\n", b"err\n")
    assert (finished.status, finished.exit_code) == ("Failed", 3)
    with pytest.raises(errors.JobFailed, match=r"exited with code 3") as caught:
        finished.check()
    assert caught.value.stderr == b"err\n"


def test_a_program_that_has_to_succeed(client: Client) -> None:
    assert client.run("/bin/echo", "hello", check=True).stdout == b"hello\n"
    with pytest.raises(errors.JobFailed):
        client.run("/bin/false", check=True)


def test_the_life_of_a_job(client: Client) -> None:
    job_id = client.start("/bin/sleep", 1000, name="nap", labels={"a": "b"}, timeout=2000)["id"]
    job = client.status(job_id)
    assert (job["status"], job["name"], job["args"]) == ("Running", "nap", ["1000"])
    assert client.wait(job_id, timeout=0)["status"] == "Running"
    deadline = client.extend(job_id, 60)["deadline"]
    assert deadline > (job["deadline"] or "")
    with pytest.raises(errors.JobRunning):
        client.remove(job_id)
    assert client.stop(job_id)["id"] == job_id
    assert client.status(job_id)["status"] == "Stopped"
    with pytest.raises(errors.JobNotRunning):
        client.stop(job_id)
    client.remove(job_id)
    with pytest.raises(errors.JobNotFound):
        client.status(job_id)


def test_output(client: Client) -> None:
    job_id = client.start("/bin/sh", "-c", r"printf 'a\nb\377'; echo c >&2")["id"]
    assert b"".join(client.raw(job_id, "stdout", follow=True)) == b"a\nb\xff"
    client.wait(job_id)
    answer = client.output(job_id)
    assert (answer["stdout"], answer["stderr"]) == (["a", "b\ufffd"], ["c"])
    assert b"".join(client.raw(job_id, "stdout", first=2)) == b"b\xff"
    assert b"".join(client.raw(job_id, "stderr")) == b"c\n"


def test_jobs_are_listed_page_by_page(client: Client) -> None:
    ids = [client.start("/bin/true", labels={"page": "yes"})["id"] for _ in range(3)]
    for job_id in ids:
        client.wait(job_id)
    first = client.list(label={"page": "yes"}, limit=2)
    assert first["next"]
    second = client.list(label={"page": "yes"}, limit=2, cursor=first["next"])
    found = [job["id"] for job in (*first["jobs"], *second["jobs"])]
    assert found[:3] == ids[::-1]
    for job_id in ids:
        client.remove(job_id)


def test_who_and_whether(client: Client) -> None:
    assert client.whoami() == {"name": "admin", "role": "admin", "error": None}
    assert client.can_start("/bin/true")["allowed"]


def test_refusals_are_the_librarys_errors(client: Client, profile: Profile) -> None:
    with pytest.raises(errors.ProgramNotFound):
        client.start("/no/such/program")
    with pytest.raises(errors.InvalidRequest) as caught:
        client.start("relative")
    assert caught.value.field == "program"
    client.profile.token, token = "wrong", profile.token
    try:
        with pytest.raises(errors.BadAuthentication):
            client.whoami()
    finally:
        client.profile.token = token


def test_a_profile_by_its_name(
    module_jobd: Jobd, monkeypatch: pytest.MonkeyPatch, make_client: MakeClient
) -> None:
    for name, value in module_jobd.environ.items():
        monkeypatch.setenv(name, value)
    with Client.from_profile("admin") as client:
        assert client.run("/bin/echo", "hello").stdout == b"hello\n"
        assert make_client(client.profile).whoami()["name"] == "admin"


@pytest.mark.parametrize("leave", [Jobd.stop, Jobd.kill])
def test_waiting_survives_the_server(
    jobd: Jobd, shared_dir: Path, make_client: MakeClient, leave: Callable[[Jobd], object]
) -> None:
    """Stopped or killed in the middle, and back after the job has ended."""
    told: list[Retry] = []
    client = make_client(profile_of(jobd), on_retry=told.append)
    gate = shared_dir / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    writer = os.open(gate, os.O_RDWR)
    job_id = client.start("/bin/sh", "-c", f"read go < {gate}; exit 7")["id"]
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(client.wait, job_id)
        leave(jobd)
        until(lambda: bool(told))
        os.write(writer, b"go\n")
        jobd.start()
        assert waiting.result(60)["exitCode"] == 7
    os.close(writer)


def test_calls_survive_a_restart(jobd: Jobd, make_client: MakeClient) -> None:
    """A call is made while the server is away, and is answered once it is back."""
    told: list[Retry] = []
    # Longer than any start of a server takes on a busy machine.
    client = make_client(profile_of(jobd), retry_policy=RetryPolicy(calls=60), on_retry=told.append)
    client.whoami()
    jobd.kill()
    with ThreadPoolExecutor() as threads:
        starting = threads.submit(client.start, "/bin/true")
        until(lambda: bool(told))
        jobd.start()
        assert client.status(starting.result(60)["id"])
