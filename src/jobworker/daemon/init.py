"""The first start: what has to be there before the server can be used.

Each step looks whether it is done already, so whatever a first start that was killed
has left undone is done by the next one.
"""

from __future__ import annotations

import logging

from jobworker.daemon.enrol import Server, enrol, has_profile
from jobworker.identity.users import Users
from jobworker.model import Role

ADMIN = "admin"

_log = logging.getLogger(__name__)


def make_admin(users: Users, server: Server) -> None:
    """Makes the user ``admin`` where there is no user yet, with a profile for this account.

    A token is shown once: where ``admin`` is there but this account has no profile for
    it, the log says how to get in, and nothing is minted behind anybody's back.
    """
    if not users.any():
        # An admin sees every job, that of an admin before it as well.
        enrol(users, ADMIN, Role.ADMIN, server, take_over=True)
        _log.info("made the user %s; its profile is stored for this account", ADMIN)
    elif not has_profile(ADMIN, server.ca):
        _log.info(
            "this account has no profile of user %s for this server; "
            "for one of another name: jobd user add NAME --role admin",
            ADMIN,
        )
