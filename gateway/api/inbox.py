"""Reading and acknowledging what arrived."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Final
from uuid import UUID

import orjson

from gateway.api.answers import delivery_json, listing_json, uuid_text
from gateway.api.callers import Caller
from gateway.api.conversation_answers import in_force_document
from gateway.api.cursors import CURSOR, decode_inbox, encode_inbox
from gateway.api.messages import CURSOR_EXPECTED, MAX_PAGE, MAX_WAIT_S, NDJSON
from gateway.api.services import Services
from gateway.core.message.instants import time_text
from gateway.core.message.strict_json import JsonRefusedError, parse_json
from gateway.core.message.wording import Wording
from gateway.errors import GatewayError
from gateway.node.inbox import Delivery, NotFoundError
from gateway.node.refusal import UnreadableError
from gateway.node.second_stage import ErasedError
from gateway.web import routing
from gateway.web.exchange import Reply, Request
from gateway.web.problems import body_of, problem_of
from gateway.web.refusals import BadParameter, BodyTooLargeError, ParameterError

_BEGINNING = (-1, 0)
_ID: Final = re.compile(routing.UUID)
_PLAIN_LINE: Final = re.compile(rb'\{"message_id":"(%b)"\}' % routing.UUID.encode("ascii"))
"""A line of a batch as nearly every client writes it: read in a fifth of the time that JSON takes."""

_ID_EXPECTED: Final = Wording(
    en='an object that holds the id of a message and nothing else: {"message_id": "…"}',
    fr='un objet qui contient l\'identifiant d\'un message et rien d\'autre : {"message_id": "…"}',
)


class InboxHandlers:
    """Calls about messages that this agency receives."""

    def __init__(self, services: Services) -> None:
        """Serve from a node."""
        self._services = services

    async def page(self, request: Request[Caller]) -> Reply:
        """Return messages by precedence, then arrival; wait while there are none."""
        query = request.query
        wait_s = query.seconds("wait", default=0, low=0, high=MAX_WAIT_S)
        limit = query.integer("limit", default=100, low=1, high=MAX_PAGE)
        cursor = query.text("after", pattern=CURSOR, expected=CURSOR_EXPECTED)
        collected = query.choice("collected", default="false", choices=("true", "false")) == "true"
        query.done()
        after: tuple[int, int] | None = _BEGINNING
        if cursor is not None:
            after = decode_inbox(cursor)
        if after is None:
            raise ParameterError([BadParameter(name="after", expected=CURSOR_EXPECTED)])
        page = asyncio.ensure_future(
            self._services.inbox.page(
                request.caller.principal, after=after, limit=limit, wait_s=wait_s, collected=collected
            )
        )
        deliveries = await _unless_gone(request, page) if wait_s else await page
        following = cursor
        if deliveries:
            last = deliveries[-1].row
            following = encode_inbox(last.rank, last.number)
        items = [
            delivery_json(delivery, in_force=in_force_document(delivery.in_force)) for delivery in deliveries
        ]
        return Reply(body=listing_json("messages", items, following))

    async def read(self, request: Request[Caller]) -> Reply:
        """Return one message with its verification facts."""
        message_id = UUID(request.names["id"]).bytes
        delivery, verification = await self._services.inbox.read(request.caller.principal, message_id)
        if delivery.message is None:
            msg = "the content was erased"
            raise ErasedError(msg)
        own_origin = self._services.pair.first_exchange_origin
        return Reply(
            body=delivery_json(
                delivery,
                in_force=in_force_document(delivery.in_force),
                verification=verification,
                own_origin=own_origin,
            )
        )

    async def acknowledge(self, request: Request[Caller]) -> Reply:
        """Record that the agency has the message."""
        message_id = UUID(request.names["id"]).bytes
        at_ms = await self._services.inbox.acknowledge(request.caller.principal, message_id)
        document = {"message_id": request.names["id"], "collected_at": time_text(at_ms)}
        return Reply(body=orjson.dumps(document))

    async def acknowledge_batch(self, request: Request[Caller]) -> Reply:
        """Record that the agency has many messages, in one transaction; one result a line."""
        lines = request.body.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        if len(lines) > MAX_PAGE:
            msg = f"a batch of acknowledgements has at most {MAX_PAGE} lines"
            raise BodyTooLargeError(msg)
        named = [_named(line) for line in lines]
        message_ids = [item for item in named if isinstance(item, bytes)]
        collected: Iterator[int | None] = iter(())
        if message_ids:
            inbox = self._services.inbox
            collected = iter(await inbox.acknowledge_all(request.caller.principal, message_ids))
        results: list[bytes] = []
        for item in named:
            at_ms = next(collected) if isinstance(item, bytes) else None
            if isinstance(item, bytes) and at_ms is not None:
                result = f'{{"message_id":"{uuid_text(item)}","collected_at":"{time_text(at_ms)}"}}'
                results.append(b'{"status":200,"result":%b}\n' % result.encode("ascii"))
                continue
            error = NotFoundError("no such message in this inbox") if isinstance(item, bytes) else item
            body = body_of(error, request.language)
            results.append(b'{"status":%d,"problem":%b}\n' % (problem_of(error).status, body))
        return Reply(body=b"".join(results), media_type=NDJSON, language=request.language)


def _named(line: bytes) -> bytes | GatewayError:
    """Return the message id that a line of a batch names, 16 bytes, or why it names none."""
    plain = _PLAIN_LINE.fullmatch(line)
    if plain is not None:
        return bytes.fromhex(plain[1].replace(b"-", b"").decode("ascii"))
    try:
        document = parse_json(line)
    except JsonRefusedError as error:
        return UnreadableError((error.violation,))
    message_id = document.get("message_id")
    if len(document) != 1 or not isinstance(message_id, str) or _ID.fullmatch(message_id) is None:
        return ParameterError([BadParameter(name="message_id", expected=_ID_EXPECTED)])
    return UUID(message_id).bytes


async def _unless_gone(request: Request[Caller], page: asyncio.Future[list[Delivery]]) -> list[Delivery]:
    """Return a page; an empty one if the client goes away, or the port closes, while it waits."""
    gone = asyncio.ensure_future(request.when_gone())
    try:
        await asyncio.wait((page, gone), return_when=asyncio.FIRST_COMPLETED)
        return page.result() if page.done() else []
    finally:
        gone.cancel()
        page.cancel()
