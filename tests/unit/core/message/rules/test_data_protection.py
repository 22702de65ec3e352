from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.rule import stateless_violations
from tests.unit.core.message.rules.samples import ABSENT, ROOT, changed, created_ms, example, verdict

PROTECTION = "/header/data_protection"
FLAG = f"{PROTECTION}/contains_personal_data"
CATEGORIES = f"{PROTECTION}/categories"
SUBJECTS = f"{PROTECTION}/subjects"
DELETE_BY = f"{PROTECTION}/delete_by"
REVIEW_BY = f"{PROTECTION}/review_by"
NONE_DECLARED = {
    FLAG: False,
    CATEGORIES: [],
    SUBJECTS: [],
    f"{PROTECTION}/safeguards": [],
    DELETE_BY: ABSENT,
}

PERSON = {"ref": "p9", "role": "SUBJECT", "family_name": "SPECIMEN"}
DOCUMENT = {"kind": "PASSPORT", "number": "SPEC00009", "issuer": "UTO"}
ACCOUNT = {"ref": "a1", "kind": "IBAN", "iban": "FR7699999000000000000041743"}
APP = {"ref": "a1", "kind": "PAYMENT_APP", "provider": "Specimen Pay"}


def bare(changes: dict[str, Any]) -> dict[str, Any]:
    """Return a message without personal data and with a full declaration of none, then changed."""
    message = changed("intel.spontaneous", {"/payload/persons": [], **NONE_DECLARED})
    for pointer, value in changes.items():
        holder: Any = message
        *steps, last = pointer.split("/")[1:]
        for step in steps:
            holder = holder[step]
        holder[last] = value
    return message


def test_a_message_without_personal_data_needs_no_declaration() -> None:
    assert verdict(bare({})) == set()


def test_dp01_undeclared_persons_are_found() -> None:
    assert verdict(changed("intel.spontaneous", {FLAG: False})) == {("DP-01", FLAG)}


@pytest.mark.parametrize(
    "payload",
    [
        {"/payload/persons": [PERSON]},
        {"/payload/accounts": [ACCOUNT]},
        {"/payload/accounts": [APP, {**ACCOUNT, "ref": "a2"}]},
    ],
)
def test_dp01_personal_data_of_any_kind_is_found(payload: dict[str, object]) -> None:
    assert verdict(bare(payload)) == {("DP-01", FLAG)}


@pytest.mark.parametrize(
    "payload",
    [
        {"/payload/persons": []},
        {"/payload/accounts": [APP]},
        {
            "/payload/organisations": [
                {
                    "ref": "o1",
                    "role": "SHIPPER",
                    "name": "SPECIMEN SA",
                    "country": "FR",
                    "contacts": [{"kind": "EMAIL", "value": "office@specimen.example"}],
                }
            ]
        },
    ],
)
def test_an_empty_list_a_payment_app_and_an_office_are_no_personal_data(payload: dict[str, object]) -> None:
    assert verdict(bare(payload)) == set()


def test_the_flag_may_be_true_although_nothing_is_found() -> None:
    assert verdict(changed("intel.spontaneous", {"/payload/persons": []})) == set()


@pytest.mark.parametrize(
    ("person", "category"),
    [
        (PERSON, "IDENTITY"),
        ({**PERSON, "documents": [DOCUMENT]}, "TRAVEL_DOCUMENT"),
        ({**PERSON, "contacts": [{"kind": "PHONE", "value": "+33199001234"}]}, "CONTACT"),
        ({**PERSON, "contacts": [{"kind": "EMAIL", "value": "a@specimen.example"}]}, "CONTACT"),
        ({**PERSON, "contacts": [{"kind": "URL", "value": "https://specimen.example"}]}, "CONTACT"),
        ({**PERSON, "contacts": [{"kind": "IMEI", "value": "350000000000170"}]}, "COMMS_IDENTIFIER"),
        ({**PERSON, "contacts": [{"kind": "IMSI", "value": "208010000000001"}]}, "COMMS_IDENTIFIER"),
        ({**PERSON, "contacts": [{"kind": "HANDLE", "value": "app:specimen"}]}, "COMMS_IDENTIFIER"),
    ],
)
def test_dp02_every_category_that_is_found_is_declared(person: dict[str, object], category: str) -> None:
    declared = ["IDENTITY", "TRAVEL_DOCUMENT", "CONTACT", "COMMS_IDENTIFIER", "PROFESSIONAL"]
    missing = [name for name in declared if name != category]
    complete = changed("intel.spontaneous", {"/payload/persons": [person]})
    incomplete = changed("intel.spontaneous", {"/payload/persons": [person], CATEGORIES: missing})

    assert verdict(complete) == set()
    assert verdict(incomplete) == {("DP-02", CATEGORIES)}


