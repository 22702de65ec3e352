"""The tables, described once for SQLite and PostgreSQL.

Three families:

- **Logs**: `logs` (one row a log, the only one that moves), `runs` and `tile_hashes`
  (append-only, guarded by triggers), `notes` and `whole_notes`, `controls`.
- **Messages**: `messages` (one row a message, in either direction, without its content),
  `frames` (what the headers of many messages say alike),
  `contents` (ciphertext and wrapped key, so that erasing is one delete and the rows that
  are searched stay small), `sent_entries` (which entry of the own log is which message),
  `collections` (of outgoing messages), `inbox` (addressees of incoming ones), `effects` (what
  messages did to earlier ones), `open_requests` (of each agency), `bundles`, `shipments` (what is
  on its way), `receipts`, `voids`, `refusals`, `counts`.
- **Erasure**: `erasures` (one row a message whose content is gone), `endings` (what a
  message or an operator orders about the content of another message), `holds` (what may
  not be erased). When content ends stands in `messages`: a row of `contents` is written
  once and deleted once, so that no second copy of it stays behind in the file.
- **Facts**: `idempotency`, `incidents`, `attestations` (what third parties say of checkpoints),
  `settings`, `lease`.

Every search that runs while messages flow has an index that holds only the rows it can
find: the waiting ones, those in flight, those not collected yet. They stay small however
long the history grows.

These descriptions serve statements; the tables themselves are made by `migrations`, and a
test proves that both say the same.

Spec: docs/storage.md, "Tables".
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from gateway.core.states import State

SCHEMA_REVISION: Final = "0013"
"""Newest migration; a database of another one is migrated or refused."""


class Bytes(sa.LargeBinary):
    """Bytes that go to the driver and come back as they are."""

    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> None:
        """Return None: both drivers take ``bytes``."""

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """Return None: both drivers give ``bytes``."""


Big: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64 bits in both; SQLite's row id has to be spelled INTEGER."""


def state_is(column: sa.ColumnElement[Any], *states: State) -> sa.ColumnElement[bool]:
    """Return a condition with the numbers spelled out, so that partial indexes are found."""
    numbers: list[sa.ColumnElement[Any]] = [sa.literal_column(str(int(state))) for state in states]
    return column == numbers[0] if len(numbers) == 1 else column.in_(numbers)


metadata: Final = sa.MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"}
)


def _column(name: str, kind: Any, *more: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=null)


def _key(name: str, kind: Any, *more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, primary_key=True, autoincrement=False, nullable=False)


def _log() -> sa.Column[Any]:
    return _key("log_id", sa.Integer(), sa.ForeignKey("logs.id"))


def _partial(name: str, *columns: Any, where: sa.ColumnElement[bool]) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


# --- logs ----------------------------------------------------------------------------

logs: Final = sa.Table(
    "logs",
    metadata,
    _key("id", sa.Integer()),
    _column("origin", sa.Text()),
    _column("kind", sa.Text()),
    _column("size", Big),
    _column("root", Bytes()),
    _column("edge", Bytes()),
    _column("epoch", Big),
    sa.Index("ix_logs_origin", "origin", unique=True),
)

runs: Final = sa.Table(
    "runs",
    metadata,
    # Entries that were appended together; `gateway.storage.runs` packs and unpacks them. With a row id
    # of its own: long rows fill the pages of such a table better, and the logs grow at one place.
    _log(),
    # Leaf index of the first entry, and how many there are.
    _key("start", Big),
    _column("entries", sa.Integer()),
    _column("packed", Bytes()),
)

tile_hashes: Final = sa.Table(
    "tile_hashes",
    metadata,
    _log(),
    _key("level", sa.Integer()),
    _key("subtree_index", Big),
    _column("hash", Bytes()),
    sqlite_with_rowid=False,
)

notes: Final = sa.Table(
    "notes",
    metadata,
    _key("number", Big),
    _column("log_id", sa.Integer(), sa.ForeignKey("logs.id")),
    _column("size", Big),
    _column("root", Bytes()),
    _column("at_ms", Big),
    _column("cosigned", sa.Boolean()),
    # True for the one note an hour that stays whole for ever.
    _column("hourly", sa.Boolean()),
)

