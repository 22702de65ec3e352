"""Intake: takes the peer's bundles, mirrors its log, and opens what is in it.

A bundle is refused as a whole for what concerns the log (shape, signatures, position,
root); everything else concerns one message and becomes an exception in the receipt. What
is accepted is made durable in one transaction; then the high-water mark is recorded, and once that
is durable the peer's log is cosigned, ten times a second at most.

What a crash leaves behind: before the transaction, nothing, and the peer sends again;
after it, a mirror that already holds the bundle, so that the repeat is a replay and gets
the cosignature it missed.

Spec: docs/spec/exchange.md, "Receiving".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from gateway.core.bundle import Bundle, decode_bundle
from gateway.core.cosignature import VerifiedNote, verify_log_note
from gateway.core.entries import Kind
from gateway.core.generation import first_place
from gateway.core.merkle import Appended, append, hash_leaf
from gateway.core.message.schedule import Schedule
from gateway.core.receipt import ExceptionCode
from gateway.core.states import Precedence
from gateway.errors import (
    MalformedError,
    PairFrozenError,
    PeerConflictError,
    RootMismatchError,
    UnavailableError,
)
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.bundle_opening import BundleOpening
from gateway.node.crew import Crew
from gateway.node.earlier import Earlier, Words
from gateway.node.forks import FROZEN, Checked, Forks
from gateway.node.holding import Holding
from gateway.node.log_writer import ensure_log, extend_log
from gateway.node.mirror import Effects, MirrorReader
from gateway.node.opening import Contents, Opened, Opener, Refused
from gateway.node.own_roots import Roots
from gateway.node.pair import Pair
from gateway.node.reception import Reception
from gateway.node.vault import Vault
from gateway.node.vouching import Voucher
from gateway.node.workers import Workers
from gateway.ports import (
    BundleAnswer,
    Clock,
    HighWater,
    Keyring,
    LogHead,
    LogKind,
    ReceiptDue,
    Step,
    Store,
    StoredNote,
    Transaction,
)

log = structlog.get_logger(__name__)

MAX_IN_WORK: Final = 8
"""Bundles that are verified, held or taken at once; a well-behaved sender has four in flight."""

RECEIPT_FIRST_S: Final = 0.02
"""How long a cosignature, and who waits for an inbox, wait for the bundle that takes the receipt along: the
sender waits for that one, and together they would share a processor for 1 to 4 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a mirrored bundle brought, for those who wait for it.

    Attributes:
        agencies: Addressees of its messages.
        effects: What became true in memory.
    """

    agencies: frozenset[str]
    effects: Effects


class Taking(Protocol):
    """Is told that a bundle with messages is about to be written."""

    def __call__(self, rank: int | None, /, *, gathers: bool) -> None:
        """Take note of it.

        Args:
            rank: Most urgent precedence number among the messages that opened, if any did.
            gathers: Whether bundles overlap, so that their receipts may leave together.
        """


class Intake:
    """Receives bundles of one peer. Calls may overlap; the mirror grows one bundle at a time."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        store: Store,
        keyring: Keyring,
        vault: Vault,
        high_water: HighWater,
        reader: MirrorReader,
        audit: AuditLog,
        clock: Clock,
        workers: Workers,
        crew: Crew,
        on_urgent: Callable[[], None],
        on_taking: Taking,
        receipt_made: Callable[[float], Awaitable[None]],
        urgent_answered: Callable[[], Awaitable[None]],
        on_arrival: Callable[[Effects], None],
        on_messages: Callable[[frozenset[str]], None],
        on_frozen: Callable[[], None],
        on_kem_key_gone: Callable[[], None],
    ) -> None:
        """Wire the pipeline.

        Args:
            pair: Names of the two nodes.
            schedule: Catalogues of this node.
            store: Where the mirror is kept.
            keyring: Verifies the peer's notes, holds KEM keys and the cosigner.
            vault: Re-wraps content keys for storage.
            high_water: Remembers what was cosigned.
            reader: Applies entries of the peer's log that are not messages.
            audit: Anchors every bundle that is mirrored.
            clock: Time of arrival.
            workers: Threads for signatures and opening.
            crew: Processes for opening; it may have none.
            on_urgent: Told of something urgent that was opened and perhaps has to wait for what is before it.
            on_taking: Told right before a bundle with messages is written: a write that is queued from then
                on finds the receipt due, and may share the commit.
            receipt_made: Returns once the bundle that takes a receipt along is signed, or so many seconds
                are over, or at once if the peer is away.
            urgent_answered: Returns once the receipt of what is urgent has left, or soon in any case: the
                next bundle is written after that.
            on_arrival: Told after each bundle that was made durable.
            on_messages: Told the addressees of messages, a moment after they were made durable.
            on_frozen: Told when a fork was proven.
            on_kem_key_gone: Told of a message that was sealed for a key that is not there.
        """
        self._pair = pair
        self._store = store
        self._keyring = keyring
        self._voucher = Voucher(keyring=keyring, high_water=high_water, clock=clock, workers=workers)
        self._reader = reader
        self._clock = clock
        self._workers = workers
        self._on_urgent = on_urgent
        self._on_taking = on_taking
        self._receipt_made = receipt_made
        self._urgent_answered = urgent_answered
        self._on_arrival = on_arrival
        self._on_messages = on_messages
        self._on_kem_key_gone = on_kem_key_gone
        self._opening = BundleOpening(
            Opener(pair=pair, schedule=schedule, kem_private=keyring.kem_private, vault=vault),
            schedule=schedule,
            workers=workers,
            crew=crew,
            announced=lambda: reader.announced,
        )
        self._reception = Reception(vault=vault, origin=pair.peer_origin)
        self._audit = audit
        self._forks = Forks(pair=pair, store=store, high_water=high_water, clock=clock, on_proven=on_frozen)
        self._earlier = Earlier(
            origin=pair.peer_origin,
            store=store,
            opening=self._opening,
            marked=self._forks.cosigned_size,
            clock=clock,
        )
        self._turn = asyncio.Lock()
        self._taking: set[asyncio.Task[Contents | None]] = set()
        self._showing: set[asyncio.Task[None]] = set()
        self._holding = Holding()
        self._size = 0
        self._head: LogHead | None = None
        self._in_work = 0
        # Where bundles begin that are verified, hold messages and wait to be mirrored.
        self._waiting: set[int] = set()
        self._ready = False
        # Keys of the peer's newest box: none that is older is left, so nobody looks for one.
        self._in_use: frozenset[bytes] = frozenset()

    async def open(self) -> None:
        """Read where the mirror ends. Every bundle gets a 503 until `admit` is called."""

        def load(tx: Transaction) -> tuple[int, bool, int]:
            head = ensure_log(tx, self._pair.peer_origin, LogKind.MIRROR)
            newest = tx.logs.newest_note(self._pair.peer_origin)
            return head.size, tx.facts.get(FROZEN) is not None, 0 if newest is None else newest.at_ms

        self._size, self._forks.proven, at_ms = await self._store.write(Step.SETUP, load)
        self._voucher.not_before(at_ms)

    def admit(self) -> None:
        """Take bundles from now on: this node's own log is whole, so it may sign."""
        self._earlier.forget()
        self._ready = True
        self._holding.changed()

    def suspend(self) -> None:
        """Take no bundles until `admit` is called: this node's own log is being refilled."""
        self._ready = False

    @property
    def frozen(self) -> bool:
        """Return whether a fork is proven, now or before: no bundle is taken until people decide."""
        return self._forks.proven

    def freeze(self) -> None:
        """Take no bundle any more: operators have signed off for another generation."""
        self._forks.proven = True

    async def quiet(self) -> None:
        """Return once nothing is being mirrored any more; the pair has to be frozen."""
        async with self._turn:
            return

    @property
    def size(self) -> int:
        """Return the size of the mirror."""
        return self._size

    async def receive(self, data: bytes) -> BundleAnswer:
        """Take a bundle and answer with the cosigned note, or with the mirror's size alone.

        Args:
            data: Body of the call, at most 16 MiB.

        Raises:
            MalformedError: Not a bundle, or not a note.
            SignatureInvalidError: One of the two signatures of the log is missing or wrong.
            PeerConflictError: It begins behind the end of the mirror; the size is in the error.
            RootMismatchError: The entries do not lead to the signed root.
            PairFrozenError: A fork is proven, now or before.
            UnavailableError: Not ready yet.
        """
        if self._in_work >= MAX_IN_WORK:
            msg = "too many bundles at once"
            raise UnavailableError(msg)
        self._in_work += 1
        begins = -1
        try:
            await self._holding.until(lambda: self._ready or self._forks.proven)
            self._check_open()
            checked, contents = await self._workers.sign(self._verify, data, now_ms=self._clock.now_ms())
            start = checked.bundle.start
            if checked.bundle.ciphertexts:
                begins = start
                self._waiting.add(begins)
            if contents is None and start >= self._size:
                # The usual case: opened while the bundles before it are still being written.
                contents = await self._open(checked.bundle, skip=0)
            if contents is not None and _is_urgent(contents):
                self._on_urgent()
            if not await self._holding.until(lambda: start <= self._size):
                raise PeerConflictError(self._size)
            return await self._answer(checked, await self._begin_taking(checked, contents))
        finally:
            self._in_work -= 1
            self._waiting.discard(begins)

    async def view(self) -> tuple[bytes | None, int]:
        """Return (cosigned newest note of the mirror, size of the mirror).

        A mirror that was restored from a backup and ends below what this node cosigned once
        is not cosigned anew before it has grown beyond that: the note is None until then.
        """
        origin = self._pair.peer_origin

        def load(tx: Transaction) -> tuple[int, StoredNote | None]:
            head = tx.logs.head(origin)
            return 0 if head is None else head.size, tx.logs.newest_note(origin)

        size, newest = await self._store.read(load)
        if newest is None or newest.note is None or newest.size != size or size < self._forks.cosigned_size():
            return None, size
        self._voucher.not_before(newest.at_ms)
        return await self._voucher.cosign(newest.note, {origin: (size, newest.root)}), size

    # --- order -------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._forks.proven:
            msg = "the pair is frozen"
            raise PairFrozenError(msg)
        if not self._ready:
            msg = "this node is starting or recovering"
            raise UnavailableError(msg, retry_after_s=2)

    def _begin_taking(self, checked: Checked, contents: Contents | None) -> asyncio.Future[Contents | None]:
        """Return what tells the contents of a bundle once it is mirrored.

        A caller that goes away, or whose deadline is over, does not take the write back: what follows from
        it in memory has to be done as well. No frame of the caller holds the task: with an error in it, the
        two would hold each other and the bundle until the collector looks.
        """
        taking = asyncio.create_task(self._take_in_turn(checked, contents))
        self._taking.add(taking)
        taking.add_done_callback(self._taken)
        return asyncio.shield(taking)

    async def _take_in_turn(self, checked: Checked, contents: Contents | None) -> Contents | None:
        async with self._turn:
            self._check_open()
            if checked.bundle.start > self._size:
                raise PeerConflictError(self._size)
            taken = await self._take(checked, contents)
            if taken is not None and _is_urgent(taken):
                # The next bundle would be written, and make signatures slow, before the receipt of this one.
                await self._urgent_answered()
        self._holding.changed()
        return taken

    def _taken(self, taking: asyncio.Task[Contents | None]) -> None:
        self._taking.discard(taking)
        if not taking.cancelled() and (error := taking.exception()) is not None:
            # Its caller hears of it, unless the caller went away.
            log.debug("bundle.refused", error=type(error).__name__)

    # --- the log -----------------------------------------------------------------------

    def _verify(self, data: bytes, *, now_ms: int) -> tuple[Checked, Contents | None]:
        """Check 2, and the contents of a bundle that holds few messages or none."""
        bundle = decode_bundle(data)
        verifier = self._reader.log_verifier(bundle.end, bundle.entries[-1])
        verified = verify_log_note(bundle.note, verifier=verifier)
        if verified.checkpoint.size != bundle.end:
            msg = "the note of a bundle signs the size at the bundle's end"
            raise MalformedError(msg)
        leaves = tuple(hash_leaf(entry) for entry in bundle.entries)
        checked = Checked(bundle=bundle, verified=verified, leaves=leaves)
        return checked, self._opening.open_few(bundle, now_ms=now_ms)

    async def _open(self, bundle: Bundle, *, skip: int) -> Contents:
        return await self._opening.open(bundle, skip=skip, now_ms=self._clock.now_ms())

    async def _take(self, checked: Checked, contents: Contents | None) -> Contents | None:
        """Mirror a bundle; return its contents, or None if the mirror held all of it already.

        Only this part runs one bundle at a time. What follows (high-water mark, cosignature,
        answer) may overlap with the next bundle: both marks and cosignatures only grow.
        """
        bundle, checkpoint = checked.bundle, checked.verified.checkpoint
        overlap = min(self._size, bundle.end) - bundle.start
        if overlap > 0:
            await self._forks.check_overlap(checked, overlap, size=self._size)
        if bundle.end <= self._size:
            return None
        head = self._head
        if head is None:
            head = await self._store.read(self._load_head)
        appended = append(head.edge, checked.leaves[overlap:])
        if appended.edge.root() != checkpoint.root:
            msg = "the entries do not lead to the signed root"
            raise RootMismatchError(msg)
        await self._forks.check_remembered(checked, head, overlap)
        if contents is None or overlap > 0:
            contents = await self._open(bundle, skip=overlap)
        words = await self._earlier.words(bundle, contents, skip=overlap)
        opened = await self._earlier.settled(bundle, contents, words, skip=overlap)
        self._reader.check_statements(opened.others, end=bundle.end)
        roots = await self._reader.roots_of(self._store, opened.others)
        now_ms = self._clock.now_ms()
        new = bundle.entries[overlap:]
        retired = self._retired_keys(opened)
        self._waiting.discard(bundle.start)
        if opened.messages:
            self._on_taking(_highest(opened), gathers=bool(self._waiting))
        self._head = None  # unknown while the outcome of the write is
        arrival, grown = await self._store.write(
            Step.MIRRORED,
            lambda tx: self._keep(
                tx, head, new, appended, opened, words, roots, checked.verified, now_ms, retired
            ),
        )
        self._head = grown
        self._size = grown.size
        self._reader.apply(arrival.effects)
        for key_id in retired:
            self._keyring.destroy_kem_key(key_id)
            log.info("kem.destroyed", key_id=key_id.hex())
        if opened.kem_key_ids:
            self._in_use = frozenset(opened.kem_key_ids)
        if any(isinstance(m, Refused) and m.code is ExceptionCode.KEM_KEY_GONE for m in opened.messages):
            self._on_kem_key_gone()
        self._on_arrival(arrival.effects)
        if arrival.agencies:
            showing = asyncio.create_task(self._show(arrival.agencies))
            self._showing.add(showing)
            showing.add_done_callback(self._showing.discard)
        return opened

    async def _show(self, agencies: frozenset[str]) -> None:
        """Wake who waits for messages: what they do then would share a processor with the receipt."""
        try:
            await self._receipt_made(RECEIPT_FIRST_S)
        finally:
            self._on_messages(agencies)

    async def _answer(self, checked: Checked, taken: Contents | None) -> BundleAnswer:
        """Answer with a cosignature if one is due for messages, else with the size alone.

        A replay gets the cosignature of the mirror's newest state.
        """
        if taken is None:
            note, size = await self.view()
            return BundleAnswer(size=size, note=note)
        checkpoint = checked.verified.checkpoint
        marks = {checkpoint.origin: (checkpoint.size, checkpoint.root)}
        may = checkpoint.size >= self._forks.cosigned_size()
        if not may or not self._voucher.takes_turn(messages=bool(taken.messages)):
            await self._voucher.mark(marks)
            return BundleAnswer(size=checkpoint.size, note=None)
        await self._receipt_made(RECEIPT_FIRST_S)
        return BundleAnswer(size=checkpoint.size, note=await self._voucher.cosign(checked.bundle.note, marks))

    def _load_head(self, tx: Transaction) -> LogHead:
        return ensure_log(tx, self._pair.peer_origin, LogKind.MIRROR)

    # --- the transaction ---------------------------------------------------------------

    def _keep(
        self,
        tx: Transaction,
        head: LogHead,
        new: Sequence[bytes],
        appended: Appended,
        contents: Contents,
        words: Words,
        roots: Roots,
        verified: VerifiedNote,
        now_ms: int,
        retired: Sequence[bytes],
    ) -> tuple[Arrival, LogHead]:
        grown = extend_log(tx, head, new, grown=appended)
        tx.logs.put_note(
            StoredNote(
                origin=head.origin,
                size=grown.size,
                root=verified.checkpoint.root,
                at_ms=now_ms,
                note=verified.note,
            )
        )
        for index, entry in contents.others:
            if entry.kind in _CONTROL_KINDS and not self._reader.is_restated(entry):
                tx.logs.put_control(head.origin, entry.kind, index, new[index - head.size])
        self._audit.anchor(tx, grown)
        if retired:
            event = self._audit.event(at_ms=now_ms, actor=NODE, event="kem.destroyed", details=retired)
            self._audit.append(tx, event)
        effects = self._reader.keep(tx, contents.others, contents.malformed, now_ms, roots=roots)
        rows, exceptions = self._reception.receive(tx, contents.messages, now_ms, words=words)
        if rows:
            tx.inbox.insert(rows)
            self._reception.found_again(tx, rows)
        if self._earlier.is_about(head.size):
            tx.inbox.forget_early_receipts(first_place(self._pair.generation) + grown.size)
        if contents.messages:
            tx.inbox.put_receipt_due(
                ReceiptDue(
                    start=first_place(self._pair.generation) + head.size,
                    count=len(new),
                    root=verified.checkpoint.root,
                    decided_ms=now_ms,
                    exceptions=tuple(exceptions),
                )
            )
        arrival = Arrival(
            agencies=frozenset(agency for row in rows for agency in row.to_agencies),
            effects=effects,
        )
        return arrival, grown

    # --- keys --------------------------------------------------------------------------

    def _retired_keys(self, contents: Contents) -> Sequence[bytes]:
        """Return KEM keys that are older than one that the peer has begun to use.

        A sender never returns to an older key, so nothing that could still arrive needs it. They are
        destroyed once the bundle is mirrored, which is recorded with it; what a crash in between
        leaves goes with the next bundle, and is recorded once more.
        """
        if self._in_use.issuperset(contents.kem_key_ids):
            return []
        # Reads files, in the loop.
        created = self._keyring.kem_keys()
        used = [created[key_id] for key_id in contents.kem_key_ids if key_id in created]
        return [key_id for key_id, made in created.items() if made < max(used)] if used else []


def _highest(contents: Contents) -> int | None:
    """Return the number of the highest precedence among the messages of a bundle, if any was opened."""
    ranks = [int(m.derived.header.precedence) for m in contents.messages if isinstance(m, Opened)]
    return min(ranks, default=None)


def _is_urgent(contents: Contents) -> bool:
    rank = _highest(contents)
    return rank is not None and rank <= Precedence.IMMEDIATE


_CONTROL_KINDS: Final = frozenset({Kind.KEM_KEY, Kind.KEY_STATEMENT, Kind.AGREEMENT})
