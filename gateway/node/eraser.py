"""The eraser: the one task that destroys content.

Everything else only says when content ends: its own date, a message that retracts it, an
order. Once a second this task looks for what is over and that no hold keeps, and destroys
it in small groups, so that a large erasure never holds up the traffic.

Three steps, and what a crash leaves behind each:

1. Erasures that a backup of the database could not know of are written to the file of
   orders, and synced. The next start finds them there and erases.
2. One transaction destroys ciphertext, wrapped key and box copy, makes the messages
   *erased*, voids the numbers of those that were not sent, and appends the event. The next start
   finds them erased, and step 3 undone.
3. The files of the database are scrubbed: until then older copies of the same bytes may
   stand in the write-ahead log. Done at every start, and again until it has worked.

The exchange log names the erasures that the other nation could not foresee; the sequencer
appends those entries with the next bundle.

Spec: docs/spec/erasure.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

import structlog

from gateway.core.message.retention import AT_ONCE, FORESEEN, Ending, Ground, Retention
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.beginning import Beginning
from gateway.node.gate import Gate
from gateway.ports import (
    Clock,
    Hold,
    MessageRow,
    Order,
    OrderBook,
    OrderKind,
    Step,
    Store,
    Transaction,
)

log = structlog.get_logger(__name__)

MAX_ERASED: Final = 200
"""Messages that one transaction erases."""

_HOLDS: Final = {
    OrderKind.HOLD_MESSAGE: False,
    OrderKind.HOLD_CONVERSATION: True,
    OrderKind.LIFT_MESSAGE: False,
    OrderKind.LIFT_CONVERSATION: True,
}
"""Whether an order is about a conversation, by its kind."""


class Eraser:
    """Destroys content whose time is over. Housekeeping runs its rounds."""

    def __init__(
        self,
        *,
        store: Store,
        orders: OrderBook,
        audit: AuditLog,
        clock: Clock,
        gate: Gate,
        beginning: Beginning,
        on_due: Callable[[], None],
        on_erased: Callable[[], None],
    ) -> None:
        """Wire it.

        Args:
            store: Where content is kept.
            orders: Remembers, apart from the store, what was erased by order.
            audit: Writes events.
            clock: Time.
            gate: Opened once nothing is there any more that was erased before.
            beginning: Says of which messages it is certain that they were not sent.
            on_due: Told when the exchange log has something to say.
            on_erased: Told when messages have become *erased*.
        """
        self._store = store
        self._orders = orders
        self._audit = audit
        self._clock = clock
        self._gate = gate
        self._beginning = beginning
        self._on_due = on_due
        self._on_erased = on_erased
        self._is_scrubbed = False
        self._turn = asyncio.Lock()

    @property
    def is_scrubbed(self) -> bool:
        """Return whether nothing that was erased is left in the files of the database."""
        return self._is_scrubbed

    async def open(self) -> None:
        """Erase again what a backup has brought back, then let content be shown.

        Raises:
            StoreError: The database failed.
            OperatorError: The file of orders could not be written.
        """
        orders = self._orders.read()
        if orders:
            await self._store.write(Step.ERASED, lambda tx: _replay(tx, orders))
        await self.round()
        self._gate.open()

    async def round(self) -> None:
        """Destroy whatever is over by now."""
        async with self._turn:
            await self._round()

    async def _round(self) -> None:
        await self._settle()
        now_ms = self._clock.now_ms()
        while await self._store.read(lambda tx: tx.removal.has_due(now_ms)):
            self._is_scrubbed = False
            await self._erase(now_ms)
        if not self._is_scrubbed:
            self._is_scrubbed = await self._store.scrub()

    async def _settle(self) -> None:
        """Find the messages that others order to end."""

        def settle(tx: Transaction) -> int:
            return tx.removal.settle_endings(limit=MAX_ERASED)

        while await self._store.read(lambda tx: tx.removal.has_endings()):
            await self._store.write(Step.ERASED, settle)

    async def _erase(self, now_ms: int) -> None:
        """Erase one group."""
        rows = await self._store.read(lambda tx: tx.removal.due(now_ms, limit=MAX_ERASED))
        unforeseen = [row for row in rows if row.ground not in FORESEEN and row.ground is not Ground.RESTORED]
        await self._orders.record(
            [Order(kind=OrderKind.ERASE, subject=row.message_id, at_ms=now_ms) for row in unforeseen]
        )
        prepared = {row.message_id: row.ground for row in rows}

        def erase(tx: Transaction) -> list[MessageRow]:
            # Looked up anew: a hold may have come in between, or another ground.
            found = [
                row
                for row in tx.removal.due(now_ms, limit=MAX_ERASED)
                if prepared.get(row.message_id) is row.ground
            ]
            self._destroy(tx, found, now_ms)
            return found

        erased = await self._store.write(Step.ERASED, erase)
        if erased:
            log.info("messages.erased", count=len(erased))
            self._on_erased()
            self._on_due()

    def _destroy(self, tx: Transaction, rows: Sequence[MessageRow], now_ms: int) -> None:
        """Destroy the content of messages, with one event a ground."""

        def ground_of(row: MessageRow) -> int:
            return int(row.ground or 0)

        for ground, group in groupby(sorted(rows, key=ground_of), key=ground_of):
            some = list(group)
            event = self._audit.event(
                at_ms=now_ms,
                actor=NODE,
                event="message.erased",
                objects=[row.message_id for row in some],
                details=(ground,),
            )
            index = self._audit.append(tx, event)
            is_logged = ground not in FORESEEN and ground != Ground.RESTORED
            tx.removal.erase(
                some,
                at_ms=now_ms,
                audit_index=index,
                logged=is_logged,
                certain_above=self._beginning.certain_above,
            )


def restored(message_id: bytes) -> Ending:
    """Return the ending of a message that was erased before the database was restored."""
    return Ending(target=message_id, retention=Retention(erase_ms=AT_ONCE, ground=Ground.RESTORED))


def _replay(tx: Transaction, orders: Sequence[Order]) -> None:
    """Bring the database to what the file of orders says: the last word on a subject counts."""
    ids = {order.subject for order in orders if order.kind is OrderKind.ERASE}
    for message_id in sorted(ids):
        found = tx.removal.find(message_id)
        if found is None or found[1] is None:
            tx.removal.put_ending(restored(message_id))
    standing = {(hold.subject, hold.conversation) for hold in tx.removal.holds()}
    last = {(o.subject, _HOLDS[o.kind]): o for o in orders if o.kind is not OrderKind.ERASE}
    for (subject, conversation), order in last.items():
        is_hold = order.kind in {OrderKind.HOLD_MESSAGE, OrderKind.HOLD_CONVERSATION}
        if is_hold and (subject, conversation) not in standing:
            hold = Hold(subject=subject, conversation=conversation, at_ms=order.at_ms, reason=order.reason)
            tx.removal.hold(hold)
        elif not is_hold:
            tx.removal.lift(subject, conversation=conversation)
