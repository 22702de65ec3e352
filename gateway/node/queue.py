"""The queue as operators see it: what waits, what is stuck, what failed, and why.

An item is a message with a condition, a cause and since when. The cause is a code: the
exception of a receipt with its rule, or what keeps this node from sending. Whoever shows it
puts it into words. Content is never opened here.

An operator can let the node try again at once, and can cancel a message that was not sent
yet. What was refused or has expired is over: its number in its conversation was declared
void in the log, so that no second try can fill it, and the agency posts a new message.

Spec: docs/operating.md, "Queue".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from gateway.core.digest import digest_of
from gateway.core.receipt import exception_label
from gateway.core.signature import SigningAwayError
from gateway.core.states import Precedence, State
from gateway.errors import PairFrozenError, RejectedError
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.beginning import Beginning
from gateway.node.inbox import NotFoundError
from gateway.node.tracking import TooLateError
from gateway.ports import Clock, MessageRow, Step, Store, Transaction

log = structlog.get_logger(__name__)

MAX_ITEMS: Final = 1_000
STUCK_MS: Final = 5 * 60_000
URGENT_STUCK_MS: Final = 60_000
"""After this a FLASH or IMMEDIATE message counts as stuck; others after `STUCK_MS`."""

_WALKED: Final = 10 * MAX_ITEMS
"""Waiting messages that are looked at to find the stuck ones, or those of one agency."""


class Condition(StrEnum):
    """What operators have to know about a message."""

    WAITING = "waiting"
    STUCK = "stuck"
    REFUSED = "refused"
    EXPIRED = "expired"
    OVERDUE = "overdue"


class Cause(StrEnum):
    """Why a message is where it is, where no receipt says so."""

    IN_TURN = "in-turn"
    PEER_AWAY = "peer-away"
    PEER_REFUSES = "peer-refuses"
    OWN_CERTIFICATE_ENDED = "own-certificate-ended"
    OWN_KEY_UNKNOWN = "own-key-unknown"
    CANNOT_SIGN = "cannot-sign"
    PAIR_FROZEN = "pair-frozen"
    PEER_FROZEN = "peer-frozen"
    RECOVERING = "recovering"
    NO_PEER_KEY = "no-peer-key"
    UNCONFIRMED = "unconfirmed"
    NO_RECEIPT = "no-receipt"
    EXPIRED_HERE = "expired-here"
    NO_ANSWER_FROM_PEER = "no-answer-from-peer"
    NO_ANSWER_FROM_US = "no-answer-from-us"


class NotWaitingError(RejectedError):
    """The message is not on its way, so trying again would do nothing."""

    code = "not-waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A message in the queue.

    Attributes:
        row: What is known of it; never content.
        condition: What operators have to know.
        cause: Code of the cause: of the receipt's exception, or a `Cause`.
        since_ms: Since when it is so, UTC milliseconds.
    """

    row: MessageRow
    condition: Condition
    cause: str
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A look at the queue.

    Attributes:
        items: The worst first: stuck, overdue, refused, expired, waiting.
        counts: How many messages are in each state, and how many requests are overdue.
        more: True if there are more than these.
    """

    items: tuple[Item, ...]
    counts: Mapping[str, int]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How the way to the peer is.

    Attributes:
        trouble: Code of the error that the last try ended with, or empty.
        frozen: Whether this node has frozen the pair; what the peer says of that is trouble.
        recovering: Whether the own log is being refilled, so that nothing is sent.
        peer_key: Whether the peer has announced a key to encrypt to.
    """

    trouble: str
    frozen: bool
    recovering: bool
    peer_key: bool


