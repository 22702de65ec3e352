"""CX-MASS, CX-GOODS, CX-SEIZED, CX-FIREARM: goods are described as their category demands."""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import (
    GOOD,
    Facts,
    Json,
    PartCheck,
    Pointers,
    Rule,
    message_rule,
    part_rule,
)
from gateway.core.message.wording import Wording


@part_rule(
    "CX-MASS",
    76,
    applies_to=("goods_item",),
    pointer="…/{i}/net_g",
    en="The net mass is not above the gross mass. Exchange or correct them; both are in grams.",
    fr="La masse nette ne dépasse pas la masse brute. Inversez-les ou corrigez-les ; toutes deux sont en "
    "grammes.",
)
def _net_is_not_above_gross(item: Json, _: str, __: Facts) -> Pointers:
    net, gross = item.get("net_g"), item.get("gross_g")
    return ("/net_g",) if net is not None and gross is not None and net > gross else GOOD


_CODES_BY_CATEGORY: Final = {
    "FIREARM": ("93",),
    "AMMUNITION": ("9306",),
    "TOBACCO": ("24",),
    "MEDICINE": ("30",),
    "CULTURAL": ("97",),
    "PRECURSOR": ("28", "29", "38"),
    "PILL_PRESS": ("84",),
}
_WITHOUT_CODE: Final = frozenset({"DRUG", "CASH"})


def _seized_code_fits_category(item: Json, _: str, __: Facts) -> Pointers:
    code = item.get("hs")
    beginnings = _CODES_BY_CATEGORY.get(item["category"])
    return GOOD if code is None or beginnings is None or code.startswith(beginnings) else ("/hs",)


def _code_is_there_and_fits_category(item: Json, at: str, facts: Facts) -> Pointers:
    if "hs" not in item and item["category"] not in _WITHOUT_CODE:
        return ("/hs",)
    return _seized_code_fits_category(item, at, facts)


_goods_fit_their_category = Rule(
    id="CX-GOODS",
    number=77,
    pointer="…/{i}/hs",
    applies_to=("goods_item", "seized_item"),
    wording=Wording(
        en="Goods other than drugs and cash have an HS code, and the code begins as the category demands: "
        "FIREARM 93, AMMUNITION 9306, TOBACCO 24, MEDICINE 30, CULTURAL 97, PRECURSOR 28, 29 or 38, "
        "PILL_PRESS 84. Add or correct the code, or correct the category.",
        fr="Les marchandises autres que stupéfiants et espèces ont un code SH, qui commence comme l'exige "
        "leur catégorie : FIREARM 93, AMMUNITION 9306, TOBACCO 24, MEDICINE 30, CULTURAL 97, PRECURSOR 28, "
        "29 ou 38, PILL_PRESS 84. Ajoutez ou corrigez le code, ou corrigez la catégorie.",
    ),
    part_checks=(
        PartCheck(part="goods_item", function=_code_is_there_and_fits_category),
        PartCheck(part="seized_item", function=_seized_code_fits_category),
    ),
)

_UNITS_BY_CATEGORY: Final = {
    "DRUG": frozenset({"G", "ML", "UNIT"}),
    "PRECURSOR": frozenset({"G", "ML"}),
    "FIREARM": frozenset({"UNIT"}),
    "AMMUNITION": frozenset({"UNIT"}),
    "CASH": frozenset({"EUR", "USD"}),
    "TOBACCO": frozenset({"G", "STICK"}),
}
_DESCRIBED_BY: Final = {"DRUG": "substance", "PRECURSOR": "substance", "FIREARM": "firearm"}


@part_rule(
    "CX-SEIZED",
    78,
    applies_to=("seized_item",),
    pointer="…/{i}/substance, …/{i}/firearm or …/{i}/quantity/unit",
    en="Seized drugs and precursors name the substance, seized firearms the firearm, and the unit fits the "
    "goods: DRUG in G, ML or UNIT; PRECURSOR in G or ML; FIREARM and AMMUNITION in UNIT; CASH in EUR or "
    "USD; TOBACCO in G or STICK. Add what is missing, or correct the unit.",
    fr="Les stupéfiants et précurseurs saisis indiquent la substance, les armes saisies l'arme, et l'unité "
    "convient aux marchandises : DRUG en G, ML ou UNIT ; PRECURSOR en G ou ML ; FIREARM et AMMUNITION en "
    "UNIT ; CASH en EUR ou USD ; TOBACCO en G ou STICK. Ajoutez ce qui manque, ou corrigez l'unité.",
)
def _seized_goods_are_described(item: Json, _: str, __: Facts) -> Pointers:
    category = item["category"]
    pointers = []
    description = _DESCRIBED_BY.get(category)
    if description is not None and description not in item:
        pointers.append(f"/{description}")
    units = _UNITS_BY_CATEGORY.get(category)
    if units is not None and item["quantity"]["unit"] not in units:
        pointers.append("/quantity/unit")
    return pointers


_LEGIBLE: Final = frozenset({"INTACT", "PARTIAL"})


@message_rule(
    "CX-FIREARM",
    108,
    pointer="/payload/firearms/{i}/serial",
    applies_to=("arms.trace_request/1", "event.movement_notice/1"),
    en="A firearm has a serial number if, and only if, serial_status is INTACT or PARTIAL. Add or remove the "
    "number, or correct its state.",
    fr="Une arme a un numéro de série si, et seulement si, serial_status est INTACT ou PARTIAL. Ajoutez ou "
    "retirez le numéro, ou corrigez son état.",
)
def _serial_number_fits_its_state(facts: Facts) -> Pointers:
    return [
        f"/payload/firearms/{i}/serial"
        for i, firearm in enumerate(facts.payload.get("firearms", ()))
        if ("serial" in firearm) != (firearm["serial_status"] in _LEGIBLE)
    ]


RULES: Final[tuple[Rule, ...]] = (
    _net_is_not_above_gross,
    _goods_fit_their_category,
    _seized_goods_are_described,
    _serial_number_fits_its_state,
)
