from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

GOODS = "/payload/consignment/goods/0"
ITEM = "/payload/items/1"


@pytest.mark.parametrize(
    "changes",
    [
        {f"{GOODS}/net_g": 21600000},
        {f"{GOODS}/net_g": ABSENT},
        {f"{GOODS}/gross_g": ABSENT},
    ],
)
def test_the_net_mass_may_equal_the_gross_mass_or_stand_alone(changes: dict[str, object]) -> None:
    assert verdict(changed("target.cargo_referral", changes)) == set()


def test_cx_mass_the_net_mass_is_not_above_the_gross_mass() -> None:
    message = changed("target.cargo_referral", {f"{GOODS}/net_g": 21600001})

    assert verdict(message) == {("CX-MASS", f"{GOODS}/net_g")}


BEGINNINGS = [
    ("FIREARM", "930200", "870899"),
    ("AMMUNITION", "930621", "930200"),
    ("TOBACCO", "240220", "230220"),
    ("MEDICINE", "300490", "290490"),
    ("CULTURAL", "970110", "960110"),
    ("PRECURSOR", "291614", "301614"),
    ("PRECURSOR", "280610", "270610"),
    ("PRECURSOR", "382499", "392499"),
    ("PILL_PRESS", "847982", "857982"),
]


@pytest.mark.parametrize(("category", "good", "bad"), BEGINNINGS)
def test_cx_goods_the_code_of_goods_begins_as_their_category_demands(
    category: str, good: str, bad: str
) -> None:
    def goods(code: str) -> dict[str, Any]:
        return changed("target.cargo_referral", {f"{GOODS}/category": category, f"{GOODS}/hs": code})

    assert verdict(goods(good)) == set()
    assert verdict(goods(bad)) == {("CX-GOODS", f"{GOODS}/hs")}


@pytest.mark.parametrize(("category", "good", "bad"), [BEGINNINGS[1], BEGINNINGS[3], BEGINNINGS[4]])
def test_cx_goods_follows_into_seized_items(category: str, good: str, bad: str) -> None:
    def seized(code: str) -> dict[str, Any]:
        quantity = {"amount": 5, "unit": "UNIT"}
        return changed(
            "seizure.report",
            {f"{ITEM}/category": category, f"{ITEM}/hs": code, f"{ITEM}/quantity": quantity},
        )

    assert verdict(seized(good)) == set()
    assert verdict(seized(bad)) == {("CX-GOODS", f"{ITEM}/hs")}


@pytest.mark.parametrize("category", ["LEGITIMATE", "COUNTERFEIT", "OTHER_GOODS"])
def test_other_categories_may_have_any_code(category: str) -> None:
    message = changed("target.cargo_referral", {f"{GOODS}/category": category, f"{GOODS}/hs": "930200"})

    assert verdict(message) == set()


@pytest.mark.parametrize("category", ["DRUG", "CASH"])
def test_drugs_and_cash_need_no_code(category: str) -> None:
    message = changed("target.cargo_referral", {f"{GOODS}/category": category, f"{GOODS}/hs": ABSENT})

    assert verdict(message) == set()


@pytest.mark.parametrize("category", ["LEGITIMATE", "FIREARM"])
def test_cx_goods_all_other_goods_have_a_code(category: str) -> None:
    message = changed("target.cargo_referral", {f"{GOODS}/category": category, f"{GOODS}/hs": ABSENT})

    assert verdict(message) == {("CX-GOODS", f"{GOODS}/hs")}


def test_a_seized_item_needs_no_code() -> None:
    assert verdict(changed("seizure.report", {f"{ITEM}/hs": ABSENT})) == set()


SUBSTANCE = {"name": "fentanyl", "cas": "437-38-7"}
FIREARM = {"type": "PISTOL", "make": "SPECIMEN ARMS", "calibre": "9x19", "serial_status": "OBLITERATED"}
UNITS = {
    "DRUG": {"G", "ML", "UNIT"},
    "PRECURSOR": {"G", "ML"},
    "FIREARM": {"UNIT"},
    "AMMUNITION": {"UNIT"},
    "CASH": {"EUR", "USD"},
    "TOBACCO": {"G", "STICK"},
    "MEDICINE": {"G", "ML", "UNIT", "STICK", "EUR", "USD"},
}


