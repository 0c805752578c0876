"""The warning for a path that a job does not see, before somebody wonders."""

from __future__ import annotations

import pytest

from jobworker.engines.host.visibility import visibility_warning
from jobworker.model import Level, Spec


@pytest.mark.parametrize(
    ("level", "path", "words"),
    [
        ("full", "/run/user/1000/bus", "jobs do not see the machine's /run/user"),
        ("namespaces", "--socket=/run/munge/munge.socket.2", "not see the machine's /run/munge"),
    ],
)
def test_a_path_in_a_covered_place_is_warned_of(level: Level, path: str, words: str) -> None:
    assert words in str(visibility_warning(Spec("/bin/cat", (path,)), level, None))


@pytest.mark.parametrize(
    ("level", "path"), [("full", "/run/lock/x"), ("basic", "/run/user/1000/bus")]
)
def test_others_are_not(level: Level, path: str) -> None:
    assert visibility_warning(Spec("/bin/cat", (path,)), level, None) is None
