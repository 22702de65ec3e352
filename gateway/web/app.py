"""A port's application: from a parsed request to a handler and back.

The order of the checks is fixed: version, caller, rate, path, method, headers, length,
type, body. Whoever is nobody learns nothing about paths; whoever sends too much is stopped
before anything is read.

Whatever a handler raises becomes a problem here, and nothing else becomes an answer: this
and `gateway.web.problems` are the only places where an error meets an HTTP status.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Protocol, cast

import structlog
from aiohttp import hdrs, web

from gateway.core.message.wording import Language
from gateway.errors import GatewayError, forget_frames
from gateway.node.defects import places_of
from gateway.web.callers import Statistics
from gateway.web.connection import Connection
from gateway.web.deadline import Deadline
from gateway.web.exchange import Query, Reply, Request
from gateway.web.identity import Certificate, CertificateExpiredError
from gateway.web.limits import MIB
from gateway.web.problems import PROBLEM_MEDIA_TYPE, body_of, headers_of, language_of, problem_of
from gateway.web.refusals import (
    BodyNotExpectedError,
    BodyTimeoutError,
    BodyTooLargeError,
    ContentEncodingError,
    ExpectationError,
    HttpVersionError,
    MediaTypeError,
    RequestMalformedError,
    TakesTooLongError,
    TooManyConnectionsError,
    TooManyRequestsError,
)
from gateway.web.routing import Route, Router

log = structlog.get_logger(__name__)

Identify = Callable[[Certificate | None], object]
"""Who a certificate is to this port; raises a `RejectedError` for nobody."""

CertificateCheck = Callable[[Certificate, int], None]
"""Raises `CertificateRevokedError` for a certificate that is not good any more, given UTC milliseconds."""


class Access(Protocol):
    """Puts on record who comes to a port; `gateway.node.access.Doorkeeping` does."""

    async def let_in(self, caller: object, spki: bytes) -> None:
        """Take note of a caller, before anything is answered."""
        ...

    def turn_away(self, error: GatewayError, caller: object | None, spki: bytes) -> None:
        """Take note of an error; it counts if it denies access. The caller is None for nobody."""
        ...

    def shut(self, cause: str) -> None:
        """Take note of somebody who did not get as far as a request."""
        ...


RECHECK_S: Final = 0.05
"""A request that has taken longer is looked at again: its certificate may have been revoked."""

_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_SPACES: Final = re.compile(r"\s+")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class App:
    """Answers the requests of one port."""

    def __init__(self, *, name: str, routes: Sequence[Route], identify: Identify) -> None:
        """Wire it.

        Args:
            name: Name of the port, for logs and metrics.
            routes: Its calls.
            identify: Says who a certificate is.
        """
        self.name = name
        self.routes = tuple(routes)
        self.statistics = Statistics()
        self._router = Router(routes)
        self._identify = identify
        self._check: CertificateCheck | None = None
        self.access: Access | None = None
        # Bytes of bodies that are arriving, and of large ones whose requests are in work.
        self._bodies = 0

    def check_certificates(self, check: CertificateCheck) -> None:
        """Have the certificate of a connection checked with every request, before anything else."""
        self._check = check

    async def answer(self, raw: web.BaseRequest, *, now_ms: int) -> Reply:
        """Return the answer to a request, whatever happens."""
        connection = cast("Connection", raw.protocol)
        headers = raw.headers
        language = language_of(headers.get(hdrs.ACCEPT_LANGUAGE))
        usage = connection.usage
        if usage is None:
            raise ConnectionResetError
        route: Route | None = None
        caller: object | None = None
        admitted = False
        held = 0
        began_s = connection.now_s()
        try:
            _verify_version(raw)
            caller = self._caller(connection, now_ms)
            connection.callers.begin(usage, began_s)
            admitted = True
            if self.access is not None:
                await self.access.let_in(caller, _spki(connection))
            path, _, query = raw.raw_path.partition("?")
            route, names = self._router.find(raw.method, path)
            parameters = Query(query, route.query)
            if not route.query:
                parameters.done()
            body = await self._body(raw, connection, route)
            # It is not arriving any more and stays in memory, with what it is read into.
            held = len(body) if len(body) > MIB else 0
            self._bodies += held
            request = Request(
                caller=caller,
                names=names,
                query=parameters,
                headers={name: _field(raw, name) for name in route.headers if name in headers},
                body=body,
                language=language,
                when_gone=connection.when_gone,
            )
            # Who was revoked while a body arrived sends nothing more, and who was while the answer
            # was waited for does not get it.
            self._recheck(connection, now_ms, began_s)
            reply = await self._handle(route, request, connection.deadline)
            self._recheck(connection, now_ms, began_s)
        except GatewayError as error:
            if self.access is not None:
                self.access.turn_away(error, caller, _spki(connection))
            # A body that nobody read would be taken for the next request.
            reply = self._refuse(error, language, close=not raw.content.is_eof())
            forget_frames(error)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the last net: a 500, a line, and the node goes on
            # No traceback in the log: its last line may quote a message.
            name = type(error).__name__
            log.error("http.failed", port=self.name, error=name, frames=places_of(error))  # noqa: TRY400 - as said
            reply = self._refuse(error, language, close=True)
            forget_frames(error)
        finally:
            self._bodies -= held
            if admitted:
                usage.requests -= 1
        self.statistics.answered("none" if route is None else route.name, reply.status)
        return reply

    def _caller(self, connection: Connection, now_ms: int) -> object:
        if connection.surplus:
            msg = "too many connections of one certificate"
            raise TooManyConnectionsError(msg, retry_after_s=5)
        certificate = connection.certificate
        if certificate is not None and certificate.expires_ms <= now_ms:
            msg = "the certificate has run out"
            raise CertificateExpiredError(msg)
        if certificate is not None and self._check is not None:
            self._check(certificate, now_ms)
        return self._identify(certificate)

    def _recheck(self, connection: Connection, now_ms: int, began_s: float) -> None:
        elapsed_s = connection.now_s() - began_s
        if elapsed_s > RECHECK_S:
            self._caller(connection, now_ms + int(elapsed_s * 1_000))

    async def _handle(self, route: Route, request: Request[object], deadline: Deadline) -> Reply:
        try:
            with deadline.of(route.deadline_s):
                return await route.handler(request)
        except TimeoutError as error:
            if not deadline.expired:
                raise
            log.warning("http.too_slow", port=self.name, route=route.name)
            msg = "no answer in time"
            raise TakesTooLongError(msg, retry_after_s=5) from error

    def _refuse(self, error: BaseException, language: Language, *, close: bool) -> Reply:
        problem = problem_of(error)
        if problem.status >= 500 and isinstance(error, GatewayError):
            log.warning("http.unavailable", port=self.name, code=error.code)
        return Reply(
            status=problem.status,
            body=body_of(error, language),
            media_type=PROBLEM_MEDIA_TYPE,
            language=language,
            headers=headers_of(error),
            close=close or problem.status in {403, 408, 505} or isinstance(error, TooManyConnectionsError),
        )

    # --- bodies ----------------------------------------------------------------------

    async def _body(self, raw: web.BaseRequest, connection: Connection, route: Route) -> bytes:
        """Return the complete body, having refused what need not be read."""
        if _field(raw, hdrs.CONTENT_ENCODING).strip().lower() not in {"", "identity"}:
            msg = "the body is compressed"
            raise ContentEncodingError(msg)
        length = _content_length(raw)
        content = raw.content
        if route.max_body == 0:
            if length or not content.is_eof():
                msg = "this call takes no body"
                raise BodyNotExpectedError(msg)
            return b""
        if _media_type(_field(raw, hdrs.CONTENT_TYPE)) not in route.media_types:
            raise MediaTypeError(route.media_types)
        if length is not None and length > route.max_body:
            raise _too_large()
        expect = raw.headers.get(hdrs.EXPECT)
        if expect is not None:
            if expect.lower() != "100-continue":
                msg = "an expectation that is not met"
                raise ExpectationError(msg)
            if not content.is_eof() and connection.transport is not None:
                connection.transport.write(_CONTINUE)
        if content.is_eof() and length is not None and length <= MIB:
            return content.read_nowait()
        return await self._read(raw, connection, route, length)

    async def _read(
        self, raw: web.BaseRequest, connection: Connection, route: Route, length: int | None
    ) -> bytes:
        """Read a body that is still arriving; stop at the limit and at the deadline."""
        chunks: list[bytes] = []
        size = 0
        expected = route.max_body if length is None else length
        if self._bodies + expected > connection.limits.body_bytes:
            msg = "too many large bodies are arriving or in work at once"
            raise TooManyRequestsError(msg)
        self._bodies += expected
        try:
            async with asyncio.timeout(connection.limits.body_deadline_s(expected)):
                while chunk := await raw.content.readany():
                    size += len(chunk)
                    if size > route.max_body:
                        raise _too_large()
                    chunks.append(chunk)
        except TimeoutError as error:
            connection.statistics.timed_out("body")
            msg = "the body did not arrive in time"
            raise BodyTimeoutError(msg) from error
        except web.RequestPayloadError as error:
            # Broken chunks, or the end of the connection before the end of the body.
            msg = "the body is not as its header lines announce"
            raise RequestMalformedError(msg) from error
        finally:
            self._bodies -= expected
        return b"".join(chunks)


def _spki(connection: Connection) -> bytes:
    """Return whose key a connection shows, empty if it shows none."""
    return b"" if connection.certificate is None else connection.certificate.spki


def _verify_version(raw: web.BaseRequest) -> None:
    if raw.version != (1, 1):
        msg = "another version than HTTP/1.1"
        raise HttpVersionError(msg)


def _content_length(raw: web.BaseRequest) -> int | None:
    """Return the announced length; None for a body in chunks, 0 for no body."""
    coding = _field(raw, hdrs.TRANSFER_ENCODING).strip().lower()
    if coding == "chunked":
        return None
    if coding:
        msg = "another transfer coding than chunked"
        raise RequestMalformedError(msg)
    text = raw.headers.get(hdrs.CONTENT_LENGTH)
    if text is None:
        return 0
    if _LENGTH.fullmatch(text) is None:
        raise _too_large()
    return int(text)


def _field(raw: web.BaseRequest, name: str) -> str:
    """Return a header field; several of one name together, so that none is overlooked."""
    headers = raw.headers
    return ", ".join(headers.getall(name)) if name in headers else ""


@lru_cache(maxsize=64)
def _media_type(text: str) -> str:
    """Return a media type in lower case without spaces and quotes, with its parameters."""
    return _SPACES.sub("", text).replace('"', "").lower()


def _too_large() -> BodyTooLargeError:
    return BodyTooLargeError("the body is longer than this call takes")
