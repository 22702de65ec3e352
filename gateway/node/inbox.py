"""The inbox of an agency: what arrived for it, and its acknowledgements.

A message is opened for its addressee only when it is read. An acknowledgement is durable
before it is answered, is logged for the sender as a collection, and may be repeated.

Spec: docs/spec/exchange.md, "Inbox".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.core.generation import located
from gateway.core.message.threads.in_force import InForce, in_force
from gateway.core.quick import quick_value
from gateway.errors import RejectedError
from gateway.node.audit_log import AuditLog
from gateway.node.gate import Gate
from gateway.node.pair import Pair
from gateway.node.posts import Principal
from gateway.node.steps import SLICE
from gateway.node.thread_memory import MissingNumbers, ThreadMemory
from gateway.node.vault import Vault
from gateway.node.waiting import wait_for
from gateway.node.workers import Workers
from gateway.ports import Clock, InboxRow, MessageRow, Step, Store, StoredNote, Transaction

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""Content in one page of an inbox; a page holds at least one message, whatever its size."""

FIRST_STEP = 16
"""Messages that a page reads at first, before their sizes are known: 18 MiB at most."""

SHORT_BYTES = 65_536
"""Content of a page that is opened where it was read: waking another thread costs as much."""


class NotFoundError(RejectedError):
    """There is no such thing for this caller: unknown and not yours look the same."""

    code = "not-found"


