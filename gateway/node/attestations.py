"""Third parties vouch for the checkpoints of this node's own logs, if the operator asks them to.

The peer cosigns everything, and nothing of this is needed for the exchange. But two nations
could rewrite both logs together: a time stamp of an authority, or the line of a witness, that
somebody else keeps the key of, cannot be made later. So now and then the newest signed note
of each own log is shown to each third party, and what it says is verified and kept.

No traffic waits for any of it. Who is away is asked again, and stamps come later.

Spec: docs/spec/log.md, "Third parties".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from gateway.core.checkpoint import Checkpoint, format_checkpoint
from gateway.core.cosignature import merge_signatures, signing_key
from gateway.core.merkle import Hash, consistency_proof
from gateway.core.note import format_note, parse_note, parse_signatures
from gateway.core.signature import HybridVerifier
from gateway.core.witness import verify_witness, witness_request
from gateway.errors import GatewayError, PeerConflictError, PeerError, StoreError, UnavailableError
from gateway.node.audit_log import AuditLog
from gateway.node.log_writer import LogHashes
from gateway.node.pair import Pair
from gateway.ports import (
    Attestation,
    AttestationKind,
    Clock,
    Keyring,
    Step,
    Store,
    StoredNote,
    TimeAuthority,
    Transaction,
    Witness,
)

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
AGAIN_S: Final = 60.0
"""How soon a third party that did not answer is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdParties:
    """Whom the operator has named, as far as they are asked one after the other.

    Attributes:
        authorities: Time-stamp authorities.
        witnesses: Witnesses.
        every_s: How often each is asked, seconds.
    """

    authorities: tuple[TimeAuthority, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    every_s: float = 3_600.0


class Attestations:
    """Asks third parties. One task of the node runs it, and only if there are any."""

    def __init__(
        self,
        *,
        pair: Pair,
        audit: AuditLog,
        store: Store,
        keyring: Keyring,
        clock: Clock,
        parties: ThirdParties,
        may_show: Callable[[], bool],
    ) -> None:
        """Wire it.

        Args:
            pair: Names the own exchange log.
            audit: Names the newest generation of the audit log.
            store: Where notes are and attestations go.
            keyring: Tells which lines of a note are the log's own.
            clock: Time.
            parties: Whom to ask.
            may_show: Tells whether the own logs are known to be whole. Before that nothing is
                shown: a witness would remember a state that may have to be given up.
        """
        self._exchange_origin = pair.exchange_origin
        self._audit = audit
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._parties = parties
        self._may_show = may_show
        self._due_s: dict[tuple[str, AttestationKind, str], float] = {}

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            if self._may_show():
                await self.round()
            await self._clock.sleep(TICK_S)

    async def round(self) -> None:
        """Ask each third party about each own log whose time has come.

        Raises:
            StoreError: The store failed; nothing else ends the node.
        """
        for origin in (self._exchange_origin, self._audit.origin):
            for authority in self._parties.authorities:
                await self._ask(
                    origin, AttestationKind.STAMP, authority.name, partial(self._stamp, authority)
                )
            for witness in self._parties.witnesses:
                await self._ask(
                    origin, AttestationKind.WITNESS, witness.name, partial(self._witness, witness)
                )

    async def _ask(
        self,
        origin: str,
        kind: AttestationKind,
        name: str,
        ask: Callable[[StoredNote, bytes, int], Awaitable[bytes]],
    ) -> None:
        """Let a third party vouch for the newest note of a log, if it has grown and it is time."""
        asked = (origin, kind, name)
        if self._clock.monotonic_s() < self._due_s.get(asked, 0.0):
            return
        newest, size = await self._store.read(
            lambda tx: (tx.logs.newest_note(origin), tx.facts.attested_size(origin, kind, name))
        )
        if newest is None or newest.note is None or newest.size <= size:
            return
        self._due_s[asked] = self._clock.monotonic_s() + self._parties.every_s
        try:
            evidence = await ask(newest, newest.note, size)
        except StoreError:
            raise
        except GatewayError as error:
            # Whatever a third party does, it concerns its own word alone. One that refuses is asked
            # at the next time; one that is away, soon.
            if isinstance(error, UnavailableError):
                self._due_s[asked] = self._clock.monotonic_s() + AGAIN_S
            log.warning("attestation.missed", kind=str(kind), by=name, origin=origin, code=error.code)
            return
        kept = Attestation(
            origin=origin,
            size=newest.size,
            root=newest.root,
            kind=kind,
            name=name,
            at_ms=self._clock.now_ms(),
            evidence=evidence,
        )
        await self._store.write(Step.ATTESTED, lambda tx: tx.facts.put_attestation(kept))
        log.info("attestation.kept", kind=str(kind), by=name, origin=origin, size=newest.size)

    async def _stamp(
        self, authority: TimeAuthority, newest: StoredNote, _note: bytes, _old_size: int
    ) -> bytes:
        checkpoint = Checkpoint(origin=newest.origin, size=newest.size, root=newest.root)
        return await authority.stamp(format_checkpoint(checkpoint).encode())

    async def _witness(self, witness: Witness, newest: StoredNote, note: bytes, old_size: int) -> bytes:
        """Return the note with the log's lines and that of a witness."""
        own = _lines_of(note, signing_key(note, self._keyring.own_verifiers(newest.origin)))
        try:
            lines = await self._submit(newest, own, old_size, witness)
        except PeerConflictError as conflict:
            if conflict.size > newest.size:
                # Somebody has shown it more of our log than we have: a restored backup, or a thief.
                log.critical("witness.ahead", by=witness.name, origin=newest.origin, size=conflict.size)
                raise
            lines = await self._submit(newest, own, conflict.size, witness)
        answered = [line for line in parse_signatures(lines) if witness.key.has_line([line])]
        if len(answered) != 1:
            msg = "the witness does not answer with one line of its key"
            raise PeerError(msg)
        cosigned = merge_signatures(own, tuple(answered))
        verify_witness(cosigned, witness=witness.key)
        return cosigned

    async def _submit(self, newest: StoredNote, note: bytes, old_size: int, witness: Witness) -> bytes:
        def prove(tx: Transaction) -> Sequence[Hash]:
            if old_size == 0:
                return []
            reader = LogHashes(tx.logs, newest.origin)
            return consistency_proof(old_size=old_size, new_size=newest.size, reader=reader)

        proof = await self._store.read(prove)
        body = witness_request(note, old_size=old_size, proof=proof)
        return await witness.add_checkpoint(body)


def _lines_of(note: bytes, verifier: HybridVerifier) -> bytes:
    """Return a note with the lines of its log alone: a witness need not know the peer."""
    signed = parse_note(note)
    keys = {(key.name, key.key_id) for key in verifier.verifier_keys(cosigner=False)}
    return format_note(signed.text, [line for line in signed.signatures if (line.name, line.key_id) in keys])
