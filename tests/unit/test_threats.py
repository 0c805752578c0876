"""The rows of docs/threats.md and the tests that cite them."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs/threats.md").read_text()
ROWS = [int(number) for number in re.findall(r"^\| T(\d+) \|", TEXT, re.MULTILINE)]

_CITED = re.compile(r"\bT(\d{1,2})(?:-T?(\d{1,2}))?\b|_t(\d{1,2})(?=_)")


def _cited() -> set[int]:
    """The rows that tests cite: ``T12``, ``T1-T9``, ``test_t12_…``."""
    found: set[int] = set()
    for path in TESTS.rglob("*.py"):
        if path != Path(__file__):
            for first, last, in_name in _CITED.findall(path.read_text()):
                found |= set(range(int(first or in_name), int(last or first or in_name) + 1))
    return found


def test_the_rows_are_numbered_in_order() -> None:
    assert list(range(1, len(ROWS) + 1)) == ROWS


def test_every_row_is_cited_but_those_that_are_said_not_to_be() -> None:
    cited, missing = _cited(), TEXT.rpartition("No test shows these yet:")[2]
    assert cited <= set(ROWS)
    assert sorted(set(ROWS) - cited) == [int(number) for number in re.findall(r"T(\d+)", missing)]
