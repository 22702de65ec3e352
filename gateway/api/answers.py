"""What the node knows, as the JSON of the agency API.

The stored bytes of a message go into an answer as they are: they were validated, and
parsing them again would cost more than all the rest of it.

Spec: docs/api.md, "Posting", "Following" and "Reading".
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from gateway.core.envelope import decode_header
from gateway.core.generation import located
from gateway.core.message.banner import banner, equivalent
from gateway.core.message.instants import time_text
from gateway.core.message.rule import find_rule, rule_by_number
from gateway.core.message.warning import ValueWarning
from gateway.core.message.wording import Language
from gateway.core.receipt import exception_label, exception_text
from gateway.core.states import Precedence, State
from gateway.node.admission import Checked
from gateway.node.inbox import Delivery, Verification
from gateway.node.second_stage import Acceptance
from gateway.node.tracking import TimelineEvent, Tracked
from gateway.ports import CollectionRow, MessageRow

_PRECEDENCES: Final = {int(precedence): precedence.name for precedence in Precedence}


def uuid_text(identifier: bytes) -> str:
    """Return 16 bytes as a lower-case UUID."""
    text = identifier.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def time_or_none(milliseconds: int | None) -> str | None:
    """Return a time as RFC 3339 text, or None."""
    return None if milliseconds is None else time_text(milliseconds)


def acceptance_json(acceptance: Acceptance, language: Language, *, audit_origin: str) -> bytes:
    """Return the body of a 202."""
    origin, index = located(audit_origin, acceptance.audit_index)
    facts = (
        f'{{"message_id":"{uuid_text(acceptance.message_id)}","status":"{acceptance.state.label}",'
        f'"accepted_at":"{time_text(acceptance.accepted_ms)}","audit":{{"origin":"{origin}",'
        f'"index":{index}}},'
    ).encode("ascii")
    # In one piece, as in `raw_member`.
    return b'%b%b"message":%b}' % (
        facts,
        _warnings_member(acceptance.warnings, language),
        acceptance.message,
    )


def checked_json(checked: Checked, language: Language, *, mode: str) -> bytes:
    """Return the answer to a message that would be accepted."""
    document: dict[str, Any] = {"mode": mode}
    if checked.warnings:
        document["warnings"] = _warning_documents(checked.warnings, language)
    return raw_member(document, "message", checked.message)


def _warning_documents(warnings: Iterable[ValueWarning], language: Language) -> list[dict[str, str]]:
    """Return warnings in the reader's language."""
    return [
        {"pointer": warning.pointer, "warning": warning.warning, "message": warning.text(language)}
        for warning in warnings
    ]


def _warnings_member(warnings: Sequence[ValueWarning], language: Language) -> bytes:
    """Return them as a member of a JSON object; nothing if there are none, as nearly always."""
    if not warnings:
        return b""
    return b'"warnings":' + orjson.dumps(_warning_documents(warnings, language)) + b","


def summary(row: MessageRow) -> dict[str, Any]:
    """Return what every listing says of a message in either direction."""
    return {
        "message_id": uuid_text(row.message_id),
        "type": row.type,
        "precedence": _PRECEDENCES[row.rank],
        "from": row.from_agency,
        "to": row.to_agencies,
        "conversation_id": uuid_text(row.conversation_id),
        "seq": row.seq,
        "in_reply_to": None if row.in_reply_to is None else uuid_text(row.in_reply_to),
        "created_at": time_text(row.created_ms),
        "expires_at": time_text(row.expires_ms),
        "reply_by": time_or_none(row.reply_by_ms),
    }


def own_summary(row: MessageRow) -> dict[str, Any]:
    """Return what a listing says of a message that this agency posted."""
    return {**summary(row), "status": row.state.label, "accepted_at": time_text(row.arrived_ms)}


def tracked_json(tracked: Tracked, language: Language) -> bytes:
    """Return an own message with its timeline."""
    row = tracked.row
    document = own_summary(row)
    document["addressees"] = [_addressee(item) for item in tracked.addressees]
    document["timeline"] = [_event(event) for event in tracked.timeline]
    document["retention"] = _retention(row)
    document["exception"] = _exception(row, language)
    return orjson.dumps(document)


