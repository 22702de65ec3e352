"""Which PIN a token has refused, so that it is not tried again.

A token locks after a few wrong PINs, and a program that is started again and again by a
supervisor would use them up within a minute. So a refusal is remembered in a file: as a keyed
digest of token and PIN, under a key that follows from the unlock key of the node, which tells
nothing to whoever finds the file. Another PIN in the PIN file is tried; the same one is not.

Spec: docs/spec/keys.md, "Token".
"""

from __future__ import annotations

import hmac
from hashlib import sha384
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.keyring.files import read_private, write_private
from gateway.keyring.keyfile import KEY_BYTES, UnlockKey

_LABEL = b"entente/token-pin/v1"


class RefusedPin:
    """The memory of the one PIN that was refused last."""

    def __init__(self, path: Path, unlock: UnlockKey) -> None:
        """Remember in a file.

        Args:
            path: The file; its folder exists.
            unlock: The opened unlock key of the node.
        """
        self.path = path
        self._key = HKDFExpand(algorithm=SHA384(), length=KEY_BYTES, info=_LABEL).derive(unlock.secret)

    def is_remembered(self, pin: bytes, *, serial: bytes) -> bool:
        """Return whether the token with this serial number has refused this PIN last.

        Raises:
            KeyFileError: The file is there and cannot be read as a private one.
        """
        return self.path.exists() and hmac.compare_digest(
            read_private(self.path), self._mark(pin, serial=serial)
        )

    def remember(self, pin: bytes, *, serial: bytes) -> None:
        """Note that the token has refused this PIN; durable when this returns.

        Raises:
            KeyFileError: The file cannot be written.
        """
        write_private(self.path, self._mark(pin, serial=serial), replace=True)

    def forget(self) -> None:
        """Note that a PIN was accepted."""
        self.path.unlink(missing_ok=True)

    def _mark(self, pin: bytes, *, serial: bytes) -> bytes:
        message = len(serial).to_bytes(2, "big") + serial + pin
        return hmac.digest(self._key, message, sha384).hex().encode() + b"\n"
