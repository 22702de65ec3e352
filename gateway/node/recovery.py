"""Before the first signature: is our log really where the database says it is?

A database restored from a backup would make the node sign a second history of its own
log. So three things are compared before anything is signed: the database, the high-water
file that lies on another path, and the peer's newest view of our log. If either of the
others is ahead, the missing entries are fetched from the peer's mirror, checked against
our own signature, appended, and the incident is logged. Until the peer answers the node
accepts messages and signs nothing, but for a log that the peer never saw.

Spec: docs/spec/exchange.md, "Start" and "Recovery".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from gateway.core.cosignature import verify_cosignature, verify_log_note
from gateway.core.entries import (
    CollectedEntry,
    IncidentEntry,
    IncidentKind,
    MessageEntry,
    ReceiptEntry,
    decode_entry,
    encode_entry,
)
from gateway.core.envelope import decode_header
from gateway.core.merkle import Hash, append, hash_leaf
from gateway.errors import OperatorError, PeerError, UnavailableError
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.log_writer import ensure_log, extend_log
from gateway.node.mirror import MirrorReader
from gateway.node.pair import Pair
from gateway.node.sequencer import Sequencer
from gateway.node.waiting import wait_for
from gateway.node.workers import Workers
from gateway.ports import (
    Clock,
    Entropy,
    HighWater,
    Keyring,
    LogHead,
    LogKind,
    PeerLink,
    PeerView,
    SentBundle,
    Step,
    Store,
    StoredNote,
    Transaction,
)

log = structlog.get_logger(__name__)

PAGE = 1_024


class UnprovenHistoryError(OperatorError):
    """The peer's copy of our log does not carry our signature: nothing is taken from it."""

    code = "unproven-history"


class Recovery:
    """Compares and, where needed, refills the own exchange log."""

    def __init__(
        self,
        *,
        pair: Pair,
        store: Store,
        keyring: Keyring,
        high_water: HighWater,
        reader: MirrorReader,
        audit: AuditLog,
        link: PeerLink,
        clock: Clock,
        entropy: Entropy,
        workers: Workers,
        sequencer: Sequencer,
    ) -> None:
        """Wire the recovery."""
        self._pair = pair
        self._store = store
        self._keyring = keyring
        self._high_water = high_water
        self._reader = reader
        self._audit = audit
        self._link = link
        self._clock = clock
        self._entropy = entropy
        self._workers = workers
        self._sequencer = sequencer

    async def settle(self, on_recovering: Callable[[], None]) -> None:
        """Return once our log is known to be whole.

        Args:
            on_recovering: Told when entries are missing.

        Raises:
            OperatorError: The missing entries cannot be proven to be ours.
        """
        origin = self._pair.exchange_origin
        head = await self._store.read(lambda tx: tx.logs.head(origin))
        size = 0 if head is None else head.size
        marked = self._high_water.read().get(origin, (0, Hash(b"")))[0]
        if size == 0 and marked == 0:
            # A log that was never signed: nothing can be contradicted. What a peer might
            # hold under our name all the same is found at the first contact.
            return
        view = await self._ask()
        target = max(view.mirrored_size, marked)
        if target <= size:
            return
        on_recovering()
        log.error("log.rolled_back", origin=origin, size=size, marked=marked, peer=view.mirrored_size)
        await self._refill(head, view, marked)

    async def _ask(self) -> PeerView:
        """Ask the peer what it holds, until it answers."""
        wait_s = 0.2
        while True:
            try:
                return await self._link.view()
            except (UnavailableError, PeerError) as error:
                log.warning("recovery.waiting", peer=self._pair.peer_node, code=error.code)
            await wait_for(self._clock, wait_s * (0.5 + 0.5 * self._entropy.fraction()))
            wait_s = min(wait_s * 2, 30.0)

    async def _refill(self, head: LogHead | None, view: PeerView, marked: int) -> None:
        origin = self._pair.exchange_origin
        if view.mirrored is None or view.mirrored_size < marked:
            # We signed beyond what the peer holds, and the entries are nowhere: signing
            # again at those sizes could contradict what we signed.
            msg = "entries that this node signed are neither in its database nor at the peer"
            raise UnprovenHistoryError(msg)
        note = view.mirrored

        def verify() -> tuple[int, Hash]:
            verified = verify_log_note(note, verifier=self._keyring.own_verifier(origin))
            verify_cosignature(note, cosigner=self._keyring.peer_cosigner_verifier)
            return verified.checkpoint.size, verified.checkpoint.root

        size, root = await self._workers.run(verify)
        start = 0 if head is None else head.size
        entries: list[bytes] = []
        while start + len(entries) < size:
            at = start + len(entries)
            page = await self._link.entries(origin, at, min(at + PAGE, size))
            if not page:
                msg = "the peer does not give the entries that it mirrors"
                raise UnavailableError(msg)
            entries += page

        def keep(tx: Transaction) -> None:
            own = ensure_log(tx, origin, LogKind.EXCHANGE)
            if append(own.edge, [hash_leaf(entry) for entry in entries]).edge.root() != root:
                msg = "the peer's copy of our log does not lead to the root that we signed"
                raise UnprovenHistoryError(msg)
            self._append(tx, own, entries, note, root)

        await self._store.write(Step.RECOVERED, keep)
        await self._high_water.record({origin: (size, root)})
        incident = IncidentEntry(incident=IncidentKind.RECOVERY, origin=origin, size=start, root=bytes(32))
        self._sequencer.add_control(encode_entry(incident))
        log.warning("log.recovered", origin=origin, size=size, entries=len(entries))

    def _append(
        self, tx: Transaction, own: LogHead, entries: Sequence[bytes], note: bytes, root: Hash
    ) -> None:
        """Append recovered entries and what follows from them for messages."""
        now_ms = self._clock.now_ms()
        grown = extend_log(tx, own, entries)
        messages: list[tuple[int, bytes]] = []
        for index, data in enumerate(entries, start=own.size):
            entry = decode_entry(data)
            if isinstance(entry, MessageEntry):
                messages.append((index, decode_header(entry.header).message_id))
            elif isinstance(entry, ReceiptEntry):
                tx.inbox.receipts_recovered(entry.start, entry.start + entry.count, log_index=index)
            elif isinstance(entry, CollectedEntry):
                tx.inbox.collections_recovered(entry.collections, log_index=index)
        tx.outbox.recovered(messages, at_ms=now_ms)
        tx.outbox.put_bundle(
            SentBundle(
                start=own.size,
                count=len(entries),
                root=root,
                box=None,
                note=note,
                sequenced_ms=now_ms,
                messages=len(messages),
            )
        )
        tx.logs.put_note(
            StoredNote(origin=own.origin, size=grown.size, root=root, at_ms=now_ms, note=note, cosigned=True)
        )
        event = self._audit.event(
            at_ms=now_ms, actor=NODE, event="log.recovered", details=(own.size, grown.size)
        )
        self._audit.append(tx, event)
