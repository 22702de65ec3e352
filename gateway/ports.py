"""What a node needs from outside, as Protocols that state their contract.

The pipelines of `gateway.node` know storage, keys, time and the peer only through these.
The composition root (`gateway.app`) brings the real ones; `tests/world.py` brings a clock
that it moves and faults that it switches on.

Storage is one object, `Store`, whose `write` runs a closure inside a transaction. The
closure gets a `Transaction`, a bundle of small repositories (`logs`, `outbox`, …). All
closures that wait while a commit runs share the next commit (group commit), so the price
of durability is paid once a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from gateway.core.entries import Collection, ReceiptException
from gateway.core.keybox import KemPrivateKey
from gateway.core.merkle import Hash, RightEdge, TileHash
from gateway.core.sealing import StorageKey
from gateway.core.signature import HybridSigner, HybridVerifier
from gateway.core.states import State

T = TypeVar("T")


class Clock(Protocol):
    """Time, as far as a node looks at it."""

    def now_ms(self) -> int:
        """Return UTC milliseconds; may jump when an operator sets the clock."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that only grow; for deadlines and pacing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        ...


class Entropy(Protocol):
    """Randomness for identifiers, bundle ids, content keys and jitter."""

    def bytes(self, count: int) -> bytes:
        """Return ``count`` bytes fit for keys."""
        ...

    def fraction(self) -> float:
        """Return a number from 0 up to, not including, 1; for jitter, never for keys."""
        ...


# --- storage: rows -------------------------------------------------------------------


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
    COLLECTED = "collected"
    EXPIRED = "expired"
    AUDITED = "audited"
    RECOVERED = "recovered"


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


@dataclass(frozen=True, slots=True, kw_only=True)
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
        audit_index: Index of its event in the audit log; None for an incoming one.
        flags: Space-separated words such as ``crossed`` and ``gap``.
        ciphertext: Content as it is stored and sent.
        wrapped_key: Content key under this node's storage key.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """A stored message without its content."""

    number: int
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
    sendings: int
    sent_ms: int | None
    delivered_ms: int | None
    decided_ms: int | None
    receipt_index: int | None
    exception: int | None
    rule: int | None
    flags: str


@dataclass(frozen=True, slots=True, kw_only=True)
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
class CollectionRow:
    """One addressee of a message and whether it has acknowledged it."""

    agency: str
    collected_ms: int | None
    log_index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """A message in an agency's inbox, with its content still sealed."""

    row: MessageRow
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


# --- storage: repositories inside a transaction --------------------------------------


class Logs(Protocol):
    """Logs and mirrors: entries, right edge, tile hashes, notes."""

    def head(self, origin: str) -> LogHead | None:
        """Return where a log ends, or None if there is no such log."""
        ...

    def heads(self) -> Sequence[LogHead]:
        """Return every log, in order of origin."""
        ...

    def create(self, origin: str, kind: LogKind) -> LogHead:
        """Create an empty log. It must not exist."""
        ...

    def extend(
        self,
        old: LogHead,
        *,
        entries: Sequence[bytes],
        edge: RightEdge,
        tile_hashes: Sequence[TileHash],
    ) -> LogHead:
        """Append entries and move the head, if ``old`` is still the head and the lease is ours.

        Raises:
            StoreError: Another writer came first. The caller must not sign anything.
        """
        ...

    def entries(self, origin: str, start: int, end: int) -> list[bytes]:
        """Return the entries from ``start`` up to ``end``; all of them must exist."""
        ...

    def tile_hashes(self, origin: str, level: int, start: int, end: int) -> list[Hash]:
        """Return stored roots of complete subtrees of height ``8 * level``, level 1 or more."""
        ...

    def put_note(self, note: StoredNote) -> None:
        """Keep a note: the newest a log whole, one an hour whole, else size, root and time.

        Signed notes and cosigned ones are kept apart in this.
        """
        ...

    def newest_note(self, origin: str, *, cosigned: bool = False) -> StoredNote | None:
        """Return the note of the largest size, the newest of them, with its bytes.

        With ``cosigned`` only one that carries the other node's cosignature.
        """
        ...

    def put_control(self, origin: str, kind: int, index: int, entry: bytes) -> None:
        """Remember where an entry that changes how a log is read stands (kinds 4, 5, 7, 10)."""
        ...

    def newest_control(self, origin: str, kind: int) -> tuple[int, bytes] | None:
        """Return index and bytes of the newest entry of a kind, or None."""
        ...


