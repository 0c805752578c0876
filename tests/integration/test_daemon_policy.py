"""The policy of a real ``jobd``: at its start, on SIGHUP, and looked at before (T26)."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.machine import Machine
from support.waiting import until

GOOD = '[policy]\ndefault = "deny"\n[[policy.rules]]\naction = "allow"\nusers = ["alice"]\n'


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "jobd.toml"


def logged(machine: Machine, message: str) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in machine.log.read_text().splitlines()]
    return [entry for entry in entries if message in entry["message"]]


def heard(machine: Machine, message: str, times: int = 1) -> Callable[[], bool]:
    return lambda: len(logged(machine, message)) >= times


def reload(machine: Machine) -> None:
    machine.started[-1].send_signal(signal.SIGHUP)


def test_sighup_loads_the_policy_anew(machine: Machine, config: Path) -> None:
    config.write_text("")
    machine.serve("--config", str(config))
    (first,) = logged(machine, "policy loaded")
    assert (first["rules"], first["default"]) == (0, "allow")
    config.write_text(GOOD)
    reload(machine)
    until(heard(machine, "policy loaded", 2))
    second = logged(machine, "policy loaded")[1]
    assert (second["rules"], second["default"]) == (1, "deny")
    assert not logged(machine, "restart jobd")
    assert machine.get("admin", "/me") == 200
    assert machine.stop() == 0


def test_a_broken_file_leaves_the_policy_in_force(machine: Machine, config: Path) -> None:
    config.write_text(GOOD)
    machine.serve("--config", str(config))
    config.write_text(GOOD + 'program = "x"\n')
    reload(machine)
    until(heard(machine, "the effective policy stays"))
    (entry,) = logged(machine, "the effective policy stays")
    assert f"{config}:6: unknown setting 'policy.rules[1].program'" in entry["message"]
    assert "trace" not in entry
    assert len(logged(machine, "policy loaded")) == 1
    config.unlink()
    reload(machine)
    until(heard(machine, "the effective policy stays", 2))
    assert machine.get("admin", "/me") == 200


def test_what_only_a_start_reads_is_told(machine: Machine, config: Path) -> None:
    """A flag goes before the file, so the file's address is not what is in force."""
    config.write_text('listen = "127.0.0.1:1"\ncontainment = "auto"\n')
    machine.serve("--config", str(config))
    config.write_text('listen = "127.0.0.1:2"\ncontainment = "basic"\n[total]\npids = 10\n')
    reload(machine)
    until(heard(machine, "restart jobd"))
    (entry,) = logged(machine, "restart jobd")
    assert entry["message"].endswith("its start reads: containment, total")


def test_a_server_does_not_start_on_a_broken_policy(machine: Machine, config: Path) -> None:
    config.write_text("[limits.user]\nmemory = 'lots'\n")
    done = machine.run("serve", "--listen", "127.0.0.1:0", "--config", str(config))
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{config}:2: limits.user.memory is wrong: 'lots' is not a size" in done.stderr
    assert "Traceback" not in done.stderr
    assert not machine.state.exists()


def test_other_commands_work_beside_a_broken_policy(machine: Machine, config: Path) -> None:
    """Whoever has to revoke a token in a hurry is not stopped by a typing error in a rule."""
    machine.serve()
    config.write_text("[limits.user]\nmemory = 'lots'\n")
    assert "admin" in machine.succeed("user", "list", "--config", str(config))


def test_policy_check_says_ok(machine: Machine, config: Path) -> None:
    config.write_text(GOOD)
    assert machine.succeed("policy", "check", "--config", str(config)) == (
        f"{config}: ok, 1 rule, default deny\n"
    )
    assert (
        machine.succeed("policy", "check") == "no configuration file: ok, 0 rules, default allow\n"
    )


@pytest.mark.root
def test_policy_check_warns_of_programs_that_run_anything(machine: Machine, config: Path) -> None:
    config.write_text(GOOD + 'programs = ["/usr/bin/env"]\n')
    warning, _ = machine.succeed("policy", "check", "--config", str(config)).splitlines()
    assert warning.startswith("Warning: rule 1 of the policy allows env, which can run any other")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GOOD + 'programs = ["/none/x"]\n', ":6: rule 1: programs /none does not exist"),
        ("listen = 1\n", ":1: listen must be a string"),
        ("[", "cannot read"),
    ],
)
def test_policy_check_says_what_is_wrong(
    machine: Machine, config: Path, text: str, why: str
) -> None:
    config.write_text(text)
    done = machine.run("policy", "check", "--config", str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("jobd: cannot use the configuration: ")
    assert done.stderr.count("\n") == 1
    assert why in done.stderr
