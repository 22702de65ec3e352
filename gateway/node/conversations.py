"""Conversations as an agency sees them: states, deadlines, changes, rooms, what is missing.

A listing begins with what is open, the earliest deadline first, and so with what is
overdue; the storage keeps the open requests of each agency apart, so that this costs the
same however long the history is. What is closed, or awaited nothing, follows, the newest
first.

Spec: docs/spec/rules.md, "States of a request" and "Deadlines".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.message.schedule import Schedule
from gateway.core.message.threads import AppliedEffect
from gateway.core.message.threads.deadlines import Deadline, Subject, deadlines
from gateway.core.message.threads.in_force import CHANGING
from gateway.core.message.threads.progress import (
    CLOSED_STATES,
    Progress,
    RequestState,
    is_awaiting,
    progress,
)
from gateway.core.message.threads.rooms import Room, find_room
from gateway.core.message.threads.use_changes import TermsInForce, terms_in_force
from gateway.node.gate import Gate
from gateway.node.inbox import NotFoundError
from gateway.node.posts import Principal
from gateway.node.thread_memory import MissingNumbers, ThreadMemory
from gateway.node.vault import Vault
from gateway.ports import Clock, MessageRow, Store, Transaction

MAX_LOOKED_AT: Final = 1_000
"""Conversations that one page looks at: a filter may leave it shorter than it was asked to be."""

SHOWN: Final = 500
"""Messages of one conversation in one answer, unless another number is asked for."""

FROM_OPEN: Final = (-1, 0)
"""Place before all open requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a listing goes on.

    Attributes:
        open_after: (deadline, number) of the last open request that was looked at, or None
            once all were.
        below: Number of the oldest other conversation that was looked at, 0 for none.
    """

    open_after: tuple[int, int] | None = FROM_OPEN
    below: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """A message of a conversation that awaits an answer, or got one, and where it stands."""

    row: MessageRow
    progress: Progress
    awaits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A conversation as far as an agency takes part in it.

    Attributes:
        conversation_id: 16 bytes.
        state: That of its most pressing request; OVERDUE comes before all others.
        messages: Oldest first.
        shown: Those of the page that was asked for; none in a listing.
        following: Number of the last of them if more follow, else None.
        open_until_ms: Earliest deadline of what is still open, or None.
        overdue: True if that deadline is over.
        missing: Sequence numbers that never arrived, by agency.
        requests: What awaits an answer in it, or got one, oldest first.
        deadlines: Every time that somebody has to keep, the earliest first; of erasures, those of what is
            shown. None in a listing.
        changes: What was done to a message that is shown, by its id: corrected, retracted, changed in use …
        terms: Terms as they are now of what is shown and whose terms were changed, by id.
        room: The operation room that it is, or None; None in a listing.
    """

    conversation_id: bytes
    state: RequestState
    messages: tuple[MessageRow, ...]
    shown: tuple[MessageRow, ...]
    following: int | None
    open_until_ms: int | None
    overdue: bool
    missing: dict[str, list[int]]
    requests: tuple[RequestView, ...]
    deadlines: tuple[Deadline, ...] = ()
    changes: Mapping[bytes, Sequence[AppliedEffect]]
    terms: Mapping[bytes, TermsInForce]
    room: Room | None

    @property
    def is_open(self) -> bool:
        """Tell whether an answer is awaited."""
        return any(item.awaits and not item.progress.is_closed for item in self.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadPage:
    """A page of a listing, and where the next one begins; None behind the last."""

    threads: tuple[Thread, ...]
    following: Place | None


class Conversations:
    """Answers agencies' questions about what they discuss."""

    def __init__(self, *, schedule: Schedule, store: Store, vault: Vault, clock: Clock, gate: Gate) -> None:
        """Wire it.

        Args:
            schedule: Catalogues of this node.
            store: Where messages are kept.
            vault: Opens what changes the terms of a message, or opens a room.
            clock: What is overdue follows from it.
            gate: Stands before everything that shows content.
        """
        self._schedule = schedule
        self._gate = gate
        self._store = store
        self._vault = vault
        self._clock = clock

    async def listing(
        self,
        principal: Principal,
        *,
        limit: int,
        after: Place | None = None,
        states: frozenset[RequestState] = frozenset(),
    ) -> ThreadPage:
        """Return conversations of an agency: open ones by their deadline, then the others, newest first.

        Args:
            principal: The agency.
            limit: At most so many. A page that is shorter is not always the last.
            after: Where the page before ended, or None for the beginning.
            states: Only conversations in one of these; empty for all.
        """
        await self._gate.passed()
        page = _Page(self, principal.agency, limit, states)
        return await self._store.read(lambda tx: page.load(tx, after or Place()))

    async def read(
        self, principal: Principal, conversation_id: bytes, *, limit: int = SHOWN, after: int = 0
    ) -> Thread:
        """Return one conversation with its deadlines, and a page of its messages.

        An operation room gathers thousands of messages, and each that is shown is opened and written down.

        Args:
            principal: The agency.
            conversation_id: 16 bytes.
            limit: At most so many messages are shown.
            after: Number of the last message that was shown before; 0 for the beginning.

        Raises:
            NotFoundError: Unknown, or this agency takes no part in it.
        """
        await self._gate.passed()

        def load(tx: Transaction) -> Thread | None:
            rows = tx.threads.conversation(conversation_id, principal.agency)
            if not rows:
                return None
            first = bisect_right(rows, after, key=_number)
            return self._view(tx, rows, self._memory(tx, [rows]), rows[first : first + limit])

        found = await self._store.read(load)
        if found is None:
            msg = "no such conversation of this agency"
            raise NotFoundError(msg)
        return found

    def views(self, tx: Transaction, conversations: Sequence[Sequence[MessageRow]]) -> list[Thread]:
        """Return conversations for a listing.

        Args:
            tx: The running transaction.
            conversations: Messages of each, oldest first, at least one.
        """
        memory = self._memory(tx, conversations)
        return [self._view(tx, rows, memory, None) for rows in conversations]

    def _memory(self, tx: Transaction, conversations: Sequence[Sequence[MessageRow]]) -> ThreadMemory:
        memory = ThreadMemory(tx, open_content=self._vault.document)
        ids = {row.message_id for rows in conversations for row in rows}
        memory.fetch_effects(ids | {rows[0].conversation_id for rows in conversations})
        return memory

    def _view(
        self,
        tx: Transaction,
        rows: Sequence[MessageRow],
        memory: ThreadMemory,
        page: Sequence[MessageRow] | None,
    ) -> Thread:
        """Return a conversation, with this page of its messages, or for a listing.

        Only a page opens contents: what stands in them is not asked of a whole listing.
        """
        conversation_id = rows[0].conversation_id
        now_ms = self._clock.now_ms()
        valid = [row for row in rows if not row.is_void]
        requests = tuple(view for row in valid if (view := self._request(row, memory, now_ms)) is not None)
        state, open_until_ms = _state(requests)
        shown = () if page is None else page
        changes = {
            row.message_id: tuple(item for item in memory.effects(row.message_id) if item.effect in CHANGING)
            for row in shown
            if not row.is_void
        }
        room = None if page is None else find_room(conversation_id, memory)
        missing = MissingNumbers(tx)
        return Thread(
            conversation_id=conversation_id,
            state=state,
            messages=tuple(rows),
            shown=tuple(map(missing.without_filled_gap, shown)),
            following=shown[-1].number if shown and shown[-1] is not rows[-1] else None,
            open_until_ms=open_until_ms,
            overdue=state is RequestState.OVERDUE,
            missing=missing.of(conversation_id),
            requests=requests,
            deadlines=() if page is None else self._deadlines(valid, page, requests, room, memory, now_ms),
            changes={message_id: found for message_id, found in changes.items() if found},
            terms=_changed_terms(changes, memory, now_ms),
            room=room,
        )

    def _request(self, row: MessageRow, memory: ThreadMemory, now_ms: int) -> RequestView | None:
        awaits = is_awaiting(
            row.type, self._schedule.at(self._clock.now_ms()), is_linked=row.in_reply_to is not None
        )
        found = progress(row.reply_by_ms, memory.effects(row.message_id), now_ms=now_ms)
        if not awaits and (found.last is None or found.last.effect in CHANGING):
            return None
        return RequestView(row=row, progress=found, awaits=awaits)

    def _deadlines(
        self,
        rows: Sequence[MessageRow],
        page: Sequence[MessageRow],
        requests: Sequence[RequestView],
        room: Room | None,
        memory: ThreadMemory,
        now_ms: int,
    ) -> tuple[Deadline, ...]:
        found = {view.row.message_id: view.progress for view in requests}
        catalogue = self._schedule.at(self._clock.now_ms())
        subjects = [
            Subject(
                message_id=row.message_id,
                type=row.type,
                from_agency=row.from_agency,
                to_agencies=row.to_agencies,
                created_ms=row.created_ms,
                progress=found.get(row.message_id),
                feedback=None if (known := catalogue.find(row.type)) is None else known.terms.feedback,
            )
            for row in rows
        ]
        shown = frozenset(row.message_id for row in page)
        return deadlines(subjects, room, memory, erasures_of=shown, now_ms=now_ms)


class _Page:
    """One page of a listing, while it is put together."""

    def __init__(
        self, conversations: Conversations, agency: str, limit: int, states: frozenset[RequestState]
    ) -> None:
        self._conversations = conversations
        self._agency = agency
        self._limit = limit
        self._states = states
        self._looked_at = 0

    def load(self, tx: Transaction, place: Place) -> ThreadPage:
        found: list[Thread] = []
        if place.open_after is not None:
            place = self._open(tx, place.open_after, found)
            # Within a page by what the clock says now: a clock that stood has moved deadlines.
            found.sort(key=_urgency)
        if place.open_after is not None or self._is_full(found):
            return ThreadPage(threads=tuple(found), following=place)
        following = self._closed(tx, place.below, found)
        return ThreadPage(threads=tuple(found), following=following)

    def _open(self, tx: Transaction, after: tuple[int, int], found: list[Thread]) -> Place:
        """Add what is open behind a place; return where it goes on."""
        if self._states and self._states <= CLOSED_STATES | {RequestState.FOR_INFORMATION}:
            return Place(open_after=None)
        while not self._is_full(found):
            wanted = self._limit - len(found)
            requests = tx.threads.open_requests(self._agency, after=after, limit=wanted)
            rows = {
                request.conversation_id: tx.threads.conversation(request.conversation_id, self._agency)
                for request in requests
            }
            self._looked_at += len(rows)
            threads = self._views(tx, [item for item in rows.values() if item])
            for request in requests:
                thread = threads.get(request.conversation_id)
                # A conversation with several requests stands where the first of them does.
                if thread is not None and self._fits(thread) and _first_open(thread) == request.number:
                    found.append(thread)
            if len(requests) < wanted:
                return Place(open_after=None)
            after = (requests[-1].due_ms, requests[-1].number)
        return Place(open_after=after)

    def _closed(self, tx: Transaction, below: int, found: list[Thread]) -> Place | None:
        """Add what is not open behind a place; return where it goes on, or None."""
        while not self._is_full(found):
            wanted = self._limit - len(found)
            rows = tx.threads.conversations(self._agency, limit=wanted, after=below)
            self._looked_at += len(rows)
            threads = self._views(tx, [item for item in rows if item])
            found += [thread for thread in threads.values() if not thread.is_open and self._fits(thread)]
            if len(rows) < wanted:
                return None
            below = min(item[-1].number for item in rows if item)
        return Place(open_after=None, below=below)

    def _views(self, tx: Transaction, rows: Sequence[Sequence[MessageRow]]) -> dict[bytes, Thread]:
        return {thread.conversation_id: thread for thread in self._conversations.views(tx, rows)}

    def _fits(self, thread: Thread) -> bool:
        return not self._states or thread.state in self._states

    def _is_full(self, found: Sequence[Thread]) -> bool:
        return len(found) >= self._limit or self._looked_at >= MAX_LOOKED_AT


def _state(requests: Sequence[RequestView]) -> tuple[RequestState, int | None]:
    """Return the state of a conversation and the earliest deadline of what is open in it."""
    awaited = [view for view in requests if view.awaits and not view.progress.is_closed]
    if awaited:
        pressing = min(awaited, key=_due)
        return pressing.progress.state, pressing.progress.due_ms
    answered = [view for view in requests if view.progress.last is not None]
    if not answered:
        return RequestState.FOR_INFORMATION, None
    # Whatever was decided last, as everyone in it would say.
    newest = max(
        answered, key=lambda view: 0 if view.progress.last is None else view.progress.last.created_ms
    )
    return newest.progress.step, None


def _number(row: MessageRow) -> int:
    return row.number


def _due(view: RequestView) -> tuple[int, int]:
    due_ms = view.progress.due_ms
    return (_NEVER if due_ms is None else due_ms, view.row.number)


def _urgency(thread: Thread) -> tuple[bool, int, int]:
    due_ms = thread.open_until_ms
    return (not thread.overdue, _NEVER if due_ms is None else due_ms, thread.messages[0].number)


def _first_open(thread: Thread) -> int | None:
    """Return the number of the request by which the storage lists an open conversation first."""
    numbers = [
        (_NEVER if view.row.reply_by_ms is None else view.row.reply_by_ms, view.row.number)
        for view in thread.requests
        if view.awaits and not view.progress.is_closed
    ]
    return min(numbers)[1] if numbers else None


def _changed_terms(
    changes: Mapping[bytes, Sequence[AppliedEffect]], memory: ThreadMemory, now_ms: int
) -> dict[bytes, TermsInForce]:
    found = {}
    for message_id, applied in changes.items():
        terms = terms_in_force(message_id, memory, now_ms=now_ms) if applied else None
        if terms is not None and (terms.changed_by or terms.announced or terms.erased):
            found[message_id] = terms
    return found


_NEVER: Final = 2**62
"""Deadline of what has none: behind all others."""