@quick_value
class Delivery:
    """A message as its addressee gets it.

    Attributes:
        row: What this node knows of it.
        header: Its header, encoded.
        collected_ms: When this agency acknowledged it, or None.
        message: JSON bytes as they were validated at both nodes; None once erased.
        in_force: What became of it since, or None if nothing did.
    """

    row: MessageRow
    header: bytes
    collected_ms: int | None
    message: bytes | None
    in_force: InForce | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What this node checked and can show about a received message.

    Attributes:
        origin: The sender's log.
        index: Index of the message's entry in it.
        checkpoint_size: Size of the newest note of that log that this node holds.
        checkpoint_root: Its root, 32 bytes.
        receipt_index: Index of our receipt in our exchange log, once it is there.
    """

    origin: str
    index: int
    checkpoint_size: int
    checkpoint_root: bytes
    receipt_index: int | None


class Inbox:
    """Reads and acknowledges for agencies, and wakes those who wait."""

    def __init__(
        self,
        *,
        pair: Pair,
        store: Store,
        vault: Vault,
        audit: AuditLog,
        clock: Clock,
        workers: Workers,
        gate: Gate,
        on_collected: Callable[[], None],
    ) -> None:
        """Wire the inbox.

        Args:
            pair: Names of the two nodes.
            store: Where messages are kept.
            vault: Opens content.
            audit: Writes events.
            clock: Time of an acknowledgement.
            workers: Threads that open content.
            gate: Stands before everything that shows content.
            on_collected: Told when a collection is due to be logged.
        """
        self._pair = pair
        self._store = store
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._workers = workers
        self._gate = gate
        self._on_collected = on_collected
        self._arrivals: dict[str, asyncio.Event] = {}

    def arrived(self, agencies: Iterable[str]) -> None:
        """Wake whoever waits for messages of these agencies."""
        for agency in agencies:
            event = self._arrivals.pop(agency, None)
            if event is not None:
                event.set()

    async def page(
        self,
        principal: Principal,
        *,
        after: tuple[int, int] = (-1, 0),
        limit: int = 100,
        wait_s: float = 0.0,
        collected: bool = False,
    ) -> list[Delivery]:
        """Return messages in order of precedence, then arrival.

        Args:
            principal: The addressee.
            after: (rank, number) of the last one seen.
            limit: At most so many, 1 to 1,000.
            wait_s: Seconds to wait while there is nothing.
            collected: True for what was acknowledged already.
        """
        await self._gate.passed()
        agency = principal.agency
        deadline = self._clock.monotonic_s() + wait_s
        while True:
            event = self._arrivals.setdefault(agency, asyncio.Event())
            rows, changes, opened = await self._store.read(
                lambda tx: self._page(tx, agency, after=after, limit=limit, collected=collected)
            )
            left = deadline - self._clock.monotonic_s()
            if rows or left <= 0:
                break
            await wait_for(self._clock, left, event)
        if not rows:
            return []
        deliveries = opened or await self._workers.compute(self._open_all, rows, changes)
        await self._read_event(principal, [item.row.message_id for item in deliveries])
        return deliveries

    async def read(self, principal: Principal, message_id: bytes) -> tuple[Delivery, Verification]:
        """Return one message with what this node verified.

        Raises:
            NotFoundError: Unknown, or this agency is no addressee.
        """
        await self._gate.passed()
        agency = principal.agency

        def find(
            tx: Transaction,
        ) -> tuple[InboxRow | None, StoredNote | None, dict[bytes, InForce]]:
            row = tx.inbox.find(message_id, agency)
            if row is None:
                return None, None, {}
            origin, _ = located(self._pair.first_peer_origin, row.row.log_index or 0)
            note = tx.logs.newest_note(origin)
            return _as_of_now(MissingNumbers(tx), row), note, self._changes(tx, agency, [message_id])

        found, note, changes = await self._store.read(find)
        if found is None or note is None:
            msg = "no such message in this inbox"
            raise NotFoundError(msg)
        (delivery,) = await self._workers.compute(self._open_all, [found], changes)
        await self._read_event(principal, [message_id])
        origin, index = located(self._pair.first_peer_origin, found.row.log_index or 0)
        return delivery, Verification(
            origin=origin,
            index=index,
            checkpoint_size=note.size,
            checkpoint_root=note.root,
            receipt_index=found.row.receipt_index,
        )

    async def acknowledge(self, principal: Principal, message_id: bytes) -> int:
        """Record that the agency has the message; return when, in UTC milliseconds.

        A repeat returns the time of the first acknowledgement.

        Raises:
            NotFoundError: Unknown, or this agency is no addressee.
        """
        (collected_ms,) = await self.acknowledge_all(principal, [message_id])
        if collected_ms is None:
            msg = "no such message in this inbox"
            raise NotFoundError(msg)
        return collected_ms

    async def acknowledge_all(self, principal: Principal, message_ids: Sequence[bytes]) -> list[int | None]:
        """Record that the agency has these messages, in one transaction.

        Returns:
            For each id when it was collected, UTC milliseconds, or None where the message is
            unknown or this agency is no addressee.
        """
        now_ms = self._clock.now_ms()

        def acknowledge(tx: Transaction) -> dict[bytes, tuple[int, bool]]:
            found = tx.inbox.acknowledge(message_ids, principal.agency, at_ms=now_ms)
            new = [message_id for message_id, (_, is_new) in found.items() if is_new]
            if new:
                event = self._audit.event(
                    at_ms=now_ms, actor=principal.actor, event="message.collected", objects=new
                )
                self._audit.append(tx, event)
            return found

        found = await self._store.write(Step.COLLECTED, acknowledge)
        if any(is_new for _, is_new in found.values()):
            self._on_collected()
        return [found[item][0] if item in found else None for item in message_ids]

    async def _read_event(self, principal: Principal, message_ids: list[bytes]) -> None:
        """Record that content was read before it is handed out."""
        entries = self._audit.event(
            at_ms=self._clock.now_ms(),
            actor=principal.actor,
            event="message.read",
            objects=message_ids,
        )
        await self._store.write(Step.AUDITED, lambda tx: self._audit.append(tx, entries))

    def _page(
        self, tx: Transaction, agency: str, *, after: tuple[int, int], limit: int, collected: bool
    ) -> tuple[list[InboxRow], dict[bytes, InForce], list[Delivery]]:
        """Return the rows of a page, what became of them, and the page itself if it is short."""
        rows = _page(tx, agency, after=after, limit=limit, collected=collected)
        changes = self._changes(tx, agency, [item.row.message_id for item in rows])
        is_short = sum(len(row.ciphertext or b"") for row in rows) <= SHORT_BYTES
        return rows, changes, self._open_all(rows, changes) if is_short else []

    def _changes(self, tx: Transaction, agency: str, message_ids: list[bytes]) -> dict[bytes, InForce]:
        """Return what became of messages; one statement for all that nothing became of."""
        affected = tx.threads.effects(message_ids)
        if not affected:
            return {}
        memory = ThreadMemory(tx, open_content=self._vault.document)
        memory.fetch_effects(affected)
        now_ms = self._clock.now_ms()
        changed: dict[bytes, InForce] = {}
        for message_id in affected:
            found = in_force(message_id, memory, reader=agency, now_ms=now_ms)
            if found is not None:
                changed[message_id] = found
        return changed

    def _open_all(self, rows: list[InboxRow], changes: dict[bytes, InForce]) -> list[Delivery]:
        deliveries: list[Delivery] = []
        size = 0
        for at in range(0, len(rows), SLICE):
            part = rows[at : at + SLICE]
            for row, message in zip(part, self._vault.open_all(part), strict=True):
                size += len(message or b"")
                if deliveries and size > MAX_PAGE_BYTES:
                    return deliveries
                deliveries.append(
                    Delivery(
                        row=row.row,
                        header=row.header,
                        collected_ms=row.collected_ms,
                        message=message,
                        in_force=changes.get(row.row.message_id),
                    )
                )
        return deliveries


def _page(
    tx: Transaction, agency: str, *, after: tuple[int, int], limit: int, collected: bool
) -> list[InboxRow]:
    """Return the rows of a page, read in steps: however large the messages, few are in memory."""
    rows: list[InboxRow] = []
    missing = MissingNumbers(tx)
    size, step = 0, FIRST_STEP
    while len(rows) < limit and size < MAX_PAGE_BYTES:
        wanted = min(step, limit - len(rows))
        part = tx.inbox.listing(agency, after=after, limit=wanted, collected=collected)
        rows += [_as_of_now(missing, row) for row in part]
        if len(part) < wanted:
            break
        after = (part[-1].row.rank, part[-1].row.number)
        size += sum(len(row.ciphertext or b"") for row in part)
        # As many as will fit, judged by those before.
        step = max((MAX_PAGE_BYTES - size) * len(rows) // max(size, 1), 1)
    return rows


def _as_of_now(missing: MissingNumbers, found: InboxRow) -> InboxRow:
    row = missing.without_filled_gap(found.row)
    return found if row is found.row else replace(found, row=row)
