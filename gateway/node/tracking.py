"""What an agency can learn about its own messages.

States, timelines with the places in the logs that prove each step, and withdrawal.

Spec: docs/spec/exchange.md, "States".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.core.generation import located
from gateway.core.receipt import ExceptionCode, state_after
from gateway.core.states import State
from gateway.errors import RejectedError
from gateway.node.audit_log import AuditLog
from gateway.node.beginning import Beginning
from gateway.node.inbox import NotFoundError
from gateway.node.pair import Pair
from gateway.node.posts import Principal
from gateway.node.waiting import wait_for
from gateway.ports import Clock, CollectionRow, Erasure, MessageRow, Step, Store, Transaction


class TooLateError(RejectedError):
    """The message was sent already, so it can no longer be withdrawn."""

    code = "already-sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One step in a message's life and where it is proven.

    Attributes:
        event: State label, ``collected`` once for each addressee.
        at_ms: UTC milliseconds.
        origin: Log that proves it, or None where no log does.
        index: Index in that log.
        agency: Addressee, for ``collected``.
    """

    event: str
    at_ms: int
    origin: str | None = None
    index: int | None = None
    agency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """An own message with its timeline."""

    row: MessageRow
    addressees: tuple[CollectionRow, ...]
    timeline: tuple[TimelineEvent, ...]


