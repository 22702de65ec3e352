"""Calls of the agency API: one session, deadlines, and repeats that repeat nothing.

A call is repeated when no answer came, or when the node says «later» (429, 503). Posts are
repeated with the same idempotency key, so a repeat of a post that had arrived gets the
same answer and nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

import aiohttp
import orjson

from gateway.client.errors import (
    AnswerUnreadableError,
    ClientClosedError,
    IdentityError,
    NotReachableError,
    ProblemError,
    is_code,
    problem_from,
)
from gateway.client.identity import verify_address

Language = Literal["en", "fr"]

MAX_ANSWER_BYTES: Final = 64 * 1_048_576
LARGE_BYTES: Final = 1_048_576
POOL: Final = 32
_LATER: Final = frozenset({429, 503})
_SECONDS: Final = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often, and how patiently, a call is repeated.

    Attributes:
        tries: Calls in all, 1 or more.
        first_wait_s: Wait before the first repeat; each further one is twice as long.
        longest_wait_s: Upper bound of a wait, also of what the node asks for.
        longest_asked_s: If the node asks for a longer wait than this, as under maintenance, the
            call ends at once: coming again earlier would be in vain.
        connect_s: Seconds to connect, handshake included.
        answer_s: Seconds for a whole call, beside the time it asks the node to wait.
    """

    tries: int = 5
    first_wait_s: float = 0.2
    longest_wait_s: float = 10.0
    longest_asked_s: float = 30.0
    connect_s: float = 10.0
    answer_s: float = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call.

    Attributes:
        method: HTTP method.
        path: Path with query, already encoded.
        body: Body, or None.
        media_type: Of the body.
        headers: Further header fields.
        wait_s: Seconds that the node may wait before it answers.
    """

    method: str
    path: str
    body: bytes | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] | None = None
    wait_s: float = 0.0


class Transport:
    """Makes calls; used from one event loop."""

    def __init__(
        self, url: str, *, context: ssl.SSLContext | None, language: Language, retries: Retries
    ) -> None:
        """Take what is needed to call; nothing is opened yet.

        Args:
            url: Base address: ``https://host:port``.
            context: TLS context of the agency; None for plain HTTP, in tests on loopback.
            language: Language of titles, details and error messages.
            retries: How calls are repeated.

        Raises:
            IdentityError: There is a context, and the address is not one of HTTPS: what is posted
                would leave in the clear, for somebody who shows no certificate.
        """
        if context is not None:
            verify_address(url)
        self._url = url.rstrip("/")
        self._context = context
        self._language = language
        self._retries = retries
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False
        # Each call under way has a deadline of its own, at no time until `close` sets it.
        self._calls: set[asyncio.Timeout] = set()

    async def close(self) -> None:
        """Close every connection, and end every call that is under way; nothing is opened any more."""
        self._is_closed = True
        # Closing the session ends only calls that wait for an answer, not those that wait for a
        # handshake, a connection of the pool, or their next try.
        calls, self._calls = self._calls, set()
        for deadline in calls:
            deadline.reschedule(asyncio.get_running_loop().time())
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(self, call: Call) -> bytes:
        """Return the body of a good answer.

        Raises:
            ProblemError: The node refuses the call.
            NotReachableError: No answer, in spite of repeats.
            IdentityError: The TLS handshake failed: our certificate or theirs.
            AnswerUnreadableError: Not an answer of this API.
            ClientClosedError: The client was closed, before or meanwhile.
        """
        deadline = asyncio.timeout(None)
        self._calls.add(deadline)
        try:
            async with deadline:
                return await self._repeated(call)
        except TimeoutError as error:  # of this deadline: one of the node's is repeated, or told otherwise
            msg = "the client was closed during the call"
            raise ClientClosedError(msg) from error
        finally:
            self._calls.discard(deadline)

    async def _repeated(self, call: Call) -> bytes:
        """Make a call, and make it again as often as it is worth it."""
        retries = self._retries
        wait_s = retries.first_wait_s
        for attempt in range(1, retries.tries + 1):
            asked_s = 0.0
            self._verify_open()
            try:
                return await self._once(call)
            except ProblemError as problem:
                asked_s = float(problem.retry_after_s or 0)
                is_later = problem.status in _LATER and asked_s <= retries.longest_asked_s
                if not is_later or attempt == retries.tries:
                    raise
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self._verify_open()
                if (refusal := _tls_refusal(error)) is not None:
                    raise IdentityError(refusal) from error
                if attempt == retries.tries:
                    msg = f"no answer from {self._url} after {attempt} tries{_hint(error)}"
                    raise NotReachableError(msg) from error
            # Jitter, so that the agencies of a nation do not come back all at once.
            fraction = 0.5 + secrets.randbits(16) / 2**17
            await asyncio.sleep(min(retries.longest_wait_s, asked_s + wait_s * fraction))
            wait_s *= 2
        raise AssertionError  # pragma: no cover - the last try returns or raises

    def _verify_open(self) -> None:
        if self._is_closed:
            msg = "the client is closed"
            raise ClientClosedError(msg)

    async def _once(self, call: Call) -> bytes:
        if self._session is None:
            self._session = self._open()
        headers = {"Accept-Language": self._language, **(call.headers or {})}
        if call.body is not None:
            headers["Content-Type"] = call.media_type
        timeout = aiohttp.ClientTimeout(
            total=self._retries.answer_s + call.wait_s, sock_connect=self._retries.connect_s
        )
        async with self._session.request(
            call.method,
            self._url + call.path,
            data=_payload(call.body),
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
        ) as response:
            body = await _read(response)
            if 200 <= response.status < 300:
                return body
            raise _problem(response, body)

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=POOL, ssl=True if self._context is None else self._context, keepalive_timeout=45.0
        )
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={
                "Accept": "application/json, application/x-ndjson, application/problem+json",
                "Accept-Encoding": "identity",
            },
            skip_auto_headers={"User-Agent"},
        )


def _payload(body: bytes | None) -> BytesIO | bytes | None:
    """Return a large body as a stream: aiohttp would write bytes in one piece, holding up the loop."""
    return body if body is None or len(body) <= LARGE_BYTES else BytesIO(body)


def _tls_refusal(error: BaseException) -> str | None:
    """Return which side refuses TLS, and why; None if TLS itself did not fail.

    In TLS 1.3 a refused client certificate shows up late, with the first read.
    """
    cause: BaseException | None
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        why = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "no reason given"
        return (
            f"TLS failed: the certificate of the node is not accepted here ({why}); "
            "ca.pem has to be of the node's nation, and the address one that the certificate names"
        )
    for cause in (getattr(error, "os_error", None), error.__cause__, error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            why = getattr(cause, "reason", None) or "no reason given"  # absent unless OpenSSL has raised it
            return f"TLS failed: the other side does not accept client.pem, or is no node ({why})"
    return None


def _hint(error: BaseException) -> str:
    """Return what a person can do about it, if the error tells."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ": the name of its host is not known here"
    if isinstance(error, aiohttp.ClientConnectorError):
        return ": nothing listens there, or a firewall is in between"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        # Servers on asyncio close without an alert when they refuse a certificate.
        return ": it closes the connection; does it accept this certificate on this port?"
    return ""


async def _read(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            response.close()
            msg = "the answer is longer than any of the agency API"
            raise AnswerUnreadableError(msg)
        chunks.append(chunk)
    return b"".join(chunks)


def _problem(response: aiohttp.ClientResponse, body: bytes) -> ProblemError | AnswerUnreadableError:
    try:
        document = orjson.loads(body)
    except ValueError:
        document = None
    is_named = isinstance(document, dict) and is_code(document.get("code"))
    if not is_named and response.status not in _LATER:
        # Every refusal of a node names its problem; what stands before it may ask for patience without.
        msg = f"HTTP {response.status} without a problem document: is the URL that of an Entente node?"
        return AnswerUnreadableError(msg)
    asked = response.headers.get("Retry-After", "")
    return problem_from(
        document,
        status=response.status,
        retry_after_s=int(asked) if _SECONDS.fullmatch(asked) else None,
    )
