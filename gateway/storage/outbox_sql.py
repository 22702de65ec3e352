"""The statements of the outbox, in the order of a message's life.

Apart from `gateway.storage.outbox` so that each can be read by itself: here is what the
database is asked, there is why and when.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from gateway.core.states import State, sources_of
from gateway.storage.engine import keep_first, replace_row
from gateway.storage.rows import HEADER, MESSAGE, with_frames
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import (
    Big,
    bundles,
    collections,
    contents,
    erasures,
    messages,
    sent_entries,
    shipments,
    state_is,
    voids,
)

_bind: Final = sa.bindparam
_m: Final = messages.c
_is_accepted: Final = state_is(_m.state, State.ACCEPTED)


def _literal(state: State) -> sa.ColumnElement[Any]:
    return sa.literal_column(str(int(state)))


# --- waiting -------------------------------------------------------------------------

LESS_URGENT: Final = Statement(
    # However many wait, `most` of them are looked at, from the end of the index.
    sa.select(_m.number, _m.conversation_id, _m.rank, _m.message_id)
    .where(_is_accepted, _m.rank > _bind("than"))
    .order_by(_m.rank.desc(), _m.number.desc())
    .limit(_bind("most", type_=Big))
)
RAISE_THESE: Final = ListStatement(
    lambda items: sa.update(messages).where(_m.number.in_(items)).values(rank=_bind("to"))
)
LESS_URGENT_IN: Final = Statement(
    # Walks the whole conversation: there is no index of those that wait in it.
    sa.select(_m.number, _m.message_id).where(
        _m.conversation_id == _bind("conversation"),
        _is_accepted,
        _m.rank > _bind("than"),
    )
)
WAITING: Final = Statement(
    # Of the index alone.
    sa.select(_m.number, _m.rank)
    .where(_is_accepted)
    .order_by(_m.rank, _m.number)
    .limit(_bind("most", type_=Big))
)
HEADERS: Final = ListStatement(
    lambda items: (
        sa.select(*HEADER, _m.number, sa.func.length(contents.c.ciphertext))
        .select_from(with_frames(messages.outerjoin(contents, contents.c.number == _m.number)))
        .where(_m.number.in_(items))
    )
)
CONTENTS: Final = ListStatement(
    lambda items: sa.select(contents.c.number, contents.c.ciphertext, contents.c.wrapped_key).where(
        contents.c.number.in_(items)
    )
)
# Not so what was on its way when an earlier generation ended, or what the peer had and lost
# (`MessageRow.is_unanswered`).
was_not_sent: Final = sa.or_(_m.sent_ms.is_(None), _m.exception.is_not(None))
_is_over: Final = sa.and_(
    _is_accepted,
    _m.expires_ms <= _bind("now"),
    _m.number > _bind("above", type_=Big),
    was_not_sent,
)
EXPIRED: Final = Statement(
    sa.select(*MESSAGE).where(_is_over).order_by(_m.expires_ms).limit(_bind("most", type_=Big))
)
HAS_EXPIRED: Final = Statement(sa.select(_m.number).where(_is_over).order_by(_m.expires_ms).limit(1))
NEWEST: Final = Statement(sa.select(sa.func.max(_m.number)))
END: Final = ListStatement(
    lambda items: (
        sa.update(messages)
        .where(_m.number.in_(items), _is_accepted)
        .values(state=_bind("to", type_=sa.SmallInteger()), decided_ms=_bind("at", type_=Big))
    )
)
POSTED: Final = Statement(
    sa.select(*MESSAGE).where(
        _m.message_id == _bind("id"), _m.from_agency == _bind("agency"), _m.outgoing.is_(True)
    )
)
LISTING: Final = Statement(
    sa.select(*MESSAGE)
    .where(_m.from_agency == _bind("agency"), _m.outgoing.is_(True), _m.number < _bind("below"))
    .order_by(_m.number.desc())
    .limit(_bind("most", type_=Big))
)
ADDRESSEES: Final = Statement(
    sa.select(_m.to_agencies, collections.c.agency, collections.c.collected_ms, collections.c.log_index)
    .select_from(messages.outerjoin(collections, collections.c.number == _m.number))
    .where(_m.message_id == _bind("id"), _m.outgoing.is_(True))
)

# --- sent ----------------------------------------------------------------------------

SEND: Final = Statement(
    # One statement for all messages whose entries stand in a range: a step a message would
    # hand the interpreter lock back and forth once a message.
    sa.update(messages)
    .where(
        _m.number == sent_entries.c.number,
        sent_entries.c.log_index >= _bind("first", type_=Big),
        sent_entries.c.log_index < _bind("stop", type_=Big),
        _is_accepted,
    )
    .values(
        state=_literal(State.SENT),
        log_index=sent_entries.c.log_index,
        sendings=_m.sendings + sa.literal_column("1"),
        sent_ms=_bind("at", type_=Big),
        # Of an earlier sending, if there was one.
        delivered_ms=sa.null(),
    )
)
SENT_ENTRY: Final = Statement(sa.insert(sent_entries), row=("log_index", "number"))
INSERT_BUNDLE: Final = Statement(sa.insert(bundles), row=[column.name for column in bundles.columns])
INSERT_SHIPMENT: Final = Statement(sa.insert(shipments), row=("start", "box", "note"))
# A bundle that is sent again after it was cosigned has no row any more.
SET_NOTE: Final = Statement(replace_row(shipments, "note"), row=("start", "note"))
GROW_BUNDLE: Final = Statement(
    sa.update(bundles)
    .where(
        bundles.c.start == _bind("first"),
        sa.select(shipments.c.start)
        .where(shipments.c.start == bundles.c.start, shipments.c.note.is_(None))
        .exists(),
    )
    .values(stop=_bind("until", type_=Big), root=_bind("hash"))
)
BUNDLES: Final = Statement(
    sa.select(*bundles.columns, shipments.c.box, shipments.c.note)
    .select_from(bundles.outerjoin(shipments, shipments.c.start == bundles.c.start))
    .where(bundles.c.stop > _bind("index"))
    .order_by(bundles.c.stop)
    .limit(_bind("most", type_=Big))
)
CIPHERTEXTS: Final = Statement(
    sa.select(contents.c.ciphertext)
    .select_from(sent_entries.outerjoin(contents, contents.c.number == sent_entries.c.number))
    .where(sent_entries.c.log_index >= _bind("first"), sent_entries.c.log_index < _bind("stop"))
    .order_by(sent_entries.c.log_index)
)
DELIVER: Final = Statement(
    sa.update(messages)
    .where(state_is(_m.state, State.SENT), _m.log_index < _bind("below"))
    .values(state=_literal(State.DELIVERED), delivered_ms=_bind("at"))
)
FORGET_SHIPMENTS: Final = Statement(
    # Bundles stand one behind the other, so those that end here or before are those that begin
    # before the last of these ends.
    sa.delete(shipments).where(
        shipments.c.start
        < sa.select(sa.func.max(bundles.c.stop)).where(bundles.c.stop <= _bind("below")).scalar_subquery()
    )
)

# --- answered ------------------------------------------------------------------------


def _received(source: State) -> Statement:
    return Statement(
        sa.update(messages)
        # A message that was sent again belongs to its newest entry only.
        .where(
            state_is(_m.state, source),
            _m.log_index >= _bind("first"),
            _m.log_index < _bind("stop"),
        )
        .values(
            state=_literal(State.RECEIVED),
            # A receipt proves delivery too, often before the cosignature is read: the earlier counts.
            delivered_ms=sa.case((_m.delivered_ms < _bind("at"), _m.delivered_ms), else_=_bind("at")),
            decided_ms=_bind("at"),
            receipt_index=_bind("receipt"),
            exception=sa.null(),
            rule=sa.null(),
        )
    )


_OPEN_STATES: Final = [_literal(State.SENT), _literal(State.DELIVERED)]
RECEIVED: Final = {source: _received(source) for source in sources_of(State.RECEIVED)}
OPEN_AT: Final = ListStatement(
    lambda items: (
        sa.select(
            _m.log_index,
            _m.number,
            _m.state,
            _m.sendings,
            _m.receipt_index,
            _m.exception,
            _m.delivered_ms,
            _m.conversation_id,
            _m.from_agency,
            _m.seq,
        )
        .select_from(sent_entries.join(messages, _m.number == sent_entries.c.number))
        .where(
            sent_entries.c.log_index.in_(items),
            _m.log_index == sent_entries.c.log_index,
            # Erased on its way, it is open as well: its number may have to be declared void. A message that
            # was received may be asked for once more, also if its addressees have it.
            sa.case((state_is(_m.state, State.ERASED), _m.was), else_=_m.state).in_(
                [*_OPEN_STATES, _literal(State.RECEIVED), _literal(State.COLLECTED)]
            ),
        )
    )
)
EXCEPT: Final = Statement(
    sa.update(messages)
    .where(_m.number == _bind("message"))
    .values(
        state=_bind("to"),
        # NULL when it goes back to *accepted*: it has no entry then.
        log_index=_bind("entry"),
        # A receipt proves delivery too, whatever it says, often before the cosignature is read.
        delivered_ms=sa.func.coalesce(_m.delivered_ms, _bind("seen")),
        decided_ms=_bind("at"),
        receipt_index=_bind("receipt"),
        exception=_bind("code"),
        rule=_bind("broken"),
        was=_bind("before"),
    ),
    row=("to", "entry", "seen", "at", "receipt", "code", "broken", "before", "message"),
)
# What is known of its arrival stays, and where it stood.
SEND_ANEW: Final = ListStatement(
    lambda items: sa.update(messages).where(_m.number.in_(items)).values(state=_literal(State.ACCEPTED))
)
STATE_OF: Final = Statement(sa.select(_m.state, _m.to_agencies).where(_m.number == _bind("message")))
STAY_RECEIVED: Final = Statement(
    sa.update(messages)
    .where(_m.number == _bind("message"))
    .values(
        state=sa.case((_m.state.in_(_OPEN_STATES), _literal(State.RECEIVED)), else_=_m.state),
        was=sa.case((_m.was.in_(_OPEN_STATES), _literal(State.RECEIVED)), else_=_m.was),
        log_index=_bind("entry"),
        delivered_ms=sa.func.coalesce(_m.delivered_ms, _m.decided_ms),
    ),
    row=("entry", "message"),
)
ENTRY_WITHIN: Final = Statement(
    sa.select(sent_entries.c.log_index)
    .where(
        sent_entries.c.log_index >= _bind("first", type_=Big),
        sent_entries.c.log_index < _bind("stop", type_=Big),
        sent_entries.c.number == _bind("message"),
    )
    .order_by(sent_entries.c.log_index.desc())
    .limit(1)
)
ANY_UNANSWERED: Final = Statement(
    sa.select(erasures.c.number).where(erasures.c.unanswered.is_(True)).limit(1), decided_by=erasures
)
UNANSWERED: Final = Statement(
    sa.select(_m.number)
    .select_from(erasures.join(messages, _m.number == erasures.c.number))
    .where(erasures.c.unanswered.is_(True), _m.log_index >= _bind("first"), _m.log_index < _bind("stop"))
)
RECEIVED_ERASED: Final = Statement(
    sa.update(messages)
    .where(_m.number == _bind("message"))
    .values(
        was=_literal(State.RECEIVED),
        delivered_ms=sa.func.coalesce(_m.delivered_ms, _bind("seen")),
        decided_ms=_bind("at"),
        receipt_index=_bind("receipt"),
    ),
    row=("seen", "at", "receipt", "message"),
)
ANSWERED: Final = ListStatement(
    lambda items: sa.update(erasures).where(erasures.c.number.in_(items)).values(unanswered=sa.false())
)
ADDRESSED_AT: Final = ListStatement(
    lambda items: (
        sa.select(sent_entries.c.log_index, _m.number, _m.state, _m.to_agencies)
        .select_from(sent_entries.join(messages, _m.number == sent_entries.c.number))
        .where(sent_entries.c.log_index.in_(items))
    )
)
# An acknowledgement that is repeated leaves the first one as it is.
COLLECT: Final = Statement(keep_first(collections), row=("number", "agency", "collected_ms", "log_index"))
COLLECTED_BY: Final = ListStatement(
    lambda items: (
        sa.select(collections.c.number, sa.func.count())
        .where(collections.c.number.in_(items))
        .group_by(collections.c.number)
    )
)


def _complete(source: State) -> ListStatement:
    return ListStatement(
        lambda items: (
            sa.update(messages)
            .where(_m.number.in_(items), state_is(_m.state, source))
            .values(state=_literal(State.COLLECTED))
        )
    )


COMPLETE: Final = {source: _complete(source) for source in sources_of(State.COLLECTED)}

# --- voids ---------------------------------------------------------------------------

PUT_VOID: Final = Statement(keep_first(voids), row=("conversation_id", "agency", "seq", "due"))
VOIDS: Final = Statement(
    sa.select(voids.c.conversation_id, voids.c.agency, voids.c.seq)
    .where(voids.c.due.is_(True))
    .order_by(voids.c.conversation_id, voids.c.agency, voids.c.seq)
    .limit(_bind("most", type_=Big)),
    decided_by=voids,
)
VOID_LOGGED: Final = Statement(
    sa.update(voids)
    .where(
        voids.c.conversation_id == _bind("conversation"),
        voids.c.agency == _bind("by"),
        voids.c.seq == _bind("which"),
    )
    .values(due=sa.false()),
    row=("conversation", "by", "which"),
)
