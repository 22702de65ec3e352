"""Rules that follow blocks, formats and terms reach into the types of sea and air, money and parcels,
drugs, arms, forced labour and fraud. Each is tried there on a value that breaks it and on one
that just does not.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.examine import examine_document
from tests.unit.core.message.rules.samples import ABSENT, changed, created_ms, example, stamp, verdict

WAY = {"load": "FRFOS", "discharge": "USSAV", "documents": [{"kind": "BL", "number": "ZZZZ26"}]}
PERSON = {"ref": "p1", "role": "SUBJECT", "family_name": "SPECIMEN"}
ORGANISATION = {"ref": "o1", "role": "SELLER", "name": "SPECIMEN LLC", "country": "US"}
WALLET = {"ref": "a1", "kind": "PAYMENT_APP", "provider": "Specimen Pay"}


@pytest.mark.parametrize(
    ("type_name", "pointer", "good", "bad", "rule"),
    [
        ("marine.vessel_alert", "/payload/vessel/imo", "9999993", "9999994", "ID-IMO"),
        ("marine.vessel_alert", "/payload/vessel/flag", "PA", "XJ", "ID-ISO3166"),
        ("marine.vessel_alert", "/payload/destination", "MQFDF", "XJFDF", "ID-LOCODE"),
        ("marine.track_report", "/payload/target/imo", "9074729", "9074728", "ID-IMO"),
        ("marine.boarding_request", "/payload/vessel/mmsi", "228000017", "128000017", "ID-MMSI"),
        ("air.aircraft_alert", "/payload/aircraft/registration", "N0TST", "F-ZZZZ", "ID-ICAO24"),
        ("fin.cash_movement", "/payload/destination", "RE", "UK", "ID-ISO3166"),
        ("fin.cash_movement", "/payload/flight/number", "XX0123", "120123", "ID-FLIGHT"),
        ("fin.cash_movement", "/payload/place/unlocode", "FRCDG", "XJCDG", "ID-LOCODE"),
        ("fin.flow_report", "/payload/accounts/1/routing", "000000505", "000000506", "ID-ABA"),
        ("fin.flow_report", "/payload/total/currency", "EUR", "DEM", "ID-ISO4217"),
        ("fin.trade_mirror", "/payload/lines/0/hs", "010121", "000121", "ID-HS"),
        ("fin.trade_mirror", "/payload/exporter_country", "MX", "XJ", "ID-ISO3166"),
        ("parcel.referral", "/payload/documents/0/number", "CX000004170US", "CX000004171US", "ID-S10"),
        ("parcel.referral", "/payload/from_country", "CN", "XJ", "ID-ISO3166"),
        ("parcel.referral", "/payload/to_country", "GP", "XJ", "ID-ISO3166"),
        ("parcel.referral", "/payload/substances/1/cas", "437-38-7", "437-38-6", "ID-CAS"),
        ("parcel.referral", "/payload/goods/0/net_g", 2850, 2851, "CX-MASS"),
        ("ecom.seller_alert", "/payload/origin_countries/1", "HK", "XJ", "ID-ISO3166"),
        ("drug.precursor_notice", "/payload/substances/0/cas", "40064-34-4", "40064-34-5", "ID-CAS"),
        (
            "drug.precursor_notice",
            "/payload/consignment/containers/0/number",
            "ZZZU0000915",
            "ZZZU0000916",
            "ID-ISO6346",
        ),
        ("drug.precursor_notice", "/payload/consignment/goods/0/hs", "382499", "300490", "CX-GOODS"),
        ("arms.trace_request", "/payload/firearms/0/made_in", "AT", "XJ", "ID-ISO3166"),
        ("arms.trace_request", "/payload/recovered_at/unlocode", "GPPTP", "XJPTP", "ID-LOCODE"),
        ("labor.referral", "/payload/goods/0/hs", "854143", "774143", "ID-HS"),
        ("labor.referral", "/payload/goods/0/origin", "VN", "XJ", "ID-ISO3166"),
        ("labor.referral", "/payload/organisations/2/country", "US", "XJ", "ID-ISO3166"),
        ("labor.referral", "/payload/countries/0", "CN", "XJ", "ID-ISO3166"),
        ("fraud.verification_request", "/payload/goods/0/hs", "8541430000", "7741430000", "ID-HS"),
        ("fraud.verification_result", "/payload/true_origin", "VN", "XJ", "ID-ISO3166"),
        ("fraud.verification_result", "/payload/true_value/currency", "EUR", "DEM", "ID-ISO4217"),
    ],
)
def test_a_value_is_examined_where_the_type_holds_it(
    type_name: str, pointer: str, good: Any, bad: Any, rule: str
) -> None:
    # The address is reported, whichever of the two is wrong.
    reported = pointer.replace("registration", "icao24")

    assert verdict(changed(type_name, {pointer: good})) == set()
    assert verdict(changed(type_name, {pointer: bad})) == {(rule, reported)}


@pytest.mark.parametrize(
    ("type_name", "pointer"),
    [
        ("fin.cash_movement", "/payload/items/0/value"),
        ("fin.flow_report", "/payload/transactions/0/amount"),
        ("fin.trade_mirror", "/payload/lines/0/export_value"),
        ("fin.trade_mirror", "/payload/lines/0/import_value"),
        ("parcel.referral", "/payload/goods/0/value"),
        ("fraud.verification_request", "/payload/duty_at_stake"),
        ("fraud.verification_result", "/payload/true_value"),
    ],
)
def test_id_iso4217_every_amount_fits_its_currency(type_name: str, pointer: str) -> None:
    assert verdict(changed(type_name, {pointer: {"amount": "10", "currency": "JPY"}})) == set()
    assert verdict(changed(type_name, {pointer: {"amount": "10.5", "currency": "JPY"}})) == {
        ("ID-ISO4217", pointer)
    }


@pytest.mark.parametrize(
    ("type_name", "goods"),
    [
        ("parcel.referral", "/payload/goods/0"),
        ("drug.precursor_notice", "/payload/consignment/goods/0"),
        ("labor.referral", "/payload/goods/0"),
        ("fraud.verification_request", "/payload/goods/0"),
    ],
)
def test_cx_goods_goods_have_a_code(type_name: str, goods: str) -> None:
    assert verdict(changed(type_name, {f"{goods}/hs": ABSENT})) == {("CX-GOODS", f"{goods}/hs")}
    assert verdict(changed(type_name, {f"{goods}/hs": ABSENT, f"{goods}/category": "DRUG"})) == set()


# --- Times ----------------------------------------------------------------------------


def test_cx_past_cash_was_found_before_it_is_reported() -> None:
    created = created_ms(example("fin.cash_movement"))

    assert verdict(changed("fin.cash_movement", {"/payload/at": stamp(created)})) == set()
    assert verdict(changed("fin.cash_movement", {"/payload/at": stamp(created + 1)})) == {
        ("CX-PAST", "/payload/at")
    }


@pytest.mark.parametrize(
    ("type_name", "pointer"),
    [
        ("arms.trace_request", "/payload/recovered_on"),
        ("fraud.verification_request", "/payload/document_date"),
    ],
)
def test_cx_past_a_day_may_be_that_of_the_message_but_no_later_one(type_name: str, pointer: str) -> None:
    day = example(type_name)["header"]["created_at"][:10]
    next_day = f"{day[:8]}{int(day[8:]) + 1:02}"

    assert verdict(changed(type_name, {pointer: day})) == set()
    assert verdict(changed(type_name, {pointer: next_day})) == {("CX-PAST", pointer)}


@pytest.mark.parametrize("type_name", ["parcel.referral", "drug.precursor_notice"])
def test_cx_actbefore_a_deadline_is_ahead(type_name: str) -> None:
    created, pointer = created_ms(example(type_name)), "/payload/act_before"

    assert verdict(changed(type_name, {pointer: stamp(created + 1)})) == set()
    assert verdict(changed(type_name, {pointer: stamp(created)})) == {("CX-ACTBEFORE", pointer)}


@pytest.mark.parametrize("type_name", ["fin.flow_report", "fin.trade_mirror"])
def test_cx_dates_a_period_may_be_a_day_and_does_not_end_before_it_begins(type_name: str) -> None:
    start, end = "/payload/period_from", "/payload/period_to"
    changes: dict[str, Any] = {start: "2026-07-02", end: "2026-07-02"}
    if type_name == "fin.flow_report":
        changes["/payload/transactions"] = []

    assert verdict(changed(type_name, changes)) == set()
    assert verdict(changed(type_name, {**changes, end: "2026-07-01"})) == {("CX-DATES", end)}


def test_cx_dates_consignments_and_flights_of_these_types_take_time() -> None:
    consignment, flight = "/payload/consignment", "/payload/flight"
    times = {f"{consignment}/etd": "2026-11-21T00:00:01Z", f"{consignment}/eta": "2026-11-21T00:00:00Z"}
    same = {f"{flight}/std": "2026-11-04T23:30:00Z", f"{flight}/sta": "2026-11-04T23:30:00Z"}
    several = {"/payload/consignments": [WAY, {**WAY, "etd": stamp(1000), "eta": stamp(0)}]}

    assert verdict(changed("drug.precursor_notice", times)) == {("CX-DATES", f"{consignment}/eta")}
    assert verdict(changed("fin.cash_movement", same)) == {("CX-DATES", f"{flight}/sta")}
    assert verdict(changed("labor.referral", several)) == {("CX-DATES", "/payload/consignments/1/eta")}


# --- Places and names -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_name", "pointer"),
    [("fin.cash_movement", "/payload/place"), ("arms.trace_request", "/payload/recovered_at")],
)
def test_cx_pos_a_place_is_given_by_code_or_coordinates(type_name: str, pointer: str) -> None:
    assert verdict(changed(type_name, {pointer: {"lat": "16.2", "lon": "-61.5"}})) == set()
    assert verdict(changed(type_name, {pointer: {"lat": "16.2", "name": "Depot"}})) == {("CX-POS", pointer)}


def test_cx_consignment_goods_go_somewhere_else() -> None:
    nowhere = {"/payload/consignments": [WAY, {**WAY, "discharge": WAY["load"]}]}

    assert verdict(changed("labor.referral", nowhere)) == {
        ("CX-CONSIGNMENT", "/payload/consignments/1/discharge")
    }


@pytest.mark.parametrize("parts", ["persons", "organisations", "conveyances", "accounts"])
def test_the_holder_of_a_firearm_may_be_named_in_any_part(parts: str) -> None:
    part = {
        "persons": {**PERSON, "ref": "x1"},
        "organisations": {**ORGANISATION, "ref": "x1"},
        "conveyances": {"ref": "x1", "kind": "ROAD_VEHICLE"},
        "accounts": {**WALLET, "ref": "x1"},
    }[parts]
    results = [{"n": 1, "result": "TRACED_TO_DEALER", "holder": "x1"}]

    named = {"/payload/results": results, f"/payload/{parts}": [part]}
    assert verdict(changed("arms.trace_result", named)) == set()
    assert verdict(changed("arms.trace_result", {"/payload/results": results})) == {
        ("CX-REF", "/payload/results/0/holder")
    }


def test_cx_ref_parties_and_holders_of_these_types_are_in_the_message() -> None:
    parties = {"/payload/consignments": [{**WAY, "parties": ["o1"]}, {**WAY, "parties": ["o3", "o4"]}]}
    holder = {"/payload/accounts": [{**WALLET, "holder": "o1"}]}

    assert verdict(changed("labor.referral", parties)) == {("CX-REF", "/payload/consignments/1/parties")}
    for type_name in ("ecom.seller_alert", "fin.cash_movement", "arms.trace_request"):
        assert verdict(changed(type_name, holder)) == {("CX-REF", "/payload/accounts/0/holder")}
        good = {**holder, "/payload/organisations": [ORGANISATION]}
        assert verdict(changed(type_name, good)) == set()


# --- Personal data and law ------------------------------------------------------------

UNDECLARED = ("DP-01", "/header/data_protection/contains_personal_data")


@pytest.mark.parametrize(
    "type_name", ["parcel.referral", "arms.trace_request", "arms.trace_result", "fin.cash_movement"]
)
def test_dp01_persons_of_these_types_are_declared(type_name: str) -> None:
    flag = {"/header/data_protection/contains_personal_data": False}
    persons = {"/payload/persons": [PERSON]}

    assert verdict(changed(type_name, {**flag, **persons})) == {UNDECLARED}


def test_dp01_accounts_of_a_trace_are_declared() -> None:
    account = {"ref": "a1", "kind": "IBAN", "iban": "FR7699999000000000000041743"}

    assert verdict(changed("arms.trace_request", {"/payload/accounts": [account]})) == {UNDECLARED}
    assert verdict(changed("arms.trace_request", {"/payload/accounts": [WALLET]})) == set()


def test_organisations_and_substances_are_no_personal_data() -> None:
    for type_name in ("labor.referral", "parcel.referral", "drug.precursor_notice"):
        message = example(type_name)
        assert message["payload"]["organisations"]
        assert message["header"]["data_protection"]["contains_personal_data"] is False
        assert verdict(message) == set()


def test_dp06_an_early_warning_names_nobody() -> None:
    declared = {
        "contains_personal_data": True,
        "categories": ["IDENTITY"],
        "subjects": ["SUSPECT"],
        "special_categories": [],
        "minors": False,
        "safeguards": ["UMBRELLA_2016"],
        "delete_by": "2026-12-01",
    }

    assert verdict(changed("drug.substance_alert", {"/header/data_protection": declared})) == {
        ("DP-06", "/header/data_protection")
    }


@pytest.mark.parametrize(
    ("type_name", "bases"),
    [
        ("marine.boarding_request", ["UN1988_ART17"]),
        ("drug.precursor_notice", ["UN1988_ART12", "UN1988_ART9"]),
        (
            "arms.trace_request",
            ["UNTOC_FIREARMS_ART12", "FRUS_CUSTOMS_1936", "EUUS_CMAA_1997", "UNTOC_ART27"],
        ),
    ],
)
def test_lb03_any_one_basis_of_the_type_will_do_and_no_other(type_name: str, bases: list[str]) -> None:
    pointer = "/header/legal_basis"

    for basis in bases:
        assert verdict(changed(type_name, {pointer: [basis]})) == set()
    assert verdict(changed(type_name, {pointer: ["FRUS_MLAT_1998"]})) == {("LB-03", pointer)}


@pytest.mark.parametrize(
    "type_name",
    [
        "marine.vessel_alert",
        "marine.boarding_request",
        "air.aircraft_alert",
        "fin.cash_movement",
        "fin.flow_report",
        "parcel.referral",
        "ecom.seller_alert",
        "drug.precursor_notice",
        "labor.referral",
    ],
)
def test_ev01_intelligence_is_graded(type_name: str) -> None:
    assert verdict(changed(type_name, {"/header/evaluation": ABSENT})) == {("EV-01", "/header/evaluation")}


AWAITING = [
    "marine.boarding_request",
    "parcel.referral",
    "drug.precursor_notice",
    "arms.trace_request",
    "labor.referral",
    "fraud.verification_request",
]


@pytest.mark.parametrize("type_name", AWAITING)
def test_h07_a_request_says_by_when(type_name: str) -> None:
    created, pointer = created_ms(example(type_name)), "/header/reply_by"

    assert verdict(changed(type_name, {pointer: stamp(created + 1)})) == set()
    assert verdict(changed(type_name, {pointer: stamp(created)})) == {("H-07", pointer)}
    assert verdict(changed(type_name, {pointer: ABSENT})) == {("H-07", pointer)}


FLASH = ["marine.vessel_alert", "marine.track_report", "marine.boarding_request", "air.aircraft_alert"]
NO_FLASH = ["fin.cash_movement", "fin.flow_report", "parcel.referral", "ecom.seller_alert", "labor.referral"]


@pytest.mark.parametrize("type_name", FLASH)
def test_what_happens_at_sea_and_in_the_air_may_go_flash(type_name: str) -> None:
    assert verdict(changed(type_name, {"/header/precedence": "FLASH"})) == set()


@pytest.mark.parametrize("type_name", NO_FLASH)
def test_h08_what_can_wait_does_not(type_name: str) -> None:
    pointer = "/header/precedence"

    assert verdict(changed(type_name, {pointer: "FLASH"})) == {("H-08", pointer)}


LINK = "/header/conversation/in_reply_to"
ANOTHER = "01a1a0a3-0280-71be-879b-57ec4a3cccba"


def test_h05_threads_replies_and_openers() -> None:
    # A track may be linked to the alert before it, or to nothing.
    for type_name in ("marine.vessel_alert", "marine.track_report", "air.aircraft_alert"):
        assert verdict(changed(type_name, {LINK: ANOTHER})) == set()
    # Mirror data opens a conversation, and answers one.
    assert verdict(example("fin.trade_mirror", number=0)) == set()
    assert verdict(example("fin.trade_mirror", number=1)) == set()
    broken = {("H-05", "/header/conversation")}
    for type_name in ("marine.boarding_decision", "arms.trace_result", "fraud.verification_result"):
        assert verdict(changed(type_name, {LINK: ABSENT})) == broken
    for type_name in AWAITING:
        assert verdict(changed(type_name, {LINK: ANOTHER})) == broken


# --- Addresses of listings: a format that only these types have -----------------------


@pytest.mark.parametrize(
    "address",
    [
        "https://marketplace.example",
        "https://marketplace.example/item/000417?ref=a%20b&x=1#top",
        "https://xn--80akhbyknj4f.example:8443/?q=a|b",
        "https://m.example?x",
        "https://m.example/" + "a" * 1982,
    ],
)
def test_a_listing_is_an_address_as_a_browser_copies_it(address: str) -> None:
    assert verdict(changed("ecom.seller_alert", {"/payload/listings": [address]})) == set()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://",
        "http://marketplace.example/item",
        "HTTPS://marketplace.example",
        "javascript:alert(1)",
        "https://marketplace.example@other.example/",
        "https://marketplace.example /item",
        "https://marketplace.example/it em",
        "https://marketplace.example/é",
        "https://пример.example/",
        "https://marketplace.example\\@other.example",
        "https://m.example/" + "a" * 1983,
    ],
)
def test_schema_other_addresses_of_listings_are_refused(address: str) -> None:
    good = "https://marketplace.example/item"

    assert verdict(changed("ecom.seller_alert", {"/payload/listings": [good, address]})) == {
        ("SCHEMA", "/payload/listings/1")
    }


def test_a_refused_listing_is_told_what_an_address_is() -> None:
    message = changed("ecom.seller_alert", {"/payload/listings": ["http://marketplace.example"]})

    (violation,) = examine_document(message, catalogue=read_catalogue(), now_ms=created_ms(message))
    assert "begins with https://" in violation.text("en")
    assert "commençant par https://" in violation.text("fr")
