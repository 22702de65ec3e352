from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

PURPOSE = "/header/purpose/code"
AREAS = "/header/purpose/areas"
BASIS = "/header/legal_basis"


def test_pu01_a_purpose_that_the_type_does_not_serve_is_refused() -> None:
    message = changed("target.cargo_referral", {PURPOSE: "CAPACITY_BUILDING"})

    assert verdict(message) == {("PU-01", PURPOSE)}


@pytest.mark.parametrize(
    ("type_name", "purpose"),
    [
        ("target.cargo_referral", "SUPPLY_CHAIN_SECURITY"),
        # Any purpose, and that of the request.
        ("assist.ack", "CAPACITY_BUILDING"),
        ("assist.refusal", "CAPACITY_BUILDING"),
    ],
)
def test_a_purpose_that_the_type_serves_is_good(type_name: str, purpose: str) -> None:
    assert verdict(changed(type_name, {PURPOSE: purpose})) == set()


def test_pu02_an_offence_area_is_named() -> None:
    assert verdict(changed("intel.spontaneous", {AREAS: []})) == {("PU-02", AREAS)}


@pytest.mark.parametrize(
    "purpose", ["CAPACITY_BUILDING", "DATA_GOVERNANCE", "STRATEGIC_ANALYSIS", "EVENT_SECURITY"]
)
def test_a_purpose_without_offence_needs_no_area(purpose: str) -> None:
    assert verdict(changed("assist.ack", {PURPOSE: purpose, AREAS: []})) == set()


@pytest.mark.parametrize("source", ["PNR", "BOTH"])
def test_pu03_passenger_records_serve_against_serious_crime_only(source: str) -> None:
    message = changed(
        "target.pax_referral",
        {AREAS: ["CUSTOMS_FRAUD", "COUNTERFEIT"], "/payload/data_source": source},
    )

    assert verdict(message) == {("PU-03", AREAS)}


@pytest.mark.parametrize(
    "area",
    [
        "TERRORISM",
        "NARCOTICS",
        "FENTANYL_SYNTHETICS",
        "ARMS",
        "MONEY_LAUNDERING",
        "ORGANISED_CRIME",
        "PRECURSORS",
    ],
)
def test_one_area_of_serious_crime_suffices_for_passenger_records(area: str) -> None:
    assert verdict(changed("target.pax_referral", {AREAS: ["CUSTOMS_FRAUD", area]})) == set()


def without_records() -> dict[str, object]:
    return {
        "/payload/data_source": "API",
        "/payload/pnr_locator": ABSENT,
        "/payload/pnr_loaded_on": ABSENT,
    }


def test_without_passenger_records_any_area_will_do() -> None:
    message = changed("target.pax_referral", {**without_records(), AREAS: ["CUSTOMS_FRAUD"]})

    assert verdict(message) == set()


@pytest.mark.parametrize("basis", [["UMBRELLA_2016"], ["JDI_2024", "UMBRELLA_2016"]])
def test_lb01_a_framework_or_a_declaration_allows_no_transfer(basis: list[str]) -> None:
    assert verdict(changed("intel.spontaneous", {BASIS: basis})) == {("LB-01", BASIS)}


def test_one_basis_that_allows_transfer_suffices() -> None:
    assert verdict(changed("intel.spontaneous", {BASIS: ["JDI_2024", "FRUS_CUSTOMS_1936"]})) == set()


def test_lb02_passenger_records_need_their_agreement() -> None:
    assert verdict(changed("target.pax_referral", {BASIS: ["FRUS_CUSTOMS_1936"]})) == {("LB-02", BASIS)}


def test_without_passenger_records_their_agreement_is_not_needed() -> None:
    message = changed("target.pax_referral", {**without_records(), BASIS: ["FRUS_CUSTOMS_1936"]})

    assert verdict(message) == set()


def test_lb03_a_type_with_bases_of_its_own_names_one() -> None:
    assert verdict(changed("inspect.request", {BASIS: ["UN1988_ART9"]})) == {("LB-03", BASIS)}


@pytest.mark.parametrize("basis", ["EUUS_CSI_2004", "EUUS_CMAA_1997", "FRUS_CUSTOMS_1936"])
def test_any_of_the_types_own_bases_will_do(basis: str) -> None:
    assert verdict(changed("inspect.request", {BASIS: ["UN1988_ART9", basis]})) == set()
