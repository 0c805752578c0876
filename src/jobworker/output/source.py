"""Where a follower gets output from: a job that may still be writing it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from jobworker.model import End
from jobworker.output.reader import OutputReader


class Source(Protocol):
    """The output of one job, wherever it lies now; it may move between two calls."""

    def reader(self) -> OutputReader:
        """Access to what there is; to be closed. Raises ``JobNotFound``."""
        ...

    def end(self) -> End | None:
        """How the job ended, or None where it has not; raises ``JobNotFound``."""
        ...

    def is_archived(self) -> bool:
        """Whether nothing of it changes any more, but that it may be removed."""
        ...

    def changes(self) -> Sequence[asyncio.Future[Any]]:
        """Futures of which one is done when there may be more than there is at this call.

        None where nothing is to come. To be cancelled where they are not waited for.
        """
        ...
