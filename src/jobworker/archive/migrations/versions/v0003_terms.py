"""The terms granted to a job, beside its spec."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the column; in older rows it stays null, and the spec has both."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("terms", sa.Text()))
