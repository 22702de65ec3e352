"""The calls of the operator port about content: erase, hold, lift, look.

Operators decide, auditors look. Every change carries a reason; its digest is in the audit log.

Spec: docs/operating.md, "Erasure and legal hold".
"""

from __future__ import annotations

import uuid
from typing import Any, Final, Protocol

from gateway.console.decisions import Decision, actor_of, json_reply, read_decision
from gateway.console.officials import Official
from gateway.core.generation import index_of, located
from gateway.core.message.instants import time_text
from gateway.node.audit_log import Actor
from gateway.node.custody import Kept
from gateway.ports import Hold
from gateway.web.exchange import Reply, Request
from gateway.web.routing import UUID, Route

_SUBJECTS: Final = ("message_id", "conversation_id")


class CustodyCalls(Protocol):
    """What operators decide about content; see `gateway.node.custody.Custody`."""

    async def find(self, message_id: bytes) -> Kept:
        """Return what is known of a message."""
        ...

    async def erase(self, actor: Actor, message_id: bytes, reason: str) -> Kept:
        """Order the erasure of a message's content."""
        ...

    async def hold(self, actor: Actor, subject: bytes, reason: str, *, conversation: bool) -> int:
        """Hold a message or a conversation."""
        ...

    async def lift(self, actor: Actor, subject: bytes, reason: str, *, conversation: bool) -> None:
        """Lift a hold."""
        ...

    async def holds(self) -> list[Hold]:
        """Return every hold."""
        ...


def custody_routes(custody: CustodyCalls) -> tuple[Route, ...]:
    """Return the calls about content."""

    async def find(request: Request[Official]) -> Reply:
        return json_reply(kept_document(await custody.find(_id(request))))

    async def erase(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        decision = read_decision(request.body, ())
        return json_reply(kept_document(await custody.erase(actor, _id(request), decision.reason)))

    async def holds(request: Request[Official]) -> Reply:
        del request
        return json_reply({"holds": [hold_document(hold) for hold in await custody.holds()]})

    async def hold(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        decision = read_decision(request.body, _SUBJECTS)
        subject, conversation = _subject(decision)
        kept = await custody.hold(actor, subject, decision.reason, conversation=conversation)
        return json_reply({decision.field: decision.value, "kept": kept})

    async def lift(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        decision = read_decision(request.body, _SUBJECTS)
        subject, conversation = _subject(decision)
        await custody.lift(actor, subject, decision.reason, conversation=conversation)
        return json_reply({decision.field: decision.value, "lifted": True})

    json = frozenset({"application/json"})
    one = {"id": UUID}
    return (
        Route(name="kept", method="GET", path="/ops/v1/messages/{id}", parts=one, handler=find),
        Route(
            name="erase",
            method="POST",
            path="/ops/v1/messages/{id}:erase",
            parts=one,
            handler=erase,
            media_types=json,
            max_body=4_096,
        ),
        Route(name="holds", method="GET", path="/ops/v1/holds", parts={}, handler=holds),
        Route(
            name="hold",
            method="POST",
            path="/ops/v1/holds",
            parts={},
            handler=hold,
            media_types=json,
            max_body=4_096,
        ),
        Route(
            name="lift",
            method="POST",
            path="/ops/v1/holds:lift",
            parts={},
            handler=lift,
            media_types=json,
            max_body=4_096,
        ),
    )


def kept_document(kept: Kept) -> dict[str, Any]:
    """Return what a node holds of a message as JSON: its state and dates, never content."""
    row, erasure = kept.row, kept.erasure
    return {
        "message_id": str(uuid.UUID(bytes=row.message_id)),
        "type": row.type,
        "direction": "sent" if row.outgoing else "received",
        "from": row.from_agency,
        "to": list(row.to_agencies),
        "conversation_id": str(uuid.UUID(bytes=row.conversation_id)),
        "status": row.state.label,
        "held": row.held,
        "erase_at": None if row.erase_ms is None else time_text(row.erase_ms),
        "ground": None if row.ground is None else row.ground.label,
        "erased": None
        if erasure is None
        else {
            "at": time_text(erasure.at_ms),
            "was": None if row.was is None else row.was.label,
            "audit_log": located("audit", erasure.audit_index)[0],
            "audit_index": located("audit", erasure.audit_index)[1],
            "log_index": None if erasure.log_index is None else index_of(erasure.log_index),
        },
    }


def hold_document(hold: Hold) -> dict[str, Any]:
    """Return a hold as JSON."""
    field = "conversation_id" if hold.conversation else "message_id"
    return {field: str(uuid.UUID(bytes=hold.subject)), "since": time_text(hold.at_ms), "reason": hold.reason}


def _id(request: Request[Official]) -> bytes:
    return uuid.UUID(request.names["id"]).bytes


def _subject(decision: Decision) -> tuple[bytes, bool]:
    return uuid.UUID(decision.value).bytes, decision.field == "conversation_id"
