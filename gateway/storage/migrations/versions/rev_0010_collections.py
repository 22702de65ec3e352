"""Give an addressee of an outgoing message its row when it has the message, and not before.

Who the addressees are stands with the message.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0010"
down_revision: Final = "0009"
STEP: Final = "post"

_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table, and keep of the old one what says something."""
    op.create_table(
        "collections",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("agency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("collected_ms", _BIG, nullable=False),
        sa.Column("log_index", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("number", "agency", name="pk_collections"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_collections_number"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO collections (number, agency, collected_ms, log_index)"
        " SELECT number, agency, collected_ms, log_index FROM addressees WHERE collected_ms IS NOT NULL"
    )
    op.drop_table("addressees")


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
