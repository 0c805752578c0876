"""``jobd user``: who may use the service."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from jobworker.config.settings import Settings
from jobworker.daemon.address import in_force, url_of
from jobworker.daemon.enrol import Server, enrol, forget
from jobworker.daemon.options import add_settings, settings_of, user_name
from jobworker.daemon.state import State, find_state, users_of
from jobworker.errors import ConfigurationInvalid
from jobworker.identity.users import Listed
from jobworker.model import Role
from jobworker.tls.files import TlsFiles

ABOUT = "Add, list and remove users; works while the server runs."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares what may be done to users."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|remove")
    add = actions.add_parser("add", help="make a user and store its profile for this account")
    add.add_argument("name", metavar="NAME", type=user_name)
    add.add_argument("--role", choices=[*Role], default=Role.USER, help="default %(default)s")
    add.add_argument(
        "--take-over",
        action="store_true",
        help="give it the jobs and their output that a removed user of that name has left",
    )
    add.set_defaults(act=_add)
    show = actions.add_parser("list", help="show users, roles and the IDs of their tokens")
    show.set_defaults(act=_list)
    remove = actions.add_parser("remove", help="remove a user; its jobs stay")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--force", action="store_true", help="even if it is the only admin")
    remove.set_defaults(act=_remove)
    for action in (add, show, remove):
        add_settings(action, "state")


def run(arguments: argparse.Namespace) -> None:
    """Does what was asked to the users of the state."""
    arguments.act(arguments, settings_of(arguments))


def _add(arguments: argparse.Namespace, settings: Settings) -> None:
    state, name = find_state(settings.state), arguments.name
    server = Server(_url(state, settings), TlsFiles(state.tls).ca, state.socket)
    with users_of(state) as users:
        enrol(users, name, Role(arguments.role), server, take_over=arguments.take_over)
    print(f"User {name} added. Try: jobctl -u {name} list")  # noqa: T201 - what a command prints


def _list(_arguments: argparse.Namespace, settings: Settings) -> None:
    with users_of(find_state(settings.state)) as users:
        everybody = users.list()
    for line in table(everybody):
        print(line)  # noqa: T201 - what a command prints


def _remove(arguments: argparse.Namespace, settings: Settings) -> None:
    state, name = find_state(settings.state), arguments.name
    with users_of(state) as users:
        users.remove(name, force=arguments.force)
    forget(name, TlsFiles(state.tls).ca)
    print(f"User {name} removed. Its jobs stay.")  # noqa: T201 - what a command prints


def table(users: Iterable[Listed]) -> Iterator[str]:
    """The lines of the list."""
    yield f"{'NAME':<32} {'ROLE':<5} TOKENS"
    for one in users:
        yield f"{one.user.name:<32} {one.user.role:<5} {' '.join(one.tokens) or '-'}"


def _url(state: State, settings: Settings) -> str:
    """The URL at which the server listens, or will listen once it runs."""
    address = in_force(state.address) or settings.listen
    if address.port == 0:
        raise ConfigurationInvalid(
            f"cannot tell where the server of {state.directory} will listen: it does not run, "
            "and its port is 0, which means any",
            hint="start the server first",
        )
    return url_of(address)
