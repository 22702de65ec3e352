"""Let what an entry of the peer declares void be one row, whatever it names.

Rows that were stored before, one a number, stay as they are: they say the same.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0013"
down_revision: Final = "0012"
STEP: Final = "pre"


def upgrade() -> None:
    """Add the column."""
    op.add_column("voids", sa.Column("others", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
