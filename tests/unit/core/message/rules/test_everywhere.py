"""Rules about parts hold in every type that is made of them, with the pointer of the place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.message.rules.samples import changed, verdict

CARGO_FLIGHT = "target.preload_referral"
DECONFLICTION = "invest.deconfliction"
CASE = "invest.joint_case"
DELIVERY = "invest.controlled_delivery_request"
METHOD = "intel.modus_operandi"

VESSEL = {"ref": "v1", "kind": "VESSEL", "flag": "FR", "mmsi": "303000001"}
PASSPORT = {"kind": "PASSPORT", "number": "SPEC00001", "issuer": "QQQ"}
SELLER = {"ref": "o1", "role": "SHIPPER", "name": "EXEMPLE SARL", "country": "UK"}
CIGARETTES = {
    "line": 1,
    "category": "TOBACCO",
    "description": "Cigarettes",
    "quantity": {"amount": 200_000, "unit": "STICK"},
    "hs": "240220",
}
PLASTICS = {"line": 1, "description": "Articles en plastique", "category": "OTHER_GOODS", "hs": "392690"}
CONSIGNMENT = {
    "documents": [{"kind": "MAWB", "number": "000-76543213"}],
    "load": "USJFK",
    "discharge": "FRCDG",
}


def consignment(**more: object) -> dict[str, Any]:
    return {"/payload/document": None, "/payload/consignment": {**CONSIGNMENT, **more}}


PLACES = [
    (CARGO_FLIGHT, {"/payload/document/number": "000-12345670"}, "ID-AWB", "/payload/document/number"),
    (
        CARGO_FLIGHT,
        {"/payload/house": {"kind": "S10", "number": "RA123456789FR"}},
        "ID-S10",
        "/payload/house/number",
    ),
    (CARGO_FLIGHT, {"/payload/flight/number": "120456"}, "ID-FLIGHT", "/payload/flight/number"),
    (CARGO_FLIGHT, {"/payload/flight/sta": "2026-11-06T20:10:00Z"}, "CX-DATES", "/payload/flight/sta"),
    (CARGO_FLIGHT, {"/payload/organisations": [SELLER]}, "ID-ISO3166", "/payload/organisations/0/country"),
    (CARGO_FLIGHT, {"/payload/goods/0": {**PLASTICS, "hs": "772690"}}, "ID-HS", "/payload/goods/0/hs"),
    (
        CARGO_FLIGHT,
        {"/payload/goods/0": {**PLASTICS, "category": "MEDICINE"}},
        "CX-GOODS",
        "/payload/goods/0/hs",
    ),
    (
        CARGO_FLIGHT,
        {"/payload/goods/0": {**PLASTICS, "gross_g": 1, "net_g": 2}},
        "CX-MASS",
        "/payload/goods/0/net_g",
    ),
    (
        CARGO_FLIGHT,
        {"/payload/goods/0": {**PLASTICS, "value": {"amount": "1.0", "currency": "JPY"}}},
        "ID-ISO4217",
        "/payload/goods/0/value",
    ),
    (METHOD, {"/payload/hs_codes": ["080390", "000000"]}, "ID-HS", "/payload/hs_codes/1"),
    (METHOD, {"/payload/routes": ["XZAAA", "QQAAA"]}, "ID-LOCODE", "/payload/routes/1"),
    (DECONFLICTION, {"/payload/places/1/unlocode": "QQCDG"}, "ID-LOCODE", "/payload/places/1/unlocode"),
    (DECONFLICTION, {"/payload/places/0": {"lat": "91"}}, "CX-POS", "/payload/places/0/lat"),
    (DECONFLICTION, {"/payload/conveyances": [VESSEL]}, "ID-MMSI", "/payload/conveyances/0/mmsi"),
    (
        DECONFLICTION,
        {"/payload/persons/0/contacts/0/value": "+331990077"},
        "ID-E164",
        "/payload/persons/0/contacts/0/value",
    ),
    (DECONFLICTION, {"/payload/accounts/0/holder": "p9"}, "CX-REF", "/payload/accounts/0/holder"),
    (CASE, {"/payload/accounts/0/bic": "ZZZZQQP0XXX"}, "ID-BIC", "/payload/accounts/0/bic"),
    (
        CASE,
        {"/payload/organisations/0/identifiers/0/value": "000678905"},
        "ID-SIREN",
        "/payload/organisations/0/identifiers/0/value",
    ),
    (DELIVERY, {"/payload/route/2": "QQPAR"}, "ID-LOCODE", "/payload/route/2"),
    (
        DELIVERY,
        {"/payload/goods/0/substance/cas": "437-38-8"},
        "ID-CAS",
        "/payload/goods/0/substance/cas",
    ),
    (DELIVERY, {"/payload/goods/0": {**CIGARETTES, "hs": "950300"}}, "CX-GOODS", "/payload/goods/0/hs"),
    (
        DELIVERY,
        {"/payload/goods/0": {**CIGARETTES, "category": "DRUG", "hs": "240220"}},
        "CX-SEIZED",
        "/payload/goods/0/substance",
    ),
    (DELIVERY, consignment(discharge="USJFK"), "CX-CONSIGNMENT", "/payload/consignment/discharge"),
    (DELIVERY, consignment(parties=["o9"]), "CX-REF", "/payload/consignment/parties"),
    (
        DELIVERY,
        consignment(etd="2026-11-18T06:00:00Z", eta="2026-11-18T05:59:59Z"),
        "CX-DATES",
        "/payload/consignment/eta",
    ),
    ("lab.result", {"/payload/substances/0/cas": "50-36-3"}, "ID-CAS", "/payload/substances/0/cas"),
    ("ops.asset_request", {"/payload/area_centre": {"lat": "15.85"}}, "CX-POS", "/payload/area_centre"),
    (
        "ops.asset_request",
        {"/payload/area_centre": {"unlocode": "QQPTP"}},
        "ID-LOCODE",
        "/payload/area_centre/unlocode",
    ),
]


@pytest.mark.parametrize(
    ("type_name", "changes", "rule", "pointer"), PLACES, ids=[f"{place[2]} {place[0]}" for place in PLACES]
)
def test_a_part_is_examined_wherever_it_stands(
    type_name: str, changes: dict[str, Any], rule: str, pointer: str
) -> None:
    message = changed(type_name, changes)
    message["payload"] = {name: value for name, value in message["payload"].items() if value is not None}

    assert (rule, pointer) in verdict(message)


@pytest.mark.parametrize(
    ("type_name", "changes"),
    [
        # A place in a list may be known by its name alone; one that stands alone may not.
        (DECONFLICTION, {"/payload/places": [{"name": "Hotel Specimen"}, {}]}),
        # Drugs need no code, and seized goods never do.
        (CARGO_FLIGHT, {"/payload/goods/0": {"line": 1, "description": "Poudre", "category": "DRUG"}}),
        (DELIVERY, {"/payload/goods/0": {key: item for key, item in CIGARETTES.items() if key != "hs"}}),
        (METHOD, {"/payload/routes": [], "/payload/hs_codes": []}),
        (METHOD, {"/payload/routes": ["XKPRN", "MQFDF"], "/payload/hs_codes": ["0803901000"]}),
        (CASE, {"/payload/milestones": [], "/payload/organisations/1/role": "BANK"}),
    ],
)
def test_what_no_rule_demands_of_a_part_is_good(type_name: str, changes: dict[str, Any]) -> None:
    assert verdict(changed(type_name, changes)) == set()
