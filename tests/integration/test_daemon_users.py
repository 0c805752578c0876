"""``jobd user`` and ``jobd token`` beside a running server, and without one."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobworker.daemon.state import make_state
from support.machine import Machine

NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


def test_a_user_that_is_added_beside_the_server_is_known_at_once(machine: Machine) -> None:
    url = machine.serve()
    printed = machine.succeed("user", "add", "user1")
    assert printed == "User user1 added. Try: jobctl -u user1 list\n"
    assert machine.profile("user1")["server"] == url
    assert machine.get("user1", "/me") == 200
    assert machine.get("admin", "/me") == 200


def test_a_user_that_is_added_without_the_server_has_the_configured_address(
    machine: Machine,
) -> None:
    machine.serve()
    machine.stop()
    added = machine.run(
        "user", "add", "user1", env=machine.environ | {"JOBD_LISTEN": "127.0.0.1:8555"}
    )
    assert added.returncode == 0, added.stderr
    assert machine.profile("user1")["server"] == "https://127.0.0.1:8555"
    url = machine.serve()
    assert machine.get("user1", "/me", url) == 200


def test_no_profile_is_made_for_an_address_that_nobody_knows(machine: Machine) -> None:
    machine.serve()
    assert machine.stop() == 0
    refused = machine.run(
        "user", "add", "user1", env=machine.environ | {"JOBD_LISTEN": "127.0.0.1:0"}
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("jobd: cannot tell where the server")
    assert "user1" not in machine.succeed("user", "list")


def test_a_revoked_token_is_refused_on_the_next_request(machine: Machine) -> None:
    machine.serve()
    machine.succeed("user", "add", "user1")
    assert machine.get("user1", "/me") == 200
    token_id = machine.profile("user1")["token"][3:15]
    assert machine.succeed("token", "revoke", "user1") == f"Token {token_id} revoked.\n"
    assert machine.get("user1", "/me") == 401
    assert machine.get("admin", "/me") == 200
    assert machine.succeed("token", "revoke", token_id).startswith("Nothing to revoke")


def test_a_removed_user_is_refused_on_the_next_request(machine: Machine) -> None:
    machine.serve()
    machine.succeed("user", "add", "user1")
    kept = machine.profiles.read_text()
    assert machine.succeed("user", "remove", "user1") == "User user1 removed. Its jobs stay.\n"
    assert "user1" not in machine.profiles.read_text()
    machine.profiles.write_text(kept)
    assert machine.get("user1", "/me") == 401


def test_a_name_that_has_jobs_is_not_given_to_somebody_else(machine: Machine) -> None:
    """The new user would read what the old one's jobs have written."""
    machine.serve()
    machine.succeed("user", "add", "user1")
    ran = machine.jobctl("-u", "user1", "run", "--", "/bin/echo", "a secret")
    assert ran.stdout == "a secret\n", ran.stderr
    machine.succeed("user", "remove", "user1")
    refused = machine.run("user", "add", "user1")
    assert refused.returncode == 1
    assert "has left a job" in refused.stderr
    assert "user1" not in machine.profiles.read_text()
    # The way on that the message shows, word by word.
    _, _, command = refused.stderr.partition("(jobctl ")
    listing, _, _ = command.partition(" |")
    (job_id,) = machine.jobctl(*listing.split()).stdout.split()
    assert machine.jobctl("rm", job_id).returncode == 0
    machine.succeed("user", "add", "user1")
    assert machine.jobctl("-u", "user1", "list").stdout == ""


def test_jobs_are_handed_to_a_new_user_where_that_is_asked_for(machine: Machine) -> None:
    machine.serve()
    machine.succeed("user", "add", "user1")
    job_id = machine.jobctl("-u", "user1", "start", "-q", "--", "/bin/true").stdout.strip()
    assert machine.jobctl("wait", job_id).returncode == 0
    machine.succeed("user", "remove", "user1")
    machine.succeed("user", "add", "user1", "--take-over")
    assert machine.jobctl("-u", "user1", "list", "-q").stdout.strip() == job_id


def test_the_last_admin_is_removed_by_force_alone_and_made_anew_by_the_next_start(
    machine: Machine,
) -> None:
    machine.serve()
    assert machine.jobctl("run", "--", "/bin/true").returncode == 0
    refused = machine.run("user", "remove", "admin")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "'admin': it is the only admin" in refused.stderr
    assert machine.get("admin", "/me") == 200
    machine.succeed("user", "remove", "admin", "--force")
    assert machine.stop() == 0
    machine.serve()
    assert machine.get("admin", "/me") == 200


def test_list_shows_names_roles_and_tokens(machine: Machine) -> None:
    machine.serve()
    machine.succeed("user", "add", "boss", "--role", "admin")
    machine.succeed("user", "add", "user1")
    machine.succeed("token", "revoke", "user1")
    rows = [line.split() for line in machine.succeed("user", "list").splitlines()]
    assert rows == [
        ["NAME", "ROLE", "TOKENS"],
        ["admin", "admin", machine.profile("admin")["token"][3:15]],
        ["boss", "admin", machine.profile("boss")["token"][3:15]],
        ["user1", "user", "-"],
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("user", "add", "admin"), "jobd: cannot add user 'admin': there is one of that name"),
        (("user", "remove", "nobody"), "jobd: cannot remove user 'nobody': there is no user"),
        (("token", "revoke", "nobody"), "jobd: cannot revoke 'nobody': there is no user or token"),
        (("user", "list", "--state", "/nowhere"), "jobd: cannot find the state of a server"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    machine: Machine, arguments: tuple[str, ...], why: str
) -> None:
    machine.serve()
    refused = machine.run(*arguments)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith(why)
    assert refused.stderr.count("\n") == 1


def test_the_state_is_found_by_the_same_settings(machine: Machine, tmp_path: Path) -> None:
    machine.serve()
    config = tmp_path / "jobd.toml"
    config.write_text(f'state = "{machine.state}"\n')
    environ = {k: v for k, v in machine.environ.items() if k != "JOBD_STATE"}
    for arguments in (("--state", str(machine.state)), ("--config", str(config))):
        listed = machine.run("user", "list", *arguments, env=environ)
        assert "admin" in listed.stdout, listed.stderr


@pytest.mark.root
def test_another_account_cannot_touch_the_users(shared_dir: Path) -> None:
    refused = Machine(make_state(shared_dir / "state").directory.parent).run(
        "user", "add", "user1", **NOBODY
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("jobd: cannot use the state directory")
    assert "as root" in refused.stderr


@pytest.mark.root
def test_root_does_not_spoil_the_state_of_another_account(machine: Machine) -> None:
    """Root's commands would leave files in it that the server's account cannot write."""
    machine.serve()
    machine.stop()
    os.chown(machine.state, 65534, 65534)
    refused = machine.run("user", "list")
    assert refused.returncode == 1
    assert "run this as nobody" in refused.stderr
