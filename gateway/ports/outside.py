"""Time, randomness, keys, the peer, and the file that remembers what was signed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.core.keybox import KemPrivateKey
from gateway.core.merkle import Hash
from gateway.core.sealing import StorageKey
from gateway.core.signature import HybridSigner, HybridVerifier
from gateway.core.witness import WitnessKey


class Clock(Protocol):
    """Time, as far as a node looks at it."""

    def now_ms(self) -> int:
        """Return UTC milliseconds; may jump when an operator sets the clock."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that only grow; for deadlines and pacing."""
        ...

    async def sleep(self, seconds: float, *, until: asyncio.Event | None = None) -> None:
        """Wait that long, or until the event is set if that comes first."""
        ...


class Entropy(Protocol):
    """Randomness for identifiers, bundle ids, content keys and jitter."""

    def bytes(self, count: int) -> bytes:
        """Return ``count`` bytes fit for keys."""
        ...

    def fraction(self) -> float:
        """Return a number from 0 up to, not including, 1; for jitter, never for keys."""
        ...


class Keyring(Protocol):
    """The keys of this node and what is trusted of the peer."""

    @property
    def storage_key(self) -> StorageKey:
        """Return the 32-byte key under which content keys are wrapped at rest."""
        ...

    @property
    def cosigner(self) -> HybridSigner:
        """Return the signer of cosignatures on the peer's logs that is in use."""
        ...

    def check_signing(self) -> None:
        """See that the keys in use can be reached and sign; may block for seconds.

        Raises:
            SigningAwayError: One cannot, such as of a token that was pulled; it may come back.
        """
        ...

    def use_cosigner_of(self, statement: bytes) -> None:
        """Cosign from now on with the key that a statement of this node names."""
        ...

    @property
    def statement(self) -> bytes:
        """Return this node's newest key statement, signed by the national root."""
        ...

    def take_up_own(self, statement: bytes) -> bool:
        """Take up a newer statement of this node that stands in its own log; return whether it is newer.

        Trust files that were restored may be older than the log that the peer gave back.

        Raises:
            PeerError: The own root has not signed it.
            OperatorError: The home does not hold the keys that it names.
        """
        ...

    @property
    def peer_statement(self) -> bytes:
        """Return the peer's key statement as imported."""
        ...

    @property
    def peer_cosigners(self) -> tuple[HybridVerifier, ...]:
        """Return the verifiers of the peer's cosignatures: the newest, then one that it replaced."""
        ...

    def log_signer(self, origin: str, statement: bytes) -> HybridSigner:
        """Return the key that a statement of this node names for one of its logs."""
        ...

    def own_verifiers(self, origin: str) -> tuple[HybridVerifier, ...]:
        """Return every key that this node has for an own log, the newest first."""
        ...

    def peer_log_verifiers(self, origin: str) -> tuple[HybridVerifier, ...]:
        """Return the peer's keys for a log of which this node holds no entries, as `peer_cosigners`."""
        ...

    def peer_log_verifier(self, origin: str, statement: bytes) -> HybridVerifier:
        """Return the key that a statement of the peer names for one of its logs.

        Raises:
            SignatureInvalidError: The pinned root has not signed the statement.
            PeerError: It is about another nation or node.
        """
        ...

    def accept_peer_statement(self, statement: bytes, *, after: bytes | None = None) -> None:
        """Take a statement from the peer's log: the imported one, an earlier or a later one.

        Args:
            statement: As it stands in the log.
            after: The one before it in the log, than which it must not be older.

        Raises:
            SignatureInvalidError: Not signed by the pinned root.
            PeerError: Of another nation or node, or older than the one before it.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the peer says of generations: of our audit log, and of the pair's exchange logs.

    Attributes:
        witnessed: Newest note of our audit log that it has seen, cosigned, or None.
        generation: Of the exchange logs at the peer.
        resumes: Generation that the peer's operators have signed off for; 0 for none.
        frozen: Whether the peer has frozen the pair.
    """

    witnessed: bytes | None = None
    generation: int = 1
    resumes: int = 0
    frozen: bool = False


