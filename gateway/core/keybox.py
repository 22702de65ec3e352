"""A key box: the content keys of one bundle, sealed for the receiving node.

HPKE (RFC 9180) in base mode with the hybrid KEM of ML-KEM-1024 and P-384: content keys stay
secret as long as one of the two holds. HPKE in this form says nothing about the sender;
who sealed a box, and for which bundle, is bound through ``info``, through the digest of the
box in the signed log entry, and through the header in each content.

Spec: draft-ietf-hpke-pq; docs/spec/content.md, "Key box".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha384, shake_256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM1024P384PrivateKey,
    MLKEM1024P384PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core.encoding import encode
from gateway.core.envelope import SUITE
from gateway.core.sealing import CONTENT_KEY_BYTES, ContentKey
from gateway.errors import MalformedError, PeerError

KEM_SEED_BYTES: Final = 32
KEM_PUBLIC_BYTES: Final = 1_665
KEM_KEY_ID_BYTES: Final = 8
ENCAPSULATION_BYTES: Final = 1_665
TAG_BYTES: Final = 16
MAX_BOX_KEYS: Final = 1_024
"""As many as a bundle has entries."""

_LABEL: Final = b"entente/keybox/v1\x00"
_MLKEM_PUBLIC_BYTES: Final = 1_568
_MLKEM_SEED_BYTES: Final = 64
_P384_SEED_BYTES: Final = 48
_P384_ORDER: Final = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
_REFUSED: Final = "the key box does not open"
_SUITE: Final = Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)


class BoxInvalidError(PeerError):
    """A key box does not open: one error for every reason."""

    code = "box-invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxBinding:
    """What a box is sealed for; sealer and opener must agree on every field.

    Attributes:
        suite: Suite number of `gateway.core.envelope`.
        sender_origin: Origin of the sender's exchange log.
        receiver_node: Name of the receiving node.
        kem_key_id: 8 bytes, names the receiver's key.
        bundle_id: Random, 16 bytes.
        count: Number of content keys.
    """

    suite: int
    sender_origin: str
    receiver_node: str
    kem_key_id: bytes
    bundle_id: bytes
    count: int

    def info(self) -> bytes:
        """Return the HPKE ``info``."""
        return _LABEL + encode(
            (
                self.suite,
                self.sender_origin,
                self.receiver_node,
                self.kem_key_id,
                self.bundle_id,
                self.count,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KemPublicKey:
    """The receiver's key as it stands in the log.

    Attributes:
        data: ML-KEM-1024 key (1,568 bytes), then the uncompressed P-384 point (97 bytes).
    """

    data: bytes
    key_id: bytes = field(init=False, compare=False)
    _key: MLKEM1024P384PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Load and check both components.

        Raises:
            MalformedError: Another length, a coefficient out of range, or a point that is
                not on the curve.
        """
        if len(self.data) != KEM_PUBLIC_BYTES:
            msg = f"a KEM public key is {KEM_PUBLIC_BYTES} bytes"
            raise MalformedError(msg)
        try:
            key = MLKEM1024P384PublicKey(
                MLKEM1024PublicKey.from_public_bytes(self.data[:_MLKEM_PUBLIC_BYTES]),
                ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), self.data[_MLKEM_PUBLIC_BYTES:]),
            )
        except ValueError as error:
            msg = "a component of the KEM public key is not valid"
            raise MalformedError(msg) from error
        object.__setattr__(self, "key_id", kem_key_id(self.data))
        object.__setattr__(self, "_key", key)

    @classmethod
    def from_bytes(cls, data: bytes) -> KemPublicKey:
        """Return the key that a log entry announces, 1,665 bytes."""
        return cls(data=data)

    def to_bytes(self) -> bytes:
        """Return the key as a log entry announces it, 1,665 bytes."""
        return self.data

    def seal(self, plaintext: bytes, *, info: bytes) -> bytes:
        """Return ``enc`` (1,665 bytes), the encrypted plaintext and its tag (16 bytes)."""
        return _SUITE.encrypt(plaintext, self._key, info)


