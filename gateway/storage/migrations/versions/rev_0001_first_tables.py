"""Make every table of version 0001.

A migration never changes once it was released, so it names tables and columns itself and
imports none of today's descriptions.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from gateway.storage.engine import guards_0001

revision: Final = "0001"
down_revision: Final = None

_BYTES: Final = sa.LargeBinary()
_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_STATES: Final = range(1, 10)


def upgrade() -> None:
    """Make tables, indexes and triggers; fill the rows that are always there."""
    _create_tables()
    _create_indexes()
    for statement in guards_0001(op.get_bind().dialect.name):
        op.execute(statement)
    op.execute("INSERT INTO lease (id, epoch) VALUES (1, 0)")
    for state in _STATES:
        op.execute(sa.text("INSERT INTO counts (state, messages) VALUES (:state, 0)").bindparams(state=state))


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)


def _where(condition: str) -> dict[str, Any]:
    """Return a partial index's condition; the truth is spelled differently in the two dialects."""
    name, _, value = condition.partition(" IS ")
    if value in {"true", "false"}:
        clause: Any = sa.column(name).is_(value == "true")
    else:
        clause = sa.text(condition)
    return {"sqlite_where": clause, "postgresql_where": clause}


def _create_tables() -> None:
    op.create_table(
        "logs",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("root", _BYTES, nullable=False),
        sa.Column("edge", _BYTES, nullable=False),
        sa.Column("epoch", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_logs"),
    )
    op.create_table(
        "entries",
        sa.Column("log_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("leaf_index", _BIG, autoincrement=False, nullable=False),
        sa.Column("entry", _BYTES, nullable=False),
        sa.PrimaryKeyConstraint("log_id", "leaf_index", name="pk_entries"),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_entries_log_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tile_hashes",
        sa.Column("log_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subtree_index", _BIG, autoincrement=False, nullable=False),
        sa.Column("hash", _BYTES, nullable=False),
        sa.PrimaryKeyConstraint("log_id", "level", "subtree_index", name="pk_tile_hashes"),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_tile_hashes_log_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "notes",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("log_id", sa.Integer(), nullable=False),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("root", _BYTES, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("cosigned", sa.Boolean(), nullable=False),
        sa.Column("hourly", sa.Boolean(), nullable=False),
        sa.Column("note", _BYTES, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_notes"),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_notes_log_id"),
    )
    op.create_table(
        "controls",
        sa.Column("log_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("leaf_index", _BIG, autoincrement=False, nullable=False),
        sa.Column("entry", _BYTES, nullable=False),
        sa.PrimaryKeyConstraint("log_id", "kind", "leaf_index", name="pk_controls"),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_controls_log_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "messages",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("outgoing", sa.Boolean(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("message_id", _BYTES, nullable=False),
        sa.Column("header", _BYTES, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("from_agency", sa.Text(), nullable=False),
        sa.Column("to_agencies", sa.Text(), nullable=False),
        sa.Column("conversation_id", _BYTES, nullable=False),
        sa.Column("seq", _BIG, nullable=False),
        sa.Column("in_reply_to", _BYTES, nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("reply_by_ms", _BIG, nullable=True),
        sa.Column("closes", sa.Boolean(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("created_ms", _BIG, nullable=False),
        sa.Column("expires_ms", _BIG, nullable=False),
        sa.Column("arrived_ms", _BIG, nullable=False),
        sa.Column("log_index", _BIG, nullable=True),
        sa.Column("audit_index", _BIG, nullable=True),
        sa.Column("sendings", sa.SmallInteger(), nullable=False),
        sa.Column("sent_ms", _BIG, nullable=True),
        sa.Column("delivered_ms", _BIG, nullable=True),
        sa.Column("decided_ms", _BIG, nullable=True),
        sa.Column("receipt_index", _BIG, nullable=True),
        sa.Column("exception", sa.SmallInteger(), nullable=True),
        sa.Column("rule", sa.Integer(), nullable=True),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_messages"),
    )
    op.create_table(
        "contents",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("ciphertext", _BYTES, nullable=False),
        sa.Column("wrapped_key", _BYTES, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_contents"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_contents_number"),
    )
    op.create_table(
        "sent_entries",
        sa.Column("log_index", _BIG, autoincrement=False, nullable=False),
        sa.Column("number", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("log_index", name="pk_sent_entries"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_sent_entries_number"),
    )
    op.create_table(
        "addressees",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("collected_ms", _BIG, nullable=True),
        sa.Column("log_index", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("number", "position", name="pk_addressees"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_addressees_number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbox",
        sa.Column("agency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("entry_index", _BIG, nullable=False),
        sa.Column("collected_ms", _BIG, nullable=True),
        sa.Column("logged_index", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("agency", "number", name="pk_inbox"),
        sa.ForeignKeyConstraint(["number"], ["messages.number"], name="fk_inbox_number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "early_collections",
        sa.Column("entry_index", _BIG, autoincrement=False, nullable=False),
        sa.Column("agency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("log_index", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("entry_index", "agency", name="pk_early_collections"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "bundles",
        sa.Column("start", _BIG, autoincrement=False, nullable=False),
        sa.Column("stop", _BIG, nullable=False),
        sa.Column("root", _BYTES, nullable=False),
        sa.Column("box", _BYTES, nullable=True),
        sa.Column("note", _BYTES, nullable=True),
        sa.Column("sequenced_ms", _BIG, nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("start", name="pk_bundles"),
    )
    op.create_table(
        "receipts",
        sa.Column("start", _BIG, autoincrement=False, nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("root", _BYTES, nullable=False),
        sa.Column("decided_ms", _BIG, nullable=False),
        sa.Column("exceptions", _BYTES, nullable=False),
        sa.Column("log_index", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("start", name="pk_receipts"),
    )
    op.create_table(
        "voids",
        sa.Column("conversation_id", _BYTES, autoincrement=False, nullable=False),
        sa.Column("agency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("seq", _BIG, autoincrement=False, nullable=False),
        sa.Column("due", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "agency", "seq", name="pk_voids"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "refusals",
        sa.Column("message_id", _BYTES, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_refusals"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counts",
        sa.Column("state", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("messages", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("state", name="pk_counts"),
    )
    op.create_table(
        "idempotency",
        sa.Column("agency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("body_digest", _BYTES, nullable=False),
        sa.Column("message_id", _BYTES, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("agency", "key", name="pk_idempotency"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incidents",
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("root", _BYTES, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("note_a", _BYTES, nullable=True),
        sa.Column("note_b", _BYTES, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_incidents"),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_settings"),
    )
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lease"),
    )


def _create_indexes() -> None:
    op.create_index("ix_logs_origin", "logs", ["origin"], unique=True)
    op.create_index(
        "ix_notes_whole", "notes", ["log_id", "cosigned", "size", "number"], **_where("note IS NOT NULL")
    )
    op.create_index(
        "ix_messages_answers", "messages", ["in_reply_to", "number"], **_where("in_reply_to IS NOT NULL")
    )
    op.create_index("ix_messages_conversation", "messages", ["conversation_id", "from_agency", "seq"])
    op.create_index("ix_messages_expiring", "messages", ["expires_ms"], **_where("state = 1"))
    op.create_index("ix_messages_in_flight", "messages", ["log_index"], **_where("state = 2"))
    op.create_index("ix_messages_message_id", "messages", ["message_id"], unique=True)
    op.create_index("ix_messages_posted", "messages", ["from_agency", "number"], **_where("outgoing IS true"))
    op.create_index("ix_messages_waiting", "messages", ["rank", "number"], **_where("state = 1"))
    op.create_index(
        "ix_inbox_collected", "inbox", ["agency", "rank", "number"], **_where("collected_ms IS NOT NULL")
    )
    op.create_index(
        "ix_inbox_due",
        "inbox",
        ["entry_index", "agency"],
        **_where("collected_ms IS NOT NULL AND logged_index IS NULL"),
    )
    op.create_index("ix_inbox_entry", "inbox", ["entry_index", "agency"])
    op.create_index("ix_inbox_open", "inbox", ["agency", "rank", "number"], **_where("collected_ms IS NULL"))
    op.create_index("ix_bundles_open", "bundles", ["stop"], **_where("delivered IS false"))
    op.create_index("ix_bundles_stop", "bundles", ["stop"], unique=True)
    op.create_index("ix_receipts_due", "receipts", ["start"], **_where("log_index IS NULL"))
    op.create_index("ix_voids_due", "voids", ["due"], **_where("due IS true"))
