"""A route of the API, and the table that finds the route of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from msgspec import Struct

from jobworker.api.answers import BytesAnswer, StreamAnswer
from jobworker.api.fields import MAX_BODY
from jobworker.api.query import NoQuery
from jobworker.api.resources.input import SocketAnswer
from jobworker.api.service import Call
from jobworker.api.wire import HeaderField, Media
from jobworker.errors import (
    BadAuthentication,
    BodyTooLarge,
    InvalidRequest,
    JobNotFound,
    JobWorkerError,
    RequestTimedOut,
    ServiceUnavailable,
    StorageUnavailable,
    UnauthorizedAction,
    UnsupportedMediaType,
    UpgradeRequired,
)
from jobworker.identity.permissions import Action

Answer = BytesAnswer | StreamAnswer | SocketAnswer

Handler = Callable[[Call], Awaitable[Struct | Answer]]
"""Gives the body of a success, or a whole answer where that is not JSON."""


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the API, and who may make it.

    ``most_body`` is the most bytes of a body; a ``status`` of 101 makes it a WebSocket.
    ``answer`` is the type of the JSON body of a success, ``waited`` the one of a client that
    waits for the job's end; ``media`` are the other forms that a client may get it in.
    ``body`` is the type of the JSON that is sent, ``takes`` are other media types for it.
    ``headers`` are those of a request that mean something here, ``answer_headers`` those
    of a success; ``errors`` are those beside the ones that the route's form implies. All of
    it, and the handler's docstring, is told to clients.
    """

    method: str
    path: str
    action: Action
    handler: Handler
    answer: type[Struct] | None
    waited: type[Struct] | None = None
    body: type[Struct] | None = None
    query: type[Struct] = NoQuery
    status: int = 200
    most_body: int = MAX_BODY
    errors: tuple[type[JobWorkerError], ...] = ()
    media: tuple[Media, ...] = ()
    takes: tuple[Media, ...] = ()
    headers: tuple[HeaderField, ...] = ()
    answer_headers: tuple[HeaderField, ...] = ()

    def __post_init__(self) -> None:
        # A route whose access nobody has decided must not be served: so this is no type hint.
        if not isinstance(self.action, Action):
            raise TypeError(f"route {self.method} {self.path} has no action")

    @property
    def about_job(self) -> bool:
        """Whether the path names a job."""
        return "{id}" in self.path

    @property
    def is_socket(self) -> bool:
        """Whether it is a WebSocket."""
        return self.status == 101

    @property
    def public(self) -> bool:
        """Whether anybody may call it, without a token."""
        return self.action is Action.PUBLIC

    @property
    def all_errors(self) -> tuple[type[JobWorkerError], ...]:
        """Every error that the route may answer with."""
        found: list[type[JobWorkerError]] = [InvalidRequest, ServiceUnavailable, StorageUnavailable]
        if not self.public:
            found += [BadAuthentication, UnauthorizedAction]
        if self.about_job:
            found += [JobNotFound]
        if self.is_socket:
            found += [UpgradeRequired]
        if self.body or self.takes:
            found += [BodyTooLarge, RequestTimedOut, UnsupportedMediaType]
        return (*found, *self.errors)


class Router:
    """Finds the route for a path and a method."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._about_job: dict[str, dict[str, Route]] = {}
        for route in routes:
            table, key = self._fixed, route.path
            if route.about_job:
                prefix, _, key = route.path.partition("{id}")
                table = self._about_job
                if prefix != "/jobs/":
                    raise ValueError(f"route {route.path}: a job is named after /jobs/ only")
            methods = table.setdefault(key, {})
            if route.method in methods:
                raise ValueError(f"route {route.method} {route.path} stands twice in the table")
            methods[route.method] = route

    def find(self, path: str) -> tuple[dict[str, Route], str]:
        """The routes of a path by method, none where there is no such path, and its job's ID."""
        methods = self._fixed.get(path)
        if methods is not None:
            return methods, ""
        if not path.startswith("/jobs/"):
            return {}, ""
        job_id, slash, rest = path.removeprefix("/jobs/").partition("/")
        return self._about_job.get(slash + rest, {}), job_id
