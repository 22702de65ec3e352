"""The other node, as the courier sees it: `gateway.ports.PeerLink` over mutual TLS.

Whatever happens on the way becomes one of four errors: not available now, another size,
frozen, refused. Nothing of an answer is trusted: lengths are bounded before they are read,
and every body has to be the one encoding of its value.

Spec: docs/spec/peer-calls.md.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import aiohttp

from gateway.core.bundle import MAX_NOTE_BYTES
from gateway.core.message.strict_json import JsonRefusedError, parse_json
from gateway.errors import (
    GatewayError,
    PairFrozenError,
    PeerConflictError,
    PeerError,
    UnavailableError,
)
from gateway.link.pinning import NotThePeerError, Pins, pin_handshakes
from gateway.link.wire import (
    ADD_CHECKPOINT_PATH,
    BUNDLES_PATH,
    CHECKPOINT,
    ENTRIES_PATH,
    MAX_ENTRIES_BYTES,
    MAX_SMALL_BYTES,
    MSGPACK,
    SIZE,
    STANDING_PATH,
    VIEW_PATH,
    decode_answer,
    decode_entries,
    decode_size,
    decode_standing,
    decode_view,
)
from gateway.ports import BundleAnswer, Clock, PeerView, Standing
from gateway.web.identity import Certificate
from gateway.web.limits import MIB

POOL: Final = 6
KEEP_S: Final = 45.0
"""Shorter than the other end keeps a connection, so that it is we who let go."""

CONNECT_S: Final = 5.0
VIEW_S: Final = 5.0
ENTRIES_S: Final = 20.0
CHECKPOINT_S: Final = 10.0
BUNDLE_S: Final = 30.0

_HANDSHAKE_FAILED: Final = "the TLS handshake with the peer failed"
_UNFIT: Final = {
    9: "the certificate that the peer shows is not valid yet",
    10: "the certificate that the peer shows, or the authority above it, has ended",
    12: "the peer's revocation list has ended",
    23: "the certificate that the peer shows is revoked",
    62: "the certificate that the peer shows bears another name",
}
"""Results of OpenSSL's verification (X509_V_ERR_…) that have words of their own."""

PROBLEM: Final = "application/problem+json"
_MAX_REFUSAL_BYTES: Final = 16_384
_MAX_RETRY_S: Final = 300
_SECONDS: Final = re.compile(r"[0-9]{1,6}")
_DATE: Final = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} [1-9]\d{3} \d\d:\d\d:\d\d GMT", re.ASCII)
"""The one form of HTTP dates that is sent (RFC 9110, Section 5.6.7). The parser for mail takes many
more, and fails with errors of its own at a zone that no clock has."""


class OwnCertificateEndedError(UnavailableError):
    """The peer is not reachable while the certificate that we show it has ended: that is why, most likely."""

    code = "own-certificate-ended"


class OwnKeyUnknownError(PeerError):
    """The peer does not know the key that we show it: it has not got our newest key statement."""

    code = "own-key-unknown"


