"""What schemathesis is told beyond its configuration."""

from __future__ import annotations

import json
import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

ALLOWED = "/bin/true"
"""The one program that the policy of the server under test allows: nothing else may run."""

BEYOND_SCHEMAS = (
    ("cwd", ""),  # a directory that is not there
    (r"limits\.memory", "too small to start"),  # what the smallest program needs
    (r"args\[\d+\]", "holds a NUL"),  # in the bytes that the base64 stands for
    ("cursor", ""),  # opaque: one that no list has given
    ("since|until|after|tail|stream", "only for frames"),  # goes with the Accept header
    ("tail", "cannot go together"),  # of two parameters, each by itself in order
    ("window", "only with input"),  # of two fields, each by itself in order
    ("input", "cannot both be given"),
    (r"stdin(\.base64)?", ""),  # its size in bytes, and base64 with an odd end
    ("", "are not kept"),  # a rerun without the input that its job had
    ("signal", "there is no signal"),  # which there are depends on the machine
    (".*", "not a number with a point"),  # to a schema 5.0 is an integer, to us it is a slip
)
"""What a schema may allow and still is refused with 400: the field, and words of the error."""


@schemathesis.hook
def before_load_schema(_: Any, raw_schema: dict[str, Any]) -> None:
    """Let the document's example of a program be one that may run here."""
    text = json.dumps(raw_schema).replace("/bin/sleep", ALLOWED)
    raw_schema.update(json.loads(text))


@schemathesis.check
def what_is_in_order_is_refused_for_its_meaning_only(
    _: CheckContext, response: Response, case: Case[Any]
) -> None:
    """A 400 for a request that its schema allows is one of ``BEYOND_SCHEMAS``."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code == 400:
        answer = response.json()
        assert any(
            re.fullmatch(field, answer.get("field", "")) and words in answer["error"]
            for field, words in BEYOND_SCHEMAS
        ), f"the schema allows it, and it is refused: {answer['error']}"
