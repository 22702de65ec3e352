"""The agency API for programs that run on asyncio.

::

    async with AsyncClient.from_folder(Path("agencies/FR.DGDDI.SARC"), url=url) as client:
        accepted = await client.send(draft)
        async for received in client.inbox(wait_s=30):
            store(received.message)
            await client.ack(received.message_id)

Spec: docs/api.md.
"""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import orjson

from gateway.client import reading
from gateway.client.errors import KeyUnusableError, ProblemError
from gateway.client.identity import known_url, open_context
from gateway.client.model import (
    Accepted,
    Checked,
    Conversation,
    InboxPage,
    MessageType,
    Received,
    Summary,
    Tracked,
    WhoAmI,
)
from gateway.client.transport import Call, Language, Retries, Transport

Message = Mapping[str, Any] | bytes
"""A message or draft, as an object or as JSON bytes that are sent as they are."""

KEY: Final = re.compile(r"[!-~]{1,128}")
"""An idempotency key."""

NDJSON = "application/x-ndjson"
_TAIL_S = 5.0


class AsyncClient:
    """An agency at its node. Use it as an async context manager.

    Every method raises `ProblemError` when the node refuses, `NotReachableError` when no
    answer comes in spite of repeats, `IdentityError` when the TLS handshake fails,
    `AnswerUnreadableError` when something else than an Entente node answers, and
    `ClientClosedError` once it is closed. Those that take a key raise `KeyUnusableError`.
    """

    def __init__(
        self,
        url: str,
        *,
        context: ssl.SSLContext | None,
        language: Language = "en",
        retries: Retries | None = None,
    ) -> None:
        """Take what is needed to call; nothing is opened yet.

        Args:
            url: Base address: ``https://host:port``.
            context: TLS context of the agency, see `open_context`.
            language: Language of titles, details and error messages.
            retries: How calls are repeated; the defaults if None.
        """
        self._transport = Transport(url, context=context, language=language, retries=retries or Retries())

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        url: str | None = None,
        language: Language = "en",
        retries: Retries | None = None,
    ) -> Self:
        """Return a client with the identity in a folder.

        Args:
            folder: Holds ``client.pem``, ``client.key`` and ``ca.pem``.
            url: Base address; the one in ``url`` of the folder if None.
            language: Language of titles, details and error messages.
            retries: How calls are repeated; the defaults if None.

        Raises:
            IdentityError: A file is absent or cannot be used, or no address is known.
        """
        return cls(known_url(folder, url), context=open_context(folder), language=language, retries=retries)

    async def __aenter__(self) -> Self:
        """Return the client; it connects when it is used."""
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
        """Close every connection."""
        await self._transport.close()

    # --- sending ---------------------------------------------------------------------

    async def send(self, message: Message, *, key: str | None = None) -> Accepted:
        """Post a message or a draft.

        Args:
            message: A message or a draft.
            key: Idempotency key; without it, the message id is the key, or a new random
                one for a draft that has none.
        """
        body = _json(message)
        headers = _key_header(_new_key(message) if key is None else key)
        answer = await self._transport.call(
            Call(method="POST", path="/v1/messages", body=body, headers=headers)
        )
        return reading.read_answer(answer, reading.accepted)

    async def send_batch(
        self, messages: Sequence[Message], *, key: str | None = None
    ) -> list[Accepted | ProblemError]:
        """Post many messages at once; results are in order, refusals as values.

        Args:
            messages: Messages or drafts; at most 5,000 and 16 MiB.
            key: Idempotency key of the whole batch; without it, each message's id is its key, or a
                new random one stands for the whole batch if there is a draft without id among them.
        """
        if not messages:
            return []
        body = b"".join(_json(message).replace(b"\n", b" ") + b"\n" for message in messages)
        if key is None:
            key = next(filter(None, map(_new_key, messages)), None)
        headers = _key_header(key)
        answer = await self._transport.call(
            Call(method="POST", path="/v1/messages:batch", body=body, media_type=NDJSON, headers=headers)
        )
        return reading.read_lines(answer, len(messages), reading.accepted)

    async def check(self, message: Message, *, strict: bool = False) -> Checked:
        """Return the completed message, and warnings, if it would be accepted now; nothing is kept.

        Args:
            message: A message or a draft.
            strict: Complete nothing: the message has to be whole.
        """
        path = "/v1/messages:check" + ("?mode=strict" if strict else "")
        answer = await self._transport.call(Call(method="POST", path=path, body=_json(message)))
        return reading.read_answer(answer, reading.checked)

    # --- following -------------------------------------------------------------------

    async def status(
        self, message_id: str, *, wait_s: float = 0.0, known_events: int | None = None
    ) -> Tracked:
        """Return an own message with its timeline.

        Args:
            message_id: Its id.
            wait_s: Seconds to wait, 60 at most, while nothing has changed.
            known_events: Length of the timeline that the caller knows already.
        """
        path = f"/v1/messages/{quote(message_id, safe='')}"
        if known_events is not None:
            path += f"?wait={wait_s:g}&events={known_events}"
        answer = await self._transport.call(Call(method="GET", path=path, wait_s=wait_s))
        return reading.read_answer(answer, reading.tracked)

    async def watch(self, message_id: str, *, wait_s: float = 30.0) -> AsyncIterator[Tracked]:
        """Yield an own message now and after every step, until nothing can follow."""
        known = -1
        while True:
            tracked = await self.status(message_id, wait_s=wait_s, known_events=None if known < 0 else known)
            if len(tracked.timeline) != known:
                yield tracked
            if tracked.is_final:
                return
            known = len(tracked.timeline)

    async def withdraw(self, message_id: str) -> datetime:
        """Take an accepted message back before it is sent; return when."""
        path = f"/v1/messages/{quote(message_id, safe='')}:withdraw"
        answer = await self._transport.call(Call(method="POST", path=path))
        return reading.read_answer(answer, reading.time_field("withdrawn_at"))

    async def evidence(self, message_id: str, *, disclose: bool = False) -> bytes:
        """Return the ZIP that proves a message to others, with its content key if asked for."""
        query = "?disclose=true" if disclose else ""
        path = f"/v1/messages/{quote(message_id, safe='')}/evidence{query}"
        return await self._transport.call(Call(method="GET", path=path))

    async def sent(self, *, limit: int = 100) -> AsyncIterator[Summary]:
        """Yield what this agency posted, newest first."""
        path = f"/v1/messages?limit={limit}"
        following: str | None = ""
        while following is not None:
            answer = await self._transport.call(
                Call(method="GET", path=path + (f"&after={following}" if following else ""))
            )
            page, following = reading.read_answer(answer, reading.items("messages", reading.summary))
            for item in page:
                yield item

    # --- receiving -------------------------------------------------------------------

    async def inbox_page(
        self,
        *,
        wait_s: float = 0.0,
        limit: int = 100,
        after: str | None = None,
        collected: bool = False,
    ) -> InboxPage:
        """Return one page of the inbox, by precedence, then arrival.

        Args:
            wait_s: Seconds to wait, 60 at most, while there is nothing.
            limit: Longest page, 1 to 1,000.
            after: Cursor of the page before.
            collected: List what was acknowledged instead.
        """
        path = f"/v1/inbox?wait={wait_s:g}&limit={limit}"
        if after is not None:
            path += f"&after={quote(after, safe='')}"
        if collected:
            path += "&collected=true"
        answer = await self._transport.call(Call(method="GET", path=path, wait_s=wait_s))
        return reading.read_answer(answer, reading.inbox_page)

    async def inbox(
        self, *, wait_s: float = 30.0, limit: int = 100, follow: bool = True
    ) -> AsyncIterator[Received]:
        """Yield messages that are not acknowledged, each once, the most urgent first.

        Acknowledge a message (`ack`) once it is stored: until then it stays in the inbox
        and comes again to the next reader.

        Args:
            wait_s: Seconds of one long poll, 60 at most.
            limit: Messages fetched at once.
            follow: Go on for ever; False ends when there is nothing new.
        """
        seen: set[str] = set()
        after: str | None = None
        tail = False
        while True:
            # At the end of an inbox that holds only what was seen, wait behind it, but not
            # for long: something urgent would come before it.
            pause_s = min(wait_s, _TAIL_S) if tail else wait_s if after is None and follow else 0.0
            page = await self.inbox_page(wait_s=pause_s, limit=limit, after=after)
            fresh = [item for item in page.messages if item.message_id not in seen]
            for item in fresh:
                seen.add(item.message_id)
                yield item
            if fresh:
                after, tail = None, False
            elif page.messages:
                after, tail = page.following, False
            elif not follow:
                return
            elif after is None:
                seen.clear()  # empty: everything was acknowledged
            elif tail:
                after, tail = None, False
            else:
                tail = True

    async def read(self, message_id: str) -> Received:
        """Return one received message with what the node verified."""
        answer = await self._transport.call(
            Call(method="GET", path=f"/v1/inbox/{quote(message_id, safe='')}")
        )
        return reading.read_answer(answer, reading.received)

    async def ack(self, message_id: str) -> datetime:
        """Acknowledge a message: it is stored here. May be repeated; return when it was first."""
        path = f"/v1/inbox/{quote(message_id, safe='')}:ack"
        answer = await self._transport.call(Call(method="POST", path=path))
        return reading.read_answer(answer, reading.time_field("collected_at"))

    async def ack_batch(self, message_ids: Sequence[str]) -> list[datetime | ProblemError]:
        """Acknowledge many messages at once: they are stored here. Results are in order.

        Args:
            message_ids: At most 1,000; each one's refusal is a value among the results.
        """
        if not message_ids:
            return []
        body = b"".join(_json({"message_id": message_id}) + b"\n" for message_id in message_ids)
        answer = await self._transport.call(
            Call(method="POST", path="/v1/inbox:ack", body=body, media_type=NDJSON)
        )
        return reading.read_lines(answer, len(message_ids), reading.time_field("collected_at"))

    # --- conversations and catalogue -------------------------------------------------

    async def conversations(
        self, *, limit: int = 50, states: Sequence[str] = ()
    ) -> AsyncIterator[Conversation]:
        """Yield conversations: open ones by the deadline of the answer, then the others, newest first.

        Args:
            limit: Conversations in one call, 1 to 200.
            states: Only conversations in one of these states; empty for all.
        """
        path = f"/v1/conversations?limit={limit}"
        if states:
            path += "&state=" + ",".join(quote(state, safe="") for state in states)
        following: str | None = ""
        while following is not None:
            answer = await self._transport.call(
                Call(method="GET", path=path + (f"&after={following}" if following else ""))
            )
            page, following = reading.read_answer(
                answer, reading.items("conversations", reading.conversation)
            )
            for item in page:
                yield item

    async def conversation(self, conversation_id: str, *, limit: int = 500) -> Conversation:
        """Return one conversation with all of its messages.

        Args:
            conversation_id: Its id.
            limit: Messages in one call, 1 to 1,000.
        """
        path = f"/v1/conversations/{quote(conversation_id, safe='')}?limit={limit}"
        pages: list[Conversation] = []
        following: str | None = ""
        while following is not None:
            answer = await self._transport.call(
                Call(method="GET", path=path + (f"&after={following}" if following else ""))
            )
            page, following = reading.read_answer(answer, reading.conversation_page)
            pages.append(page)
        return reading.joined(pages)

    async def types(self) -> tuple[MessageType, ...]:
        """Return every message type, without schemas."""
        answer = await self._transport.call(Call(method="GET", path="/v1/types"))
        return reading.read_answer(answer, reading.items("types", reading.message_type))[0]

    async def type(self, type_id: str) -> MessageType:
        """Return one message type with its JSON Schema."""
        answer = await self._transport.call(Call(method="GET", path=f"/v1/types/{quote(type_id, safe='/')}"))
        return reading.read_answer(answer, reading.message_type)

    async def agreement(self) -> dict[str, Any]:
        """Return what both nations have agreed on."""
        answer = await self._transport.call(Call(method="GET", path="/v1/agreement"))
        return reading.read_answer(answer, reading.plain)

    async def whoami(self) -> WhoAmI:
        """Return who the certificate says we are, and what we may send."""
        answer = await self._transport.call(Call(method="GET", path="/v1/whoami"))
        return reading.read_answer(answer, reading.who_am_i)


def _json(message: Message) -> bytes:
    return message if isinstance(message, bytes) else orjson.dumps(message)


def _key_header(key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    if KEY.fullmatch(key) is None:
        msg = "an idempotency key is 1 to 128 visible ASCII characters without spaces; nothing was sent"
        raise KeyUnusableError(msg)
    return {"Idempotency-Key": key}


def _new_key(message: Message) -> str | None:
    """Return a random key for a draft; None where the message id is the key."""
    if isinstance(message, bytes):
        try:
            message = orjson.loads(message)
        except ValueError:
            return None  # the node says what is wrong with it
    header = message.get("header") if isinstance(message, Mapping) else None
    if isinstance(header, Mapping) and "message_id" in header:
        return None
    return secrets.token_hex(16)
