"""Add what erasure needs: when content ends, what was erased, what is held.

Messages that were stored before have no date of their own: their retention was not computed
then, and an operator erases them by order.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"

_BYTES: Final = sa.LargeBinary()
_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns, tables and indexes."""
    op.add_column("messages", sa.Column("was", sa.SmallInteger(), nullable=True))
    op.add_column("messages", sa.Column("erase_ms", _BIG, nullable=True))
    op.add_column("messages", sa.Column("ground", sa.SmallInteger(), nullable=True))
    op.add_column("messages", sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "erasures",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("audit_index", _BIG, nullable=False),
        sa.Column("unanswered", sa.Boolean(), nullable=False),
        sa.Column("due", sa.Boolean(), nullable=False),
        sa.Column("log_index", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_erasures"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_erasures_number"),
    )
    op.create_table(
        "endings",
        sa.Column("target", _BYTES, autoincrement=False, nullable=False),
        sa.Column("by_id", _BYTES, autoincrement=False, nullable=False),
        sa.Column("erase_ms", _BIG, nullable=False),
        sa.Column("ground", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "by_id", name="pk_endings"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "holds",
        sa.Column("subject", _BYTES, autoincrement=False, nullable=False),
        sa.Column("conversation", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "conversation", name="pk_holds"),
        sqlite_with_rowid=False,
    )
    kept = sa.and_(sa.column("erase_ms").is_not(None), sa.column("held").is_(False))
    op.create_index("ix_messages_erasing", "messages", ["erase_ms", "number"], **_where(kept))
    op.create_index("ix_messages_held", "messages", ["number"], **_where(sa.column("held").is_(True)))
    op.create_index("ix_erasures_due", "erasures", ["number"], **_where(sa.column("due").is_(True)))
    op.create_index(
        "ix_erasures_unanswered", "erasures", ["number"], **_where(sa.column("unanswered").is_(True))
    )
    op.create_index("ix_idempotency_message", "idempotency", ["message_id"])


def downgrade() -> None:
    """Refuse: what a node has erased does not come back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)


def _where(clause: Any) -> dict[str, Any]:
    return {"sqlite_where": clause, "postgresql_where": clause}