def delivery_json(
    delivery: Delivery,
    *,
    in_force: dict[str, Any] | None,
    verification: Verification | None = None,
    own_origin: str = "",
) -> bytes:
    """Return one received message; read alone, with its banner and with what was verified.

    Args:
        delivery: The message.
        in_force: What became of it, or None if nothing did.
        verification: What this node verified; None for a message among others, which comes
            without that and is not parsed.
        own_origin: Origin of this node's exchange log, in its first generation.
    """
    row = delivery.row
    document: dict[str, Any] = summary(row)
    document["received_at"] = time_text(row.arrived_ms)
    document["collected_at"] = time_or_none(delivery.collected_ms)
    document["flags"] = row.flags.split()
    document["retention"] = _retention(row)
    document["in_force"] = in_force
    if verification is not None:
        document["marking"] = _drawn_marking(delivery)
        document["verification"] = _verification(delivery.header, verification, own_origin)
    return raw_member(document, "message", delivery.message)


def _drawn_marking(delivery: Delivery) -> dict[str, str] | None:
    """Return the banner of a message, which never travels and is drawn for each reader.

    It is the one in force: a later change of its terms may have marked it otherwise.
    """
    if delivery.message is None:
        return None
    terms = None if delivery.in_force is None else delivery.in_force.terms
    marking = orjson.loads(delivery.message)["header"]["marking"] if terms is None else terms.marking
    return {"banner": banner(marking), "equivalent": equivalent(marking)}


def raw_member(document: dict[str, Any], name: str, value: bytes | None) -> bytes:
    """Return a JSON object with one more member whose value is JSON already, or null."""
    # In one piece: a message may be large, and each step of a sum would copy it.
    return b'%b,"%b":%b}' % (orjson.dumps(document)[:-1], name.encode("ascii"), value or b"null")


def listing_json(name: str, items: Iterable[bytes], following: str | None) -> bytes:
    """Return a page of a listing whose items are JSON already."""
    tail = b"null" if following is None else b'"' + following.encode("ascii") + b'"'
    # A page is some 200 KB: it is copied once, not at each sign that stands around it.
    return b'{"%b":[%b],"next":%b}' % (name.encode("ascii"), b",".join(items), tail)


def message_in_thread(row: MessageRow) -> dict[str, Any]:
    """Return what a conversation says of one of its messages."""
    direction = "sent" if row.outgoing else "received"
    return {
        **summary(row),
        "direction": direction,
        "status": row.state.label,
        "arrived_at": time_text(row.arrived_ms),
        "flags": row.flags.split(),
    }


def _retention(row: MessageRow) -> dict[str, Any]:
    """Return until when the content is kept, or that it is gone."""
    return {
        "erased": row.state is State.ERASED,
        "erase_at": time_or_none(row.erase_ms),
        "ground": None if row.ground is None else row.ground.label,
        "held": row.held,
    }


def _addressee(item: CollectionRow) -> dict[str, Any]:
    return {"agency": item.agency, "collected_at": time_or_none(item.collected_ms)}


def _event(event: TimelineEvent) -> dict[str, Any]:
    proof = None
    if event.origin is not None and event.index is not None:
        proof = {"origin": event.origin, "index": event.index}
    document: dict[str, Any] = {"event": event.event, "time": time_text(event.at_ms), "log": proof}
    if event.agency is not None:
        document["agency"] = event.agency
    return document


def _exception(row: MessageRow, language: Language) -> dict[str, Any] | None:
    """Return what the peer's receipt says against a message, in the reader's words."""
    if row.exception is None:
        return None
    text = exception_text(row.exception)
    name = None if row.rule is None else rule_by_number(row.rule)
    rule = None if name is None else find_rule(name)
    return {
        "code": exception_label(row.exception),
        "text": text.meaning(language),
        "rule": name,
        "rule_text": None if rule is None else rule.wording.text(language),
        "next_step": text.next_step(language),
    }


def _verification(header_bytes: bytes, verification: Verification, own_origin: str) -> dict[str, Any]:
    """Return what this node checked: where the message stands in the sender's log, and under what."""
    header = decode_header(header_bytes)
    receipt = None
    if verification.receipt_index is not None:
        origin, index = located(own_origin, verification.receipt_index)
        receipt = {"origin": origin, "index": index}
    return {
        "log": {"origin": verification.origin, "index": verification.index},
        "checkpoint": {
            "origin": verification.origin,
            "size": verification.checkpoint_size,
            "root": b64encode(verification.checkpoint_root).decode("ascii"),
        },
        "receipt": receipt,
        "from_node": header.from_node,
        "type_sha384": header.type_digest.hex(),
    }
