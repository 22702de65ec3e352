"""What a node does by the clock: expiry, erasure, key rotation, signing its audit log.

Each round is short and touches little; a round that fails is reported and tried again at
the next tick, because nothing here may stop the traffic. Only a failed store ends the
node.

Spec: docs/spec/exchange.md, "Expiry"; docs/spec/log.md, "Audit log".
"""

from __future__ import annotations

import base64
from collections.abc import Callable

import structlog

from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.cosignature import merge_signatures, sign_checkpoint, signing_key, verify_cosignature
from gateway.core.merkle import consistency_proof
from gateway.core.note import parse_note, parse_signatures
from gateway.core.signature import HybridSigner
from gateway.errors import GatewayError, PeerConflictError, PeerError, StoreError, UnavailableError
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.beginning import Beginning
from gateway.node.eraser import Eraser
from gateway.node.intake import Intake
from gateway.node.log_writer import LogHashes, note_time_s
from gateway.node.sequencer import Sequencer
from gateway.node.signing_keys import newest_statement
from gateway.node.workers import Workers
from gateway.ports import (
    Clock,
    HighWater,
    Keyring,
    LogHead,
    PeerLink,
    Step,
    Store,
    StoredNote,
    Transaction,
)

log = structlog.get_logger(__name__)

TICK_S = 1.0
COSIGN_EVERY_S = 60.0
COSIGN_AGAIN_S = 5.0
PROVE_EVERY_S = 10.0
EXPIRE_LIMIT = 1_000


