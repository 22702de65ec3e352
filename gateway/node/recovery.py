"""Before the first signature: is our log really where the database says it is?

A database restored from a backup would make the node sign a second history of its own
log. So three things are compared before anything is signed: the database, the high-water
file that lies on another path, and the peer's newest view of our log. If either of the
others is ahead, the missing entries are fetched from the peer's mirror, proven by the note
that we signed over them, appended, and the incident is logged. Until the peer answers, the
node accepts messages and signs nothing.

The other direction as well: a peer that was restored mirrors less of our log than it had
cosigned. That is an incident and no fork; what it lost is sent to it once more.

What a crash leaves behind: entries are appended run by run, each run a prefix of the proven
history. The next start finds a longer log and fetches the rest; where the first run began is remembered,
and both nations' auditors are told of that.

Spec: docs/spec/exchange.md, "Start" and "Recovery".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from gateway.core.checkpoint import parse_checkpoint
from gateway.core.cosignature import signing_key, verify_cosignature, verify_log_note
from gateway.core.digest import digest_of
from gateway.core.entries import IncidentEntry, IncidentKind, encode_entry
from gateway.core.generation import base_of, generation_of
from gateway.core.merkle import Hash, RightEdge, append, edge_at, hash_leaf
from gateway.core.note import parse_note
from gateway.errors import OperatorError, PeerError, RejectedError, SignatureInvalidError, UnavailableError
from gateway.node.audit_log import NODE, PEER, Actor, AuditLog
from gateway.node.log_writer import LogHashes, append_bundle, ensure_log
from gateway.node.pair import Pair
from gateway.node.patience import Patience
from gateway.node.refill import append_recovered
from gateway.node.resumption import RESUMES, remembered_generations
from gateway.node.succession import Succession
from gateway.node.workers import Workers
from gateway.ports import (
    Clock,
    HighWater,
    Incident,
    Keyring,
    LogHead,
    LogKind,
    PeerLink,
    PeerView,
    Standing,
    Step,
    Store,
    StoredNote,
    Transaction,
)

log = structlog.get_logger(__name__)

AGAIN_MS: Final = 60_000
"""Least time between two incidents about a peer that holds less than it cosigned, whatever it names."""

SAME_AGAIN_MS: Final = 60 * AGAIN_MS
"""Least time between two of them about one state of our log: a backup may be restored a second time."""

_REFILLS: Final = "refills"
"""Setting: size and root of the own log before the first entry of a refill, and to which size it goes; None
once that is said."""

UNPROVEN_CLAIM: Final = (
    "the peer claims more of our log than we hold, and shows nothing that we signed for it"
)

UNPROVEN_GENERATION: Final = (
    "the peer claims a later generation of the logs than we know, and shows nothing that we signed in it"
)

PAGE: Final = 1_024
"""Entries that are asked for at once, and that one transaction appends at most."""


class UnprovenHistoryError(OperatorError):
    """What this node signed is neither in its database nor proven by the peer's copy."""

    code = "unproven-history"


class GenerationBehindError(OperatorError):
    """The peer has resumed the pair in a generation that this database, an old copy, does not know."""

    code = "generation-behind"


class NothingToOverrideError(RejectedError):
    """The node does not wait for the peer's answer."""

    code = "nothing-to-override"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """A state of our log that we signed, the note that proves it, and the time that it names, in seconds."""

    size: int
    root: Hash
    note: bytes
    time_s: int


