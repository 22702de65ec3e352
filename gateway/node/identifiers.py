"""Identifiers that a node makes."""

from __future__ import annotations

from gateway.ports import Entropy


def new_uuid7(now_ms: int, entropy: Entropy) -> bytes:
    """Return a UUIDv7 for a time, 16 bytes: 48 bits of milliseconds, 74 random bits.

    Spec: RFC 9562, section 5.7.
    """
    random = int.from_bytes(entropy.bytes(10), "big")
    value = (now_ms & ((1 << 48) - 1)) << 80 | random
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return value.to_bytes(16, "big")
