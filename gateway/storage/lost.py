"""Incoming messages that a restored database has lost: what was said of them, and which were asked for.

A recovered log holds receipts for entries that the mirror is yet to get again. They are kept until then.
A message whose content has to be asked for once more is known by its id until it comes in another entry.

Spec: docs/spec/exchange.md, "Recovery".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import sqlalchemy as sa

from gateway.core.encoding import decode, encode
from gateway.core.entries import ReceiptException
from gateway.core.merkle import Hash
from gateway.core.states import State
from gateway.ports import LostMessage, ReceiptDue
from gateway.storage.engine import keep_first
from gateway.storage.session import Row, Session
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import (
    Big,
    early_collections,
    early_receipts,
    inbox,
    lost_messages,
    messages,
    state_is,
)

MAX_EXCEPTIONS_BYTES: Final = 65_536

_bind: Final = sa.bindparam
_i: Final = inbox.c
_er: Final = early_receipts.c
_PUT_EARLY_RECEIPT: Final = Statement(
    keep_first(early_receipts), row=[column.name for column in early_receipts.columns]
)
_EARLY_RECEIPTS: Final = Statement(
    sa.select(_er.start, _er.entries, _er.root, _er.decided_ms, _er.exceptions)
    .where(_er.start < _bind("stop", type_=Big), _er.start + _er.entries > _bind("first", type_=Big))
    .order_by(_er.log_index)
)
_LAST_EARLY_RECEIPT: Final = Statement(sa.select(sa.func.max(_er.start + _er.entries)))
_FORGET_EARLY_RECEIPTS: Final = Statement(
    sa.delete(early_receipts).where(
        _er.start < _bind("below", type_=Big), _er.start + _er.entries <= _bind("below", type_=Big)
    )
)
_PUT_LOST: Final = Statement(keep_first(lost_messages), row=[column.name for column in lost_messages.columns])
_ANY_LOST: Final = Statement(sa.select(lost_messages.c.message_id).limit(1), decided_by=lost_messages)
_LOST: Final = ListStatement(
    lambda items: sa.select(*lost_messages.columns).where(lost_messages.c.message_id.in_(items))
)
_FORGET_LOST: Final = ListStatement(
    lambda items: sa.delete(lost_messages).where(lost_messages.c.message_id.in_(items))
)
_COLLECTED_BEFORE: Final = Statement(
    sa.update(inbox)
    .where(_i.entry_index == _bind("entry"), _i.agency == _bind("by"))
    .values(collected_ms=sa.func.coalesce(_i.collected_ms, _bind("at", type_=Big))),
    row=("at", "entry", "by"),
)
# By the entry, for which there is an index: by the number, all that nobody has collected would be walked.
_HAS_OPEN: Final = sa.exists().where(_i.entry_index == messages.c.log_index, _i.collected_ms.is_(None))
_COLLECTED_AT: Final = ListStatement(
    lambda items: (
        sa.update(messages)
        .where(
            messages.c.number.in_(sa.select(_i.number).where(_i.entry_index.in_(items))),
            state_is(messages.c.state, State.RECEIVED),
            ~_HAS_OPEN,
        )
        .values(state=sa.literal_column(str(int(State.COLLECTED))))
    )
)
EARLY_AT: Final = ListStatement(
    lambda items: sa.select(*early_collections.columns).where(early_collections.c.entry_index.in_(items))
)
FORGET_EARLY: Final = ListStatement(
    lambda items: sa.delete(early_collections).where(early_collections.c.entry_index.in_(items))
)


class Lost:
    """The part of the inbox that remembers what was lost."""

    def __init__(self, session: Session) -> None:
        """Work on this session."""
        self._session = session

    def put_early_receipt(self, receipt: ReceiptDue, *, log_index: int) -> None:
        """Remember a receipt of a recovered log whose entries are yet to be mirrored again."""
        said = (receipt.start, receipt.count, receipt.root, receipt.decided_ms)
        self._session.many(_PUT_EARLY_RECEIPT, [(log_index, *said, encoded(receipt.exceptions))])

    def early_receipts(self, start: int, end: int) -> list[ReceiptDue]:
        """Return such receipts that speak of places from ``start`` to ``end``, in the order of the log."""
        return [receipt(row) for row in self._session.all(_EARLY_RECEIPTS, first=start, stop=end)]

    def last_early_receipt(self) -> int:
        """Return the place behind the last entry that such a receipt speaks of, 0 for none."""
        row = self._session.first(_LAST_EARLY_RECEIPT)
        return 0 if row is None or row[0] is None else int(row[0])

    def forget_early_receipts(self, below: int) -> None:
        """Forget such receipts about entries below a place: they are mirrored again."""
        self._session.change(_FORGET_EARLY_RECEIPTS, below=below)

    def put_lost(self, messages: Sequence[LostMessage]) -> None:
        """Remember messages that this node had and asks for once more; the first word on each stays."""
        self._session.many(_PUT_LOST, [(item.message_id, item.place, item.decided_ms) for item in messages])

    def has_lost(self) -> bool:
        """Return whether there is any such message."""
        return self._session.first(_ANY_LOST) is not None

    def lost(self, message_ids: Iterable[bytes]) -> dict[bytes, LostMessage]:
        """Return those of these ids that are of such messages."""
        if not self.has_lost():
            return {}
        return {
            message_id: LostMessage(message_id=message_id, place=place, decided_ms=decided_ms)
            for message_id, place, decided_ms in self._session.listed(_LOST, message_ids)
        }

    def found_again(self, messages: Sequence[tuple[LostMessage, int]]) -> None:
        """Forget such messages: each has come again, and stands at another place of the mirror.

        What was collected of one is collected, and due to be logged again.
        """
        places = {item.place: place for item, place in messages}
        self._session.many(
            _COLLECTED_BEFORE,
            [
                (at_ms, places[entry], agency)
                for entry, agency, at_ms, _ in self._session.listed(EARLY_AT, places)
            ],
        )
        self._session.change_listed(FORGET_EARLY, places)
        self.complete_at(places.values())
        self._session.change_listed(_FORGET_LOST, [item.message_id for item, _ in messages])

    def complete_at(self, entries: Iterable[int]) -> None:
        """Let messages at these entries be *collected* if every addressee has them."""
        self._session.change_listed(_COLLECTED_AT, entries)


def receipt(row: Row) -> ReceiptDue:
    """Return a receipt from start, entries, root, time and exceptions."""
    start, count, root, decided_ms, exceptions = row
    return ReceiptDue(
        start=start,
        count=count,
        root=Hash(root),
        decided_ms=decided_ms,
        exceptions=_exceptions(exceptions),
    )


def encoded(exceptions: Sequence[ReceiptException]) -> bytes:
    """Return exceptions as they are stored."""
    return encode(tuple((item.index, item.code, item.rule) for item in exceptions))


def _exceptions(data: bytes) -> tuple[ReceiptException, ...]:
    items = cast("tuple[tuple[Any, ...], ...]", decode(data, max_bytes=MAX_EXCEPTIONS_BYTES))
    return tuple(ReceiptException(index=index, code=code, rule=rule) for index, code, rule in items)
