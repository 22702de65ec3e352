from __future__ import annotations

import hashlib

import pytest

from gateway.core.message import keccak
from gateway.core.message.keccak import keccak_256


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (
            b"The quick brown fox jumps over the lazy dog",
            "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15",
        ),
    ],
)
def test_published_digests(message: bytes, digest: str) -> None:
    assert keccak_256(message).hex() == digest


@pytest.mark.parametrize("length", [0, 1, 134, 135, 136, 137, 271, 272, 500])
def test_with_the_padding_of_sha3_it_is_sha3(length: int) -> None:
    """hashlib knows the same permutation with another padding byte, so it can be the oracle."""
    message = bytes(place % 251 for place in range(length))
    rate = 136
    padded = bytearray(message) + bytes(rate - length % rate)
    padded[length] ^= 0x06
    padded[-1] ^= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), rate):
        for place in range(rate // 8):
            lanes[place] ^= int.from_bytes(padded[start + 8 * place : start + 8 * place + 8], "little")
        lanes = keccak._permute(lanes)

    assert b"".join(lane.to_bytes(8, "little") for lane in lanes[:4]) == hashlib.sha3_256(message).digest()
    assert keccak_256(message) != hashlib.sha3_256(message).digest()
