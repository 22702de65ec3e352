"""What a message orders about the content of others, as their conversation makes it.

Most orders follow from a message alone. When the content of a message goes whose use was changed follows
from all its changes together, each as it is in force: a second change that tightens loosens no earlier one,
and one that is retracted or corrected says nothing, or something else. So each message that changes what is
in force of them orders anew when the content goes, and the last order counts.

Spec: docs/spec/erasure.md, "When".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.message.effect import Effect, NewEffect
from gateway.core.message.instants import instant_ms
from gateway.core.message.registry import Catalogue
from gateway.core.message.retention import (
    AT_ONCE,
    CARRIED,
    Ending,
    Ground,
    Retention,
    end_by_use_change,
    retention_of,
)
from gateway.core.message.threads.corrections import CORRECTION, corrected, is_retracted
from gateway.core.message.threads.view import AppliedEffect, Contents, ThreadView, uuid_bytes

Json = dict[str, Any]

USE_CHANGE: Final = "gov.use_change/1"

_CHANGING: Final = frozenset({USE_CHANGE, CORRECTION, "gov.retraction/1"})
"""Types that change what is in force of changes of use."""


def endings_of(
    document: Json,
    alone: Ending | None,
    *,
    catalogue: Catalogue,
    threads: ThreadView,
    effects: Sequence[NewEffect],
) -> tuple[Ending, ...]:
    """Return what a message orders about the content of others.

    Args:
        document: A message that every rule accepts.
        alone: What follows from the message itself.
        catalogue: Types and agreement.
        threads: What this node has sent and accepted before this message.
        effects: What the message does to earlier ones.
    """
    if document["type"] not in _CHANGING:
        return () if alone is None else (alone,)
    ordered = alone or _end_with_target(document, threads)
    moved = _moved(document, catalogue, threads, effects)
    if moved is None:
        return () if ordered is None else (ordered,)
    return (moved,) if ordered is None or ordered.target == moved.target else (ordered, moved)


def _moved(
    document: Json, catalogue: Catalogue, threads: ThreadView, effects: Sequence[NewEffect]
) -> Ending | None:
    """Return when the content goes whose changes of use a message adds to or changes, if it moves that."""
    target = _changed_in_use(document, threads)
    if target is None or (document["type"] == USE_CHANGE and "delete_by" not in document["payload"]):
        return None
    end_ms = _end_in_force(target, catalogue, _With(threads, document, effects))
    if end_ms is None:
        return None
    if document["type"] != USE_CHANGE and end_ms == _end_in_force(target, catalogue, threads):
        return None
    # No date of the message itself: who was restored from a backup has to be told of it (`FORESEEN`).
    return Ending(target=target, retention=Retention(erase_ms=end_ms, ground=Ground.USE_CHANGE))


@dataclass(frozen=True, slots=True)
class _With:
    """What was sent and accepted, with one message more."""

    threads: Contents
    document: Json
    new: Sequence[NewEffect]

    def content(self, message_id: bytes) -> Json | None:
        if message_id == uuid_bytes(self.document["header"]["message_id"]):
            return self.document
        return self.threads.content(message_id)

    def effects(self, subject: bytes) -> Sequence[AppliedEffect]:
        header = self.document["header"]
        return [
            *self.threads.effects(subject),
            *(
                AppliedEffect(
                    effect=item.effect,
                    message_id=uuid_bytes(header["message_id"]),
                    type=self.document["type"],
                    from_agency=header["from"]["agency"],
                    to_agencies=tuple(addressee["agency"] for addressee in header["to"]),
                    created_ms=instant_ms(header["created_at"]),
                    at_ms=item.at_ms,
                )
                for item in self.new
                if item.subject == subject
            ),
        ]


def _end_with_target(document: Json, threads: ThreadView) -> Ending | None:
    """Return that a correction of what a retraction or a cancellation destroyed goes at once as well.

    It holds values of its target. Those that were there before go with it; this is for one that
    was overtaken by the retraction, or sent in spite of it.
    """
    if document["type"] != CORRECTION:
        return None
    target = threads.find(uuid_bytes(document["payload"]["target"]))
    if target is None or target.ground not in CARRIED:
        return None
    own = uuid_bytes(document["header"]["message_id"])
    return Ending(target=own, retention=Retention(erase_ms=AT_ONCE, ground=target.ground))


def _changed_in_use(document: Json, threads: ThreadView) -> bytes | None:
    """Return the message whose changes of use a message adds to or changes, or None."""
    said = document
    while said["type"] != USE_CHANGE:
        subject = uuid_bytes(said["payload"]["target"])
        found = threads.find(subject)
        if found is None or found.type not in {USE_CHANGE, CORRECTION}:
            return None
        opened = threads.content(subject)
        if opened is None:  # erased: nobody can say what it was about
            return None
        said = opened
    return uuid_bytes(said["payload"]["target"])


def _end_in_force(target_id: bytes, catalogue: Catalogue, contents: Contents) -> int | None:
    """Return when content goes by the message and its changes of use, or None if that cannot be said."""
    target = contents.content(target_id)
    known = None if target is None else catalogue.find(target["type"])
    if target is None or known is None:
        return None
    end_ms = retention_of(target, known.terms).erase_ms
    for applied in contents.effects(target_id):
        if applied.effect is not Effect.CHANGES_USE or is_retracted(applied.message_id, contents):
            continue
        change = corrected(applied.message_id, contents)
        if change is None:
            return None
        payload = change["payload"]
        by_change_ms = end_by_use_change(payload)
        if by_change_ms is not None and (payload["direction"] == "RELAX" or by_change_ms < end_ms):
            end_ms = by_change_ms
    return end_ms