class HttpPeerLink:
    """Calls the peer port of the other node. Open it with ``async with``.

    A connection ends with the certificate that the peer has shown on it: nobody is trusted longer
    because a connection happened to be open.
    """

    def __init__(
        self,
        *,
        url: str,
        context: ssl.SSLContext | None,
        pins: Pins,
        server_name: str | None = None,
        clock: Clock | None = None,
        is_own_ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take what identifies the peer; nothing is opened yet.

        Args:
            url: Base address of its peer port.
            context: TLS context that trusts its node authority alone. It is used for this
                link only: its handshakes are pinned from now on. None for plain HTTP, in
                tests on loopback.
            pins: Returns the SPKI digests that the peer may use now.
            server_name: Name in its certificate; the host of ``url`` if None.
            clock: What the peer's clock and the end of its certificate are compared with; None
                compares them with nothing.
            is_own_ended: Says whether the certificate that we show has ended. It is asked where a
                connection ends without a word, as it does with such a certificate.
        """
        self._url = url.rstrip("/")
        self._context = context
        self._pins = pins
        self._server_name = server_name
        self._session: aiohttp.ClientSession | None = None
        self._clock = clock
        self._date = ""
        self._asked_ms = self._answered_ms = 0
        self._is_own_ended = is_own_ended
        # When the first of the certificates ends that the peer has shown on open connections.
        self._shown_until_ms: int | None = None
        self.peer_certificate_ends_ms: int | None = None
        """When the certificate ends that the peer has shown last, UTC milliseconds; None before."""
        if context is not None:
            pin_handshakes(context, pins, self._shown)

    @property
    def peer_time(self) -> datetime | None:
        """Return what the peer's clock said with its newest answer, to the second, or None."""
        if _DATE.fullmatch(self._date) is None:
            return None
        try:
            return parsedate_to_datetime(self._date)
        except ValueError:
            return None

    @property
    def peer_ahead_s(self) -> float | None:
        """Return how far the peer's clock is ahead at least; see `gateway.ports.PeerLink`.

        It looked at its clock between our question and its answer, and told whole seconds. So a
        slow line, or a process that stood still, widens what may be and proves nothing.
        """
        told = self.peer_time
        if told is None or self._clock is None:
            return None
        told_s = told.timestamp()
        least_s, most_s = told_s - self._answered_ms / 1_000, told_s + 1 - self._asked_ms / 1_000
        return max(least_s, 0.0) + min(most_s, 0.0)

    async def __aenter__(self) -> Self:
        """Make the connection pool."""
        self._session = self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        await self.close()

    async def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        session, self._session = self._session, None
        self._shown_until_ms = None
        if session is not None:
            await session.close()

    async def replace_context(self, context: ssl.SSLContext) -> None:
        """Use another TLS context from now on, and close what is open under the old one."""
        pin_handshakes(context, self._pins, self._shown)
        self._context = context
        await self.close()

    async def post_bundle(self, bundle: bytes) -> BundleAnswer:
        """Ship a bundle; see `gateway.ports.PeerLink`."""
        body = await self._call(
            "POST",
            BUNDLES_PATH,
            body=bundle,
            media_type=MSGPACK,
            answer=MSGPACK,
            max_bytes=MAX_SMALL_BYTES,
            total_s=BUNDLE_S,
        )
        return decode_answer(body)

    async def view(self) -> PeerView:
        """Ask what the peer holds; see `gateway.ports.PeerLink`."""
        body = await self._call("GET", VIEW_PATH, answer=MSGPACK, max_bytes=MAX_SMALL_BYTES, total_s=VIEW_S)
        return decode_view(body)

    async def standing(self) -> Standing:
        """Ask which generations the peer knows; see `gateway.ports.PeerLink`."""
        body = await self._call(
            "GET", STANDING_PATH, answer=MSGPACK, max_bytes=MAX_SMALL_BYTES, total_s=VIEW_S
        )
        return decode_standing(body)

    async def entries(self, log: str, start: int, end: int) -> tuple[bytes, ...]:
        """Ask for entries, one at least, fewer than asked for if they are large."""
        path = f"{ENTRIES_PATH}?log={quote(log, safe='/')}&start={start}&end={end}"
        body = await self._call("GET", path, answer=MSGPACK, max_bytes=MAX_ENTRIES_BYTES, total_s=ENTRIES_S)
        return decode_entries(body, start=start, end=end)

    async def add_checkpoint(self, body: bytes) -> bytes:
        """Ask for a cosignature of the audit log; see `gateway.ports.PeerLink`."""
        return await self._call(
            "POST",
            ADD_CHECKPOINT_PATH,
            body=body,
            media_type=CHECKPOINT,
            answer=CHECKPOINT,
            max_bytes=MAX_NOTE_BYTES,
            total_s=CHECKPOINT_S,
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        answer: str,
        max_bytes: int,
        total_s: float,
        body: bytes | None = None,
        media_type: str | None = None,
    ) -> bytes:
        """Make one call and return the body of its 200."""
        if self._has_ended():
            await self.close()
        if self._session is None:
            self._session = self._open()
        headers = {"Accept": f"{answer}, {SIZE}, {PROBLEM}"}
        if media_type is not None:
            headers["Content-Type"] = media_type
        asked_ms = 0 if self._clock is None else self._clock.now_ms()
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=_payload(body),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S),
                allow_redirects=False,
                server_hostname=self._server_name if self._context is not None else None,
            ) as response:
                self._told(response.headers.get("Date", ""), asked_ms)
                if response.status != 200:
                    raise await _refusal(response)
                if _media_type(response) != answer:
                    msg = "the peer answers with another media type"
                    raise PeerError(msg)
                return await _read(response, max_bytes)
        except GatewayError:
            raise
        except aiohttp.ClientConnectorCertificateError as error:
            code = getattr(error.certificate_error, "verify_code", 0)
            raise NotThePeerError(_UNFIT.get(code, _HANDSHAKE_FAILED)) from error
        except aiohttp.ClientConnectorSSLError as error:
            raise NotThePeerError(_HANDSHAKE_FAILED) from error
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            if self._is_own_ended():
                msg = "the peer is not reachable, and our certificate own/tls-peer.pem has ended"
                raise OwnCertificateEndedError(msg) from error
            msg = "the peer is not reachable"
            raise UnavailableError(msg) from error
        except ValueError as error:
            # What aiohttp says of bytes that are no answer.
            msg = "the peer's answer cannot be read"
            raise PeerError(msg) from error

    def _shown(self, certificate: Certificate) -> None:
        """Note until when a new connection may be used."""
        ends = self.peer_certificate_ends_ms = certificate.expires_ms
        self._shown_until_ms = ends if self._shown_until_ms is None else min(self._shown_until_ms, ends)

    def _has_ended(self) -> bool:
        """Return whether the peer's certificate has ended on a connection that may be open."""
        if self._clock is None or self._shown_until_ms is None:
            return False
        return self._clock.now_ms() >= self._shown_until_ms

    def _told(self, date: str, asked_ms: int) -> None:
        """Note the peer's time in an answer, with when it was asked for and when it came."""
        self._date, self._asked_ms = date, asked_ms
        if self._clock is not None:
            self._answered_ms = self._clock.now_ms()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=POOL,
            ssl=True if self._context is None else self._context,
            keepalive_timeout=KEEP_S,
            enable_cleanup_closed=False,
        )
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"Accept-Encoding": "identity"},
            skip_auto_headers={"User-Agent"},
        )


