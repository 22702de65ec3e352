"""Keccak-256 as Ethereum uses it: the checksum that hides in the capitals of an address.

It differs from SHA3-256 in one padding byte, so hashlib cannot compute it, and `cryptography`
does not offer it. It serves here to find typing errors (EIP-55) and nothing else: no secret,
signature or proof depends on it (docs/adr/0036-keccak-from-pycryptodome.md).

Spec: The Keccak reference, version 3.0; EIP-55.
"""

from __future__ import annotations

from Crypto.Hash import keccak


def keccak_256(message: bytes) -> bytes:
    """Return the 32-byte digest of a message."""
    return keccak.new(digest_bits=256, data=message).digest()
