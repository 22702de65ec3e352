"""Run by Alembic; the connection comes from `gateway.storage.schema`, there is no ini file."""

from __future__ import annotations

from alembic import context

from gateway.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
# The caller has begun a transaction and commits it: either every step is made, or none.
context.run_migrations()
