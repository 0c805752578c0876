from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.model import Account, Limits, Role
from jobworker.policy.decide import Decision, Request, decide
from jobworker.policy.environment import refused_variable
from jobworker.policy.interpreters import interpreter_of
from jobworker.policy.rules import Policy, RoleBounds, Rule, Rules

GIB = 1024**3
REPORTS = Account("reports", 5000, 5000, (5000,))
ALICE = Request("alice", Role.USER, "/bin/echo", "/usr/bin/echo")


def policy(*rules: Rule, allow: bool = False) -> Rules:
    return Rules(policy=Policy(allow, rules))


def ruled(request: Request, *rules: Rule, allow: bool = False) -> tuple[bool, str]:
    decision = decide(policy(*rules, allow=allow), request)
    assert decision.reason
    return decision.allowed, decision.rule


def asks(**changes: Any) -> Request:
    return replace(ALICE, **changes)


@pytest.mark.parametrize("allow", [True, False])
def test_without_rules_the_default_decides(*, allow: bool) -> None:
    assert ruled(ALICE, allow=allow) == (allow, "default")


@pytest.mark.parametrize(
    ("rule", "request_", "matches"),
    [
        (Rule("r"), ALICE, True),
        (Rule("r", roles=frozenset({Role.USER})), ALICE, True),
        (Rule("r", roles=frozenset({Role.ADMIN})), ALICE, False),
        (Rule("r", users=frozenset({"alice", "bob"})), ALICE, True),
        (Rule("r", users=frozenset({"Alice"})), ALICE, False),
        (Rule("r", programs=("/usr/bin/echo",)), ALICE, True),
        (Rule("r", programs=("/opt/x", "/usr/bin/e*")), ALICE, True),
        # A link's own name means nothing where it is allowed ...
        (Rule("r", programs=("/bin/echo",)), ALICE, False),
        (Rule("r", programs=("/usr/*",)), ALICE, False),
        (Rule("r", args=("--month", "2026-*")), asks(args=("--month", "2026-01")), True),
        (Rule("r", args=("--month", "2026-*")), asks(args=("--month", "2025-01")), False),
        (Rule("r", args=()), asks(args=("x",)), False),
        (Rule("r", args=()), ALICE, True),
        # Every condition must hold
        (Rule("r", users=frozenset({"alice"}), programs=("/opt/x",)), ALICE, False),
        # An account that is asked for is given by a rule for it alone
        (Rule("r"), asks(run_as="reports"), False),
        (Rule("r", run_as="reports"), asks(run_as="reports"), True),
        (Rule("r", run_as="reports"), asks(run_as="root"), False),
        (Rule("r", run_as="reports"), ALICE, True),
    ],
)
def test_when_a_rule_that_allows_matches(rule: Rule, request_: Request, *, matches: bool) -> None:
    assert ruled(request_, rule) == ((True, "r") if matches else (False, "default"))


@pytest.mark.parametrize(
    ("rule", "request_", "matches"),
    [
        (Rule("r", allow=False), ALICE, True),
        (Rule("r", allow=False, programs=("/usr/bin/echo",)), ALICE, True),
        # ... and counts where it is denied
        (Rule("r", allow=False, programs=("/bin/*",)), ALICE, True),
        (Rule("r", allow=False, programs=("/opt/*",)), ALICE, False),
        # Asking for an account is no way around a denial
        (Rule("r", allow=False, users=frozenset({"alice"})), asks(run_as="reports"), True),
        (Rule("r", allow=False, run_as="reports"), asks(run_as="reports"), True),
        (Rule("r", allow=False, run_as="reports"), asks(run_as="backup"), False),
        (Rule("r", allow=False, run_as="reports"), ALICE, False),
    ],
)
def test_when_a_rule_that_denies_matches(rule: Rule, request_: Request, *, matches: bool) -> None:
    rest = Rule("rest", run_as=request_.run_as)
    assert ruled(request_, rule, rest) == ((False, "r") if matches else (True, "rest"))


def test_the_first_match_decides() -> None:
    first, second = Rule("first", allow=False), Rule("second")
    assert ruled(ALICE, first, second) == (False, "first")
    assert ruled(ALICE, second, first) == (True, "second")


def test_an_account_that_no_rule_gives_is_forbidden_whatever_the_default() -> None:
    decision = decide(policy(allow=True), asks(run_as="reports"))
    assert (decision.allowed, decision.rule) == (False, "default")
    assert "account" in decision.reason


def test_a_rule_imposes_its_account_and_its_walls() -> None:
    rule = Rule("r", run_as="reports", account=REPORTS, network=False)
    decision = decide(policy(rule), ALICE)
    assert (decision.account, decision.network) == (REPORTS, False)


@pytest.mark.parametrize("allow", [True, False])
def test_who_asks_for_less_network_gets_less(*, allow: bool) -> None:
    rules = policy(*([] if allow else [Rule("r")]), allow=allow)
    assert decide(rules, ALICE).network
    assert not decide(rules, asks(network=False)).network


