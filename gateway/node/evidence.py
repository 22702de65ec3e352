"""Gathering the evidence of a message from what a node holds.

Both nodes can: the sender has its own log and mirrors the receiver's, the receiver the other
way round. What is handed out with the content key is a read of content, and is logged as
that before it leaves.

Spec: docs/spec/evidence.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from gateway.core.entries import MessageEntry, ReceiptEntry, decode_entry
from gateway.core.envelope import decode_header
from gateway.core.evidence import Evidence, LoggedEntry, stated_keys
from gateway.core.generation import located
from gateway.core.log_proof import LogProof
from gateway.core.merkle import Hash, inclusion_proof
from gateway.core.message.schedule import Schedule
from gateway.core.note import parse_note
from gateway.errors import RejectedError
from gateway.node.audit_log import AuditLog
from gateway.node.gate import Gate
from gateway.node.inbox import NotFoundError
from gateway.node.log_writer import LogHashes
from gateway.node.pair import Pair
from gateway.node.posts import Principal
from gateway.node.second_stage import ErasedError
from gateway.node.signing_keys import statements_in
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import Clock, MessageRow, Step, Store, Transaction

View = tuple[bytes | None, int]
"""Cosigned newest note of the mirror (None if there is none to give), and the mirror's size."""

Line = tuple[str, bytes]
"""Key name and key id of a signature line."""


class NotLoggedYetError(RejectedError):
    """The message has not been sent yet, so no log proves it."""

    code = "not-logged-yet"


