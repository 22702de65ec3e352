"""One message against its conversation: every rule that needs what came before it.

Spec: docs/spec/rules.md, "Conversations".
"""

from __future__ import annotations

from typing import Any, Final

from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import violation
from gateway.core.message.threads.corrections import CORRECTION, with_what_is_broken
from gateway.core.message.threads.quotas import examine_quota
from gateway.core.message.threads.replies import examine_reply
from gateway.core.message.threads.rooms import examine_room
from gateway.core.message.threads.targets import examine_cancellation, examine_target
from gateway.core.message.threads.view import Broken, Flag, Side, ThreadVerdict, ThreadView, uuid_bytes

Json = dict[str, Any]

_FITS: Final = ThreadVerdict(violations=(), flags=frozenset())
"""About nearly every message."""


def examine_thread(document: Json, *, catalogue: Catalogue, threads: ThreadView, side: Side) -> ThreadVerdict:
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
    type_id: str = document["type"]
    terms = catalogue.type(type_id).terms
    header = document["header"]
    broken: Broken = []
    flags: set[Flag] = set()
    if threads.find(uuid_bytes(header["message_id"])) is not None:
        broken.append(("RF-DUP", "/header/message_id"))
    else:
        _examine_number(header, threads, side, broken, flags)
    examine_quota(document, terms, threads, broken)
    in_reply_to = header["conversation"].get("in_reply_to")
    if terms.reply_to and in_reply_to is not None:
        examine_reply(document, terms, uuid_bytes(in_reply_to), threads, side, broken, flags)
    if type_id.startswith("gov."):
        examine_target(document, catalogue, threads, broken)
    elif type_id == "assist.cancel/1":
        examine_cancellation(document, catalogue, threads, broken)
    if "operation" in header:
        examine_room(document, threads, side, broken, flags)
    if not broken:
        return ThreadVerdict(violations=(), flags=frozenset(flags)) if flags else _FITS
    violations = [violation(rule, pointer, terms) for rule, pointer in broken]
    if type_id == CORRECTION:
        violations = [with_what_is_broken(item, document, catalogue, threads) for item in violations]
    return ThreadVerdict(violations=tuple(violations), flags=frozenset(flags))


def _examine_number(header: Json, threads: ThreadView, side: Side, broken: Broken, flags: set[Flag]) -> None:
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
