"""The engine: what it runs on which message, and the table that both nations share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import find_rule, rule_by_number, rule_number, stateless_violations, violation
from gateway.core.message.rules import RESERVED, RULES
from gateway.core.message.rules.definition import Stage
from gateway.core.message.schema_check import schema_violations
from tests.unit.core.message.rules.samples import ROOT, changed, created_ms, example

SCHEMAS = ROOT / "schemas"
DOCUMENT = (ROOT / "docs" / "spec" / "rules.md").read_text(encoding="utf-8")

# Receipts in both nations' logs carry these numbers. Lines may be added, never changed.
NUMBERS = """
1 JSON, 2 SCHEMA, 3 H-01, 4 H-02, 5 H-03, 6 H-04, 7 H-05, 8 H-06, 9 H-07, 10 H-08, 11 H-09, 12 H-10,
13 MK-01, 14 MK-02, 15 MK-03, 16 MK-04, 17 MK-05, 18 MK-06, 19 MK-07, 20 MK-08, 21 MK-09, 22 HD-01,
23 HD-02, 24 HD-03, 25 HD-04, 26 EV-01, 27 EV-02, 28 PU-01, 29 PU-02, 30 PU-03, 31 PU-04, 32 LB-01,
33 LB-02, 34 LB-03, 35 DP-01, 36 DP-02, 37 DP-03, 38 DP-04, 39 DP-05, 40 DP-06, 41 DP-07, 42 DP-08,
43 ID-ISO6346, 44 ID-IMO, 45 ID-MMSI, 46 ID-AWB, 47 ID-S10, 48 ID-FLIGHT, 49 ID-ICAO24, 50 ID-VIN,
51 ID-MRZ, 52 ID-IBAN, 53 ID-BIC, 54 ID-ABA, 55 ID-LEI, 56 ID-EORI, 57 ID-SIREN, 58 ID-SIRET, 59 ID-VAT,
60 ID-EIN, 61 ID-SCAC, 62 ID-DUNS, 63 ID-CAS, 64 ID-HS, 65 ID-LOCODE, 66 ID-ISO3166, 67 ID-ISO4217,
68 ID-E164, 69 ID-IMEI, 70 ID-CRYPTO, 71 ID-DATE, 72 CX-DATES, 73 CX-PAST, 74 CX-ACTBEFORE,
75 CX-NEEDEDBY, 76 CX-MASS, 77 CX-GOODS, 78 CX-SEIZED, 79 CX-PURITY, 80 CX-REF, 81 CX-ACCOUNT,
82 CX-CONSIGNMENT, 83 CX-POS, 84 CX-ASSESS, 85 CX-URGENCY, 86 CX-ACK, 87 CX-REFUSAL, 88 CX-REPLY,
89 CX-TOKENS, 90 CX-KEYDAY, 91 CX-RESULTS, 92 CX-PRELOAD, 93 CX-PAX, 94 CX-RULE, 95 CX-DISP,
96 CX-INSPECT, 97 CX-CD, 98 CX-CDDEC, 99 CX-ROOM, 100 CX-VESSEL, 101 CX-TRACK, 102 CX-BOARD,
103 CX-BOARDDEC, 104 CX-ALERT, 105 CX-CASH, 106 CX-FLOW, 107 CX-MIRROR, 108 CX-FIREARM, 109 CX-EVENT,
110 CX-CONSENT, 111 CX-USECHANGE, 112 CX-PATCH, 113 RF-DUP, 114 RF-SEQ, 115 RF-OPEN, 116 RF-TYPE,
117 RF-CONV, 118 RF-PARTY, 119 RF-OWN, 120 RF-THEIRS, 121 RF-ROOM, 122 CX-ASSET,
123 RF-QUOTA
"""


def test_the_number_of_a_rule_never_changes() -> None:
    pairs = [line.split() for line in NUMBERS.split(",")]
    published = {rule_id: int(number) for number, rule_id in pairs}

    assert {rule_id: rule_number(rule_id) for rule_id in published} == published
    assert {rule.id for rule in RULES} | set(RESERVED.values()) == set(published)


def test_numbers_and_ids_lead_to_each_other() -> None:
    assert len({rule.number for rule in RULES} | set(RESERVED)) == len(RULES) + len(RESERVED)
    for rule in RULES:
        assert rule_by_number(rule.number) == rule.id
        assert find_rule(rule.id) is rule
    assert rule_by_number(rule_number("RF-ROOM")) == "RF-ROOM"
    assert rule_by_number(0) is None
    assert rule_by_number(10_000) is None
    assert find_rule("H-99") is None
    with pytest.raises(KeyError):
        rule_number("H-99")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_tells_an_officer_what_must_hold_and_how_to_mend_it(rule: Any) -> None:
    english, french = rule.wording.text("en"), rule.wording.text("fr")

    assert english != french
    for text in (english, french):
        assert text.endswith(".")
        assert text.count(". ") >= 1, "what must hold, then what to do"
        assert len(text) <= 420
        assert "{" not in text


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_specification_shows_every_rule_as_the_node_applies_it(rule: Any) -> None:
    row = (
        f"| {rule.id} | {rule.number} | {rule.stage.value} | {', '.join(rule.applies_to)} | "
        f"{rule.wording.text('en')} | {rule.pointer} |"
    )

    assert row in DOCUMENT.splitlines()


def test_the_specification_shows_the_reserved_numbers() -> None:
    for number, rule_id in RESERVED.items():
        assert f"{number} {rule_id}" in DOCUMENT


def test_every_rule_has_a_function_or_says_who_checks_it_instead() -> None:
    elsewhere = {"JSON", "SCHEMA", "ID-DATE"}
    for rule in RULES:
        has_function = bool(
            rule.message_check
            or rule.frame_check
            or rule.part_checks
            or rule.format_checks
            or rule.coded_checks
        )
        assert has_function is (rule.stage is not Stage.STATEFUL and rule.id not in elsewhere), rule.id


def test_every_part_and_format_that_a_rule_names_is_one_that_schemas_have() -> None:
    blocks = {file.stem for file in (SCHEMAS / "common").glob("*.json")}
    formats = {file.stem for file in (SCHEMAS / "formats").glob("*.json")}

    for rule in RULES:
        parts = {check.part for check in rule.part_checks} | {check.part for check in rule.coded_checks}
        assert parts <= blocks, rule.id
        assert {check.format for check in rule.format_checks} <= formats, rule.id


# --- A new type brings its rules with it ----------------------------------------------


def catalogue_with(type_id: str, payload: dict[str, Any], **terms: object) -> Catalogue:
    """Return the catalogue with one type more, made of files alone."""
    files = {
        file.relative_to(SCHEMAS).as_posix(): file.read_bytes()
        for file in SCHEMAS.rglob("*.json")
        if file.parent.name != "examples"
    }
    name = Path(type_id)
    schema = json.loads(files["intel.spontaneous/1.json"])
    schema["$id"] = schema["$id"].replace("intel.spontaneous/1", type_id)
    schema["properties"]["type"]["const"] = type_id
    schema["properties"]["payload"] = payload
    files[f"{name}.json"] = json.dumps(schema).encode()
    terms_file = json.loads(files["intel.spontaneous/1.terms.json"])
    files[f"{name}.terms.json"] = json.dumps({**terms_file, "type": type_id, **terms}).encode()
    return Catalogue.from_files(files)


def broken(catalogue: Catalogue, document: dict[str, Any]) -> list[tuple[str, str]]:
    message_type = catalogue.type(document["type"])
    assert schema_violations(document, message_type, catalogue) == ()
    return [
        (found.rule, found.pointer)
        for found in stateless_violations(document, message_type, catalogue.agreement, created_ms(document))
    ]


PARCEL = {
    "type": "object",
    "properties": {
        "sender": {"$ref": "../common/person.json"},
        "from_country": {"$ref": "../formats/country.json"},
        "stops": {"type": "array", "items": {"$ref": "../formats/unlocode.json"}},
        "hub": {"$ref": "../common/location.json"},
        "places": {"type": "array", "items": {"$ref": "../common/location.json"}},
        "place": {"$ref": "../common/location.json"},
        "lots": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"box": {"$ref": "../common/container.json"}, "note": {"type": "string"}},
            },
        },
    },
}


def test_rules_follow_blocks_and_formats_into_a_type_that_no_code_knows() -> None:
    catalogue = catalogue_with("parcel.trial/1", PARCEL)
    document = changed("intel.spontaneous")
    document["type"] = "parcel.trial/1"
    document["payload"] = {
        "sender": {"ref": "p1", "role": "SHIPPER", "family_name": "SPECIMEN", "nationalities": ["ZZZ"]},
        "from_country": "UK",
        "stops": ["FRLEH", "ZZAAA"],
        "hub": {"lat": "91", "lon": "0"},
        "places": [{"name": "Hub"}, {"unlocode": "ZZAAA"}],
        "place": {"name": "Hub"},
        "lots": [{"note": "empty"}, {"box": {"number": "CSQU3054384"}}],
    }

    assert broken(catalogue, document) == [
        ("ID-ISO6346", "/payload/lots/1/box/number"),
        ("ID-LOCODE", "/payload/places/1/unlocode"),
        ("ID-LOCODE", "/payload/stops/1"),
        ("ID-ISO3166", "/payload/from_country"),
        ("ID-ISO3166", "/payload/sender/nationalities/0"),
        ("CX-POS", "/payload/hub/lat"),
        ("CX-POS", "/payload/place"),
    ]


def test_terms_alone_decide_the_header_of_a_new_type() -> None:
    catalogue = catalogue_with(
        "parcel.trial/1",
        {"type": "object", "properties": {}},
        no_personal_data=True,
        legal_bases=["UN1988_ART11"],
        purposes=["DATA_GOVERNANCE"],
        agencies={"FR": ["FR.ONAF"], "US": ["US.ICE.HSI"]},
        pattern="KNOWLEDGE",
    )
    document = {**example("intel.spontaneous"), "type": "parcel.trial/1", "payload": {}}

    assert [rule for rule, _ in broken(catalogue, document)] == ["H-04", "H-06", "PU-01", "LB-03", "DP-06"]


def test_parts_are_found_through_definitions_within_a_document() -> None:
    payload = {"type": "object", "properties": {"crew": {"$ref": "#/properties/payload/x-crew"}}}
    payload["x-crew"] = {"type": "array", "items": {"$ref": "../common/person.json"}}
    catalogue = catalogue_with("parcel.trial/1", payload)
    document = changed("intel.spontaneous", {"/header/data_protection/categories": ["CONTACT"]})
    document["type"] = "parcel.trial/1"
    document["payload"] = {"crew": [{"ref": "p1", "role": "CREW", "family_name": "SPECIMEN"}]}

    assert broken(catalogue, document) == [("DP-02", "/header/data_protection/categories")]


# --- What it gives back ---------------------------------------------------------------


def test_every_violation_is_reported_at_once_in_the_order_of_the_table() -> None:
    document = changed(
        "target.cargo_referral",
        {
            "/payload/consignment/discharge": "ECGYE",
            "/payload/consignment/containers/0/number": "ZZZU0004172",
            "/header/purpose/areas": [],
            "/header/marking/caveats": ["NOFORN", "ORCON"],
            "/header/reply_by": "2026-11-03T13:00:00Z",
        },
    )

    assert broken(read_catalogue(SCHEMAS), document) == [
        ("H-07", "/header/reply_by"),
        ("MK-02", "/header/marking/caveats"),
        ("MK-09", "/header/marking/caveats"),
        ("PU-02", "/header/purpose/areas"),
        ("ID-ISO6346", "/payload/consignment/containers/0/number"),
        ("CX-CONSIGNMENT", "/payload/consignment/discharge"),
    ]


def test_two_conditions_of_one_rule_at_one_place_are_told_once() -> None:
    # Above the ceiling neither ORCON nor DL_ONLY would fit; here both conditions break.
    document = changed("intel.spontaneous", {"/header/marking/caveats": ["ORCON", "DL_ONLY"]})

    assert broken(read_catalogue(SCHEMAS), document) == [("MK-09", "/header/marking/caveats")]


def test_a_violation_holds_nothing_of_the_message() -> None:
    found = violation("H-01", "/header/message_id")

    assert found.rule == "H-01"
    assert found.text("en") == find_rule("H-01").wording.en  # type: ignore[union-attr]
    assert found.text("fr") == find_rule("H-01").wording.fr  # type: ignore[union-attr]


def test_the_message_is_left_as_it_was() -> None:
    document = example("target.cargo_referral")
    before = json.dumps(document)
    catalogue = read_catalogue(SCHEMAS)

    stateless_violations(
        document, catalogue.type(document["type"]), catalogue.agreement, created_ms(document)
    )

    assert json.dumps(document) == before


def test_a_reply_to_the_wrong_type_is_told_what_its_type_answers() -> None:
    terms = read_catalogue().type("marine.boarding_decision/1").terms

    told = violation("RF-TYPE", "/header/conversation/in_reply_to", terms).wording

    assert told.en.endswith("This type answers marine.boarding_request/1.")
    assert told.fr.endswith("Ce type répond à marine.boarding_request/1.")


@pytest.mark.parametrize(
    ("rule_id", "said"),
    [
        ("H-04", "This type is exchanged by FR: FR.DGDDI.DNGCD; US: US.CBP.AMO."),
        ("PU-01", "They are MARITIME_INTERDICTION."),
        ("LB-03", "It lists UN1988_ART17."),
        ("DP-04", "This type is kept 1825 days at most."),
    ],
)
def test_a_refusal_says_what_the_terms_of_the_type_allow(rule_id: str, said: str) -> None:
    terms = read_catalogue().type("marine.boarding_request/1").terms
    rule = find_rule(rule_id)
    assert rule is not None

    told = violation(rule_id, "/header", terms).wording

    assert told.en == f"{rule.wording.en} {said}"
    assert told.fr.startswith(f"{rule.wording.fr} ")
    assert told.fr != rule.wording.fr
    # A receipt carries the number alone: whoever reads it knows the rule, not always the type.
    assert violation(rule_id, "/header").wording == rule.wording