class Tracking:
    """Answers agencies' questions about what they sent."""

    def __init__(
        self,
        *,
        pair: Pair,
        store: Store,
        audit: AuditLog,
        clock: Clock,
        beginning: Beginning,
        on_void: Callable[[], None],
    ) -> None:
        """Wire it.

        Args:
            pair: Names of the two nodes.
            store: Where messages are kept.
            audit: Gets an event for each withdrawal.
            clock: Time of a withdrawal.
            beginning: Says of which messages it is certain that they were not sent.
            on_void: Told when a number has to be declared void in the log.
        """
        self._pair = pair
        self._store = store
        self._audit = audit
        self._clock = clock
        self._beginning = beginning
        self._on_void = on_void
        self._moved = asyncio.Event()

    def moved(self) -> None:
        """Wake whoever watches a message: some message has moved on."""
        event, self._moved = self._moved, asyncio.Event()
        event.set()

    async def until_moved(self, seconds: float) -> None:
        """Wait until some message moves on, or until the time is over."""
        await wait_for(self._clock, seconds, self._moved)

    async def status(self, principal: Principal, message_id: bytes) -> Tracked:
        """Return an own message with its timeline.

        Raises:
            NotFoundError: Unknown, or another agency's.
        """

        def find(tx: Transaction) -> tuple[MessageRow, list[CollectionRow], Erasure | None] | None:
            row = tx.outbox.find(message_id, principal.agency)
            if row is None:
                return None
            known = tx.removal.find(message_id) if row.state is State.ERASED else None
            return row, tx.outbox.addressees(message_id), None if known is None else known[1]

        found = await self._store.read(find)
        if found is None:
            msg = "no such message of this agency"
            raise NotFoundError(msg)
        row, addressees, erasure = found
        timeline = self._timeline(row, addressees)
        if erasure is not None:
            origin, index = self._audit.located(erasure.audit_index)
            timeline += (
                TimelineEvent(event=State.ERASED.label, at_ms=erasure.at_ms, origin=origin, index=index),
            )
        return Tracked(row=row, addressees=tuple(addressees), timeline=timeline)

    async def listing(self, principal: Principal, *, after: int, limit: int) -> list[MessageRow]:
        """Return own messages, newest first."""
        return await self._store.read(
            lambda tx: tx.outbox.listing(principal.agency, after=after, limit=limit)
        )

    async def withdraw(self, principal: Principal, message_id: bytes) -> int:
        """Take an accepted message back before it is sent; return when, UTC milliseconds.

        Its sequence number is void, and the log will say so. A repeat returns the time of the
        first withdrawal.

        Raises:
            NotFoundError: Unknown, or another agency's.
            TooLateError: It was sent already.
            SendingUnknownError: It is not known yet whether it has arrived.
        """
        now_ms = self._clock.now_ms()

        def withdraw(tx: Transaction) -> MessageRow | None:
            row = tx.outbox.find(message_id, principal.agency)
            if row is None or row.state is not State.ACCEPTED:
                return row
            self._beginning.verify_certain(row)
            tx.outbox.withdraw(message_id, principal.agency, at_ms=now_ms)
            if row.seq > 0:
                tx.outbox.put_void(row.conversation_id, row.from_agency, row.seq)
            event = self._audit.event(
                at_ms=now_ms,
                actor=principal.actor,
                event="message.withdrawn",
                objects=(message_id,),
            )
            self._audit.append(tx, event)
            return row

        row = await self._store.write(Step.WITHDRAWN, withdraw)
        if row is None:
            msg = "no such message of this agency"
            raise NotFoundError(msg)
        if row.state not in {State.ACCEPTED, State.WITHDRAWN}:
            msg = "the message was sent already"
            raise TooLateError(msg)
        if row.state is State.WITHDRAWN:
            return row.decided_ms or now_ms
        self._on_void()
        self.moved()
        return now_ms

    def _timeline(self, row: MessageRow, addressees: Sequence[CollectionRow]) -> tuple[TimelineEvent, ...]:
        own, sent = located(self._pair.first_exchange_origin, row.log_index or 0)
        origin, index = self._audit.located(row.audit_index or 0)
        events = [TimelineEvent(event="accepted", at_ms=row.arrived_ms, origin=origin, index=index)]
        decision = self._decision(row)
        if decision is not None and decision.event == State.ACCEPTED.label:
            # A receipt asked for the message once more: what follows is the next sending.
            events.append(decision)
            decision = None
        if row.sent_ms is not None and row.log_index is not None:
            events.append(TimelineEvent(event="sent", at_ms=row.sent_ms, origin=own, index=sent))
            if row.delivered_ms is not None:
                # Proven by the peer's cosignature on our log, which covers the entry.
                events.append(
                    TimelineEvent(event="delivered", at_ms=row.delivered_ms, origin=own, index=sent)
                )
        if decision is not None:
            events.append(decision)
        events += [
            self._collected(item, item.collected_ms) for item in addressees if item.collected_ms is not None
        ]
        return tuple(events)

    def _collected(self, item: CollectionRow, at_ms: int) -> TimelineEvent:
        origin, index = located(self._pair.first_peer_origin, item.log_index or 0)
        return TimelineEvent(event="collected", at_ms=at_ms, origin=origin, index=index, agency=item.agency)

    def _decision(self, row: MessageRow) -> TimelineEvent | None:
        """Return how a message ended, was received, or came back to be sent once more."""
        if row.decided_ms is None:
            return None
        said = State.RECEIVED if row.exception is None else _state_said(row.exception)
        # What it was, if its content is gone.
        state = row.was or row.state
        if said is not state and state in {State.EXPIRED, State.WITHDRAWN}:
            # It ended at this node before it was sent, or before it was sent once more.
            return TimelineEvent(event=state.label, at_ms=row.decided_ms)
        is_refused = state is State.REFUSED  # sent again as often as the protocol allows
        event = State.REFUSED.label if is_refused else said.label
        if row.receipt_index is None:
            return TimelineEvent(event=event, at_ms=row.decided_ms)
        origin, index = located(self._pair.first_peer_origin, row.receipt_index)
        return TimelineEvent(event=event, at_ms=row.decided_ms, origin=origin, index=index)


def _state_said(exception: int) -> State:
    """Return the state that an exception leads to; *accepted* for those that are sent again."""
    try:
        return state_after(ExceptionCode(exception), sendings=1)
    except ValueError:
        return State.REFUSED  # a code of a later version
