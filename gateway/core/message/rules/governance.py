"""CX-CONSENT: what a message about an earlier message has to say.

What it owes to that earlier message is in `gateway.core.message.threads`.
"""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import GOOD, Facts, Pointers, Rule, message_rule

_THE_TWO_NATIONS: Final = frozenset({"FR", "US"})


@message_rule(
    "CX-CONSENT",
    110,
    pointer="/payload/recipient, /payload/recipient_country or /payload/new_purpose",
    applies_to=("gov.consent_request/1",),
    en="A request to pass information on names the recipient; to a third country also that country, which "
    "is neither FR nor US; for another purpose that purpose. Add recipient, recipient_country or "
    "new_purpose.",
    fr="Une demande de transmission nomme le bénéficiaire ; vers un pays tiers, aussi ce pays, autre que FR "
    "et US ; pour une autre finalité, cette finalité. Ajoutez recipient, recipient_country ou new_purpose.",
)
def _further_use_is_named(facts: Facts) -> Pointers:
    payload = facts.payload
    use = payload["use"]
    if use == "OTHER_PURPOSE":
        return GOOD if "new_purpose" in payload else ("/payload/new_purpose",)
    if not use.startswith("PASS_"):
        return GOOD
    pointers = []
    if "recipient" not in payload:
        pointers.append("/payload/recipient")
    if use == "PASS_TO_THIRD_COUNTRY":
        country = payload.get("recipient_country")
        if country is None or country in _THE_TWO_NATIONS:
            pointers.append("/payload/recipient_country")
    return pointers


RULES: Final[tuple[Rule, ...]] = (_further_use_is_named,)
