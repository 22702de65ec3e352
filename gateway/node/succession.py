"""Succession: closes an audit log that was rolled back, and opens the one that follows it.

Nobody holds a copy of a private audit log, so what a backup lacks of it is lost. To go on at
those sizes would sign a second history. So the log is closed where the database has it, and
a successor opens (`gateway.core.generation`) whose first entry cites both heads: the one that
is stored, and the one that was signed. Whoever has a checkpoint of the lost part can prove the gap;
nobody can fill it.

What was signed is known from two places. The high-water file is asked at the start, before the
first event is appended. The peer, which has cosigned the checkpoints, is asked before the first
signature; it knows even if the whole machine was lost.

What a crash leaves behind: the successor opens in one transaction with the incident. What the
exchange log has to say of it is remembered there, and said once that log is known to be whole.

Spec: docs/spec/log.md, "Successors"; docs/spec/exchange.md, "Recovery".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.cosignature import signing_key, verify_cosignature, verify_log_note
from gateway.core.entries import (
    AnchorEntry,
    IncidentEntry,
    IncidentKind,
    encode_entry,
)
from gateway.core.generation import generation_of, origin_of
from gateway.core.merkle import Hash, edge_at
from gateway.core.note import parse_note
from gateway.errors import PeerError
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.log_writer import LogHashes, append_bundle, ensure_log, extend_log, newest_generation
from gateway.node.pair import Pair
from gateway.node.workers import Workers
from gateway.ports import Clock, HighWater, Incident, Keyring, LogHead, LogKind, Step, Store, Transaction

log = structlog.get_logger(__name__)

SUCCEEDED: Final = "audit.succeeded"
"""Event: first entry of a successor. Its details are generation, size and root of the log before it as
it is stored, then generation, size and root as they were signed."""

_TO_SAY: Final = "audit-succession"
"""Setting: what the exchange log has yet to say of a succession: origin, size and root that were lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """The largest state of our audit log that somebody remembers."""

    generation: int
    size: int
    root: Hash


