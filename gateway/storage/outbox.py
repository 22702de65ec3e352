"""Outgoing messages and the bundles they travel in.

A message that waits stands in two small indexes, by rank and age and by end of delivery
time, and leaves them when it is sent; so a backlog costs disk, and taking the next bundle
from a million waiting messages is a walk of a few index entries.

Every move of a state names the states it may come from (`gateway.core.states`), and the
counters follow in the same transaction.

Spec: docs/spec/exchange.md, "Sending" and "States".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.entries import Collection, ReceiptException
from gateway.core.merkle import Hash
from gateway.core.receipt import ExceptionCode, state_after
from gateway.core.states import State, sources_of
from gateway.errors import StoreError
from gateway.ports import CollectionRow, MessageRow, NewMessage, SentBundle, Waiting
from gateway.storage.engine import keep_first
from gateway.storage.rows import MESSAGE, NO_LIMIT, insert_messages, message_row
from gateway.storage.session import Row, Session
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import (
    Big,
    addressees,
    bundles,
    contents,
    messages,
    sent_entries,
    state_is,
    voids,
)

_bind: Final = sa.bindparam
_m: Final = messages.c
_is_accepted: Final = state_is(_m.state, State.ACCEPTED)


def _literal(state: State) -> sa.ColumnElement[Any]:
    return sa.literal_column(str(int(state)))


# --- waiting -------------------------------------------------------------------------

_INSERT_ADDRESSEE: Final = Statement(
    sa.insert(addressees), row=("number", "position", "agency", "collected_ms", "log_index")
)
_RAISE: Final = Statement(
    sa.update(messages)
    .where(
        _m.conversation_id == _bind("conversation"),
        _m.from_agency == _bind("agency"),
        _is_accepted,
        _m.rank > _bind("to"),
    )
    .values(rank=_bind("to"))
)
_WAITING: Final = Statement(
    sa.select(_m.number, _m.message_id, _m.header, _m.rank, sa.func.length(contents.c.ciphertext))
    .select_from(messages.outerjoin(contents, contents.c.number == _m.number))
    .where(_is_accepted)
    .order_by(_m.rank, _m.number)
    .limit(_bind("most", type_=Big))
)
_CONTENTS: Final = ListStatement(
    lambda items: sa.select(contents.c.number, contents.c.ciphertext, contents.c.wrapped_key).where(
        contents.c.number.in_(items)
    )
)
_MOST_URGENT: Final = Statement(sa.select(_m.rank).where(_is_accepted).order_by(_m.rank, _m.number).limit(1))
_EXPIRED: Final = Statement(
    sa.select(*MESSAGE)
    .where(_is_accepted, _m.expires_ms <= _bind("now"))
    .order_by(_m.expires_ms)
    .limit(_bind("most", type_=Big))
)
_HAS_EXPIRED: Final = Statement(sa.select(_m.expires_ms).where(_is_accepted).order_by(_m.expires_ms).limit(1))
_END: Final = ListStatement(
    lambda items: (
        sa.update(messages)
        .where(_m.number.in_(items), _is_accepted)
        .values(state=_bind("to", type_=sa.SmallInteger()), decided_ms=_bind("at", type_=Big))
    )
)
_POSTED: Final = Statement(
    sa.select(*MESSAGE).where(
        _m.message_id == _bind("id"), _m.from_agency == _bind("agency"), _m.outgoing.is_(True)
    )
)
_LISTING: Final = Statement(
    sa.select(*MESSAGE)
    .where(_m.from_agency == _bind("agency"), _m.outgoing.is_(True), _m.number < _bind("below"))
    .order_by(_m.number.desc())
    .limit(_bind("most", type_=Big))
)
_ADDRESSEES: Final = Statement(
    sa.select(addressees.c.agency, addressees.c.collected_ms, addressees.c.log_index)
    .where(
        addressees.c.number
        == sa.select(_m.number).where(_m.message_id == _bind("id"), _m.outgoing.is_(True)).scalar_subquery()
    )
    .order_by(addressees.c.position)
)

# --- sent ----------------------------------------------------------------------------

_SEND: Final = Statement(
    sa.update(messages)
    .where(_m.number == _bind("message"), _is_accepted)
    .values(
        state=_literal(State.SENT),
        log_index=_bind("entry"),
        sendings=_m.sendings + sa.literal_column("1"),
        sent_ms=_bind("at"),
    ),
    row=("entry", "at", "message"),
)
_SENT_ENTRY: Final = Statement(sa.insert(sent_entries), row=("log_index", "number"))
_INSERT_BUNDLE: Final = Statement(sa.insert(bundles), row=[column.name for column in bundles.columns])
_SET_NOTE: Final = Statement(
    sa.update(bundles).where(bundles.c.start == _bind("first")).values(note=_bind("bytes"))
)
_BUNDLES: Final = Statement(
    sa.select(*(column for column in bundles.columns if column is not bundles.c.delivered))
    .where(bundles.c.stop > _bind("index"))
    .order_by(bundles.c.stop)
    .limit(_bind("most", type_=Big))
)
_CIPHERTEXTS: Final = Statement(
    sa.select(contents.c.ciphertext)
    .select_from(sent_entries.outerjoin(contents, contents.c.number == sent_entries.c.number))
    .where(sent_entries.c.log_index >= _bind("first"), sent_entries.c.log_index < _bind("stop"))
    .order_by(sent_entries.c.log_index)
)
_DELIVER: Final = Statement(
    sa.update(messages)
    .where(state_is(_m.state, State.SENT), _m.log_index < _bind("below"))
    .values(state=_literal(State.DELIVERED), delivered_ms=_bind("at"))
)
_FORGET_BOXES: Final = Statement(
    sa.update(bundles)
    .where(bundles.c.delivered.is_(False), bundles.c.stop <= _bind("below"))
    .values(delivered=sa.true(), box=sa.null(), note=sa.null())
)

# --- answered ------------------------------------------------------------------------

_IN_RANGE: Final = _m.number.in_(
    sa.select(sent_entries.c.number).where(
        sent_entries.c.log_index >= _bind("first"), sent_entries.c.log_index < _bind("stop")
    )
)


def _received(source: State) -> Statement:
    return Statement(
        sa.update(messages)
        # A message that was sent again belongs to its newest entry only.
        .where(
            state_is(_m.state, source),
            _m.log_index >= _bind("first"),
            _m.log_index < _bind("stop"),
            *(() if source is State.SENT else (_IN_RANGE,)),
        )
        .values(
            state=_literal(State.RECEIVED),
            # A receipt can be mirrored before the cosignature is read, and proves as much.
            delivered_ms=sa.func.coalesce(_m.delivered_ms, _bind("at")),
            decided_ms=_bind("at"),
            receipt_index=_bind("receipt"),
            exception=sa.null(),
            rule=sa.null(),
        )
    )


_RECEIVED: Final = {source: _received(source) for source in sources_of(State.RECEIVED)}
_OPEN_AT: Final = ListStatement(
    lambda items: (
        sa.select(_m.log_index, _m.number, _m.state, _m.sendings)
        .select_from(sent_entries.join(messages, _m.number == sent_entries.c.number))
        .where(
            sent_entries.c.log_index.in_(items),
            _m.log_index == sent_entries.c.log_index,
            state_is(_m.state, State.SENT, State.DELIVERED),
        )
    )
)
_EXCEPT: Final = Statement(
    sa.update(messages)
    .where(_m.number == _bind("message"))
    .values(
        state=_bind("to"),
        # NULL when it goes back to *accepted*: it has no entry then.
        log_index=_bind("entry"),
        decided_ms=_bind("at"),
        receipt_index=_bind("receipt"),
        exception=_bind("code"),
        rule=_bind("broken"),
    ),
    row=("to", "entry", "at", "receipt", "code", "broken", "message"),
)
_NUMBERS_AT: Final = ListStatement(
    lambda items: sa.select(sent_entries.c.log_index, sent_entries.c.number).where(
        sent_entries.c.log_index.in_(items), sent_entries.c.number.is_not(None)
    )
)
_COLLECT: Final = Statement(
    sa.update(addressees)
    .where(
        addressees.c.number == _bind("message"),
        addressees.c.agency == _bind("by"),
        addressees.c.collected_ms.is_(None),
    )
    .values(collected_ms=_bind("at"), log_index=_bind("entry")),
    row=("at", "entry", "message", "by"),
)


def _complete(source: State) -> ListStatement:
    open_addressee = (
        sa.select(addressees.c.number)
        .where(addressees.c.number == _m.number, addressees.c.collected_ms.is_(None))
        .exists()
    )
    return ListStatement(
        lambda items: (
            sa.update(messages)
            .where(_m.number.in_(items), state_is(_m.state, source), ~open_addressee)
            .values(state=_literal(State.COLLECTED))
        )
    )


_COMPLETE: Final = {source: _complete(source) for source in sources_of(State.COLLECTED)}

# --- recovered -----------------------------------------------------------------------

_STATES_OF: Final = ListStatement(
    lambda items: sa.select(_m.message_id, _m.number, _m.state).where(
        _m.message_id.in_(items), _m.outgoing.is_(True)
    )
)
_RECOVERED: Final = Statement(
    sa.update(messages)
    .where(_m.number == _bind("message"))
    .values(
        state=_literal(State.DELIVERED),
        log_index=_bind("entry"),
        sendings=_m.sendings + sa.literal_column("1"),
        sent_ms=sa.func.coalesce(_m.sent_ms, _bind("at", type_=Big)),
        delivered_ms=_bind("at", type_=Big),
    ),
    row=("entry", "at", "at", "message"),
)

# --- voids ---------------------------------------------------------------------------

_PUT_VOID: Final = Statement(keep_first(voids), row=("conversation_id", "agency", "seq", "due"))
_VOIDS: Final = Statement(
    sa.select(voids.c.conversation_id, voids.c.agency, voids.c.seq)
    .where(voids.c.due.is_(True))
    .order_by(voids.c.conversation_id, voids.c.agency, voids.c.seq)
    .limit(_bind("most", type_=Big))
)
_VOID_LOGGED: Final = Statement(
    sa.update(voids)
    .where(
        voids.c.conversation_id == _bind("conversation"),
        voids.c.agency == _bind("by"),
        voids.c.seq == _bind("which"),
    )
    .values(due=sa.false()),
    row=("conversation", "by", "which"),
)


class SqlOutbox:
    """Implements `gateway.ports.Outbox` on a session."""

    def __init__(self, session: Session) -> None:
        """Work on this session."""
        self._session = session

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store accepted messages with content and addressees, in this order."""
        first = insert_messages(self._session, messages)
        self._session.many(
            _INSERT_ADDRESSEE,
            [
                (number, position, agency, None, None)
                for number, message in enumerate(messages, first)
                for position, agency in enumerate(dict.fromkeys(message.to_agencies))
            ],
        )
        self._session.move(None, State.ACCEPTED, len(messages))

    def raise_rank(self, conversation_id: bytes, agency: str, rank: int) -> None:
        """Let waiting predecessors of one sender in one conversation inherit a precedence."""
        self._session.change(_RAISE, conversation=conversation_id, agency=agency, to=rank)

    def waiting(self, *, limit: int, max_bytes: int) -> list[Waiting]:
        """Return accepted messages by rank, then age, until a limit is reached.

        At least one message is returned if any waits, whatever its size. Lengths are read
        first: however large the waiting messages are, no more than ``max_bytes`` (or one
        message) is in memory.
        """
        total = 0
        chosen: list[Row] = []
        for row in self._session.all(_WAITING, most=limit):
            total += row[4] or 0
            if chosen and total > max_bytes:
                break
            chosen.append(row)
        sealed = {
            number: (ciphertext, wrapped_key)
            for number, ciphertext, wrapped_key in self._session.listed(_CONTENTS, [row[0] for row in chosen])
        }
        return [
            Waiting(
                number=number,
                message_id=message_id,
                header=header,
                rank=rank,
                ciphertext=sealed.get(number, _ERASED)[0],
                wrapped_key=sealed.get(number, _ERASED)[1],
            )
            for number, message_id, header, rank, _ in chosen
        ]

    def most_urgent(self) -> int | None:
        """Return the lowest rank that waits, or None if nothing does."""
        row = self._session.first(_MOST_URGENT)
        return None if row is None else row[0]

    def count(self, state: State) -> int:
        """Return how many outgoing messages are in a state."""
        return self._session.count(state)

    def mark_sent(self, sent: Sequence[tuple[int, int]], *, at_ms: int) -> None:
        """Move messages (number, log index) from *accepted* to *sent*.

        Raises:
            StoreError: One of them was not *accepted* any more.
        """
        moved = self._session.many(_SEND, [(index, at_ms, number) for number, index in sent])
        if sent and moved != len(sent):
            msg = "a message that was to be sent is not waiting any more"
            raise StoreError(msg)
        self._session.many(_SENT_ENTRY, [(index, number) for number, index in sent])
        self._session.move(State.ACCEPTED, State.SENT, len(sent))

    def put_bundle(self, bundle: SentBundle) -> None:
        """Store the run of entries that was just appended."""
        row: Row = (
            bundle.start,
            bundle.end,
            bundle.root,
            bundle.box,
            bundle.note,
            bundle.sequenced_ms,
            bundle.messages,
            False,
        )
        self._session.many(_INSERT_BUNDLE, [row])

    def set_note(self, start: int, note: bytes) -> None:
        """Store the signed note of the bundle that begins at ``start``."""
        self._session.change(_SET_NOTE, first=start, bytes=note)

    def bundles_from(self, index: int, *, limit: int) -> list[SentBundle]:
        """Return bundles that end behind ``index``, in order."""
        return [
            SentBundle(
                start=start,
                count=stop - start,
                root=Hash(root),
                box=box,
                note=note,
                sequenced_ms=sequenced_ms,
                messages=count,
            )
            for start, stop, root, box, note, sequenced_ms, count in self._session.all(
                _BUNDLES, index=index, most=limit
            )
        ]

    def ciphertexts(self, start: int, end: int) -> list[bytes | None]:
        """Return the ciphertext of each message entry in a range of the own log, in order."""
        return [row[0] for row in self._session.all(_CIPHERTEXTS, first=start, stop=end)]

    def delivered(self, up_to: int, *, at_ms: int) -> int:
        """Move sent messages below an index to *delivered*, forget boxes; return how many."""
        moved = self._session.change(_DELIVER, below=up_to, at=at_ms)
        self._session.move(State.SENT, State.DELIVERED, moved)
        self._session.change(_FORGET_BOXES, below=up_to)
        return moved

    def received(
        self,
        *,
        start: int,
        end: int,
        decided_ms: int,
        receipt_index: int,
        exceptions: Sequence[ReceiptException],
    ) -> None:
        """Apply a receipt: *received* for the range, but what `state_after` says for exceptions."""
        # The exceptions go first: what they leave is no longer open and keeps its state.
        by_index = {item.index: item for item in exceptions if start <= item.index < end}
        changes: list[Row] = []
        for index, number, source, sendings in self._session.listed(_OPEN_AT, by_index):
            item = by_index[index]
            target = _state_after(item.code, sendings)
            entry = None if target is State.ACCEPTED else index
            changes.append((int(target), entry, decided_ms, receipt_index, item.code, item.rule, number))
            self._session.move(State(source), target, 1)
        self._session.many(_EXCEPT, changes)
        for source, statement in _RECEIVED.items():
            moved = self._session.change(
                statement, first=start, stop=end, at=decided_ms, receipt=receipt_index
            )
            self._session.move(source, State.RECEIVED, moved)

    def collected(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that addressees acknowledged; *collected* once all of them have."""
        numbers: dict[int, int] = dict(
            self._session.listed(_NUMBERS_AT, [item.index for item in collections])
        )
        self._session.many(
            _COLLECT,
            [
                (item.at_ms, log_index, numbers[item.index], item.agency)
                for item in collections
                if item.index in numbers
            ],
        )
        for source, statement in _COMPLETE.items():
            moved = self._session.change_listed(statement, numbers.values())
            self._session.move(source, State.COLLECTED, moved)

    def has_expired(self, now_ms: int) -> bool:
        """Return whether a waiting message's delivery time is over."""
        row = self._session.first(_HAS_EXPIRED)
        return row is not None and row[0] <= now_ms

    def expire(self, now_ms: int, *, limit: int) -> list[MessageRow]:
        """Move waiting messages whose delivery time is over to *expired* and return them."""
        rows = [message_row(row) for row in self._session.all(_EXPIRED, now=now_ms, most=limit)]
        return self._end(rows, State.EXPIRED, now_ms)

    def withdraw(self, message_id: bytes, agency: str) -> MessageRow | None:
        """Move an *accepted* message of an agency to *withdrawn*; None if it is not there.

        The row is returned as it was before; the caller looks at its state.
        """
        row = self.find(message_id, agency)
        if row is not None and row.state is State.ACCEPTED:
            self._end([row], State.WITHDRAWN, None)
        return row

    def find(self, message_id: bytes, agency: str) -> MessageRow | None:
        """Return a message that this agency posted, or None."""
        row = self._session.first(_POSTED, id=message_id, agency=agency)
        return None if row is None else message_row(row)

    def listing(self, agency: str, *, after: int, limit: int) -> list[MessageRow]:
        """Return messages that an agency posted, newest first, with a number below ``after``.

        ``after`` 0 means from the newest.
        """
        rows = self._session.all(_LISTING, agency=agency, below=after or NO_LIMIT, most=limit)
        return [message_row(row) for row in rows]

    def addressees(self, message_id: bytes) -> list[CollectionRow]:
        """Return the addressees of a message in the order of the message."""
        return [
            CollectionRow(agency=agency, collected_ms=collected_ms, log_index=log_index)
            for agency, collected_ms, log_index in self._session.all(_ADDRESSEES, id=message_id)
        ]

    def recovered(self, messages: Sequence[tuple[int, bytes]], *, at_ms: int) -> None:
        """Move messages (log index, message id) that a recovered log holds to *delivered*.

        Ids that this database does not know are ignored: they were accepted after the backup.
        """
        known = {
            message_id: (number, State(state))
            for message_id, number, state in self._session.listed(
                _STATES_OF, [message_id for _, message_id in messages]
            )
        }
        newest: dict[bytes, int] = {}
        for index, message_id in messages:
            newest[message_id] = max(index, newest.get(message_id, 0))
        self._session.many(
            _SENT_ENTRY,
            [(index, known[item][0] if item in known else None) for index, item in messages],
        )
        changes: list[Row] = []
        for message_id, (number, state) in known.items():
            if state in {State.ACCEPTED, State.SENT, State.DELIVERED}:
                changes.append((newest[message_id], at_ms, at_ms, number))
                self._session.move(state, State.DELIVERED, 1)
        self._session.many(_RECOVERED, changes)

    def put_void(self, conversation_id: bytes, agency: str, seq: int) -> None:
        """Remember that a number will never be used and that the log has to say so."""
        self._session.many(_PUT_VOID, [(conversation_id, agency, seq, True)])

    def take_voids(self, *, limit: int) -> list[tuple[bytes, str, int]]:
        """Return voids that the log does not hold yet, and mark them as logged now."""
        found = [(row[0], row[1], row[2]) for row in self._session.all(_VOIDS, most=limit)]
        self._session.many(_VOID_LOGGED, found)
        return found

    def _end(self, rows: list[MessageRow], target: State, at_ms: int | None) -> list[MessageRow]:
        moved = self._session.change_listed(_END, [row.number for row in rows], to=int(target), at=at_ms)
        self._session.move(State.ACCEPTED, target, moved)
        return [replace(row, state=target, decided_ms=at_ms) for row in rows]


_ERASED: Final[tuple[None, None]] = (None, None)


def _state_after(code: int, sendings: int) -> State:
    try:
        return state_after(ExceptionCode(code), sendings=sendings)
    except ValueError:
        # A number of a later version of the protocol: not received, and not sent again.
        return State.REFUSED
