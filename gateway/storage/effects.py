"""What messages do to earlier ones, and which requests may still be open.

Both are written with the message that causes them, in the same transaction, and only for
messages that have an effect or await an answer. Of open requests there is a row for each
agency concerned, so that an agency's list begins with them however long its history is.
The row goes when the request is closed, and comes back if what closed it ends without
having been received.

Spec: docs/storage.md, "Tables".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from gateway.ports import NewMessage
from gateway.storage.engine import keep_first
from gateway.storage.session import Row, Session
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import effects, messages, open_requests

NO_DEADLINE: Final = 2**62
"""Stands for the deadline of a request that has none: behind all others."""

_INSERT_EFFECT: Final = Statement(sa.insert(effects), row=[column.name for column in effects.columns])
_OPEN: Final = Statement(keep_first(open_requests), row=[column.name for column in open_requests.columns])
_CLOSE: Final = Statement(
    sa.delete(open_requests).where(
        open_requests.c.agency == sa.bindparam("by"),
        open_requests.c.due_ms == sa.bindparam("due"),
        open_requests.c.number == sa.bindparam("message"),
    ),
    row=("by", "due", "message"),
)
_request: Final = messages.alias("request")


def _requests(table: sa.FromClause) -> tuple[sa.ColumnElement[Any], ...]:
    """Return the columns that `_rows_of` reads."""
    c = table.c
    return c.number, c.outgoing, c.from_agency, c.to_agencies, c.reply_by_ms


_BY_ID: Final = ListStatement(
    lambda items: sa.select(*_requests(messages)).where(messages.c.message_id.in_(items))
)
_BY_NUMBER: Final = ListStatement(
    lambda items: sa.select(*_requests(messages)).where(messages.c.number.in_(items))
)
_CLOSED_BY: Final = ListStatement(
    lambda items: (
        sa.select(*_requests(_request))
        .select_from(messages.join(_request, _request.c.message_id == messages.c.in_reply_to))
        .where(messages.c.number.in_(items), messages.c.closes.is_(True), _request.c.reply_by_ms.is_not(None))
    )
)


def insert_effects(session: Session, first: int, stored: Sequence[NewMessage]) -> None:
    """Write what messages do that were just stored, the first of them under the number ``first``."""
    session.many(
        _INSERT_EFFECT,
        [
            (new.subject, number, int(new.effect), new.at_ms)
            for number, message in enumerate(stored, first)
            for new in message.effects
        ],
    )
    opened: list[Row] = [
        (agency, _due(message.reply_by_ms), number)
        for number, message in enumerate(stored, first)
        if message.awaits
        for agency in _concerned(message.from_agency, message.to_agencies, outgoing=message.outgoing)
    ]
    session.many(_OPEN, opened)
    # After the requests of the same group, which their answers may close at once.
    closed = [message.in_reply_to for message in stored if message.closes]
    if closed:
        session.many(_CLOSE, _rows_of(session.listed(_BY_ID, closed)))


def undo_effects(session: Session, numbers: Sequence[int]) -> None:
    """Take back what messages of this node did that ended without being received.

    Their effects stay stored: whoever reads them looks at the state of the message. But a
    request of theirs waits for nobody, and one that they closed is open again.
    """
    session.many(_CLOSE, _rows_of(session.listed(_BY_NUMBER, numbers)))
    session.many(_OPEN, _rows_of(session.listed(_CLOSED_BY, numbers)))


def _rows_of(requests: Sequence[Row]) -> list[Row]:
    """Return the rows of `open_requests` that stand for requests while they are open."""
    return [
        (agency, _due(reply_by_ms), number)
        for number, outgoing, sender, addressees, reply_by_ms in requests
        for agency in _concerned(sender, addressees.split(" "), outgoing=bool(outgoing))
    ]


def _concerned(sender: str, addressees: Sequence[str], *, outgoing: bool) -> Sequence[str]:
    """Return the agencies of this node that see a request in their list."""
    return (sender,) if outgoing else tuple(dict.fromkeys(addressees))


def _due(reply_by_ms: int | None) -> int:
    return NO_DEADLINE if reply_by_ms is None else reply_by_ms
