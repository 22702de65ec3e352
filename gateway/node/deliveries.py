"""Deliveries: what the peer has cosigned of our log, verified and then recorded.

A cosigned note says that the peer durably holds every entry and ciphertext below its size, so
any later one covers all earlier ones. It is verified when it comes. Recording it holds nobody
up, because nobody's next step waits for it: what is recorded is the newest note alone, and it
shares the commit of whatever this node writes next.

What a crash leaves behind: messages that are *sent* although the peer has cosigned them; the
courier asks the peer's view when it starts, and gets the note.

Spec: docs/spec/exchange.md, "Sending"; docs/spec/log.md, "Notes".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.cosignature import (
    added_signatures,
    key_of,
    signing_key,
    verify_cosignature,
    verify_cosignature_lines,
    verify_log_note,
)
from gateway.core.generation import base_of
from gateway.core.note import parse_note
from gateway.errors import OperatorError
from gateway.node.pair import Pair
from gateway.node.waiting import Change, wait_for
from gateway.node.workers import Workers
from gateway.ports import Clock, Keyring, Step, Store, StoredNote, Transaction

log = structlog.get_logger(__name__)

LINGER_S: Final = 0.02
"""How long a proof of delivery may wait for another write to share the commit with."""

_LINES_OF_A_KEY: Final = 2
"""Ed25519 and ML-DSA-87."""


class RollbackError(OperatorError):
    """The peer holds more of our log than we do: our database was rolled back."""

    code = "own-rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A state of our log that the peer holds.

    Attributes:
        checkpoint: The state.
        note: With both signatures of ours and both of the peer's.
    """

    checkpoint: Checkpoint
    note: bytes


class Deliveries:
    """Verifies and records cosigned notes of one exchange log. Kept by the courier."""

    def __init__(
        self,
        *,
        pair: Pair,
        store: Store,
        keyring: Keyring,
        clock: Clock,
        workers: Workers,
        on_recorded: Callable[[int, int], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        """Wire it.

        Args:
            pair: Names of the two nodes.
            store: Holds states and notes.
            keyring: Verifies cosignatures.
            clock: Time of delivery.
            workers: Threads for verification.
            on_recorded: Told the size that the peer is now recorded to hold, and how many
                messages became *delivered* by it.
            on_failed: Told why a proof could not be recorded.
        """
        self._origin = pair.exchange_origin
        self._peer_node = pair.peer_node
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._workers = workers
        self._on_recorded = on_recorded
        self._on_failed = on_failed
        self._next: Proof | None = None
        self._recording: asyncio.Task[None] | None = None
        # Largest size that is recorded; None until the courier has read it.
        self.size: int | None = None
        self._change = Change()

    @property
    def is_recording(self) -> bool:
        """Return whether a proof that was verified is not recorded yet."""
        return self._recording is not None

    async def verify(self, note: bytes, *, signed: bytes = b"") -> Proof:
        """Verify that this node signed a note and that the peer has cosigned it.

        Args:
            note: The note as received.
            signed: The note that this node signed and sent with the bundle that it answers.

        Raises:
            MalformedError: It is no note of a checkpoint.
            SignatureInvalidError: One of the four lines is absent, is there twice, or does not verify.
        """
        checkpoint = await self._workers.sign(self._checkpoint, note, signed)
        return Proof(checkpoint=checkpoint, note=note)

    def record_soon(self, proof: Proof) -> None:
        """Record a proof in the background, unless it or a later one is already."""
        if proof.checkpoint.size <= (self.size or 0):
            return
        if self._next is None or self._next.checkpoint.size < proof.checkpoint.size:
            self._next = proof
        if self._recording is None:
            self._recording = asyncio.create_task(self._record_newest())
            self._recording.add_done_callback(self._ended)

    async def record(self, proof: Proof, *, linger_s: float = 0.0) -> None:
        """Record a proof, unless it or a later one is already.

        Raises:
            RollbackError: It covers more than our log holds.
        """
        checkpoint, note = proof.checkpoint, proof.note
        if checkpoint.size <= (self.size or 0):
            return
        now_ms = self._clock.now_ms()

        def keep(tx: Transaction) -> int:
            head = tx.logs.head(self._origin)
            if head is None or head.size < checkpoint.size:
                msg = "a cosigned note covers more than our log holds"
                raise RollbackError(msg)
            tx.logs.put_note(
                StoredNote(
                    origin=self._origin,
                    size=checkpoint.size,
                    root=checkpoint.root,
                    at_ms=now_ms,
                    note=note,
                    cosigned=True,
                )
            )
            return tx.outbox.delivered(base_of(self._origin) + checkpoint.size, at_ms=now_ms)

        count = await self._store.write(Step.DELIVERED, keep, linger_s=linger_s)
        self.size = max(self.size or 0, checkpoint.size)
        self._change.happened()
        self._on_recorded(checkpoint.size, count)
        # Also where every message is *received* by now, and none was left to become *delivered*.
        log.info("bundle.delivered", peer=self._peer_node, size=checkpoint.size, messages=count)

    async def until(self, size: int, *, most_s: float) -> None:
        """Return once the peer is recorded to hold our log up to a size, or so many seconds are over."""
        until_s = self._clock.monotonic_s() + most_s
        while (self.size or 0) < size and (left := until_s - self._clock.monotonic_s()) > 0:
            await wait_for(self._clock, left, self._change.next)

    async def settle(self, *, cancel: bool = False) -> None:
        """Return once nothing is being recorded; what the store was not given yet may be let go."""
        if self._recording is not None:
            if cancel:
                self._next = None
                self._recording.cancel()
            await asyncio.wait([self._recording])

    async def _record_newest(self) -> None:
        try:
            while self._next is not None:
                proof, self._next = self._next, None
                await self.record(proof, linger_s=LINGER_S)
        finally:
            self._recording = None

    def _ended(self, recording: asyncio.Task[None]) -> None:
        if not recording.cancelled() and (error := recording.exception()) is not None:
            self._on_failed(error)

    def _checkpoint(self, note: bytes, signed: bytes) -> Checkpoint:
        """Return the checkpoint of a note with all four lines.

        As a rule it is the note that left with the bundle, byte by byte, and the peer's two lines:
        then nobody else can have made the part that is ours, and it is not verified again.
        """
        cosigners = self._keyring.peer_cosigners
        added = added_signatures(note, signed=signed)
        if added is not None and len(added) == _LINES_OF_A_KEY:
            checkpoint = parse_checkpoint(parse_note(signed).text)
            verify_cosignature_lines(checkpoint, added, cosigner=key_of(added, cosigners, cosigner=True))
            return checkpoint
        own = signing_key(note, self._keyring.own_verifiers(self._origin))
        checkpoint = verify_log_note(note, verifier=own).checkpoint
        verify_cosignature(note, cosigner=signing_key(note, cosigners, cosigner=True))
        return checkpoint
