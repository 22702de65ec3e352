"""What security by the message would cost: each one signed and sealed by itself.

The comparison that the design has to win: a sender that signs every message with Ed25519
and ML-DSA-65 and seals it with HPKE, a receiver that verifies and opens it, and signs a
receipt that the sender verifies, as the exchange does by the bundle. Building blocks only: no
JSON, no rules, no log, no disk, no network, and a weaker signature (ML-DSA-65) than the
exchange uses. Two KEMs: ML-KEM-768 with X25519, the cheapest hybrid, and ML-KEM-1024 with
P-384, the one the exchange uses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM1024P384PrivateKey,
    Suite,
)

from scripts._bench.messages import MESSAGE_BYTES
from scripts._bench.timing import Block

KEMS = ("mlkem768_x25519", "mlkem1024_p384")
WITHOUT_RECEIPT = "_without_receipt"


def apart_blocks() -> list[Block]:
    """Return signing, verifying, sealing and opening of one message of the benchmark's length."""
    message = os.urandom(MESSAGE_BYTES)
    ed25519, mldsa65 = Ed25519PrivateKey.generate(), MLDSA65PrivateKey.generate()
    ed25519_public, mldsa65_public = ed25519.public_key(), mldsa65.public_key()
    classical, post_quantum = ed25519.sign(message), mldsa65.sign(message)

    def sign(_: int) -> None:
        ed25519.sign(message)
        mldsa65.sign(message)

    def verify(_: int) -> None:
        ed25519_public.verify(classical, message)
        mldsa65_public.verify(post_quantum, message)

    weak = MLKEM768X25519PrivateKey(MLKEM768PrivateKey.generate(), x25519.X25519PrivateKey.generate())
    strong = MLKEM1024P384PrivateKey(MLKEM1024PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1()))
    return [
        Block(name="apart_sign", call=sign),
        Block(name="apart_verify", call=verify),
        *_sealing(KEMS[0], Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM), weak, message),
        *_sealing(KEMS[1], Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM), strong, message),
    ]


def apart_us(cpu_us: Mapping[str, float]) -> dict[str, float]:
    """Return what both nodes spend on a message by itself: by KEM, with its receipt and without."""
    signed = cpu_us["apart_sign"] + cpu_us["apart_verify"]
    found: dict[str, float] = {}
    for name in KEMS:
        sealed = cpu_us[f"{name}_seal"] + cpu_us[f"{name}_open"]
        found[name] = 2 * signed + sealed
        found[f"{name}{WITHOUT_RECEIPT}"] = signed + sealed
    return found


def _sealing(
    name: str, suite: Suite, private: MLKEM768X25519PrivateKey | MLKEM1024P384PrivateKey, message: bytes
) -> list[Block]:
    public = private.public_key()
    sealed = suite.encrypt(message, public, b"")
    return [
        Block(name=f"{name}_seal", call=lambda _: suite.encrypt(message, public, b"")),
        Block(name=f"{name}_open", call=lambda _: suite.decrypt(sealed, private, b"")),
    ]