def test_dp02_accounts_are_financial_data() -> None:
    message = changed("intel.spontaneous", {"/payload/accounts": [ACCOUNT]})

    assert verdict(message) == {("DP-02", CATEGORIES)}


def test_dp02_a_record_locator_is_passenger_name_data() -> None:
    declared = example("target.pax_referral")["header"]["data_protection"]["categories"]
    assert "PNR" in declared
    missing = [name for name in declared if name != "PNR"]

    assert verdict(changed("target.pax_referral", {CATEGORIES: missing})) == {("DP-02", CATEGORIES)}


def test_more_than_is_found_may_be_declared() -> None:
    message = changed("intel.spontaneous", {f"{CATEGORIES}/-": "BIOMETRIC"})

    assert verdict(message) == set()


def test_dp02_a_declaration_names_the_persons_concerned() -> None:
    assert verdict(changed("intel.spontaneous", {SUBJECTS: []})) == {("DP-02", PROTECTION)}


def test_dp02_a_declaration_names_a_category_even_if_none_is_found() -> None:
    message = changed("intel.spontaneous", {"/payload/persons": [], CATEGORIES: []})

    assert verdict(message) == {("DP-02", PROTECTION)}


def test_dp02_reports_both_of_its_conditions() -> None:
    assert verdict(changed("intel.spontaneous", {CATEGORIES: []})) == {
        ("DP-02", CATEGORIES),
        ("DP-02", PROTECTION),
    }


def test_dp03_the_umbrella_agreement_is_named() -> None:
    safeguards = f"{PROTECTION}/safeguards"

    assert verdict(changed("intel.spontaneous", {safeguards: []})) == {("DP-03", safeguards)}
    assert verdict(changed("intel.spontaneous", {safeguards: ["UMBRELLA_2016"]})) == set()


CREATED_ON = date(2026, 11, 2)
KEEP_DAYS = 1095


def day(offset: int) -> str:
    return (CREATED_ON + timedelta(days=offset)).isoformat()


@pytest.mark.parametrize("offset", [1, KEEP_DAYS])
def test_deletion_may_be_due_from_the_next_day_to_the_types_limit(offset: int) -> None:
    assert verdict(changed("intel.spontaneous", {DELETE_BY: day(offset)})) == set()


@pytest.mark.parametrize("offset", [-1, 0, KEEP_DAYS + 1])
def test_dp04_deletion_outside_that_range_is_refused(offset: int) -> None:
    assert verdict(changed("intel.spontaneous", {DELETE_BY: day(offset)})) == {("DP-04", DELETE_BY)}


def test_dp04_personal_data_has_a_day_of_deletion() -> None:
    message = changed("intel.spontaneous", {DELETE_BY: ABSENT, REVIEW_BY: day(5)})

    assert verdict(message) == {("DP-04", DELETE_BY)}


def test_a_review_may_fall_on_the_day_of_deletion() -> None:
    assert verdict(changed("intel.spontaneous", {DELETE_BY: day(9), REVIEW_BY: day(9)})) == set()


def test_dp04_a_review_after_the_deletion_is_refused() -> None:
    message = changed("intel.spontaneous", {DELETE_BY: day(9), REVIEW_BY: day(10)})

    assert verdict(message) == {("DP-04", REVIEW_BY)}


def test_dates_of_a_message_without_personal_data_are_not_examined() -> None:
    assert verdict(bare({DELETE_BY: day(-1), REVIEW_BY: day(9)})) == set()


def test_dp05_special_categories_are_justified() -> None:
    special = f"{PROTECTION}/special_categories"
    justification = f"{PROTECTION}/special_justification"

    assert verdict(changed("intel.spontaneous", {special: ["HEALTH"]})) == {("DP-05", justification)}
    assert verdict(changed("intel.spontaneous", {special: ["HEALTH"], justification: "Implant."})) == set()


def test_dp05_asks_also_a_message_that_declares_no_personal_data() -> None:
    message = bare({f"{PROTECTION}/special_categories": ["HEALTH"]})

    assert verdict(message) == {("DP-05", f"{PROTECTION}/special_justification")}


@pytest.mark.parametrize(("flag", "broken"), [(True, {("DP-06", PROTECTION)}), (False, set())])
def test_dp06_a_type_that_forbids_personal_data_carries_none(
    flag: bool, broken: set[tuple[str, str]]
) -> None:
    catalogue = read_catalogue(ROOT / "schemas")
    message_type = with_terms(catalogue.type("intel.spontaneous/1"), no_personal_data=True)
    message = bare({}) if not flag else changed("intel.spontaneous", {"/payload/persons": []})

    violations = stateless_violations(message, message_type, catalogue.agreement, created_ms(message))

    assert {(violation.rule, violation.pointer) for violation in violations} == broken


