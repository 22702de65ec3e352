"""What a port does with damaged TLS and with clients that keep their socket: it lets go of each by itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.web.limits import Limits
from gateway.web.server import Port, serve
from tests.certificates import Authority, Leaf
from tests.http_site import CLOCK, Site

LIMITS = Limits(head_s=0.5, body_s=0.5, write_s=0.5, idle_s=0.5, handshake_s=0.5, bytes_per_s=1 << 30)
DEADLINE_S = 20.0
ANSWER_BYTES = 32_000_000
ANY = 1 << 20

GET = b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT = b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n"
ALERT = b"\x15\x03\x03\0\2\2\x28"
UPLOAD = (
    b"POST /big HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n"
    + b"x" * 100_000
)


class Client:
    """A TLS client whose records can be seen, damaged and withheld."""

    def __init__(self, number: int, context: ssl.SSLContext) -> None:
        self.socket = socket.socket()
        # An answer that is not read fills little room here, and soon waits at the server.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(("127.0.0.1", number))
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def hello(self) -> bytes:
        """Return what begins a handshake."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    def shake(self) -> None:
        """Shake hands."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._outgoing.read())
                self._incoming.write(self.socket.recv(65_536))
            else:
                self.socket.sendall(self._outgoing.read())
                return

    def records(self, data: bytes) -> bytes:
        """Return data as it goes over the line."""
        self._tls.write(data)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """Return a close_notify."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._outgoing.read()

    def send(self, data: bytes, *, end: bool = False) -> None:
        self.socket.sendall(data)
        if end:
            self.end()

    def until_answered(self) -> None:
        """Wait until an answer begins."""
        assert self.socket.recv(1)

    def end(self) -> None:
        """Send a FIN; what the port says is not read, and the socket stays."""
        self.socket.shutdown(socket.SHUT_WR)


def damaged(records: bytes) -> bytes:
    return records[:-1] + bytes([records[-1] ^ 1])


def asks(data: bytes) -> Callable[[Client], None]:
    return lambda client: client.send(client.records(data))


def asks_and(data: bytes, then: Callable[[Client], object]) -> Callable[[Client], None]:
    def behave(client: Client) -> None:
        client.send(client.records(data))
        if data == LARGE:
            client.until_answered()
        then(client)

    return behave


# Behaviour before the handshake is done, and after it. Whoever behaves so keeps the socket.
UNSHAKEN: dict[str, Callable[[Client], object]] = {
    "silent": lambda _: None,
    "ends at once": lambda client: client.end(),
    "half a hello": lambda client: client.send(client.hello()[:50]),
    "a hello alone": lambda client: client.send(client.hello()),
    "a hello and the end": lambda client: client.send(client.hello(), end=True),
    "two hellos": lambda client: client.send(client.hello() * 2),
    "a damaged hello": lambda client: client.send(client.hello()[:9] + b"\xff" * 200),
    "a record that is too long": lambda client: client.send(b"\x16\x03\x01\xff\xff" + b"\1" * 70_000),
    "noise": lambda client: client.send(b"\xff" * 3_000),
    "zeros": lambda client: client.send(bytes(100_000)),
    "HTTP": lambda client: client.send(GET),
    "an alert": lambda client: client.send(b"\x15\x03\x01\0\2\2\x28"),
}
SHAKEN: dict[str, Callable[[Client], object]] = {
    "silent": lambda _: None,
    "ends at once": lambda client: client.end(),
    "says goodbye": lambda client: client.send(client.goodbye()),
    "an answer, and idle": asks(GET),
    "a damaged record": lambda client: client.send(damaged(client.records(GET))),
    "a damaged record behind a good one": asks_and(
        GET, lambda client: client.send(damaged(client.records(GET)))
    ),
    "half a record": lambda client: client.send(client.records(GET)[:20]),
    "HTTP in the clear": lambda client: client.send(GET),
    "an alert": lambda client: client.send(ALERT),
    "empty records in the clear": lambda client: client.send(b"\x17\x03\x03\0\0" * 100),
    "a hello again": lambda client: client.send(b"\x16\x03\x03\0\4\1\0\0\0"),
    "half a request": asks(GET[:12]),
    "half a body": asks(UPLOAD),
    "half a body and the end": asks_and(UPLOAD, lambda client: client.end()),
    "half a body and goodbye": asks_and(UPLOAD, lambda client: client.send(client.goodbye())),
    "half a body and a damaged record": asks_and(
        UPLOAD, lambda client: client.send(damaged(client.records(GET)))
    ),
    "half a body and an alert": asks_and(UPLOAD, lambda client: client.send(ALERT)),
    "waits, and the end": asks_and(WAIT, lambda client: client.end()),
    "waits, and goodbye": asks_and(WAIT, lambda client: client.send(client.goodbye())),
    "waits, and a damaged record": asks_and(WAIT, lambda client: client.send(damaged(client.records(GET)))),
    "a large answer not read": asks(LARGE),
    "large answers not read": asks(LARGE * 3),
    "a large answer not read, and the end": asks_and(LARGE, lambda client: client.end()),
    "a large answer not read, and goodbye": asks_and(LARGE, lambda client: client.send(client.goodbye())),
    "a large answer not read, and a damaged record": asks_and(
        LARGE, lambda client: client.send(damaged(client.records(GET)))
    ),
}
CASES = [
    *(pytest.param(behave, False, id=f"unshaken, {name}") for name, behave in UNSHAKEN.items()),
    *(pytest.param(behave, True, id=f"shaken, {name}") for name, behave in SHAKEN.items()),
]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def visit(number: int, context: ssl.SSLContext, behave: Callable[[Client], object], shaken: bool) -> Client:
    client = Client(number, context)
    if shaken:
        client.shake()
    behave(client)
    return client