whole_notes: Final = sa.Table(
    "whole_notes",
    metadata,
    # Bytes of the notes that are kept whole. Apart, because most are soon forgotten: rows of another
    # table do not fill the place that they leave, and notes of this one do.
    _key("number", Big, sa.ForeignKey("notes.number")),
    _column("log_id", sa.Integer(), sa.ForeignKey("logs.id")),
    _column("cosigned", sa.Boolean()),
    _column("size", Big),
    _column("note", Bytes()),
    sa.Index("ix_whole_notes", "log_id", "cosigned", "size", "number"),
)

controls: Final = sa.Table(
    "controls",
    metadata,
    _log(),
    _key("kind", sa.Integer()),
    _key("leaf_index", Big),
    _column("entry", Bytes()),
    sqlite_with_rowid=False,
)

# --- messages ------------------------------------------------------------------------

frames: Final = sa.Table(
    "frames",
    metadata,
    # What the headers of many messages say alike (`gateway.storage.frames`).
    _key("id", sa.Integer()),
    _column("frame", Bytes()),
    sa.Index("ix_frames_frame", "frame", unique=True),
)

messages: Final = sa.Table(
    "messages",
    metadata,
    # Given out by the writer, in order of arrival, both directions together.
    _key("number", Big),
    _column("outgoing", sa.Boolean()),
    _column("state", sa.SmallInteger()),
    _column("message_id", Bytes()),
    # Empty where the header follows from the frame and the row.
    _column("header", Bytes()),
    _column("type", sa.Text()),
    _column("from_agency", sa.Text()),
    # Codes with a space between; `inbox` holds them one by one.
    _column("to_agencies", sa.Text()),
    _column("conversation_id", Bytes()),
    _column("seq", Big),
    _column("in_reply_to", Bytes(), null=True),
    _column("purpose", sa.Text()),
    _column("reply_by_ms", Big, null=True),
    _column("closes", sa.Boolean()),
    _column("rank", sa.SmallInteger()),
    _column("created_ms", Big),
    _column("expires_ms", Big),
    _column("arrived_ms", Big),
    _column("log_index", Big, null=True),
    _column("audit_index", Big, null=True),
    _column("sendings", sa.SmallInteger()),
    _column("sent_ms", Big, null=True),
    _column("delivered_ms", Big, null=True),
    _column("decided_ms", Big, null=True),
    _column("receipt_index", Big, null=True),
    _column("exception", sa.SmallInteger(), null=True),
    _column("rule", sa.Integer(), null=True),
    _column("flags", sa.Text()),
    # State in which the content was erased; its conversation goes on as if it were still in it.
    _column("was", sa.SmallInteger(), null=True),
    # When the content has to go, and why; the time is NULL once it is gone.
    _column("erase_ms", Big, null=True),
    _column("ground", sa.SmallInteger(), null=True),
    # True while a legal hold names the message or its conversation.
    sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.false()),
    # Id of a frame. No foreign key: SQLite adds none to a table that is there.
    _column("frame", sa.Integer(), null=True),
    sa.Index("ix_messages_message_id", "message_id", unique=True),
    sa.Index("ix_messages_conversation", "conversation_id", "from_agency", "seq"),
)
_ACCEPTED: Final = state_is(messages.c.state, State.ACCEPTED)
_partial("ix_messages_waiting", messages.c.rank, messages.c.number, where=_ACCEPTED)
_partial("ix_messages_expiring", messages.c.expires_ms, where=_ACCEPTED)
_partial("ix_messages_in_flight", messages.c.log_index, where=state_is(messages.c.state, State.SENT))
_partial("ix_messages_delivered", messages.c.log_index, where=state_is(messages.c.state, State.DELIVERED))
FAILED: Final = state_is(messages.c.state, State.REFUSED, State.EXPIRED)
"""Ended without having been received, by nobody's wish."""
_partial("ix_messages_failed", messages.c.state, messages.c.number, where=FAILED)
_partial(
    "ix_messages_posted",
    messages.c.from_agency,
    messages.c.number,
    where=messages.c.outgoing.is_(True),
)
_partial(
    "ix_messages_answers",
    messages.c.in_reply_to,
    messages.c.number,
    where=messages.c.in_reply_to.is_not(None),
)
KEPT: Final = sa.and_(messages.c.erase_ms.is_not(None), messages.c.held.is_(False))
"""Content that is there and may go when its time comes."""
_partial("ix_messages_erasing", messages.c.erase_ms, messages.c.number, where=KEPT)
_partial("ix_messages_held", messages.c.number, where=messages.c.held.is_(True))


def _message() -> sa.ForeignKey:
    return sa.ForeignKey("messages.number")


