"""Pins."""

from __future__ import annotations

import pytest

from gateway.link.pinning import CIPHER, NotThePeerError, verify_pinned
from gateway.web.identity import Certificate

PIN, NEXT = b"p" * 32, b"n" * 32


def certificate(spki: bytes = PIN, cipher: str = CIPHER) -> Certificate:
    return Certificate(spki=spki, expires_ms=2**50, cipher=cipher)


def test_the_current_and_the_next_key_are_the_peer() -> None:
    verify_pinned(certificate(PIN), {PIN, NEXT})
    verify_pinned(certificate(NEXT), {PIN, NEXT})


@pytest.mark.parametrize(
    ("shown", "pins"),
    [
        (None, {PIN}),
        (certificate(), set[bytes]()),
        (certificate(b"x" * 32), {PIN}),
        (certificate(PIN[:-1]), {PIN}),
        (certificate(b""), {b"x"}),
        (certificate(cipher="TLS_AES_128_GCM_SHA256"), {PIN}),
        (certificate(cipher="TLS_CHACHA20_POLY1305_SHA256"), {PIN}),
    ],
    ids=["no certificate", "no pins", "another key", "a shorter key", "no key", "AES-128", "ChaCha20"],
)
def test_everybody_else_is_not(shown: Certificate | None, pins: set[bytes]) -> None:
    with pytest.raises(NotThePeerError):
        verify_pinned(shown, pins)