def _payload(body: bytes | None) -> BytesIO | bytes | None:
    """Return a large body as a stream: aiohttp would write bytes in one piece, holding up the loop."""
    return body if body is None or len(body) <= MIB else BytesIO(body)


async def _refusal(response: aiohttp.ClientResponse) -> GatewayError:
    """Return the error that another status than 200 stands for."""
    status = response.status
    if status == 409 and _media_type(response) == SIZE:
        return PeerConflictError(decode_size(await _read(response, _MAX_REFUSAL_BYTES)))
    if status == 423:
        return PairFrozenError("the peer has frozen the pair")
    if status in {408, 429} or status >= 500:
        return UnavailableError("the peer cannot do it now", retry_after_s=_retry_after(response))
    if status == 403 and await _problem_code(response) == NotThePeerError.code:
        return OwnKeyUnknownError("the peer does not know the key of our certificate own/tls-peer.pem")
    return PeerError(f"the peer refuses with status {status}")


async def _problem_code(response: aiohttp.ClientResponse) -> object:
    """Return the code of the problem that the peer names, or None if it names none."""
    if _media_type(response) != PROBLEM:
        return None
    try:
        return parse_json(await _read(response, _MAX_REFUSAL_BYTES)).get("code")
    except JsonRefusedError:
        return None


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return a body, having stopped at its limit."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > max_bytes:
            response.close()
            msg = "the peer's answer is longer than the call allows"
            raise PeerError(msg)
        chunks.append(chunk)
    return b"".join(chunks)


def _media_type(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Type", "").replace(" ", "").lower()


def _retry_after(response: aiohttp.ClientResponse) -> int:
    text = response.headers.get("Retry-After", "")
    return min(_MAX_RETRY_S, int(text)) if _SECONDS.fullmatch(text) else 1