contents: Final = sa.Table(
    "contents",
    metadata,
    _key("number", Big, _message()),
    _column("ciphertext", Bytes()),
    _column("wrapped_key", Bytes()),
    # The beginning of the digest of the body that the agency posted, where the message id is what a
    # repeat is known by.
    _column("post_digest", Bytes(), null=True),
)

sent_entries: Final = sa.Table(
    "sent_entries",
    metadata,
    _key("log_index", Big),
    # A message that is sent again has several entries; messages.log_index is the newest.
    # NULL: the entry was recovered from the peer, and the message is not in this database.
    _column("number", Big, _message(), null=True),
)

collections: Final = sa.Table(
    "collections",
    metadata,
    # An addressee of an outgoing message has no row before the peer's log says that it has the message.
    _key("number", Big, _message()),
    _key("agency", sa.Text()),
    _column("collected_ms", Big),
    # Index of the entry that says so, in the mirror.
    _column("log_index", Big),
    sqlite_with_rowid=False,
)

inbox: Final = sa.Table(
    "inbox",
    metadata,
    _key("agency", sa.Text()),
    _key("number", Big, _message()),
    _column("rank", sa.SmallInteger()),
    # Index of the message's entry in the mirror; collections name it.
    _column("entry_index", Big),
    _column("collected_ms", Big, null=True),
    _column("logged_index", Big, null=True),
    sqlite_with_rowid=False,
)
_partial(
    "ix_inbox_open",
    inbox.c.agency,
    inbox.c.rank,
    inbox.c.number,
    where=inbox.c.collected_ms.is_(None),
)
_partial(
    "ix_inbox_collected",
    inbox.c.agency,
    inbox.c.rank,
    inbox.c.number,
    where=inbox.c.collected_ms.is_not(None),
)
COLLECTION_DUE: Final = sa.and_(inbox.c.collected_ms.is_not(None), inbox.c.logged_index.is_(None))
_partial("ix_inbox_due", inbox.c.entry_index, inbox.c.agency, where=COLLECTION_DUE)
sa.Index("ix_inbox_entry", inbox.c.entry_index, inbox.c.agency)

effects: Final = sa.Table(
    "effects",
    metadata,
    # Id of the message, or of the room, that something was done to. It may not be here yet.
    _key("subject", Bytes()),
    # The message that did it.
    _key("number", Big, _message()),
    _key("effect", sa.SmallInteger()),
    _column("at_ms", Big, null=True),
    sqlite_with_rowid=False,
)

open_requests: Final = sa.Table(
    "open_requests",
    metadata,
    # Gone once the request is closed, so it stays small however long the history grows.
    _key("agency", sa.Text()),
    _key("due_ms", Big),
    _key("number", Big, _message()),
    sqlite_with_rowid=False,
)

early_collections: Final = sa.Table(
    "early_collections",
    metadata,
    # Collections that a recovered log holds of messages that are yet to be mirrored again.
    _key("entry_index", Big),
    _key("agency", sa.Text()),
    _column("at_ms", Big),
    _column("log_index", Big),
    sqlite_with_rowid=False,
)

early_receipts: Final = sa.Table(
    "early_receipts",
    metadata,
    # Receipts that a recovered log holds of entries that are yet to be mirrored again; then they go.
    _key("log_index", Big),
    _column("start", Big),
    _column("entries", sa.Integer()),
    _column("root", Bytes()),
    _column("decided_ms", Big),
    _column("exceptions", Bytes()),
    sa.Index("ix_early_receipts_start", "start"),
)

lost_messages: Final = sa.Table(
    "lost_messages",
    metadata,
    # Messages that this node had before it was restored, and has asked for once more.
    _key("message_id", Bytes()),
    # Where each stood in the mirror.
    _column("entry_index", Big),
    # When it was received; NULL if no receipt says that it was.
    _column("decided_ms", Big, null=True),
    sqlite_with_rowid=False,
)

bundles: Final = sa.Table(
    "bundles",
    metadata,
    _key("start", Big),
    # Index behind the last entry.
    _column("stop", Big),
    _column("root", Bytes()),
    _column("sequenced_ms", Big),
    _column("messages", sa.Integer()),
    sa.Index("ix_bundles_stop", "stop", unique=True),
)

