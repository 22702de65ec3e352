"""What waits and what went wrong: what the queue of the operators is made of.

Everything here reads, through indexes that hold only what can be found: a node with a long
history answers as quickly as a new one.

Spec: docs/storage.md, "Indexes"; docs/operating.md, "Queue".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from gateway.core.states import Precedence, State
from gateway.ports import MessageRow
from gateway.storage.effects import NO_DEADLINE
from gateway.storage.rows import MESSAGE, message_row
from gateway.storage.session import Session
from gateway.storage.statements import Statement
from gateway.storage.tables import FAILED, Big, messages, open_requests, sent_entries, state_is

WINDOW: Final = 100_000
"""Newest entries of the own log among which messages without a receipt are looked for."""

_bind: Final = sa.bindparam
_m: Final = messages.c
_is_accepted: Final = state_is(_m.state, State.ACCEPTED)
_most: Final = _bind("most", type_=Big)

_WAITING: Final = Statement(sa.select(*MESSAGE).where(_is_accepted).order_by(_m.rank, _m.number).limit(_most))
_WAITING_BY_AGENCY: Final = Statement(
    # Named with its rank, so that the walk is one of the small index of what waits.
    sa.select(_m.from_agency, sa.func.count())
    .where(_is_accepted, _m.rank == _bind("of"))
    .group_by(_m.from_agency)
)
_OLDEST: Final = Statement(
    sa.select(_m.arrived_ms).where(_is_accepted, _m.rank == _bind("of")).order_by(_m.number).limit(1)
)
_UNCONFIRMED: Final = Statement(
    sa.select(*MESSAGE)
    .where(state_is(_m.state, State.SENT), _m.log_index >= sa.literal_column("0"))
    .order_by(_m.log_index)
    .limit(_most)
)
_NEWEST_ENTRY: Final = Statement(sa.select(sa.func.max(sent_entries.c.log_index)))
_UNANSWERED: Final = Statement(
    sa.select(*MESSAGE)
    .select_from(sent_entries.join(messages, _m.number == sent_entries.c.number))
    .where(
        sent_entries.c.log_index >= _bind("first"),
        # A message that was sent again belongs to its newest entry.
        _m.log_index == sent_entries.c.log_index,
        state_is(_m.state, State.DELIVERED),
    )
    .order_by(sent_entries.c.log_index)
    .limit(_most)
)
_ENDED: Final = Statement(
    sa.select(*MESSAGE).where(FAILED, _m.state == _bind("of")).order_by(_m.number.desc()).limit(_most)
)
_NEXT_AGENCY: Final = Statement(
    sa.select(open_requests.c.agency)
    .where(open_requests.c.agency > _bind("above"))
    .order_by(open_requests.c.agency)
    .limit(1)
)
_IS_OVERDUE: Final = sa.and_(open_requests.c.agency == _bind("by"), open_requests.c.due_ms < _bind("now"))
_OVERDUE: Final = Statement(
    sa.select(*MESSAGE)
    .select_from(open_requests.join(messages, _m.number == open_requests.c.number))
    .where(_IS_OVERDUE)
    .order_by(open_requests.c.due_ms, open_requests.c.number)
    .limit(_most)
)
_NUMBERS_OVERDUE: Final = Statement(sa.select(open_requests.c.number).where(_IS_OVERDUE))


class SqlQueue:
    """Implements `gateway.ports.Queue` on a session."""

    def __init__(self, session: Session) -> None:
        """Work on this session."""
        self._session = session

    def waiting(self, *, limit: int) -> list[MessageRow]:
        """Return accepted messages in the order in which they will be sent."""
        return [message_row(row) for row in self._session.all(_WAITING, most=limit)]

    def waiting_by_agency(self) -> Mapping[str, int]:
        """Return how many messages of each agency are accepted and not sent."""
        found: dict[str, int] = {}
        for rank in Precedence:
            for agency, count in self._session.all(_WAITING_BY_AGENCY, of=int(rank)):
                found[agency] = found.get(agency, 0) + count
        return found

    def oldest_waiting_ms(self) -> int | None:
        """Return when the oldest message was accepted that waits, or None if none does."""
        firsts = [self._session.first(_OLDEST, of=int(rank)) for rank in Precedence]
        return min((row[0] for row in firsts if row is not None), default=None)

    def unconfirmed(self, *, limit: int) -> list[MessageRow]:
        """Return *sent* messages in order of the log."""
        return [message_row(row) for row in self._session.all(_UNCONFIRMED, most=limit)]

    def unanswered(self, *, limit: int) -> list[MessageRow]:
        """Return *delivered* messages without a receipt in order of the log."""
        row = self._session.first(_NEWEST_ENTRY)
        newest = 0 if row is None or row[0] is None else row[0]
        first = max(0, newest - WINDOW)
        return [message_row(row) for row in self._session.all(_UNANSWERED, first=first, most=limit)]

    def ended(self, state: State, *, limit: int) -> list[MessageRow]:
        """Return messages that ended *refused* or *expired*, the newest first."""
        return [message_row(row) for row in self._session.all(_ENDED, of=int(state), most=limit)]

    def overdue(self, now_ms: int, *, limit: int) -> list[MessageRow]:
        """Return open requests whose deadline is over, the longest first."""
        # A request that concerns several agencies of this node has a row for each of them.
        rows = {
            row[0]: message_row(row)
            for agency in self._agencies()
            for row in self._session.all(_OVERDUE, by=agency, now=min(now_ms, NO_DEADLINE), most=limit)
        }
        return sorted(rows.values(), key=lambda row: (row.reply_by_ms or 0, row.number))[:limit]

    def count_overdue(self, now_ms: int) -> int:
        """Return how many open requests are over their deadline."""
        return len(
            {
                row[0]
                for agency in self._agencies()
                for row in self._session.all(_NUMBERS_OVERDUE, by=agency, now=min(now_ms, NO_DEADLINE))
            }
        )

    def _agencies(self) -> list[str]:
        """Return the agencies that have open requests: one step of the index for each."""
        found: list[str] = []
        while (row := self._session.first(_NEXT_AGENCY, above=found[-1] if found else "")) is not None:
            found.append(row[0])
        return found