@pytest.mark.parametrize("unit", ["G", "ML", "UNIT", "STICK", "EUR", "USD"])
@pytest.mark.parametrize("category", sorted(UNITS))
def test_cx_seized_the_unit_fits_the_goods(category: str, unit: str) -> None:
    item: dict[str, object] = {
        "line": 1,
        "category": category,
        "description": "Specimen",
        "quantity": {"amount": 5, "unit": unit},
        "substance": SUBSTANCE,
        "firearm": FIREARM,
    }
    message = changed("seizure.report", {"/payload/items": [item]})

    pointer = "/payload/items/0/quantity/unit"
    assert verdict(message) == (set() if unit in UNITS[category] else {("CX-SEIZED", pointer)})


@pytest.mark.parametrize(
    ("category", "unit", "description"),
    [("DRUG", "G", "substance"), ("PRECURSOR", "G", "substance"), ("FIREARM", "UNIT", "firearm")],
)
def test_cx_seized_drugs_and_firearms_are_described(category: str, unit: str, description: str) -> None:
    item = {
        "line": 1,
        "category": category,
        "description": "Specimen",
        "quantity": {"amount": 5, "unit": unit},
        "substance": SUBSTANCE,
        "firearm": FIREARM,
    }
    del item[description]
    message = changed("seizure.report", {"/payload/items": [item]})

    assert verdict(message) == {("CX-SEIZED", f"/payload/items/0/{description}")}


def test_cx_seized_reports_both_of_its_conditions() -> None:
    item = {
        "line": 1,
        "category": "DRUG",
        "description": "Specimen",
        "quantity": {"amount": 5, "unit": "STICK"},
    }

    assert verdict(changed("seizure.report", {"/payload/items/-": item})) == {
        ("CX-SEIZED", "/payload/items/2/substance"),
        ("CX-SEIZED", "/payload/items/2/quantity/unit"),
    }


SERIAL = "/payload/firearms/0/serial"
STATUS = "/payload/firearms/0/serial_status"


@pytest.mark.parametrize("status", ["INTACT", "PARTIAL"])
def test_cx_firearm_a_number_that_can_be_read_is_given(status: str) -> None:
    assert verdict(changed("arms.trace_request", {STATUS: status})) == set()
    assert verdict(changed("arms.trace_request", {STATUS: status, SERIAL: ABSENT})) == {
        ("CX-FIREARM", SERIAL)
    }


@pytest.mark.parametrize("status", ["OBLITERATED", "NONE"])
def test_cx_firearm_a_number_that_cannot_be_read_is_not_given(status: str) -> None:
    assert verdict(changed("arms.trace_request", {STATUS: status, SERIAL: ABSENT})) == set()
    assert verdict(changed("arms.trace_request", {STATUS: status})) == {("CX-FIREARM", SERIAL)}


def test_cx_firearm_every_firearm_is_reported() -> None:
    bad = {**FIREARM, "serial_status": "PARTIAL"}
    bad.pop("serial", None)

    assert verdict(changed("arms.trace_request", {"/payload/firearms": [bad, FIREARM, bad]})) == {
        ("CX-FIREARM", "/payload/firearms/0/serial"),
        ("CX-FIREARM", "/payload/firearms/2/serial"),
    }


def test_the_firearm_of_a_seized_item_is_not_examined() -> None:
    item = {
        "line": 1,
        "category": "FIREARM",
        "description": "Specimen",
        "quantity": {"amount": 1, "unit": "UNIT"},
        "firearm": {**FIREARM, "serial_status": "OBLITERATED", "serial": "SYN0001234"},
    }

    assert verdict(changed("seizure.report", {"/payload/items": [item]})) == set()
