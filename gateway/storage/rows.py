"""Rows of messages: how they are written and how they become values.

Both directions share the table `messages`; `Outbox`, `Inbox` and `Threads` share what
stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.message.retention import Ground
from gateway.core.states import State
from gateway.ports import MessageRow, NewMessage
from gateway.storage import tables
from gateway.storage.effects import insert_effects
from gateway.storage.engine import replace_row
from gateway.storage.frames import frame_number, frame_of, header_of
from gateway.storage.session import Row, Session
from gateway.storage.statements import ListStatement, Statement

NO_LIMIT: Final = 2**62
"""Stands for *from the newest* where a number has to be below a bound."""

_STATES: Final = {int(state): state for state in State}
_GROUNDS: Final = {int(ground): ground for ground in Ground}

MESSAGE: Final[tuple[sa.Column[Any], ...]] = tuple(
    column for column in tables.messages.columns if column.name not in {"header", "frame"}
)
"""Columns in the order that `message_row` reads."""

WIDTH: Final = len(MESSAGE)

_NOT_YET: Final = frozenset(
    {"sent_ms", "delivered_ms", "decided_ms", "receipt_index", "exception", "rule", "was"}
)
"""Columns for which no message has a value when it is stored. Handing a NULL over costs what a value
costs, so a new row leaves them out."""

_m: Final = tables.messages.c
HEADER: Final[tuple[sa.Column[Any], ...]] = (
    tables.frames.c.frame,
    _m.header,
    _m.message_id,
    _m.created_ms,
    _m.expires_ms,
    _m.conversation_id,
)
"""Columns in the order that `header_from` reads."""

HEADER_WIDTH: Final = len(HEADER)

_INSERT_MESSAGE: Final = Statement(
    sa.insert(tables.messages),
    row=[column.name for column in tables.messages.columns if column.name not in _NOT_YET],
)
_INSERT_CONTENT: Final = Statement(
    sa.insert(tables.contents), row=[column.name for column in tables.contents.columns]
)

INSERT_ENDING: Final = Statement(
    replace_row(tables.endings), row=[column.name for column in tables.endings.columns]
)
_ANY_HOLD: Final = Statement(sa.select(tables.holds.c.subject).limit(1), decided_by=tables.holds)
_HOLDS_OF: Final = ListStatement(
    lambda items: sa.select(tables.holds.c.subject, tables.holds.c.conversation).where(
        tables.holds.c.subject.in_(items)
    )
)

_BY_ID: Final = ListStatement(
    lambda items: sa.select(*MESSAGE).where(tables.messages.c.message_id.in_(items))
)


def insert_messages(session: Session, messages: Sequence[NewMessage]) -> int:
    """Store messages, contents and effects in this order; return the number of the first."""
    first = session.take_numbers(len(messages))
    held = _held(session, messages)
    session.many(
        _INSERT_MESSAGE,
        [
            _message_values(session, number, m, held=m.message_id in held)
            for number, m in enumerate(messages, first)
        ],
    )
    session.many(
        _INSERT_CONTENT,
        [(number, m.ciphertext, m.wrapped_key, m.post_digest) for number, m in enumerate(messages, first)],
    )
    session.many(
        INSERT_ENDING,
        [
            (ending.target, m.message_id, ending.retention.erase_ms, int(ending.retention.ground))
            for m in messages
            for ending in m.endings
        ],
    )
    insert_effects(session, first, messages)
    return first


def _held(session: Session, messages: Sequence[NewMessage]) -> frozenset[bytes]:
    """Return the ids of messages that a hold covers already: it covers what is still to come."""
    if session.first(_ANY_HOLD) is None:
        return frozenset()
    subjects = [subject for m in messages for subject in (m.message_id, m.conversation_id)]
    found = {(row[0], bool(row[1])) for row in session.listed(_HOLDS_OF, subjects)}
    return frozenset(
        m.message_id
        for m in messages
        if not found.isdisjoint({(m.message_id, False), (m.conversation_id, True)})
    )


def rows_by_id(session: Session, message_ids: Sequence[bytes]) -> list[MessageRow]:
    """Return the messages with these ids."""
    return [message_row(row) for row in session.listed(_BY_ID, message_ids)]


def message_row(row: Row) -> MessageRow:
    """Return the value of a row whose first columns are `MESSAGE`."""
    # The columns stand in the order of the fields.
    return MessageRow(
        row[0],
        bool(row[1]),
        _STATES[row[2]],
        row[3],
        row[4],
        row[5],
        tuple(row[6].split(" ")),
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        bool(row[12]),
        row[13],
        row[14],
        row[15],
        row[16],
        row[17],
        row[18],
        row[19],
        row[20],
        row[21],
        row[22],
        row[23],
        row[24],
        row[25],
        row[26],
        None if row[27] is None else _STATES[row[27]],
        row[28],
        None if row[29] is None else _GROUNDS[row[29]],
        bool(row[30]),
    )


def with_frames(selected: sa.FromClause) -> sa.FromClause:
    """Return a join of messages and others with the frames of their headers."""
    return selected.outerjoin(tables.frames, tables.frames.c.id == _m.frame)


def header_from(row: Row) -> bytes:
    """Return the header of a row whose columns are `HEADER`."""
    frame, whole, message_id, created_ms, expires_ms, conversation_id = row
    return header_of(
        frame,
        whole,
        message_id=message_id,
        created_ms=created_ms,
        expires_ms=expires_ms,
        conversation_id=conversation_id,
    )


def _message_values(session: Session, number: int, message: NewMessage, *, held: bool) -> Row:
    retention = message.retention
    frame = frame_of(
        message.header,
        message_id=message.message_id,
        created_ms=message.created_ms,
        expires_ms=message.expires_ms,
        conversation_id=message.conversation_id,
    )
    return (
        number,
        message.outgoing,
        int(message.state),
        message.message_id,
        message.header if frame is None else b"",
        message.type,
        message.from_agency,
        " ".join(message.to_agencies),
        message.conversation_id,
        message.seq,
        message.in_reply_to,
        message.purpose,
        message.reply_by_ms,
        message.closes,
        message.rank,
        message.created_ms,
        message.expires_ms,
        message.arrived_ms,
        message.log_index,
        message.audit_index,
        0,
        message.flags,
        None if retention is None else retention.erase_ms,
        None if retention is None else int(retention.ground),
        held,
        None if frame is None else frame_number(session, frame),
    )
