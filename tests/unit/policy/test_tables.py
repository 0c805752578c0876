from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from jobworker.config.place import line_of
from jobworker.config.toml import Source
from jobworker.errors import ConfigurationInvalid
from jobworker.model import Limits, Role
from jobworker.policy.load import load
from jobworker.policy.rules import Policy, QueueBounds, RoleBounds, Rule, Rules
from jobworker.policy.tables import rules_from

GIB = 1024**3

EVERYTHING = """
[limits.user]
output = "2G"
on-output-limit = "kill"
[limits.admin]
nice = 5
[ceilings.user]
memory = "4G"
cpus = 1.5
pids = 100
open-files = 64
tmp = 1024
timeout = "24h"
[ceilings.admin]
[total]
memory = "8G"
cpus = 2
pids = 1000
[queue]
max-running = 64
max-running-per-user = 8
max-queued = 0
[policy]
default = "deny"
[[policy.rules]]
name = "reports"
action = "allow"
roles = ["user"]
users = ["alice"]
programs = ["/opt/reports/bin/*", "/usr/bin/rsync"]
sha256 = "%(digest)s"
args = ["--month", "2026-*"]
env = ["REPORT_*"]
cwd = "/srv/reports"
run-as = "reports"
network = false
limits = { memory = "2G", timeout = "1h" }
on-output-limit = "truncate"
[[policy.rules]]
action = "deny"
"""
DIGEST = "AB" * 32


def rules_of(text: str) -> Rules:
    return rules_from(tomllib.loads(text), Source("jobd.toml", text))


def test_every_key_is_read() -> None:
    rules = rules_of(EVERYTHING % {"digest": DIGEST})
    assert rules.bounds[Role.USER] == RoleBounds(
        Limits(output=2 * GIB),
        Limits(memory=4 * GIB, cpus=1.5, pids=100, open_files=64, tmp=1024, timeout=86_400.0),
        "kill",
    )
    assert rules.bounds[Role.ADMIN] == RoleBounds(Limits(output=GIB, nice=5), Limits(), "truncate")
    assert rules.total == Limits(memory=8 * GIB, cpus=2.0, pids=1000)
    assert rules.queue == QueueBounds(64, 8, 0)
    reports = Rule(
        name="reports",
        roles=frozenset({Role.USER}),
        users=frozenset({"alice"}),
        programs=("/opt/reports/bin/*", "/usr/bin/rsync"),
        digests=frozenset({DIGEST.lower()}),
        args=("--month", "2026-*"),
        env=("REPORT_*",),
        cwd="/srv/reports",
        run_as="reports",
        network=False,
        ceilings=Limits(memory=2 * GIB, timeout=3600.0),
        on_output_limit="truncate",
    )
    assert rules.policy == Policy(False, (reports, Rule("rule 2", allow=False)))


def test_an_empty_file_means_what_no_file_means() -> None:
    assert rules_of("") == Rules() == load(None)
    assert Rules().bounds[Role.USER] == RoleBounds(Limits(output=GIB), Limits(), "truncate")
    assert Rules().policy == Policy(True, ())
    assert Rules().queue.running is None


def test_a_built_in_default_gives_way_to_a_ceiling() -> None:
    assert rules_of("[ceilings.user]\noutput = 1").bounds[Role.USER].ceilings.output == 1


