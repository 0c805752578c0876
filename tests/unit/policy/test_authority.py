from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.daemon.log import JsonLines
from jobworker.errors import InvalidRequest, LimitTooHigh, ProgramForbidden, ProgramNotFound
from jobworker.model import Account, Grant, Limits, Role, Spec
from jobworker.policy.authority import Authority
from jobworker.policy.rules import Policy, QueueBounds, RoleBounds, Rule, Rules
from support.trusted import script

ECHO = Spec("/bin/echo")
OUTPUT = Limits(output=1024**3)


def authority(*rules: Rule, allow: bool = False) -> Authority:
    return Authority(Rules(policy=Policy(allow, rules)))


def grant(of: Authority, spec: Spec) -> Grant:
    return of.grant("alice", Role.USER, spec)


def test_without_a_policy_everything_runs_with_the_built_in_limits() -> None:
    assert grant(Authority(), ECHO) == Grant(limits=OUTPUT)
    assert grant(Authority(), Spec("/none", network=False)) == Grant(limits=OUTPUT, network=False)


def test_a_grant_says_how_the_job_is_run() -> None:
    account = Account("reports", 5000, 5000, (5000,))
    rule = Rule("r", run_as="reports", account=account, network=False, on_output_limit="kill")
    given = grant(authority(rule), Spec("/x", limits=Limits(memory=5)))
    assert given == Grant(
        "r", Limits(memory=5, output=1024**3), False, account, on_output_limit="kill"
    )


def test_the_directory_of_a_rule_may_be_asked_for_with_a_slash_at_its_end() -> None:
    """What is named has to be found, for the grant; here it is a directory."""
    of = authority(Rule("r", programs=("/usr/bin/echo",), cwd="/srv"))
    for cwd in (None, "/srv", "/srv/"):
        decision = of.explain("alice", Role.USER, Spec("/usr/bin/echo", cwd=cwd))
        assert (decision.allowed, decision.cwd) == (True, "/srv")
    assert not of.explain("alice", Role.USER, Spec("/usr/bin/echo", cwd="/srv/x")).allowed


def test_what_is_denied_is_forbidden_and_logged_in_one_line(lines: io.StringIO) -> None:
    """T44: whatever a client writes into a name stays inside one field."""
    nasty = "/bin/\n\x1b[31m{}\u2028\udc80" + "x" * 65536
    with pytest.raises(ProgramForbidden, match="rule r of the policy denies it") as refused:
        grant(authority(Rule("r", allow=False)), Spec(nasty))
    assert "\n" not in str(refused.value)
    (line,) = lines.getvalue().splitlines()
    assert len(line) < 2000
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert (entry["user"], entry["rule"], entry["program"]) == ("alice", "r", nasty[:200])


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("jobworker.policy")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)


def test_too_much_is_refused() -> None:
    bounds = {role: RoleBounds(ceilings=Limits(memory=10)) for role in Role}
    of = Authority(Rules(bounds=bounds))
    with pytest.raises(LimitTooHigh, match="role user"):
        grant(of, Spec("/x", limits=Limits(memory=11)))
    assert grant(of, ECHO).limits.memory == 10


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        grant(Authority(), Spec("echo"))
    with pytest.raises(InvalidRequest):
        Authority().explain("alice", Role.USER, Spec(""))


@pytest.mark.root
def test_the_file_is_looked_at_through_whatever_path_is_asked_for(trusted_dir: Path) -> None:
    program = script(trusted_dir / "report", "echo")
    link = trusted_dir / "link"
    link.symlink_to(program)
    of = authority(Rule("r", programs=(str(program),)))
    for path in (program, link, trusted_dir / "." / "x" / ".." / "report"):
        executable = grant(of, Spec(str(path))).executable
        assert executable
        assert executable.path == str(program)
        assert executable.ino == program.stat().st_ino


@pytest.mark.root
def test_a_file_that_has_become_unsafe_is_forbidden(trusted_dir: Path) -> None:
    program = script(trusted_dir / "report", "echo")
    of, spec = authority(Rule("r", programs=(f"{trusted_dir}/*",))), Spec(str(program))
    assert of.explain("alice", Role.USER, spec).allowed
    program.chmod(0o777)
    with pytest.raises(ProgramForbidden, match="report can be written by everybody"):
        grant(of, spec)
    decision = of.explain("alice", Role.USER, spec)
    assert not decision.allowed
    assert "can be written" in decision.reason
    with pytest.raises(ProgramNotFound):
        grant(of, Spec(f"{trusted_dir}/none"))
    assert of.explain("alice", Role.USER, Spec(f"{trusted_dir}/none")).reason == "program not found"


def test_odd_paths_are_answered_not_crashed_on() -> None:
    of = authority(Rule("r", programs=("/*", "/*/*")))
    for path in ("/a\0b", "/\udfff", "/" + "x" * 70_000, "/etc/passwd/x"):
        with pytest.raises((ProgramNotFound, ProgramForbidden)):
            grant(of, Spec(path))


def test_other_rules_take_over_and_the_total_stays() -> None:
    of = Authority(Rules(total=Limits(memory=1), queue=QueueBounds(1)))
    of.replace(Rules(total=Limits(memory=2), queue=QueueBounds(2), policy=Policy(False)))
    assert (of.total, of.queue) == (Limits(memory=1), QueueBounds(2))
    with pytest.raises(ProgramForbidden, match="no rule of the policy allows it"):
        grant(of, ECHO)
