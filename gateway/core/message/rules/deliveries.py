"""CX-CD, CX-CDDEC: goods that are let go under watch, asked for and decided."""

from __future__ import annotations

from typing import Final

from gateway.core.message.instants import instant_ms
from gateway.core.message.rules.definition import Facts, Json, Pointers, Rule, message_rule
from gateway.core.message.rules.substances import is_fentanyl


def _is_left_in_nowhere(item: Json, facts: Facts) -> bool:
    """Tell whether seized goods hold what must never stay in: a fentanyl or a nitazene."""
    substance = item.get("substance")
    if substance is None:
        return False
    if item["category"] == "PRECURSOR":
        # A precursor may be named after what is made of it: only its number tells.
        return substance["cas"] in facts.agreement.fentanyls
    return is_fentanyl(substance, facts.agreement)


@message_rule(
    "CX-CD",
    97,
    pointer="/payload, /payload/window_from or /payload/kind",
    applies_to=("invest.controlled_delivery_request/1",),
    en="A controlled delivery names either a consignment or a document, begins later than created_at, and "
    "never leaves fentanyls or nitazenes in (kind FULL). Keep one of the two, choose a later window_from, "
    "or have the substance replaced.",
    fr="Une livraison surveillée désigne soit un envoi (consignment), soit un document, commence après "
    "created_at et ne laisse jamais en place un fentanyl ou un nitazène (nature FULL). Gardez l'un des deux, "
    "reculez window_from, ou faites substituer le produit.",
)
def _delivery_is_safe_and_ahead(facts: Facts) -> Pointers:
    payload = facts.payload
    pointers = []
    if ("consignment" in payload) == ("document" in payload):
        pointers.append("/payload")
    if instant_ms(payload["window_from"]) <= facts.created_ms:
        pointers.append("/payload/window_from")
    if payload["kind"] == "FULL" and any(_is_left_in_nowhere(item, facts) for item in payload["goods"]):
        pointers.append("/payload/kind")
    return pointers


_NEEDED_TO_AUTHORISE: Final = frozenset({"authority_ref", "valid_from", "valid_to"})


@message_rule(
    "CX-CDDEC",
    98,
    pointer="/payload, /payload/conditions or /payload/reason",
    applies_to=("invest.controlled_delivery_decision/1",),
    en="An authorisation has authority_ref, valid_from and valid_to, and one with conditions names them; a "
    "refusal says why (reason). Add what is missing.",
    fr="Une autorisation porte authority_ref, valid_from et valid_to, et ses conditions si elle en a ; un "
    "refus dit pourquoi (reason). Ajoutez ce qui manque.",
)
def _decision_is_whole(facts: Facts) -> Pointers:
    payload = facts.payload
    decision = payload["decision"]
    pointers = []
    if decision in ("AUTHORISED", "AUTHORISED_WITH_CONDITIONS") and not _NEEDED_TO_AUTHORISE.issubset(
        payload
    ):
        pointers.append("/payload")
    if decision == "AUTHORISED_WITH_CONDITIONS" and not payload.get("conditions"):
        pointers.append("/payload/conditions")
    if decision == "REFUSED" and "reason" not in payload:
        pointers.append("/payload/reason")
    return pointers


RULES: Final[tuple[Rule, ...]] = (_delivery_is_safe_and_ahead, _decision_is_whole)
