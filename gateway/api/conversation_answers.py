"""Conversations, and what is in force of a message, as the JSON of the agency API.

Spec: docs/api.md, "Conversations" and "What is in force".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from gateway.api.answers import message_in_thread, time_or_none, uuid_text
from gateway.core.message.effect import Effect
from gateway.core.message.instants import time_text
from gateway.core.message.threads import AppliedEffect
from gateway.core.message.threads.deadlines import Deadline
from gateway.core.message.threads.in_force import Consent, InForce
from gateway.core.message.threads.rooms import Room
from gateway.core.message.threads.use_changes import TermsInForce
from gateway.node.conversations import RequestView, Thread
from gateway.ports import MessageRow

Json = dict[str, Any]

CHANGES: Final = {
    Effect.CORRECTS: "corrected",
    Effect.RETRACTS: "retracted",
    Effect.RETRACTS_AND_DELETES: "retracted",
    Effect.CHANGES_USE: "use-changed",
    Effect.ASKS_CONSENT: "consent-asked",
}
"""Word for what was done to a message."""


def thread_document(thread: Thread) -> Json:
    """Return a conversation without its messages."""
    first, last = thread.messages[0], thread.messages[-1]
    return {
        "conversation_id": uuid_text(thread.conversation_id),
        "state": thread.state,
        "overdue": thread.overdue,
        "open_until": time_or_none(thread.open_until_ms),
        "missing": thread.missing,
        "type": first.type,
        "opened_by": first.from_agency,
        "opened_at": time_text(first.created_ms),
        "last_message_at": time_text(last.arrived_ms),
        "count": len(thread.messages),
        "requests": [_request(view) for view in thread.requests],
    }


def thread_json(thread: Thread, following: str | None) -> bytes:
    """Return a conversation with a page of its messages, its deadlines and its room.

    Args:
        thread: The conversation.
        following: Cursor of the page behind this one, or None.
    """
    document = thread_document(thread)
    document["deadlines"] = [_deadline(deadline) for deadline in thread.deadlines]
    document["room"] = None if thread.room is None else _room(thread.room)
    document["messages"] = [_message(row, thread) for row in thread.shown]
    document["next"] = following
    return orjson.dumps(document)


def in_force_document(found: InForce | None) -> Json | None:
    """Return what became of a message, or None if nothing did."""
    if found is None:
        return None
    return {
        "corrected_by": [_change(applied) for applied in found.corrections],
        "payload": found.payload,
        "terms": _terms(found.terms),
        "retracted_by": None if found.retracted_by is None else _change(found.retracted_by),
        "consents": [_consent(consent) for consent in found.consents],
    }


def _request(view: RequestView) -> Json:
    found = view.progress
    last = found.last
    return {
        "message_id": uuid_text(view.row.message_id),
        "type": view.row.type,
        "awaits": view.awaits,
        "state": found.state,
        "step": found.step,
        "due": time_or_none(found.due_ms),
        "last": None if last is None else _change(last),
    }


def _deadline(deadline: Deadline) -> Json:
    return {
        "kind": deadline.kind,
        "at": time_text(deadline.at_ms),
        "message_id": uuid_text(deadline.message_id),
        "agencies": list(deadline.agencies),
        "owed": deadline.owed,
        "overdue": deadline.overdue,
    }


def _room(room: Room) -> Json:
    return {
        "opened_by": uuid_text(room.opened_by),
        "operation": room.operation,
        "members": [{"agency": member.agency, "role": member.role} for member in room.members],
        "allowed_types": list(room.allowed_types),
        "starts_at": time_text(room.starts_ms),
        "ends_at": time_text(room.ends_ms),
        "closed_by": None if room.ended_by is None else _change(room.ended_by),
    }


def _message(row: MessageRow, thread: Thread) -> Json:
    return {
        **message_in_thread(row),
        "changes": _changes(thread.changes.get(row.message_id, ())),
        "terms": _terms(thread.terms.get(row.message_id)),
    }


def _changes(applied: Iterable[AppliedEffect]) -> list[Json]:
    return [{"change": CHANGES[item.effect], **_change(item)} for item in applied]


def _change(applied: AppliedEffect) -> Json:
    return {
        "message_id": uuid_text(applied.message_id),
        "type": applied.type,
        "from": applied.from_agency,
        "created_at": time_text(applied.created_ms),
        "at": time_or_none(applied.at_ms),
    }


def _terms(terms: TermsInForce | None) -> Json | None:
    if terms is None:
        return None
    return {
        "marking": terms.marking,
        "handling": terms.handling,
        "use": terms.use,
        "delete_by": terms.delete_by,
        "changed_by": [uuid_text(item) for item in terms.changed_by],
        "announced": [uuid_text(item) for item in terms.announced],
        "erased": [uuid_text(item) for item in terms.erased],
    }


def _consent(consent: Consent) -> Json:
    return {
        "asked_by": uuid_text(consent.request_id),
        "use": consent.use,
        "decided_by": None if consent.decision_id is None else uuid_text(consent.decision_id),
        "decision": consent.decision,
        "conditions": list(consent.conditions),
        "valid_until": consent.valid_until,
        "retracted_by": None if consent.retracted_by is None else _change(consent.retracted_by),
    }
