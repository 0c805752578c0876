"""Running ``calls.py`` without an event loop.

A coroutine only waits where it awaits something that waits. On the blocking transport
nothing does: it comes to its end at the first step, and raises from where it was.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

    from jobworker.client.calls import Calls

    P = ParamSpec("P")
    T = TypeVar("T")

    class HasCalls(Protocol):
        """The class of a blocking method."""

        _calls: Calls


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that waits for no event loop to its end; returns its result."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError(f"{work!r} waits for an event loop, and there is none")


def call(
    method: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[HasCalls, P], T]:
    """``method`` as one that blocks until it has its answer."""

    def blocking(self: HasCalls, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_sync(method(self._calls, *args, **kwargs))

    _name_as(method, blocking)
    return blocking


def each(
    method: Callable[Concatenate[Calls, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[HasCalls, P], Generator[T, None, None]]:
    """``method`` as one that blocks at each step; to leave it early, ``close`` it."""

    def blocking(self: HasCalls, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        items = method(self._calls, *args, **kwargs)
        try:
            while True:
                try:
                    item = run_sync(items.__anext__())
                except StopAsyncIteration:
                    return
                yield item
        finally:
            run_sync(items.aclose())

    _name_as(method, blocking)
    return blocking


def _name_as(method: Any, blocking: Any) -> None:
    """Does as ``functools.wraps``, but for the marks of a coroutine: ``blocking`` is none."""
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(blocking, name, getattr(method, name))
    blocking.__wrapped__ = method
