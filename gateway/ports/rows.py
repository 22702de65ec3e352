"""What storage gives and takes: rows as frozen values, and the names of steps and logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core.entries import IncidentKind, ReceiptException
from gateway.core.merkle import Hash, RightEdge
from gateway.core.message.effect import Effect, NewEffect
from gateway.core.message.retention import Ending, Ground, Retention
from gateway.core.quick import quick_row, quick_value
from gateway.core.states import State, is_void

PostName = tuple[str, str | bytes]
"""What a post is known by: the agency, and the idempotency key that it gave or else the message id."""


POST_DIGEST_BYTES: Final = 16
"""So much of a digest tells a repeat from another body of the same agency under the same message id.
The agency alone could look for two bodies that are alike in it, and would gain nothing."""


class Step(StrEnum):
    """What a write makes durable. Faults are injected and metrics kept by this name."""

    SETUP = "setup"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    SEQUENCED = "sequenced"
    SIGNED = "signed"
    DELIVERED = "delivered"
    MIRRORED = "mirrored"
    COSIGNED = "cosigned"
    ATTESTED = "attested"
    COLLECTED = "collected"
    EXPIRED = "expired"
    ERASED = "erased"
    HELD = "held"
    AUDITED = "audited"
    RECOVERED = "recovered"
    FORGOTTEN = "forgotten"


class LogKind(StrEnum):
    """Whose log it is, and who sees it."""

    EXCHANGE = "exchange"
    MIRROR = "mirror"
    AUDIT = "audit"
    WITNESSED = "witnessed"
    """A log of which this node holds checkpoints only: the peer's audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """Where a stored log ends."""

    origin: str
    kind: LogKind
    edge: RightEdge

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return self.edge.size


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredNote:
    """A note that was made or received for a log; ``note`` is None where only facts are kept.

    ``cosigned`` says that the note carries the other node's cosignature.
    """

    origin: str
    size: int
    root: Hash
    at_ms: int
    note: bytes | None
    cosigned: bool = False


class AttestationKind(StrEnum):
    """How a third party vouches for a checkpoint."""

    STAMP = "stamp"
    """A time-stamp authority (RFC 3161): the evidence is its response over the note's text."""

    WITNESS = "witness"
    """A C2SP witness: the evidence is the note of the log with the witness's line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What somebody who belongs to neither nation says of a checkpoint of an own log.

    Attributes:
        origin: Log.
        size: Size that the checkpoint names.
        root: Root that it names.
        kind: How it is said.
        name: Name of the authority or witness, as the configuration has it.
        at_ms: When it reached this node, UTC milliseconds.
        evidence: What proves it.
    """

    origin: str
    size: int
    root: Hash
    kind: AttestationKind
    name: str
    at_ms: int
    evidence: bytes


@quick_row
class NewMessage:
    """A message as it enters the database, in either direction.

    Attributes:
        outgoing: True for one that this node's agency posted.
        state: `State.ACCEPTED` or `State.RECEIVED`.
        header: Encoded envelope header.
        seq: Sequence number within the conversation, per sending agency.
        in_reply_to: Message id that it answers, or None.
        purpose: Purpose code, for replies that must keep it.
        reply_by_ms: Deadline for an answer, or None.
        closes: True if it closes the message it answers.
        rank: Precedence number by which it is sent or shown.
        arrived_ms: When this node accepted or received it.
        log_index: Index of its entry in the mirror; None for an outgoing one.
        audit_index: Place of its event in the audit log; None for an incoming one.
        flags: Space-separated words such as ``crossed`` and ``gap``.
        ciphertext: Content as it is stored and sent.
        wrapped_key: Content key under this node's storage key.
        retention: When the content has to go, or None for ever.
        endings: What the message orders about the content of others.
        awaits: True if its sender waits for an answer.
        effects: What it does to earlier messages.
        post_digest: First `POST_DIGEST_BYTES` of the SHA-384 of the body as it was posted, by which
            a repeat is recognised, if the post is known by the message id; else None.
    """

    outgoing: bool
    state: State
    message_id: bytes
    header: bytes
    type: str
    from_agency: str
    to_agencies: tuple[str, ...]
    conversation_id: bytes
    seq: int
    in_reply_to: bytes | None
    purpose: str
    reply_by_ms: int | None
    closes: bool
    rank: int
    created_ms: int
    expires_ms: int
    arrived_ms: int
    log_index: int | None
    audit_index: int | None
    flags: str
    ciphertext: bytes
    wrapped_key: bytes
    retention: Retention | None = None
    endings: tuple[Ending, ...] = ()
    awaits: bool = False
    effects: tuple[NewEffect, ...] = ()
    post_digest: bytes | None = None

    @property
    def is_void(self) -> bool:
        """Return whether it counts for nothing in its conversation but its number."""
        return is_void(self.state, None)