class Housekeeping:
    """Runs the node's rounds. One task of the node runs it."""

    def __init__(
        self,
        *,
        store: Store,
        keyring: Keyring,
        sequencer: Sequencer,
        audit: AuditLog,
        high_water: HighWater,
        link: PeerLink,
        intake: Intake,
        eraser: Eraser,
        beginning: Beginning,
        clock: Clock,
        workers: Workers,
        on_due: Callable[[], None],
        on_expired: Callable[[], None],
        on_can_sign: Callable[[], None],
    ) -> None:
        """Wire the rounds.

        Args:
            store: Where messages and logs are kept.
            keyring: Signs the audit log, holds KEM keys.
            sequencer: Announces KEM keys.
            audit: Writes events.
            high_water: Remembers what was signed.
            link: Asks the peer for cosignatures of the audit log.
            intake: Cosigns the mirror.
            eraser: Destroys content whose time is over.
            beginning: Says whether our log is known to be whole; until then nothing is signed.
            clock: Time.
            workers: Threads for signatures.
            on_due: Told when the exchange log has something to say.
            on_expired: Told when messages expired.
            on_can_sign: Told when keys sign again that could not be reached.
        """
        self._store = store
        self._keyring = keyring
        self._sequencer = sequencer
        self._audit = audit
        self._high_water = high_water
        self._link = link
        self._intake = intake
        self._eraser = eraser
        self._beginning = beginning
        self._clock = clock
        self._workers = workers
        self._on_due = on_due
        self._on_expired = on_expired
        self._on_can_sign = on_can_sign
        self._prove_at_s = 0.0
        self._signed_origin = ""
        self._signed_size = -1
        self._note_s = 0
        self._cosigned_size = 0
        self._mirror_size = 0
        self._cosign_at_s = 0.0
        # False from a signature that failed, such as of a token that was pulled, until one works.
        self.can_sign = True

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            try:
                await self.round()
            except StoreError:
                raise
            except GatewayError as error:
                log.error("housekeeping.failed", code=error.code)  # noqa: TRY400 - the code says it
            await self._clock.sleep(TICK_S)

    async def round(self) -> None:
        """Do once whatever is due.

        Raises:
            GatewayError: Something of it failed; it is due again with the next round.
        """
        await self.expire()
        await self._eraser.round()
        if not self._beginning.is_settled:
            return
        await self._sequencer.destroy_old_keys()
        if self._sequencer.rotate_kem():
            self._on_due()
        try:
            await self._prove_keys()
            await self.sign_audit()
        except GatewayError:
            self.can_sign = False
            raise
        if not self.can_sign:
            self.can_sign = True
            self._on_can_sign()
        if self._clock.monotonic_s() >= self._cosign_at_s:
            self._cosign_at_s = self._clock.monotonic_s() + COSIGN_EVERY_S
            await self.keep_mirror_note()
            try:
                await self._ask_cosignature()
            except (UnavailableError, PeerError) as error:
                self._cosign_at_s = self._clock.monotonic_s() + COSIGN_AGAIN_S
                log.info("audit.cosignature_missed", code=error.code)

    async def expire(self) -> None:
        """End waiting messages whose delivery time is over: the sender's node decides that.

        Of those only, until the peer has answered, that were accepted since the start (`Beginning`).
        """
        now_ms = self._clock.now_ms()
        above = self._beginning.certain_above

        def look(tx: Transaction) -> bool:
            # What was here is not walked through once a second while the peer is away.
            return tx.outbox.newest_number() > above and tx.outbox.has_expired(now_ms, above=above)

        def expire(tx: Transaction) -> int:
            rows = tx.outbox.expire(now_ms, limit=EXPIRE_LIMIT, above=above)
            if not rows:
                return 0
            for row in rows:
                tx.outbox.put_void(row.conversation_id, row.from_agency, row.seq)
            events = self._audit.event(
                at_ms=now_ms,
                actor=NODE,
                event="message.expired",
                objects=[row.message_id for row in rows],
            )
            self._audit.append(tx, events)
            return len(rows)

        while await self._store.read(look):
            count = await self._store.write(Step.EXPIRED, expire)
            log.info("messages.expired", count=count)
            self._on_expired()
            self._on_due()

    async def _prove_keys(self) -> None:
        """See that the keys sign, so that an idle node does not call itself ready without its token."""
        if self.can_sign and self._clock.monotonic_s() < self._prove_at_s:
            return
        await self._workers.sign(self._keyring.check_signing)
        self._prove_at_s = self._clock.monotonic_s() + PROVE_EVERY_S

    async def sign_audit(self) -> None:
        """Sign the audit log within a second of its growth.

        Not while it is unknown whether the exchange log and the audit log are whole.
        """
        origin = self._audit.origin
        if not self._beginning.is_settled:
            return

        def load(tx: Transaction) -> tuple[LogHead | None, StoredNote | None, bytes]:
            # All three of one moment: the statement that the log ends with names the key.
            statement = newest_statement(tx, origin) or self._keyring.statement
            return tx.logs.head(origin), tx.logs.newest_note(origin), statement

        head, newest, statement = await self._store.read(load)
        if origin != self._signed_origin:
            # The first signature of this process, or of a successor that has just opened.
            self._signed_origin, self._signed_size, self._cosigned_size = origin, -1, 0
            if newest is not None:
                self._note_s = max(self._note_s, note_time_s(newest, self._keyring.own_verifiers(origin)))
        if head is None or head.size in {0, self._signed_size}:
            return
        self._note_s = max(self._clock.now_ms() // 1_000, self._note_s)
        await self._workers.sign(
            self._publish,
            Checkpoint(origin=origin, size=head.size, root=head.edge.root()),
            signer=self._keyring.log_signer(origin, statement),
            time_s=self._note_s,
        )
        self._signed_size = head.size

    def _publish(self, checkpoint: Checkpoint, *, signer: HybridSigner, time_s: int) -> None:
        """Sign the audit log, mark it, store the note. Blocks."""
        origin, size, root = checkpoint.origin, checkpoint.size, checkpoint.root
        note = sign_checkpoint(checkpoint, signer=signer, time_s=time_s)
        kept = StoredNote(origin=origin, size=size, root=root, at_ms=self._clock.now_ms(), note=note)
        self._high_water.record_now({origin: (size, root)})
        self._store.write_now(Step.SIGNED, lambda tx: tx.logs.put_note(kept))

    async def keep_mirror_note(self) -> None:
        """Keep a note of the mirror with our own cosignature, for those who export it here."""
        note, size = await self._intake.view()
        if note is None or size == self._mirror_size:
            return
        checkpoint = parse_checkpoint(parse_note(note).text)
        kept = StoredNote(
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=checkpoint.root,
            at_ms=self._clock.now_ms(),
            note=note,
            cosigned=True,
        )
        await self._store.write(Step.COSIGNED, lambda tx: tx.logs.put_note(kept))
        self._mirror_size = size

    async def _ask_cosignature(self) -> None:
        """Let the peer cosign the audit log's newest checkpoint; it sees no entry."""
        origin = self._audit.origin
        newest = await self._store.read(lambda tx: tx.logs.newest_note(origin))
        if newest is None or newest.note is None or newest.size <= self._cosigned_size:
            return
        note = newest.note
        try:
            lines = await self._submit(newest, note, self._cosigned_size)
        except PeerConflictError as conflict:
            if conflict.size > newest.size:
                # A claim without our signature closes no log; with it, the start has found it.
                log.critical("audit.rollback", peer_size=conflict.size, size=newest.size)
                raise
            lines = await self._submit(newest, note, conflict.size)
        # Malformed lines are refused here, before anything is stored.
        cosigned = merge_signatures(note, parse_signatures(lines))
        peer = signing_key(cosigned, self._keyring.peer_cosigners, cosigner=True)
        verify_cosignature(cosigned, cosigner=peer)
        kept = StoredNote(
            origin=origin,
            size=newest.size,
            root=newest.root,
            at_ms=self._clock.now_ms(),
            note=cosigned,
            cosigned=True,
        )
        await self._store.write(Step.COSIGNED, lambda tx: tx.logs.put_note(kept))
        self._cosigned_size = newest.size

    async def _submit(self, newest: StoredNote, note: bytes, old_size: int) -> bytes:
        def prove(tx: Transaction) -> list[str]:
            if old_size == 0:
                return []
            reader = LogHashes(tx.logs, newest.origin)
            proof = consistency_proof(old_size=old_size, new_size=newest.size, reader=reader)
            return [base64.b64encode(node).decode() for node in proof]

        lines = [f"old {old_size}", *await self._store.read(prove), "", ""]
        return await self._link.add_checkpoint("\n".join(lines).encode() + note)
