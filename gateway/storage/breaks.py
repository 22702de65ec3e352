"""Outgoing messages after a break: what is known of them when something went back or ended.

A message of which no receipt speaks may have arrived all the same. That is so while the own log is not
known to be whole (`gateway.node.beginning`), and of what was on its way when a generation ended. It never
ends by this node's word then, whether it still waits or its content was erased: it is found in the refilled
log, or it is sent once more, without content if that is gone, and the receipt says what became of it.

Spec: docs/spec/exchange.md, "Start", "Recovery" and "Frozen pair".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.message.retention import FORESEEN, Ground
from gateway.core.states import State, sources_of
from gateway.storage.effects import undo_effects
from gateway.storage.outbox_sql import (
    ANSWERED,
    ANY_UNANSWERED,
    PUT_VOID,
    SENT_ENTRY,
    VOID_LOGGED,
    was_not_sent,
)
from gateway.storage.session import Row, Session
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import Big, erasures, messages, sent_entries, state_is, voids

_bind: Final = sa.bindparam
_m: Final = messages.c
_is_accepted: Final = state_is(_m.state, State.ACCEPTED)
_UNDECIDED: Final = frozenset({State.ACCEPTED, State.SENT, State.DELIVERED})


def _literal(state: State) -> sa.ColumnElement[Any]:
    return sa.literal_column(str(int(state)))


# --- rolled back ---------------------------------------------------------------------


def _rolled_back(source: State) -> Statement:
    return Statement(
        sa.update(messages)
        .where(
            _m.number.in_(sa.select(sent_entries.c.number).where(sent_entries.c.log_index >= _bind("first"))),
            _m.log_index >= _bind("first"),
            state_is(_m.state, source),
        )
        # What was known of its arrival stays until a receipt says it anew (`MessageRow.was_received`). It is
        # as if it was sent once: the peer may ask for it as often as for any other.
        .values(state=_literal(State.SENT), sendings=sa.literal_column("1"))
    )


_ROLLED_BACK: Final = {
    source: _rolled_back(source) for source in sources_of(State.SENT) if source is not State.ACCEPTED
}
# What its addressees have stays so until the peer asks for it: it may still hold the box.
_MAY_ASK: Final = Statement(
    sa.update(messages)
    .where(
        _m.number.in_(sa.select(sent_entries.c.number).where(sent_entries.c.log_index >= _bind("first"))),
        state_is(_m.state, State.COLLECTED),
        _m.sendings > sa.literal_column("1"),
    )
    .values(sendings=sa.literal_column("1"))
)

# --- started anew ------------------------------------------------------------------------

# Whether it arrived is not known, and what an earlier receipt said of an earlier sending says nothing of
# it: so `MessageRow.is_unanswered`. The place stays, of the generation that ended. One that says that it was
# received, before the peer lost it, stays as well.
_was_received: Final = sa.and_(_m.receipt_index.is_not(None), _m.exception.is_(None))
_ANEW: Final[dict[str, Any]] = {
    "sent_ms": sa.func.coalesce(_m.sent_ms, _m.arrived_ms),
    "delivered_ms": sa.null(),
    "decided_ms": sa.case((_was_received, _m.decided_ms)),
    "receipt_index": sa.case((_was_received, _m.receipt_index)),
    "exception": sa.null(),
    "rule": sa.null(),
    "sendings": sa.literal_column("0"),
}


def _start_anew(source: State) -> Statement:
    return Statement(
        sa.update(messages)
        .where(
            _m.number.in_(sa.select(sent_entries.c.number).where(sent_entries.c.log_index >= _bind("first"))),
            state_is(_m.state, source),
        )
        .values(state=_literal(State.ACCEPTED), **_ANEW)
    )


_START_ANEW: Final = {source: _start_anew(source) for source in (State.SENT, State.DELIVERED)}
_DOUBT: Final = Statement(
    sa.update(messages).where(_is_accepted, _m.number <= _bind("most", type_=Big)).values(_ANEW)
)
_DOUBT_ERASED: Final = ListStatement(
    lambda items: sa.update(messages).where(_m.number.in_(items)).values(_ANEW)
)

# --- erased before it was answered -------------------------------------------------------

_unanswered: Final = sa.select(erasures.c.number).select_from(
    erasures.join(messages, _m.number == erasures.c.number)
)
_ERASED_UNANSWERED: Final = Statement(_unanswered.where(erasures.c.unanswered.is_(True)))
_ERASED_UNSENT: Final = Statement(
    _unanswered.add_columns(_m.conversation_id, _m.from_agency, _m.seq).where(
        erasures.c.unanswered.is_(True), _m.log_index.is_(None), was_not_sent
    )
)
_ERASED_ANEW: Final = Statement(
    _unanswered.add_columns(_m.log_index)
    .where(erasures.c.unanswered.is_(True), _m.log_index < _bind("first", type_=Big))
    .order_by(erasures.c.number)
    .limit(_bind("most", type_=Big))
)
_NEVER_SEEN: Final = ListStatement(
    lambda items: sa.update(messages).where(_m.number.in_(items)).values(was=_literal(State.ACCEPTED))
)
_ASK: Final = Statement(
    sa.update(messages)
    .where(_m.number == _bind("message"))
    .values(
        log_index=_bind("entry"),
        sendings=_m.sendings + sa.literal_column("1"),
        sent_ms=_bind("at", type_=Big),
    ),
    row=("entry", "at", "message"),
)

# --- recovered -----------------------------------------------------------------------

_STATES_OF: Final = ListStatement(
    lambda items: sa.select(
        _m.message_id, _m.number, _m.state, _m.was, _m.conversation_id, _m.from_agency, _m.seq
    ).where(_m.message_id.in_(items), _m.outgoing.is_(True))
)


def _recovered(column: str) -> Statement:
    """Return what moves a message to its place, *delivered*: in its state, or in what it was when erased."""
    delivered: dict[str, Any] = {column: _literal(State.DELIVERED)}
    return Statement(
        sa.update(messages)
        .where(_m.number == _bind("message"))
        .values(
            **delivered,
            log_index=_bind("entry"),
            sendings=_m.sendings + sa.literal_column("1"),
            sent_ms=sa.func.coalesce(_m.sent_ms, _bind("at", type_=Big)),
            delivered_ms=_bind("at", type_=Big),
        ),
        row=("entry", "at", "at", "message"),
    )


_RECOVERED: Final = _recovered("state")
_RECOVERED_ERASED: Final = _recovered("was")
_ON_RECORD: Final[list[sa.ColumnElement[Any]]] = [
    sa.literal_column(str(int(ground))) for ground in (*FORESEEN, Ground.RESTORED)
]
_UNANSWERED_AGAIN: Final = ListStatement(
    lambda items: (
        sa.update(erasures)
        .where(erasures.c.number.in_(items))
        .values(
            unanswered=sa.true(),
            # Erased by an order that the log does not name, for want of a place, it names now.
            due=sa.or_(
                erasures.c.due,
                sa.and_(
                    erasures.c.log_index.is_(None),
                    sa.exists().where(_m.number == erasures.c.number, _m.ground.not_in(_ON_RECORD)),
                ),
            ),
        )
    )
)
_WAITING_UNDER: Final = ListStatement(
    lambda items: sa.select(_m.message_id).where(
        _m.conversation_id == _bind("conversation"),
        _m.from_agency == _bind("by"),
        _m.seq.in_(items),
        _m.outgoing.is_(True),
        _is_accepted,
    )
)
_NOT_VOID: Final = Statement(
    sa.delete(voids).where(
        voids.c.conversation_id == _bind("conversation"),
        voids.c.agency == _bind("by"),
        voids.c.seq == _bind("which"),
        voids.c.due.is_(True),
    ),
    row=("conversation", "by", "which"),
)


class Breaks:
    """The part of the outbox that takes breaks into account."""

    def __init__(self, session: Session) -> None:
        """Work on this session."""
        self._session = session

    def start_anew(self, first: int, *, in_doubt: int = 0) -> int:
        """Move messages from place ``first`` on that no receipt speaks of back to *accepted*.

        Their log is closed. Those that were erased meanwhile are named by `erased_anew` from now on.

        Args:
            first: Place of index 0 of that log.
            in_doubt: Messages up to this number that wait may have been sent as well.

        Returns:
            How many messages are sent once more.
        """
        erased = self._session.all(_ERASED_UNANSWERED)
        self._session.change_listed(_DOUBT_ERASED, [number for (number,) in erased])
        self._session.change(_DOUBT, most=in_doubt)
        total = 0
        for source, statement in _START_ANEW.items():
            moved = self._session.change(statement, first=first)
            self._session.move(source, State.ACCEPTED, moved)
            total += moved
        return total

    def erased_anew(self, first: int, *, limit: int) -> list[tuple[int, int]]:
        """Return (number, place) of messages below place ``first`` that were erased unanswered."""
        if first == 0:
            # The first generation: nothing is asked of the database for each bundle.
            return []
        if self._session.first(ANY_UNANSWERED) is None:
            return []
        return [(number, place) for number, place in self._session.all(_ERASED_ANEW, first=first, most=limit)]

    def mark_asked(self, asked: Sequence[tuple[int, int]], *, at_ms: int) -> None:
        """Let erased messages (number, log index) stand at a new entry, whose receipt will speak of them."""
        self._session.many(SENT_ENTRY, [(index, number) for number, index in asked])
        self._session.many(_ASK, [(index, at_ms, number) for number, index in asked])

    def settle_erased(self) -> int:
        """Declare void what was erased in doubt whether it was sent, and was not; return how many."""
        found = self._session.all(_ERASED_UNSENT)
        numbers = [number for number, *_ in found]
        self._session.many(PUT_VOID, [(*place, True) for _, *place in found])
        self._session.change_listed(_NEVER_SEEN, numbers)
        self._session.change_listed(ANSWERED, numbers)
        undo_effects(self._session, numbers)
        return len(found)

    def rolled_back(self, size: int) -> int:
        """Move messages from index ``size`` on back to *sent*, as far as they are not collected.

        Of the others it is remembered as well that the peer may ask for them as if they were sent once.
        """
        total = 0
        for source, statement in _ROLLED_BACK.items():
            moved = self._session.change(statement, first=size)
            self._session.move(source, State.SENT, moved)
            total += moved
        self._session.change(_MAY_ASK, first=size)
        return total

    def recovered(self, messages: Sequence[tuple[int, bytes]], *, at_ms: int) -> None:
        """Move messages (log index, message id) that a recovered log holds to *delivered*.

        Ids that this database does not know are ignored: they were accepted after the backup.
        """
        known = {
            message_id: (number, _state(state), _state(was), place)
            for message_id, number, state, was, *place in self._session.listed(
                _STATES_OF, [message_id for _, message_id in messages]
            )
        }
        newest: dict[bytes, int] = {}
        for index, message_id in messages:
            newest[message_id] = max(index, newest.get(message_id, 0))
        self._session.many(
            SENT_ENTRY,
            [(index, known[item][0] if item in known else None) for index, item in messages],
        )
        changes: list[Row] = []
        erased: list[Row] = []
        used: list[Row] = []
        for message_id, (number, state, was, place) in known.items():
            change = (newest[message_id], at_ms, at_ms, number)
            if state in _UNDECIDED:
                changes.append(change)
                self._session.move(state, State.DELIVERED, 1)
            elif state is State.ERASED and was in _UNDECIDED:
                erased.append(change)
                used.append(tuple(place))
        self._session.many(_RECOVERED, changes)
        self._session.many(_RECOVERED_ERASED, erased)
        self._session.change_listed(_UNANSWERED_AGAIN, [change[-1] for change in erased])
        self._session.many(_NOT_VOID, used)

    def waiting_under(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> list[bytes]:
        """Return the ids of *accepted* messages of an agency with these numbers in a conversation."""
        rows = self._session.listed(_WAITING_UNDER, numbers, conversation=conversation_id, by=agency)
        return [message_id for (message_id,) in rows]

    def voids_recovered(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> None:
        """Remember numbers that a recovered log declares void: it does not have to say so again."""
        self._session.many(PUT_VOID, [(conversation_id, agency, number, False) for number in numbers])
        self._session.many(VOID_LOGGED, [(conversation_id, agency, number) for number in numbers])


def _state(number: int | None) -> State | None:
    return None if number is None else State(number)
