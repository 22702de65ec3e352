"""Keccak-256 as Ethereum uses it: the checksum that hides in the capitals of an address.

It differs from SHA3-256 in one padding byte, so hashlib cannot compute it. It serves here
to find typing errors (EIP-55) and nothing else: no secret, signature or proof depends on it.

Spec: The Keccak reference, version 3.0; EIP-55.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1
_RATE_BYTES = 136

# Rotation of each lane, at x + 5 y (The Keccak reference, Section 1.2, table of ρ).
_ROTATIONS = (0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14)


def _round_constants() -> tuple[int, ...]:
    """Return the 24 constants of ι, from the linear feedback register that defines them."""
    constants = []
    register = 1
    for _ in range(24):
        constant = 0
        for exponent in range(7):
            if register & 1:
                constant |= 1 << ((1 << exponent) - 1)
            register = register << 1 ^ (0x171 if register >> 7 else 0)
        constants.append(constant)
    return tuple(constants)


_ROUND_CONSTANTS = _round_constants()


def _rotate(lane: int, bits: int) -> int:
    return (lane << bits | lane >> (64 - bits)) & _MASK


def _permute(lanes: list[int]) -> list[int]:
    """Return Keccak-f[1600] of 25 lanes."""
    for constant in _ROUND_CONSTANTS:
        columns = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        parities = [columns[(x - 1) % 5] ^ _rotate(columns[(x + 1) % 5], 1) for x in range(5)]
        moved = [0] * 25
        for place in range(25):
            x, y = place % 5, place // 5
            moved[y + 5 * ((2 * x + 3 * y) % 5)] = _rotate(lanes[place] ^ parities[x], _ROTATIONS[place])
        lanes = [
            moved[place]
            ^ (~moved[(place % 5 + 1) % 5 + place // 5 * 5] & moved[(place % 5 + 2) % 5 + place // 5 * 5])
            for place in range(25)
        ]
        lanes[0] ^= constant
    return lanes


def keccak_256(message: bytes) -> bytes:
    """Return the Keccak-256 digest of ``message``: 32 bytes, not those of SHA3-256."""
    padded = bytearray(message)
    padded += bytes(-len(padded) % _RATE_BYTES or _RATE_BYTES)
    # 0x01 opens the padding (SHA-3 has 0x06 here) and 0x80 closes it; they may meet.
    padded[len(message)] ^= 0x01
    padded[-1] ^= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), _RATE_BYTES):
        block = padded[start : start + _RATE_BYTES]
        for place in range(_RATE_BYTES // 8):
            lanes[place] ^= int.from_bytes(block[8 * place : 8 * place + 8], "little")
        lanes = _permute(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])
