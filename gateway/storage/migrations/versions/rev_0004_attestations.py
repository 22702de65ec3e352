"""Add what third parties say of checkpoints: time stamps and cosignatures of witnesses."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
STEP: Final = "pre"

_BYTES: Final = sa.LargeBinary()
_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "attestations",
        sa.Column("origin", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("size", _BIG, autoincrement=False, nullable=False),
        sa.Column("root", _BYTES, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("evidence", _BYTES, nullable=False),
        sa.PrimaryKeyConstraint("origin", "kind", "name", "size", name="pk_attestations"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