class Outbox(Protocol):
    """Messages that this node's agencies posted, and the bundles they travel in."""

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store accepted messages with content and addressees, in this order."""
        ...

    def raise_rank(self, conversation_id: bytes, rank: int) -> None:
        """Let waiting predecessors in one conversation inherit a precedence.

        Of all agencies of the nation: one agency's answer may rest on another's, as after a
        request was transferred.
        """
        ...

    def waiting(self, *, limit: int, max_bytes: int) -> list[Waiting]:
        """Return accepted messages by rank, then age, until a limit is reached.

        At least one message is returned if any waits, whatever its size.
        """
        ...

    def most_urgent(self) -> int | None:
        """Return the lowest rank that waits, or None if nothing does."""
        ...

    def count(self, state: State) -> int:
        """Return how many outgoing messages are in a state."""
        ...

    def mark_sent(self, sent: Sequence[tuple[int, int]], *, at_ms: int) -> None:
        """Move messages (number, log index) from *accepted* to *sent*.

        Raises:
            StoreError: One of them was not *accepted* any more.
        """
        ...

    def put_bundle(self, bundle: SentBundle) -> None:
        """Store the run of entries that was just appended."""
        ...

    def set_note(self, start: int, note: bytes) -> None:
        """Store the signed note of the bundle that begins at ``start``."""
        ...

    def bundles_from(self, index: int, *, limit: int) -> list[SentBundle]:
        """Return bundles that end behind ``index``, in order."""
        ...

    def ciphertexts(self, start: int, end: int) -> list[bytes | None]:
        """Return the ciphertext of each message entry in a range of the own log, in order."""
        ...

    def delivered(self, up_to: int, *, at_ms: int) -> int:
        """Move sent messages below an index to *delivered*; return how many.

        Boxes and notes of the bundles below it are forgotten: a bundle that has to be sent
        once more is signed once more, which says the same.
        """
        ...

    def received(
        self,
        *,
        start: int,
        end: int,
        decided_ms: int,
        receipt_index: int,
        exceptions: Sequence[ReceiptException],
    ) -> bool:
        """Apply a receipt: *received* for the range, but what `state_after` says for exceptions.

        The numbers of messages that end here are void, and the log has to say so.

        Returns:
            True if something is due to be sent: a message once more, or a void.
        """
        ...

    def rolled_back(self, size: int) -> int:
        """Move messages from index ``size`` on back to *sent*, as far as they are not collected.

        For a peer that was restored from a backup and holds no entry from there on.

        Returns:
            How many messages that are.
        """
        ...

    def collected(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that addressees acknowledged; *collected* once all of them have."""
        ...

    def has_expired(self, now_ms: int) -> bool:
        """Return whether a waiting message's delivery time is over."""
        ...

    def expire(self, now_ms: int, *, limit: int) -> list[MessageRow]:
        """Move waiting messages whose delivery time is over to *expired* and return them."""
        ...

    def withdraw(self, message_id: bytes, agency: str, *, at_ms: int | None = None) -> MessageRow | None:
        """Move an *accepted* message of an agency to *withdrawn*; None if it is not there.

        The row is returned as it was before; the caller looks at its state.
        """
        ...

    def find(self, message_id: bytes, agency: str) -> MessageRow | None:
        """Return a message that this agency posted, or None."""
        ...

    def listing(self, agency: str, *, after: int, limit: int) -> list[MessageRow]:
        """Return messages that an agency posted, newest first, with a number below ``after``.

        ``after`` 0 means from the newest.
        """
        ...

    def addressees(self, message_id: bytes) -> list[CollectionRow]:
        """Return the addressees of a message in the order of the message."""
        ...

    def recovered(self, messages: Sequence[tuple[int, bytes]], *, at_ms: int) -> None:
        """Move messages (log index, message id) that a recovered log holds to *delivered*.

        Ids that this database does not know are ignored: they were accepted after the backup.
        """
        ...

    def put_void(self, conversation_id: bytes, agency: str, seq: int) -> None:
        """Remember that a number will never be used and that the log has to say so."""
        ...

    def take_voids(self, *, limit: int) -> list[tuple[bytes, str, int]]:
        """Return voids that the log does not hold yet, and mark them as logged now."""
        ...