class QueueDesk:
    """Answers operators' questions about what waits, and does what they decide about it."""

    def __init__(
        self,
        *,
        store: Store,
        audit: AuditLog,
        clock: Clock,
        line: Callable[[], Line],
        beginning: Beginning,
        on_retry: Callable[[], None],
        on_cancelled: Callable[[], None],
    ) -> None:
        """Wire it.

        Args:
            store: Where messages are kept.
            audit: Writes events.
            clock: Time of a look or a decision.
            line: Says how the way to the peer is.
            beginning: Says of which messages it is certain that they were not sent.
            on_retry: Lets the courier try at once.
            on_cancelled: Told that a message ended and that the log has to say so.
        """
        self._store = store
        self._audit = audit
        self._clock = clock
        self._line = line
        self._beginning = beginning
        self._on_retry = on_retry
        self._on_cancelled = on_cancelled

    async def listing(
        self, *, condition: Condition | None = None, agency: str | None = None, limit: int = 100
    ) -> Listing:
        """Return what is in the queue.

        Args:
            condition: Only these; without it all but what waits its turn.
            agency: Only messages of this sender.
            limit: At most so many, up to `MAX_ITEMS`.
        """
        now_ms, line = self._clock.now_ms(), self._line()

        def load(tx: Transaction) -> tuple[list[Item], dict[str, int]]:
            counts = {state.label: tx.outbox.count(state) for state in State}
            counts[Condition.OVERDUE.value] = tx.queue.count_overdue(now_ms)
            return _items(tx, condition, line, now_ms), counts

        items, counts = await self._store.read(load)
        found = [item for item in items if agency is None or item.row.from_agency == agency]
        return Listing(items=tuple(found[:limit]), counts=counts, more=len(found) > limit)

    async def find(self, message_id: bytes) -> Item | None:
        """Return one message as an item, or None if nothing about it is amiss.

        Raises:
            NotFoundError: Unknown at this node.
        """
        now_ms, line = self._clock.now_ms(), self._line()
        row = await self._store.read(lambda tx: _find(tx, message_id))
        if row.outgoing:
            if row.state in _ON_THE_WAY:
                return _under_way(row, line, now_ms)
            if row.state in {State.REFUSED, State.EXPIRED}:
                return _failed(row)
        late = await self._store.read(lambda tx: tx.queue.overdue(now_ms, limit=_WALKED))
        return next((_overdue(row) for item in late if item.message_id == message_id), None)

    async def retry(self, actor: Actor, reason: str, message_id: bytes | None = None) -> Line:
        """Try to reach the peer now, whatever wait is left; return how the line is.

        Args:
            actor: The operator.
            reason: Why; its digest is in the audit log.
            message_id: The message that somebody waits for; None for all.

        Raises:
            NotFoundError: Unknown at this node.
            NotWaitingError: It is not on its way.
            PairFrozenError: Trying does not help; people have to decide.
        """
        now_ms = self._clock.now_ms()
        if self._line().frozen:
            msg = "the pair is frozen: nothing is exchanged before it is resumed"
            raise PairFrozenError(msg)

        def record(tx: Transaction) -> None:
            if message_id is not None:
                row = _find(tx, message_id)
                if not row.outgoing or row.state not in _ON_THE_WAY:
                    msg = "the message is not on its way"
                    raise NotWaitingError(msg)
            self._record(tx, actor, "queue.retried", message_id, reason, now_ms)

        await self._store.write(Step.AUDITED, record)
        log.info("queue.retried", message_id=None if message_id is None else message_id.hex())
        self._on_retry()
        return self._line()

    async def cancel(self, actor: Actor, message_id: bytes, reason: str) -> MessageRow:
        """End a message that was not sent yet; its agency sees it as *withdrawn*.

        Its sequence number is void, and the log will say so. A repeat changes nothing.

        Raises:
            NotFoundError: Unknown at this node, or the peer's.
            TooLateError: It was sent already, or ended otherwise.
            SendingUnknownError: It is not known yet whether it has arrived.
        """
        now_ms = self._clock.now_ms()

        def end(tx: Transaction) -> MessageRow:
            row = _find(tx, message_id)
            if not row.outgoing:
                msg = "the message came from the peer"
                raise NotFoundError(msg)
            if row.state is State.ACCEPTED:
                self._beginning.verify_certain(row)
                tx.outbox.withdraw(message_id, row.from_agency, at_ms=now_ms)
                tx.outbox.put_void(row.conversation_id, row.from_agency, row.seq)
                self._record(tx, actor, "queue.cancelled", message_id, reason, now_ms)
            elif row.state is not State.WITHDRAWN:
                msg = "the message was sent already, or has ended"
                raise TooLateError(msg)
            return _find(tx, message_id)

        row = await self._store.write(Step.WITHDRAWN, end)
        log.info("queue.cancelled", message_id=message_id.hex())
        self._on_cancelled()
        return row

    def _record(
        self,
        tx: Transaction,
        actor: Actor,
        event: str,
        message_id: bytes | None,
        reason: str,
        now_ms: int,
    ) -> None:
        objects = () if message_id is None else (message_id,)
        entries = self._audit.event(
            at_ms=now_ms, actor=actor, event=event, objects=objects, details=(digest_of(reason.encode()),)
        )
        self._audit.append(tx, entries)


