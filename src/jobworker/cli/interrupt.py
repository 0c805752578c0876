"""Ctrl-C at a moment of our choosing.

``_signal`` is the C half of ``signal``, whose enums would be a tenth of the modules of ``run``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from types import TracebackType
else:
    import _signal


class Deferred:
    """Holds Ctrl-C back until the end of a block that must not be cut short, but not a second.

    Output written to a terminal and not yet counted, say, would be written again.
    """

    def __init__(self, *, wanted: bool) -> None:
        """Does nothing unless ``wanted``, or where Ctrl-C is ignored anyway."""
        handler = _signal.getsignal(_signal.SIGINT)
        self._heeded = wanted and handler is _signal.default_int_handler
        self._came = False

    def __enter__(self) -> None:
        if self._heeded:
            _signal.signal(_signal.SIGINT, self._note)

    def _note(self, *_: object) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._heeded:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        if self._came and error is None:
            self._came = False
            raise KeyboardInterrupt
