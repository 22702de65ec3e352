"""Small drafts of several types, as agencies would post them; everything in them is invented.

A draft leaves out what the node fills in. ``to`` and conversation of an answer follow from
the message that it answers.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from gateway.core.message.instants import time_text

INVESTIGATORS = {"FR": "FR.DGDDI.DNRED", "US": "US.ICE.HSI"}
"""One agency a nation that may ask and answer; others are in `tests.world.AGENCIES`."""

DAY_MS = 86_400_000


def other(nation: str) -> str:
    return "US" if nation == "FR" else "FR"


def _draft(nation: str, type_id: str, header: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": type_id,
        "header": {"language": "fr" if nation == "FR" else "en", **header},
        "payload": payload,
    }


def _answer(
    nation: str, type_id: str, parent: bytes, payload: dict[str, Any], **header: Any
) -> dict[str, Any]:
    conversation = {"in_reply_to": str(UUID(bytes=parent)), **header.pop("conversation", {})}
    return _draft(nation, type_id, {"precedence": "ROUTINE", "conversation": conversation, **header}, payload)


def intelligence(nation: str, **header: Any) -> dict[str, Any]:
    """Return intelligence that awaits no answer; PRIORITY or ROUTINE."""
    return _draft(
        nation,
        "intel.spontaneous/1",
        {
            "to": [{"agency": INVESTIGATORS[other(nation)]}],
            "precedence": "ROUTINE",
            "evaluation": {"scheme": "EU4X4", "source": "B", "information": "2"},
            "purpose": {"code": "CRIMINAL_INVESTIGATION", "areas": ["NARCOTICS"]},
            **header,
        },
        {
            "summary": "A synthetic summary.",
            "assessment": "A synthetic assessment.",
            "likelihood": "LIKELY",
            "confidence": "MODERATE",
            "observed_from": "2026-09-01",
            "observed_to": "2026-10-28",
        },
    )


PERSONAL = {
    "contains_personal_data": True,
    "categories": ["IDENTITY"],
    "subjects": ["SUSPECT"],
    "special_categories": [],
    "minors": False,
    "delete_by": "2026-11-30",
}
"""Data protection of a message that holds data of a person, until the day that it names."""


def request(nation: str, now_ms: int, **header: Any) -> dict[str, Any]:
    """Return a request for assistance with two questions."""
    return _draft(
        nation,
        "assist.request/1",
        {
            "to": [{"agency": INVESTIGATORS[other(nation)]}],
            "precedence": "ROUTINE",
            "purpose": {"code": "REVENUE_PROTECTION", "areas": ["CUSTOMS_FRAUD"]},
            "reply_by": time_text(now_ms + 20 * DAY_MS),
            **header,
        },
        {
            "assistance_type": "INFORMATION",
            "urgency": "EXTENDED",
            "subject": "A synthetic subject",
            "facts": "Synthetic facts.",
            "legal_elements": "Synthetic elements of law.",
            "why_you": "A synthetic reason.",
            "questions": ["A first synthetic question?", "A second synthetic question?"],
            "procedure_wanted": "A synthetic procedure.",
            "persons_may_be_alerted": False,
            "national_case": "SYNTHETIC-2026-1",
        },
    )


def acknowledgement(nation: str, parent: bytes, now_ms: int, **header: Any) -> dict[str, Any]:
    """Return an acknowledgement: the request is in work."""
    payload = {
        "status": "ACCEPTED",
        "handled_by": INVESTIGATORS[nation],
        "national_case": "SYNTHETIC-2026-2",
        "expected_by": time_text(now_ms + DAY_MS),
    }
    return _answer(nation, "assist.ack/1", parent, payload, **header)


def answer(
    nation: str, parent: bytes, now_ms: int, *, part: int = 1, final: bool = True, **header: Any
) -> dict[str, Any]:
    """Return an answer to a request; a final one closes it."""
    payload: dict[str, Any] = {
        "status": "FINAL" if final else "PARTIAL",
        "part": part,
        "outcome": "INFORMATION_PROVIDED",
        "answers": [{"q": 1, "text": "A synthetic answer."}],
    }
    if not final:
        payload["next_part_by"] = time_text(now_ms + DAY_MS)
    evaluation = {"scheme": "EU4X4", "source": "B", "information": "2"}
    return _answer(nation, "assist.reply/1", parent, payload, evaluation=evaluation, **header)


def refusal(nation: str, parent: bytes, **header: Any) -> dict[str, Any]:
    """Return a refusal, which closes the request."""
    payload = {"kind": "REFUSED", "reasons": ["FISCAL_SECRECY"], "explanation": "A synthetic reason."}
    return _answer(nation, "assist.refusal/1", parent, payload, **header)


def lifecycle(nation: str, type_name: str, payload: dict[str, Any], **header: Any) -> dict[str, Any]:
    """Return a message about another one (``gov.*``), in a conversation of its own."""
    header = {"to": [{"agency": INVESTIGATORS[other(nation)]}], "precedence": "ROUTINE", **header}
    return _draft(nation, f"{type_name}/1", header, payload)


def correction(nation: str, target: bytes, path: str, old: str, new: str, **header: Any) -> dict[str, Any]:
    """Return a correction of one value."""
    payload = {
        "target": str(UUID(bytes=target)),
        "kind": "FACT_WRONG",
        "patches": [{"path": path, "old": old, "new": new}],
        "reason": "A synthetic reason.",
        "act_on_it": False,
    }
    return lifecycle(nation, "gov.correction", payload, **header)


def use_change(nation: str, target: bytes, now_ms: int, **payload: Any) -> dict[str, Any]:
    """Return a use change that takes effect at once."""
    said = {
        "target": str(UUID(bytes=target)),
        "direction": "TIGHTEN",
        "effective": time_text(now_ms),
        "reason": "A synthetic reason.",
        **payload,
    }
    return lifecycle(nation, "gov.use_change", said)


def cancellation(nation: str, target: bytes, *, delete_data: bool = True, **header: Any) -> dict[str, Any]:
    """Return the message by which a nation takes its request back."""
    payload = {"reason": "A synthetic reason.", "delete_data": delete_data}
    return _answer(nation, "assist.cancel/1", target, payload, **header)
