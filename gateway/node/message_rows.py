"""From a message to its row, alike for those that are sent and those that arrive.

What the columns say follows from the document, most of it without the database. So it is
derived where the message was validated, while its parts are still in the processor's cache,
and outside the transaction; only what its conversation decides is added there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.core.envelope import Header
from gateway.core.message.effect import NewEffect
from gateway.core.message.instants import instant_ms
from gateway.core.message.registry import Catalogue
from gateway.core.message.retention import Ending, Retention, ending_of, retention_of
from gateway.core.message.threads import CLOSING, awaits, subjects_of, uuid_bytes
from gateway.core.quick import quick_value
from gateway.core.states import State
from gateway.ports import NewMessage


@quick_value
class Derived:
    """What a row says of a message that its schema and rules accept.

    Attributes:
        header: Its header.
        header_bytes: The header, encoded.
        in_reply_to: Message id that it answers, or None.
        purpose: Purpose code.
        reply_by_ms: Deadline for an answer, or None.
        retention: When the content has to go, or None for ever.
        ending: What it orders by itself about the content of another one, or None.
        awaits: True if its sender waits for an answer.
        subjects: Messages and rooms that it is about.
    """

    header: Header
    header_bytes: bytes
    in_reply_to: bytes | None
    purpose: str
    reply_by_ms: int | None
    retention: Retention | None
    ending: Ending | None
    awaits: bool
    subjects: tuple[bytes, ...]


def derive(document: dict[str, Any], *, catalogue: Catalogue, header: Header, header_bytes: bytes) -> Derived:
    """Return what follows from a document that its schema and rules accept.

    Args:
        document: The message. Its number in the conversation may still be missing.
        catalogue: By which it was judged.
        header: Its header.
        header_bytes: The header, encoded.
    """
    fields = document["header"]
    answered = fields["conversation"].get("in_reply_to")
    reply_by = fields.get("reply_by")
    return Derived(
        header=header,
        header_bytes=header_bytes,
        in_reply_to=None if answered is None else uuid_bytes(answered),
        purpose=fields["purpose"]["code"],
        reply_by_ms=None if reply_by is None else instant_ms(reply_by),
        retention=retention_of(document, catalogue.type(header.type).terms),
        ending=ending_of(document),
        awaits=awaits(document, catalogue),
        subjects=subjects_of(document),
    )


def new_message(
    derived: Derived,
    *,
    seq: int,
    effects: Sequence[NewEffect],
    endings: tuple[Ending, ...],
    arrived_ms: int,
    ciphertext: bytes,
    wrapped_key: bytes,
    log_index: int | None = None,
    audit_index: int | None = None,
    flags: str = "",
    post_digest: bytes | None = None,
) -> NewMessage:
    """Return the row of a message that its conversation accepts; see `NewMessage` for the fields.

    It is an incoming one if it has a ``log_index``, for then its entry is in the mirror.
    """
    header = derived.header
    outgoing = log_index is None
    # In the order of its fields.
    return NewMessage(
        outgoing,
        State.ACCEPTED if outgoing else State.RECEIVED,
        header.message_id,
        derived.header_bytes,
        header.type,
        header.from_agency,
        header.to_agencies,
        header.conversation_id,
        seq,
        derived.in_reply_to,
        derived.purpose,
        derived.reply_by_ms,
        bool(effects) and any(new.effect in CLOSING for new in effects),
        int(header.precedence),
        header.created_ms,
        header.expires_ms,
        arrived_ms,
        log_index,
        audit_index,
        flags,
        ciphertext,
        wrapped_key,
        derived.retention,
        endings,
        derived.awaits,
        tuple(effects),
        post_digest,
    )
