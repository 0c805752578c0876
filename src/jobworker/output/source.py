"""The source of a follower's output: a job that may still be writing it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from jobworker.model import End
from jobworker.output.reader import OutputReader


class Source(Protocol):
    """The output of one job, wherever it lies now; it may move between two calls."""

    def reader(self) -> OutputReader:
        """A reader of what there is; to be closed. Raises ``JobNotFound``."""
        ...

    def end(self) -> End | None:
        """The job's end, or None where it has not ended; raises ``JobNotFound``."""
        ...

    def is_archived(self) -> bool:
        """Whether it does not change any more, though it may be removed."""
        ...

    def changes(self) -> Sequence[asyncio.Future[Any]]:
        """Futures of which one is done when there may be more than there is at this call.

        There are none where nothing is to come. They are to be cancelled where they are not
        waited for.
        """
        ...
