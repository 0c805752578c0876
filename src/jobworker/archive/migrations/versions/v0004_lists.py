"""Indexes that keep a list of jobs as quick as it was, however many jobs there are."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_BLOCK = 512
"""Jobs in a block, as in ``archive.blocks``."""


def upgrade() -> None:
    """Makes the indexes, and the blocks of the jobs that are there."""
    op.create_index("ix_jobs_owner_status_number", "jobs", ["owner", "status", "number"])
    op.create_index("ix_jobs_program_number", "jobs", ["program", "number"])
    op.create_index("ix_jobs_owner_program_number", "jobs", ["owner", "program", "number"])
    named = sa.text("name IS NOT NULL")
    for columns in (["name", "number"], ["owner", "name", "number"]):
        op.create_index(
            f"ix_jobs_{'_'.join(columns)}",
            "jobs",
            columns,
            sqlite_where=named,
            postgresql_where=named,
        )
    _owners_of_labels()
    _blocks()


def _owners_of_labels() -> None:
    op.add_column("job_labels", sa.Column("owner", sa.String(), nullable=False, server_default=""))
    jobs = sa.table("jobs", sa.column("number"), sa.column("owner"))
    labels = sa.table("job_labels", sa.column("number"), sa.column("owner"))
    owner = sa.select(jobs.c.owner).where(jobs.c.number == labels.c.number).scalar_subquery()
    op.execute(labels.update().values(owner=owner))
    op.create_index(
        "ix_job_labels_owner_key_value_number", "job_labels", ["owner", "key", "value", "number"]
    )


def _blocks() -> None:
    blocks = op.create_table(
        "job_blocks",
        sa.Column("first", _NUMBER, nullable=False),
        sa.Column("earliest", sa.BigInteger(), nullable=False),
        sa.Column("latest_before", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("first", name="pk_job_blocks"),
    )
    jobs = sa.table("jobs", sa.column("number"), sa.column("created_at"))
    first = jobs.c.number - jobs.c.number % _BLOCK
    spans = (
        sa.select(
            first.label("first"),
            sa.func.min(jobs.c.created_at).label("earliest"),
            sa.func.max(jobs.c.created_at).label("latest"),
        )
        .group_by(first)
        .subquery()
    )
    latest_before = sa.func.max(spans.c.latest).over(order_by=spans.c.first, rows=(None, -1))
    filled = sa.select(spans.c.first, spans.c.earliest, sa.func.coalesce(latest_before, 0))
    op.execute(blocks.insert().from_select(["first", "earliest", "latest_before"], filled))