class PeerLink(Protocol):
    """The peer node, as a caller sees it. Every call has a deadline of its own.

    Raises of every call:
        UnavailableError: Not reachable, overloaded, or no answer in time.
        PeerConflictError: It mirrors another size (the error holds it).
        PeerFrozenError: It has frozen the pair.
        PeerError: It refuses for another reason.
    """

    @property
    def peer_ahead_s(self) -> float | None:
        """Return how far the peer's clock is ahead of this one's at least, as its newest answer proves.

        Seconds, negative if it is behind, 0 if the answer proves no difference; None while the
        peer has not told its time.
        """
        ...

    async def post_bundle(self, bundle: bytes) -> BundleAnswer:
        """Ship a bundle."""
        ...

    async def view(self) -> PeerView:
        """Ask what the peer holds."""
        ...

    async def standing(self) -> Standing:
        """Ask which generations the peer knows. A peer of an earlier release refuses."""
        ...

    async def entries(self, log: str, start: int, end: int) -> Sequence[bytes]:
        """Ask for entries of the peer's log, or of its mirror of ours."""
        ...

    async def add_checkpoint(self, body: bytes) -> bytes:
        """Ask for a cosignature of the audit log's checkpoint (C2SP tlog-witness)."""
        ...


class TimeAuthority(Protocol):
    """An authority that signs when it saw a text (RFC 3161). It is no part of either nation.

    Raises of the call:
        UnavailableError: Not reachable, overloaded, or no answer in time.
        PeerError: It refuses, or its answer does not prove what was asked.
    """

    @property
    def name(self) -> str:
        """Return the name by which its stamps are kept."""
        ...

    async def stamp(self, text: bytes) -> bytes:
        """Return its verified response over a text; it sees a hash of it alone."""
        ...


class Witness(Protocol):
    """Somebody who cosigns checkpoints and sees no entry (C2SP tlog-witness).

    Raises of the call:
        UnavailableError: Not reachable, overloaded, or no answer in time.
        PeerConflictError: It has signed another size (the error holds it).
        PeerError: It refuses for another reason.
    """

    @property
    def name(self) -> str:
        """Return the name by which its cosignatures are kept."""
        ...

    @property
    def key(self) -> WitnessKey:
        """Return the public key that its lines have to be of."""
        ...

    async def add_checkpoint(self, body: bytes) -> bytes:
        """Ask for its line; return what it answers, not verified."""
        ...


class HighWater(Protocol):
    """Remembers, apart from the database, how far logs were signed or cosigned.

    It is what keeps a restored backup from signing a fork.
    """

    async def record(self, marks: Mapping[str, tuple[int, Hash]]) -> None:
        """Store (size, root) by origin; durable when it returns. Smaller sizes are ignored."""
        ...

    def record_now(self, marks: Mapping[str, tuple[int, Hash]]) -> None:
        """Do what `record` does, blocking: for a thread that is no loop's."""
        ...

    def read(self) -> Mapping[str, tuple[int, Hash]]:
        """Return (size, root) by origin."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpace:
    """How much room is on one of the file systems that a node writes to.

    Attributes:
        free_bytes: What the node's user may still write.
        total_bytes: Size of the file system.
    """

    free_bytes: int
    total_bytes: int


class Disk(Protocol):
    """The file systems that a node writes to."""

    def spaces(self) -> Sequence[DiskSpace]:
        """Return the room on each of them, as it is now; may block for as long as a disk does."""
        ...


class OrderKind(StrEnum):
    """What an order is about; the words stand in the file of orders."""

    ERASE = "erase"
    HOLD_MESSAGE = "hold-message"
    HOLD_CONVERSATION = "hold-conversation"
    LIFT_MESSAGE = "lift-message"
    LIFT_CONVERSATION = "lift-conversation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Something about content that a backup of the database may not know.

    Attributes:
        kind: What is ordered.
        subject: Id of the message or conversation, 16 bytes.
        at_ms: When, UTC milliseconds.
        reason: For a hold, what the operator wrote; else empty.
    """

    kind: OrderKind
    subject: bytes
    at_ms: int
    reason: str = ""


class OrderBook(Protocol):
    """Remembers, apart from the database, what was erased by order and what is held.

    It is what keeps a restored backup from bringing erased content back.
    """

    async def record(self, orders: Sequence[Order]) -> None:
        """Add orders; durable when it returns."""
        ...

    def read(self) -> Sequence[Order]:
        """Return every order, the oldest first."""
        ...
