"""What the entries of the peer's log mean to this node, apart from messages.

Receipts and collections move own messages on; keys, statements and agreements change how
this node seals and checks; incidents and voids are remembered. Database effects happen in
the transaction that mirrors the entries, effects in memory once it is durable.

Spec: docs/spec/exchange.md, "Answers"; docs/spec/log.md, "Entries".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from gateway.core.checkpoint import is_origin
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    KeyStatementEntry,
    Kind,
    ReceiptEntry,
    ReceiptException,
    VoidEntry,
    decode_entry,
    is_agency,
    kind_of,
)
from gateway.core.generation import base_of, first_of, first_place, generation_of, located
from gateway.core.message.draft import MAX_SEQ
from gateway.core.message.schedule import Announced
from gateway.core.signature import HybridVerifier
from gateway.errors import OperatorError, PeerError, SignatureInvalidError
from gateway.node.announcements import MAX_AGREEMENTS, announced_in
from gateway.node.own_roots import NO_ROOTS, OwnRoots, Roots
from gateway.node.pair import Pair
from gateway.node.refill import placed
from gateway.node.signing_keys import statement_at, statements_before, statements_in
from gateway.ports import Incident, Keyring, Store, Transaction

log = structlog.get_logger(__name__)

_NO_ROOT = bytes(32)

MOST_TOLD: Final = 16
"""Incidents that entries of the peer make in `TOLD_MS`. The mirror holds every one of those entries, for
auditors; each as a row and a line of the log would cost this node a hundred bytes for one of the peer's, and
push what else happened out of the operators' list."""

TOLD_MS: Final = 60_000

MAX_STATEMENTS: Final = 1_000
"""Key statements that one generation of the peer's log may hold: each stays in memory, 13 kB, and is
verified at every start. Keys are replaced some six times a year."""


