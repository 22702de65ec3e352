"""CX-CASH, CX-FLOW, CX-MIRROR: sums add up, transfers go somewhere, and trade crosses a border."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from gateway.core.message.instants import day_of_date
from gateway.core.message.rules.definition import GOOD, Facts, Pointers, Rule, message_rule

_HUNDREDTH: Final = Decimal("0.01")


@message_rule(
    "CX-CASH",
    105,
    pointer="/payload/total",
    applies_to=("fin.cash_movement/1",),
    en="If all items have the currency of the total, the total is their sum. Correct the total or the items; "
    "a value is that of the whole item, not of one note.",
    fr="Si tous les lots sont dans la monnaie du total, celui-ci est leur somme. Corrigez le total ou les "
    "lots ; une valeur est celle du lot entier, non d'un seul billet.",
)
def _items_add_up_to_the_total(facts: Facts) -> Pointers:
    payload = facts.payload
    total, values = payload["total"], [item["value"] for item in payload["items"]]
    if any(value["currency"] != total["currency"] for value in values):
        return GOOD
    amounts = [Decimal(value["amount"]) for value in values]
    stated = Decimal(total["amount"]).quantize(_HUNDREDTH)
    # Of a currency with three decimals, rounding each item and rounding the sum may differ.
    is_sum = stated in (
        sum(amount.quantize(_HUNDREDTH) for amount in amounts),
        sum(amounts, Decimal(0)).quantize(_HUNDREDTH),
    )
    return GOOD if is_sum else ("/payload/total",)


@message_rule(
    "CX-FLOW",
    106,
    pointer="/payload/transactions/{i}/at, /payload/transactions/{i} or /header/handling",
    applies_to=("fin.flow_report/1",),
    en="Transfers lie within the period, between two different accounts; material of a financial "
    "intelligence unit is sent with handling H2 and onward transfer FORBIDDEN. Correct the date, the period "
    "or the accounts, or set handling and use.",
    fr="Les transferts se situent dans la période, entre deux comptes différents ; les éléments d'une "
    "cellule de renseignement financier s'envoient avec le code H2 et le transfert ultérieur FORBIDDEN. "
    "Corrigez la date, la période ou les comptes, ou modifiez handling et use.",
)
def _transfers_go_somewhere_in_time(facts: Facts) -> Pointers:
    payload, header = facts.payload, facts.header
    first, last = day_of_date(payload["period_from"]), day_of_date(payload["period_to"])
    pointers = []
    for i, transaction in enumerate(payload.get("transactions", ())):
        if not first <= day_of_date(transaction["at"]) <= last:
            pointers.append(f"/payload/transactions/{i}/at")
        if transaction["from_account"] == transaction["to_account"]:
            pointers.append(f"/payload/transactions/{i}")
    stays_with_the_addressee = (
        "H2" in header["handling"]["codes"] and header["use"]["onward_transfer"] == "FORBIDDEN"
    )
    if payload["fiu_channel"] and not stays_with_the_addressee:
        pointers.append("/header/handling")
    return pointers


@message_rule(
    "CX-MIRROR",
    107,
    pointer="/payload/importer_country",
    applies_to=("fin.trade_mirror/1",),
    en="Exporting and importing country differ. Correct one of them.",
    fr="Le pays d'exportation et le pays d'importation sont différents. Corrigez l'un des deux.",
)
def _trade_crosses_a_border(facts: Facts) -> Pointers:
    payload = facts.payload
    differ = payload["exporter_country"] != payload["importer_country"]
    return GOOD if differ else ("/payload/importer_country",)


RULES: Final[tuple[Rule, ...]] = (
    _items_add_up_to_the_total,
    _transfers_go_somewhere_in_time,
    _trade_crosses_a_border,
)
