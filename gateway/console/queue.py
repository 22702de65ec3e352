"""The calls of the operator port about the queue: list, show, retry, cancel.

Auditors look, operators decide, with a reason. What is shown of a message is what stands in
its header; content is never opened.

Spec: docs/operating.md, "Queue".
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Final, Protocol

from gateway.console.decisions import actor_of, json_reply, read_decision
from gateway.console.officials import Official
from gateway.console.words import CAUSES
from gateway.core.message.instants import time_text
from gateway.core.message.rule import find_rule, rule_by_number
from gateway.core.message.wording import Language
from gateway.core.receipt import exception_text
from gateway.core.states import Precedence
from gateway.node.audit_log import Actor
from gateway.node.queue import MAX_ITEMS, Condition, Item, Line, Listing
from gateway.ports import MessageRow
from gateway.web.exchange import Reply, Request
from gateway.web.problem_table import PROBLEMS
from gateway.web.routing import UUID, Route

AGENCY: Final = re.compile(r"[A-Z]{2}(?:\.[A-Z0-9-]{1,32}){1,6}")
"""Code of an agency, as it may be named to this port."""

_ALL: Final = "all"
_JSON: Final = frozenset({"application/json"})


class QueueCalls(Protocol):
    """The queue; see `gateway.node.queue.QueueDesk`."""

    async def listing(
        self, *, condition: Condition | None = None, agency: str | None = None, limit: int = 100
    ) -> Listing:
        """Return what is in the queue."""
        ...

    async def find(self, message_id: bytes) -> Item | None:
        """Return one message as an item, or None if nothing about it is amiss."""
        ...

    async def retry(self, actor: Actor, reason: str, message_id: bytes | None = None) -> Line:
        """Try to reach the peer now."""
        ...

    async def cancel(self, actor: Actor, message_id: bytes, reason: str) -> MessageRow:
        """End a message that was not sent yet."""
        ...


def queue_routes(queue: QueueCalls) -> tuple[Route, ...]:
    """Return the calls about the queue."""

    async def listing(request: Request[Official]) -> Reply:
        query = request.query
        choices = (_ALL, *(condition.value for condition in Condition))
        condition = query.choice("condition", default=_ALL, choices=choices)
        agency = query.text("agency", pattern=AGENCY)
        limit = query.integer("limit", default=100, low=1, high=MAX_ITEMS)
        query.done()
        found = await queue.listing(
            condition=None if condition == _ALL else Condition(condition), agency=agency, limit=limit
        )
        items = [item_document(item, request.language) for item in found.items]
        return json_reply({"items": items, "counts": found.counts, "more": found.more})

    async def show(request: Request[Official]) -> Reply:
        item = await queue.find(_id(request))
        return json_reply({"item": None if item is None else item_document(item, request.language)})

    async def retry(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        line = await queue.retry(actor, read_decision(request.body, ()).reason)
        return json_reply({"line": line_document(line, request.language)})

    async def retry_one(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        line = await queue.retry(actor, read_decision(request.body, ()).reason, _id(request))
        return json_reply({"line": line_document(line, request.language)})

    async def cancel(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        row = await queue.cancel(actor, _id(request), read_decision(request.body, ()).reason)
        return json_reply({"message_id": request.names["id"], "status": row.state.label})

    def post(name: str, path: str, handler: Any, parts: dict[str, str]) -> Route:
        return Route(
            name=name,
            method="POST",
            path=path,
            parts=parts,
            handler=handler,
            media_types=_JSON,
            max_body=4_096,
        )

    one = {"id": UUID}
    query = frozenset({"condition", "agency", "limit"})
    return (
        Route(name="queue", method="GET", path="/ops/v1/queue", parts={}, handler=listing, query=query),
        Route(name="queue-item", method="GET", path="/ops/v1/queue/{id}", parts=one, handler=show),
        post("queue-retry", "/ops/v1/queue:retry", retry, {}),
        post("queue-retry-one", "/ops/v1/queue/{id}:retry", retry_one, one),
        post("queue-cancel", "/ops/v1/queue/{id}:cancel", cancel, one),
    )


def item_document(item: Item, language: Language) -> dict[str, Any]:
    """Return an item of the queue as JSON, with its cause and the next step in words."""
    row = item.row
    return {
        "message_id": str(uuid.UUID(bytes=row.message_id)),
        "condition": item.condition.value,
        "since": time_text(item.since_ms),
        "direction": "sent" if row.outgoing else "received",
        "status": row.state.label,
        "type": row.type,
        "precedence": Precedence(row.rank).name,
        "from": row.from_agency,
        "to": list(row.to_agencies),
        "conversation_id": str(uuid.UUID(bytes=row.conversation_id)),
        "accepted_at": time_text(row.arrived_ms),
        "expires_at": time_text(row.expires_ms),
        "reply_by": None if row.reply_by_ms is None else time_text(row.reply_by_ms),
        "sendings": row.sendings,
        "cause": _cause(item, language),
    }


def line_document(line: Line, language: Language) -> dict[str, Any]:
    """Return how the way to the peer is, with the last error in words."""
    problem = PROBLEMS.get(line.trouble)
    return {
        "trouble": line.trouble or None,
        "text": None if problem is None else problem.title.text(language),
        "frozen": line.frozen,
        "recovering": line.recovering,
    }


def _cause(item: Item, language: Language) -> dict[str, Any]:
    """Return a cause in words: the exception's and the rule's text, never a number."""
    row = item.row
    advice = CAUSES.get(item.cause)
    if advice is not None or row.exception is None:
        advice = advice or CAUSES["in-turn"]
        says, do = advice.says.text(language), advice.do.text(language)
        return {"code": item.cause, "text": says, "rule": None, "rule_text": None, "next_step": do}
    text = exception_text(row.exception)
    name = None if row.rule is None else rule_by_number(row.rule)
    rule = None if name is None else find_rule(name)
    return {
        "code": item.cause,
        "text": text.meaning(language),
        "rule": name,
        "rule_text": None if rule is None else rule.wording.text(language),
        "next_step": text.next_step(language),
    }


def _id(request: Request[Official]) -> bytes:
    return uuid.UUID(request.names["id"]).bytes
