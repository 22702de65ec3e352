"""How long the content of a message may be kept, and which messages order another's end.

Both nodes come to the same dates from the message alone: the day that its data protection
block names, the retention of its type, the hours after which matching tokens go. A later
message of the sender may order the end of an earlier one, or move it. What destroys the
content is elsewhere; here is only what follows from documents.

Spec: docs/spec/erasure.md, "When".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from gateway.core.message.instants import DAY_MS, HOUR_MS, day_of_date, day_of_instant, instant_ms
from gateway.core.message.terms import TypeTerms
from gateway.core.quick import quick_value

AT_ONCE: Final = 0
"""A date that has always passed."""


class Ground(IntEnum):
    """Why content is destroyed; the numbers are stored, and stand in events of the audit log."""

    DELETE_BY = 1
    RETENTION = 2
    TOKENS = 3
    RETRACTION = 4
    USE_CHANGE = 5
    CANCELLATION = 6
    ORDER = 7
    RESTORED = 8
    """It had been erased before the database was restored from a backup."""

    # Asked of every message, so it is made once.
    @cached_property
    def label(self) -> str:
        """Return the stable word that API, commands and documentation use."""
        return self.name.lower().replace("_", "-")


FORESEEN: Final = frozenset({Ground.DELETE_BY, Ground.RETENTION, Ground.TOKENS})
"""Grounds that stand in the message itself: whoever holds it knows the date, a backup too."""

UNCHANGEABLE: Final = frozenset({Ground.RETRACTION, Ground.CANCELLATION, Ground.ORDER})
"""Grounds that no change of the terms of use takes back."""


CARRIED: Final = frozenset({Ground.RETRACTION, Ground.CANCELLATION})
"""Grounds on which a message takes its corrections along. They keep their own last day otherwise."""


@quick_value
class Retention:
    """When the content of a message is to be destroyed, and on what ground.

    Attributes:
        erase_ms: From this instant on it may not be held, milliseconds since 1970.
        ground: What sets that date.
    """

    erase_ms: int
    ground: Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What one message orders about the content of another.

    Attributes:
        target: Id of that other message, 16 bytes.
        retention: When and why.
    """

    target: bytes
    retention: Retention


def retention_of(document: Mapping[str, Any], terms: TypeTerms) -> Retention:
    """Return when the content of a message has to go: the earliest date that concerns it.

    ``delete_by`` is the last day on which it may be held, and days count in UTC.

    Args:
        document: A message that its schema and rules accept.
        terms: The terms of its type.
    """
    header = document["header"]
    created_ms = instant_ms(header["created_at"])
    erase_ms = _after(day_of_instant(created_ms) + max(1, terms.keep_days))
    ground = Ground.RETENTION
    # Of equal dates the one that the message names says more than that of its type.
    protection = header["data_protection"]
    if protection["contains_personal_data"] and "delete_by" in protection:
        last_ms = _after(day_of_date(protection["delete_by"]))
        if last_ms <= erase_ms:
            erase_ms, ground = last_ms, Ground.DELETE_BY
    hours = document["payload"].get("destroy_after_h")
    if hours is not None:
        tokens_ms = created_ms + hours * HOUR_MS
        if tokens_ms <= erase_ms:
            erase_ms, ground = tokens_ms, Ground.TOKENS
    return Retention(erase_ms=erase_ms, ground=ground)


def ending_of(document: Mapping[str, Any]) -> Ending | None:
    """Return what a message orders about the content of another one, or None.

    That the target is the sender's own is for the rules of the conversation (RF-OWN).

    Args:
        document: A message that its schema and rules accept.
    """
    find = _ENDINGS.get(document["type"].partition("/")[0])
    return None if find is None else find(document)


def end_by_use_change(payload: Mapping[str, Any]) -> int | None:
    """Return when content goes by a change of use alone, milliseconds since 1970; None if it names no day.

    What it says counts from when it takes effect.

    Args:
        payload: Payload of a ``gov.use_change``.
    """
    if "delete_by" not in payload:
        return None
    return max(_after(day_of_date(payload["delete_by"])), instant_ms(payload["effective"]))


def _retraction(document: Mapping[str, Any]) -> Ending | None:
    """A retraction that says so destroys its target at once."""
    payload = document["payload"]
    if not payload["delete"]:
        return None
    return _ending(payload["target"], AT_ONCE, Ground.RETRACTION)


def _cancellation(document: Mapping[str, Any]) -> Ending | None:
    """A request that is cancelled, with its data to be deleted, goes at once."""
    target = document["header"]["conversation"].get("in_reply_to")
    if not document["payload"]["delete_data"] or target is None:
        return None
    return _ending(target, AT_ONCE, Ground.CANCELLATION)


def _use_change(document: Mapping[str, Any]) -> Ending | None:
    """A change of use may move the last day."""
    payload = document["payload"]
    erase_ms = end_by_use_change(payload)
    return None if erase_ms is None else _ending(payload["target"], erase_ms, Ground.USE_CHANGE)


_ENDINGS: Final = {
    "gov.retraction": _retraction,
    "gov.use_change": _use_change,
    "assist.cancel": _cancellation,
}


def _after(day: int) -> int:
    """Return the first instant after a day."""
    return (day + 1) * DAY_MS


def _ending(target: str, erase_ms: int, ground: Ground) -> Ending:
    return Ending(target=UUID(target).bytes, retention=Retention(erase_ms=erase_ms, ground=ground))
