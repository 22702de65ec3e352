"""Third parties over HTTP: a time-stamp authority (RFC 3161) and witnesses (C2SP tlog-witness).

They belong to neither nation, so they get what proves nothing about anybody: a hash, or a
checkpoint without its entries. Plain HTTP does, because what they answer is signed and
verified; HTTPS trusts the certificates that the configuration names and never those of the
system. Every call has a deadline and every answer a limit, and no traffic waits for one.

Spec: RFC 3161 Section 3.4; C2SP tlog-witness, "add-checkpoint".
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Final

import aiohttp

from gateway.audit.stamps import MAX_STAMP_BYTES, StampAuthority, stamp_request, verify_stamp
from gateway.core.note import MAX_NOTE_BYTES
from gateway.core.witness import WitnessKey
from gateway.errors import PeerConflictError, PeerError, UnavailableError

CALL_S: Final = 20.0
CONNECT_S: Final = 5.0

_QUERY: Final = "application/timestamp-query"
_REPLY: Final = "application/timestamp-reply"
_SIZE: Final = "text/x.tlog.size"
_SIZE_LINE: Final = re.compile(rb"(0|[1-9][0-9]{0,15})\n")
_MAX_SIZE_BYTES: Final = 64


class HttpTimeAuthority:
    """Implements `gateway.ports.TimeAuthority`."""

    def __init__(
        self, *, name: str, url: str, authority: StampAuthority, context: ssl.SSLContext | None
    ) -> None:
        """Ask at ``url`` and believe stamps under the certificates of ``authority`` alone."""
        self._name = name
        self._url = url
        self._authority = authority
        self._context = context

    @property
    def name(self) -> str:
        """Return the name by which its stamps are kept."""
        return self._name

    async def stamp(self, text: bytes) -> bytes:
        """Return its verified response over a text."""
        request = stamp_request(text)
        status, media_type, body = await _post(
            self._url, request.body, media_type=_QUERY, context=self._context, max_bytes=MAX_STAMP_BYTES
        )
        if status != 200 or media_type != _REPLY:
            msg = f"the time-stamp authority answers with status {status} and no time stamp"
            raise PeerError(msg)
        # Every signature is verified before it is kept.
        verify_stamp(body, text, authority=self._authority, nonce=request.nonce)
        return body


class HttpWitness:
    """Implements `gateway.ports.Witness`."""

    def __init__(self, *, name: str, url: str, key: WitnessKey, context: ssl.SSLContext | None) -> None:
        """Ask below ``url`` for lines of ``key``."""
        self._name = name
        self._url = f"{url.rstrip('/')}/add-checkpoint"
        self._key = key
        self._context = context

    @property
    def name(self) -> str:
        """Return the name by which its cosignatures are kept."""
        return self._name

    @property
    def key(self) -> WitnessKey:
        """Return the public key that its lines have to be of."""
        return self._key

    async def add_checkpoint(self, body: bytes) -> bytes:
        """Ask for its line; return what it answers, not verified."""
        status, media_type, answer = await _post(
            self._url, body, media_type=None, context=self._context, max_bytes=MAX_NOTE_BYTES
        )
        if status == 409 and media_type == _SIZE:
            size = _SIZE_LINE.fullmatch(answer) if len(answer) <= _MAX_SIZE_BYTES else None
            if size is not None:
                raise PeerConflictError(int(size[1]))
        if status != 200:
            msg = f"the witness refuses with status {status}"
            raise PeerError(msg)
        return answer


async def _post(
    url: str, body: bytes, *, media_type: str | None, context: ssl.SSLContext | None, max_bytes: int
) -> tuple[int, str, bytes]:
    """Make one call; return status, media type and body.

    Raises:
        UnavailableError: Not reachable, no answer in time, or an answer that asks to come again.
        PeerError: An answer that is too long or cannot be read.
    """
    headers = {} if media_type is None else {"Content-Type": media_type}
    try:
        # A connection for each call: there is one an hour, and a session that nobody closes is none.
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=True if context is None else context, limit=1),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"Accept-Encoding": "identity"},
                skip_auto_headers={"User-Agent"},
            ) as session,
            session.post(
                url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=CALL_S, sock_connect=CONNECT_S),
                allow_redirects=False,
            ) as response,
        ):
            if response.status in {408, 429} or response.status >= 500:
                msg = "a third party cannot do it now"
                raise UnavailableError(msg)
            answer = await _read(response, max_bytes)
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return response.status, kind, answer
    except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        msg = "a third party is not reachable"
        raise UnavailableError(msg) from error
    except ValueError as error:
        # What aiohttp says of bytes that are no answer.
        msg = "a third party's answer cannot be read"
        raise PeerError(msg) from error


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return a body, having stopped at its limit."""
    body = b""
    while chunk := await response.content.readany():
        body += chunk
        if len(body) > max_bytes:
            response.close()
            msg = "a third party's answer is longer than it may be"
            raise PeerError(msg)
    return body
