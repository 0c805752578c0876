"""The directory of live jobs, as its owner sees it."""

from __future__ import annotations

from pathlib import Path

from jobworker.spool.spool import Spool


def test_the_repr_names_the_directory(tmp_path: Path) -> None:
    """And asks nothing of the disk, so that it works where nothing else does any more."""
    spool = Spool(tmp_path)
    assert repr(spool) == f"<Spool {tmp_path / 'spool'}, open>"
    spool.close()
    assert repr(spool) == f"<Spool {tmp_path / 'spool'}, closed>"
