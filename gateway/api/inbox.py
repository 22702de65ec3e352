"""Reading and acknowledging what arrived."""

from __future__ import annotations

import asyncio
from uuid import UUID

import orjson

from gateway.api.answers import delivery_json, listing_json
from gateway.api.callers import Caller
from gateway.api.cursors import CURSOR, decode_inbox, encode_inbox
from gateway.api.messages import CURSOR_EXPECTED, MAX_PAGE, MAX_WAIT_S
from gateway.api.services import Services
from gateway.core.envelope import time_text
from gateway.node.admission import ErasedError
from gateway.node.inbox import Delivery
from gateway.web.exchange import Reply, Request
from gateway.web.refusals import BadParameter, ParameterError

_BEGINNING = (-1, 0)


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
        cursor = query.text("after", pattern=CURSOR)
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
        return Reply(body=listing_json("messages", [delivery_json(item) for item in deliveries], following))

    async def read(self, request: Request[Caller]) -> Reply:
        """Return one message with its verification facts."""
        message_id = UUID(request.names["id"]).bytes
        delivery, verification = await self._services.inbox.read(request.caller.principal, message_id)
        if delivery.message is None:
            msg = "the content was erased"
            raise ErasedError(msg)
        own_origin = self._services.pair.exchange_origin
        return Reply(body=delivery_json(delivery, verification=verification, own_origin=own_origin))

    async def acknowledge(self, request: Request[Caller]) -> Reply:
        """Record that the agency has the message."""
        message_id = UUID(request.names["id"]).bytes
        at_ms = await self._services.inbox.acknowledge(request.caller.principal, message_id)
        document = {"message_id": request.names["id"], "collected_at": time_text(at_ms)}
        return Reply(body=orjson.dumps(document))


async def _unless_gone(request: Request[Caller], page: asyncio.Future[list[Delivery]]) -> list[Delivery]:
    """Return a page; an empty one if the client goes away, or the port closes, while it waits."""
    gone = asyncio.ensure_future(request.when_gone())
    try:
        await asyncio.wait((page, gone), return_when=asyncio.FIRST_COMPLETED)
        return page.result() if page.done() else []
    finally:
        gone.cancel()
        page.cancel()