@pytest.mark.parametrize(
    ("rule", "checked"),
    [
        (Rule("r"), False),
        (Rule("r", args=()), False),
        (Rule("r", programs=("/usr/bin/*",)), True),
        (Rule("r", programs=("/usr/bin/*",), digests=frozenset({"0" * 64})), True),
    ],
)
def test_the_file_is_checked_where_a_rule_names_it(rule: Rule, *, checked: bool) -> None:
    decision = decide(policy(rule), ALICE)
    assert (decision.checks_program, decision.digests) == (checked, rule.digests)


def test_limits_and_what_becomes_of_too_much_output() -> None:
    bounds = {
        Role.USER: RoleBounds(Limits(output=GIB), Limits(memory=4 * GIB), "kill"),
        Role.ADMIN: RoleBounds(),
    }
    rule = Rule("r", users=frozenset({"alice"}), ceilings=Limits(memory=GIB))
    rules = Rules(bounds=bounds, policy=Policy(True, (rule, Rule("t", on_output_limit="truncate"))))

    def found(request: Request) -> tuple[Limits, str]:
        decision = decide(rules, request)
        return decision.limits(Limits()), decision.on_output_limit

    assert found(ALICE) == (Limits(memory=GIB, output=GIB), "kill")
    assert found(asks(user="bob")) == (Limits(memory=4 * GIB, output=GIB), "truncate")
    admin = asks(user="bob", role=Role.ADMIN)
    assert found(admin) == (Limits(output=GIB), "truncate")
    assert decide(replace(rules, policy=Policy()), ALICE).on_output_limit == "kill"


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "LD_AUDIT", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "BASH_ENV", "ENV", "IFS",
     "PYTHONPATH", "PYTHONSTARTUP", "PERL5OPT", "PERL5LIB", "RUBYOPT", "NODE_OPTIONS", "PATH",
     "JAVA_TOOL_OPTIONS", "BASH_FUNC_ls%%", "HOME", "GIT_SSH_COMMAND", "RSYNC_RSH", "x()"],
)  # fmt: skip
def test_variables_that_programs_obey(name: str) -> None:
    """T10: they would make a rule for a program a rule for any."""
    rule = Rule("r", programs=("/usr/bin/echo",))
    decision = decide(policy(rule), asks(env={"GOOD": "1", name: "x"}))
    assert (decision.allowed, decision.rule) == (False, "r")
    assert name in decision.reason
    assert "rule r " in decision.reason
    assert ruled(asks(env={name: "x"}), replace(rule, env=("GOOD", name))) == (True, "r")
    assert ruled(asks(env={name: "x"}), Rule("r")) == (True, "r")


def test_other_variables_may_be_set() -> None:
    for name in ("REPORT_MONTH", "TZ", "LANG", "LC_ALL", "DEBUG", "ld_preload", "MYPATH", ""):
        assert refused_variable({name: "x"}, (), with_account=False) is None
    for env in ({"REPORT": "() { :; }; id"}, {"LD_PRELOAD": "x"}):
        refused = refused_variable(env, ("LD_LIBRARY_*",), with_account=False)
        assert refused == next(iter(env))


@pytest.mark.parametrize("programs", [None, ("/usr/bin/echo",)])
def test_with_an_account_only_harmless_and_listed_variables_pass(
    programs: tuple[str, ...] | None,
) -> None:
    """T71: no list knows every variable that a program of an operator's obeys."""
    rule = Rule("r", programs=programs, run_as="reports", account=REPORTS)
    for name in ("LANG", "LC_ALL", "LC_TIME", "TZ", "TERM", "COLUMNS", "LINES"):
        assert ruled(asks(env={name: "C"}), rule) == (True, "r")
    for name in ("REPORT_PLUGINS", "PYTHONPATH", "LD_PRELOAD", "LANG\n", "LC_", "lang", ""):
        expected = name == "LC_"
        assert ruled(asks(env={"TERM": "x", name: "x"}), rule) == (expected, "r")
    listed = replace(rule, env=("REPORT_*",))
    assert ruled(asks(env={"REPORT_PLUGINS": "x"}), listed) == (True, "r")
    assert ruled(asks(env={"REPORT_X\nY": "x"}), listed) == (False, "r")


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("LANG", "de_DE.UTF-8@euro", True),
        ("LANGUAGE", "../../tmp/x", False),
        ("LC_ALL", "/tmp/x", False),
        ("LC_MESSAGES", "%n", False),
        ("TERM", "xterm-256color", True),
        ("TERM", "/tmp/x", False),
        ("TERM", "x\n", False),
        ("TZ", "Europe/Berlin", True),
        ("TZ", "EST5EDT,M3.2.0/2,M11.1.0/2", True),
        ("TZ", "/etc/shadow", False),
        ("TZ", ":/etc/shadow", False),
        ("TZ", "Europe/../../../../etc/shadow", False),
    ],
)
@pytest.mark.parametrize("with_account", [True, False])
def test_what_names_a_file_or_a_format_is_not_harmless(
    name: str, value: str, *, plain: bool, with_account: bool
) -> None:
    """T71: a locale with a slash is a path to messages, which programs use as formats."""
    refused = refused_variable({name: value}, (), with_account=with_account)
    assert refused == (None if plain else name)
    rule = Rule("r", programs=("/usr/bin/echo",), run_as="reports" if with_account else None)
    reason = decide(policy(rule), asks(env={name: value})).reason
    assert ("be set to this" in reason) is not plain


