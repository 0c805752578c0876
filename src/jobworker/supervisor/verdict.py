"""The cause of a job's end, from what the supervisor knows. Pure."""

from __future__ import annotations

import os

from . import signals


def cause(wait_status: int, wanted: bytes | None, oom_kills: int) -> bytes:
    """The one cause of an end, by the name that ``model.Cause`` gives it.

    ``wait_status`` is the program's (wait(2)), ``wanted`` the cause for which the supervisor
    ended the job, ``oom_kills`` the number of its processes killed for memory. A program
    that ended by itself although another process of its job was killed has simply exited.
    """
    if wanted is not None:
        return wanted
    code = os.waitstatus_to_exitcode(wait_status)
    if oom_kills > 0 and code == -signals.SIGKILL:
        return b"oom"
    return b"exited" if code >= 0 else b"signaled"