def is_served(number: int, context: ssl.SSLContext) -> bool:
    """Return whether a good client is served."""
    with (
        socket.create_connection(("127.0.0.1", number), timeout=DEADLINE_S) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(GET)
        return secured.recv(1_000).startswith(b"HTTP/1.1 200 OK")


async def until_let_go(port: Port, files: int) -> None:
    """Wait until nothing is open in this process but so many files."""
    async with asyncio.timeout(DEADLINE_S):
        while port.open_connections or port._shaking or open_files() > files:  # noqa: ASYNC110 - a port tells nobody
            await asyncio.sleep(0.01)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "nodes")


@pytest.fixture
def leaf(authority: Authority) -> Leaf:
    return authority.leaf("node")


@pytest.mark.parametrize(("behave", "shaken"), CASES)
async def test_a_port_lets_go_of_whoever_keeps_the_socket(
    behave: Callable[[Client], object],
    shaken: bool,
    authority: Authority,
    leaf: Leaf,
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = authority.client(leaf)
    site = Site(large=b"x" * ANSWER_BYTES)
    with capture_logs() as events, caplog.at_level(logging.ERROR):
        async with serve(
            site.app(), "127.0.0.1", 0, authority.server(leaf), clock=CLOCK, limits=LIMITS
        ) as port:
            # What the first connection opens for good is open when files are counted.
            assert await asyncio.to_thread(is_served, port.number, context)
            await until_let_go(port, ANY)
            files = open_files()
            client = await asyncio.to_thread(visit, port.number, context, behave, shaken)
            await until_let_go(port, files + 1)
            client.socket.close()

            assert await asyncio.to_thread(is_served, port.number, context)
    assert site.bodies == []
    assert [event for event in events if event["log_level"] == "error"] == []
    assert [record.getMessage() for record in caplog.records] == []


async def test_whoever_says_goodbye_is_let_go_long_before_the_deadline_of_an_answer_that_is_not_read(
    authority: Authority, leaf: Leaf
) -> None:
    site = Site(large=b"x" * ANSWER_BYTES)
    # Half a minute for such an answer.
    limits = replace(LIMITS, bytes_per_s=1 << 20)
    async with serve(site.app(), "127.0.0.1", 0, authority.server(leaf), clock=CLOCK, limits=limits) as port:
        await until_let_go(port, ANY)
        behave = SHAKEN["a large answer not read, and goodbye"]
        client = await asyncio.to_thread(visit, port.number, authority.client(leaf), behave, True)
        await until_let_go(port, ANY)
        client.socket.close()


async def test_what_follows_the_handshake_in_one_piece_is_served(authority: Authority, leaf: Leaf) -> None:
    def ask(number: int) -> bytes:
        client = Client(number, authority.client(leaf))
        client.send(client.hello())
        while True:
            client._incoming.write(client.socket.recv(65_536))
            try:
                client._tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        # The end of the handshake and the request, byte by byte: records come in no pieces of their own.
        for byte in client.records(GET):
            client.send(bytes([byte]))
        answer = b""
        while not answer:
            client._incoming.write(client.socket.recv(65_536))
            with suppress(ssl.SSLWantReadError):
                answer = client._tls.read(65_536)
        client.socket.close()
        return answer

    async with serve(Site().app(), "127.0.0.1", 0, authority.server(leaf), clock=CLOCK) as port:
        answer = await asyncio.to_thread(ask, port.number)

    assert answer.startswith(b"HTTP/1.1 200 OK")
