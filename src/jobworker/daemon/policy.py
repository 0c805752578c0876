"""``jobd policy``: look at the policy before the server does."""

from __future__ import annotations

import argparse

from jobworker.daemon.bounds import rules_of
from jobworker.daemon.options import add_settings, load_settings
from jobworker.errors import ConfigurationInvalid
from jobworker.policy.load import warnings

ABOUT = "Check the configuration and its policy, as the server does at its start and on SIGHUP."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares what may be done."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="check")
    check = actions.add_parser("check", help="say ok, or what is wrong and where (exit code 1)")
    add_settings(check)


def run(arguments: argparse.Namespace) -> None:
    """Loads everything; raises ``ConfigurationInvalid`` where the server would refuse it."""
    try:
        settings = load_settings(arguments)
        rules = rules_of(settings)
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid(f"cannot use the configuration: {error}") from None
    for warning in warnings(rules.policy):
        print(f"Warning: {warning}.")  # noqa: T201 - what a command prints
    count = len(rules.policy.rules)
    default = "allow" if rules.policy.allow_by_default else "deny"
    what = f"{settings.config}: " if settings.config else "no configuration file: "
    print(f"{what}ok, {count} {'rule' if count == 1 else 'rules'}, default {default}")  # noqa: T201
