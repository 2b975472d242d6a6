"""Run by Alembic: migrate on the connection, and inside the transaction, that `upgrade` brings along."""

from alembic import context

from imframework_plugins.storage.sql.migrations import VERSION_TABLE
from imframework_plugins.storage.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