class KemPrivateKey:
    """The receiver's private key, expanded from its 32-byte seed.

    The library has no form to store this key in. The seed is the form of the HPKE draft;
    it is what a sealed key file holds.
    """

    __slots__ = ("_key", "_public")

    def __init__(self, key: MLKEM1024P384PrivateKey, public: KemPublicKey) -> None:
        """Hold both parts; `from_seed` is how to get here."""
        self._key = key
        self._public = public

    @classmethod
    def from_seed(cls, seed: bytes) -> KemPrivateKey:
        """Expand a seed into both private keys.

        Args:
            seed: 32 random bytes.

        Raises:
            MalformedError: Another length, or (once in 2^190 seeds) a seed whose P-384 part
                is not a private key: draw another one.

        Spec: draft-ietf-hpke-pq, "DeriveKeyPair"; draft-irtf-cfrg-concrete-hybrid-kems.
        """
        if len(seed) != KEM_SEED_BYTES:
            msg = f"a KEM seed is {KEM_SEED_BYTES} bytes"
            raise MalformedError(msg)
        expanded = shake_256(seed).digest(_MLKEM_SEED_BYTES + _P384_SEED_BYTES)
        mlkem = MLKEM1024PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        p384 = ec.derive_private_key(p384_scalar(expanded[_MLKEM_SEED_BYTES:]), ec.SECP384R1())
        point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        public = KemPublicKey(data=mlkem.public_key().public_bytes_raw() + point)
        return cls(MLKEM1024P384PrivateKey(mlkem, p384), public)

    @property
    def public_key(self) -> KemPublicKey:
        """Return the public key."""
        return self._public

    @property
    def key_id(self) -> bytes:
        """Return the key id, 8 bytes."""
        return self._public.key_id

    def open(self, sealed: bytes, *, info: bytes) -> bytes:
        """Return what `KemPublicKey.seal` sealed.

        Raises:
            BoxInvalidError: Anything is wrong with it.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except InvalidTag as error:
            raise BoxInvalidError(_REFUSED) from error


def kem_key_id(public_key: bytes) -> bytes:
    """Return the id of a KEM public key: the first 8 bytes of its SHA-384."""
    return sha384(public_key).digest()[:KEM_KEY_ID_BYTES]


def p384_scalar(data: bytes) -> int:
    """Return the P-384 private key that 48 expanded bytes are.

    Raises:
        MalformedError: It is 0, or not below the order of the curve.
    """
    scalar = int.from_bytes(data, "big")
    if len(data) != _P384_SEED_BYTES or not 0 < scalar < _P384_ORDER:
        msg = "the seed does not expand to a private key"
        raise MalformedError(msg)
    return scalar


def is_usable(*, suite: int, key_id: bytes, public_key: bytes) -> bool:
    """Return whether content keys can be sealed for a key that a log announces.

    Args:
        suite: Suite number that it is announced for.
        key_id: 8 bytes.
        public_key: 1,665 bytes.
    """
    try:
        key = KemPublicKey.from_bytes(public_key)
    except MalformedError:
        return False
    return suite == SUITE and key_id == key.key_id


def seal_box(content_keys: Sequence[ContentKey], *, public_key: KemPublicKey, binding: BoxBinding) -> bytes:
    """Seal the content keys of a bundle, in the order of their slots.

    Args:
        content_keys: 1 to 1,024 keys of 32 bytes.
        public_key: Newest key of the receiver.
        binding: What the box is for; its count and key id must be those of the arguments.

    Returns:
        The box: 1,681 bytes and 32 for each key. Another one at each call.

    Raises:
        ValueError: The arguments do not belong together.

    Spec: docs/spec/content.md, "Key box".
    """
    if (
        not 1 <= len(content_keys) <= MAX_BOX_KEYS
        or binding.count != len(content_keys)
        or binding.kem_key_id != public_key.key_id
        or any(len(key) != CONTENT_KEY_BYTES for key in content_keys)
    ):
        msg = "the content keys, the public key and the binding of a box do not belong together"
        raise ValueError(msg)
    return public_key.seal(b"".join(content_keys), info=binding.info())


def open_box(box: bytes, *, private_key: KemPrivateKey, binding: BoxBinding) -> tuple[ContentKey, ...]:
    """Return the content keys of a box, in the order of their slots.

    Args:
        box: As received; its digest was compared with the log entry's.
        private_key: Key that the binding names.
        binding: What the receiver knows the box to be for.

    Raises:
        BoxInvalidError: Another key or binding, altered, truncated or extended, or not as
            many keys as the binding says. The text does not say which.
    """
    length = binding.count * CONTENT_KEY_BYTES
    if (
        not 1 <= binding.count <= MAX_BOX_KEYS
        or binding.kem_key_id != private_key.key_id
        or len(box) != ENCAPSULATION_BYTES + length + TAG_BYTES
    ):
        raise BoxInvalidError(_REFUSED)
    keys = private_key.open(box, info=binding.info())
    return tuple(ContentKey(keys[at : at + CONTENT_KEY_BYTES]) for at in range(0, length, CONTENT_KEY_BYTES))
