"""The first tables: jobs with labels and output, accounts, users and tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    _jobs()
    _job_labels()
    _output_chunks()
    _accounts()
    _users()
    _tokens()


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.String(38), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(16)),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("name", sa.String()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("end", sa.Text()),
        sa.Column("containment", sa.String(16), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )
    op.create_index("ix_jobs_owner_number", "jobs", ["owner", "number"])
    op.create_index("ix_jobs_status_number", "jobs", ["status", "number"])


def _job_labels() -> None:
    op.create_table(
        "job_labels",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", "key", name="pk_job_labels"),
        sa.ForeignKeyConstraint(
            ["number"], ["jobs.number"], name="fk_job_labels_number", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_job_labels_key_value_number", "job_labels", ["key", "value", "number"])


def _output_chunks() -> None:
    op.create_table(
        "output_chunks",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", "stream", "offset", name="pk_output_chunks"),
        sa.ForeignKeyConstraint(
            ["number"], ["jobs.number"], name="fk_output_chunks_number", ondelete="CASCADE"
        ),
    )


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.UniqueConstraint("number", name="uq_accounts_number"),
    )


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["user"], ["users.name"], name="fk_tokens_user", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_index("ix_tokens_user", "tokens", ["user"])
