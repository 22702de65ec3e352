"""What a certificate says."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.web.identity import certificate_of
from tests.certificates import Authority


def shaken(authority: Authority, *, with_certificate: bool) -> ssl.SSLObject:
    """Return the server's end of a handshake in memory."""
    leaf = authority.leaf("leaf")
    server_context = authority.server(leaf)
    server_context.verify_mode = ssl.CERT_OPTIONAL
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client_context = authority.client(leaf if with_certificate else None)
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(6):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return server


def test_the_key_and_the_end_of_a_certificate_are_read(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "agencies")
    server = shaken(authority, with_certificate=True)

    certificate = certificate_of(server)

    assert certificate is not None
    assert len(certificate.spki) == 32
    assert certificate.cipher.startswith("TLS_")
    assert certificate.expires_ms > 1_700_000_000_000


def test_no_certificate_and_no_tls_are_nobody(tmp_path: Path) -> None:
    assert certificate_of(None) is None
    assert certificate_of(shaken(Authority(tmp_path, "agencies"), with_certificate=False)) is None


class OddConnection:
    """A connection whose certificate OpenSSL accepts and nobody else reads."""

    def getpeercert(self, *, binary_form: bool) -> bytes:
        del binary_form
        return b"\x30\x03\x02\x01\x01"

    def cipher(self) -> tuple[str, str, int]:
        return "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256


def test_a_certificate_that_cannot_be_read_is_nobody() -> None:
    assert certificate_of(OddConnection()) is None  # type: ignore[arg-type]
