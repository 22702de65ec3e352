"""The end of content: when it comes, its destruction, and the holds that stop it.

The row of `contents` is deleted; SQLite overwrites it in the file (`secure_delete`), and
`scrub` of the store empties the write-ahead log behind it. What stays of a message is its
row, which its conversation and the proofs of its exchange need.

Spec: docs/spec/erasure.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.message.effect import Effect
from gateway.core.message.retention import CARRIED, UNCHANGEABLE, Ending, Ground
from gateway.core.states import State
from gateway.ports import Erasure, Hold, MessageRow
from gateway.storage.effects import undo_effects
from gateway.storage.engine import replace_row
from gateway.storage.outbox_sql import PUT_VOID
from gateway.storage.rows import INSERT_ENDING, MESSAGE, WIDTH, message_row
from gateway.storage.session import Session
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import (
    KEPT,
    Big,
    bundles,
    contents,
    effects,
    endings,
    erasures,
    holds,
    idempotency,
    inbox,
    messages,
    sent_entries,
    shipments,
    state_is,
)

_bind: Final = sa.bindparam
_m: Final = messages.c
_erased: Final[sa.ColumnElement[Any]] = sa.literal_column(str(int(State.ERASED)))

# --- destruction ---------------------------------------------------------------------

_IS_DUE: Final = sa.and_(KEPT, _m.erase_ms <= _bind("now", type_=Big))
_HAS_DUE: Final = Statement(sa.select(_m.number).where(_IS_DUE).limit(1))
_DUE: Final = Statement(
    sa.select(*MESSAGE).where(_IS_DUE).order_by(_m.erase_ms, _m.number).limit(_bind("most", type_=Big))
)
_DESTROY: Final = ListStatement(lambda items: sa.delete(contents).where(contents.c.number.in_(items)))
_ERASE: Final = ListStatement(
    lambda items: (
        sa.update(messages)
        .where(_m.number.in_(items))
        .values(
            # A receipt can say *erased* first: what it was before stands there already.
            was=sa.case((state_is(_m.state, State.ERASED), _m.was), else_=_m.state),
            state=_erased,
            erase_ms=sa.null(),
        )
    )
)


def _erased_as(state: State) -> ListStatement:
    return ListStatement(
        lambda items: (
            sa.update(messages).where(_m.number.in_(items)).values(was=sa.literal_column(str(int(state))))
        )
    )


_PERHAPS_SENT: Final = _erased_as(State.SENT)
_WAS_RECEIVED: Final = _erased_as(State.RECEIVED)
_PUT_ERASURE: Final = Statement(replace_row(erasures), row=[column.name for column in erasures.columns])
_FORGET_BOX: Final = Statement(
    sa.update(shipments)
    .where(
        shipments.c.start
        == sa.select(sa.func.max(bundles.c.start)).where(bundles.c.start <= _bind("entry")).scalar_subquery()
    )
    .values(box=sa.null()),
    row=("entry",),
)
_FORGET_POST: Final = ListStatement(
    lambda items: (
        sa.update(idempotency).where(idempotency.c.message_id.in_(items)).values(body_digest=sa.literal(b""))
    )
)
_FIND: Final = Statement(
    sa.select(*MESSAGE, erasures.c.at_ms, erasures.c.audit_index, erasures.c.log_index)
    .select_from(messages.outerjoin(erasures, erasures.c.number == _m.number))
    .where(_m.message_id == _bind("id"))
)
_DUE_ENTRIES: Final = Statement(
    sa.select(_m.number, _m.outgoing, _m.log_index)
    .select_from(erasures.join(messages, _m.number == erasures.c.number))
    .where(erasures.c.due.is_(True))
    .order_by(erasures.c.number)
    .limit(_bind("most", type_=Big)),
    decided_by=erasures,
)
_LOGGED: Final = Statement(
    sa.update(erasures)
    .where(erasures.c.number == _bind("message"))
    .values(due=sa.false(), log_index=_bind("entry")),
    row=("entry", "message"),
)

# --- orders --------------------------------------------------------------------------

_by: Final = messages.alias("ordering")
_SETTLED: Final = Statement(
    sa.select(
        endings.c.target,
        endings.c.by_id,
        endings.c.erase_ms,
        endings.c.ground,
        _by.c.state,
        _by.c.was,
        _by.c.outgoing,
        _by.c.number,
        _m.number,
        _m.outgoing,
        _m.ground,
    )
    .select_from(
        endings.outerjoin(_by, _by.c.message_id == endings.c.by_id).outerjoin(
            messages, _m.message_id == endings.c.target
        )
    )
    .where(
        sa.or_(
            sa.and_(sa.func.length(endings.c.by_id) == sa.literal_column("0"), _m.number.is_not(None)),
            _by.c.state.not_in(
                [sa.literal_column(str(int(s))) for s in (State.ACCEPTED, State.SENT, State.DELIVERED)]
            ),
        )
    )
    .limit(_bind("most", type_=Big))
)
_SET_END: Final = Statement(
    sa.update(messages)
    .where(_m.number == _bind("message"), ~state_is(_m.state, State.ERASED))
    .values(erase_ms=_bind("at"), ground=_bind("why")),
    row=("at", "why", "message"),
)
_correcting: Final = messages.alias("correcting")
_CORRECTIONS: Final = ListStatement(
    lambda items: (
        sa.select(_m.number, _correcting.c.number)
        .select_from(
            messages.join(effects, effects.c.subject == _m.message_id).join(
                _correcting, _correcting.c.number == effects.c.number
            )
        )
        .where(
            _m.number.in_(items),
            effects.c.effect == sa.literal_column(str(int(Effect.CORRECTS))),
            _correcting.c.outgoing == _m.outgoing,
        )
    )
)
_DROP_ENDING: Final = Statement(
    sa.delete(endings).where(endings.c.target == _bind("of"), endings.c.by_id == _bind("by")),
    row=("of", "by"),
)
_SENT_AT: Final = Statement(
    sa.select(_m.message_id)
    .select_from(sent_entries.join(messages, _m.number == sent_entries.c.number))
    .where(sent_entries.c.log_index == _bind("index"))
)
_ARRIVED_AT: Final = Statement(
    sa.select(_m.message_id)
    .select_from(inbox.join(messages, _m.number == inbox.c.number))
    .where(inbox.c.entry_index == _bind("index"))
    .limit(1)
)

# --- holds ---------------------------------------------------------------------------

_PUT_HOLD: Final = Statement(replace_row(holds), row=[column.name for column in holds.columns])
_HOLDS: Final = Statement(sa.select(*holds.columns).order_by(holds.c.at_ms, holds.c.subject))
_HELD: Final = Statement(sa.select(sa.func.count()).select_from(messages).where(_m.held.is_(True)))


def _lift(*, conversation: bool) -> Statement:
    return Statement(
        sa.delete(holds).where(holds.c.subject == _bind("of"), _is_for(conversation=conversation))
    )


def _is_for(*, conversation: bool) -> sa.ColumnElement[bool]:
    return holds.c.conversation.is_(sa.true() if conversation else sa.false())


def _subject(*, conversation: bool) -> sa.ColumnElement[bool]:
    column = _m.conversation_id if conversation else _m.message_id
    return column == _bind("of")


def _keep(*, conversation: bool) -> Statement:
    return Statement(sa.update(messages).where(_subject(conversation=conversation)).values(held=sa.true()))


def _free(*, conversation: bool) -> Statement:
    """Messages that another hold names stay as they are."""
    column = _m.message_id if conversation else _m.conversation_id
    other = (
        sa.select(holds.c.subject)
        .where(holds.c.subject == column, _is_for(conversation=not conversation))
        .exists()
    )
    return Statement(
        sa.update(messages).where(_subject(conversation=conversation), ~other).values(held=sa.false())
    )


def _kept(*, conversation: bool) -> Statement:
    return Statement(
        sa.select(sa.func.count())
        .select_from(messages.join(contents, contents.c.number == _m.number))
        .where(_subject(conversation=conversation))
    )


_LIFT: Final = {conversation: _lift(conversation=conversation) for conversation in (False, True)}
_KEEP: Final = {conversation: _keep(conversation=conversation) for conversation in (False, True)}
_FREE: Final = {conversation: _free(conversation=conversation) for conversation in (False, True)}
_COUNT_KEPT: Final = {conversation: _kept(conversation=conversation) for conversation in (False, True)}


class SqlRemoval:
    """Implements `gateway.ports.Removal` on a session."""

    def __init__(self, session: Session) -> None:
        """Work on this session."""
        self._session = session

    def has_due(self, now_ms: int) -> bool:
        """Return whether content is there whose time is over and that nothing holds."""
        return self._session.first(_HAS_DUE, now=now_ms) is not None

    def due(self, now_ms: int, *, limit: int) -> list[MessageRow]:
        """Return the messages of such content, the longest overdue first."""
        return [message_row(row) for row in self._session.all(_DUE, now=now_ms, most=limit)]

    def erase(
        self,
        rows: Sequence[MessageRow],
        *,
        at_ms: int,
        audit_index: int,
        logged: bool,
        certain_above: int = 0,
    ) -> None:
        """Destroy ciphertext, wrapped key and box copy of messages; they become *erased*."""
        numbers = [row.number for row in rows]
        if not numbers:
            return
        self._session.change_listed(_DESTROY, numbers)
        self._session.recent.drop(numbers)
        self._session.change_listed(_FORGET_POST, [row.message_id for row in rows])
        self._session.change_listed(_ERASE, numbers)
        self._session.many(
            _FORGET_BOX, [(row.log_index,) for row in rows if row.outgoing and row.log_index is not None]
        )
        waiting = [row for row in rows if row.outgoing and row.state is State.ACCEPTED]
        unsent = [row for row in waiting if row.number > certain_above and not row.is_unanswered]
        never_sent = {row.number for row in unsent}
        # What the peer had received and lost is not sent once more: it was received.
        received = [row.number for row in waiting if row.was_received]
        self._session.change_listed(_WAS_RECEIVED, received)
        in_doubt = {row.number for row in waiting}.difference(never_sent, received)
        self._session.change_listed(_PERHAPS_SENT, sorted(in_doubt))
        if unsent:
            voids = [(row.conversation_id, row.from_agency, row.seq, True) for row in unsent]
            self._session.many(PUT_VOID, voids)
            undo_effects(self._session, sorted(never_sent))
        self._session.many(
            _PUT_ERASURE,
            [
                (
                    row.number,
                    at_ms,
                    audit_index,
                    row.number in in_doubt or (row.outgoing and row.state in {State.SENT, State.DELIVERED}),
                    logged and row.log_index is not None,
                    None,
                )
                for row in rows
            ],
        )
        moved = Counter(row.state for row in rows if row.outgoing and row.state is not State.ERASED)
        for state, count in moved.items():
            self._session.move(state, State.ERASED, count)

    def put_ending(self, ending: Ending, *, by_id: bytes = b"") -> None:
        """Remember what is ordered about the content of a message."""
        retention = ending.retention
        self._session.many(INSERT_ENDING, [(ending.target, by_id, retention.erase_ms, int(retention.ground))])

    def has_endings(self) -> bool:
        """Return whether `settle_endings` would settle anything."""
        return self._session.first(_SETTLED, most=1) is not None

    def settle_endings(self, *, limit: int) -> int:
        """Apply what is ordered by messages that were received; return how many were settled."""
        rows = self._session.all(_SETTLED, most=limit)
        changes: list[tuple[int, int, int]] = []
        # Several may name one message: what was accepted later counts, as if each were settled alone.
        grounds: dict[int, int | None] = {}
        for _, by_id, erase_ms, ground, state, was, outgoing, _, number, target_outgoing, known in sorted(
            rows, key=_place
        ):
            if number is None or (by_id and not _stands(state, was)):
                continue
            if by_id and bool(outgoing) != bool(target_outgoing):
                continue
            if ground == Ground.USE_CHANGE and grounds.get(number, known) in UNCHANGEABLE:
                continue
            grounds[number] = ground
            changes.append((erase_ms, ground, number))
        changes += self._of_corrections(changes)
        self._session.many(_SET_END, changes)
        self._session.many(_DROP_ENDING, [(row[0], row[1]) for row in rows])
        return len(rows)

    def _of_corrections(self, changes: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Return the same ends for the corrections of messages: they hold values of what they correct.

        Corrections of corrections included. An order names one message, and means that one.
        """
        found: list[tuple[int, int, int]] = []
        by_number = {number: (at, why) for at, why, number in changes if why in CARRIED}
        while by_number:
            rows = self._session.listed(_CORRECTIONS, by_number)
            by_number = {correction: by_number[number] for number, correction in rows}
            found += [(at, why, number) for number, (at, why) in by_number.items()]
        return found

    def message_at(self, log_index: int, *, outgoing: bool) -> bytes | None:
        """Return the id of the message at an index of the own log, or of the mirror, or None."""
        row = self._session.first(_SENT_AT if outgoing else _ARRIVED_AT, index=log_index)
        return None if row is None else row[0]

    def find(self, message_id: bytes) -> tuple[MessageRow, Erasure | None] | None:
        """Return a message of whichever agency and direction, and where its erasure is on record."""
        row = self._session.first(_FIND, id=message_id)
        if row is None:
            return None
        at_ms, audit_index, log_index = row[WIDTH : WIDTH + 3]
        erasure = None
        if at_ms is not None:
            erasure = Erasure(at_ms=at_ms, audit_index=audit_index, log_index=log_index)
        return message_row(row), erasure

    def due_entries(self, *, limit: int) -> list[tuple[int, bool, int]]:
        """Return (number, outgoing, log index) of erasures that the exchange log has to name."""
        return [
            (number, bool(outgoing), index)
            for number, outgoing, index in self._session.all(_DUE_ENTRIES, most=limit)
        ]

    def entries_logged(self, numbers: Sequence[int], *, log_index: int) -> None:
        """Record that the exchange log names erasures, one an entry from ``log_index`` on."""
        self._session.many(_LOGGED, [(index, number) for index, number in enumerate(numbers, log_index)])

    def hold(self, hold: Hold) -> int:
        """Let a hold stand, or stand again; return how many messages with content it keeps."""
        self._session.many(_PUT_HOLD, [(hold.subject, hold.conversation, hold.at_ms, hold.reason)])
        self._session.change(_KEEP[hold.conversation], of=hold.subject)
        row = self._session.first(_COUNT_KEPT[hold.conversation], of=hold.subject)
        return row[0] if row else 0

    def lift(self, subject: bytes, *, conversation: bool) -> bool:
        """End a hold; return whether there was one. Other holds on the same messages stay."""
        if self._session.change(_LIFT[conversation], of=subject) == 0:
            return False
        self._session.change(_FREE[conversation], of=subject)
        return True

    def holds(self) -> list[Hold]:
        """Return every hold, the oldest first."""
        return [
            Hold(subject=subject, conversation=bool(conversation), at_ms=at_ms, reason=reason)
            for subject, conversation, at_ms, reason in self._session.all(_HOLDS)
        ]

    def held(self) -> int:
        """Return how many messages are held."""
        row = self._session.first(_HELD)
        return row[0] if row else 0


def _place(row: Sequence[Any]) -> int:
    """Return the number of the message that orders an end; an order of this node stands before them."""
    number: int | None = row[7]
    return -1 if number is None else number


def _stands(state: int | None, was: int | None) -> bool:
    """Return whether the other side has the message that orders an end."""
    return state is not None and State(was or state) in {State.RECEIVED, State.COLLECTED}
