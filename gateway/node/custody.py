"""What operators decide about content: orders of erasure, legal holds.

Each decision carries a reason. The audit log has its digest and who decided; the reason of a
hold is kept beside the hold, where operators read it, and in no log. A decision is written to
the file of orders before anything else, so that it outlives a restored backup.

Spec: docs/spec/erasure.md, "Orders" and "Legal hold".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from gateway.core.digest import digest_of
from gateway.core.message.retention import AT_ONCE, Ending, Ground, Retention
from gateway.errors import RejectedError
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.eraser import Eraser
from gateway.node.inbox import NotFoundError
from gateway.ports import (
    Clock,
    Erasure,
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

_MISSING: Final = "no such message at this node"


class OnHoldError(RejectedError):
    """A legal hold keeps the content; it is lifted first."""

    code = "on-hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a node holds of a message, as operators see it.

    Attributes:
        row: What it knows; never content.
        erasure: Where its erasure is on record, or None while content is there.
    """

    row: MessageRow
    erasure: Erasure | None


class Custody:
    """Carries out what operators decide about content."""

    def __init__(
        self, *, store: Store, orders: OrderBook, audit: AuditLog, eraser: Eraser, clock: Clock
    ) -> None:
        """Wire it.

        Args:
            store: Where content and holds are kept.
            orders: Remembers decisions apart from the store.
            audit: Writes events.
            eraser: Carries out erasures.
            clock: Time of a decision.
        """
        self._store = store
        self._orders = orders
        self._audit = audit
        self._eraser = eraser
        self._clock = clock

    async def find(self, message_id: bytes) -> Kept:
        """Return what is known of a message of whichever agency and direction.

        Raises:
            NotFoundError: Unknown at this node.
        """
        found = await self._store.read(lambda tx: tx.removal.find(message_id))
        if found is None:
            raise NotFoundError(_MISSING)
        return Kept(row=found[0], erasure=found[1])

    async def erase(self, actor: Actor, message_id: bytes, reason: str) -> Kept:
        """Order the erasure of a message's content and carry it out; return what is left.

        A repeat orders nothing and returns the same.

        Raises:
            NotFoundError: Unknown at this node.
            OnHoldError: A legal hold keeps it.
        """
        now_ms = self._clock.now_ms()

        def order(tx: Transaction) -> None:
            found = tx.removal.find(message_id)
            if found is None:
                raise NotFoundError(_MISSING)
            row, erasure = found
            if erasure is not None:
                return
            if row.held:
                msg = "a legal hold keeps this message: lift it first"
                raise OnHoldError(msg)
            end = Retention(erase_ms=AT_ONCE, ground=Ground.ORDER)
            tx.removal.put_ending(Ending(target=message_id, retention=end))
            self._record(tx, actor, "erasure.ordered", message_id, reason, now_ms)

        await self._store.write(Step.ERASED, order)
        await self._eraser.round()
        return await self.find(message_id)

    async def hold(self, actor: Actor, subject: bytes, reason: str, *, conversation: bool) -> int:
        """Hold a message or a conversation; return how many messages with content it keeps.

        The subject need not be known yet: what is to come is held as well.
        """
        now_ms = self._clock.now_ms()
        hold = Hold(subject=subject, conversation=conversation, at_ms=now_ms, reason=reason)
        kind = OrderKind.HOLD_CONVERSATION if conversation else OrderKind.HOLD_MESSAGE
        await self._orders.record([Order(kind=kind, subject=subject, at_ms=now_ms, reason=reason)])

        def keep(tx: Transaction) -> int:
            self._record(tx, actor, "hold.set", subject, reason, now_ms, int(conversation))
            return tx.removal.hold(hold)

        kept = await self._store.write(Step.HELD, keep)
        log.info("hold.set", subject=subject.hex(), conversation=conversation, messages=kept)
        return kept

    async def lift(self, actor: Actor, subject: bytes, reason: str, *, conversation: bool) -> None:
        """Lift a hold; what it kept and is over by now is erased with the next round.

        Raises:
            NotFoundError: No such hold.
        """
        now_ms = self._clock.now_ms()
        if all((h.subject, h.conversation) != (subject, conversation) for h in await self.holds()):
            msg = "there is no such hold"
            raise NotFoundError(msg)
        kind = OrderKind.LIFT_CONVERSATION if conversation else OrderKind.LIFT_MESSAGE
        await self._orders.record([Order(kind=kind, subject=subject, at_ms=now_ms)])

        def free(tx: Transaction) -> None:
            if tx.removal.lift(subject, conversation=conversation):
                self._record(tx, actor, "hold.lifted", subject, reason, now_ms, int(conversation))

        await self._store.write(Step.HELD, free)
        log.info("hold.lifted", subject=subject.hex(), conversation=conversation)

    async def holds(self) -> list[Hold]:
        """Return every hold, the oldest first."""
        return await self._store.read(lambda tx: tx.removal.holds())

    def _record(
        self,
        tx: Transaction,
        actor: Actor,
        event: str,
        subject: bytes,
        reason: str,
        now_ms: int,
        *details: int,
    ) -> None:
        entries = self._audit.event(
            at_ms=now_ms,
            actor=actor,
            event=event,
            objects=(subject,),
            details=(digest_of(reason.encode()), *details),
        )
        self._audit.append(tx, entries)
