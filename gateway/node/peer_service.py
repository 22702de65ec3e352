"""What this node answers to its peer, behind the peer port.

Bundles go to the intake. ``view`` and ``entries`` are what the peer recovers from, so they
are served even while this node itself is not ready. ``add_checkpoint`` cosigns the peer's
audit log without seeing its entries.

Spec: docs/spec/exchange.md, "Peer calls"; C2SP tlog-witness.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.cosignature import cosign, only_signatures, signing_key, verify_log_note
from gateway.core.entries import IncidentKind
from gateway.core.generation import first_of, generation_of, origin_of
from gateway.core.merkle import EMPTY_ROOT, Hash, verify_consistency
from gateway.core.note import parse_note
from gateway.core.signature import HybridVerifier
from gateway.errors import MalformedError, PeerConflictError, PeerError
from gateway.node.intake import Intake
from gateway.node.log_writer import ensure_log
from gateway.node.pair import Pair
from gateway.node.resumption import RESUMES
from gateway.node.room import Room
from gateway.node.workers import Workers
from gateway.ports import (
    BundleAnswer,
    Clock,
    HighWater,
    Incident,
    Keyring,
    LogKind,
    PeerView,
    Standing,
    Step,
    Store,
    StoredNote,
    Transaction,
)

log = structlog.get_logger(__name__)

MAX_ENTRIES_ANSWER = 1_024
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_PROOF_LINES = 63

MAX_AUDIT_GENERATIONS = 500
"""Generations of the peer's audit log that are cosigned. Each costs a row, an incident and a mark in the
high-water file, which is read whole; and each stands for a restored backup."""


class UnknownLogError(PeerError):
    """The peer asks for a log that this node does not show it."""

    code = "unknown-log"


class LogClosedError(PeerError):
    """The log has a successor; what is signed of it now belongs to no history."""

    code = "log-closed"


class ProofRefusedError(PeerError):
    """The consistency proof does not lead from what was cosigned to what is shown."""

    code = "consistency-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckpointRequest:
    old_size: int
    proof: tuple[Hash, ...]
    note: bytes


class PeerService:
    """Answers the peer's calls."""

    def __init__(
        self,
        *,
        pair: Pair,
        intake: Intake,
        store: Store,
        keyring: Keyring,
        high_water: HighWater,
        clock: Clock,
        workers: Workers,
        room: Room,
        on_contact: Callable[[], None],
    ) -> None:
        """Wire the service.

        ``room`` says whether the disk takes another bundle; ``on_contact`` is told that the
        peer is there.
        """
        self._pair = pair
        self._intake = intake
        self._store = store
        self._keyring = keyring
        self._high_water = high_water
        self._clock = clock
        self._workers = workers
        self._room = room
        self._on_contact = on_contact
        self._witness = asyncio.Lock()
        self._last_cosign_s = 0
        # Code for which the last bundle was refused, or empty.
        self._refused_for = ""

    async def receive(self, data: bytes) -> BundleAnswer:
        """Take a bundle; see `gateway.node.intake.Intake.receive`.

        Raises:
            DiskLowError: There is no room for it; the peer keeps it and sends it again.
        """
        self._on_contact()
        self._room.verify_for_peer()
        try:
            answer = await self._intake.receive(data)
        except PeerError as error:
            # The peer sends it again every few seconds, so it is told once, until one is taken.
            if error.code != self._refused_for:
                self._refused_for = error.code
                log.warning("bundle.refused", error=type(error).__name__)
            raise
        self._refused_for = ""
        return answer

    async def view(self) -> PeerView:
        """Return what this node holds of the peer's log, and its own newest note."""
        self._on_contact()

        def load(tx: Transaction) -> tuple[int, bytes | None]:
            head = tx.logs.head(self._pair.exchange_origin)
            newest = tx.logs.newest_note(self._pair.exchange_origin)
            return 0 if head is None else head.size, None if newest is None else newest.note

        own_size, own = await self._store.read(load)
        note, size = await self._intake.view()
        return PeerView(mirrored=note, mirrored_size=size, own=own, own_size=own_size)

    async def entries(self, log: str, start: int, end: int) -> list[bytes]:
        """Return entries of our exchange log, or of our mirror of the peer's, fewer if large.

        Raises:
            UnknownLogError: Another log.
            MalformedError: The range is not inside the log.
        """
        if first_of(log) not in {self._pair.first_exchange_origin, self._pair.first_peer_origin}:
            msg = "no such log for the peer"
            raise UnknownLogError(msg)

        def load(tx: Transaction) -> list[bytes]:
            head = tx.logs.head(log)
            if head is None or not 0 <= start < end <= head.size:
                msg = "the range of entries is not inside the log"
                raise MalformedError(msg)
            found: list[bytes] = []
            size = 0
            for entry in tx.logs.entries(log, start, min(end, start + MAX_ENTRIES_ANSWER)):
                size += len(entry)
                if found and size > MAX_ANSWER_BYTES:
                    break
                found.append(entry)
            return found

        return await self._store.read(load)

    async def add_checkpoint(self, body: bytes) -> bytes:
        """Cosign the peer's audit log; return the signature lines.

        The old size is compared and the new one stored under one lock, so a slow call
        cannot roll the state back. The high-water file remembers it as well, so neither can a
        database that was restored from a backup.

        Raises:
            MalformedError: Not a tlog-witness request.
            UnknownLogError: The checkpoint is of another log.
            SignatureInvalidError: The note is not signed by both keys of the audit log.
            PeerConflictError: The old size is not the one that was cosigned last.
            ProofRefusedError: The proof does not hold, or the same size has another root.
        """
        request = _parse_request(body)
        origin = parse_checkpoint(parse_note(request.note).text).origin
        generation = generation_of(self._pair.peer_audit_origin, origin)
        if generation is None or generation > MAX_AUDIT_GENERATIONS:
            msg = "no such log is cosigned here"
            raise UnknownLogError(msg)
        verifier = await self._audit_key(origin, request.note)
        verified = await self._workers.sign(verify_log_note, request.note, verifier=verifier)
        checkpoint = verified.checkpoint
        if request.old_size > checkpoint.size:
            msg = "the old size is above the size of the checkpoint"
            raise MalformedError(msg)
        async with self._witness:
            await self._check_generation(origin, generation)
            last = await self._store.read(lambda tx: tx.logs.newest_note(origin))
            size, root = (0, EMPTY_ROOT) if last is None else (last.size, last.root)
            size, root = max((size, root), self._high_water.read().get(origin, (0, EMPTY_ROOT)))
            if request.old_size != size:
                raise PeerConflictError(size)
            if checkpoint.size == size and checkpoint.root != root:
                await self._keep_fork(checkpoint, request.note, last)
            try:
                verify_consistency(
                    old_size=size,
                    new_size=checkpoint.size,
                    proof=request.proof,
                    old_root=root,
                    new_root=checkpoint.root,
                )
            except PeerError as error:
                msg = "the consistency proof does not hold"
                raise ProofRefusedError(msg) from error
            now_ms = self._clock.now_ms()
            kept = StoredNote(
                origin=origin,
                size=checkpoint.size,
                root=checkpoint.root,
                at_ms=now_ms,
                note=request.note,
            )

            def keep(tx: Transaction) -> None:
                is_new = tx.logs.head(origin) is None
                ensure_log(tx, origin, LogKind.WITNESSED)
                tx.logs.put_note(kept)
                if is_new and generation > 1:
                    # The peer says that it has lost entries of its audit log: our auditors hear of it too.
                    tx.facts.put_incident(
                        Incident(
                            kind=IncidentKind.RECOVERY,
                            origin=origin,
                            size=checkpoint.size,
                            root=checkpoint.root,
                            at_ms=now_ms,
                            note_a=request.note,
                        )
                    )
                    log.error("peer.audit_succeeded", origin=origin)

            await self._store.write(Step.COSIGNED, keep)
            await self._high_water.record({origin: (checkpoint.size, checkpoint.root)})
            now_s = self._last_cosign_s = max(now_ms // 1_000, self._last_cosign_s)
        cosigner = self._keyring.cosigner
        cosigned = await self._workers.sign(cosign, request.note, cosigner=cosigner, time_s=now_s)
        return only_signatures(cosigned, verifier=cosigner.verifier)

    async def standing(self) -> Standing:
        """Return the newest note of the peer's audit log that was cosigned here, cosigned anew.

        None if the database was restored and has forgotten a later one that was cosigned: nobody
        is told that an older state is the largest.
        """
        async with self._witness:
            origin = origin_of(self._pair.peer_audit_origin, await self._witnessed_generation())
            newest = await self._store.read(lambda tx: tx.logs.newest_note(origin))
            marked = self._high_water.read().get(origin, (0, EMPTY_ROOT))[0]
            resumes = await self._store.read(lambda tx: int(tx.facts.get(RESUMES) or 0))
            standing = Standing(generation=self._pair.generation, resumes=resumes, frozen=self._intake.frozen)
            if newest is None or newest.note is None or newest.size < marked:
                return standing
            now_s = self._last_cosign_s = max(self._clock.now_ms() // 1_000, self._last_cosign_s)
        cosigner = self._keyring.cosigner
        note = await self._workers.sign(cosign, newest.note, cosigner=cosigner, time_s=now_s)
        return replace(standing, witnessed=note)

    async def _witnessed_generation(self) -> int:
        """Return the newest generation of the peer's audit log of which anything was cosigned."""
        first = self._pair.peer_audit_origin
        heads = await self._store.read(lambda tx: [head.origin for head in tx.logs.heads()])
        known = [generation_of(first, origin) for origin in (*heads, *self._high_water.read())]
        return max((generation for generation in known if generation is not None), default=1)

    async def _check_generation(self, origin: str, generation: int) -> None:
        """Refuse a log that was closed: its successor was cosigned already.

        Raises:
            LogClosedError: It was.
        """
        if generation < await self._witnessed_generation():
            log.error("audit.reopened", origin=origin)
            msg = "a successor of this log was cosigned already: it is closed"
            raise LogClosedError(msg)

    async def _audit_key(self, origin: str, note: bytes) -> HybridVerifier:
        """Return the key that has to have signed a checkpoint of the peer's audit log.

        Of that log this node holds no entries, so it does not know where the new key begins. Once
        it has seen the new one, in whatever generation, it never goes back to the one before.
        """
        newest, *earlier = self._keyring.peer_log_verifiers(origin)
        if earlier:
            for known in await self._witnessed_notes():
                latest, *others = self._keyring.peer_log_verifiers(known.origin)
                if known.note is not None and signing_key(known.note, (*others, latest)) == latest:
                    return newest
        return signing_key(note, (newest, *earlier))

    async def _witnessed_notes(self) -> list[StoredNote]:
        """Return the newest note of each generation of the peer's audit log that was cosigned here."""
        first = self._pair.peer_audit_origin

        def load(tx: Transaction) -> list[StoredNote]:
            origins = [head.origin for head in tx.logs.heads()]
            found = [tx.logs.newest_note(name) for name in origins if generation_of(first, name) is not None]
            return [note for note in found if note is not None]

        return await self._store.read(load)

    async def _keep_fork(self, checkpoint: Checkpoint, note: bytes, known: StoredNote | None) -> None:
        """Keep both notes of one size and two roots: the peer rewrote its audit log.

        It concerns the peer's own log, which carries no messages: people are told, and the
        exchange goes on.
        """
        incident = Incident(
            kind=IncidentKind.FORK,
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=checkpoint.root,
            at_ms=self._clock.now_ms(),
            note_a=note,
            note_b=None if known is None else known.note,
        )

        def keep(tx: Transaction) -> None:
            reported = [(item.origin, item.size, item.root) for item in tx.facts.incidents(limit=100)]
            if (incident.origin, incident.size, incident.root) not in reported:
                tx.facts.put_incident(incident)

        await self._store.write(Step.COSIGNED, keep)
        log.error("audit.forked", origin=checkpoint.origin, size=checkpoint.size)


def _parse_request(body: bytes) -> _CheckpointRequest:
    """Parse ``old <size>``, up to 63 proof lines, an empty line, and the checkpoint."""
    head, separator, note = body.partition(b"\n\n")
    lines = head.split(b"\n")
    if not separator or not lines[0].startswith(b"old ") or len(lines) > MAX_PROOF_LINES + 1:
        msg = "a tlog-witness request is `old` with a size, proof lines, an empty line, a checkpoint"
        raise MalformedError(msg)
    size_text = lines[0][4:]
    if not size_text.isdigit() or (size_text[0:1] == b"0" and size_text != b"0") or len(size_text) > 16:
        msg = "the old size is not a decimal number"
        raise MalformedError(msg)
    proof: list[Hash] = []
    for line in lines[1:]:
        try:
            node = base64.b64decode(line, validate=True)
        except ValueError as error:
            msg = "a proof line is not base64"
            raise MalformedError(msg) from error
        if len(node) != 32 or base64.b64encode(node) != line:
            msg = "a proof line is not the base64 of a hash"
            raise MalformedError(msg)
        proof.append(Hash(node))
    return _CheckpointRequest(old_size=int(size_text), proof=tuple(proof), note=note)
