"""Loads the rules: reads the file, then asks the machine about what it names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jobworker.config.toml import Source, read
from jobworker.errors import ConfigurationInvalid
from jobworker.model import Account
from jobworker.policy.accounts import powers, resolve
from jobworker.policy.defaults import NO_DEFAULTS, Defaults
from jobworker.policy.files import Files, Untrusted, canonical
from jobworker.policy.interpreters import interpreter_of
from jobworker.policy.patterns import fixed_directory, is_pattern
from jobworker.policy.rules import Policy, Rule, Rules
from jobworker.policy.tables import rules_from


def load(path: Path | None, defaults: Defaults = NO_DEFAULTS) -> Rules:
    """The rules in a configuration file, checked against this machine.

    Without a file, the built-in ones. Raises ``ConfigurationInvalid`` naming the place.
    """
    content, source = read(path) if path else ({}, Source("", ""))
    rules = rules_from(content, source, defaults)
    settled = tuple(
        _settled(rule, source, number) for number, rule in enumerate(rules.policy.rules)
    )
    return replace(rules, policy=replace(rules.policy, rules=settled))


def warnings(policy: Policy) -> Iterator[str]:
    """A sentence about each thing that an operator may not have meant."""
    for rule in policy.rules:
        if rule.allow:
            yield from _of_programs(rule)
        if rule.account is not None:
            yield from _of_account(rule, rule.account)


def _of_programs(rule: Rule) -> Iterator[str]:
    for program in rule.programs or ():
        if name := interpreter_of(program):
            yield (
                f"{rule.title} of the policy allows {name}, which can run any other "
                "program: whoever it applies to may run everything"
            )


def _of_account(rule: Rule, account: Account) -> Iterator[str]:
    for group, power in powers(account):
        yield (
            f"{rule.title} of the policy runs jobs as {account.name}, which is in the group "
            f"{group} and so {power}: whoever it applies to can, too"
        )
    if rule.programs is None:
        yield (
            f"{rule.title} of the policy runs any program as {account.name}, for want of a list "
            "of programs: whoever it applies to has that account"
        )


def _settled(rule: Rule, source: Source, number: int) -> Rule:
    """The rule with its paths canonical and its account found; raises where it is unsafe."""
    try:
        if rule.programs is not None:
            settle = _allowed_program if rule.allow else _denied_program
            rule = replace(rule, programs=tuple(map(settle, rule.programs)))
    except (Untrusted, OSError, ValueError) as error:
        raise _unusable(rule, source, number, "programs", error) from None
    try:
        if rule.run_as is not None and rule.allow:
            rule = replace(rule, account=resolve(rule.run_as, os.geteuid()))
    except ValueError as error:
        raise _unusable(rule, source, number, "run-as", error) from None
    try:
        if rule.cwd is not None:
            _check_cwd(rule.cwd, rule.account)
    except (Untrusted, OSError) as error:
        raise _unusable(rule, source, number, "cwd", error) from None
    return rule


def _check_cwd(directory: str, account: Account | None) -> None:
    """Raises where somebody else can put files there than whose jobs begin in it."""
    own = () if account is None else (account.uid,)
    Files((0, os.geteuid(), *own)).check_directory(directory)


def _unusable(
    rule: Rule, source: Source, number: int, key: str, error: Exception
) -> ConfigurationInvalid:
    why = str(error)
    if isinstance(error, FileNotFoundError):
        why = f"{error.filename} does not exist; a rule can name only what is there to be checked"
    elif isinstance(error, OSError):
        why = f"cannot look at {error.filename}: {error.strerror}"
    return source.complaint(("policy", "rules", number, key), f"{rule.title}: {key} {why}")


def _allowed_program(program: str) -> str:
    """A path or pattern as programs are compared; raises where somebody else can change it."""
    if is_pattern(program):
        fixed = fixed_directory(program)
        directory = canonical(fixed)
        Files().check_directory(directory)
        return _below(directory, program[len(fixed.rstrip("/")) :])
    directory, _, name = program.rpartition("/")
    path = _below(canonical(directory or "/"), f"/{name}")
    Files().check(path)
    return path


def _denied_program(program: str) -> str:
    """A path or pattern as programs are compared: links are followed all the way, as at a start."""
    if not is_pattern(program):
        return canonical(program)
    fixed = fixed_directory(program)
    return _below(canonical(fixed), program[len(fixed.rstrip("/")) :])


def _below(directory: str, rest: str) -> str:
    """``rest``, which begins with a slash, below a directory, which may be ``/``."""
    return directory.rstrip("/") + rest
