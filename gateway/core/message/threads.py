"""Does a message fit its conversation?

A reply names an open message of a type it can answer, in its conversation, from one who
was asked; numbers run without a gap; nothing comes twice. These rules need what the node
has sent and accepted so far, which a `ThreadView` answers.

Sender and receiver judge alike, each by its own store, with two differences. A gap in the
numbers refuses a message at the sender only: at the receiver the missing message may have
been refused or may still come, so the gap is flagged. And a reply may meet, on its way, a
message of the other side that closes what it answers: at the receiver it is flagged as
crossed and accepted.

Spec: docs/spec/rules.md, "Conversations".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from gateway.core.message.instants import instant_ms
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import violation
from gateway.core.message.terms import TypeTerms
from gateway.core.message.violation import Violation
from gateway.core.quick import quick_value


@quick_value
class StoredMessage:
    """What a node knows of a message that it sent or accepted, without opening it.

    Attributes:
        message_id: UUIDv7, 16 bytes.
        type: Type id, with the version.
        conversation_id: UUIDv7, 16 bytes.
        nation: Nation that sent it.
        from_agency: Agency that sent it.
        to_agencies: Agencies it was sent to.
        purpose: Code of ``header.purpose``.
        reply_by_ms: Deadline for an answer, milliseconds since 1970, or None.
        closed: Whether an answer that closes it, or its withdrawal, was sent or accepted.
        closed_by_nation: Nation that closed it, or None while it is open.
    """

    message_id: bytes
    type: str
    conversation_id: bytes
    nation: str
    from_agency: str
    to_agencies: tuple[str, ...]
    purpose: str
    reply_by_ms: int | None
    closed: bool
    closed_by_nation: str | None


class ThreadView(Protocol):
    """What a node has sent and accepted, as the rules see it.

    Messages that were refused, expired or withdrawn do not count as answers, but their
    sequence numbers stay used.
    """

    def find(self, message_id: bytes) -> StoredMessage | None:
        """Return what is known of a message in either direction, or None."""
        ...

    def last_seq(self, conversation_id: bytes, agency: str) -> int:
        """Return the highest sequence number an agency used in a conversation, 0 for none."""
        ...

    def content(self, message_id: bytes) -> dict[str, Any] | None:
        """Return a message opened, or None if it was erased or is not known."""
        ...

    def replies(self, message_id: bytes) -> Sequence[bytes]:
        """Return the ids of the messages that name this one in ``in_reply_to``, oldest first."""
        ...


Side = Literal["sender", "receiver"]
"""At which node a message is examined."""

Flag = Literal["gap", "crossed"]
"""What a receiver notes about a message that it accepts."""


@quick_value
class ThreadVerdict:
    """What the conversation says about a message.

    Attributes:
        violations: Every rule that it breaks; empty for a message that fits.
        flags: At the receiver, ``gap`` when numbers before it are missing, and ``crossed``
            when what it answers was closed from the other side meanwhile.
    """

    violations: tuple[Violation, ...]
    flags: frozenset[Flag]


def examine_thread(
    document: dict[str, Any], *, catalogue: Catalogue, threads: ThreadView, side: Side
) -> ThreadVerdict:
    """Check a message against its conversation.

    Args:
        document: A message that its schema and the stateless rules accept.
        catalogue: Types and agreement.
        threads: What this node has sent and accepted before this message.
        side: ``sender`` at admission, ``receiver`` at intake.

    Returns:
        Every violation at once, but of the five checks of a reply (it exists, its type, its
        conversation, it is open, the sender was asked) the first one only.

    Spec: docs/spec/rules.md, "Conversations".
    """
    terms = catalogue.type(document["type"]).terms
    header = document["header"]
    broken: list[tuple[str, str]] = []
    flags: set[Flag] = set()
    if threads.find(uuid_bytes(header["message_id"])) is not None:
        broken.append(("RF-DUP", "/header/message_id"))
    else:
        _examine_number(header, threads, side, broken, flags)
    in_reply_to = header["conversation"].get("in_reply_to")
    if terms.reply_to and in_reply_to is not None:
        _examine_reply(document, terms, uuid_bytes(in_reply_to), threads, side, broken, flags)
    return ThreadVerdict(
        violations=tuple(violation(rule, pointer) for rule, pointer in broken),
        flags=frozenset(flags),
    )


def closes(document: dict[str, Any], *, catalogue: Catalogue, threads: ThreadView) -> bool:
    """Tell whether a message closes the one that its ``in_reply_to`` names.

    Args:
        document: A message that every rule accepts.
        catalogue: Types and agreement.
        threads: What this node has sent and accepted before this message.

    Spec: docs/spec/rules.md, "What closes a request".
    """
    in_reply_to = document["header"]["conversation"].get("in_reply_to")
    closing = _CLOSING.get(document["type"])
    if in_reply_to is None or closing is None or catalogue.find(document["type"]) is None:
        return False
    return closing(document["payload"], uuid_bytes(in_reply_to), threads)


def uuid_bytes(text: str) -> bytes:
    """Return the 16 bytes of a UUID in its text form."""
    return bytes.fromhex(text.replace("-", ""))


def uuid_text(data: bytes) -> str:
    """Return the text form of the 16 bytes of a UUID."""
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# --- The number -----------------------------------------------------------------------


def _examine_number(
    header: dict[str, Any],
    threads: ThreadView,
    side: Side,
    broken: list[tuple[str, str]],
    flags: set[Flag],
) -> None:
    """RF-SEQ: numbers of an agency in a conversation run 1, 2, 3 and so on."""
    conversation = header["conversation"]
    expected = threads.last_seq(uuid_bytes(conversation["id"]), header["from"]["agency"]) + 1
    if conversation["seq"] == expected:
        return
    if side == "sender":
        broken.append(("RF-SEQ", "/header/conversation/seq"))
    elif conversation["seq"] > expected:
        flags.add("gap")
    # A lower number fills a gap that was flagged before: a message that its sender's node
    # let overtake it, or that was sent again, arrives late and is accepted.


# --- The reply ------------------------------------------------------------------------


def _examine_reply(
    document: dict[str, Any],
    terms: TypeTerms,
    request_id: bytes,
    threads: ThreadView,
    side: Side,
    broken: list[tuple[str, str]],
    flags: set[Flag],
) -> None:
    """Check a reply against the message that it answers."""
    header = document["header"]
    conversation = header["conversation"]
    request = threads.find(request_id)
    if request is None:
        broken.append(("RF-OPEN", "/header/conversation/in_reply_to"))
        return
    if request.type not in terms.reply_to:
        broken.append(("RF-TYPE", "/header/conversation/in_reply_to"))
        return
    if request.conversation_id != uuid_bytes(conversation["id"]):
        broken.append(("RF-CONV", "/header/conversation/id"))
        return
    if request.closed:
        has_crossed = side == "receiver" and request.closed_by_nation != header["from"]["nation"]
        if not has_crossed:
            broken.append(("RF-OPEN", "/header/conversation/in_reply_to"))
            return
        flags.add("crossed")
    if header["from"]["agency"] not in _parties(request, threads):
        broken.append(("RF-PARTY", "/header/from/agency"))
        return
    if "=" in terms.purposes and header["purpose"]["code"] != request.purpose:
        broken.append(("PU-04", "/header/purpose/code"))
    if header["precedence"] == "FLASH" and not terms.flash:
        opened = threads.content(request_id)
        if opened is not None and opened["header"]["precedence"] != "FLASH":
            broken.append(("H-08", "/header/precedence"))
    further = _FURTHER.get(document["type"])
    if further is not None:
        broken.extend(further(document["payload"], request, threads))


def _parties(request: StoredMessage, threads: ThreadView) -> set[str]:
    """Return who may answer a request: those it was sent to, as transfers changed them.

    An acknowledgement with status TRANSFERRED makes the agency in ``handled_by`` a party,
    and the one that sent it is none any more.
    """
    parties = set(request.to_agencies)
    for reply_id in threads.replies(request.message_id):
        reply = threads.find(reply_id)
        if reply is None or reply.type != "assist.ack/1":
            continue
        opened = threads.content(reply_id)
        if opened is not None and opened["payload"]["status"] == "TRANSFERRED":
            parties.discard(reply.from_agency)
            parties.add(opened["payload"]["handled_by"])
    return parties


Broken = list[tuple[str, str]]
Further = Callable[[dict[str, Any], StoredMessage, ThreadView], Broken]


def _acknowledgement(payload: dict[str, Any], request: StoredMessage, _: ThreadView) -> Broken:
    """CX-ACK: whoever will be later than asked says why."""
    expected_by = payload.get("expected_by")
    is_late = (
        expected_by is not None
        and request.reply_by_ms is not None
        and instant_ms(expected_by) > request.reply_by_ms
    )
    return [("CX-ACK", "/payload/expected_by")] if is_late and "delay_reason" not in payload else []


def _answer(payload: dict[str, Any], request: StoredMessage, threads: ThreadView) -> Broken:
    """CX-REPLY: parts run without a gap, and only questions that were asked are answered."""
    broken: Broken = []
    if payload["part"] != _last_part(request, threads) + 1:
        broken.append(("CX-REPLY", "/payload/part"))
    if request.type == "assist.request/1":
        opened = threads.content(request.message_id)
        if opened is not None:
            asked = len(opened["payload"]["questions"])
            if any(answer["q"] > asked for answer in payload["answers"]):
                broken.append(("CX-REPLY", "/payload/answers"))
    return broken


def _last_part(request: StoredMessage, threads: ThreadView) -> int:
    """Return the part of the newest answer to a request, 0 if there is none."""
    count = 0
    newest: bytes | None = None
    for reply_id in threads.replies(request.message_id):
        reply = threads.find(reply_id)
        if reply is not None and reply.type == "assist.reply/1":
            count += 1
            newest = reply_id
    opened = None if newest is None else threads.content(newest)
    # Parts have no gap, so when the newest answer was erased their number is as good.
    return count if opened is None else int(opened["payload"]["part"])


def _examination(payload: dict[str, Any], request: StoredMessage, threads: ThreadView) -> Broken:
    """CX-INSPECT: the container is one of those that were to be examined."""
    wanted = _containers(request.message_id, threads)
    if wanted is None or payload["container"] in wanted:
        return []
    return [("CX-INSPECT", "/payload/container")]


def _containers(request_id: bytes, threads: ThreadView) -> set[str] | None:
    """Return the containers of an examination request, or None if it was erased."""
    opened = threads.content(request_id)
    if opened is None:
        return None
    return {container["number"] for container in opened["payload"]["consignment"].get("containers", ())}


_FURTHER: dict[str, Further] = {
    "assist.ack/1": _acknowledgement,
    "assist.reply/1": _answer,
    "inspect.result/1": _examination,
}

# --- Closing --------------------------------------------------------------------------

Closing = Callable[[dict[str, Any], bytes, ThreadView], bool]


def _always(_payload: dict[str, Any], _request_id: bytes, _threads: ThreadView) -> bool:
    return True


def _when(field: str, *values: str) -> Closing:
    """Return a condition that holds when a field of the payload has one of these values."""
    return lambda payload, _request_id, _threads: payload[field] in values


def _unless(field: str, value: str) -> Closing:
    """Return a condition that holds when a field of the payload has any other value."""
    return lambda payload, _request_id, _threads: payload[field] != value


def _all_containers_have_results(payload: dict[str, Any], request_id: bytes, threads: ThreadView) -> bool:
    """Tell whether this result is for the last container that had none."""
    wanted = _containers(request_id, threads)
    if wanted is None:
        return False
    done = {payload["container"]}
    for reply_id in threads.replies(request_id):
        reply = threads.find(reply_id)
        if reply is not None and reply.type == "inspect.result/1":
            opened = threads.content(reply_id)
            if opened is not None:
                done.add(opened["payload"]["container"])
    return wanted <= done


# Every type that can close another, also those that have no schema yet.
_CLOSING: dict[str, Closing] = {
    "alert.response/1": _unless("outcome", "ACTION_UNDER_WAY"),
    "arms.trace_result/1": _always,
    "assist.cancel/1": _always,
    "assist.refusal/1": _when("kind", "REFUSED"),
    "assist.reply/1": _when("status", "FINAL"),
    "fraud.verification_result/1": _always,
    "gov.consent_decision/1": _always,
    "gov.deletion_certificate/1": _always,
    "inspect.result/1": _all_containers_have_results,
    "invest.controlled_delivery_decision/1": _unless("decision", "MORE_INFORMATION_NEEDED"),
    # The second deconfliction notice answers, and so closes, the first.
    "invest.deconfliction/1": _always,
    "marine.boarding_decision/1": _always,
    "match.result/1": _always,
    "ops.asset_response/1": _always,
    "target.disposition/1": _unless("disposition", "PENDING"),
}
