"""Corrections: an earlier message stays as it is, and the values in force change.

A correction names a message of its own side and, value by value, what stood there and
what is right. It applies to the values as they were last corrected. A correction can be
corrected itself: what it says then counts as if it had said so at once.

Spec: docs/spec/rules.md, "Corrections".
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

import orjson

from gateway.core.message.effect import Effect
from gateway.core.message.instants import instant_ms
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import stateless_violations
from gateway.core.message.schema_check import schema_violations
from gateway.core.message.threads.view import AppliedEffect, Broken, Contents, ThreadView, uuid_bytes
from gateway.core.message.violation import Violation
from gateway.core.message.wording import Wording

Json = dict[str, Any]

MAX_DEPTH: Final = 8
"""Corrections of corrections of corrections …: more than anyone needs, few enough to follow."""

CORRECTION: Final = "gov.correction/1"

_RULE: Final = "CX-PATCH"
_PATCHES: Final = "/payload/patches"

_MOST_TOLD: Final = 5
"""Violations of a corrected message that a refusal repeats: enough to mend it, short enough to read."""


def corrected(message_id: bytes, threads: Contents) -> Json | None:
    """Return a message with the values in force, or None if it was erased or is not known.

    What is returned may be the stored message itself: it must not be changed.

    Args:
        message_id: The message, 16 bytes.
        threads: What this node has sent and accepted.
    """
    sent = threads.content(message_id)
    if sent is None:
        return None
    whole = sent
    for item in _corrections_of(message_id, threads):
        correction = corrected(item, threads)
        if correction is None:  # erased: what it said cannot be known any more
            continue
        if whole is sent:
            whole = deepcopy(sent)
        apply_patches(whole, correction["payload"]["patches"])
    return whole


def corrected_for(reader: str, message_id: bytes, threads: ThreadView) -> Json | None:
    """Return a message with the corrections that a reader sent or was sent, or None if that cannot be said.

    Who is told what is in force acts on it, so nothing is told where a value may be an old one: where one of
    these corrections was erased, or does not fit what the others say to this reader. What is returned may be
    the stored message itself: it must not be changed.

    Args:
        reader: Agency that is told.
        message_id: The message, 16 bytes.
        threads: What this node has sent and accepted.
    """
    sent = threads.content(message_id)
    if sent is None:
        return None
    whole = sent
    for applied in corrections_of(message_id, threads):
        if not applied.concerns(reader):
            continue
        correction = corrected_for(reader, applied.message_id, threads)
        if correction is None:
            return None
        if whole is sent:
            whole = deepcopy(sent)
        if apply_patches(whole, correction["payload"]["patches"]):
            return None
    return whole


def corrections_of(message_id: bytes, threads: Contents) -> list[AppliedEffect]:
    """Return the corrections that count, oldest first; what was retracted says nothing any more."""
    return [
        applied
        for applied in threads.effects(message_id)
        if applied.effect is Effect.CORRECTS and not is_retracted(applied.message_id, threads)
    ]


def versions(message_id: bytes, threads: ThreadView) -> list[Json]:
    """Return a message as it was sent and, if it was corrected, with the values in force.

    Whoever answers may have read the one or the other. Empty if it was erased.
    """
    sent = threads.content(message_id)
    if sent is None:
        return []
    now = corrected(message_id, threads)
    return [sent] if now is None or now is sent else [sent, now]


def examine_patches(document: Json, catalogue: Catalogue, threads: ThreadView) -> Broken:
    """CX-PATCH: every patch fits the target as last corrected, and the whole stays good.

    The corrected whole has to satisfy the schema and the stateless rules, as at the time
    when the target was created. If the target is a correction, so has what it corrects.

    Args:
        document: A correction whose target is known and its own.
        catalogue: Types and agreement.
        threads: What this node has sent and accepted before this message.
    """
    payload = document["payload"]
    target_id = uuid_bytes(payload["target"])
    target = corrected(target_id, threads)
    if target is None or any(threads.content(item) is None for item in _corrections_of(target_id, threads)):
        return []  # something was erased, so nobody can say what stood there
    whole = deepcopy(target)
    broken: Broken = [
        (_RULE, f"/payload/patches/{i}/{part}") for i, part in apply_patches(whole, payload["patches"])
    ]
    if not _is_good(whole, catalogue) or (
        whole["type"] == CORRECTION and not _leads_to_good(whole, target_id, catalogue, threads, MAX_DEPTH)
    ):
        broken.append((_RULE, _PATCHES))
    return broken


def with_what_is_broken(
    broken: Violation, document: Json, catalogue: Catalogue, threads: ThreadView
) -> Violation:
    """Return a violation of CX-PATCH with what the corrected message itself breaks, rule by rule.

    Whoever corrects a message does not see the corrected whole, so its refusal says where that is wrong.

    Args:
        broken: The violation that ``examine_patches`` found, as it is told.
        document: The correction.
        catalogue: Types and agreement.
        threads: What this node has sent and accepted before this message.
    """
    target = corrected(uuid_bytes(document["payload"]["target"]), threads)
    if broken.pointer != _PATCHES or target is None:
        return broken
    whole = deepcopy(target)
    apply_patches(whole, document["payload"]["patches"])
    found = _violations(whole, catalogue)[:_MOST_TOLD]
    if not found:
        return broken
    return replace(
        broken,
        wording=Wording(
            en=f"{broken.wording.en} The corrected message breaks "
            + " ".join(f"{item.rule} at {item.pointer}: {item.wording.en}" for item in found),
            fr=f"{broken.wording.fr} Le message rectifié enfreint "
            + " ".join(f"{item.rule} à {item.pointer} : {item.wording.fr}" for item in found),
        ),
    )


def apply_patches(document: Json, patches: Sequence[Json]) -> list[tuple[int, str]]:
    """Apply patches in order to a document; return index and part of each that fails.

    A patch that fails changes nothing, and the next one is tried. The part is ``old`` when
    another value stands there, ``path`` when the path leads nowhere.
    """
    return [
        (index, failed)
        for index, patch in enumerate(patches)
        if (failed := _apply_patch(document, patch)) is not None
    ]


def retraction_of(message_id: bytes, threads: Contents) -> AppliedEffect | None:
    """Return what retracted a message first, erased or not, or None."""
    return next(
        (
            applied
            for applied in threads.effects(message_id)
            if applied.effect in {Effect.RETRACTS, Effect.RETRACTS_AND_DELETES}
        ),
        None,
    )


def is_retracted(message_id: bytes, threads: Contents) -> bool:
    """Tell whether a message was retracted, whether its content is still there or not."""
    return retraction_of(message_id, threads) is not None


def _corrections_of(message_id: bytes, threads: Contents) -> list[bytes]:
    return [applied.message_id for applied in corrections_of(message_id, threads)]


def _leads_to_good(
    correction: Json, correction_id: bytes, catalogue: Catalogue, threads: ThreadView, depth: int
) -> bool:
    """Tell whether a message is good with one of its corrections changed.

    Args:
        correction: The correction as it is to be.
        correction_id: Its id.
        catalogue: Types and agreement.
        threads: What this node has sent and accepted.
        depth: How many more corrections of corrections are followed.
    """
    target_id = uuid_bytes(correction["payload"]["target"])
    sent = threads.content(target_id)
    if sent is None:
        return True
    whole = deepcopy(sent)
    for item in _corrections_of(target_id, threads):
        said = correction if item == correction_id else corrected(item, threads)
        if said is None:
            return True  # erased: nobody can say what is in force
        # Also what later corrections built on the old value has to stand.
        if apply_patches(whole, said["payload"]["patches"]):
            return False
    if not _is_good(whole, catalogue):
        return False
    if whole["type"] != CORRECTION:
        return True
    return depth > 0 and _leads_to_good(whole, target_id, catalogue, threads, depth - 1)


def _is_good(document: Json, catalogue: Catalogue) -> bool:
    """Tell whether a whole message satisfies its schema and the stateless rules."""
    return not _violations(document, catalogue)


def _violations(document: Json, catalogue: Catalogue) -> Sequence[Violation]:
    """Return what a whole message breaks: its schema, or else the stateless rules as of its creation."""
    message_type = catalogue.find(document["type"])
    if message_type is None:
        return ()
    found = schema_violations(document, message_type, catalogue)
    if found:
        return found
    created_ms = instant_ms(document["header"]["created_at"])
    return stateless_violations(document, message_type, catalogue.agreement, created_ms)


# --- One patch ------------------------------------------------------------------------


def _apply_patch(document: Json, patch: Json) -> str | None:
    *steps, last = patch["path"].split("/")[1:]
    holder: Any = document
    for step in steps:
        if not _has(holder, step):
            return "path"
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    exists = _has(holder, last)
    key: Any = int(last) if exists and isinstance(holder, list) else last
    if "old" in patch and not (exists and _is_same(holder[key], patch["old"])):
        return "old" if isinstance(holder, dict | list) else "path"
    if "new" in patch:
        # Only a member of an object may be made anew.
        if not exists and not isinstance(holder, dict):
            return "path"
        holder[key] = deepcopy(patch["new"])
        return None
    if not exists:
        return "path"
    del holder[key]
    return None


def _has(holder: Any, step: str) -> bool:
    """Tell whether a step leads on: a member of an object, or an index of a list."""
    if isinstance(holder, dict):
        return step in holder
    if not isinstance(holder, list) or not step.isdecimal() or not step.isascii():
        return False
    return str(int(step)) == step and int(step) < len(holder)


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: ``true`` is not 1, and the order of members is free."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
