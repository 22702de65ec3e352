"""Remember of a recovered log what it says of messages that are yet to come back."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0012"
down_revision: Final = "0011"
STEP: Final = "pre"

_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "early_receipts",
        sa.Column("log_index", _BIG, autoincrement=False, nullable=False),
        sa.Column("start", _BIG, nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("decided_ms", _BIG, nullable=False),
        sa.Column("exceptions", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log_index", name="pk_early_receipts"),
    )
    op.create_index("ix_early_receipts_start", "early_receipts", ["start"])
    op.create_table(
        "lost_messages",
        sa.Column("message_id", sa.LargeBinary(), autoincrement=False, nullable=False),
        sa.Column("entry_index", _BIG, nullable=False),
        sa.Column("decided_ms", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("message_id", name="pk_lost_messages"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
