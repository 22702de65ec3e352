"""What is known of conversations, in both directions.

Spec: docs/spec/exchange.md, "Conversations".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from heapq import merge
from typing import Any, Final, cast

import sqlalchemy as sa

from gateway.core.encoding import decode
from gateway.core.entries import MAX_ENTRY_BYTES
from gateway.core.message.effect import Effect
from gateway.ports import EffectRow, MessageRow, OpenRequest
from gateway.storage.rows import (
    HEADER,
    HEADER_WIDTH,
    MESSAGE,
    NO_LIMIT,
    WIDTH,
    header_from,
    message_row,
    rows_by_id,
    with_frames,
)
from gateway.storage.session import Session
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import Big, Bytes, contents, effects, inbox, messages, open_requests, voids

MAX_MISSING: Final = 1_000
"""Missing numbers named an agency: a sender that skips far ahead must not fill the memory."""

_PAGE: Final = 200

_KNOWN: Final = {int(effect): effect for effect in Effect}

_bind: Final = sa.bindparam
_m: Final = messages.c

_REPLIES: Final = ListStatement(
    lambda items: sa.select(*MESSAGE).where(_m.in_reply_to.in_(items)).order_by(_m.number)
)
_EFFECTS: Final = ListStatement(
    lambda items: (
        sa.select(*MESSAGE, effects.c.subject, effects.c.effect, effects.c.at_ms)
        .select_from(effects.join(messages, _m.number == effects.c.number))
        .where(effects.c.subject.in_(items))
        .order_by(effects.c.number)
    )
)
_OPEN_REQUESTS: Final = Statement(
    sa.select(_m.conversation_id, open_requests.c.due_ms, open_requests.c.number)
    .select_from(open_requests.join(messages, _m.number == open_requests.c.number))
    .where(
        open_requests.c.agency == _bind("by"),
        sa.tuple_(open_requests.c.due_ms, open_requests.c.number)
        > sa.tuple_(_bind("due", type_=Big), _bind("above", type_=Big)),
    )
    .order_by(open_requests.c.due_ms, open_requests.c.number)
    .limit(_bind("most", type_=Big))
)


def _last_numbers(pairs: Sequence[Any]) -> sa.CompoundSelect[Any]:
    """Return the highest number used, and the highest void, of those (conversation, agency) that have one.

    Each is found at the end of its piece of an index, in one step however long the conversation
    is; a grouping would walk all of it.
    """
    columns = (sa.column("conversation", Bytes()), sa.column("agency", sa.Text()))
    asked = sa.values(*columns, name="asked").data(pairs).cte("asked").c

    def highest(conversation: sa.Column[Any], agency: sa.Column[Any], seq: sa.Column[Any]) -> sa.Select[Any]:
        last = (
            sa.select(sa.func.max(seq))
            .where(conversation == asked.conversation, agency == asked.agency)
            .scalar_subquery()
        )
        # Most of a bulk are new conversations: to hand a row without a number over costs more than to
        # look for one twice. With EXISTS in its place PostgreSQL reads all rows there are.
        return sa.select(asked.conversation, asked.agency, last).where(last.is_not(None))

    return sa.union_all(
        highest(_m.conversation_id, _m.from_agency, _m.seq),
        highest(voids.c.conversation_id, voids.c.agency, voids.c.seq),
    )


_LAST_NUMBERS: Final = ListStatement(_last_numbers, width=2)
_USED: Final = Statement(sa.select(_m.from_agency, _m.seq).where(_m.conversation_id == _bind("conversation")))
_VOID: Final = Statement(
    sa.select(voids.c.agency, voids.c.seq, voids.c.others).where(
        voids.c.conversation_id == _bind("conversation")
    )
)
_CONTENT: Final = Statement(
    sa.select(*HEADER, contents.c.ciphertext, contents.c.wrapped_key)
    .select_from(with_frames(messages.join(contents, contents.c.number == _m.number)))
    .where(_m.message_id == _bind("id"))
)
_CONVERSATION: Final = Statement(
    sa.select(*MESSAGE).where(_m.conversation_id == _bind("conversation")).order_by(_m.number)
)
_POSTED: Final = Statement(
    sa.select(_m.number, _m.conversation_id)
    .where(_m.from_agency == _bind("by"), _m.outgoing.is_(True), _m.number < _bind("below"))
    .order_by(_m.number.desc())
    .limit(_bind("most", type_=Big))
)
_ARRIVED: Final = Statement(
    sa.select(inbox.c.number, _m.conversation_id)
    .select_from(inbox.join(messages, _m.number == inbox.c.number))
    .where(inbox.c.agency == _bind("by"), inbox.c.number < _bind("below"))
    .order_by(inbox.c.number.desc())
    .limit(_bind("most", type_=Big))
)


class SqlThreads:
    """Implements `gateway.ports.Threads` on a session."""

    def __init__(self, session: Session) -> None:
        """Work on this session."""
        self._session = session

    def rows(self, message_ids: Iterable[bytes]) -> dict[bytes, MessageRow]:
        """Return the messages with these ids that this node holds."""
        return {row.message_id: row for row in rows_by_id(self._session, list(message_ids))}

    def replies(self, message_ids: Iterable[bytes]) -> dict[bytes, list[MessageRow]]:
        """Return, for each of these ids, the messages that answer it, oldest first.

        Ids that nothing answers are not in the result. Answers that were refused, expired
        or withdrawn are; whoever asks looks at their state.
        """
        found: defaultdict[bytes, list[MessageRow]] = defaultdict(list)
        for values in self._session.listed(_REPLIES, message_ids):
            row = message_row(values)
            if row.in_reply_to is not None:
                found[row.in_reply_to].append(row)
        return dict(found)

    def last_numbers(self, pairs: Iterable[tuple[bytes, str]]) -> dict[tuple[bytes, str], int]:
        """Return the highest number, used or void, of these (conversation, agency).

        Those that have none are not in the result.
        """
        highest: dict[tuple[bytes, str], int] = {}
        for conversation, agency, seq in self._session.listed(_LAST_NUMBERS, pairs):
            key = (conversation, agency)
            highest[key] = max(seq, highest.get(key, 0))
        return highest

    def missing_numbers(self, conversation_id: bytes) -> dict[str, list[int]]:
        """Return, by agency, numbers below the highest that are neither used nor void.

        At most `MAX_MISSING` an agency, the lowest first. Agencies that miss none are not
        in the result.
        """
        taken: defaultdict[str, set[int]] = defaultdict(set)
        for agency, seq in self._session.all(_USED, conversation=conversation_id):
            taken[agency].add(seq)
        for agency, seq, others in self._session.all(_VOID, conversation=conversation_id):
            taken[agency].add(seq)
            if others is not None:
                taken[agency].update(cast("tuple[int, ...]", decode(others, max_bytes=MAX_ENTRY_BYTES)))
        missing = {agency: _gaps(numbers) for agency, numbers in taken.items()}
        return {agency: numbers for agency, numbers in missing.items() if numbers}

    def content(self, message_id: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Return (header, ciphertext, wrapped key) of a message, or None if erased or unknown."""
        row = self._session.first(_CONTENT, id=message_id)
        return None if row is None else (header_from(row[:HEADER_WIDTH]), *row[HEADER_WIDTH:])

    def effects(self, subjects: Iterable[bytes]) -> dict[bytes, list[EffectRow]]:
        """Return, for each of these ids of messages or rooms, what was done to it, oldest first.

        Also by messages that were refused, expired or withdrawn: whoever asks looks at that.
        Ids that nothing was done to are not in the result.
        """
        found: defaultdict[bytes, list[EffectRow]] = defaultdict(list)
        for values in self._session.listed(_EFFECTS, subjects):
            subject, effect, at_ms = values[WIDTH:]
            found[subject].append(EffectRow(effect=_KNOWN[effect], at_ms=at_ms, row=message_row(values)))
        return dict(found)

    def open_requests(self, agency: str, *, after: tuple[int, int], limit: int) -> list[OpenRequest]:
        """Return requests of an agency, or to it, that may be open, by (deadline, number) above ``after``.

        All that are open are among them. A few may be closed: whoever asks looks at the effects.
        """
        due_ms, number = after
        return [
            OpenRequest(conversation_id=row[0], due_ms=row[1], number=row[2])
            for row in self._session.all(_OPEN_REQUESTS, by=agency, due=due_ms, above=number, most=limit)
        ]

    def conversations(self, agency: str, *, limit: int, after: int) -> list[list[MessageRow]]:
        """Return conversations that an agency takes part in, newest first, each oldest first.

        The age of a conversation is the highest message number in it that concerns the
        agency; ``after`` is that number of the last conversation seen, 0 for the beginning.
        """
        found: list[list[MessageRow]] = []
        seen: set[bytes] = set()
        below = after or NO_LIMIT
        while len(found) < limit:
            page = self._walk(agency, below)
            for number, conversation_id in page:
                below = number
                if conversation_id in seen:
                    continue
                seen.add(conversation_id)
                rows = self.conversation(conversation_id, agency)
                # Its newest message stands on an earlier page: so did the conversation.
                if rows[-1].number == number:
                    found.append(rows)
                    if len(found) == limit:
                        return found
            if len(page) < _PAGE:
                break
        return found

    def conversation(self, conversation_id: bytes, agency: str) -> list[MessageRow]:
        """Return one conversation as far as an agency takes part in it, oldest first."""
        rows = map(message_row, self._session.all(_CONVERSATION, conversation=conversation_id))
        return [row for row in rows if agency in ((row.from_agency,) if row.outgoing else row.to_agencies)]

    def _walk(self, agency: str, below: int) -> list[tuple[int, bytes]]:
        """Return the next page of messages that concern an agency, newest first."""
        pages = [
            [(row[0], row[1]) for row in self._session.all(statement, by=agency, below=below, most=_PAGE)]
            for statement in (_POSTED, _ARRIVED)
        ]
        return list(merge(*pages, key=lambda item: item[0], reverse=True))[:_PAGE]


def _gaps(numbers: set[int]) -> list[int]:
    gaps: list[int] = []
    expected = 1
    for number in sorted(numbers):
        room = MAX_MISSING - len(gaps)
        gaps += range(expected, min(number, expected + room))
        expected = number + 1
    return gaps
