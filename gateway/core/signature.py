"""Hybrid signatures: Ed25519 and ML-DSA-87, always both.

A log, a cosigner and a national root each have one key pair of both algorithms under one
name. Whoever breaks one algorithm forges nothing, because every verification in this
project asks for both signatures. Where the private keys are (a sealed file, a token) is
hidden behind `HybridSigner`.

Spec: RFC 8032; FIPS 204; docs/spec/log.md, "Signatures".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey, MLDSA87PublicKey

from gateway.core.note import (
    ALGORITHM_COSIGNATURE_ED25519,
    ALGORITHM_ED25519,
    ALGORITHM_OTHER,
    MLDSA87_COSIGNATURE,
    MLDSA87_NOTE,
    VerifierKey,
    check_name,
)
from gateway.errors import MalformedError, OperatorError, UnavailableError

ED25519_PUBLIC_BYTES: Final = 32
MLDSA87_PUBLIC_BYTES: Final = 2_592
MLDSA87_SIGNATURE_BYTES: Final = 4_627
SEED_BYTES: Final = 32

_SEED: Final = f"a seed is {SEED_BYTES} bytes"


class SigningFaultError(OperatorError):
    """A signature that was just made does not verify: the signing device is not to be trusted."""

    code = "signing-fault"


class SigningAwayError(UnavailableError):
    """A private key cannot be reached now: its token is away. Nothing was signed; the same works later."""

    code = "signing-away"


class HybridSigner(Protocol):
    """Signs with the two private keys of one name.

    An implementation verifies every signature before it returns it (raising
    `SigningFaultError`), so a faulty device cannot publish a note that nobody accepts.
    Calls may block for milliseconds, and for seconds if a device is slow; an event loop makes
    them in a thread. A device that is away raises `SigningAwayError`.
    """

    @property
    def name(self) -> str:
        """Return the key name: a log's origin, or a node's or root's name."""
        ...

    @property
    def verifier(self) -> HybridVerifier:
        """Return the public keys."""
        ...

    def sign_ed25519(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of ``message``, 64 bytes."""
        ...

    def sign_mldsa87(self, message: bytes, *, context: bytes = b"") -> bytes:
        """Return an ML-DSA-87 signature of ``message``, 4,627 bytes.

        Args:
            message: What is signed.
            context: FIPS 204 context, at most 255 bytes; empty for checkpoints.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridVerifier:
    """The two public keys of one name.

    Attributes:
        name: Key name: a log's origin, or a node's or root's name.
        ed25519: Public key, 32 bytes.
        mldsa87: Public key, 2,592 bytes.
    """

    name: str
    ed25519: bytes
    mldsa87: bytes
    _ed25519: Ed25519PublicKey = field(init=False, repr=False, compare=False)
    _mldsa87: MLDSA87PublicKey = field(init=False, repr=False, compare=False)
    # In the form of notes, by what they are used for: each is made once, for key IDs are hashes.
    _noted: dict[tuple[int, bytes], tuple[VerifierKey, VerifierKey]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Load the keys once.

        Raises:
            MalformedError: A key is not one, or the name cannot stand in a note.
        """
        check_name(self.name)
        try:
            ed25519 = Ed25519PublicKey.from_public_bytes(self.ed25519)
            mldsa87 = MLDSA87PublicKey.from_public_bytes(self.mldsa87)
        except ValueError as error:
            msg = "a public key is 32 bytes (Ed25519) or 2592 bytes (ML-DSA-87)"
            raise MalformedError(msg) from error
        object.__setattr__(self, "_ed25519", ed25519)
        object.__setattr__(self, "_mldsa87", mldsa87)

    @classmethod
    def from_verifier_keys(cls, first: VerifierKey, second: VerifierKey) -> HybridVerifier:
        """Return the verifier of two keys that belong together, in either order.

        Raises:
            MalformedError: They have different names, or are not one key of each algorithm.
        """
        ed25519, mldsa87 = sorted((first, second), key=lambda key: len(key.public_key))
        lengths = (len(ed25519.public_key), len(mldsa87.public_key))
        if first.name != second.name or lengths != (ED25519_PUBLIC_BYTES, MLDSA87_PUBLIC_BYTES):
            msg = "two verifier keys of one name are needed, Ed25519 and ML-DSA-87"
            raise MalformedError(msg)
        return cls(name=first.name, ed25519=ed25519.public_key, mldsa87=mldsa87.public_key)

    def verifier_keys(self, *, cosigner: bool) -> tuple[VerifierKey, VerifierKey]:
        """Return the keys in the form of notes, Ed25519 first.

        Args:
            cosigner: Whether they cosign the checkpoints of others (Ed25519 type 0x04) or
                sign those of their own log (type 0x01).
        """
        algorithm = ALGORITHM_COSIGNATURE_ED25519 if cosigner else ALGORITHM_ED25519
        return self._keys(algorithm, MLDSA87_COSIGNATURE)

    def statement_keys(self) -> tuple[VerifierKey, VerifierKey]:
        """Return the keys in the form of statement notes, Ed25519 first."""
        return self._keys(ALGORITHM_ED25519, MLDSA87_NOTE)

    def is_ed25519_valid(self, signature: bytes, message: bytes) -> bool:
        """Return whether an Ed25519 signature verifies."""
        try:
            self._ed25519.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def is_mldsa87_valid(self, signature: bytes, message: bytes, *, context: bytes = b"") -> bool:
        """Return whether an ML-DSA-87 signature verifies under a FIPS 204 context."""
        try:
            self._mldsa87.verify(signature, message, context)
        except InvalidSignature:
            return False
        return True

    def _keys(self, algorithm: int, identifier: bytes) -> tuple[VerifierKey, VerifierKey]:
        found = self._noted.get((algorithm, identifier))
        if found is None:
            name = self.name
            found = self._noted[algorithm, identifier] = (
                VerifierKey(name=name, algorithm=algorithm, identifier=b"", public_key=self.ed25519),
                VerifierKey(
                    name=name, algorithm=ALGORITHM_OTHER, identifier=identifier, public_key=self.mldsa87
                ),
            )
        return found


class Ed25519Half(Protocol):
    """The classical half of a hybrid key, wherever its private part is."""

    @property
    def public_key(self) -> bytes:
        """Return the public key, 32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of ``message``, 64 bytes; may block for as long as a device may."""
        ...


class JoinedSigner:
    """A hybrid key of an Ed25519 half that may be anywhere and an ML-DSA-87 half in this process.

    The one implementation of `HybridSigner`: what it does not verify it does not hand out.
    """

    __slots__ = ("_mldsa87", "_verifier", "ed25519")
    _FAULT: ClassVar = "a signature that was just made does not verify"

    def __init__(self, *, name: str, ed25519: Ed25519Half, mldsa87_seed: bytes) -> None:
        """Load the ML-DSA-87 half; the other one is not asked for anything yet.

        Args:
            name: Key name.
            ed25519: The classical half.
            mldsa87_seed: 32 bytes, FIPS 204.

        Raises:
            MalformedError: The seed has another length, the public key is none, or the name cannot
                stand in a note.
        """
        if len(mldsa87_seed) != SEED_BYTES:
            raise MalformedError(_SEED)
        self.ed25519 = ed25519
        self._mldsa87 = MLDSA87PrivateKey.from_seed_bytes(mldsa87_seed)
        self._verifier = HybridVerifier(
            name=name,
            ed25519=ed25519.public_key,
            mldsa87=self._mldsa87.public_key().public_bytes_raw(),
        )

    @property
    def name(self) -> str:
        """Return the key name."""
        return self._verifier.name

    @property
    def verifier(self) -> HybridVerifier:
        """Return the public keys."""
        return self._verifier

    def sign_ed25519(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of ``message``, 64 bytes."""
        signature = self.ed25519.sign(message)
        if not self._verifier.is_ed25519_valid(signature, message):
            raise SigningFaultError(self._FAULT)
        return signature

    def sign_mldsa87(self, message: bytes, *, context: bytes = b"") -> bytes:
        """Return an ML-DSA-87 signature of ``message``, 4,627 bytes, hedged."""
        signature = self._mldsa87.sign(message, context)
        if not self._verifier.is_mldsa87_valid(signature, message, context=context):
            raise SigningFaultError(self._FAULT)
        return signature


class SoftwareSigner(JoinedSigner):
    """A hybrid key whose private parts are both in the memory of this process."""

    __slots__ = ()

    def __init__(self, *, name: str, ed25519_seed: bytes, mldsa87_seed: bytes) -> None:
        """Load the private keys.

        Args:
            name: Key name.
            ed25519_seed: 32 bytes, RFC 8032.
            mldsa87_seed: 32 bytes, FIPS 204.

        Raises:
            MalformedError: A seed has another length, or the name cannot stand in a note.
        """
        super().__init__(name=name, ed25519=_SoftwareHalf(ed25519_seed), mldsa87_seed=mldsa87_seed)


class _SoftwareHalf:
    """An Ed25519 key in the memory of this process."""

    __slots__ = ("_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise MalformedError(_SEED)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)
