"""The group in use is read from what the server says in the clear."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from gateway.errors import MalformedError, UnavailableError
from gateway.keyring import tls
from gateway.keyring.tls_group import GROUP_NAMES, HYBRID_GROUPS, negotiated_group, selected_group
from tests.unit.keyring.helpers import Pair, keyring

US = "us.gateway.test"


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def server_hello(*extensions: bytes, kind: int = 2) -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\x20" + bytes(32) + b"\x13\x02\x00"
    joined = b"".join(extensions)
    body += len(joined).to_bytes(2, "big") + joined
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def records(handshake: bytes, *, size: int = 16_384) -> bytes:
    parts = [handshake[start : start + size] for start in range(0, len(handshake), size)]
    return b"".join(b"\x16\x03\x03" + len(part).to_bytes(2, "big") + part for part in parts)


VERSION = extension(43, b"\x03\x04")


@pytest.mark.parametrize(("number", "name"), GROUP_NAMES.items())
def test_each_group_has_a_name(number: int, name: str) -> None:
    share = extension(51, number.to_bytes(2, "big") + b"\x00\x02" + bytes(2))

    assert selected_group(records(server_hello(VERSION, share))) == name


def test_a_group_without_a_name_is_shown_by_number() -> None:
    share = extension(51, b"\xab\xcd\x00\x00")

    assert selected_group(records(server_hello(share))) == "0xabcd"


def test_a_request_to_try_again_names_the_group_as_well() -> None:
    assert selected_group(records(server_hello(extension(51, b"\x11\xed")))) == "SecP384r1MLKEM1024"


def test_a_hello_may_come_in_several_records() -> None:
    share = extension(51, b"\x11\xec" + (1_120).to_bytes(2, "big") + bytes(1_120))

    assert selected_group(records(server_hello(VERSION, share), size=37) + b"\x14\x03") == "X25519MLKEM768"


@pytest.mark.parametrize(
    "received",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        records(server_hello(VERSION)),
        records(server_hello(extension(51, b"\x11"))),
        records(server_hello(extension(51, b"\x00\x18"), kind=1)),
        records(server_hello(extension(51, b"\x00\x18")))[:60],
        records(b"\x02\x00\x00\x04\x03\x03\x00\x00"),
    ],
    ids=["nothing", "no TLS", "alert", "no share", "short share", "no ServerHello", "cut", "empty hello"],
)
def test_anything_else_names_no_group(received: bytes) -> None:
    with pytest.raises(MalformedError):
        selected_group(received)


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[int]:
    """Answer one connection on the loopback interface."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def answer() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            connection.settimeout(10)
            with connection, context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(timeout=20)
        listener.close()


def test_the_group_of_a_real_connection_is_named(pair: Pair) -> None:
    server = tls.peer_server(pair.us, keyring(pair.us).peer_identity())
    client = tls.peer_client(pair.fr, keyring(pair.fr).peer_identity())

    with serving(server) as port:
        group = negotiated_group("127.0.0.1", port, client, server_hostname=US)

    # With an OpenSSL before 3.5 there is no hybrid group, and P-384 is what we set.
    assert group == "secp384r1" if ssl.OPENSSL_VERSION_INFO < (3, 5) else group in HYBRID_GROUPS


def test_a_server_that_is_not_the_peer_is_not_asked_for_its_group(pair: Pair) -> None:
    server = tls.peer_server(pair.us, keyring(pair.us).peer_identity())
    client = tls.peer_client(pair.fr, keyring(pair.fr).peer_identity())

    with serving(server) as port, pytest.raises(UnavailableError):
        negotiated_group("127.0.0.1", port, client, server_hostname="localhost")


def test_nobody_there_is_said_so(pair: Pair) -> None:
    client = tls.peer_client(pair.fr, keyring(pair.fr).peer_identity())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(UnavailableError):
        negotiated_group("127.0.0.1", port, client, server_hostname=US)


def test_a_server_that_says_nothing_is_not_waited_for(pair: Pair) -> None:
    client = tls.peer_client(pair.fr, keyring(pair.fr).peer_identity())
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(UnavailableError):
        negotiated_group("127.0.0.1", listener.getsockname()[1], client, server_hostname=US, timeout_s=0.2)


def test_a_server_that_hangs_up_is_said_so(pair: Pair) -> None:
    client = tls.peer_client(pair.fr, keyring(pair.fr).peer_identity())
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(UnavailableError):
            negotiated_group("127.0.0.1", listener.getsockname()[1], client, server_hostname=US)
        thread.join(timeout=10)
