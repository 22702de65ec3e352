"""Incoming messages, what their addressees acknowledged, and the answers that are due.

Spec: docs/spec/exchange.md, "Receiving", "Answers" and "Inbox".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.encoding import encode
from gateway.core.entries import Collection
from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import InboxRow, NewMessage, ReceiptDue
from gateway.storage.engine import keep_first, replace_row
from gateway.storage.frames import header_of
from gateway.storage.lost import EARLY_AT, FORGET_EARLY, Lost, encoded, receipt
from gateway.storage.rows import (
    MESSAGE,
    WIDTH,
    insert_messages,
    message_row,
    with_frames,
)
from gateway.storage.session import Row
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import (
    COLLECTION_DUE,
    Big,
    contents,
    early_collections,
    frames,
    inbox,
    messages,
    receipts,
    refusals,
    state_is,
    voids,
)

_bind: Final = sa.bindparam
_m: Final = messages.c
_i: Final = inbox.c

_INSERT: Final = Statement(sa.insert(inbox), row=("agency", "number", "rank", "entry_index"))
_REFUSED: Final = ListStatement(
    lambda items: sa.select(refusals.c.message_id).where(refusals.c.message_id.in_(items))
)
_REFUSE: Final = Statement(keep_first(refusals), row=("message_id",))


def _rows(collected_ms: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(
        *MESSAGE, frames.c.frame, _m.header, collected_ms, contents.c.ciphertext, contents.c.wrapped_key
    ).select_from(
        with_frames(
            inbox.join(messages, _m.number == _i.number).outerjoin(contents, contents.c.number == _i.number)
        )
    )


def _listing(rows: sa.Select[Any], condition: sa.ColumnElement[bool]) -> Statement:
    return Statement(
        rows.where(
            _i.agency == _bind("by"),
            condition,
            sa.tuple_(_i.rank, _i.number) > sa.tuple_(_bind("rank"), _bind("number")),
        )
        .order_by(_i.rank, _i.number)
        .limit(_bind("most", type_=Big))
    )


# The index says everything of the inbox that is asked here: its rows are not looked at.
_OPEN: Final = _listing(_rows(sa.null()), _i.collected_ms.is_(None))
_COLLECTED: Final = _listing(_rows(_i.collected_ms), _i.collected_ms.is_not(None))
_FIND: Final = Statement(
    _rows(_i.collected_ms).where(
        _i.agency == _bind("by"), _m.message_id == _bind("id"), _m.outgoing.is_(False)
    )
)
_RECEIPT_OF: Final = Statement(
    sa.select(receipts.c.start, receipts.c.entries, receipts.c.decided_ms, receipts.c.log_index)
    .where(receipts.c.start <= _bind("index"))
    .order_by(receipts.c.start.desc())
    .limit(1)
)

_ADDRESSED: Final = ListStatement(
    lambda items: (
        sa.select(_m.message_id, _m.number, _m.to_agencies, _i.number, _i.collected_ms)
        # An outer join has one order, messages first. An inner one has two, and from a dozen ids on
        # SQLite would rather walk everything that the agency ever received.
        .select_from(messages.outerjoin(inbox, sa.and_(_i.agency == _bind("by"), _i.number == _m.number)))
        .where(_m.message_id.in_(items), _m.outgoing.is_(False))
    )
)
_ACKNOWLEDGE: Final = ListStatement(
    lambda items: (
        sa.update(inbox)
        .where(_i.agency == _bind("by"), _i.number.in_(items), _i.collected_ms.is_(None))
        .values(collected_ms=_bind("at"))
    )
)
_OPEN_FOR: Final = ListStatement(
    lambda items: sa.select(_i.agency).where(
        _i.agency.in_(items), _i.number == _bind("message"), _i.collected_ms.is_(None)
    )
)
_COMPLETE: Final = ListStatement(
    lambda items: (
        sa.update(messages)
        .where(_m.number.in_(items), state_is(_m.state, State.RECEIVED))
        .values(state=sa.literal_column(str(int(State.COLLECTED))))
    )
)
_DUE: Final = Statement(
    sa.select(_i.entry_index, _i.agency, _i.collected_ms)
    .where(COLLECTION_DUE)
    .order_by(_i.entry_index, _i.agency)
    .limit(_bind("most", type_=Big)),
    decided_by=inbox,
)
_LOGGED: Final = Statement(
    # One statement for all between the first and the last: a step each would hand the interpreter
    # lock back and forth once an acknowledgement.
    sa.update(inbox)
    .where(
        COLLECTION_DUE,
        sa.tuple_(_i.entry_index, _i.agency) >= sa.tuple_(_bind("first", type_=Big), _bind("first_by")),
        sa.tuple_(_i.entry_index, _i.agency) <= sa.tuple_(_bind("last", type_=Big), _bind("last_by")),
    )
    .values(logged_index=_bind("at", type_=Big))
)

_PUT_RECEIPT: Final = Statement(replace_row(receipts), row=[column.name for column in receipts.columns])
_RECEIPTS_DUE: Final = Statement(
    sa.select(
        receipts.c.start,
        receipts.c.entries,
        receipts.c.root,
        receipts.c.decided_ms,
        receipts.c.exceptions,
    )
    .where(receipts.c.log_index.is_(None))
    .order_by(receipts.c.start)
    .limit(_bind("most", type_=Big)),
    decided_by=receipts,
)
_RECEIPT_LOGGED: Final = Statement(
    sa.update(receipts).where(receipts.c.start == _bind("first")).values(log_index=_bind("at")),
    row=("at", "first"),
)
_RECEIPTS_RECOVERED: Final = Statement(
    sa.update(receipts)
    .where(
        receipts.c.log_index.is_(None),
        receipts.c.start >= _bind("first"),
        receipts.c.start < _bind("stop"),
    )
    .values(log_index=_bind("at"))
)
_FORGET_REFUSED: Final = Statement(sa.delete(refusals))
_FORGET_DUE: Final = Statement(sa.delete(receipts).where(receipts.c.log_index.is_(None)))
_MOVE_ROW: Final = Statement(
    sa.update(messages)
    .where(_m.message_id == _bind("id"), _m.outgoing.is_(False))
    .values(log_index=_bind("place")),
    row=("place", "id"),
)
_MOVE_ENTRY: Final = Statement(
    sa.update(inbox)
    .where(_i.entry_index == _bind("before"))
    .values(entry_index=_bind("place"), logged_index=sa.null()),
    row=("place", "before"),
)
_EARLY: Final = Statement(
    keep_first(early_collections), row=[column.name for column in early_collections.columns]
)
_ANY_EARLY: Final = Statement(
    sa.select(early_collections.c.entry_index).limit(1), decided_by=early_collections
)
_RECOVERED: Final = Statement(
    sa.update(inbox)
    .where(_i.entry_index == _bind("entry"), _i.agency == _bind("by"))
    .values(
        collected_ms=sa.func.coalesce(_i.collected_ms, _bind("at", type_=Big)),
        logged_index=_bind("logged", type_=Big),
    )
)
_PUT_VOID: Final = Statement(keep_first(voids), row=("conversation_id", "agency", "seq", "due", "others"))
_VOID_AT: Final = ListStatement(
    lambda items: sa.select(voids.c.seq).where(
        voids.c.conversation_id == _bind("conversation"),
        voids.c.agency == _bind("by"),
        voids.c.seq.in_(items),
    )
)


class SqlInbox(Lost):
    """Implements `gateway.ports.Inbox` on a session."""

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store received messages with content and addressees, in this order."""
        first = insert_messages(self._session, messages)
        self._session.many(
            _INSERT,
            [
                (agency, number, message.rank, message.log_index)
                for number, message in enumerate(messages, first)
                for agency in dict.fromkeys(message.to_agencies)
            ],
        )
        if self._session.first(_ANY_EARLY) is not None:
            self._apply_early([m.log_index for m in messages if m.log_index is not None])

    def refused(self, message_ids: Iterable[bytes]) -> set[bytes]:
        """Return which of these ids are of messages that were refused for good."""
        return {row[0] for row in self._session.listed(_REFUSED, message_ids)}

    def listing(self, agency: str, *, after: tuple[int, int], limit: int, collected: bool) -> list[InboxRow]:
        """Return messages for an agency by (rank, number) greater than ``after``.

        Args:
            agency: Addressee.
            after: (rank, number) of the last row seen; (-1, 0) for the beginning.
            limit: At most so many rows.
            collected: False for what is not acknowledged yet, True for what is.
        """
        rank, number = after
        rows = self._session.all(
            _COLLECTED if collected else _OPEN, by=agency, rank=rank, number=number, most=limit
        )
        return [_inbox_row(row) for row in rows]

    def find(self, message_id: bytes, agency: str) -> InboxRow | None:
        """Return one message for an agency, or None if it is not an addressee."""
        row = self._session.first(_FIND, by=agency, id=message_id)
        if row is None:
            return None
        found = _inbox_row(row)
        index = found.row.log_index
        receipt = None if index is None else self._session.first(_RECEIPT_OF, index=index)
        if index is None or receipt is None or index >= receipt[0] + receipt[1]:
            return found
        return replace(found, row=replace(found.row, decided_ms=receipt[2], receipt_index=receipt[3]))

    def acknowledge(
        self, message_ids: Iterable[bytes], agency: str, *, at_ms: int
    ) -> dict[bytes, tuple[int, bool]]:
        """Record collections, due to be logged; return (when, whether only now) by message id.

        What was collected before keeps its time. Ids that are not this agency's are not in
        the result.
        """
        collected: dict[bytes, tuple[int, bool]] = {}
        new: dict[int, list[str]] = {}
        for message_id, number, to_agencies, addressed, before_ms in self._session.listed(
            _ADDRESSED, message_ids, by=agency
        ):
            if addressed is None:
                continue
            is_new = before_ms is None
            collected[message_id] = (at_ms if is_new else before_ms, is_new)
            if is_new:
                alone = to_agencies == agency
                new[number] = [] if alone else [c for c in to_agencies.split(" ") if c != agency]
        self._session.change_listed(_ACKNOWLEDGE, new, by=agency, at=at_ms)
        # Whole once every addressee has it; nearly always there is one.
        self._session.change_listed(
            _COMPLETE,
            [
                number
                for number, others in new.items()
                if not others or not self._session.listed(_OPEN_FOR, others, message=number)
            ],
        )
        return collected

    def due_collections(self, *, limit: int) -> list[Collection]:
        """Return acknowledgements that the exchange log does not hold yet."""
        return [
            Collection(index=index, agency=agency, at_ms=at_ms)
            for index, agency, at_ms in self._session.all(_DUE, most=limit)
        ]

    def collections_logged(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that these are in the exchange log now.

        Args:
            collections: What `due_collections` returned in this transaction, or neighbours among it.
            log_index: Index of the entry that names them.

        Raises:
            StoreError: Others are due between the first and the last of them.
        """
        if not collections:
            return
        first, last = collections[0], collections[-1]
        logged = self._session.change(
            _LOGGED,
            first=first.index,
            first_by=first.agency,
            last=last.index,
            last_by=last.agency,
            at=log_index,
        )
        if logged != len(collections):
            msg = "the acknowledgements that an entry names are not those that are due"
            raise StoreError(msg)

    def put_refused(self, message_ids: Sequence[bytes]) -> None:
        """Remember ids of messages that were refused for good, so that `refused` reports them."""
        self._session.many(_REFUSE, [(message_id,) for message_id in message_ids])

    def put_receipt_due(self, receipt: ReceiptDue) -> None:
        """Remember that a receipt is due."""
        exceptions = encoded(receipt.exceptions)
        row: Row = (receipt.start, receipt.count, receipt.root, receipt.decided_ms, exceptions, None)
        self._session.many(_PUT_RECEIPT, [row])

    def due_receipts(self, *, limit: int) -> list[ReceiptDue]:
        """Return due receipts in order of the mirror."""
        return [receipt(row) for row in self._session.all(_RECEIPTS_DUE, most=limit)]

    def receipts_logged(self, starts: Sequence[int], *, log_index: int) -> None:
        """Record that receipts are in the exchange log now; they are due no more."""
        self._session.many(_RECEIPT_LOGGED, [(log_index, start) for start in starts])

    def receipts_recovered(self, start: int, end: int, *, log_index: int) -> None:
        """Forget receipts that are due for a range: a recovered log already holds them."""
        self._session.change(_RECEIPTS_RECOVERED, first=start, stop=end, at=log_index)

    def start_anew(self) -> None:
        """Forget what is due and what was refused: the sender may know of neither, and sends it anew."""
        self._session.change(_FORGET_DUE)
        self._session.change(_FORGET_REFUSED)

    def arrived_again(self, messages: Sequence[tuple[bytes, int, int]]) -> None:
        """Let messages (id, old place, new place) stand elsewhere in the mirror.

        What was collected is due to be logged again.
        """
        self._session.many(_MOVE_ROW, [(new, message_id) for message_id, _, new in messages])
        self._session.many(_MOVE_ENTRY, [(new, old) for _, old, new in messages])

    def collections_recovered(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record acknowledgements that a recovered log already holds.

        The messages may be missing as well until the mirror has been refilled; then they
        arrive as collected and nobody is shown them a second time.
        """
        self._session.many(_EARLY, [(item.index, item.agency, item.at_ms, log_index) for item in collections])
        self._apply_early([item.index for item in collections])

    def put_void(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> None:
        """Remember ascending numbers that an entry of the peer declares void.

        They are one row, so that an entry takes as much again, whatever it names: at its highest number,
        or, if an earlier entry named that, at the highest that has no row yet.
        """
        if not self._put_void(conversation_id, agency, numbers):
            rows = self._session.listed(_VOID_AT, numbers, conversation=conversation_id, by=agency)
            known = {seq for (seq,) in rows}
            if new := [number for number in numbers if number not in known]:
                self._put_void(conversation_id, agency, new)

    def _put_void(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> bool:
        """Store numbers at the highest of them; return whether that had no row yet."""
        others = encode(numbers[:-1]) if len(numbers) > 1 else None
        row = (conversation_id, agency, numbers[-1], False, others)
        return self._session.many(_PUT_VOID, [row]) > 0

    def _apply_early(self, indexes: Sequence[int]) -> None:
        here = {
            entry
            for entry, agency, at_ms, log_index in self._session.listed(EARLY_AT, indexes)
            if self._session.change(_RECOVERED, entry=entry, by=agency, at=at_ms, logged=log_index)
        }
        # Else each message would be looked for here for good.
        self._session.change_listed(FORGET_EARLY, here)
        self.complete_at(here)


def _inbox_row(values: Row) -> InboxRow:
    row = message_row(values)
    frame, whole, collected_ms, ciphertext, wrapped_key = values[WIDTH:]
    return InboxRow(
        row=row,
        header=header_of(
            frame,
            whole,
            message_id=row.message_id,
            created_ms=row.created_ms,
            expires_ms=row.expires_ms,
            conversation_id=row.conversation_id,
        ),
        collected_ms=collected_ms,
        ciphertext=ciphertext,
        wrapped_key=wrapped_key,
    )
