"""Conversations: what is open, what is overdue, what is missing, what has changed."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

import orjson

from gateway.api.answers import listing_json
from gateway.api.callers import Caller
from gateway.api.conversation_answers import thread_document, thread_json
from gateway.api.cursors import CONVERSATIONS, CURSOR, THREAD, decode_due, encode_due, encode_place
from gateway.api.messages import CURSOR_EXPECTED, MAX_PAGE, place_of
from gateway.api.services import Services
from gateway.core.message.threads.progress import RequestState
from gateway.core.message.wording import Wording
from gateway.node.conversations import SHOWN, Place
from gateway.web.exchange import Reply, Request

MAX_CONVERSATIONS: Final = 200

_ONE: Final = "|".join(RequestState)
STATES: Final = re.compile(f"(?:{_ONE})(?:,(?:{_ONE}))*")
"""Value of the parameter ``state``: one or more states, with commas between."""

_STATES_EXPECTED: Final = Wording(
    en="one or more of these, with commas between: {states}",
    fr="une ou plusieurs de ces valeurs, séparées par des virgules : {states}",
).fill(states=", ".join(RequestState))


class ConversationHandlers:
    """Calls about conversations that this agency takes part in."""

    def __init__(self, services: Services) -> None:
        """Serve from a node."""
        self._services = services

    async def listing(self, request: Request[Caller]) -> Reply:
        """List conversations: open ones first, by their deadline."""
        query = request.query
        limit = query.integer("limit", default=50, low=1, high=MAX_CONVERSATIONS)
        cursor = query.text("after", pattern=CURSOR, expected=CURSOR_EXPECTED)
        wanted = query.text("state", pattern=STATES, expected=_STATES_EXPECTED)
        query.done()
        page = await self._services.conversations.listing(
            request.caller.principal,
            limit=limit,
            after=None if cursor is None else _place(cursor),
            states=frozenset(map(RequestState, wanted.split(","))) if wanted else frozenset(),
        )
        following = None if page.following is None else _cursor(page.following)
        items = [orjson.dumps(thread_document(thread)) for thread in page.threads]
        return Reply(body=listing_json("conversations", items, following))

    async def read(self, request: Request[Caller]) -> Reply:
        """Return one conversation with a page of its messages."""
        query = request.query
        limit = query.integer("limit", default=SHOWN, low=1, high=MAX_PAGE)
        cursor = query.text("after", pattern=CURSOR, expected=CURSOR_EXPECTED)
        query.done()
        thread = await self._services.conversations.read(
            request.caller.principal,
            UUID(request.names["id"]).bytes,
            limit=limit,
            after=0 if cursor is None else place_of(THREAD, cursor),
        )
        following = None if thread.following is None else encode_place(THREAD, thread.following)
        return Reply(body=thread_json(thread, following))


def _place(cursor: str) -> Place:
    """Return where a listing goes on.

    Raises:
        ParameterError: The cursor is none of this listing.
    """
    due = decode_due(cursor)
    if due is not None:
        return Place(open_after=due)
    return Place(open_after=None, below=place_of(CONVERSATIONS, cursor))


def _cursor(place: Place) -> str:
    if place.open_after is not None:
        return encode_due(*place.open_after)
    return encode_place(CONVERSATIONS, place.below)