class Succession:
    """Decides at the start, and once the peer has answered, whether the audit log may go on."""

    def __init__(
        self,
        *,
        pair: Pair,
        store: Store,
        keyring: Keyring,
        high_water: HighWater,
        audit: AuditLog,
        clock: Clock,
        workers: Workers,
    ) -> None:
        """Wire it."""
        self._pair = pair
        self._store = store
        self._keyring = keyring
        self._high_water = high_water
        self._audit = audit
        self._clock = clock
        self._workers = workers

    async def open(self) -> None:
        """Find the newest generation, begin it if it is empty, or open its successor.

        Called before the first event of the process.
        """
        self._audit.generation = await self._store.read(
            lambda tx: newest_generation(tx, self._audit.first_origin, LogKind.AUDIT)
        )
        marks = self._high_water.read().items()
        remembered = [
            _Signed(generation=generation, size=size, root=root)
            for origin, (size, root) in marks
            if (generation := generation_of(self._audit.first_origin, origin)) is not None and size > 0
        ]
        newest = max(remembered, key=lambda signed: (signed.generation, signed.size), default=None)
        if newest is not None and await self._store.read(lambda tx: self._is_lost(tx, newest)):
            await self._succeed(newest)
        else:
            await self._store.write(Step.SETUP, lambda tx: self._audit.open(tx, self._keyring.statement))

    async def confirm(self, witnessed: bytes | None) -> None:
        """Compare the audit log with the newest note of it that the peer has cosigned.

        Called before the first signature of the process.

        Args:
            witnessed: That note, or None if the peer has seen none.
        """
        checkpoint = None if witnessed is None else await self._workers.sign(self._proven, witnessed)
        if checkpoint is None:
            return
        generation = generation_of(self._audit.first_origin, checkpoint.origin) or 1
        signed = _Signed(generation=generation, size=checkpoint.size, root=checkpoint.root)
        if await self._store.read(lambda tx: self._is_lost(tx, signed)):
            await self._succeed(signed)
        elif generation < self._audit.generation:
            await self._store.write(Step.RECOVERED, lambda tx: self._cite(tx, checkpoint))

    def report(self, tx: Transaction) -> bool:
        """Let the exchange log say that the audit log was succeeded, if it has yet to.

        The exchange log has to be whole, and to have its first entries.
        """
        said = tx.facts.get(_TO_SAY)
        head = tx.logs.head(self._pair.exchange_origin)
        if said is None or head is None or head.size == 0:
            return False
        origin, size, root = said.split(" ")
        entry = IncidentEntry(
            incident=IncidentKind.RECOVERY, origin=origin, size=int(size), root=Hash(bytes.fromhex(root))
        )
        append_bundle(tx, head.origin, [encode_entry(entry)], at_ms=self._clock.now_ms())
        tx.facts.put(_TO_SAY, None)
        return True

    # --- comparing -------------------------------------------------------------------

    def _is_lost(self, tx: Transaction, signed: _Signed) -> bool:
        """Return whether the newest generation does not lead through a state that was signed."""
        if signed.generation != self._audit.generation:
            # An earlier one was closed and is cited; a later one is missing altogether.
            return signed.generation > self._audit.generation
        head = tx.logs.head(self._audit.origin)
        if head is None or head.size < signed.size:
            return signed.size > 0
        return edge_at(signed.size, reader=LogHashes(tx.logs, head.origin)).root() != signed.root

    def _proven(self, note: bytes) -> Checkpoint | None:
        """Return what a note from the peer proves: both our signatures, and its own two."""
        try:
            origin = parse_checkpoint(parse_note(note).text).origin
            if generation_of(self._audit.first_origin, origin) is None:
                return None
            # Any key that is or was ours: the statement may be among what the database lacks.
            own = signing_key(note, self._keyring.own_verifiers(origin))
            checkpoint = verify_log_note(note, verifier=own).checkpoint
            peer = signing_key(note, self._keyring.peer_cosigners, cosigner=True)
            verify_cosignature(note, cosigner=peer)
        except PeerError as error:
            log.warning("recovery.view_refused", peer=self._pair.peer_node, code=error.code)
            return None
        return checkpoint

    # --- succeeding ------------------------------------------------------------------

    async def _succeed(self, signed: _Signed) -> None:
        closed = self._audit.origin
        generation = max(self._audit.generation, signed.generation) + 1
        size = await self._store.write(Step.RECOVERED, lambda tx: self._open_next(tx, generation, signed))
        log.critical(
            "audit.rolled_back",
            origin=closed,
            size=size,
            signed=signed.size,
            successor=self._audit.origin,
        )

    def _open_next(self, tx: Transaction, generation: int, signed: _Signed) -> int:
        now_ms = self._clock.now_ms()
        closed = ensure_log(tx, self._audit.origin, LogKind.AUDIT)
        before = self._audit.generation
        lost = origin_of(self._audit.first_origin, signed.generation)
        incident = Incident(
            kind=IncidentKind.RECOVERY,
            origin=closed.origin,
            size=closed.size,
            root=closed.edge.root(),
            at_ms=now_ms,
        )
        tx.facts.put_incident(incident)
        tx.facts.put(_TO_SAY, f"{lost} {signed.size} {signed.root.hex()}")
        # From here events go to the successor; nobody else appends inside this transaction.
        self._audit.generation = generation
        first = self._audit.event(
            at_ms=now_ms,
            actor=NODE,
            event=SUCCEEDED,
            outcome="rolled-back",
            details=(
                before,
                closed.size,
                closed.edge.root(),
                signed.generation,
                signed.size,
                signed.root,
            ),
        )
        self._audit.append(tx, first)
        # Behind the citation the key statement: every checkpoint of the successor lies above both.
        self._audit.open(tx, self._keyring.statement)
        return closed.size

    def _cite(self, tx: Transaction, checkpoint: Checkpoint) -> LogHead | None:
        """Anchor the last state of a closed log that the peer has cosigned, once."""
        key = f"anchored:{checkpoint.origin}"
        if int(tx.facts.get(key) or 0) >= checkpoint.size:
            return None
        tx.facts.put(key, str(checkpoint.size))
        anchor = AnchorEntry(origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root)
        head = ensure_log(tx, self._audit.origin, LogKind.AUDIT)
        return extend_log(tx, head, [encode_entry(anchor)])
