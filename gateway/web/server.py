"""Opening a port: accept, shake hands, cap, drain.

Connections are accepted here rather than by the event loop's own server, for three
reasons: handshakes are bounded in number before they cost anything, connections beyond
the cap are closed at once, and the TLS context can be replaced while the port is open. A
live context never sees a newer revocation list, so `Port.replace_context` is how a
revocation counts at once: what is open ends after the answer in work, and everyone
connects anew.

Spec: docs/spec/peer-calls.md, "Connections".
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, cast

import structlog
from aiohttp import hdrs, http_parser, web

from gateway.errors import ConfigError, forget_frames
from gateway.ports import Clock
from gateway.web.app import App
from gateway.web.callers import Callers
from gateway.web.connection import Connection, WireReply
from gateway.web.limits import Limits

log = structlog.get_logger(__name__)

_VERIFY_CAUSES = {
    10: "certificate-expired",
    12: "revocation-list-ended",
    23: "certificate-revoked",
}
"""Results of OpenSSL's verification (X509_V_ERR_…) that have a cause of their own."""

_BACKLOG = 256
_SHUTDOWN_S = 2.0
_PAUSE_S = 0.1


class Port(web.Server):
    """An open port."""

    def __init__(
        self,
        app: App,
        sockets: list[socket.socket],
        *,
        context: ssl.SSLContext | None,
        limits: Limits,
        clock: Clock,
    ) -> None:
        """Take listening sockets; nothing is accepted before `run`."""
        super().__init__(self._answer)
        self.app = app
        self._sockets = sockets
        self._context = context
        self._limits = limits
        self._clock = clock
        self._callers = Callers(limits)
        self._handshakes = asyncio.Semaphore(limits.handshakes)
        self._shaking = 0
        self._date = ""
        self._date_s = 0

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            loop=asyncio.get_running_loop(),
            limits=self._limits,
            callers=self._callers,
            statistics=self.app.statistics,
        )

    @property
    def number(self) -> int:
        """Return the port number, which the system has chosen if 0 was asked for."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def open_connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    def replace_context(self, context: ssl.SSLContext) -> None:
        """Use another TLS context from now on, and end every connection under the old one."""
        self._context = context
        self.renew_connections()

    def renew_connections(self) -> None:
        """End every connection after the answer in work, and what only waits at once; all connect anew."""
        for connection in self._open():
            connection.drain()

    async def run(self) -> None:
        """Accept until cancelled; then finish what is in work."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for listening in self._sockets:
                    tasks.create_task(self._accept(listening, tasks), name=f"{self.app.name}.accept")
        finally:
            self.stop_listening()
            for connection in self._open():
                connection.drain()
            await self.shutdown(self._limits.drain_s)

    def stop_listening(self) -> None:
        """Close the listening sockets; whoever is connected stays so."""
        for listening in self._sockets:
            listening.close()

    def _open(self) -> list[Connection]:
        return [cast("Connection", connection) for connection in self.connections]

    async def _accept(self, listening: socket.socket, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._handshakes.acquire()
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                # Too many open files, or a client that has gone already: go on a little later.
                self._handshakes.release()
                log.warning("http.accept_failed", port=self.app.name, error=type(error).__name__)
                await asyncio.sleep(_PAUSE_S)
                continue
            except BaseException:
                self._handshakes.release()
                raise
            if self.open_connections + self._shaking >= self._limits.connections:
                accepted.close()
                self._handshakes.release()
                self.app.statistics.turned_away += 1
                self._shut_out("too-many-connections")
                continue
            self._shaking += 1
            tasks.create_task(self._establish(accepted), name=f"{self.app.name}.handshake")

    async def _establish(self, accepted: socket.socket) -> None:
        """Shake hands; from then on the connection lives by its own tasks."""
        timeouts: dict[str, Any] = {}
        if self._context is not None:
            timeouts = {
                "ssl_handshake_timeout": self._limits.handshake_s,
                "ssl_shutdown_timeout": _SHUTDOWN_S,
            }
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self, accepted, ssl=self._context, **timeouts
            )
        except OSError as error:
            # Certificate errors, timeouts and resets are all OSErrors.
            self.app.statistics.handshakes_failed += 1
            reason = getattr(error, "reason", None) or type(error).__name__
            if isinstance(error, ssl.SSLCertVerificationError):
                reason = cause_of_handshake(error)
            log.info("tls.refused", port=self.app.name, reason=reason)
            if isinstance(error, ssl.SSLError):
                # Whoever only opens a connection and goes, as load balancers do, wanted nothing.
                self._shut_out(cause_of_handshake(error))
            forget_frames(error)
        except Exception as error:  # noqa: BLE001 - one odd client must not close the port for all
            self.app.statistics.handshakes_failed += 1
            log.error("tls.failed", port=self.app.name, error=type(error).__name__)  # noqa: TRY400 - the traceback may hold values
            forget_frames(error)
        finally:
            self._shaking -= 1
            self._handshakes.release()

    def _shut_out(self, cause: str) -> None:
        if self.app.access is not None:
            self.app.access.shut(cause)

    async def _answer(self, raw: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", raw.protocol)
        now_ms = self._clock.now_ms()
        reply = await self.app.answer(raw, now_ms=now_ms)
        if now_ms // 1_000 != self._date_s:
            self._date_s = now_ms // 1_000
            self._date = formatdate(self._date_s, usegmt=True)
        is_last = (
            not raw.keep_alive
            or connection._close  # noqa: SLF001 - tell the client what aiohttp will do
            or asyncio.get_running_loop().time() - connection.opened_s > self._limits.age_s
        )
        written = WireReply(
            connection, reply, date=self._date, close=is_last, head_only=raw.method == hdrs.METH_HEAD
        )
        return cast("web.StreamResponse", written)


def cause_of_handshake(error: ssl.SSLError) -> str:
    """Return why a handshake was refused, as far as OpenSSL says: a cause of ``access.denied``.

    Whose certificate it was is not known: the library hands out none that it did not accept.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CAUSES.get(error.verify_code, "certificate-untrusted")
    is_absent = error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    return "certificate-absent" if is_absent else "tls-refused"


@asynccontextmanager
async def serve(
    app: App,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None,
    *,
    clock: Clock,
    limits: Limits | None = None,
) -> AsyncGenerator[Port]:
    """Open a port for an application as long as the context lasts.

    Args:
        app: Answers the requests.
        host: Address or name to listen on; several are separated by commas. A node that stands
            in several networks opens each port in those that have business there.
        port: Port number; 0 lets the system choose, and `Port.number` tells.
        ssl_context: Demands a client certificate. None serves plain HTTP, for tests on
            loopback.
        clock: Time for certificates and the Date header.
        limits: Deadlines and caps; the defaults if None.

    Raises:
        ConfigError: The address cannot be listened on, or the strict parser is not installed.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        # The tests prove what the compiled parser refuses; the other one is not the same.
        msg = "aiohttp runs without its compiled parser: install its wheel, unset AIOHTTP_NO_EXTENSIONS"
        raise ConfigError(msg)
    sockets = await _listen(host, port)
    opened = Port(app, sockets, context=ssl_context, limits=limits or Limits(), clock=clock)
    task = asyncio.create_task(opened.run(), name=f"{app.name}.port")
    log.info("port.open", port=app.name, host=host, number=opened.number)
    try:
        yield opened
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        opened.stop_listening()  # a task that was cancelled before it began has closed nothing
        log.info("port.closed", port=app.name)


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets for every address that ``host`` names."""
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        found = [
            address
            for name in host.split(",")
            for address in await loop.getaddrinfo(
                name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        ]
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            sockets.append(listening)
            listening.setblocking(False)  # noqa: FBT003 - the library's signature
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
    except OSError as error:
        for listening in sockets:
            listening.close()
        msg = f"cannot listen on {host}:{port}: {error.strerror or type(error).__name__}"
        raise ConfigError(msg) from error
    return sockets
