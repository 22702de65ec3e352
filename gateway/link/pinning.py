"""The peer is whoever holds a key that its statement names, and nobody else.

TLS has checked the chain up to the peer's node authority. Both ends then compare the key
itself with the pins (current and next) of the peer's key statement, and ask for AES-256:
Python cannot restrict the cipher suites of TLS 1.3, so the suite is looked at afterwards.

Spec: docs/spec/keys.md, "Pins".
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection
from hmac import compare_digest
from typing import Any, Final

from gateway.errors import PeerError
from gateway.web.identity import Certificate, certificate_of

Pins = Callable[[], Collection[bytes]]
"""Returns the SHA-256 digests (32 bytes each) of the SPKIs that the peer may use now."""

Shown = Callable[[Certificate], None]
"""Is told which certificate the other end of a new connection has shown."""

CIPHER: Final = "TLS_AES_256_GCM_SHA384"


class NotThePeerError(PeerError):
    """Whoever is at the other end does not hold a pinned key."""

    code = "peer-identity"


def verify_pinned(certificate: Certificate | None, pins: Collection[bytes]) -> Certificate:
    """Return a connection's certificate, having verified that it holds a pinned key.

    Raises:
        NotThePeerError: No certificate, another key, or a cipher suite below AES-256.
    """
    if (
        certificate is None
        or certificate.cipher != CIPHER
        or not any(compare_digest(certificate.spki, pin) for pin in pins)
    ):
        msg = "the key at the other end is not one that the peer's key statement names"
        raise NotThePeerError(msg)
    return certificate


def pin_handshakes(context: ssl.SSLContext, pins: Pins, shown: Shown) -> None:
    """Make every handshake of a client context end with the comparison of the pins.

    The comparison is part of the handshake, so not one byte of a request leaves before it.
    A mismatch is an ``ssl.SSLCertVerificationError``, like any other unfit certificate.
    """

    class PinnedObject(ssl.SSLObject):
        """A connection whose handshake fails unless the other end holds a pinned key."""

        def do_handshake(self) -> None:
            super().do_handshake()
            try:
                shown(verify_pinned(certificate_of(self), pins()))
            except NotThePeerError as error:
                raise ssl.SSLCertVerificationError(str(error)) from error

    pinned: Any = PinnedObject
    context.sslobject_class = pinned
