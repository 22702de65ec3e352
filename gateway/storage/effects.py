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
from typing import Final

import sqlalchemy as sa

from gateway.ports import NewMessage
from gateway.storage.engine import keep_first
from gateway.storage.session import Row, Session
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import effects, messages, open_requests

NO_DEADLINE: Final = 2**62
"""Stands for the deadline of a request that has none: behind all others."""

_request: Final = messages.alias("request")

_INSERT_EFFECT: Final = Statement(sa.insert(effects), row=[column.name for column in effects.columns])
_OPEN: Final = Statement(keep_first(open_requests), row=[column.name for column in open_requests.columns])
_CLOSE: Final = ListStatement(
    lambda items: sa.delete(open_requests).where(
        open_requests.c.number.in_(sa.select(messages.c.number).where(messages.c.message_id.in_(items)))
    )
)
_FORGET: Final = ListStatement(
    lambda items: sa.delete(open_requests).where(open_requests.c.number.in_(items))
)
_CLOSED_BY: Final = ListStatement(
    lambda items: (
        sa.select(
            _request.c.number,
            _request.c.outgoing,
            _request.c.from_agency,
            _request.c.to_agencies,
            _request.c.reply_by_ms,
            _request.c.conversation_id,
        )
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
        (number, agency, _due(message.reply_by_ms), message.conversation_id)
        for number, message in enumerate(stored, first)
        if message.awaits
        for agency in _concerned(message.from_agency, message.to_agencies, outgoing=message.outgoing)
    ]
    session.many(_OPEN, opened)
    # After the requests of the same group, which their answers may close at once.
    closed = [message.in_reply_to for message in stored if message.closes]
    if closed:
        session.change_listed(_CLOSE, closed)


def undo_effects(session: Session, numbers: Sequence[int]) -> None:
    """Take back what messages of this node did that ended without being received.

    Their effects stay stored: whoever reads them looks at the state of the message. But a
    request of theirs waits for nobody, and one that they closed is open again.
    """
    session.change_listed(_FORGET, numbers)
    reopened: list[Row] = [
        (number, agency, _due(reply_by_ms), conversation_id)
        for number, outgoing, sender, addressees, reply_by_ms, conversation_id in session.listed(
            _CLOSED_BY, numbers
        )
        for agency in _concerned(sender, addressees.split(" "), outgoing=bool(outgoing))
    ]
    session.many(_OPEN, reopened)


def _concerned(sender: str, addressees: Sequence[str], *, outgoing: bool) -> Sequence[str]:
    """Return the agencies of this node that see a request in their list."""
    return (sender,) if outgoing else tuple(dict.fromkeys(addressees))


def _due(reply_by_ms: int | None) -> int:
    return NO_DEADLINE if reply_by_ms is None else reply_by_ms
