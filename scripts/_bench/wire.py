"""HTTPS connections of a load generator: many, in one thread, and cheap.

The generator shares two cores with the nodes it measures, so each microsecond it spends is
one that they do not get. A general client spends more on a request than a node does; here
a request is bytes that were made before the clock started, an answer is looked at no
further than its status and length, and one epoll serves all connections.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from gateway.client.identity import open_context

HOST = "localhost"
CONNECT_S = 10.0
_ROOM = 16_384
"""Bytes that a connection has room for at first, and at least before each read: a record of TLS."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class WireError(Exception):
    """A connection ended, or an answer was not HTTP: the run is void."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a request.

    Attributes:
        status: HTTP status.
        body: Its bytes.
        retry_after_s: Value of ``Retry-After``, or 0.
    """

    status: int
    body: bytes
    retry_after_s: int


class Endpoint:
    """An agency at its node's port."""

    def __init__(self, folder: Path, port: int) -> None:
        """Open the agency's certificate.

        Args:
            folder: Agency folder of a node home.
            port: Agency port of that node, on the loopback interface.
        """
        self.port = port
        self.context = open_context(folder)


def get_request(path: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode("ascii")


def post_request(path: str, body: bytes = b"", media_type: str | None = None) -> bytes:
    """Return the bytes of a POST."""
    kind = "" if media_type is None else f"Content-Type: {media_type}\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


class Connection:
    """One kept connection with at most one request in work."""

    def __init__(self, wire: Wire, endpoint: Endpoint) -> None:
        """Connect and shake hands; blocks."""
        self._wire = wire
        self._endpoint = endpoint
        self._answered: Callable[[Answer], None] | None = None
        self._out = memoryview(b"")
        # Grows to the longest answer and stays: a page of an inbox is a megabyte, read in 16 KiB.
        self._in = bytearray(_ROOM)
        self._filled = 0
        self._body_start = 0
        self._end = 0
        self._wants_write = False
        self._socket: ssl.SSLSocket | None = None
        self._open()

    @property
    def busy(self) -> bool:
        """Return whether a request is in work."""
        return self._answered is not None

    def ask(self, request: bytes, answered: Callable[[Answer], None]) -> None:
        """Send a request; ``answered`` is called from `Wire.turn` with the answer."""
        if self._socket is None:
            self._open()
        self._answered = answered
        self._out = memoryview(request)
        self._write()

    def close(self) -> None:
        """Close without ado."""
        if self._socket is not None:
            self._wire.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def ready(self, events: int) -> None:
        """Go on after epoll said that the socket is ready."""
        if self._out and events & (select.EPOLLOUT | select.EPOLLIN):
            self._write()
        if events & ~select.EPOLLOUT:
            self._read()

    def _open(self) -> None:
        plain = socket.create_connection((HOST, self._endpoint.port), timeout=CONNECT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel = self._endpoint.context.wrap_socket(plain, server_hostname=HOST)
        channel.setblocking(False)  # noqa: FBT003 - the name of socket's own switch
        self._socket = channel
        self._filled = 0
        self._end = 0
        self._wants_write = False
        self._wire.watch(channel.fileno(), self)

    def _write(self) -> None:
        channel = self._socket
        if channel is None:
            msg = "the node closed a connection with a request in work"
            raise WireError(msg)
        try:
            while self._out:
                self._out = self._out[channel.send(self._out) :]
        except ssl.SSLWantWriteError:
            pass
        except ssl.SSLWantReadError:
            return
        except OSError as error:
            msg = f"a request could not be written: {type(error).__name__}"
            raise WireError(msg) from error
        if bool(self._out) != self._wants_write:
            self._wants_write = bool(self._out)
            self._wire.change(channel.fileno(), writing=self._wants_write)

    def _read(self) -> None:
        channel = self._socket
        while channel is not None:
            if len(self._in) < max(self._filled + _ROOM, self._end):
                self._in.extend(bytes(max(len(self._in), self._end)))
            try:
                count = channel.recv_into(memoryview(self._in)[self._filled :])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                count = 0
            if not count:
                self.close()
                if self.busy:
                    msg = "the node closed a connection with a request in work"
                    raise WireError(msg)
                return
            self._filled += count
            self._take()
            channel = self._socket

    def _take(self) -> None:
        """Hand out the answer once it is complete."""
        if not self._end:
            head = self._in.find(b"\r\n\r\n", 0, self._filled)
            if head < 0:
                return
            length = _LENGTH.search(self._in, 0, head)
            if length is None or not self._in.startswith(b"HTTP/1.1 "):
                msg = "an answer is not HTTP/1.1 with a length"
                raise WireError(msg)
            self._body_start = head + 4
            self._end = self._body_start + int(length[1])
        if self._filled < self._end:
            return
        head = self._body_start
        retry = _RETRY.search(self._in, 0, head)
        answer = Answer(
            status=int(self._in[9:12]),
            body=bytes(memoryview(self._in)[head : self._end]),
            retry_after_s=0 if retry is None else int(retry[1]),
        )
        closing = _CLOSE.search(self._in, 0, head) is not None
        self._filled = self._end = 0
        answered, self._answered = self._answered, None
        if closing:
            self.close()
        if answered is not None:
            answered(answer)


class Wire:
    """All connections of one process."""

    def __init__(self) -> None:
        """Start with none."""
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def connect(self, endpoint: Endpoint) -> Connection:
        """Return a new connection."""
        return Connection(self, endpoint)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call back from `turn` after a delay."""
        self._timers.append((monotonic() + delay_s, call))

    def turn(self, timeout_s: float) -> None:
        """Serve what is ready; wait for it no longer than ``timeout_s``."""
        if self._timers:
            timeout_s = min(timeout_s, max(0.0, min(at for at, _ in self._timers) - monotonic()))
        # epoll itself counts in milliseconds, too coarse for the due times of an open loop.
        if timeout_s > 0 and not select.select([self._epoll], [], [], timeout_s)[0]:
            self._call_timers()
            return
        for number, events in self._epoll.poll(0):
            connection = self._connections.get(number)
            if connection is not None:
                connection.ready(events)
        if self._timers:
            self._call_timers()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._connections.values()):
            connection.close()

    def watch(self, number: int, connection: Connection) -> None:
        """Serve a socket."""
        self._connections[number] = connection
        self._epoll.register(number, select.EPOLLIN)

    def change(self, number: int, *, writing: bool) -> None:
        """Say whether a socket waits to be written to."""
        self._epoll.modify(number, select.EPOLLIN | (select.EPOLLOUT if writing else 0))

    def forget(self, number: int) -> None:
        """Stop serving a socket."""
        del self._connections[number]
        self._epoll.unregister(number)

    def _call_timers(self) -> None:
        now = monotonic()
        due = [call for at, call in self._timers if at <= now]
        if due:
            self._timers = [item for item in self._timers if item[0] > now]
            for call in due:
                call()
