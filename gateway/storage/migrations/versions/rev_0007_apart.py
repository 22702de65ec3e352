"""Let what is soon forgotten stand apart from what stays, and open requests in one index.

Bytes of notes, and box and note of bundles on their way, leave tables whose rows stay: in those,
the place that they left was never filled again. Open requests are found by agency and deadline
alone; the rest is in their messages.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from gateway.storage.engine import notes_guards_0007

revision: Final = "0007"
down_revision: Final = "0006"
STEP: Final = "post"

_BYTES: Final = sa.LargeBinary()
_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Move the bytes, then take the columns away; make the table of open requests anew."""
    _part_notes()
    _part_bundles()
    _narrow_requests()


def _part_notes() -> None:
    before, after = notes_guards_0007(op.get_bind().dialect.name)
    op.create_table(
        "whole_notes",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("log_id", sa.Integer(), nullable=False),
        sa.Column("cosigned", sa.Boolean(), nullable=False),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("note", _BYTES, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_whole_notes"),
        sa.ForeignKeyConstraint(["number"], ["notes.number"], name="fk_whole_notes_number"),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_whole_notes_log_id"),
    )
    op.execute(
        "INSERT INTO whole_notes (number, log_id, cosigned, size, note)"
        " SELECT number, log_id, cosigned, size, note FROM notes WHERE note IS NOT NULL"
    )
    op.create_index("ix_whole_notes", "whole_notes", ["log_id", "cosigned", "size", "number"])
    for statement in before:
        op.execute(statement)
    op.drop_index("ix_notes_whole", "notes")
    op.drop_column("notes", "note")
    for statement in after:
        op.execute(statement)


def _part_bundles() -> None:
    op.create_table(
        "shipments",
        sa.Column("start", _BIG, autoincrement=False, nullable=False),
        sa.Column("box", _BYTES, nullable=True),
        sa.Column("note", _BYTES, nullable=True),
        sa.PrimaryKeyConstraint("start", name="pk_shipments"),
        sa.ForeignKeyConstraint(["start"], ["bundles.start"], name="fk_shipments_start"),
    )
    op.execute(
        "INSERT INTO shipments (start, box, note)"
        " SELECT start, box, note FROM bundles WHERE delivered IS false"
    )
    op.drop_index("ix_bundles_open", "bundles")
    for column in ("box", "note", "delivered"):
        op.drop_column("bundles", column)


def _narrow_requests() -> None:
    op.execute("CREATE TABLE requests_before AS SELECT agency, due_ms, number FROM open_requests")
    op.drop_table("open_requests")
    op.create_table(
        "open_requests",
        sa.Column("agency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("due_ms", _BIG, autoincrement=False, nullable=False),
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("agency", "due_ms", "number", name="pk_open_requests"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_open_requests_number"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO open_requests (agency, due_ms, number)"
        " SELECT agency, due_ms, number FROM requests_before"
    )
    op.drop_table("requests_before")


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
