"""What the rules of conversations look at of a message, so that the rest need not be kept.

A message is examined by itself first, many at a time, and against its conversation later, in
the transaction. A parsed message is some hundred objects. Let go of while they are in the
processor's cache they cost a third of what they cost later, and what comes next finds room there.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def outline_of(document: Json) -> Json:
    """Return a message without what no rule of conversations, and no effect, looks at.

    That is most of one that begins a conversation or goes on with its own. An answer is compared
    with what it answers, and ``gov.*`` speaks about other messages: these stay whole.

    Args:
        document: A message that its schema accepts.

    Returns:
        Another object, which shares its parts with the document, or the document itself.
    """
    header: Json = document["header"]
    type_id = document["type"]
    conversation = header["conversation"]
    if "in_reply_to" in conversation or type_id.startswith("gov."):
        return document
    looked_at = {
        "message_id": header["message_id"],
        "created_at": header["created_at"],
        "from": header["from"],
        "conversation": conversation,
    }
    if "operation" in header:
        looked_at["operation"] = header["operation"]
    return {"type": type_id, "header": looked_at}
