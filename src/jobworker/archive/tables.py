"""The tables, as SQLAlchemy Core sees them.

``migrations`` makes them; a test holds the two to each other. Times are whole
microseconds since 1970 in UTC: exact, and compared alike by every database.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the column's type is exactly INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")


def _of_named(*columns: str) -> Index:
    """An index of the jobs that have a name; the others, which are most, cost it nothing."""
    named = text("name IS NOT NULL")
    return Index(None, *columns, sqlite_where=named, postgresql_where=named)


jobs = Table(
    "jobs",
    metadata,
    Column("number", Number, primary_key=True, comment="order of acceptance; base of cursors"),
    Column("id", String(38), nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column(
        "status", String(16), nullable=False, comment="Queued, Admitted or Running until it ends"
    ),
    Column("cause", String(16)),
    Column("program", String, nullable=False, comment="for filters; the truth is in spec"),
    Column("name", String, comment="for filters; the truth is in spec"),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger, comment="null as long as the job is not finished"),
    Column("exit_code", Integer),
    Column("spec", Text, nullable=False, comment="JSON: what was asked for"),
    Column("terms", Text, comment="JSON: what was granted; null in rows older than it"),
    Column("end", Text, comment="JSON; null as long as the job is not finished"),
    Column("containment", String(16), nullable=False),
    Column("node", String, nullable=False),
    # Each begins with what a list may ask for, and has the numbers in order after it.
    Index(None, "owner", "number"),
    Index(None, "status", "number"),
    Index(None, "owner", "status", "number"),
    Index(None, "program", "number"),
    Index(None, "owner", "program", "number"),
    _of_named("name", "number"),
    _of_named("owner", "name", "number"),
)

job_blocks = Table(
    "job_blocks",
    metadata,
    Column("first", Number, primary_key=True, autoincrement=False, comment="a multiple of SIZE"),
    Column("earliest", BigInteger, nullable=False, comment="created_at in the block, or before"),
    Column("latest_before", BigInteger, nullable=False, comment="created_at in all before it"),
)

job_labels = Table(
    "job_labels",
    metadata,
    Column("number", Number, ForeignKey(jobs.c.number, ondelete="CASCADE"), primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
    Column("owner", String, nullable=False, server_default="", comment="the job's, for its index"),
    Index(None, "key", "value", "number"),
    Index(None, "owner", "key", "value", "number"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", String, primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, comment="SHA-256 of the request"),
    # No foreign key: a key outlives the record of its job, so that no retry runs it again.
    Column("job", String(38), nullable=False, unique=True),
    Column("acknowledged", Boolean, nullable=False, comment="whether the job had to queue"),
)

output_chunks = Table(
    "output_chunks",
    metadata,
    Column("number", Number, ForeignKey(jobs.c.number, ondelete="CASCADE"), primary_key=True),
    Column("stream", Integer, primary_key=True, comment="model.Stream"),
    Column("offset", BigInteger, primary_key=True, comment="offset of the first byte"),
    Column("data", LargeBinary, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("owner", String, primary_key=True),
    Column("number", Integer, nullable=False, unique=True, comment="never used for another"),
)

users = Table(
    "users",
    metadata,
    Column("name", String, primary_key=True),
    Column("role", String(16), nullable=False, comment="model.Role"),
    Column("created_at", BigInteger, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True, comment="names the token; is no secret"),
    Column("user", String, ForeignKey(users.c.name, ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, comment="coarse"),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Index(None, "user"),
)
