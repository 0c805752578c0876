"""The database file: how it is made, upgraded, refused and read."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, bindparam, insert, inspect, select
from sqlalchemy.exc import IntegrityError

from jobworker.archive import sqlite, upgrade
from jobworker.archive.database import Database
from jobworker.archive.prepared import Prepared
from jobworker.archive.sql import SqlArchive
from jobworker.archive.tables import accounts, job_blocks, job_labels, jobs, metadata
from jobworker.ballast import SIZE, Ballast
from jobworker.errors import ServiceUnavailable, StateUnusable, StorageFull, StorageUnavailable
from jobworker.model import JobQuery


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobd.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = Database.open(path)
    yield opened
    await opened.close()


def add_alice(connection: Connection) -> None:
    connection.execute(insert(accounts), {"owner": "alice", "number": 0})


def owners(connection: Connection) -> list[str]:
    return list(connection.scalars(select(accounts.c.owner).order_by(accounts.c.number)))


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    """For tests without an event loop."""
    database = Database.open(path)
    yield database
    asyncio.run(database.close())


def made(path: Path) -> None:
    """Make a database at ``path`` with one account in it."""
    with opened(path) as database:
        database.write_now(add_alice)


async def test_files_are_for_their_owner_only_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        database = Database.open(path)
        await database.write(add_alice)
        files = sorted(path.parent.iterdir())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
        await database.close()
    finally:
        os.umask(before)
    assert modes == {"jobd.db": 0o600, "jobd.db-shm": 0o600, "jobd.db-wal": 0o600}


def test_what_was_written_is_there_again(path: Path) -> None:
    made(path)
    with opened(path) as database:
        assert database.read(owners) == ["alice"]
    assert [file.name for file in path.parent.iterdir()] == ["jobd.db"]


def test_connections_keep_what_is_written_and_hold_rows_together(database: Database) -> None:
    def pragma(connection: Connection) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    full = 2
    assert database.write_now(pragma) == ["wal", full, 1]


def test_migrations_make_the_tables_that_the_code_knows(database: Database) -> None:
    def differences(connection: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    def shape(connection: Connection) -> Any:
        inspector = inspect(connection)
        return {
            name: (
                [(key["constrained_columns"], key["options"]) for key in keys],
                inspector.get_pk_constraint(name)["constrained_columns"],
            )
            for name in metadata.tables
            if (keys := inspector.get_foreign_keys(name)) is not None
        }

    expected = {
        table.name: (
            [
                (list(key.column_keys), {"ondelete": key.ondelete})
                for key in table.foreign_key_constraints
            ],
            list(table.primary_key.columns.keys()),
        )
        for table in metadata.tables.values()
    }
    assert database.read(differences) == []
    assert database.read(shape) == expected


def test_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(Path(upgrade.__file__).with_name("migrations"))
    assert scripts.get_heads() == [upgrade.HEAD]


REBUILD_JOBS = f"""
import sqlalchemy as sa
from alembic import op

revision = "extra"
down_revision = "{upgrade.HEAD}"


def upgrade():
    with op.batch_alter_table("jobs", recreate="always") as jobs:
        jobs.add_column(sa.Column("extra", sa.Integer()))
"""


def test_an_upgrade_keeps_what_is_there(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where it makes a table anew that others refer to."""

    def fill(connection: Connection) -> None:
        job = dict.fromkeys(("id", "owner", "status", "program", "spec", "containment", "node"), "")
        number = connection.execute(insert(jobs), {**job, "created_at": 0}).inserted_primary_key
        assert number
        label = {"number": number[0], "key": "k", "value": "v", "owner": "alice"}
        connection.execute(insert(job_labels), label)

    with opened(path) as database:
        database.write_now(fill)
    migrations = shutil.copytree(Path(upgrade.__file__).with_name("migrations"), tmp_path / "steps")
    (migrations / "versions" / "extra.py").write_text(REBUILD_JOBS)
    monkeypatch.setattr(upgrade, "_MIGRATIONS", migrations)
    monkeypatch.setattr(upgrade, "HEAD", "extra")
    with opened(path) as database:
        labels = database.read(lambda connection: connection.execute(select(job_labels)).all())
        columns = database.read(lambda connection: inspect(connection).get_columns("jobs"))
    assert labels == [(1, "k", "v", "alice")]
    assert "extra" in [column["name"] for column in columns]


