"""The store: transactions, and the repositories that a closure works with inside one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from gateway.core.entries import Collection, ReceiptException
from gateway.core.merkle import MAX_TREE_SIZE, Hash, RightEdge, TileHash
from gateway.core.states import State
from gateway.ports.queue import Queue
from gateway.ports.removal import Removal
from gateway.ports.rows import (
    Attestation,
    AttestationKind,
    CollectionRow,
    EffectRow,
    InboxRow,
    Incident,
    LogHead,
    LogKind,
    LostMessage,
    MessageRow,
    NewMessage,
    OpenRequest,
    PostName,
    ReceiptDue,
    SentBundle,
    Step,
    StoredNote,
    StoreStats,
    Waiting,
)

T = TypeVar("T")


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

    def reaches_beyond(self, origin: str, size: int) -> bool:
        """Return whether entries are stored at ``size`` or above, where none may be."""
        ...

    def put_note(self, note: StoredNote) -> None:
        """Keep a note: the newest a log whole, one an hour whole, else size, root and time.

        Signed notes and cosigned ones are kept apart in this.
        """
        ...

    def newest_note(
        self, origin: str, *, cosigned: bool = False, at_most: int = MAX_TREE_SIZE
    ) -> StoredNote | None:
        """Return the note of the largest size, the newest of them, with its bytes.

        With ``cosigned`` only one that carries the other node's cosignature; with ``at_most``
        only one of at most this size. Of earlier notes one an hour is kept with its bytes.
        """
        ...

    def put_control(self, origin: str, kind: int, index: int, entry: bytes) -> None:
        """Remember where an entry that changes how a log is read stands (kinds 4, 5, 7, 10)."""
        ...

    def controls(self, origin: str, kind: int, *, limit: int) -> list[bytes]:
        """Return the newest entries of a kind, at most so many, in the order of the log."""
        ...

    def placed_controls(self, origin: str, kind: int, *, limit: int) -> list[tuple[int, bytes]]:
        """Return index and bytes of the newest entries of a kind, as `controls` does."""
        ...

    def newest_control(self, origin: str, kind: int) -> tuple[int, bytes] | None:
        """Return index and bytes of the newest entry of a kind, or None."""
        ...


class Outbox(Protocol):
    """Messages that this node's agencies posted, and the bundles they travel in."""

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store accepted messages with their content, in this order."""
        ...

    def raise_ranks(self, ranks: Mapping[bytes, int]) -> None:
        """Let waiting predecessors inherit a precedence, by conversation.

        Of all agencies of the nation: one agency's answer may rest on another's, as after a
        request was transferred.
        """
        ...

    def waiting(self, *, limit: int, max_bytes: int) -> list[Waiting]:
        """Return accepted messages by rank, then age, until a limit is reached.

        At least one message is returned if any waits, whatever its size.
        """
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

    def grow_bundle(self, start: int, *, end: int, root: Hash) -> None:
        """Let the unsigned bundle that begins at ``start`` take in what was just appended behind it.

        Raises:
            StoreError: It is signed, or there is none.
        """
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

        A message that was received before stays so, unless it is asked for once more: `taken_back`.

        Returns:
            True if something is due to be sent: a message once more, or a void.
        """
        ...

    def taken_back(self, exceptions: Sequence[ReceiptException]) -> list[tuple[int, int]]:
        """Return (number, place of the earlier receipt) of messages that exceptions would end once received.

        Those that are asked for once more are none of them.
        """
        ...

    def stay_received(self, number: int, *, start: int, end: int) -> None:
        """Let a message be *received* as an earlier receipt says, at its entry in the range of that.

        Raises:
            StoreError: No entry of the message stands there.
        """
        ...

    def start_anew(self, first: int, *, in_doubt: int = 0) -> int:
        """Move messages from place ``first`` on that no receipt speaks of back to *accepted*.

        Their log is closed. They may have arrived, so none of them ends before a receipt says so. Those that
        were erased meanwhile are named by `erased_anew` from now on.

        Args:
            first: Place of index 0 of that log.
            in_doubt: Messages up to this number that wait may have been sent as well.

        Returns:
            How many messages are sent once more.
        """
        ...

    def erased_anew(self, first: int, *, limit: int) -> list[tuple[int, int]]:
        """Return (number, place) of messages below place ``first`` that were erased and have no receipt.

        The peer can be asked about them by their entries, without content.
        """
        ...

    def mark_asked(self, asked: Sequence[tuple[int, int]], *, at_ms: int) -> None:
        """Let erased messages (number, log index) stand at a new entry, whose receipt will speak of them."""
        ...

    def settle_erased(self) -> int:
        """Declare void what was erased before it was known whether it was sent, and was not.

        For when the own log has become whole: what was sent is in it.

        Returns:
            How many messages that are.
        """
        ...

    def rolled_back(self, size: int) -> int:
        """Move messages from index ``size`` on back to *sent*, as far as they are not collected.

        For a peer that was restored from a backup and holds no entry from there on. What was known of their
        arrival stays. Those that are collected stay so until the peer asks for them, as often as for
        any other.

        Returns:
            How many messages that are.
        """
        ...

    def collected(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that addressees acknowledged; *collected* once all of them have."""
        ...

    def newest_number(self) -> int:
        """Return the number of the newest message of either direction, 0 for none."""
        ...

    def has_expired(self, now_ms: int, *, above: int = 0) -> bool:
        """Return whether the delivery time of a waiting message with a higher number is over."""
        ...

    def expire(self, now_ms: int, *, limit: int, above: int = 0) -> list[MessageRow]:
        """Move waiting messages whose delivery time is over to *expired* and return them.

        Not those that may have arrived in an earlier generation, or before the peer was restored
        (`MessageRow.is_unanswered`).

        Args:
            now_ms: UTC milliseconds.
            limit: At most so many, those first whose time was over first.
            above: Only messages with a higher number.
        """
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

        Those that were erased meanwhile stay so; their numbers are not void. Ids that this database does
        not know are ignored: they were accepted after the backup.
        """
        ...

    def put_void(self, conversation_id: bytes, agency: str, seq: int) -> None:
        """Remember that a number will never be used and that the log has to say so."""
        ...

    def waiting_under(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> list[bytes]:
        """Return the ids of *accepted* messages of an agency with these numbers in a conversation."""
        ...

    def voids_recovered(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> None:
        """Remember numbers that a recovered log declares void: it does not have to say so again."""
        ...

    def take_voids(self, *, limit: int) -> list[tuple[bytes, str, int]]:
        """Return voids that the log does not hold yet, and mark them as logged now."""
        ...


class Inbox(Protocol):
    """Messages that arrived for this node's agencies, and the answers that are due."""

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store received messages with content and addressees, in this order."""
        ...

    def refused(self, message_ids: Iterable[bytes]) -> set[bytes]:
        """Return which of these ids are of messages that were refused for good."""
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

    def acknowledge(
        self, message_ids: Iterable[bytes], agency: str, *, at_ms: int
    ) -> dict[bytes, tuple[int, bool]]:
        """Record collections, due to be logged; return (when, whether only now) by message id.

        What was collected before keeps its time. Ids that are not this agency's are not in
        the result.
        """
        ...

    def due_collections(self, *, limit: int) -> list[Collection]:
        """Return acknowledgements that the exchange log does not hold yet."""
        ...

    def collections_logged(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that these are in the exchange log now.

        Args:
            collections: What `due_collections` returned in this transaction, or neighbours among it.
            log_index: Index of the entry that names them.

        Raises:
            StoreError: Others are due between the first and the last of them.
        """
        ...

    def put_refused(self, message_ids: Sequence[bytes]) -> None:
        """Remember ids of messages that were refused for good, so that `refused` reports them."""
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

    def put_early_receipt(self, receipt: ReceiptDue, *, log_index: int) -> None:
        """Remember a receipt of a recovered log whose entries are yet to be mirrored again."""
        ...

    def early_receipts(self, start: int, end: int) -> list[ReceiptDue]:
        """Return such receipts that speak of places from ``start`` to ``end``, in the order of the log."""
        ...

    def last_early_receipt(self) -> int:
        """Return the place behind the last entry that such a receipt speaks of, 0 for none."""
        ...

    def forget_early_receipts(self, below: int) -> None:
        """Forget such receipts about entries below a place: they are mirrored again."""
        ...

    def put_lost(self, messages: Sequence[LostMessage]) -> None:
        """Remember messages that this node had and asks for once more; the first word on each stays."""
        ...

    def lost(self, message_ids: Iterable[bytes]) -> dict[bytes, LostMessage]:
        """Return those of these ids that are of such messages."""
        ...

    def has_lost(self) -> bool:
        """Return whether there is any such message."""
        ...

    def found_again(self, messages: Sequence[tuple[LostMessage, int]]) -> None:
        """Forget such messages: each has come again, and stands at another place of the mirror.

        What was collected of one is collected, and due to be logged again.
        """
        ...

    def start_anew(self) -> None:
        """Forget what is due and what was refused: the sender may know of neither, and sends it anew."""
        ...

    def arrived_again(self, messages: Sequence[tuple[bytes, int, int]]) -> None:
        """Let messages (id, old place, new place) stand elsewhere in the mirror.

        What was collected is due to be logged again.
        """
        ...

    def collections_recovered(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record acknowledgements that a recovered log already holds."""
        ...

    def put_void(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> None:
        """Remember ascending numbers that an entry of the peer declares void."""
        ...


class Threads(Protocol):
    """What is known of conversations, in both directions."""

    def rows(self, message_ids: Iterable[bytes]) -> dict[bytes, MessageRow]:
        """Return the messages with these ids that this node holds."""
        ...

    def replies(self, message_ids: Iterable[bytes]) -> dict[bytes, list[MessageRow]]:
        """Return, for each of these ids, the messages that answer it, oldest first."""
        ...

    def last_numbers(self, pairs: Iterable[tuple[bytes, str]]) -> dict[tuple[bytes, str], int]:
        """Return the highest number, used or void, of these (conversation, agency).

        Those that have none are not in the result.
        """
        ...

    def missing_numbers(self, conversation_id: bytes) -> dict[str, list[int]]:
        """Return, by agency, numbers below the highest that are neither used nor void."""
        ...

    def content(self, message_id: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Return (header, ciphertext, wrapped key) of a message, or None if erased or unknown."""
        ...

    def effects(self, subjects: Iterable[bytes]) -> dict[bytes, list[EffectRow]]:
        """Return, for each of these ids of messages or rooms, what was done to it, oldest first.

        Also by messages that were refused, expired or withdrawn: whoever asks looks at that.
        """
        ...

    def open_requests(self, agency: str, *, after: tuple[int, int], limit: int) -> list[OpenRequest]:
        """Return requests of an agency, or to it, that may be open, by (deadline, number) above ``after``.

        All that are open are among them. A few may be closed: whoever asks looks at the effects.
        """
        ...

    def conversations(self, agency: str, *, limit: int, after: int) -> list[list[MessageRow]]:
        """Return conversations that an agency takes part in, newest first, each oldest first."""
        ...

    def conversation(self, conversation_id: bytes, agency: str) -> list[MessageRow]:
        """Return one conversation as far as an agency takes part in it, oldest first."""
        ...


class Facts(Protocol):
    """Small things: idempotency keys, incidents, settings of the pair."""

    def idempotent(self, names: Iterable[PostName]) -> dict[PostName, tuple[bytes, bytes]]:
        """Return (body digest, message id) by name for the names of posts that were used.

        Of a post that is known by its message id, the digest is as much as is kept of it. It is
        empty once the message is erased.
        """
        ...

    def put_idempotent(self, rows: Sequence[tuple[str, str, bytes, bytes, int]]) -> None:
        """Store (agency, key, body digest, message id, time) rows of posts that gave a key.

        A post that is known by its message id is found by its message (`NewMessage.post_digest`).
        """
        ...

    def forget_idempotent(
        self, *, after: tuple[str, str], before_ms: int, limit: int
    ) -> tuple[tuple[str, str] | None, int]:
        """Forget used keys that are older than a time, in a walk that goes on where the last one ended.

        Args:
            after: (agency, key) that the last call returned; two empty texts for the beginning.
            before_ms: Keys that were used before this are forgotten, UTC milliseconds.
            limit: At most so many keys are looked at.

        Returns:
            Where to go on, or None at the end; and how many keys were forgotten.
        """
        ...

    def put_incident(self, incident: Incident) -> None:
        """Keep an incident."""
        ...

    def incidents(self, *, limit: int) -> list[Incident]:
        """Return incidents, newest first."""
        ...

    def put_attestation(self, attestation: Attestation) -> None:
        """Keep what a third party says of a checkpoint; a newer word on the same size replaces it."""
        ...

    def attestations(self, origin: str) -> Sequence[Attestation]:
        """Return everything that third parties said of a log, by kind, name and size."""
        ...

    def attested_size(self, origin: str, kind: AttestationKind, name: str) -> int:
        """Return the largest size of a log that a third party has vouched for, or 0."""
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
    def removal(self) -> Removal:
        """Return the ends of content."""
        ...

    @property
    def facts(self) -> Facts:
        """Return small things."""
        ...

    @property
    def queue(self) -> Queue:
        """Return what waits and what went wrong."""
        ...


class Store(Protocol):
    """Keeps everything of a node; the only place where it is kept."""

    async def write(self, step: Step, work: Callable[[Transaction], T], *, linger_s: float = 0.0) -> T:
        """Run ``work`` in a transaction and return its result once that is durable.

        Closures run one after another in the order of the calls, in a thread that is not
        the caller's; several may share a commit. A closure that raises undoes its own
        changes and nobody else's, and the error reaches its caller.

        Args:
            step: What it makes durable.
            work: Reads and changes.
            linger_s: Seconds that it may wait for a later call to share the commit with; for what
                nobody waits for.

        Raises:
            StoreError: The commit failed or its outcome is unknown; the store refuses all
                further writes.
        """
        ...

    def write_now(self, step: Step, work: Callable[[Transaction], T]) -> T:
        """Do what `write` does, blocking: for a thread that is no loop's."""
        ...

    def write_soon(self, step: Step, work: Callable[[Transaction], object], *, linger_s: float) -> None:
        """Hand in what nobody waits for, from any thread.

        Every later write finds it done; a read may not, and a crash before its commit forgets it.
        If ``work`` raises, the store fails: nobody else would hear of it.

        Args:
            step: What it makes durable.
            work: Changes.
            linger_s: Seconds that it may wait for a later call to share the commit with.

        Raises:
            StoreError: The store has failed before.
        """
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` on a snapshot that holds at least every write that has returned."""
        ...

    async def scrub(self) -> bool:
        """Let nothing of what was deleted be readable in the files of the database.

        Returns:
            False if it could not be done right now, because somebody reads; ask again.
        """
        ...

    def stats(self) -> StoreStats:
        """Return what the writer has done so far."""
        ...
