"""CX-URGENCY, CX-ACK, CX-REFUSAL, CX-REPLY: mutual assistance, asked and answered.

What an answer owes to the request it answers is in `gateway.core.message.threads`.
"""

from __future__ import annotations

from typing import Final

from gateway.core.message.instants import DAY_MS, HOUR_MS, instant_ms
from gateway.core.message.rules.definition import GOOD, Facts, Pointers, Rule, Stage, message_rule

_LONGEST_WAIT_MS: Final = {
    "URGENT_DIRECT": 8 * HOUR_MS,
    "URGENT_INDIRECT": 3 * DAY_MS,
    "STANDARD": 7 * DAY_MS,
    "EXTENDED": 30 * DAY_MS,
}


@message_rule(
    "CX-URGENCY",
    85,
    pointer="/payload/urgency_reason, or /header/reply_by when it is too late",
    applies_to=("assist.request/1",),
    en="An urgent request says why it is urgent, and reply_by fits the urgency: 8 hours for URGENT_DIRECT, "
    "3 days for URGENT_INDIRECT, 7 days for STANDARD, 30 days for EXTENDED. Add the reason, or choose the "
    "urgency that you mean.",
    fr="Une demande urgente en donne la raison, et reply_by convient à l'urgence : 8 heures pour "
    "URGENT_DIRECT, 3 jours pour URGENT_INDIRECT, 7 jours pour STANDARD, 30 jours pour EXTENDED. Ajoutez la "
    "raison, ou choisissez l'urgence voulue.",
)
def _urgency_is_meant(facts: Facts) -> Pointers:
    payload = facts.payload
    urgency = payload["urgency"]
    pointers = []
    if urgency.startswith("URGENT") and "urgency_reason" not in payload:
        pointers.append("/payload/urgency_reason")
    reply_by = facts.header.get("reply_by")
    if reply_by is not None and instant_ms(reply_by) - facts.created_ms > _LONGEST_WAIT_MS[urgency]:
        pointers.append("/header/reply_by")
    return pointers


@message_rule(
    "CX-ACK",
    86,
    pointer="/payload/handled_by, /payload/expected_by or /payload/needed",
    applies_to=("assist.ack/1",),
    stage=Stage.BOTH,
    en="An acknowledgement names an agency of the sending nation in handled_by; ACCEPTED says by when "
    "(expected_by), with delay_reason if that is later than asked; MORE_INFORMATION_NEEDED says what is "
    "needed. Add what is missing.",
    fr="Un accusé de prise en charge nomme dans handled_by un service de la nation émettrice ; ACCEPTED dit "
    "pour quand (expected_by), avec delay_reason si c'est plus tard que demandé ; MORE_INFORMATION_NEEDED "
    "dit ce qui manque (needed). Ajoutez ce qui manque.",
)
def _acknowledgement_says_who_and_when(facts: Facts) -> Pointers:
    payload = facts.payload
    pointers = []
    if not payload["handled_by"].startswith(facts.nation + "."):
        pointers.append("/payload/handled_by")
    if payload["status"] == "ACCEPTED" and "expected_by" not in payload:
        pointers.append("/payload/expected_by")
    if payload["status"] == "MORE_INFORMATION_NEEDED" and not payload.get("needed"):
        pointers.append("/payload/needed")
    return pointers


_REASONS_THAT_STAY_UNSAID: Final = frozenset({"SOVEREIGNTY", "LIFE_SAFETY"})


@message_rule(
    "CX-REFUSAL",
    87,
    pointer="/payload/explanation, /payload/postponed_until or /payload/conditions",
    applies_to=("assist.refusal/1",),
    en="A refusal explains itself unless sovereignty or the safety of a life is a reason; POSTPONED says "
    "until when; CONDITIONS_OFFERED says which conditions. Add what is missing.",
    fr="Un refus est expliqué, sauf si la souveraineté ou la sécurité d'une vie est en cause ; POSTPONED "
    "dit jusqu'à quand ; CONDITIONS_OFFERED dit à quelles conditions. Ajoutez ce qui manque.",
)
def _refusal_explains_itself(facts: Facts) -> Pointers:
    payload = facts.payload
    pointers = []
    if "explanation" not in payload and _REASONS_THAT_STAY_UNSAID.isdisjoint(payload["reasons"]):
        pointers.append("/payload/explanation")
    if payload["kind"] == "POSTPONED" and "postponed_until" not in payload:
        pointers.append("/payload/postponed_until")
    if payload["kind"] == "CONDITIONS_OFFERED" and not payload.get("conditions"):
        pointers.append("/payload/conditions")
    return pointers


@message_rule(
    "CX-REPLY",
    88,
    pointer="/payload/next_part_by, /payload/part or /payload/answers",
    applies_to=("assist.reply/1",),
    stage=Stage.BOTH,
    en="A partial reply says when the next part comes; parts are numbered 1, 2, 3 … without a gap; only "
    "questions that the request asks are answered. Add next_part_by, or correct part or the question's "
    "number.",
    fr="Une réponse partielle annonce la suivante (next_part_by) ; les parties sont numérotées 1, 2, 3 … "
    "sans lacune ; on ne répond qu'aux questions posées. Ajoutez next_part_by, ou corrigez part ou le "
    "numéro de la question.",
)
def _partial_reply_announces_the_next(facts: Facts) -> Pointers:
    payload = facts.payload
    return (
        ("/payload/next_part_by",)
        if payload["status"] == "PARTIAL" and "next_part_by" not in payload
        else GOOD
    )


RULES: Final[tuple[Rule, ...]] = (
    _urgency_is_meant,
    _acknowledgement_says_who_and_when,
    _refusal_explains_itself,
    _partial_reply_announces_the_next,
)
