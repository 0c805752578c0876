"""The lines in the place of output that is not shown."""

from __future__ import annotations

from jobworker.cli import missing
from jobworker.client.answers import OutputAnswer


def test_what_an_answer_left_out_is_told_from_what_is_lost() -> None:
    answer: OutputAnswer = {
        "id": "j",
        "stdout": ["a", "b"],
        "stderr": [],
        "error": None,
        "gaps": [
            {"stream": "stdout", "start": 0, "end": 9, "line": 0, "leftOut": True},
            {"stream": "stdout", "start": 11, "end": 14, "line": 1},
        ],
    }
    assert [*missing.marked(answer, "stdout")] == [
        "[… 9 bytes left out; output --raw has them …]",
        "a",
        "[… 3 bytes not kept …]",
        "b",
    ]
