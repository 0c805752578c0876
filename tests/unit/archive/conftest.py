"""A database as a first start makes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from jobworker.archive import sqlite
from jobworker.archive.upgrade import prepare


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    path = tmp_path / "jobd.db"
    prepare(path)
    with sqlite.writer(path).connect() as opened, opened.begin():
        yield opened
