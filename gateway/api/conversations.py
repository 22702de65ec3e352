"""Conversations: what is open, what is overdue, what is missing."""

from __future__ import annotations

from uuid import UUID

import orjson

from gateway.api.answers import last_number, listing_json, thread_document, thread_json
from gateway.api.callers import Caller
from gateway.api.cursors import CONVERSATIONS, CURSOR, encode_place
from gateway.api.messages import place_of
from gateway.api.services import Services
from gateway.web.exchange import Reply, Request

MAX_CONVERSATIONS = 200


class ConversationHandlers:
    """Calls about conversations that this agency takes part in."""

    def __init__(self, services: Services) -> None:
        """Serve from a node."""
        self._services = services

    async def listing(self, request: Request[Caller]) -> Reply:
        """List conversations: overdue first, then open ones."""
        query = request.query
        limit = query.integer("limit", default=50, low=1, high=MAX_CONVERSATIONS)
        cursor = query.text("after", pattern=CURSOR)
        query.done()
        after = 0 if cursor is None else place_of(CONVERSATIONS, cursor)
        threads = await self._services.tracking.threads(request.caller.principal, after=after, limit=limit)
        following = None
        if len(threads) == limit:
            # A page is sorted by urgency; the next one goes on behind its oldest.
            oldest = min(last_number(thread.messages) for thread in threads)
            following = encode_place(CONVERSATIONS, oldest)
        items = [orjson.dumps(thread_document(thread)) for thread in threads]
        return Reply(body=listing_json("conversations", items, following))

    async def read(self, request: Request[Caller]) -> Reply:
        """Return one conversation with its messages."""
        conversation_id = UUID(request.names["id"]).bytes
        thread = await self._services.tracking.thread(request.caller.principal, conversation_id)
        return Reply(body=thread_json(thread))
