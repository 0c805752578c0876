"""What was granted to a job, beside what was asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; in older rows it stays null, and the spec has both."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("terms", sa.Text()))