shipments: Final = sa.Table(
    "shipments",
    metadata,
    # A bundle that the peer has not cosigned; then the row goes, and the next one takes its place.
    _key("start", Big, sa.ForeignKey("bundles.start")),
    _column("box", Bytes(), null=True),
    _column("note", Bytes(), null=True),
)

receipts: Final = sa.Table(
    "receipts",
    metadata,
    _key("start", Big),
    _column("entries", sa.Integer()),
    _column("root", Bytes()),
    _column("decided_ms", Big),
    # Encoded array of (index, code, rule or nil).
    _column("exceptions", Bytes()),
    # Index of the receipt in the own exchange log; NULL while it is due.
    _column("log_index", Big, null=True),
)
_partial("ix_receipts_due", receipts.c.start, where=receipts.c.log_index.is_(None))

voids: Final = sa.Table(
    "voids",
    metadata,
    _key("conversation_id", Bytes()),
    _key("agency", sa.Text()),
    _key("seq", Big),
    # True until the own log says it; never true for what the peer declared.
    _column("due", sa.Boolean()),
    # What else the same entry of the peer declares, all below `seq`: encoded array, NULL for nothing.
    _column("others", Bytes(), null=True),
    sqlite_with_rowid=False,
)
_partial("ix_voids_due", voids.c.due, where=voids.c.due.is_(True))

refusals: Final = sa.Table("refusals", metadata, _key("message_id", Bytes()), sqlite_with_rowid=False)

counts: Final = sa.Table(
    "counts",
    metadata,
    # Outgoing messages by state, kept in the transaction that moves them.
    _key("state", sa.SmallInteger()),
    _column("messages", Big),
)

# --- erasure -------------------------------------------------------------------------

erasures: Final = sa.Table(
    "erasures",
    metadata,
    _key("number", Big, _message()),
    _column("at_ms", Big),
    # Index of the event in the audit log.
    _column("audit_index", Big),
    # True while no receipt has said what became of it at the peer.
    _column("unanswered", sa.Boolean()),
    # True while the exchange log has to say it and does not yet.
    _column("due", sa.Boolean()),
    _column("log_index", Big, null=True),
)
_partial("ix_erasures_due", erasures.c.number, where=erasures.c.due.is_(True))
_partial("ix_erasures_unanswered", erasures.c.number, where=erasures.c.unanswered.is_(True))

endings: Final = sa.Table(
    "endings",
    metadata,
    # Both are message ids; an operator's order, and one that outlived a restore, has none.
    _key("target", Bytes()),
    _key("by_id", Bytes()),
    _column("erase_ms", Big),
    _column("ground", sa.SmallInteger()),
    sqlite_with_rowid=False,
)

holds: Final = sa.Table(
    "holds",
    metadata,
    # Id of a message or of a conversation; one that opens a conversation gives it its id.
    _key("subject", Bytes()),
    _key("conversation", sa.Boolean()),
    _column("at_ms", Big),
    _column("reason", sa.Text()),
    sqlite_with_rowid=False,
)

# --- facts ---------------------------------------------------------------------------

idempotency: Final = sa.Table(
    "idempotency",
    metadata,
    _key("agency", sa.Text()),
    _key("key", sa.Text()),
    _column("body_digest", Bytes()),
    _column("message_id", Bytes()),
    _column("at_ms", Big),
    sa.Index("ix_idempotency_message", "message_id"),
    sqlite_with_rowid=False,
)

attestations: Final = sa.Table(
    "attestations",
    metadata,
    _key("origin", sa.Text()),
    _key("kind", sa.Text()),
    _key("name", sa.Text()),
    _key("size", Big),
    _column("root", Bytes()),
    _column("at_ms", Big),
    # A response of RFC 3161, or a note with the line of a witness.
    _column("evidence", Bytes()),
    sqlite_with_rowid=False,
)

incidents: Final = sa.Table(
    "incidents",
    metadata,
    _key("number", Big),
    _column("kind", sa.Integer()),
    _column("origin", sa.Text()),
    _column("size", Big),
    _column("root", Bytes()),
    _column("at_ms", Big),
    _column("note_a", Bytes(), null=True),
    _column("note_b", Bytes(), null=True),
)

settings: Final = sa.Table("settings", metadata, _key("key", sa.Text()), _column("value", sa.Text()))

lease: Final = sa.Table(
    "lease",
    metadata,
    # One row, number 1. The epoch grows with every process that takes the database over;
    # a head moves only for the epoch of the process that holds it.
    _key("id", sa.Integer()),
    _column("epoch", Big),
)
