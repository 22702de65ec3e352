"""Keep the entries of a log in runs, as they were appended together, and packed.

Every entry is moved, byte by byte as it is. The triggers that guard the old table go with it,
and the new one gets the same. Programs of older versions do not find the entries any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa
from alembic import op

from gateway.errors import StoreError
from gateway.storage.engine import append_only_guards
from gateway.storage.runs import MAX_RUN_ENTRIES, cut_runs, pack

revision: Final = "0006"
down_revision: Final = "0005"
STEP: Final = "post"

_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_entries: Final = sa.table("entries", sa.column("log_id"), sa.column("leaf_index"), sa.column("entry"))
_logs: Final = sa.table("logs", sa.column("id"))


def upgrade() -> None:
    """Make the new table, fill it and drop the old one."""
    runs = op.create_table(
        "runs",
        sa.Column("log_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", _BIG, autoincrement=False, nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log_id", "start", name="pk_runs"),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_runs_log_id"),
    )
    connection = op.get_bind()
    for log in connection.scalars(sa.select(_logs.c.id).order_by(_logs.c.id)).all():
        for first, entries in _pieces(connection, log):
            rows = [
                {"log_id": log, "start": start, "entries": len(run), "packed": pack(run)}
                for start, run in cut_runs(first, entries)
            ]
            connection.execute(sa.insert(runs), rows)
    for statement in append_only_guards(connection.dialect.name, "runs"):
        op.execute(statement)
    op.drop_table("entries")


def _pieces(connection: sa.Connection, log: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the entries of a log, a few at a time: the index of the first, and those that follow it.

    Where one is missing, because somebody has changed the database, it goes on missing: the
    first look at the log finds it.
    """
    after = -1
    while rows := connection.execute(
        sa.select(_entries.c.leaf_index, _entries.c.entry)
        .where(_entries.c.log_id == log, _entries.c.leaf_index > after)
        .order_by(_entries.c.leaf_index)
        .limit(MAX_RUN_ENTRIES)
    ).all():
        piece: list[bytes] = []
        for index, entry in rows:
            if not isinstance(entry, bytes):
                msg = "an entry of the old tables is not bytes: restore a backup"
                raise StoreError(msg)
            if piece and index != after + 1:
                yield after + 1 - len(piece), piece
                piece = []
            piece.append(entry)
            after = index
        yield after + 1 - len(piece), piece


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
