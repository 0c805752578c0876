"""Brings a database file to the tables that this version of the code knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, MetaData, String, Table, inspect, select

from jobworker.archive import sqlite
from jobworker.errors import StateUnusable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The newest migration. Kept here so that a start without one need not import Alembic
(0.1 s and 12 MB); a test holds it to the migrations."""

_VERSION = Table("alembic_version", MetaData(), Column("version_num", String))  # Alembic's own
_MIGRATIONS = Path(__file__).with_name("migrations")


def prepare(path: Path) -> None:
    """Makes the database at ``path`` if there is none, upgrades it if it is older.

    Raises ``StateUnusable`` where it is no database of ours, or one that a newer version
    has made, and ``DBAPIError`` where it is damaged; either way the file is left as it is.
    """
    if not path.exists():
        sqlite.create(path, migrate)
    version = _version(path)
    if version == HEAD:
        return
    if version not in _known_versions():
        raise StateUnusable(
            f"cannot use the database {path}: it was made by a newer version of jobd "
            f"(its tables are at {version}, this jobd knows up to {HEAD})",
            hint="run the newer jobd, or restore a backup made before the upgrade",
        )
    migrate(path)


def _version(path: Path) -> str:
    with sqlite.inspector(path).connect() as connection:
        version: str | None = None
        if inspect(connection).has_table(_VERSION.name):
            version = connection.scalar(select(_VERSION.c.version_num))
    if version is None:
        raise StateUnusable(
            f"cannot use the database {path}: it was not made by jobd",
            hint="move the file away, or restore jobd's own from a backup",
        )
    return version


# Alembic is imported only where a database has to be made or upgraded.


def migrate(path: Path) -> None:
    """Runs the migrations that the database at ``path`` has not seen, in one transaction."""
    from alembic import command  # noqa: PLC0415 - see HEAD

    config = _configuration()
    with sqlite.migrator(path).connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _known_versions() -> set[str]:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see HEAD

    scripts = ScriptDirectory.from_config(_configuration())
    return {script.revision for script in scripts.walk_revisions()}


def _configuration() -> Config:
    from alembic.config import Config  # noqa: PLC0415 - see HEAD

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
