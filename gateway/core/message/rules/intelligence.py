"""CX-ASSESS and CX-ALERT: judgements are graded, and alerts travel fast."""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import GOOD, Facts, Pointers, Rule, message_rule


@message_rule(
    "CX-ASSESS",
    84,
    pointer="/payload/assessment",
    applies_to=("intel.spontaneous/1",),
    en="A judgement says how likely it is and how sure the analyst is. Add likelihood and confidence, or "
    "remove the assessment.",
    fr="Un jugement dit sa probabilité et le degré de confiance de l'analyste. Ajoutez likelihood et "
    "confidence, ou retirez assessment.",
)
def _judgement_is_graded(facts: Facts) -> Pointers:
    payload = facts.payload
    if "assessment" not in payload or ("likelihood" in payload and "confidence" in payload):
        return GOOD
    return ("/payload/assessment",)


@message_rule(
    "CX-ALERT",
    104,
    pointer="/header/precedence",
    applies_to=("alert.urgent/1",),
    en="An alert goes FLASH or IMMEDIATE. Raise the precedence, or use a type that is less urgent.",
    fr="Une alerte part en FLASH ou IMMEDIATE. Relevez l'urgence, ou utilisez un type moins pressant.",
)
def _alert_travels_fast(facts: Facts) -> Pointers:
    return GOOD if facts.header["precedence"] in ("FLASH", "IMMEDIATE") else ("/header/precedence",)


RULES: Final[tuple[Rule, ...]] = (_judgement_is_graded, _alert_travels_fast)
