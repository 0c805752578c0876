from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from jobworker.model import Cause, End, JobId, explain

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXITED = End(Cause.EXITED, finished_at=NOW, exit_code=0)


def test_a_new_id_parses() -> None:
    job_id = JobId.new()
    assert JobId.parse(job_id) == job_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "j-",
        "../etc/passwd",
        "j-../../etc/passwd",
        "j-00000000-0000-4000-8000-000000000000/..",
        "j-00000000-0000-4000-8000-00000000000\n",
        "j-00000000-0000-4000-8000-000000000000\n",
        "j-00000000-0000-4000-8000-000000000000\0",
        "J-00000000-0000-4000-8000-000000000000",
        "j-AAAAAAAA-0000-4000-8000-000000000000",
        "j-00000000-0000-1000-8000-000000000000",
        "j-00000000-0000-4000-0000-000000000000",
        "j-\N{ARABIC-INDIC DIGIT ZERO}0000000-0000-4000-8000-000000000000",
        "j-" + "a" * 10_000,
    ],
)
def test_what_is_not_an_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a job ID"):
        JobId.parse(text)


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (EXITED, None),
        (replace(EXITED, exit_code=3), "exited with code 3"),
        (replace(EXITED, exit_code=1, detail="no /tmp"), "exited with code 1 (no /tmp)"),
        (End(Cause.SIGNALED, NOW, signal="SIGSEGV"), "killed by SIGSEGV"),
        (End(Cause.STOPPED, NOW, signal="SIGKILL", stopped_by="alice"), "stopped by alice"),
        (End(Cause.LOST, NOW, detail="the machine restarted"), "lost: the machine restarted"),
    ],
)
def test_the_sentence_for_an_end(end: End, sentence: str | None) -> None:
    assert explain(end) == sentence