class Recovery:
    """Compares and, where needed, refills the own exchange log."""

    def __init__(
        self,
        *,
        pair: Pair,
        store: Store,
        keyring: Keyring,
        high_water: HighWater,
        audit: AuditLog,
        succession: Succession,
        link: PeerLink,
        clock: Clock,
        workers: Workers,
        patience: Patience,
        on_shown: Callable[[int], None],
    ) -> None:
        """Wire the recovery.

        Args:
            pair: Names of the two nodes.
            store: Holds our log.
            keyring: Verifies what the peer shows.
            high_water: Remembers what was signed.
            audit: Records what was missing.
            succession: Compares the audit log likewise.
            link: The peer.
            clock: Time.
            workers: Threads for verification.
            patience: Says when a peer that did not answer is asked again.
            on_shown: Told the time of a note of ours that the peer shows, in seconds.
        """
        self._pair = pair
        self._origin = pair.exchange_origin
        self._store = store
        self._keyring = keyring
        self._high_water = high_water
        self._audit = audit
        self._succession = succession
        self._link = link
        self._clock = clock
        self._workers = workers
        self._patience = patience
        self._on_shown = on_shown
        self._waiting = False
        self._overridden = asyncio.Event()

    async def settle(self, on_recovering: Callable[[], None]) -> None:
        """Return once our log is known to be whole; ask the peer until it answers.

        Args:
            on_recovering: Told when entries are missing.

        Raises:
            OperatorError: The database or the peer's copy contradicts what we signed, or the
                missing entries cannot be had. Signing could then make a second history.
        """
        said = ""
        while not self._overridden.is_set():
            self._waiting = True
            try:
                # In this order: a peer that goes on in our generation between the two answers would
                # otherwise be compared by the sizes of the one before.
                standing = await self._standing()
                await self._check_generation(standing)
                view = await self._link.view()
                await self._compare(view, on_recovering)
                await self._succession.confirm(standing.witnessed)
            except (UnavailableError, PeerError) as error:
                if error.code != said:  # once, however often it is asked
                    said = error.code
                    log.warning("recovery.waiting", peer=self._pair.peer_node, code=error.code)
                await self._patience.wait(error)
            else:
                await self._report_lost_mirror()
                await self._store.write(Step.RECOVERED, self._succession.report)
                self._patience.trust()
                self._waiting = False
                return
        # Once: should the peer turn out to hold more of our log, it is asked again.
        self._overridden.clear()
        self._waiting = False

    async def peer_rolled_back(self, size: int, cosigned: int) -> None:
        """Record that the peer mirrors less of our log than it had cosigned, once an hour for one state.

        What it lost and no addressee has collected is *sent* again: the courier ships the
        stored bundles, and the peer's new receipts replace the old ones.

        Args:
            size: Size of the peer's mirror now.
            cosigned: Size that it had cosigned.
        """
        now_ms = self._clock.now_ms()

        def record(tx: Transaction) -> int | None:
            moved = tx.outbox.rolled_back(base_of(self._origin) + size)
            if _is_told(tx, self._origin, size, now_ms):
                return None
            root = edge_at(size, reader=LogHashes(tx.logs, self._origin)).root()
            self._report(tx, IncidentKind.PEER_ROLLBACK, self._origin, size, root, now_ms)
            event = self._audit.event(
                at_ms=now_ms, actor=PEER, event="peer.rolled_back", details=(size, cosigned)
            )
            self._audit.append(tx, event)
            return moved

        moved = await self._store.write(Step.RECOVERED, record)
        if moved is not None:
            log.error(
                "peer.rolled_back", peer=self._pair.peer_node, size=size, cosigned=cosigned, messages=moved
            )

    async def _check_generation(self, standing: Standing) -> None:
        """Compare the generations of the exchange logs before anything is said of their sizes.

        Raises:
            GenerationBehindError: The high-water file, or a note that we signed, is of a later one.
            SignatureInvalidError: The peer says so and shows nothing.
            UnavailableError: One of the two nodes has yet to open the later generation.
        """
        own = self._pair.generation
        knows_later = self._knows_later()
        if standing.generation > own or knows_later:
            if await self._store.read(lambda tx: tx.facts.get(RESUMES)) is not None:
                msg = "the next generation is being opened"
                raise UnavailableError(msg)
            if not knows_later and not await self._shows_later():
                # A number alone stops no node: nothing is signed meanwhile, and posts are taken.
                raise SignatureInvalidError(UNPROVEN_GENERATION)
            msg = "the pair has gone on in a later generation than this database holds"
            raise GenerationBehindError(msg)
        if standing.generation < own:
            msg = "the peer has not opened this generation yet"
            raise UnavailableError(msg)

    def _knows_later(self) -> bool:
        """Return whether the high-water file knows a later generation than the database."""
        return (
            max(remembered_generations(self._high_water.read(), self._pair), default=1)
            > self._pair.generation
        )

    async def _shows_later(self) -> bool:
        """Return whether the peer shows a note that we signed in a later generation of our log."""
        note = (await self._link.view()).mirrored
        if note is None:
            return False
        origin = parse_checkpoint(parse_note(note).text).origin
        generation = generation_of(self._pair.first_exchange_origin, origin)
        if generation is None or generation <= self._pair.generation:
            return False
        return await self._workers.sign(self._verified, note, origin) is not None

    async def override(self, actor: Actor, reason: str) -> None:
        """Let this node sign although the peer has not answered: an operator vouches for its database.

        Raises:
            NothingToOverrideError: The node does not wait for the peer.
            UnprovenHistoryError: The high-water file knows that entries are missing.
            GenerationBehindError: It knows a later generation of the logs.
        """
        if self._overridden.is_set() or not self._waiting:
            msg = "this node does not wait for its peer"
            raise NothingToOverrideError(msg)
        if self._knows_later():
            msg = "this node has signed in a later generation than its database holds"
            raise GenerationBehindError(msg)
        head = await self._store.read(lambda tx: tx.logs.head(self._origin))
        size = 0 if head is None else head.size
        marked, marked_root = self._high_water.read().get(self._origin, (0, RightEdge.EMPTY.root()))
        if marked > size:
            msg = "entries that this node signed are missing in its database: only the peer has them"
            raise UnprovenHistoryError(msg)
        if marked:
            await self._check_root(marked, marked_root)
        now_ms = self._clock.now_ms()
        edge = RightEdge.EMPTY if head is None else head.edge

        def record(tx: Transaction) -> None:
            tx.facts.put_incident(
                Incident(
                    kind=IncidentKind.RECOVERY, origin=self._origin, size=size, root=edge.root(), at_ms=now_ms
                )
            )
            event = self._audit.event(
                at_ms=now_ms,
                actor=actor,
                event="recovery.overridden",
                details=(size, digest_of(reason.encode())),
            )
            self._audit.append(tx, event)

        await self._store.write(Step.RECOVERED, record)
        log.critical("recovery.overridden", origin=self._origin, size=size)
        self._overridden.set()
        self._patience.hasten()

    async def _standing(self) -> Standing:
        """Return what the peer knows of generations: nothing, if it is of an earlier release.

        Raises:
            UnavailableError: It does not answer.
            PeerError: Somebody else does, or what it answers cannot be read.
        """
        try:
            return await self._link.standing()
        except PeerError as error:
            # An earlier release refuses the call. Nothing else is a reason to go on without an answer.
            if error.code != PeerError.code:
                raise
            log.warning("recovery.view_refused", peer=self._pair.peer_node, code=error.code)
            return Standing()

    # --- comparing -------------------------------------------------------------------

    async def _compare(self, view: PeerView, on_recovering: Callable[[], None]) -> None:
        head = await self._store.read(lambda tx: tx.logs.head(self._origin))
        size = 0 if head is None else head.size
        marked, marked_root = self._high_water.read().get(self._origin, (0, RightEdge.EMPTY.root()))
        if 0 < marked <= size:
            await self._check_root(marked, marked_root)
        if max(view.mirrored_size, marked) <= size:
            signed = await self._workers.sign(self._signed, view)
            if signed is not None and signed.size <= size:
                await self._check_root(signed.size, signed.root)
                self._on_shown(signed.time_s)
            if await self._store.read(lambda tx: tx.facts.get(_REFILLS)) is not None:
                # A crash came between the last entries of a refill and what is said of it.
                await self._store.write(Step.RECOVERED, self._tell_refilled)
            return
        signed = await self._workers.sign(self._signed, view)
        is_proven = signed is not None and signed.size >= max(view.mirrored_size, marked)
        if marked <= size and not is_proven:
            # Its word alone: nothing is signed before it proves that or takes it back, and posts are taken.
            raise SignatureInvalidError(UNPROVEN_CLAIM)
        on_recovering()
        log.error("log.rolled_back", origin=self._origin, size=size, marked=marked, peer=view.mirrored_size)
        if view.mirrored_size < marked:
            # We signed beyond what the peer holds, and the entries are nowhere: signing
            # again at those sizes could contradict what we signed.
            msg = "entries that this node signed are neither in its database nor at the peer"
            raise UnprovenHistoryError(msg)
        if view.mirrored is None:
            msg = "the peer shows no note for what it mirrors of our log"
            raise UnavailableError(msg)
        if signed is None or not is_proven:
            msg = "the peer's copy of our log is longer than ours and does not carry our signature"
            raise UnprovenHistoryError(msg)
        await self._refill(head, signed, (marked, marked_root))
        self._on_shown(signed.time_s)

    def _signed(self, view: PeerView) -> _Signed | None:
        """Return what the peer's view proves of our log, if anything."""
        return None if view.mirrored is None else self._verified(view.mirrored, self._origin)

    def _verified(self, note: bytes, origin: str) -> _Signed | None:
        """Return what a note proves of a log of ours: both our signatures, and the peer's two."""
        try:
            # Any key that is or was ours: the statement may be among what the database lacks.
            own = signing_key(note, self._keyring.own_verifiers(origin))
            verified = verify_log_note(note, verifier=own)
            peer = signing_key(note, self._keyring.peer_cosigners, cosigner=True)
            verify_cosignature(note, cosigner=peer)
        except PeerError as error:
            # Proves nothing. Where nothing is missing, the courier settles it with the peer.
            log.warning("recovery.view_refused", peer=self._pair.peer_node, code=error.code)
            return None
        checkpoint = verified.checkpoint
        return _Signed(size=checkpoint.size, root=checkpoint.root, note=note, time_s=verified.time_s)

    async def _check_root(self, size: int, root: bytes) -> None:
        """Compare a state that we signed with what the database holds at that size.

        Raises:
            UnprovenHistoryError: They differ: the database was restored and has grown since,
                or is another node's.
        """

        def load(tx: Transaction) -> bytes:
            return edge_at(size, reader=LogHashes(tx.logs, self._origin)).root()

        if await self._store.read(load) != root:
            msg = "the database holds another history of our log than this node has signed"
            raise UnprovenHistoryError(msg)

    async def _report_lost_mirror(self) -> None:
        """Say in our log that our mirror ends below what we cosigned: the peer will send it again."""
        origin = self._pair.peer_origin
        head = await self._store.read(lambda tx: tx.logs.head(origin))
        edge = RightEdge.EMPTY if head is None else head.edge
        marked = self._high_water.read().get(origin, (0, edge.root()))[0]
        if edge.size >= marked:
            return
        now_ms = self._clock.now_ms()

        def record(tx: Transaction) -> None:
            self._report(tx, IncidentKind.RECOVERY, origin, edge.size, edge.root(), now_ms)
            event = self._audit.event(
                at_ms=now_ms, actor=NODE, event="mirror.rolled_back", details=(edge.size, marked)
            )
            self._audit.append(tx, event)

        await self._store.write(Step.RECOVERED, record)
        log.error("mirror.rolled_back", origin=origin, size=edge.size, marked=marked)

    # --- refilling -------------------------------------------------------------------

    async def _refill(self, head: LogHead | None, signed: _Signed, mark: tuple[int, Hash]) -> None:
        """Fetch what is missing, prove all of it, then append it run by run.

        The entries are fetched twice, so that however many are missing, no more than a page
        is in memory, and nothing is appended before the whole way to the signed root is known.
        """
        edge = RightEdge.EMPTY if head is None else head.edge
        start = edge.size
        runs: list[RightEdge] = []
        while edge.size < signed.size:
            end = min(edge.size + PAGE, mark[0] if edge.size < mark[0] else signed.size, signed.size)
            entries = await self._fetch(edge.size, end)
            edge = append(edge, [hash_leaf(entry) for entry in entries]).edge
            runs.append(edge)
            for size, root in (mark, (signed.size, signed.root)):
                if edge.size == size and edge.root() != root:
                    msg = "the peer's copy of our log does not lead to the root that we signed"
                    raise UnprovenHistoryError(msg)
        at = start
        for run in runs:
            entries = await self._fetch_all(at, run.size)
            await self._store.write(
                Step.RECOVERED, partial(self._append, entries=entries, expected=run, to=signed.size)
            )
            at = run.size
        await self._store.write(Step.RECOVERED, lambda tx: self._finish(tx, signed))
        await self._high_water.record({self._origin: (signed.size, signed.root)})
        log.warning("log.recovered", origin=self._origin, size=signed.size, entries=signed.size - start)

    async def _fetch(self, start: int, end: int) -> Sequence[bytes]:
        """Return entries from ``start`` on: one at least, none at ``end`` or above."""
        entries = await self._link.entries(self._origin, start, end)
        if not 0 < len(entries) <= end - start:
            msg = "the peer does not give the entries that it mirrors"
            raise UnavailableError(msg)
        return entries

    async def _fetch_all(self, start: int, end: int) -> list[bytes]:
        entries: list[bytes] = []
        while start + len(entries) < end:
            entries += await self._fetch(start + len(entries), end)
        return entries

    def _append(self, tx: Transaction, entries: Sequence[bytes], expected: RightEdge, to: int) -> None:
        own = ensure_log(tx, self._origin, LogKind.EXCHANGE)
        if append(own.edge, [hash_leaf(entry) for entry in entries]).edge != expected:
            msg = "the peer gives other entries than a moment ago"
            raise PeerError(msg)
        if tx.facts.get(_REFILLS) is None:
            tx.facts.put(_REFILLS, f"{own.size} {own.edge.root().hex()} {to}")
        append_recovered(tx, own, entries, at_ms=self._clock.now_ms())

    def _finish(self, tx: Transaction, signed: _Signed) -> None:
        now_ms = self._clock.now_ms()
        tx.logs.put_note(
            StoredNote(
                origin=self._origin,
                size=signed.size,
                root=signed.root,
                at_ms=now_ms,
                note=signed.note,
                cosigned=True,
            )
        )
        tx.outbox.delivered(base_of(self._origin) + signed.size, at_ms=now_ms)
        self._tell_refilled(tx)

    def _tell_refilled(self, tx: Transaction) -> None:
        """Say for both nations' auditors from where to where the log was refilled."""
        said = tx.facts.get(_REFILLS)
        if said is None:
            return
        start, before, end = said.split(" ")
        tx.facts.put(_REFILLS, None)
        now_ms = self._clock.now_ms()
        self._report(tx, IncidentKind.RECOVERY, self._origin, int(start), Hash(bytes.fromhex(before)), now_ms)
        event = self._audit.event(
            at_ms=now_ms, actor=NODE, event="log.recovered", details=(int(start), int(end))
        )
        self._audit.append(tx, event)

    def _report(
        self, tx: Transaction, kind: IncidentKind, origin: str, size: int, root: Hash, now_ms: int
    ) -> None:
        """Keep an incident for our operators and log it for both nations' auditors."""
        tx.facts.put_incident(Incident(kind=kind, origin=origin, size=size, root=root, at_ms=now_ms))
        entry = IncidentEntry(incident=kind, origin=origin, size=size, root=root)
        append_bundle(tx, self._origin, [encode_entry(entry)], at_ms=now_ms)


def _is_told(tx: Transaction, origin: str, size: int, now_ms: int) -> bool:
    """Return whether operators and auditors were told lately that the peer went back to this state.

    A peer that says so again and again would fill log, database and audit log otherwise.
    """
    told = [
        item
        for item in tx.facts.incidents(limit=1_000)
        if item.kind == IncidentKind.PEER_ROLLBACK and item.origin == origin and item.note_a is None
    ]
    return any(now_ms - item.at_ms < (SAME_AGAIN_MS if item.size == size else AGAIN_MS) for item in told)
