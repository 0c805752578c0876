"""Alembic's script for every migration, on the connection that ``upgrade`` hands over."""

from alembic import context

from jobworker.archive.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes most of a table only by making it anew.
    render_as_batch=True,
)
context.run_migrations()
