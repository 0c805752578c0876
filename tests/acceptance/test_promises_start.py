"""Starting once, starting again, and signals: over real TLS and by jobctl, with real jobs."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

import pytest

from support.calls import Answer, Calls
from support.jobd import Jobd, MakeJobd
from support.waiting import until

UNKNOWN = "j-00000000-0000-4000-8000-000000000000"
HEARS = "trap 'echo heard' HUP; echo ready; while :; do sleep 300 & wait $!; kill $!; done"


@pytest.fixture(scope="module")
def server(module_jobd: Jobd) -> Jobd:
    for name in ("user1", "user2"):
        added = module_jobd.jobd("user", "add", name)
        assert added.returncode == 0, added.stderr
    return module_jobd


@pytest.fixture(scope="module")
def call(server: Jobd) -> Calls:
    return Calls.of(server, "user1")


def keyed(call: Calls, key: str, body: object, path: str = "/jobs/start") -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, _, answer = call.raw("POST", path, data, Idempotency_Key=key)
    return status, json.loads(answer)


def end_of(call: Calls, job_id: str) -> dict[str, Any]:
    return call("GET", f"/jobs/{job_id}?wait=30")[1]


def test_the_same_key_and_body_is_the_same_job(call: Calls) -> None:
    """Neither the order of names nor how a number is written makes another body."""
    bodies: list[bytes] = [
        b'{"program": "/bin/echo", "args": ["5"], "env": {"A": "1", "B": "2"}}',
        b'{"env": {"B": "2", "A": "1"}, "args": [5], "program": "/bin/echo", "cwd": null}',
    ]
    answers = [keyed(call, key, body) for body in bodies for key in ("same", '"same"')]
    assert {status for status, _ in answers} == {201}
    assert len({answer["id"] for _, answer in answers}) == 1
    job_id = answers[0][1]["id"]
    assert answers[0][1] == {"id": job_id, "error": None}
    assert end_of(call, job_id)["status"] == "Completed"
    assert keyed(call, "same", bodies[0]) == answers[0]


def test_the_same_key_with_another_body(call: Calls) -> None:
    assert keyed(call, "other", {"program": "/bin/true"})[0] == 201
    status, answer = keyed(call, "other", {"program": "/bin/true", "args": ["x"]})
    assert (status, answer["code"]) == (422, "idempotency_key_reused")
    assert answer["error"] == "Error: the idempotency key was used for another request before"


def test_keys_are_each_users_own(server: Jobd, call: Calls) -> None:
    body = {"program": "/bin/true"}
    ids = {keyed(each, "mine", body)[1]["id"] for each in (call, Calls.of(server, "user2"))}
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", '""', "a b", '"a b"', '"', "a" * 256, "\xe9"])
def test_what_is_no_key(call: Calls, key: str) -> None:
    status, answer = keyed(call, key, {"program": "/bin/true"})
    assert (status, answer["field"]) == (400, "Idempotency-Key")


def test_two_keys_are_refused(server: Jobd) -> None:
    host, port = server.listen.rsplit(":", 1)
    context = ssl.create_default_context(cafile=server.succeed("ca").strip())
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
    body = b'{"program": "/bin/true"}'
    headers = [
        ("Authorization", f"Bearer {server.succeed('token', 'print', user='user1').strip()}"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Idempotency-Key", "a"),
        ("Idempotency-Key", "a"),
    ]
    connection.putrequest("POST", "/jobs/start")
    for name, value in headers:
        connection.putheader(name, value)
    try:
        connection.endheaders(body)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert (response.status, answer["field"]) == (400, "Idempotency-Key")
    finally:
        connection.close()


def test_a_refused_start_binds_no_key(call: Calls) -> None:
    status, answer = keyed(call, "later", {"program": "/bin/none"})
    assert (status, answer["code"]) == (404, "program_not_found")
    assert keyed(call, "later", {"program": "/etc/passwd"})[0] == 422
    assert keyed(call, "later", {"program": "/bin/true", "colour": "red"})[0] == 400
    assert keyed(call, "later", {"program": "/bin/true"})[0] == 201


def test_a_job_that_was_removed_does_not_run_again(call: Calls) -> None:
    body = {"program": "/bin/true"}
    job_id = keyed(call, "gone", body)[1]["id"]
    end_of(call, job_id)
    assert call("DELETE", f"/jobs/{job_id}")[0] == 200
    status, answer = keyed(call, "gone", body)
    assert (status, answer["code"]) == (404, "job_not_found")
    assert "has been removed" in answer["hint"]


def test_a_queued_job_counts_as_started(make_jobd: MakeJobd, tmp_path: Any) -> None:
    """And where no more may wait, the key stays free."""
    config = tmp_path / "jobd.toml"
    config.write_text("[queue]\nmax-running = 1\nmax-queued = 1\n")
    server = make_jobd("--config", str(config))
    call = Calls.of(server, "admin")
    running = server.start_job("/bin/sleep", "300")
    queued = [keyed(call, "queued", {"program": "/bin/true"}) for _ in range(2)]
    assert queued[0] == queued[1]
    assert call("GET", f"/jobs/{queued[0][1]['id']}")[1]["status"] == "Queued"
    status, answer = call("POST", f"/jobs/{queued[0][1]['id']}/signal", {"signal": "HUP"})
    assert (status, answer["code"]) == (409, "job_not_running")
    assert answer["hint"] == "its program has not been started yet"
    assert keyed(call, "full", {"program": "/bin/true"})[0] == 429
    server.succeed("stop", running)
    end_of(call, queued[0][1]["id"])
    assert keyed(call, "full", {"program": "/bin/true", "args": ["other"]})[0] == 201
    assert keyed(call, "queued", {"program": "/bin/true"}) == queued[0]


def test_signal_by_jobctl(server: Jobd) -> None:
    job_id = server.start_job("/bin/sh", "-c", HEARS, user="user1")
    until(lambda: "ready" in server.succeed("output", job_id, user="user1"))
    said = server.succeed("signal", job_id, "hup", user="user1")
    assert said == f"Signal SIGHUP sent to job with ID {job_id}.\n"
    until(lambda: "heard" in server.succeed("output", job_id, user="user1"))
    assert server.succeed("signal", "-q", job_id[:13], "10") == f"{job_id}\n"
    code = server.jobctl("wait", job_id, user="user1").returncode
    assert code == 128 + 10
    why = server.succeed("why", job_id, user="user1").splitlines()
    assert why[:3] == [
        "Cause: signaled",
        "Reason: killed by SIGUSR1, sent by admin",
        "Evidence:",
    ]
    assert [line.split(": ")[0] for line in why[3:]] == ["  signal", "  sender", "  sentAt"]
    refused = server.jobctl("signal", job_id, "HUP", user="user1")
    assert (refused.returncode, refused.stderr) == (1, "Error: job not running\n")


@pytest.mark.root
@pytest.mark.parametrize("level", ["namespaces", "basic"])
def test_signal_where_the_server_is_an_ordinary_user(make_jobd: MakeJobd, level: str) -> None:
    server = make_jobd("--containment", level, account=65534)
    job_id = server.start_job("/bin/sh", "-c", HEARS)
    until(lambda: "ready" in server.succeed("output", job_id))
    server.succeed("signal", job_id, "HUP")
    until(lambda: "heard" in server.succeed("output", job_id))
    server.succeed("signal", job_id, "KILL")
    assert server.jobctl("wait", job_id).returncode == 137
    assert "killed by SIGKILL, sent by admin" in server.succeed("why", job_id)


def test_signal_by_json(server: Jobd, call: Calls) -> None:
    job_id = server.start_job("/bin/sleep", "300", user="user1")
    answer = json.loads(server.succeed("signal", "--json", job_id, "STOP", user="user1"))
    assert answer == {"id": job_id, "signal": "SIGSTOP", "error": None}
    for signal in ("FOO", "", 0, 65, "SIGKILLL"):
        status, answer = call("POST", f"/jobs/{job_id}/signal", {"signal": signal})
        assert (status, answer["field"]) == (400, "signal")
    status, answer = Calls.of(server, "user2")("POST", f"/jobs/{job_id}/signal", {"signal": "KILL"})
    assert (status, answer["code"]) == (403, "unauthorized_action")
    assert call("POST", f"/jobs/{UNKNOWN}/signal", {"signal": "HUP"})[0] == 404
    assert call("GET", f"/jobs/{job_id}")[1]["status"] == "Running"
    assert call("POST", f"/jobs/{job_id}/stop")[0] == 200


def test_rerun(server: Jobd, call: Calls) -> None:
    """With its environment, which is shown nowhere; its owner may do that, and no other user."""
    request = {"program": "/bin/sh", "args": ["-c", "echo $SECRET"], "env": {"SECRET": "s3cret"}}
    first = call("POST", "/jobs/start", {**request, "name": "n", "labels": {"k": "v"}})[1]["id"]
    said = server.succeed("rerun", first, user="user1")
    second = said.removeprefix("Job started with ID ").removesuffix(".\n")
    assert second not in (first, said)
    end = end_of(call, second)
    assert (end["status"], end["name"], end["labels"]) == ("Completed", "n", {"k": "v"})
    assert server.succeed("output", second, user="user1") == "Output:\ns3cret\n"
    third = json.loads(server.succeed("rerun", "--json", second[:13], user="user1"))
    assert third == {"id": third["id"], "error": None}
    assert server.succeed("rerun", "-q", first, user="user1").startswith("j-")
    for user in ("user2", "admin"):
        refused = server.jobctl("rerun", first, user=user)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == "Error: unauthorized action\n"
    refusal = json.loads(server.jobctl("rerun", "--json", first).stdout)
    assert "secrets" in refusal["hint"]


def test_an_admins_rerun_is_the_admins_job(server: Jobd, call: Calls) -> None:
    first = call("POST", "/jobs/start", {"program": "/bin/true"})[1]["id"]
    second = server.succeed("rerun", "-q", first).strip()
    assert json.loads(server.succeed("status", "--json", second))["owner"] == "admin"
    assert call("GET", f"/jobs/{second}")[0] == 403


def test_a_rerun_with_a_key(call: Calls) -> None:
    first = call("POST", "/jobs/start", {"program": "/bin/true"})[1]["id"]
    answers = [keyed(call, "again", b"", f"/jobs/{first}/rerun") for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 201
    assert answers[0][1]["id"] != first
    status, answer = keyed(call, "again", {"program": "/bin/true"})
    assert (status, answer["code"]) == (422, "idempotency_key_reused")
