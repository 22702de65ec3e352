"""A message that answers another: it is open, of a fitting type, and the sender was asked.

Spec: docs/spec/rules.md, "Replies".
"""

from __future__ import annotations

from typing import Any

from gateway.core.message.terms import TypeTerms
from gateway.core.message.threads.owed import OWED
from gateway.core.message.threads.view import (
    Broken,
    Flag,
    Side,
    StoredMessage,
    ThreadView,
    uuid_bytes,
)

Json = dict[str, Any]


def examine_reply(
    document: Json,
    terms: TypeTerms,
    request_id: bytes,
    threads: ThreadView,
    side: Side,
    broken: Broken,
    flags: set[Flag],
) -> None:
    """Check a reply against the message that it answers.

    Of the five checks (it exists, its type, its conversation, it is open, the sender was
    asked) the first failure alone is reported, and nothing behind it is examined.
    """
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
    if header["from"]["agency"] not in parties_of(request, threads):
        broken.append(("RF-PARTY", "/header/from/agency"))
        return
    if "=" in terms.purposes and header["purpose"]["code"] != request.purpose:
        broken.append(("PU-04", "/header/purpose/code"))
    if header["precedence"] == "FLASH" and not terms.flash:
        opened = threads.content(request_id)
        if opened is not None and opened["header"]["precedence"] != "FLASH":
            broken.append(("H-08", "/header/precedence"))
    owed = OWED.get(document["type"])
    if owed is not None:
        broken.extend(owed(document["payload"], request, threads))


def parties_of(request: StoredMessage, threads: ThreadView) -> set[str]:
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