ALLOW = '[[policy.rules]]\naction = "allow"\n'
DENY = '[[policy.rules]]\naction = "deny"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("limits = 1", ":1: limits must be a table"),
        ("[limits.king]", ":1: unknown setting 'limits.king'"),
        ("[limits]\n[limits.user]\nmem = 1", ":3: unknown setting 'limits.user.mem'"),
        ("[limits]\nuser = 1", ":2: limits.user must be a table"),
        ("[limits.user]\nmemory = 0", ":2: limits.user.memory must be a size"),
        ("[limits.user]\nmemory = true", "memory must be a size"),
        ("[limits.user]\nmemory = 1.5", "memory must be a size"),
        ("[limits.user]\nmemory = '1GB'", ":2: limits.user.memory is wrong: '1GB' is not a size"),
        ("[limits.user]\ncpus = 0", "cpus must be a number from 0.01 to 1024"),
        ("[limits.user]\ncpus = inf", "cpus must be a number from 0.01 to 1024"),
        ("[limits.user]\ncpus = nan", "cpus must be a number from 0.01 to 1024"),
        ("[limits.user]\nnice = -1", "nice must be a whole number from 0 to 19"),
        ("[limits.user]\ntimeout = 'soon'", "timeout is wrong: 'soon' is not a duration"),
        ("[limits.user]\ntimeout = '0s'", "timeout must be a duration"),
        ("[limits.user]\ntimeout = 2026-01-01", "timeout must be a duration"),
        ("[limits.user]\ngrace = 1", "unknown setting 'limits.user.grace'"),
        ("[ceilings.user]\non-output-limit = 'kill'", "unknown setting"),
        ("[limits.user]\non-output-limit = 'x'", "on-output-limit must be truncate or kill"),
        (
            "[ceilings.user]\nmemory = '1G'\n[limits.user]\nmemory = '2G'",
            ":4: limits.user.memory is above ceilings.user.memory",
        ),
        ("[total]\noutput = 1", ":2: unknown setting 'total.output'"),
        ("[queue]\nmax-running = 0", ":2: queue.max-running must be a whole number from 1"),
        ("[queue]\nmax-queued = -1", "queue.max-queued must be a whole number from 0"),
        ("[policy]\ndefault = 'maybe'", ":2: policy.default must be allow or deny"),
        ("[policy]\ndefault = ['deny']", ":2: policy.default must be allow or deny"),
        ("[policy]\nrules = 1", ":2: policy.rules must be written as [[policy.rules]]"),
        ("[policy]\nrules = [1]", ":2: policy.rules[1] must be a table"),
        ("[[policy.rules]]\n", ":1: policy.rules[1].action must say allow or deny"),
        (
            f"{ALLOW}{ALLOW}\n# why\nprogam = []",
            ":7: unknown setting 'policy.rules[2].progam'",
        ),
        (f"{ALLOW}roles = ['king']", ":3: policy.rules[1].roles must be user or admin"),
        (f"{ALLOW}roles = []", "roles must be a list with something in it"),
        (f"{ALLOW}users = 'alice'", "users must be a list with something in it"),
        (f"{ALLOW}programs = ['echo']", "programs must hold absolute paths"),
        (f"{ALLOW}programs = ['/a/../b']", "must hold paths without"),
        (f"{ALLOW}programs = ['/a/']", "must hold paths without"),
        (f"{ALLOW}programs = ['/']", "must hold paths without"),
        (f"{ALLOW}programs = [1]", "programs must hold absolute paths"),
        (f"{ALLOW}programs = ['/a']\nsha256 = 'abc'", "sha256 must be the 64 hexadecimal"),
        (f"{ALLOW}sha256 = '{DIGEST}'", "sha256 means something only beside programs"),
        (f"{ALLOW}env = ['X']", "env means something only beside programs or run-as"),
        (f"{ALLOW}cwd = '/srv'", "cwd means something only beside programs"),
        (f"{ALLOW}programs = ['/a']\ncwd = 'srv'", "cwd must be an absolute path"),
        (f"{ALLOW}programs = ['/a']\ncwd = '/srv/'", "must hold paths without"),
        (f"{DENY}programs = ['/a']\ncwd = '/srv'", "cwd means nothing in a rule that denies"),
        (f"{ALLOW}args = [1]", "args must hold strings"),
        (f"{ALLOW}name = 'default'", "name must not be 'default'"),
        (f'{ALLOW}name = "a\\nb"', "name must be a string of 1 to 256 printable"),
        (f"{ALLOW}name = 'x'\n{DENY}name = 'x'", ":6: two rules of the policy are named 'x'"),
        (
            f"{ALLOW}limits = {{ memory = 'x' }}",
            "rules[1].limits.memory is wrong: 'x' is not",
        ),
        (f"{ALLOW}limits = 1", ":3: policy.rules[1].limits must be a table"),
        (f"{DENY}network = false", ":3: policy.rules[1].network means nothing in a rule that"),
        (f"{ALLOW}network = 0", "network must be true or false"),
    ],
)
def test_what_cannot_be_used_is_told_by_file_line_and_key(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"^jobd\.toml:\d+: ") as refused:
        rules_of(text)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_line_of_a_key_or_of_the_table_around_it() -> None:
    text = 'a = 1\n[b]\n"c" = 1\n[[d.e]]\n[[d.e]]\nf = { g = 1 }\nh.i = 2\n'
    assert line_of(("a",), text) == 1
    assert line_of(("b", "c"), text) == 3
    assert line_of(("b", "x"), text) == 2
    assert line_of(("d", "e", 1, "f", "g"), text) == 6
    assert line_of(("d", "e", 1, "h", "i"), text) == 7
    assert line_of(("d", "e", 0, "f"), text) == 4
    assert line_of(("nowhere",), text) == 1


@pytest.mark.parametrize("text", ["[" * 100_000, "x", "\xff"])
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    file = tmp_path / "jobd.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationInvalid, match="cannot read"):
        load(file)
