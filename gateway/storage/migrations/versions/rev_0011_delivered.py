"""Find messages that are delivered and wait for their receipt by their place in the log."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0011"
down_revision: Final = "0010"
STEP: Final = "pre"


def upgrade() -> None:
    """Add the index."""
    delivered = sa.text("state = 3")
    op.create_index(
        "ix_messages_delivered",
        "messages",
        ["log_index"],
        sqlite_where=delivered,
        postgresql_where=delivered,
    )


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
