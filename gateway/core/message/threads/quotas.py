"""Quotas: how many messages of a type an agency may send on one UTC day.

The terms of a type set the number (`daily_limit`), and both nodes count, each in its own store.
A message counts on the day on which it was created, so its number does not depend on when it
arrives, and a node that keeps the quota never sends what its peer has to refuse. What is
counted has no id of its own: the messages are effects on an id that is derived from type,
agency and day.

Spec: docs/spec/rules.md, "Quotas".
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from gateway.core.message.effect import Effect
from gateway.core.message.terms import TypeTerms
from gateway.core.message.threads.view import Broken, ThreadView

Json = dict[str, Any]

_LABEL: Final = b"entente/quota/v1"
_SUBJECT_BYTES: Final = 16
_DAY: Final = slice(0, len("YYYY-MM-DD"))


def quota_of(document: Json) -> bytes:
    """Return what a message counts towards: 16 bytes for its type, its sender and its UTC day."""
    header = document["header"]
    # created_at is UTC, so its text begins with the UTC day.
    parts = (document["type"], header["from"]["agency"], header["created_at"][_DAY])
    text = b"\0".join((_LABEL, *(part.encode() for part in parts)))
    return hashlib.sha384(text).digest()[:_SUBJECT_BYTES]


def examine_quota(document: Json, terms: TypeTerms, threads: ThreadView, broken: Broken) -> None:
    """RF-QUOTA: the sender has not sent as many of this type on this day as its terms allow."""
    if terms.daily_limit is None:
        return
    counted = sum(applied.effect is Effect.COUNTS for applied in threads.effects(quota_of(document)))
    if counted >= terms.daily_limit:
        broken.append(("RF-QUOTA", "/type"))
