"""Add what messages do to earlier ones, and the requests that are open.

What older messages did stands in their contents, which a migration does not open: they
have no effects, and of their requests those are open that nothing has closed.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"

_BYTES: Final = sa.LargeBinary()
_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Outgoing requests belong to their sender, incoming ones to each addressee. States 6, 7 and
# 8 are refused, expired and withdrawn.
_OPEN: Final = """
INSERT INTO open_requests (number, agency, due_ms, conversation_id)
SELECT m.number, {agency}, m.reply_by_ms, m.conversation_id FROM messages m {more}
WHERE m.outgoing IS {outgoing} AND m.reply_by_ms IS NOT NULL AND m.state NOT IN (6, 7, 8)
AND NOT EXISTS (SELECT 1 FROM messages r WHERE r.in_reply_to = m.message_id AND r.closes IS true
AND r.state NOT IN (6, 7, 8))
"""


def upgrade() -> None:
    """Make both tables and fill the second."""
    op.create_table(
        "effects",
        sa.Column("subject", _BYTES, autoincrement=False, nullable=False),
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("effect", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("subject", "number", "effect", name="pk_effects"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_effects_number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "open_requests",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("agency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("due_ms", _BIG, nullable=False),
        sa.Column("conversation_id", _BYTES, nullable=False),
        sa.PrimaryKeyConstraint("number", "agency", name="pk_open_requests"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_open_requests_number"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_open_requests_due", "open_requests", ["agency", "due_ms", "number"])
    op.execute(_OPEN.format(agency="m.from_agency", more="", outgoing="true"))
    op.execute(_OPEN.format(agency="i.agency", more="JOIN inbox i ON i.number = m.number", outgoing="false"))


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
