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


# For each lane: where π moves it, the parity that θ adds to it, and its rotation by ρ.
_MOVES = tuple(
    (place // 5 + 5 * ((2 * (place % 5) + 3 * (place // 5)) % 5), place % 5, bits, 64 - bits)
    for place, bits in enumerate(_ROTATIONS)
)
_ROWS = (0, 5, 10, 15, 20)


def _permute(lanes: list[int]) -> list[int]:
    """Return Keccak-f[1600] of 25 lanes.

    Written out where a loop would cost more than its body: an address takes one call of this.
    """
    moved = [0] * 25
    for constant in _ROUND_CONSTANTS:
        c0, c1, c2, c3, c4 = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)
        ]
        parities = (
            c4 ^ ((c1 << 1 | c1 >> 63) & _MASK),
            c0 ^ ((c2 << 1 | c2 >> 63) & _MASK),
            c1 ^ ((c3 << 1 | c3 >> 63) & _MASK),
            c2 ^ ((c4 << 1 | c4 >> 63) & _MASK),
            c3 ^ ((c0 << 1 | c0 >> 63) & _MASK),
        )
        for lane, (target, x, left, right) in zip(lanes, _MOVES, strict=True):
            mixed = lane ^ parities[x]
            moved[target] = (mixed << left | mixed >> right) & _MASK
        lanes = []
        for row in _ROWS:
            b0, b1, b2, b3, b4 = moved[row : row + 5]
            lanes += (b0 ^ ~b1 & b2, b1 ^ ~b2 & b3, b2 ^ ~b3 & b4, b3 ^ ~b4 & b0, b4 ^ ~b0 & b1)
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