FORBIDDING = [
    "intel.modus_operandi",
    "intel.threat_assessment",
    "lab.result",
    "ops.asset_request",
    "ops.asset_response",
    "ops.room_close",
    "ops.room_open",
    "ops.sitrep",
    "target.risk_rule",
]


@pytest.mark.parametrize("type_name", FORBIDDING)
def test_dp06_the_types_that_forbid_personal_data(type_name: str) -> None:
    assert verdict(changed(type_name, {PROTECTION: DECLARED})) == {("DP-06", PROTECTION)}


DECLARED = {
    "contains_personal_data": True,
    "categories": ["IDENTITY"],
    "subjects": ["SUSPECT"],
    "special_categories": [],
    "minors": False,
    "safeguards": ["UMBRELLA_2016"],
    "delete_by": "2026-12-31",
}


UNDECLARED = {
    "contains_personal_data": False,
    "categories": [],
    "subjects": [],
    "special_categories": [],
    "minors": False,
    "safeguards": [],
}


def test_dp01_tokens_are_pseudonyms_and_results_are_not() -> None:
    flag = f"{PROTECTION}/contains_personal_data"

    assert verdict(changed("match.query", {PROTECTION: UNDECLARED})) == {("DP-01", flag)}
    assert verdict(changed("match.result", {PROTECTION: UNDECLARED})) == set()


def test_dp02_tokens_are_declared_as_pseudonyms() -> None:
    categories = f"{PROTECTION}/categories"

    assert verdict(changed("match.query", {categories: ["CONTACT"]})) == {("DP-02", categories)}
    assert verdict(changed("match.query", {categories: ["CONTACT", "PSEUDONYM"]})) == set()


@pytest.mark.parametrize(
    "type_name",
    ["invest.deconfliction", "invest.joint_case", "invest.controlled_delivery_request"],
)
def test_dp01_persons_and_accounts_of_investigations_are_found(type_name: str) -> None:
    flag = f"{PROTECTION}/contains_personal_data"

    assert verdict(changed(type_name, {PROTECTION: UNDECLARED})) == {("DP-01", flag)}


@pytest.mark.parametrize(("days", "broken"), [(1, False), (2, True)])
def test_dp04_tokens_are_kept_for_a_day(days: int, broken: bool) -> None:
    pointer = f"{PROTECTION}/delete_by"
    delete_by = (date(2026, 11, 9) + timedelta(days=days)).isoformat()

    assert verdict(changed("match.query", {pointer: delete_by})) == (
        {("DP-04", pointer)} if broken else set()
    )


def with_terms(message_type: Any, **changes: object) -> Any:
    """Return a message type with some of its terms replaced."""
    return replace(message_type, terms=replace(message_type.terms, **changes))


def test_dp07_passenger_targeting_uses_no_special_category() -> None:
    special = f"{PROTECTION}/special_categories"
    justification = f"{PROTECTION}/special_justification"
    message = changed("target.pax_referral", {special: ["RELIGIOUS"], justification: "Meal."})

    assert verdict(message) == {("DP-07", special)}
    assert verdict(example("target.pax_referral")) == set()


def test_records_may_be_used_for_183_days() -> None:
    # The referral is of 4 November 2026.
    loaded_on = (date(2026, 11, 4) - timedelta(days=183)).isoformat()

    assert verdict(changed("target.pax_referral", {"/payload/pnr_loaded_on": loaded_on})) == set()


@pytest.mark.parametrize("source", ["PNR", "BOTH"])
def test_dp08_older_records_are_refused(source: str) -> None:
    loaded_on = (date(2026, 11, 4) - timedelta(days=184)).isoformat()
    message = changed(
        "target.pax_referral",
        {"/payload/pnr_loaded_on": loaded_on, "/payload/data_source": source},
    )

    assert verdict(message) == {("DP-08", "/payload/pnr_loaded_on")}


def test_the_age_of_records_is_not_examined_when_none_were_used_or_none_is_given() -> None:
    old = {
        "/payload/pnr_loaded_on": "2020-01-01",
        "/payload/data_source": "API",
        "/payload/pnr_locator": ABSENT,
    }

    assert verdict(changed("target.pax_referral", old)) == set()
    assert verdict(changed("target.pax_referral", {"/payload/pnr_loaded_on": ABSENT})) == set()
