"""Values that are well formed and in no list give a warning; nothing else does."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from gateway.catalogue import catalogue_folder, read_catalogue, read_lists
from gateway.core.message.examine import examine_document
from gateway.core.message.instants import instant_ms
from gateway.core.message.reference_lists import NO_LISTS
from gateway.core.message.warning import KINDS, LISTS, warnings_of

CATALOGUE = read_catalogue()
SHIPPED = read_lists()
EXAMPLES = catalogue_folder()

REFERRAL = "target.cargo_referral/examples/valid-02-target-cargo-referral.json"
SEIZURE = "seizure.report/examples/valid-05-seizure-report.json"
FLOW = "fin.flow_report/examples/valid-22-fin-flow-report.json"
VESSEL = "marine.vessel_alert/examples/valid-20-marine-vessel-alert.json"


def example(path: str) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads((EXAMPLES / path).read_bytes())
    return document


def warned(document: dict[str, Any], lists: Any = SHIPPED) -> list[tuple[str, str]]:
    found = warnings_of(document, CATALOGUE.type(document["type"]), lists)
    return [(item.warning, item.pointer) for item in found]


def test_no_shipped_example_is_warned_of() -> None:
    paths = sorted(EXAMPLES.glob("*/examples/valid-*.json"))
    assert {str(path): warned(orjson.loads(path.read_bytes())) for path in paths} == {
        str(path): [] for path in paths
    }


def test_a_place_that_is_in_no_list_is_warned_of_and_accepted() -> None:
    document = example(REFERRAL)
    document["payload"]["consignment"]["load"] = "ECZZZ"
    document["payload"]["consignment"]["via"] = ["PAMIT", "PAZZZ"]

    assert warned(document) == [
        ("W-LOCODE", "/payload/consignment/load"),
        ("W-LOCODE", "/payload/consignment/via/1"),
    ]
    now_ms = instant_ms(document["header"]["created_at"])
    assert examine_document(document, catalogue=CATALOGUE, now_ms=now_ms) == ()


@pytest.mark.parametrize(
    ("code", "expected"),
    [("080390", False), ("08039010", False), ("0803901099", False), ("080300", True), ("0803009999", True)],
)
def test_of_a_goods_code_the_first_six_digits_are_looked_up(code: str, expected: bool) -> None:
    document = example(REFERRAL)
    document["payload"]["consignment"]["goods"][0]["hs"] = code

    pointer = "/payload/consignment/goods/0/hs"
    assert warned(document) == ([("W-HS", pointer)] if expected else [])


@pytest.mark.parametrize(
    ("bic", "expected"),
    [
        ("MARKDEFF", False),  # Deutsche Bundesbank
        ("MARKDEFFXXX", False),
        ("ZZZZDEFF", True),
        ("ZZZZDEFF123", True),
        ("ZZZZFRPP", False),  # of France the installed directory says nothing
        ("ZZZZUS33", False),
    ],
)
def test_a_bank_is_looked_up_by_eight_characters_where_the_directory_has_its_country(
    bic: str, expected: bool
) -> None:
    document = example(FLOW)
    document["payload"]["accounts"][0]["bic"] = bic

    assert warned(document) == ([("W-BIC", "/payload/accounts/0/bic")] if expected else [])


@pytest.mark.parametrize(
    ("mmsi", "flag", "expected"),
    [
        ("226000001", "FR", False),
        ("366000001", "US", False),
        ("347000001", "MQ", False),
        ("226000001", "MQ", False),  # a French place is a set of codes
        ("366000001", "PR", False),
        ("235000001", "GB", False),
        ("235000001", "PA", True),
        ("226000001", "PA", True),
        ("700000001", "PA", True),  # no state has these digits
        ("235000001", None, False),
    ],
)
def test_maritime_digits_are_compared_with_the_flag(mmsi: str, flag: str | None, expected: bool) -> None:
    document = example(VESSEL)
    vessel = document["payload"]["vessel"]
    vessel["mmsi"] = mmsi
    vessel.pop("flag", None)
    if flag is not None:
        vessel["flag"] = flag

    assert warned(document) == ([("W-MMSI", "/payload/vessel/mmsi")] if expected else [])


def test_values_in_lists_of_a_payload_are_pointed_at_one_by_one() -> None:
    document = example(SEIZURE)
    item = document["payload"]["items"][0]
    document["payload"]["items"] = [item, {**item, "hs": "293300"}]
    document["payload"]["place"]["unlocode"] = "GPZZZ"

    assert sorted(warned(document)) == [
        ("W-HS", "/payload/items/1/hs"),
        ("W-LOCODE", "/payload/place/unlocode"),
    ]


def test_a_warning_names_the_edition_in_both_languages_and_never_the_value() -> None:
    document = example(REFERRAL)
    document["payload"]["consignment"]["load"] = "ECZZZ"
    (warning,) = warnings_of(document, CATALOGUE.type(document["type"]), SHIPPED)

    edition = SHIPPED["unlocode"].edition.name
    assert edition in warning.text("en")
    assert edition in warning.text("fr")
    assert warning.text("en") != warning.text("fr")
    assert "ECZZZ" not in warning.text("en") + warning.text("fr")


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_not_there_warns_of_nothing(name: str) -> None:
    document = example(REFERRAL)
    document["payload"]["consignment"]["load"] = "ECZZZ"
    document["payload"]["consignment"]["goods"][0]["hs"] = "080300"
    others = {key: value for key, value in SHIPPED.items() if key != name}
    kind = next(kind for kind in KINDS if kind.list == name)

    assert kind.id not in {warning for warning, _ in warned(document, others)}
    assert warned(document, NO_LISTS) == []


def test_looking_up_changes_nothing_in_a_message() -> None:
    document = example(REFERRAL)
    before = copy.deepcopy(document)
    warned(document)
    assert document == before
