"""The fields that bodies of the API share, and how large they may be."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from jobworker.limits import GRACE, TIMEOUT
from jobworker.model import JobId

Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, in UTC")]

MAX_BODY = 8 * 1024 * 1024
"""Most bytes of a request body: exec takes 2 MiB of arguments, JSON may double them."""

MAX_STDIN = 16 * 1024 * 1024
"""Most bytes of standard input that go with a start."""

MAX_START = MAX_BODY + MAX_STDIN // 3 * 4 + 4
"""Most bytes of the body of a start: its input as base64 comes on top of the rest."""

MAX_PIECE = 64 * 1024
"""Most bytes of one message of input."""

MAX_WAIT = 300.0
"""Most seconds that one ``?wait=`` holds a connection; a client asks again."""

MAX_TAIL = 1_000_000
"""Most last lines that one may ask for: they are looked for from the end, one by one."""

MAX_PAGE = 1000
"""Most jobs on one page of a list."""

MAX_ARGUMENTS = 233_016
"""Most arguments of a program: of empty ones the kernel passes on as many (execve(2))."""

MAX_VARIABLES = 4096
"""Most variables of a job: each is looked at, by the policy for one."""

MAX_LABELS = 64
"""Most labels of a job: each is a row in the database."""

# What ``api/resources/start_request.py`` checks in words of its own stands here for readers alone.
Text = Annotated[str, Meta(extra_json_schema={"pattern": r"^[^\x00]*$"})]

Path = Annotated[
    str, Meta(extra_json_schema={"pattern": r"^/[^\x00]*$"}, description="absolute path")
]

Label = Annotated[Text, Meta(max_length=256)]

VariableName = Annotated[str, Meta(extra_json_schema={"pattern": r"^[^=\x00]+$"})]

Variables = Annotated[
    dict[VariableName, Text],
    Meta(max_length=MAX_VARIABLES, description="variables beside those that jobs have"),
]

Base64 = Annotated[
    str,
    Meta(
        extra_json_schema={
            "contentEncoding": "base64",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        },
        description="the bytes, none of them NUL",
        examples=["/w=="],
    ),
]

Grace = Annotated[
    float, Meta(ge=GRACE.range.least, le=GRACE.range.most, description=GRACE.description)
]

Id = Annotated[str, Meta(description="the job's ID", extra_json_schema={"pattern": JobId.PATTERN})]

NoError = Annotated[None, Meta(description="null: this is a success")]


class Body(Struct, rename="camel", frozen=True, kw_only=True):
    """Base of what is answered."""


class Request(Struct, rename="camel", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is sent: a field that is not known is refused, never ignored."""


class RawArgument(Request, frozen=True):
    """An argument whose bytes are not UTF-8, which JSON text cannot carry."""

    base64: Base64


class RawInput(Request, frozen=True):
    """Input of any bytes."""

    base64: Annotated[
        str,
        Meta(extra_json_schema={"contentEncoding": "base64"}, description="the bytes, any at all"),
    ]


Argument = Text | int | float | RawArgument

Arguments = Annotated[
    list[Argument],
    Meta(
        max_length=MAX_ARGUMENTS,
        description="what the program is given; a number is passed as text",
        examples=[["5"]],
    ),
]

Seconds = Annotated[
    float, Meta(ge=TIMEOUT.range.least, le=TIMEOUT.range.most, description=TIMEOUT.kind.unit)
]

Side = Annotated[int, Meta(ge=1, le=10_000)]


def argument_text(argument: Argument) -> str:
    """The text of an argument as the program gets it; raises ``ValueError``."""
    if isinstance(argument, RawArgument):
        return from_base64(argument).decode("utf-8", "surrogateescape")
    return argument if isinstance(argument, str) else str(argument)


def from_base64(text: RawArgument | RawInput) -> bytes:
    """The bytes that ``text`` stands for; raises ``ValueError``."""
    return base64.b64decode(text.base64, validate=True)


def argument_view(text: str) -> str | RawArgument:
    """An argument as JSON can carry it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogateescape")
        return RawArgument(base64=base64.b64encode(raw).decode("ascii"))
    return text
