"""Signing keys of which one half is in a token.

The file of such a key holds the ML-DSA-87 seed, sealed like any other key, and beside it what
finds and proves the Ed25519 half in the token: its public key and its CKA_ID. Whoever has the
file and the passphrase, or the token and its PIN, has half a key and signs nothing.

Spec: docs/spec/keys.md, "Token".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.signature import ED25519_PUBLIC_BYTES, SEED_BYTES, SigningAwayError
from gateway.errors import MalformedError
from gateway.keyring.keyfile import Purpose
from gateway.keyring.refusals import TokenError, TokenRefusal
from gateway.keyring.token import Token

TOKEN_ID_BYTES: Final = 16

IN_TOKEN: Final = {Purpose.LOG: Purpose.LOG_IN_TOKEN, Purpose.COSIGNER: Purpose.COSIGNER_IN_TOKEN}
"""Purpose in the file of a key with a half in a token, by that of a key without."""

_PROBE: Final = b"entente/token-probe/v1\x00"
"""What is signed to see that a key works: no text of a note, so it proves nothing to anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSecret:
    """What the file of a key with a half in a token holds.

    Attributes:
        mldsa87_seed: 32 bytes.
        ed25519: Public key of the half in the token, 32 bytes.
        token_id: CKA_ID of that half, 16 bytes.
    """

    mldsa87_seed: bytes
    ed25519: bytes
    token_id: bytes

    def to_bytes(self) -> bytes:
        """Return what is sealed: 80 bytes."""
        return self.mldsa87_seed + self.ed25519 + self.token_id

    @classmethod
    def from_bytes(cls, secret: bytes) -> TokenSecret:
        """Return the parts.

        Raises:
            MalformedError: Another length.
        """
        if len(secret) != SEED_BYTES + ED25519_PUBLIC_BYTES + TOKEN_ID_BYTES:
            msg = "a key with a half in a token is 80 bytes"
            raise MalformedError(msg)
        seed, rest = secret[:SEED_BYTES], secret[SEED_BYTES:]
        return cls(
            mldsa87_seed=seed, ed25519=rest[:ED25519_PUBLIC_BYTES], token_id=rest[ED25519_PUBLIC_BYTES:]
        )


class TokenHalf:
    """The Ed25519 half of a key, in a token. Satisfies `gateway.core.signature.Ed25519Half`."""

    __slots__ = ("_file", "_secret", "_token")

    def __init__(self, token: Token | None, secret: TokenSecret, *, file: str) -> None:
        """Ask the token for nothing yet.

        Args:
            token: Where the half is; None if the configuration names no token.
            secret: What the key file says of it.
            file: Name of the key file, for the texts of errors.
        """
        self._token = token
        self._secret = secret
        self._file = file

    @property
    def public_key(self) -> bytes:
        """Return the public key, 32 bytes, as the key file has it."""
        return self._secret.ed25519

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of ``message``, 64 bytes.

        Raises:
            SigningAwayError: The token is away or refuses: nothing is lost, the next try may work.
        """
        try:
            return self._sign(message)
        except TokenError as error:
            raise SigningAwayError(str(error)) from error

    def prove(self) -> None:
        """See that the token signs with the key that the file names.

        Raises:
            TokenError: It does not; the text says why.
        """
        signature = self._sign(_PROBE)
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, _PROBE)
        except InvalidSignature as error:
            raise TokenError(TokenRefusal.KEY_OTHER, about=self._file) from error

    def _sign(self, message: bytes) -> bytes:
        if self._token is None:
            raise TokenError(TokenRefusal.NOT_CONFIGURED, about=self._file)
        return self._token.sign(self._secret.token_id, message)


def new_token_id() -> bytes:
    """Return a random CKA_ID."""
    return secrets.token_bytes(TOKEN_ID_BYTES)