@pytest.mark.parametrize(
    ("rule", "cwd", "allowed"),
    [
        (Rule("r"), "/home/alice", True),
        (Rule("r", programs=("/usr/bin/echo",)), None, True),
        (Rule("r", programs=("/usr/bin/echo",)), "/home/alice", False),
        # At some levels that is the machine's, where everybody writes
        (Rule("r", programs=("/usr/bin/echo",)), "/tmp", False),
        (Rule("r", programs=("/usr/bin/echo",), cwd="/srv/x"), None, True),
        (Rule("r", programs=("/usr/bin/echo",), cwd="/srv/x"), "/srv/x", True),
        (Rule("r", programs=("/usr/bin/echo",), cwd="/srv/x"), "/srv/x/y", False),
        (Rule("r", programs=("/usr/bin/echo",), cwd="/srv/x"), "/srv/x\n", False),
    ],
)
def test_the_working_directory_of_a_listed_program_is_the_rules(
    rule: Rule, cwd: str | None, *, allowed: bool
) -> None:
    """T71: python and others look for what they run where they begin."""
    decision = decide(policy(rule), asks(cwd=cwd))
    assert decision.allowed is allowed
    assert allowed or "leave the working directory out" in decision.reason
    if allowed:
        assert decision.cwd == rule.cwd


@pytest.mark.parametrize(
    ("rule", "request_"),
    [
        (Rule("r", args=("--month", "2026-*")), asks(args=("--month", "2026-01\nx"))),
        (Rule("r", args=("a?b",)), asks(args=("a\nb",))),
        (Rule("r", args=("a",)), asks(args=("a\n",))),
        (Rule("r", programs=("/usr/bin/*",)), asks(canonical="/usr/bin/x\ny")),
    ],
)
def test_a_newline_leads_past_no_pattern(rule: Rule, request_: Request) -> None:
    """T71: what reads lines would read two; and no denial can be escaped by one."""
    assert ruled(request_, rule) == (False, "default")
    denial = replace(rule, allow=False)
    denied = rule.args != ("a",)  # that is no pattern
    assert ruled(request_, denial, Rule("rest")) == ((False, "r") if denied else (True, "rest"))


@pytest.mark.parametrize(
    ("program", "name"),
    [("/bin/sh", "sh"), ("/usr/bin/python3.11", "python3.11"), ("/opt/x/vim", "vim"),
     ("/usr/bin/env", "env"), ("/usr/bin/echo", None), ("/opt/bin/*", None)],
)  # fmt: skip
def test_programs_that_run_anything(program: str, name: str | None) -> None:
    assert interpreter_of(program) == name


anything = st.text(st.characters(codec=None), max_size=40)
patterns = st.lists(st.text("ab/*?.[\\", max_size=6), max_size=3).map(tuple)
requests = st.builds(
    Request,
    user=anything,
    role=st.sampled_from(Role),
    program=anything,
    canonical=anything,
    args=st.lists(anything, max_size=3).map(tuple),
    cwd=st.none() | anything,
    env=st.dictionaries(anything, anything, max_size=3),
    run_as=st.none() | anything,
    network=st.booleans(),
)
rule_lists = st.lists(
    st.builds(
        Rule,
        name=anything,
        allow=st.booleans(),
        roles=st.none() | st.frozensets(st.sampled_from(Role)),
        users=st.none() | st.frozensets(anything),
        programs=st.none() | patterns,
        args=st.none() | patterns,
        env=patterns,
        run_as=st.none() | anything,
    ),
    max_size=4,
)


@given(requests, rule_lists, st.booleans())
def test_deciding_never_raises(request: Request, rules: list[Rule], allow: bool) -> None:  # noqa: FBT001 - Hypothesis gives it by place
    decision = decide(policy(*rules, allow=allow), request)
    assert isinstance(decision, Decision)
    assert decision.reason
    assert decision.rule in {"default", *(rule.name for rule in rules)}
    if request.run_as is not None and decision.allowed:
        assert decision.rule in {rule.name for rule in rules if rule.run_as == request.run_as}
    if not request.network:
        assert not (decision.allowed and decision.network)
