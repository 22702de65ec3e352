"""Add the indexes that operators' questions walk: what failed, and what is overdue.

Both hold few rows: a message enters the first when it ends refused or expired, a request the
second while it is open.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"
STEP: Final = "pre"

# States 6 and 7 are refused and expired.
_FAILED: Final = sa.text("state IN (6, 7)")


def upgrade() -> None:
    """Make both indexes."""
    op.create_index(
        "ix_messages_failed",
        "messages",
        ["state", "number"],
        sqlite_where=_FAILED,
        postgresql_where=_FAILED,
    )
    op.create_index("ix_open_requests_overdue", "open_requests", ["due_ms", "number"])


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