class Inbox(Protocol):
    """Messages that arrived for this node's agencies, and the answers that are due."""

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store received messages with content and addressees, in this order."""
        ...

    def known(self, message_ids: Iterable[bytes]) -> set[bytes]:
        """Return which ids this node already holds, in either direction, or has refused."""
        ...

    def listing(self, agency: str, *, after: tuple[int, int], limit: int, collected: bool) -> list[InboxRow]:
        """Return messages for an agency by (rank, number) greater than ``after``.

        Args:
            agency: Addressee.
            after: (rank, number) of the last row seen; (-1, 0) for the beginning.
            limit: At most so many rows.
            collected: False for what is not acknowledged yet, True for what is.
        """
        ...

    def find(self, message_id: bytes, agency: str) -> InboxRow | None:
        """Return one message for an agency, or None if it is not an addressee."""
        ...

    def acknowledge(self, message_id: bytes, agency: str, *, at_ms: int) -> bool | None:
        """Record a collection, due to be logged. True: now; False: before; None: not yours."""
        ...

    def due_collections(self, *, limit: int) -> list[Collection]:
        """Return acknowledgements that the exchange log does not hold yet."""
        ...

    def collections_logged(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that these are in the exchange log now."""
        ...

    def put_refused(self, message_ids: Sequence[bytes]) -> None:
        """Remember ids of messages that were refused for good, so that `known` reports them."""
        ...

    def put_receipt_due(self, receipt: ReceiptDue) -> None:
        """Remember that a receipt is due."""
        ...

    def due_receipts(self, *, limit: int) -> list[ReceiptDue]:
        """Return due receipts in order of the mirror."""
        ...

    def receipts_logged(self, starts: Sequence[int], *, log_index: int) -> None:
        """Record that receipts are in the exchange log now; they are due no more."""
        ...

    def receipts_recovered(self, start: int, end: int, *, log_index: int) -> None:
        """Forget receipts that are due for a range: a recovered log already holds them."""
        ...

    def collections_recovered(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record acknowledgements that a recovered log already holds."""
        ...

    def put_void(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> None:
        """Remember numbers that the peer declared void."""
        ...


class Threads(Protocol):
    """What is known of conversations, in both directions."""

    def rows(self, message_ids: Iterable[bytes]) -> dict[bytes, MessageRow]:
        """Return the messages with these ids that this node holds."""
        ...

    def replies(self, message_ids: Iterable[bytes]) -> dict[bytes, list[MessageRow]]:
        """Return, for each of these ids, the messages that answer it, oldest first."""
        ...

    def last_numbers(self, conversations: Iterable[bytes]) -> dict[tuple[bytes, str], int]:
        """Return the highest sequence number, used or void, by conversation and agency."""
        ...

    def missing_numbers(self, conversation_id: bytes) -> dict[str, list[int]]:
        """Return, by agency, numbers below the highest that are neither used nor void."""
        ...

    def content(self, message_id: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Return (header, ciphertext, wrapped key) of a message, or None if erased or unknown."""
        ...

    def conversations(self, agency: str, *, limit: int, after: int) -> list[list[MessageRow]]:
        """Return conversations that an agency takes part in, newest first, each oldest first."""
        ...

    def conversation(self, conversation_id: bytes, agency: str) -> list[MessageRow]:
        """Return one conversation as far as an agency takes part in it, oldest first."""
        ...


class Facts(Protocol):
    """Small things: idempotency keys, incidents, settings of the pair."""

    def idempotent(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[bytes, bytes]]:
        """Return (body digest, message id) by (agency, key) for the keys that were used."""
        ...

    def put_idempotent(self, rows: Sequence[tuple[str, str, bytes, bytes, int]]) -> None:
        """Store (agency, key, body digest, message id, time) rows."""
        ...

    def put_incident(self, incident: Incident) -> None:
        """Keep an incident."""
        ...

    def incidents(self, *, limit: int) -> list[Incident]:
        """Return incidents, newest first."""
        ...

    def get(self, key: str) -> str | None:
        """Return a setting."""
        ...

    def put(self, key: str, value: str | None) -> None:
        """Store a setting, or remove it with None."""
        ...


class Transaction(Protocol):
    """What a closure works with. Valid only while the closure runs."""

    @property
    def logs(self) -> Logs:
        """Return the logs and mirrors."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Return outgoing messages."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Return incoming messages."""
        ...

    @property
    def threads(self) -> Threads:
        """Return conversations."""
        ...

    @property
    def facts(self) -> Facts:
        """Return small things."""
        ...


class Store(Protocol):
    """Keeps everything of a node; the only place where it is kept."""

    async def write(self, step: Step, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction and return its result once that is durable.

        Closures run one after another in the order of the calls, in a thread that is not
        the caller's; several may share a commit. A closure that raises undoes its own
        changes and nobody else's, and the error reaches its caller.

        Raises:
            StoreError: The commit failed or its outcome is unknown; the store refuses all
                further writes.
        """
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` on a snapshot that holds at least every write that has returned."""
        ...


# --- keys, peer, high water ----------------------------------------------------------


class Keyring(Protocol):
    """The keys of this node and what is trusted of the peer."""

    @property
    def storage_key(self) -> StorageKey:
        """Return the 32-byte key under which content keys are wrapped at rest."""
        ...

    @property
    def cosigner(self) -> HybridSigner:
        """Return the signer of cosignatures on the peer's logs."""
        ...

    @property
    def statement(self) -> bytes:
        """Return this node's key statement, signed by the national root."""
        ...

    @property
    def peer_statement(self) -> bytes:
        """Return the peer's key statement as imported."""
        ...

    @property
    def peer_cosigner_verifier(self) -> HybridVerifier:
        """Return the verifier of the peer's cosignatures."""
        ...

    def log_signer(self, origin: str) -> HybridSigner:
        """Return the signer of an own log."""
        ...

    def own_verifier(self, origin: str) -> HybridVerifier:
        """Return the verifier of an own log."""
        ...

    def peer_log_verifier(self, origin: str) -> HybridVerifier:
        """Return the verifier of a log of the peer."""
        ...

    def accept_peer_statement(self, statement: bytes) -> None:
        """Take a statement from the peer's log: the imported one, or a higher version.

        Raises:
            SignatureInvalidError: Not signed by the pinned root.
            PeerError: Of another nation or node, or of a lower version.
        """
        ...

    def create_kem_key(self, now_ms: int) -> tuple[bytes, bytes]:
        """Make a KEM key, durable before it returns: (key id 8 bytes, public key 1,665 bytes)."""
        ...

    def kem_private(self, key_id: bytes) -> KemPrivateKey | None:
        """Return a private KEM key, or None if it was destroyed or never ours."""
        ...

    def destroy_kem_key(self, key_id: bytes) -> None:
        """Destroy a private KEM key for good; unknown ids are ignored."""
        ...

    def kem_keys(self) -> Mapping[bytes, int]:
        """Return creation times in UTC milliseconds by key id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleAnswer:
    """The peer holds the bundle.

    Attributes:
        size: Size of the peer's mirror of our log.
        note: Cosigned note, or None when the answer was the size alone.
    """

    size: int
    note: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """What the peer says when asked.

    Attributes:
        mirrored: Newest note that it holds of our log, or None.
        mirrored_size: Size of its mirror of our log.
        own: Newest note of its own log, or None.
        own_size: Size of its own log.
    """

    mirrored: bytes | None
    mirrored_size: int
    own: bytes | None
    own_size: int


class PeerLink(Protocol):
    """The peer node, as a caller sees it. Every call has a deadline of its own.

    Raises of every call:
        UnavailableError: Not reachable, overloaded, or no answer in time.
        PeerConflictError: It mirrors another size (the error holds it).
        PeerFrozenError: It has frozen the pair.
        PeerError: It refuses for another reason.
    """

    async def post_bundle(self, bundle: bytes) -> BundleAnswer:
        """Ship a bundle."""
        ...

    async def view(self) -> PeerView:
        """Ask what the peer holds."""
        ...

    async def entries(self, log: str, start: int, end: int) -> Sequence[bytes]:
        """Ask for entries of the peer's log, or of its mirror of ours."""
        ...

    async def add_checkpoint(self, body: bytes) -> bytes:
        """Ask for a cosignature of the audit log's checkpoint (C2SP tlog-witness)."""
        ...


class HighWater(Protocol):
    """Remembers, apart from the database, how far logs were signed or cosigned.

    It is what keeps a restored backup from signing a fork.
    """

    async def record(self, marks: Mapping[str, tuple[int, Hash]]) -> None:
        """Store (size, root) by origin; durable when it returns. Smaller sizes are ignored."""
        ...

    def read(self) -> Mapping[str, tuple[int, Hash]]:
        """Return (size, root) by origin."""
        ...