async def test_an_upgrade_tells_lists_of_the_jobs_that_are_there(
    path: Path,
) -> None:
    """Their times by blocks of numbers, and whose their labels are."""

    def fill(draft: Path) -> None:
        config = upgrade._configuration()
        with sqlite.migrator(draft).connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "0003")
            for number in range(1, 1200):
                connection.exec_driver_sql(
                    "INSERT INTO jobs (id, owner, status, program, created_at, spec, containment,"
                    " node) VALUES (?, ?, 'Running', 'p', ?, '{\"program\":\"p\"}', 'basic', '')",
                    (f"j-{number}", f"owner {number % 3}", 1000 - number if number < 9 else number),
                )
            connection.exec_driver_sql("INSERT INTO job_labels VALUES (7, 'k', 'v')")

    sqlite.create(path, fill)
    database = Database.open(path)
    labels = select(job_labels.c.number, job_labels.c.owner)
    in_blocks = select(job_blocks).order_by(job_blocks.c.first)
    assert database.read(lambda connection: connection.execute(labels).all()) == [(7, "owner 1")]
    assert database.read(lambda connection: connection.execute(in_blocks).all()) == [
        (0, 9, 0),
        (512, 512, 999),
        (1024, 1024, 1023),
    ]
    found = await SqlArchive(database).find(JobQuery(owner="owner 1", labels={"k": "v"}))
    assert [job.id for job in found.jobs] == ["j-7"]
    await database.close()


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(4080), os.urandom(8192)])
def test_what_is_no_database_is_refused_and_left(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StateUnusable, match=str(path)):
        Database.open(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("kept", [100, 4096, 20_000])
def test_a_database_cut_short_is_refused_and_left(path: Path, kept: int) -> None:
    made(path)
    content = path.read_bytes()[:kept]
    path.write_bytes(content)
    with pytest.raises(StateUnusable, match=r"malformed|not a database"):
        Database.open(path)
    assert path.read_bytes() == content


def test_a_damaged_page_is_an_error_and_not_a_missing_row(path: Path) -> None:
    made(path)
    with sqlite3.connect(path) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name='accounts'")
        ((root,),) = page.fetchall()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with opened(path) as database, pytest.raises(StorageUnavailable, match="malformed"):
        database.read(owners)


def test_a_database_of_a_newer_version_is_refused_and_left(path: Path) -> None:
    made(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StateUnusable, match=r"newer version of jobd.*9999") as refusal:
        Database.open(path)
    assert refusal.value.hint
    assert path.read_bytes() == content


@pytest.mark.parametrize("table", ["notes", "alembic_version"])
def test_the_database_of_another_program_is_refused_and_left(path: Path, table: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE {table} (version_num TEXT)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StateUnusable, match="not made by jobd"):
        Database.open(path)
    assert path.read_bytes() == content


def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageUnavailable, match="cannot use the database"):
        Database.open(path)


def test_a_log_without_its_database_is_refused(path: Path) -> None:
    """A new database would take the log of the lost one for its own."""
    log = path.with_name("jobd.db-wal")
    log.write_bytes(b"log")
    with pytest.raises(StateUnusable, match="is missing, but its log"):
        Database.open(path)
    assert list(path.parent.iterdir()) == [log]


def test_a_half_made_database_is_never_seen(path: Path) -> None:
    def fail(draft: Path) -> None:
        upgrade.migrate(draft)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sqlite.create(path, fail)
    assert list(path.parent.iterdir()) == []