_ON_THE_WAY: Final = frozenset({State.ACCEPTED, State.SENT, State.DELIVERED})


def _items(tx: Transaction, condition: Condition | None, line: Line, now_ms: int) -> list[Item]:
    """Return the items of one condition, or of all that ask for somebody, the worst first."""
    queue = tx.queue

    def under_way() -> Iterable[Item]:
        rows: list[MessageRow] = queue.waiting(limit=_WALKED)
        rows += queue.unconfirmed(limit=MAX_ITEMS + 1)
        if tx.outbox.count(State.DELIVERED):
            rows += queue.unanswered(limit=MAX_ITEMS + 1)
        return [_under_way(row, line, now_ms) for row in rows]

    sources: dict[Condition, Callable[[], Iterable[Item]]] = {
        Condition.STUCK: under_way,
        Condition.OVERDUE: lambda: map(_overdue, queue.overdue(now_ms, limit=_WALKED)),
        Condition.REFUSED: lambda: map(_failed, queue.ended(State.REFUSED, limit=_WALKED)),
        Condition.EXPIRED: lambda: map(_failed, queue.ended(State.EXPIRED, limit=_WALKED)),
        Condition.WAITING: under_way,
    }
    wanted: Sequence[Condition] = [condition] if condition else [c for c in sources if c != "waiting"]
    return [item for name in wanted for item in sources[name]() if item.condition is name]


def _under_way(row: MessageRow, line: Line, now_ms: int) -> Item:
    """Return a message that is accepted, sent or delivered: stuck once it takes too long."""
    since_ms = {
        State.ACCEPTED: row.arrived_ms if row.sendings == 0 else row.decided_ms,
        State.SENT: row.sent_ms,
        State.DELIVERED: row.delivered_ms,
    }[row.state]
    since_ms = row.arrived_ms if since_ms is None else since_ms
    bound_ms = URGENT_STUCK_MS if row.rank <= Precedence.IMMEDIATE else STUCK_MS
    condition = Condition.STUCK if now_ms - since_ms > bound_ms else Condition.WAITING
    return Item(row=row, condition=condition, cause=_cause(row, line), since_ms=since_ms)


def _cause(row: MessageRow, line: Line) -> Cause:
    """Return what keeps a message where it is."""
    if line.frozen:
        return Cause.PAIR_FROZEN
    if line.recovering:
        return Cause.RECOVERING
    if line.trouble == SigningAwayError.code:
        return Cause.CANNOT_SIGN
    if line.trouble in {Cause.OWN_CERTIFICATE_ENDED.value, Cause.OWN_KEY_UNKNOWN.value}:
        return Cause(line.trouble)
    if line.trouble == PairFrozenError.code:
        return Cause.PEER_FROZEN
    if line.trouble:
        return Cause.PEER_AWAY if line.trouble == "unavailable" else Cause.PEER_REFUSES
    if row.state is State.SENT:
        return Cause.UNCONFIRMED
    if row.state is State.DELIVERED:
        return Cause.NO_RECEIPT
    return Cause.IN_TURN if line.peer_key else Cause.NO_PEER_KEY


def _failed(row: MessageRow) -> Item:
    """Return a message that ended refused or expired, with what the receipt says."""
    condition = Condition.REFUSED if row.state is State.REFUSED else Condition.EXPIRED
    # What expired here was in no receipt, or in one that asked for it once more.
    here = condition is Condition.EXPIRED and row.log_index is None
    cause = Cause.EXPIRED_HERE if here or row.exception is None else exception_label(row.exception)
    return Item(row=row, condition=condition, cause=cause, since_ms=row.decided_ms or row.arrived_ms)


def _overdue(row: MessageRow) -> Item:
    """Return a request that nobody has answered in time."""
    cause = Cause.NO_ANSWER_FROM_PEER if row.outgoing else Cause.NO_ANSWER_FROM_US
    since_ms = row.arrived_ms if row.reply_by_ms is None else row.reply_by_ms
    return Item(row=row, condition=Condition.OVERDUE, cause=cause, since_ms=since_ms)


def _find(tx: Transaction, message_id: bytes) -> MessageRow:
    found = tx.removal.find(message_id)
    if found is None:
        msg = "no such message at this node"
        raise NotFoundError(msg)
    return found[0]
