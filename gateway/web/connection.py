"""One connection: aiohttp's protocol with the deadlines that it does not have.

aiohttp waits for ever for the rest of a request line, of the header lines or of a body.
Here a timer runs from the first byte of a request until its header lines are complete,
and from the handshake until the first request; whoever is slower is cut off. Bodies have
a deadline where they are read, answers where they are written.

What aiohttp itself would answer to bytes that are no request repeats them; here a
constant problem is sent, and the connection ends.

Spec: docs/spec/peer-calls.md, "Connections".
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import structlog
from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.web.deadline import Deadline
from gateway.web.exchange import Reply
from gateway.web.identity import Certificate, certificate_of
from gateway.web.limits import MAX_HEADER_LINE, MAX_HEADERS, MAX_REQUEST_LINE, Limits
from gateway.web.problems import PROBLEM_MEDIA_TYPE, body_of, problem_of
from gateway.web.refusals import RequestMalformedError

if TYPE_CHECKING:
    from gateway.web.callers import Callers, Statistics, Usage

log = structlog.get_logger(__name__)

_READ_BUFFER = 262_144


class Connection(web.RequestHandler):
    """One connection of a port."""

    __slots__ = (
        "_abort_timer",
        "_gone",
        "_head_timer",
        "_newest_body",
        "callers",
        "certificate",
        "deadline",
        "limits",
        "opened_s",
        "statistics",
        "surplus",
        "usage",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        callers: Callers,
        statistics: Statistics,
    ) -> None:
        """Wire it; it begins with `connection_made`.

        Args:
            manager: The port.
            loop: Its loop.
            limits: Its deadlines and caps.
            callers: What each certificate uses of it.
            statistics: Its counters.
        """
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=limits.idle_s,
            access_log=cast("Any", None),
            max_line_size=MAX_REQUEST_LINE,
            max_field_size=MAX_HEADER_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=2.0,
            read_bufsize=_READ_BUFFER,
            auto_decompress=False,
        )
        self.limits = limits
        self.callers = callers
        self.statistics = statistics
        self.certificate: Certificate | None = None
        self.usage: Usage | None = None
        self.surplus = False
        self.opened_s = 0.0
        self.deadline = Deadline(loop)
        self._gone: asyncio.Event | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._newest_body: StreamReader | None = None

    # --- life ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who is there, and give the first request a deadline."""
        super().connection_made(transport)
        self.opened_s = self._loop.time()
        self.statistics.connections += 1
        self.certificate = certificate_of(transport.get_extra_info("ssl_object"))
        spki = b"" if self.certificate is None else self.certificate.spki
        self.usage = self.callers.opened(spki, self.opened_s)
        self.surplus = self.callers.is_surplus(self.usage)
        self._head_timer = self._loop.call_later(self.limits.head_s, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the timers and tell whoever waits on behalf of this client."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self.deadline.close()
        if self.usage is not None:
            self.callers.closed(b"" if self.certificate is None else self.certificate.spki)
            self.usage = None
        if self._gone is not None:
            self._gone.set()
        if isinstance(exc, ssl.SSLError):
            # A damaged record or an alert, in a body perhaps: the client ended it, nothing failed here.
            exc = ConnectionAbortedError()
        super().connection_lost(exc)
        if self._abort_timer is not None:
            # Nothing is left to be cut off, and a transport whose connection has gone cannot do it.
            self._abort_timer.cancel()
            self._abort_timer = None

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Go on reading where a full body made it pause; with every body read, aiohttp asks for it."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and watch whether header lines begin or are complete."""
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            # Complete header lines arrived; the body, if any, is watched by its reader.
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            if self._messages:
                self._newest_body = self._messages[-1][1]
        elif (
            self._head_timer is None
            and data
            and (self._newest_body is None or self._newest_body.is_eof())
            and self.transport is not None
        ):
            self._head_timer = self._loop.call_later(self.limits.head_s, self._head_is_late)

    def now_s(self) -> float:
        """Return the time of the loop, seconds."""
        return self._loop.time()

    async def when_gone(self) -> None:
        """Return when the client has gone away, or the port closes."""
        if self.transport is None:
            return
        if self._gone is None:
            self._gone = asyncio.Event()
        await self._gone.wait()

    def finish(self) -> None:
        """End the connection after the answer in work, or now if there is none."""
        if self._request_in_progress or self._messages:
            self.close()
        else:
            self.force_close()

    def drain(self) -> None:
        """End what waits for long, finish what is in work, take nothing new."""
        if self._gone is not None:
            self._gone.set()
        self.finish()

    def abort(self) -> None:
        """Cut the connection off, with whatever was not written yet."""
        transport = self.transport
        if transport is not None:
            transport.abort()

    def abort_later(self) -> None:
        """Cut the connection off unless the client has taken its last answer in time."""
        # To close it takes the transport from this protocol, so that it is named here.
        transport = self.transport
        if transport is not None and self._abort_timer is None:
            self._abort_timer = self._loop.call_later(self.limits.write_s, transport.abort)

    def force_close(self) -> None:
        """Close now; a client that does not take what is still to be written is cut off."""
        self.abort_later()
        super().force_close()

    # --- errors of the parser --------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer bytes that are no request with a constant problem, and end the connection."""
        del request, status, message
        if isinstance(exc, ConnectionError):
            # The client went away while its body was read: nobody is answered, and nothing failed here.
            raise exc
        error: BaseException = RequestMalformedError("not a request of HTTP/1.1")
        if not isinstance(exc, HttpProcessingError):
            log.error("http.failed", error=type(exc).__name__)
            error = RuntimeError()
        problem = problem_of(error)
        self.statistics.answered("malformed", problem.status)
        reply = Reply(
            status=problem.status,
            body=body_of(error, "en"),
            media_type=PROBLEM_MEDIA_TYPE,
            language="en",
            close=True,
        )
        return cast("web.StreamResponse", WireReply(self, reply, date="", close=True))

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002 - aiohttp's signature
        """Log that something failed, without the input that aiohttp's text repeats."""
        error = kw.get("exc_info")
        log.error("http.failed", error=type(error).__name__)

    def log_debug(self, *args: Any, **kw: Any) -> None:
        """Leave out what aiohttp says of ordinary disconnections."""

    def _head_is_late(self) -> None:
        self._head_timer = None
        self.statistics.timed_out("head")
        self.abort()


class WireReply:
    """Writes a reply in one piece. What aiohttp's protocol asks of a response, and no more.

    aiohttp's own response names its version in a Server header and costs more than the
    handlers here do.
    """

    __slots__ = ("_close", "_connection", "_date", "_head_only", "_reply")

    def __init__(
        self, connection: Connection, reply: Reply, *, date: str, close: bool, head_only: bool = False
    ) -> None:
        """Take what is to be written.

        Args:
            connection: Where to.
            reply: What.
            date: Value of the Date header, or empty.
            close: End the connection even if the reply does not ask for it.
            head_only: Leave the body out: whoever asked with HEAD would take it for the next answer.
        """
        self._connection = connection
        self._reply = reply
        self._date = date
        self._close = close or reply.close
        self._head_only = head_only

    @property
    def keep_alive(self) -> bool:
        """Return whether another request may follow."""
        return not self._close

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: everything is written at once."""

    async def write_eof(self) -> None:
        """Write the reply, and wait until the client has taken it.

        Raises:
            ConnectionResetError: The client has gone, or has not taken it in time.
        """
        connection, reply = self._connection, self._reply
        transport = connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        head = _head(reply.status, reply.media_type if reply.body is not None else "", reply.language)
        body = reply.body or b""
        lines = [f"Content-Length: {len(body)}\r\n"]
        if self._date:
            lines.append(f"Date: {self._date}\r\n")
        lines += [f"{name}: {value}\r\n" for name, value in reply.headers]
        if self._close:
            lines.append("Connection: close\r\n")
            connection.abort_later()
        lines.append("\r\n")
        sent = b"" if self._head_only else body
        transport.write(b"".join((head, "".join(lines).encode("ascii"), sent)))
        if not connection.writing_paused:
            return
        try:
            async with asyncio.timeout(connection.limits.write_deadline_s(len(body))):
                await connection._drain_helper()  # noqa: SLF001 - aiohttp's own writer waits like this
        except TimeoutError:
            connection.statistics.timed_out("write")
            connection.abort()
            raise ConnectionResetError from None


@lru_cache(maxsize=256)
def _head(status: int, media_type: str, language: str | None) -> bytes:
    """Return status line and constant header lines; few combinations exist."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    if media_type:
        lines.append(f"Content-Type: {media_type}")
    if language is not None:
        lines += [f"Content-Language: {language}", "Vary: Accept-Language"]
    lines += ["Cache-Control: no-store", "X-Content-Type-Options: nosniff", ""]
    return "\r\n".join(lines).encode("ascii")
