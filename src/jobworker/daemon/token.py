"""``jobd token``: take tokens back."""

from __future__ import annotations

import argparse

from jobworker.daemon.options import add_settings, settings_of
from jobworker.daemon.state import find_state, users_of

ABOUT = "Revoke tokens; holds from the next request on."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares what may be done to tokens."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="revoke")
    revoke = actions.add_parser("revoke", help="revoke a token, or all tokens of a user")
    revoke.add_argument("name", metavar="NAME|ID", help="a user, or the ID of a token")
    add_settings(revoke, "state")


def run(arguments: argparse.Namespace) -> None:
    """Revokes tokens, and says which."""
    with users_of(find_state(settings_of(arguments).state)) as users:
        revoked = users.revoke(arguments.name)
    for token_id in revoked:
        print(f"Token {token_id} revoked.")  # noqa: T201 - what a command prints
    if not revoked:
        print(f"Nothing to revoke: {arguments.name} has no valid token.")  # noqa: T201
