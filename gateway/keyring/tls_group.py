"""Which key-exchange group a TLS 1.3 server agrees on.

Python does not say which group a connection uses. The server says it in its ServerHello,
in the clear: this module makes a handshake through memory buffers, keeps what the server
sends, and reads the selected group from the key_share extension.

For a probe (`entente doctor`, the demo), not for the path of messages.

Spec: RFC 8446, sections 4.1.3, 4.2.8, 5.1; RFC 10024 for the hybrid groups.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Final

from gateway.errors import MalformedError, UnavailableError

GROUP_NAMES: Final = {
    0x0017: "secp256r1",
    0x0018: "secp384r1",
    0x0019: "secp521r1",
    0x001D: "x25519",
    0x001E: "x448",
    0x0200: "MLKEM512",
    0x0201: "MLKEM768",
    0x0202: "MLKEM1024",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
}
"""Names of the TLS supported groups registry that a node may meet."""

HYBRID_GROUPS: Final = frozenset({"SecP256r1MLKEM768", "X25519MLKEM768", "SecP384r1MLKEM1024"})

_RECORD_HANDSHAKE: Final = 22
_SERVER_HELLO: Final = 2
_KEY_SHARE: Final = 51
_MAX_HELLO_BYTES: Final = 65_536
_READ_BYTES: Final = 16_384


def negotiated_group(
    host: str,
    port: int,
    context: ssl.SSLContext,
    *,
    server_hostname: str | None = None,
    timeout_s: float = 5.0,
) -> str:
    """Return the name of the group that a server agrees on with this context.

    Makes one connection, finishes the handshake (so the server's certificate is verified as
    the context says) and closes it. Blocks: an event loop calls it in a thread.

    Args:
        host: Where to connect.
        port: Where to connect.
        context: Client context.
        server_hostname: Name that the certificate must bear; ``host`` by default.
        timeout_s: Deadline for all of it.

    Raises:
        UnavailableError: Nobody answers, or the handshake fails or takes too long.
        MalformedError: The server's answer holds no group.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=server_hostname or host)
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            received = _handshake(connection, tls, incoming, outgoing, deadline)
    except OSError as error:
        # ssl.SSLError and TimeoutError are OSErrors as well.
        msg = "no TLS connection to the server within the time allowed"
        raise UnavailableError(msg) from error
    return selected_group(received)


def selected_group(received: bytes) -> str:
    """Return the group that a server selected, from the first bytes it sent.

    A HelloRetryRequest names the group as well; it is the one that follows.

    Args:
        received: TLS records from the beginning of the connection.

    Raises:
        MalformedError: No ServerHello, or one without key_share.
    """
    hello = _server_hello(received)
    try:
        offset = 4 + 2 + 32
        offset += 1 + hello[offset]
        offset += 2 + 1
        end = offset + 2 + int.from_bytes(hello[offset : offset + 2], "big")
        offset += 2
        while offset + 4 <= end:
            kind = int.from_bytes(hello[offset : offset + 2], "big")
            length = int.from_bytes(hello[offset + 2 : offset + 4], "big")
            if kind == _KEY_SHARE and length >= 2:
                group = int.from_bytes(hello[offset + 4 : offset + 6], "big")
                return GROUP_NAMES.get(group, f"0x{group:04x}")
            offset += 4 + length
    except IndexError as error:
        msg = "the ServerHello is cut short"
        raise MalformedError(msg) from error
    msg = "the ServerHello names no group"
    raise MalformedError(msg)


def _server_hello(received: bytes) -> bytes:
    """Return the first handshake message, put together from its records."""
    handshake = bytearray()
    offset = 0
    while offset + 5 <= len(received) and received[offset] == _RECORD_HANDSHAKE:
        length = int.from_bytes(received[offset + 3 : offset + 5], "big")
        handshake += received[offset + 5 : offset + 5 + length]
        offset += 5 + length
        size = 4 + int.from_bytes(handshake[1:4], "big") if len(handshake) >= 4 else None
        if size is not None and len(handshake) >= size:
            if handshake[0] != _SERVER_HELLO:
                break
            return bytes(handshake[:size])
    msg = "the server did not begin with a ServerHello"
    raise MalformedError(msg)


def _handshake(
    connection: socket.socket,
    tls: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    deadline: float,
) -> bytes:
    """Shake hands and return the first bytes that the server sent."""
    received = bytearray()
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
        else:
            connection.sendall(outgoing.read())
            return bytes(received)
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(_READ_BYTES)
        if not part or len(received) > _MAX_HELLO_BYTES:
            msg = "the server closed during the handshake"
            raise ConnectionError(msg)
        received += part
        incoming.write(part)