class EvidenceRoom:
    """Hands out evidence to the agencies that sent or received a message."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        store: Store,
        vault: Vault,
        audit: AuditLog,
        clock: Clock,
        workers: Workers,
        gate: Gate,
        view: Callable[[], Awaitable[View]],
        delivered: Callable[[int], Awaitable[None]],
    ) -> None:
        """Wire it.

        ``gate`` stands before everything that shows content; ``view`` cosigns the newest
        state of the mirror, as it does for the peer; ``delivered`` returns once the peer's
        cosignature of a place in the own log is recorded, or soon in any case.
        """
        self._pair = pair
        self._schedule = schedule
        self._store = store
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._workers = workers
        self._gate = gate
        self._view = view
        self._delivered = delivered

    async def prove(self, principal: Principal, message_id: bytes, *, disclose: bool) -> bytes:
        """Return the file of evidence.

        Args:
            principal: Sender or addressee.
            message_id: 16 bytes.
            disclose: Whether the content key is in it.

        Raises:
            NotFoundError: Unknown, or this agency neither sent nor received it.
            NotLoggedYetError: It has not been sent yet.
            ErasedError: The content is to be disclosed, but was erased.
        """
        await self._gate.passed()
        row = await self._store.read(lambda tx: _row(tx, message_id, principal.agency))
        if row.outgoing and row.receipt_index is not None and row.log_index is not None:
            # The receipt came before the cosignature, and evidence without that one proves less.
            await self._delivered(row.log_index)
        # A receiver keeps no cosignature of its own: it is made anew, for the peer and for this.
        mirror = (None, 0) if row.outgoing else await self._view()

        def load(tx: Transaction) -> tuple[Evidence, bytes | None]:
            row = _row(tx, message_id, principal.agency)  # a receipt may have come meanwhile
            content = tx.threads.content(message_id)
            evidence = gather(tx, self._pair, self._schedule, row, mirror=mirror)
            return evidence, None if content is None else content[2]

        evidence, wrapped_key = await self._store.read(load)
        if disclose:
            if wrapped_key is None:
                msg = "the content was erased"
                raise ErasedError(msg)
            key = self._vault.unwrap(wrapped_key, message_id=message_id)
            evidence = replace(evidence, content_key=key)
        entries = self._audit.event(
            at_ms=self._clock.now_ms(),
            actor=principal.actor,
            event="evidence.disclosed" if disclose else "evidence.exported",
            objects=(message_id,),
        )
        await self._store.write(Step.AUDITED, lambda tx: self._audit.append(tx, entries))
        return await self._workers.compute(evidence.encode)


def gather(
    tx: Transaction, pair: Pair, schedule: Schedule, row: MessageRow, *, mirror: View = (None, 0)
) -> Evidence:
    """Return the evidence of a stored message, content not disclosed.

    Args:
        tx: The running transaction.
        pair: The two nodes.
        schedule: This node's catalogues.
        row: The message.
        mirror: Newest note of the mirror with this node's cosignature, and its size. Without
            it the evidence of a received message does not prove delivery.

    Raises:
        NotLoggedYetError: It has not been sent yet, or that entry is not signed yet.
    """
    sender, receiver = pair.first_exchange_origin, pair.first_peer_origin
    if not row.outgoing:
        sender, receiver = receiver, sender
    sender, index = located(sender, row.log_index or 0)
    # An answer stands in the generation that was written when it was given.
    receiver, answer = located(receiver, row.receipt_index or row.log_index or 0)
    message = None if row.log_index is None else _logged(tx, sender, index)
    is_mirror = sender == pair.peer_origin
    if message is not None and is_mirror and mirror[0] is not None and mirror[1] > message.proof.index:
        message = _prove(tx, sender, message.proof.index, note=mirror[0], size=mirror[1])
    if message is None:
        msg = "the message is not in a signed log yet"
        raise NotLoggedYetError(msg)
    content = tx.threads.content(row.message_id)
    receipt = None if row.receipt_index is None else _logged(tx, receiver, answer)
    message_lines = _key_lines(message.proof.note)
    receipt_lines = frozenset[Line]() if receipt is None else _key_lines(receipt.proof.note)
    receiver_statement, cosigner_statement = _receiver_statements(tx, receiver, receipt_lines, message_lines)
    return Evidence(
        message=message,
        receipt=receipt,
        receipt_path=None if receipt is None else _receipt_path(tx, sender, index, receipt.entry),
        receiver_origin=receiver,
        sender_statement=_statement(tx, sender, signed=message_lines, cosigned=frozenset()),
        receiver_statement=receiver_statement,
        cosigner_statement=cosigner_statement,
        schema=_schema(schedule, message.entry),
        ciphertext=None if content is None else content[1],
        content_key=None,
    )


def _row(tx: Transaction, message_id: bytes, agency: str) -> MessageRow:
    """Return a message that an agency sent or received."""
    row = tx.outbox.find(message_id, agency)
    if row is not None:
        return row
    found = tx.inbox.find(message_id, agency)
    if found is None:
        msg = "no such message of this agency"
        raise NotFoundError(msg)
    return found.row


def _logged(tx: Transaction, origin: str, index: int) -> LoggedEntry | None:
    """Return an entry with its proof under the newest checkpoint, a cosigned one if it covers it."""
    for cosigned in (True, False):
        note = tx.logs.newest_note(origin, cosigned=cosigned)
        if note is not None and note.note is not None and note.size > index:
            return _prove(tx, origin, index, note=note.note, size=note.size)
    return None


def _prove(tx: Transaction, origin: str, index: int, *, note: bytes, size: int) -> LoggedEntry:
    path = inclusion_proof(leaf_index=index, tree_size=size, reader=LogHashes(tx.logs, origin))
    proof = LogProof(index=index, hashes=path, note=note)
    return LoggedEntry(entry=tx.logs.entries(origin, index, index + 1)[0], proof=proof)


def _receipt_path(tx: Transaction, origin: str, index: int, answer: bytes) -> tuple[Hash, ...] | None:
    """Return the proof that an entry is in the state of its log that a receipt for it names."""
    entry = decode_entry(answer)
    if not isinstance(entry, ReceiptEntry) or entry.origin != origin:
        return None
    size = entry.start + entry.count
    if not entry.start <= index < size:
        return None
    return tuple(inclusion_proof(leaf_index=index, tree_size=size, reader=LogHashes(tx.logs, origin)))


def _statement(tx: Transaction, origin: str, *, signed: frozenset[Line], cosigned: frozenset[Line]) -> bytes:
    """Return the key statement of a log that names most of the keys on the notes, the newest of them.

    Keys change, and the newest note may have been made before that.

    Args:
        tx: The running transaction.
        origin: The log; every exchange log opens with a statement.
        signed: Signature lines of a note of this log.
        cosigned: Signature lines of a note that the log's node may have cosigned.
    """
    statements = [statement for _, statement in statements_in(tx, origin)]
    if not statements:
        msg = "the log does not hold a key statement yet"
        raise NotLoggedYetError(msg)
    return max(reversed(statements), key=lambda statement: _named(statement, origin, signed, cosigned))


def _receiver_statements(
    tx: Transaction, origin: str, signed: frozenset[Line], cosigned: frozenset[Line]
) -> tuple[bytes, bytes | None]:
    """Return the statement that names the receiver's keys on both notes, or one for each.

    Two are needed where its keys were changed between the receipt's note and its cosignature.
    """
    nothing = frozenset[Line]()
    both = _statement(tx, origin, signed=signed, cosigned=cosigned)
    of_log = _statement(tx, origin, signed=signed, cosigned=nothing)
    of_cosigner = _statement(tx, origin, signed=nothing, cosigned=cosigned)
    apart = _named(of_log, origin, signed, nothing) + _named(of_cosigner, origin, nothing, cosigned)
    if _named(both, origin, signed, cosigned) == apart:
        return both, None
    return of_log, of_cosigner


def _named(statement: bytes, origin: str, signed: frozenset[Line], cosigned: frozenset[Line]) -> int:
    """Return how many of the signature lines are under keys that a statement names."""
    log, cosigner = stated_keys(statement, origin)
    log_lines = {(key.name, key.key_id) for key in log.verifier_keys(cosigner=False)}
    cosigner_lines = {(key.name, key.key_id) for key in cosigner.verifier_keys(cosigner=True)}
    return len(log_lines & signed) + len(cosigner_lines & cosigned)


def _key_lines(note: bytes) -> frozenset[Line]:
    return frozenset((line.name, line.key_id) for line in parse_note(note).signatures)


def _schema(schedule: Schedule, logged: bytes) -> Mapping[str, bytes]:
    """Return the files that decided about a message, or none if they have changed since."""
    entry = decode_entry(logged)
    header = decode_header(entry.header) if isinstance(entry, MessageEntry) else None
    catalogue = None if header is None else schedule.holding(header.type, header.type_digest)
    if header is None or catalogue is None:
        return {}
    return {path: catalogue.files[path] for path in catalogue.type(header.type).files}
