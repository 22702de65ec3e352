"""Time, randomness, keys, the peer, and the file that remembers what was signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.core.keybox import KemPrivateKey
from gateway.core.merkle import Hash
from gateway.core.sealing import StorageKey
from gateway.core.signature import HybridSigner, HybridVerifier


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
