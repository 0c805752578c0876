"""Renews the certificate of a server that runs: it may for years."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobworker.errors import StateUnusable
from jobworker.tls.files import TlsFiles, renew

DAY = 86_400.0
"""Seconds between two looks: a certificate is renewed a month before its end, so that many
may fail."""

_log = logging.getLogger(__name__)


@contextmanager
def renewing(
    files: TlsFiles, host: str, use: Callable[[], None], interval: float = DAY
) -> Iterator[None]:
    """Looks at the certificate daily for as long as this lasts.

    ``use`` is called when there is another one, and has the server show it from then on.
    """
    task = asyncio.create_task(_renew_daily(files, host, use, interval))
    try:
        yield
    finally:
        task.cancel()


async def _renew_daily(
    files: TlsFiles, host: str, use: Callable[[], None], interval: float
) -> None:
    pending = False
    while True:
        await asyncio.sleep(interval)
        try:
            # In a thread: it makes keys, and asks for the machine's name.
            pending |= await asyncio.to_thread(renew, files, host)
            if pending:
                use()
                pending = False
        except (StateUnusable, OSError) as error:
            _log.error("cannot renew the server's certificate; tried again in a day: %s", error)