def test_of_two_who_make_it_at_once_the_first_stays(path: Path) -> None:
    def fill(draft: Path) -> None:
        upgrade.migrate(draft)
        path.write_bytes(b"made meanwhile")

    sqlite.create(path, fill)
    assert path.read_bytes() == b"made meanwhile"
    assert list(path.parent.iterdir()) == [path]


def test_alembic_is_imported_only_where_there_is_something_to_do(path: Path) -> None:
    """It would cost every start 0.1 s and 12 MB."""
    code = (
        "import sys; from pathlib import Path; from jobworker.archive.database import Database;"
        "Database.open(Path(sys.argv[1])); print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path)]
    answers = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2)]
    assert answers == [b"True\n", b"False\n"]


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(StorageUnavailable, match="readonly"):
        database.read(add_alice)
    assert database.read(owners) == []


async def test_a_read_sees_what_was_written_before(database: Database) -> None:
    assert database.read(owners) == []
    await database.write(add_alice)
    assert database.read(owners) == ["alice"]


async def test_lists_are_read_in_another_thread(database: Database) -> None:
    thread = await database.read_async(lambda _: threading.current_thread())
    assert thread is not threading.current_thread()


async def test_many_reads_at_once(database: Database) -> None:
    await database.write(add_alice)
    reads = [asyncio.to_thread(database.read, owners) for _ in range(50)]
    assert await asyncio.gather(*reads) == [["alice"]] * 50


async def test_a_broken_rule_comes_out_as_it_is(database: Database) -> None:
    database.write_now(add_alice)
    with pytest.raises(IntegrityError):
        database.write_now(add_alice)
    with pytest.raises(IntegrityError):
        await database.write(add_alice)


async def test_a_look_up_that_cannot_open_the_file_says_so(database: Database) -> None:
    """Without a descriptor, say; one that has gone well keeps its connection."""
    by_owner = Prepared(select(accounts.c.number).where(accounts.c.owner == bindparam("who")))
    assert database.look_up(by_owner, {"who": "alice"}) is None
    database.path.rename(database.path.with_name("elsewhere"))
    assert database.look_up(by_owner, {"who": "alice"}) is None
    database._idle.pop().close()
    with pytest.raises(StorageUnavailable, match="unable to open database file"):
        database.look_up(by_owner, {"who": "alice"})
    database.path.with_name("elsewhere").rename(database.path)
    assert database.look_up(by_owner, {"who": "alice"}) is None


async def test_a_closed_database_says_so(database: Database) -> None:
    await database.close()
    await database.close()
    with pytest.raises(ServiceUnavailable, match="closed"):
        await database.write(add_alice)


def auto_vacuum(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    return int(mode)


def test_a_database_of_before_learns_to_give_room_back(path: Path) -> None:
    """Once, by the server alone, which has ballast."""
    made(path)
    assert auto_vacuum(path) == 2  # incremental
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    assert auto_vacuum(path) == 0
    with opened(path):
        assert auto_vacuum(path) == 0
    database = Database.open(path, Ballast(path.parent))
    asyncio.run(database.close())
    assert auto_vacuum(path) == 2


async def test_other_writes_are_refused_before_the_disk_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what makes room finds some; and reads go on."""
    database = Database.open(path, Ballast(path.parent))
    least = SIZE // 2
    monkeypatch.setattr(database, "_left", lambda: least - 1)
    with pytest.raises(StorageFull, match="less than 8 MiB would be free"):
        await database.write(lambda _: None)
    await database.write(lambda _: None, ballast=1.0)
    assert database.read(owners) == []
    assert await database.trouble() is None, "a full disk is ready for all that makes room"
    monkeypatch.setattr(database, "_left", lambda: least)
    await database.write(lambda _: None)
    with pytest.raises(StorageFull):
        database.check_room(1)
    await database.close()
