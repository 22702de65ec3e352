"""Use changes: the originator tightens or relaxes the terms of an earlier message.

What may be said is compared with the message as it was first sent. What is in force
follows from all changes that have come into effect: one that tightens never loosens what
another has tightened before, whatever their order.

Spec: docs/spec/rules.md, "Use changes".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from gateway.core.message.effect import Effect
from gateway.core.message.instants import day_of_date, day_of_instant, instant_ms
from gateway.core.message.threads.corrections import corrected, is_retracted
from gateway.core.message.threads.view import Broken, ThreadView, uuid_bytes

Json = dict[str, Any]

LOOSEST_FIRST: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "evidence": ("YES", "CONSENT", "NO"),
        "dissemination": ("NATIONAL_LE", "ADDRESSEE_ONLY"),
        "onward_transfer": ("CONSENT", "FORBIDDEN"),
    }
)
"""Values of ``header.use`` by field, from the loosest to the tightest."""

_RULE: Final = "CX-USECHANGE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsInForce:
    """What may be done with a message now.

    Attributes:
        marking: Block ``header.marking`` as it is now.
        handling: Block ``header.handling`` as it is now.
        use: Block ``header.use`` as it is now.
        delete_by: Day on which the content goes, ``YYYY-MM-DD``, or None.
        changed_by: Use changes that are in effect, oldest first.
        announced: Use changes that are not in effect yet, oldest first.
        erased: Use changes whose content was erased, oldest first: what they made of the terms is not known
            any more, and is not in them.
    """

    marking: Json
    handling: Json
    use: Json
    delete_by: str | None
    changed_by: tuple[bytes, ...] = ()
    announced: tuple[bytes, ...] = ()
    erased: tuple[bytes, ...] = ()


def examine_use_change(document: Json, threads: ThreadView) -> Broken:
    """CX-USECHANGE: a change that tightens loosens no term, and deletion is not before it takes effect.

    Args:
        document: A use change whose target is known and its own.
        threads: What this node has sent and accepted before this message.
    """
    payload = document["payload"]
    broken: Broken = []
    delete_by = payload.get("delete_by")
    if payload["direction"] == "TIGHTEN":
        target = threads.content(uuid_bytes(payload["target"]))
        if target is not None:
            header = target["header"]
            broken.extend((_RULE, f"/payload/use/{field}") for field in _looser(payload, header["use"]))
            before = header["data_protection"].get("delete_by")
            if delete_by is not None and before is not None and day_of_date(delete_by) > day_of_date(before):
                broken.append((_RULE, "/payload/delete_by"))
    if delete_by is not None and day_of_instant(instant_ms(payload["effective"])) > day_of_date(delete_by):
        broken.append((_RULE, "/payload/effective"))
    return broken


def terms_in_force(message_id: bytes, threads: ThreadView, *, now_ms: int) -> TermsInForce | None:
    """Return the terms of a message as they are now, or None if it was erased or is not known.

    Args:
        message_id: The message, 16 bytes.
        threads: What this node has sent and accepted.
        now_ms: The clock, milliseconds since 1970.
    """
    sent = threads.content(message_id)
    if sent is None:
        return None
    header = sent["header"]
    terms = TermsInForce(
        marking=header["marking"],
        handling=header["handling"],
        use=header["use"],
        delete_by=header["data_protection"].get("delete_by"),
    )
    for applied in threads.effects(message_id):
        if applied.effect is not Effect.CHANGES_USE or is_retracted(applied.message_id, threads):
            continue
        change = corrected(applied.message_id, threads)
        if change is None:  # what it said cannot be known any more, but that it said something
            terms = replace(terms, erased=(*terms.erased, applied.message_id))
            continue
        if instant_ms(change["payload"]["effective"]) > now_ms:
            terms = replace(terms, announced=(*terms.announced, applied.message_id))
        else:
            terms = _changed(terms, change["payload"], applied.message_id)
    return terms


def _looser(payload: Json, before: Json) -> list[str]:
    use = payload.get("use")
    if use is None:
        return []
    return [
        field
        for field, order in LOOSEST_FIRST.items()
        if order.index(use[field]) < order.index(before[field])
    ]


def _changed(terms: TermsInForce, payload: Json, message_id: bytes) -> TermsInForce:
    use: Json = payload.get("use", terms.use)
    delete_by: str | None = payload.get("delete_by", terms.delete_by)
    if payload["direction"] == "TIGHTEN":
        use = {
            field: max(use[field], terms.use[field], key=order.index)
            for field, order in LOOSEST_FIRST.items()
        }
        # Dates of one form compare as text.
        delete_by = min((day for day in (delete_by, terms.delete_by) if day is not None), default=None)
    return TermsInForce(
        marking=payload.get("marking", terms.marking),
        handling=payload.get("handling", terms.handling),
        use=use,
        delete_by=delete_by,
        changed_by=(*terms.changed_by, message_id),
        announced=terms.announced,
        erased=terms.erased,
    )
