"""What a connection took is given back when it ends, without the collector of cycles.

A node lets that run seldom. What TLS holds for a connection (some 40 KiB, more with what it has read) waits
for it if something refers to it in a circle, and whoever can reach a port can open thousands of connections.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.web.server import Port, serve
from tests.certificates import Authority, Leaf
from tests.http_site import CLOCK, Site

COUNT = 20
REQUEST = b"GET /get HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

Visit = Callable[[int, Authority, Leaf], None]


def go_at_once(number: int, _authority: Authority, _leaf: Leaf) -> None:
    socket.create_connection(("127.0.0.1", number)).close()


def reset_at_once(number: int, _authority: Authority, _leaf: Leaf) -> None:
    with socket.create_connection(("127.0.0.1", number)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def speak_in_the_clear(number: int, _authority: Authority, _leaf: Leaf) -> None:
    with socket.create_connection(("127.0.0.1", number)) as connection:
        connection.sendall(REQUEST)
        while connection.recv(1_000):
            pass


def show_no_certificate(number: int, authority: Authority, _leaf: Leaf) -> None:
    # An alert, a reset or the end, whichever is seen first.
    with (
        socket.create_connection(("127.0.0.1", number)) as connection,
        suppress(OSError),
        authority.client(None).wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(REQUEST)
        assert secured.recv(1_000) == b""


def ask(number: int, authority: Authority, leaf: Leaf) -> None:
    with (
        socket.create_connection(("127.0.0.1", number)) as connection,
        authority.client(leaf).wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(REQUEST)
        while secured.recv(1_000):
            pass


def ask_and_reset(number: int, authority: Authority, leaf: Leaf) -> None:
    with (
        socket.create_connection(("127.0.0.1", number)) as connection,
        authority.client(leaf).wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        secured.sendall(REQUEST)


def ask_in_part(number: int, authority: Authority, leaf: Leaf) -> None:
    with (
        socket.create_connection(("127.0.0.1", number)) as connection,
        authority.client(leaf).wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")


VISITS = [
    go_at_once,
    reset_at_once,
    speak_in_the_clear,
    show_no_certificate,
    ask,
    ask_and_reset,
    ask_in_part,
]


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def held() -> int:
    """Return how many connections TLS holds something for. Its class is in no stub of the library."""
    return sum(type(item).__name__ == "SSLProtocol" for item in gc.get_objects())


async def until_quiet(port: Port) -> None:
    async with asyncio.timeout(20):
        while port.open_connections or port._shaking:  # noqa: ASYNC110 - a port tells nobody
            await asyncio.sleep(0.01)
    # What the loop still has to tell about them.
    await asyncio.sleep(0.1)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("visit", VISITS)
async def test_what_tls_holds_for_a_connection_is_freed_when_it_ends(visit: Visit, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "nodes")
    leaf = authority.leaf("node")
    async with serve(Site().app(), "127.0.0.1", 0, authority.server(leaf), clock=CLOCK) as port:
        await asyncio.to_thread(visit, port.number, authority, leaf)
        await until_quiet(port)
        before = held()
        # What is counted is there while a connection is open.
        opened = socket.create_connection(("127.0.0.1", port.number))
        async with asyncio.timeout(20):
            while held() == before:  # noqa: ASYNC110 - a port tells nobody
                await asyncio.sleep(0.01)
        opened.close()
        for _ in range(COUNT):
            await asyncio.to_thread(visit, port.number, authority, leaf)
        await until_quiet(port)

        assert held() - before <= 1
