"""The table ``[jobs]``: what is in it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobworker.config.jobs import JobSettings, UidRange
from jobworker.config.settings import load
from jobworker.errors import ConfigurationInvalid


def read(tmp_path: Path, text: str) -> JobSettings:
    file = tmp_path / "jobd.toml"
    file.write_text(text)
    return load({"config": str(file)}, {}).jobs


def test_it_may_be_left_out(tmp_path: Path) -> None:
    expected = JobSettings(oom_score_adj=200, io_uring=False, uids=None)
    assert load({}, {}).jobs == read(tmp_path, "") == read(tmp_path, "[jobs]") == expected


def test_all_of_it(tmp_path: Path) -> None:
    text = "[jobs]\noom-score-adj = 0\nio-uring = true\nfirst-uid = 600000\nuid-count = 500\n"
    assert read(tmp_path, text) == JobSettings(0, io_uring=True, uids=UidRange(600_000, 500))
    assert read(tmp_path, "[jobs]\nfirst-uid = 600000").uids == UidRange(600_000, 10_000)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("oom-score-adj = -1", "jobs.oom-score-adj must be a whole number"),
        ("oom-score-adj = 1001", "jobs.oom-score-adj must be a whole number"),
        ("io-uring = 1", "jobs.io-uring must be true or false"),
        ("first-uid = 0", "jobs.first-uid must be a whole number"),
        ("first-uid = 4294967000", "jobs.first-uid leaves no room"),
        ("uid-count = 10", "means something only beside first-uid"),
        ("oom_score_adj = 1", "unknown setting 'jobs.oom_score_adj'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path: Path, line: str, complaint: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"jobd\.toml:2: ") as refused:
        read(tmp_path, f"[jobs]\n{line}\n")
    assert complaint in str(refused.value)


def test_ranges_overlap_where_they_share_a_user() -> None:
    one = UidRange(10, 10)
    assert str(one) == "10 to 19"
    assert [UidRange(first, 5).overlaps(one) for first in (5, 6, 15, 19, 20)] == [
        False, True, True, True, False,
    ]  # fmt: skip
