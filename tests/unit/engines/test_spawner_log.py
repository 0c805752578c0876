"""The log of spawners, which is kept for years and may not fill the disk."""

from __future__ import annotations

import os
from pathlib import Path

from jobworker.engines.spawner import open_log


def test_a_log_that_has_grown_large_is_begun_anew(tmp_path: Path) -> None:
    """By a spawner that starts; a small one is added to."""
    log = tmp_path / "spawner.log"
    for size, left in ((100, 100), (2 * 1024 * 1024, 0)):
        log.write_bytes(bytes(size))
        os.close(open_log(tmp_path))
        assert log.stat().st_size == left