@quick_row
class MessageRow:
    """A stored message without its content.

    Attributes:
        was: State in which its content was erased, or None.
        erase_ms: When its content has to go; None once it is gone, or for ever.
        ground: What sets that time, or why it went.
        held: True while a legal hold keeps its content.
    """

    number: int
    outgoing: bool
    state: State
    message_id: bytes
    type: str
    from_agency: str
    to_agencies: tuple[str, ...]
    conversation_id: bytes
    seq: int
    in_reply_to: bytes | None
    purpose: str
    reply_by_ms: int | None
    closes: bool
    rank: int
    created_ms: int
    expires_ms: int
    arrived_ms: int
    log_index: int | None
    audit_index: int | None
    sendings: int
    sent_ms: int | None
    delivered_ms: int | None
    decided_ms: int | None
    receipt_index: int | None
    exception: int | None
    rule: int | None
    flags: str
    was: State | None = None
    erase_ms: int | None = None
    ground: Ground | None = None
    held: bool = False

    @property
    def is_void(self) -> bool:
        """Return whether it counts for nothing in its conversation but its number."""
        return is_void(self.state, self.was)

    @property
    def was_received(self) -> bool:
        """Return whether a receipt said so before the peer was restored from a backup and lost it.

        That receipt stands in the row until another one says so again.
        """
        is_open = self.state in {State.ACCEPTED, State.SENT, State.DELIVERED}
        return is_open and self.receipt_index is not None and self.exception is None

    @property
    def is_unanswered(self) -> bool:
        """Return whether it was sent, perhaps, and no receipt says what has become of it.

        Waiting, it was on its way when an earlier generation of the log ended, or the peer had it and
        lost it.
        """
        return (
            self.outgoing and self.sent_ms is not None and (self.receipt_index is None or self.was_received)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Where it is on record that the content of a message was destroyed.

    Attributes:
        at_ms: When.
        audit_index: Place of the event in the audit log (`gateway.core.generation`).
        log_index: Index of the incident in the exchange log; None where that does not say it,
            or not yet.
    """

    at_ms: int
    audit_index: int
    log_index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A legal hold: what it names is not erased while it stands.

    Attributes:
        subject: Id of a message or of a conversation, 16 bytes.
        conversation: True for a conversation, with all that is still to come in it.
        at_ms: Since when.
        reason: What the operator wrote; it is in no log.
    """

    subject: bytes
    conversation: bool
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """What a stored message did to an earlier one.

    Attributes:
        effect: What was done.
        at_ms: A time that goes with it, UTC milliseconds, or None.
        row: The message that did it.
    """

    effect: Effect
    at_ms: int | None
    row: MessageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A message of an agency, or to one, that may still wait for its answer.

    Attributes:
        conversation_id: Its conversation, 16 bytes.
        due_ms: Deadline for the answer, UTC milliseconds.
        number: Its message number.
    """

    conversation_id: bytes
    due_ms: int
    number: int


@quick_value
class Waiting:
    """An accepted message that the courier may send, with its content."""

    number: int
    message_id: bytes
    header: bytes
    rank: int
    ciphertext: bytes
    wrapped_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SentBundle:
    """A run of own entries that was, or will be, shipped as one bundle.

    Attributes:
        start: Index of the first entry.
        count: Number of entries.
        root: Root at ``start + count``.
        box: Key box; None when there is none or the peer has cosigned.
        note: Signed note; None until it is stored.
        sequenced_ms: UTC milliseconds.
        messages: Number of message entries.
    """

    start: int
    count: int
    root: Hash
    box: bytes | None
    note: bytes | None
    sequenced_ms: int
    messages: int

    @property
    def end(self) -> int:
        """Return the index behind the last entry."""
        return self.start + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptDue:
    """A range of the mirror whose receipt has not been logged yet."""

    start: int
    count: int
    root: Hash
    decided_ms: int
    exceptions: tuple[ReceiptException, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LostMessage:
    """An incoming message that this node had before it was restored, and has asked for once more.

    Attributes:
        message_id: 16 bytes.
        place: Where it stood in the mirror.
        decided_ms: When it was received; None if no receipt says that it was.
    """

    message_id: bytes
    place: int
    decided_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRow:
    """One addressee of a message and whether it has acknowledged it."""

    agency: str
    collected_ms: int | None
    log_index: int | None


@quick_value
class InboxRow:
    """A message in an agency's inbox, with its content still sealed.

    Attributes:
        header: Its header, encoded.
    """

    row: MessageRow
    header: bytes
    collected_ms: int | None
    ciphertext: bytes | None
    wrapped_key: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A thing that an operator has to know; the two notes are evidence, where there are any."""

    kind: int
    origin: str
    size: int
    root: bytes
    at_ms: int
    note_a: bytes | None = None
    note_b: bytes | None = None

    @property
    def is_stated(self) -> bool:
        """Return whether the peer merely says so: what this node has verified it keeps a signed note of."""
        return self.kind == IncidentKind.FORK and self.note_a is None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What the writer of a store has done since it was opened.

    Attributes:
        commits: Transactions made durable.
        writes: Closures in them, by step.
        largest_group: Most closures that shared one commit.
        commit_s: Seconds spent in commits.
        waiting: Closures that wait now.
        failed: Whether the store accepts no writes any more.
    """

    commits: int
    writes: Mapping[Step, int]
    largest_group: int
    commit_s: float
    waiting: int
    failed: bool
