"""What a start may carry, from both Python clients to a real server: keys, input; signals."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jobworker import errors
from jobworker.client import Client, Profile
from support.both_clients import MakeClient
from support.jobd import Jobd
from support.waiting import until


@pytest.fixture
def client(module_jobd: Jobd, make_client: MakeClient) -> Client:
    token, ca = module_jobd.succeed("token", "print").strip(), module_jobd.succeed("ca").strip()
    return make_client(Profile("admin", server=module_jobd.url, ca=ca, token=token))


def test_the_same_key_is_the_same_job(client: Client) -> None:
    key = f"test-{uuid4()}"  # it stays bound when the job is removed
    first = client.start("/bin/echo", "one", idempotency_key=key)
    assert client.start("/bin/echo", "one", idempotency_key=key)["id"] == first["id"]
    with pytest.raises(errors.IdempotencyKeyReused):
        client.start("/bin/echo", "two", idempotency_key=key)
    client.wait(first["id"])
    client.remove(first["id"])


def test_a_rerun_is_another_job_of_the_same(client: Client) -> None:
    first = client.run("/bin/echo", "again")
    second = client.rerun(first.id)["id"]
    assert second != first.id
    job = client.wait(second)
    assert (job["program"], job["args"]) == ("/bin/echo", ["again"])


def test_a_signal_reaches_the_program(client: Client) -> None:
    script = "trap 'echo hup; exit 4' HUP; echo ready; while :; do sleep 0.05; done"
    job_id = client.start("/bin/sh", "-c", script)["id"]
    until(lambda: client.output(job_id)["stdout"] == ["ready"])
    try:
        client.signal(job_id, "HUP")
        assert client.wait(job_id)["exitCode"] == 4
    finally:
        if client.status(job_id)["status"] == "Running":
            client.stop(job_id)


@pytest.mark.parametrize("data", ["text ä\n", b"\xff\x00bytes"])
def test_standard_input_goes_with_the_start(client: Client, data: str | bytes) -> None:
    wanted = data.encode() if isinstance(data, str) else data
    assert client.run("/bin/cat", stdin=data).stdout == wanted
