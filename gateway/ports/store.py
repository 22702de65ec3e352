"""The store: transactions, and the repositories that a closure works with inside one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from gateway.core.merkle import MAX_TREE_SIZE, Hash, RightEdge, TileHash
from gateway.ports.inbox import Inbox
from gateway.ports.outbox import Outbox
from gateway.ports.queue import Queue
from gateway.ports.removal import Removal
from gateway.ports.rows import (
    Attestation,
    AttestationKind,
    EffectRow,
    Incident,
    LogHead,
    LogKind,
    MessageRow,
    OpenRequest,
    PostName,
    Step,
    StoredNote,
    StoreStats,
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
