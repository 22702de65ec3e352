"""Personal data is found where the structure of a payload holds it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.instants import instant_ms
from gateway.core.message.personal_data import PersonalData, find_personal_data

CATALOGUE = read_catalogue()
CREATED = instant_ms("2026-11-02T23:59:59Z")


def find(payload: dict[str, Any], type_id: str = "intel.spontaneous/1") -> PersonalData:
    return find_personal_data(payload, CATALOGUE.type(type_id), CREATED)


@pytest.mark.parametrize(
    ("payload", "categories"),
    [
        ({"summary": "Dupont, +33199001234"}, ()),
        ({"persons": []}, ()),
        ({"persons": [{}]}, ("IDENTITY",)),
        ({"persons": [{"documents": []}]}, ("IDENTITY",)),
        ({"persons": [{"documents": [{}]}]}, ("IDENTITY", "TRAVEL_DOCUMENT")),
        ({"persons": [{"contacts": [{"kind": "EMAIL"}]}]}, ("IDENTITY", "CONTACT")),
        ({"persons": [{"contacts": [{"kind": "HANDLE"}]}]}, ("IDENTITY", "COMMS_IDENTIFIER")),
        ({"organisations": [{"contacts": [{"kind": "PHONE"}]}]}, ()),
        ({"accounts": [{"kind": "CRYPTO"}]}, ("FINANCIAL",)),
        ({"accounts": [{"kind": "PAYMENT_APP"}]}, ()),
    ],
)
def test_categories_follow_from_the_parts(payload: dict[str, Any], categories: tuple[str, ...]) -> None:
    assert find(payload).categories == categories


def test_a_record_locator_is_passenger_data() -> None:
    payload = {"travellers": [{"role": "CREW"}], "pnr_locator": "ZZ0TST"}

    found = find(payload, "target.pax_referral/1")

    assert found.categories == ("IDENTITY", "PNR")
    assert found.roles == ("CREW",)


def test_tokens_are_pseudonyms_and_results_are_nothing() -> None:
    query = {"tokens": [{"idx": 0, "field": "IMEI", "token": "x" * 43}]}

    assert find(query, "match.query/1").categories == ("PSEUDONYM",)
    assert find({"tokens": []}, "match.query/1").categories == ()
    assert find({"results": [{"idx": 0, "outcome": "HIT"}]}, "match.result/1").categories == ()


@pytest.mark.parametrize(
    ("dob", "minor"),
    [
        ("2008-11-02", False),
        ("2008-11-03", True),
        ("2008-11", True),
        ("2008-10", False),
        ("2008", True),
        ("2007", False),
        ("2012", True),
        ("1980-02-29", False),
        ("", False),
        (None, False),
        (2012, False),
    ],
)
def test_who_may_be_under_18_counts_as_a_minor(dob: object, *, minor: bool) -> None:
    assert find({"persons": [{"dob": dob}]}).minors is minor


@pytest.mark.parametrize(
    "payload",
    [
        {"persons": None},
        {"persons": "x"},
        {"persons": [1, None, [], "x"]},
        {"persons": [{"contacts": 1, "documents": {"kind": 1}, "role": ["x"], "dob": []}]},
        {"persons": [{"contacts": [None, {"kind": []}]}]},
        {"accounts": [{"kind": {}}]},
        {"consignments": [[{}]]},
    ],
    ids=repr,
)
def test_anything_may_stand_anywhere(payload: dict[str, Any]) -> None:
    find(payload)
