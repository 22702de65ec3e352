"""A message that answers another: it is open, of a fitting type, and the sender was asked.

Spec: docs/spec/rules.md, "Replies".
"""

from __future__ import annotations

from typing import Any, Final

from gateway.core.message.terms import TypeTerms
from gateway.core.message.threads.owed import OWED
from gateway.core.message.threads.rooms import ACKNOWLEDGEMENT
from gateway.core.message.threads.view import (
    Broken,
    Flag,
    Side,
    StoredMessage,
    ThreadView,
    uuid_bytes,
)

Json = dict[str, Any]

TRANSFERRED: Final = "TRANSFERRED"


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
    closed_by = threads.closed_by(request_id)
    if closed_by is not None:
        has_crossed = side == "receiver" and closed_by != header["from"]["nation"]
        if not has_crossed:
            broken.append(("RF-OPEN", "/header/conversation/in_reply_to"))
            return
        flags.add("crossed")
    if not _may_answer(header["from"]["agency"], request, threads):
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
    for reply in threads.replies(request.message_id):
        if reply.type != ACKNOWLEDGEMENT:
            continue
        opened = threads.content(reply.message_id)
        if opened is not None and opened["payload"]["status"] == TRANSFERRED:
            parties.discard(reply.from_agency)
            parties.add(opened["payload"]["handled_by"])
    return parties


def _may_answer(agency: str, request: StoredMessage, threads: ThreadView) -> bool:
    """Tell whether an agency is one of `parties_of` a request.

    From the newest acknowledgement on, as far as the agency's own one: it was a party when that was accepted,
    and only what came after can have changed it. So a request that somebody acknowledges again and again, as
    systems do that repeat themselves, costs no more than others. Where an answer was taken back later, it may
    be the one that had made the agency a party.
    """
    if threads.has_void_replies(request.message_id):
        return agency in parties_of(request, threads)
    for reply in reversed(threads.replies(request.message_id)):
        if reply.type != ACKNOWLEDGEMENT:
            continue
        opened = threads.content(reply.message_id)
        if opened is None:
            continue
        is_own = reply.from_agency == agency
        if opened["payload"]["status"] != TRANSFERRED:
            if is_own:
                return True
        elif opened["payload"]["handled_by"] == agency:
            return True
        elif is_own:
            return False
    return agency in request.to_agencies