class PeerRootUnknownError(OperatorError):
    """No root of the peer that is pinned here has signed what our copy of its log states."""

    code = "peer-root-unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What becomes true in memory once the entries are durable.

    Attributes:
        kem_key: The newest key that the peer announced, if any came.
        statement: The peer's key statement and its index, if one came.
        agreements: Agreements, as many as came.
        messages_moved: True if receipts or collections moved own messages.
        sending_due: True if a message has to be sent once more, or the log to say something.
        peer_recovered: True if the peer says that it was restored from a backup.
    """

    kem_key: KemKeyEntry | None = None
    statement: tuple[int, bytes] | None = None
    agreements: tuple[AgreementEntry, ...] = ()
    messages_moved: bool = False
    sending_due: bool = False
    peer_recovered: bool = False


class MirrorReader:
    """Applies the peer's entries."""

    def __init__(self, *, pair: Pair, keyring: Keyring, on_kem_key: Callable[[KemKeyEntry], None]) -> None:
        """Wire the reader; ``on_kem_key`` is told the key to seal for."""
        self._pair = pair
        # Both logs are of one generation, so their indexes have one base.
        self._base = first_place(pair.generation)
        self._own_roots = OwnRoots(pair)
        self._keyring = keyring
        self._on_kem_key = on_kem_key
        self._announced = Announced()
        self._stated: list[tuple[int, bytes]] = []
        # The last statement of the generations before this one.
        self._stated_before: bytes | None = None
        # Incidents since when; counted in the writer's thread alone.
        self._told_since_ms, self._told_count = -TOLD_MS, 0

    @property
    def announced(self) -> Announced:
        """Return what the peer has announced of its catalogue."""
        return self._announced

    async def open(self, store: Store) -> None:
        """Read from the mirror what the peer announced last.

        Raises:
            PeerRootUnknownError: A statement in it is of a root that is not pinned: the trust folder is
                older than the mirror, from before the import of a new root.
        """
        origin = self._pair.peer_origin

        def load(
            tx: Transaction,
        ) -> tuple[list[bytes], list[tuple[int, bytes]], tuple[int, bytes] | None, Announced]:
            kem_key = tx.logs.newest_control(origin, Kind.KEM_KEY)
            stated = statements_in(tx, origin)
            return statements_before(tx, origin), stated, kem_key, announced_in(tx, origin)

        earlier, self._stated, kem_key, self._announced = await store.read(load)
        before: bytes | None = None
        for statement in (*earlier, *(item for _, item in self._stated)):
            try:
                self._keyring.accept_peer_statement(statement, after=before)
            except SignatureInvalidError as error:
                msg = (
                    "our copy of the peer's log states keys under a root that is not pinned here: "
                    "import what the peer exports now (entente keys import-peer)"
                )
                raise PeerRootUnknownError(msg) from error
            before = statement
        self._stated_before = earlier[-1] if earlier else None
        if kem_key is not None and isinstance(entry := decode_entry(kem_key[1]), KemKeyEntry):
            self._on_kem_key(entry)

    def log_verifier(self, size: int, last: bytes) -> HybridVerifier:
        """Return the key that has to have signed the peer's log at a size.

        It is named by the last statement below that size: the one that the bundle closes with,
        or the newest one that is mirrored, or the imported one while the mirror is empty.

        Args:
            size: Size that the note signs.
            last: The last entry below it.

        Raises:
            MalformedError: ``last`` claims to be a statement and is none.
            PeerError: ``last`` is a statement that the pinned root has not signed.
        """
        closing = decode_entry(last) if kind_of(last) == Kind.KEY_STATEMENT else None
        if isinstance(closing, KeyStatementEntry):
            statement = closing.statement
        else:
            statement = statement_at(self._stated, size) or self._keyring.peer_statement
        return self._keyring.peer_log_verifier(self._pair.peer_origin, statement)

    def check_statements(self, entries: Sequence[tuple[int, Entry]], *, end: int) -> None:
        """Check the statements of a bundle before any of it is kept.

        Args:
            entries: Entries that are not messages, with their indexes.
            end: Index behind the last entry of the bundle.

        Raises:
            PeerError: Entry 0 is no statement, a statement is not the last entry of its
                bundle, or it is not the imported one or a later one of the pinned root.
        """
        for index, entry in entries:
            if isinstance(entry, KeyStatementEntry) and index != end - 1:
                msg = "a key statement is the last entry of its bundle"
                raise PeerError(msg)
            if index == 0 and not self._is_first(entry):
                msg = "the first entry of an exchange log is its key statement, or cites the log before it"
                raise PeerError(msg)
            if isinstance(entry, KeyStatementEntry) and not self.is_restated(entry):
                if len(self._stated) >= MAX_STATEMENTS:
                    msg = "too many key statements in one generation of a log"
                    raise PeerError(msg)
                before = statement_at(self._stated, index) or self._stated_before
                self._keyring.accept_peer_statement(entry.statement, after=before)

    def _is_first(self, entry: Entry) -> bool:
        """Return whether an entry may open the peer's log in this generation.

        A successor cites the newest generation that its node holds, which need not be the one
        before: a database that was restored may never have held that.
        """
        if self._pair.generation == 1:
            return isinstance(entry, KeyStatementEntry)
        if not isinstance(entry, AnchorEntry):
            return False
        cited = generation_of(self._pair.first_peer_origin, entry.origin)
        return cited is not None and cited < self._pair.generation

    async def roots_of(self, store: Store, entries: Sequence[tuple[int, Entry]]) -> Roots:
        """Return what `keep` needs to know of our own log, if that is more than a transaction looks up."""
        return await self._own_roots.computed(store, entries)

    def is_restated(self, entry: Entry) -> bool:
        """Return whether an entry is the key statement that this log stated last: it changes nothing."""
        newest = self._stated[-1][1] if self._stated else None
        return isinstance(entry, KeyStatementEntry) and entry.statement == newest

    def keep(
        self,
        tx: Transaction,
        entries: Sequence[tuple[int, Entry]],
        malformed: Sequence[int],
        now_ms: int,
        *,
        roots: Roots = NO_ROOTS,
    ) -> Effects:
        """Make the database effects of mirrored entries; return those in memory.

        Args:
            tx: The transaction that mirrors them.
            entries: Entries that are not messages, with their indexes.
            malformed: Indexes of entries that are none.
            now_ms: UTC milliseconds.
            roots: What `roots_of` has returned for them.
        """
        kem_key: KemKeyEntry | None = None
        agreements: list[AgreementEntry] = []
        bad = list(malformed)
        moved = due = recovered = False
        for index, entry in entries:
            match entry:
                case ReceiptEntry():
                    moved = True
                    due = self._receipt(tx, index, entry, roots, now_ms) or due
                case CollectedEntry() if first_of(entry.origin) == self._pair.first_exchange_origin:
                    # Of an earlier generation as well: collections may come long after.
                    tx.outbox.collected(placed(entry), log_index=self._base + index)
                    moved = True
                case KemKeyEntry():
                    kem_key = entry
                case AgreementEntry():
                    agreements.append(entry)
                case IncidentEntry() if is_origin(entry.origin) and not self._is_ours_to_say(entry):
                    recovered = self._told(tx, entry, now_ms) or recovered
                case VoidEntry() if self._is_theirs(entry):
                    tx.inbox.put_void(entry.conversation_id, entry.agency, entry.numbers)
                case EventEntry() | CollectedEntry() | IncidentEntry() | VoidEntry():
                    bad.append(index)
                case AnchorEntry():
                    self._anchor(tx, entry, roots, now_ms)
                case _:
                    continue  # a statement, checked before the transaction
        for index in sorted(bad):
            self._incident(tx, IncidentKind.MALFORMED_ENTRY, self._pair.peer_origin, index, _NO_ROOT, now_ms)
        return Effects(
            kem_key=kem_key,
            statement=self._newly_stated(entries),
            agreements=tuple(agreements),
            messages_moved=moved,
            sending_due=due,
            peer_recovered=recovered,
        )

    def apply(self, effects: Effects) -> None:
        """Make the effects in memory of entries that are durable now."""
        if effects.kem_key is not None:
            self._on_kem_key(effects.kem_key)
        if effects.statement is not None:
            self._stated.append(effects.statement)
            log.info("peer.keys_changed", index=effects.statement[0])
        if effects.agreements:
            entries = (*self._announced.entries, *effects.agreements)
            self._announced = Announced(entries=entries[-MAX_AGREEMENTS:])

    def _newly_stated(self, entries: Sequence[tuple[int, Entry]]) -> tuple[int, bytes] | None:
        """Return the key statement that a bundle closes with, and its index, if it is another one."""
        index, entry = entries[-1] if entries else (0, None)
        if isinstance(entry, KeyStatementEntry) and not self.is_restated(entry):
            return index, entry.statement
        return None

    def _receipt(self, tx: Transaction, index: int, entry: ReceiptEntry, roots: Roots, now_ms: int) -> bool:
        """Apply a receipt if it speaks of our log as it is; else it is an incident.

        Returns:
            True if something is due to be sent now.
        """
        end = entry.start + entry.count
        if entry.origin != self._pair.exchange_origin or self._own_roots.at(tx, end, roots) != entry.root:
            self._incident(
                tx, IncidentKind.RECEIPT_CONFLICT, self._pair.peer_origin, index, entry.root, now_ms
            )
            return False
        # Also with codes of a later version: whatever they say, it is not *received*.
        exceptions = [replace(item, index=self._base + item.index) for item in entry.exceptions]
        if exceptions:
            self._keep_received(tx, index, entry, exceptions, now_ms)
        return tx.outbox.received(
            start=self._base + entry.start,
            end=self._base + end,
            decided_ms=entry.decided_ms,
            receipt_index=self._base + index,
            exceptions=exceptions,
        )

    def _keep_received(
        self,
        tx: Transaction,
        index: int,
        entry: ReceiptEntry,
        exceptions: Sequence[ReceiptException],
        now_ms: int,
    ) -> None:
        """Let nothing end that an earlier receipt of the peer has received.

        A peer of an earlier release says so of what it lost by a restore and gets a second time too late.
        """
        taken_back = tx.outbox.taken_back(exceptions)
        for number, place in taken_back:
            origin, at = located(self._pair.first_peer_origin, place)
            earlier = decode_entry(tx.logs.entries(origin, at, at + 1)[0])
            if isinstance(earlier, ReceiptEntry):
                start = base_of(earlier.origin) + earlier.start
                tx.outbox.stay_received(number, start=start, end=start + earlier.count)
        if taken_back:
            self._incident(
                tx, IncidentKind.RECEIPT_CONFLICT, self._pair.peer_origin, index, entry.root, now_ms
            )

    def _is_theirs(self, entry: VoidEntry) -> bool:
        """Return whether the numbers are of an agency of the peer, and such as a message may have."""
        is_theirs = is_agency(entry.agency) and entry.agency.startswith(f"{self._pair.peer_nation}.")
        return is_theirs and entry.numbers[0] > 0 and entry.numbers[-1] <= MAX_SEQ

    def _anchor(self, tx: Transaction, entry: AnchorEntry, roots: Roots, now_ms: int) -> None:
        """An anchor of our own log has to be a state that our log went through."""
        if entry.origin != self._pair.exchange_origin:
            return
        if self._own_roots.at(tx, entry.size, roots) != entry.root:
            self._incident(tx, IncidentKind.FORK, entry.origin, entry.size, entry.root, now_ms)

    def _told(self, tx: Transaction, entry: IncidentEntry, now_ms: int) -> bool:
        """Keep what the peer tells of itself; return whether it says that it was restored from a backup."""
        if entry.incident == IncidentKind.ERASED:
            # For the record of both nations; what we hold goes by our own dates and orders.
            log.info("peer.erased", origin=entry.origin, size=entry.size)
            return False
        self._incident(tx, entry.incident, entry.origin, entry.size, entry.root, now_ms)
        return entry.incident == IncidentKind.RECOVERY

    def _is_ours_to_say(self, entry: IncidentEntry) -> bool:
        """Return whether it tells of our log what only we can find: that the peer's copy has gone back.

        Kept as the peer's word, it would pass for what this node has found itself (`gateway.node.recovery`).
        """
        is_own = first_of(entry.origin) == self._pair.first_exchange_origin
        return is_own and entry.incident == IncidentKind.PEER_ROLLBACK

    def _incident(self, tx: Transaction, kind: int, origin: str, size: int, root: bytes, now_ms: int) -> None:
        """Keep and log an incident; of those beyond `MOST_TOLD` one line says that there are some."""
        if abs(now_ms - self._told_since_ms) >= TOLD_MS:
            self._told_since_ms, self._told_count = now_ms, 0
        self._told_count += 1
        if self._told_count > MOST_TOLD:
            if self._told_count == MOST_TOLD + 1:
                log.error("incident.flood", peer=self._pair.peer_node)
            return
        incident = Incident(kind=kind, origin=origin, size=size, root=root, at_ms=now_ms)
        if incident.is_stated:
            log.warning("incident.stated", kind=kind, origin=origin, size=size)
        else:
            log.error("incident.recorded", kind=kind, origin=origin, size=size)
        tx.facts.put_incident(incident)
