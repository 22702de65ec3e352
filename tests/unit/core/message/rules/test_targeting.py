from __future__ import annotations

import pytest

from gateway.core.message.instants import instant_ms
from tests.unit.core.message.rules.samples import ABSENT, changed, example, stamp, verdict

ROLE = "/payload/travellers/0/role"
LOCATOR = "/payload/pnr_locator"
SOURCE = "/payload/data_source"


@pytest.mark.parametrize(("role", "broken"), [("CREW", False), ("PASSENGER", False), ("SHIPPER", True)])
def test_cx_pax_travellers_travel(role: str, broken: bool) -> None:
    expected = {("CX-PAX", "/payload/travellers")} if broken else set()

    assert verdict(changed("target.pax_referral", {ROLE: role})) == expected


@pytest.mark.parametrize("source", ["PNR", "BOTH"])
def test_cx_pax_passenger_records_have_a_locator(source: str) -> None:
    assert verdict(changed("target.pax_referral", {SOURCE: source})) == set()
    assert verdict(changed("target.pax_referral", {SOURCE: source, LOCATOR: ABSENT})) == {("CX-PAX", LOCATOR)}


@pytest.mark.parametrize("source", ["API", "OTHER"])
def test_cx_pax_other_sources_have_none(source: str) -> None:
    assert verdict(changed("target.pax_referral", {SOURCE: source})) == {("CX-PAX", LOCATOR)}
    assert verdict(changed("target.pax_referral", {SOURCE: source, LOCATOR: ABSENT})) == set()


DISPOSITION = "/payload/disposition"
DONE_AT = "/payload/done_at"
DELETE = "/payload/delete_subject_data"


@pytest.mark.parametrize("disposition", ["POSITIVE", "NEGATIVE"])
def test_cx_disp_a_check_that_was_done_says_when(disposition: str) -> None:
    message = changed("target.disposition", {DISPOSITION: disposition, DELETE: True, DONE_AT: ABSENT})

    assert verdict(message) == {("CX-DISP", DONE_AT)}


@pytest.mark.parametrize("disposition", ["PENDING", "NOT_INTERCEPTED", "NOT_SELECTED", "RESOLVED_BY_DATA"])
def test_a_check_that_was_not_done_need_not(disposition: str) -> None:
    assert verdict(changed("target.disposition", {DISPOSITION: disposition, DONE_AT: ABSENT})) == set()


def test_cx_disp_a_negative_result_deletes() -> None:
    negative = {DISPOSITION: "NEGATIVE"}

    assert verdict(changed("target.disposition", {**negative, DELETE: False})) == {("CX-DISP", DELETE)}
    assert verdict(changed("target.disposition", {**negative, DELETE: True})) == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"/payload/started_at": ABSENT},
        {"/payload/ended_at": ABSENT},
        {"/payload/methods": []},
        {"/payload/started_at": ABSENT, "/payload/methods": []},
    ],
)
def test_cx_inspect_an_examination_has_start_end_and_methods(changes: dict[str, object]) -> None:
    assert verdict(changed("inspect.result", changes)) == {("CX-INSPECT", "/payload")}


@pytest.mark.parametrize(
    ("performed", "outcome", "broken"),
    [
        (True, "ANOMALY", False),
        (True, "NOT_EXAMINED", True),
        (False, "NOT_EXAMINED", False),
        (False, "NO_ANOMALY", True),
    ],
)
def test_cx_inspect_not_examined_means_not_performed(performed: bool, outcome: str, broken: bool) -> None:
    message = changed("inspect.result", {"/payload/performed": performed, "/payload/outcome": outcome})

    assert verdict(message) == ({("CX-INSPECT", "/payload/outcome")} if broken else set())


def test_an_examination_that_was_not_performed_needs_no_times() -> None:
    message = changed(
        "inspect.result",
        {
            "/payload/performed": False,
            "/payload/outcome": "NOT_EXAMINED",
            "/payload/started_at": ABSENT,
            "/payload/ended_at": ABSENT,
            "/payload/methods": [],
        },
    )

    assert verdict(message) == set()


# --- Before loading -------------------------------------------------------------------

PRELOAD = "target.preload_referral"
CODE = "/payload/code"
QUESTION = "/payload/question"
SCREENING = "/payload/screening"
PRECEDENCE = "/header/precedence"
ACT_BEFORE = "/payload/act_before"
DEPARTURE_MS = instant_ms(example(PRELOAD)["payload"]["flight"]["std"])


def test_cx_preload_a_request_for_information_asks_a_question() -> None:
    asked = {CODE: "RFI", QUESTION: "Qui est le destinataire final ?"}

    assert verdict(changed(PRELOAD, {CODE: "RFI"})) == {("CX-PRELOAD", QUESTION)}
    assert verdict(changed(PRELOAD, asked)) == set()
    assert verdict(changed(PRELOAD, {**asked, SCREENING: []})) == set()


@pytest.mark.parametrize("screening", [[], ABSENT])
def test_cx_preload_a_request_for_screening_names_methods(screening: object) -> None:
    assert verdict(changed(PRELOAD, {SCREENING: screening})) == {("CX-PRELOAD", SCREENING)}
    assert verdict(changed(PRELOAD, {SCREENING: ["DOG"]})) == set()


@pytest.mark.parametrize("precedence", ["IMMEDIATE", "PRIORITY", "ROUTINE"])
def test_cx_preload_do_not_load_goes_flash(precedence: str) -> None:
    message = changed(PRELOAD, {CODE: "DNL", PRECEDENCE: precedence, SCREENING: ABSENT})

    assert verdict(message) == {("CX-PRELOAD", PRECEDENCE)}
    assert verdict(changed(PRELOAD, {CODE: "DNL", PRECEDENCE: "FLASH", SCREENING: ABSENT})) == set()


@pytest.mark.parametrize("code", ["RFS", "DNL"])
def test_other_codes_may_be_flash_too(code: str) -> None:
    assert verdict(changed(PRELOAD, {CODE: code, PRECEDENCE: "FLASH"})) == set()


@pytest.mark.parametrize(("before_ms", "broken"), [(1, False), (0, True), (-1, True)])
def test_cx_preload_action_precedes_the_departure(before_ms: int, broken: bool) -> None:
    message = changed(PRELOAD, {ACT_BEFORE: stamp(DEPARTURE_MS - before_ms)})

    assert verdict(message) == ({("CX-PRELOAD", ACT_BEFORE)} if broken else set())


@pytest.mark.parametrize("missing", ["/payload/flight", "/payload/flight/std"])
def test_without_a_time_of_departure_any_time_to_come_will_do(missing: str) -> None:
    assert verdict(changed(PRELOAD, {missing: ABSENT, ACT_BEFORE: "2027-01-01T00:00:00Z"})) == set()


@pytest.mark.parametrize("kind", ["MAWB", "HAWB", "EXPRESS"])
def test_air_cargo_travels_under_any_document(kind: str) -> None:
    assert verdict(changed(PRELOAD, {"/payload/document/kind": kind})) == set()


def test_cx_preload_reports_all_its_conditions() -> None:
    message = changed(PRELOAD, {SCREENING: ABSENT, ACT_BEFORE: stamp(DEPARTURE_MS)})

    assert verdict(message) == {("CX-PRELOAD", SCREENING), ("CX-PRELOAD", ACT_BEFORE)}


# --- Risk rules -----------------------------------------------------------------------

THRESHOLD = "/payload/threshold"
VALID_TO = "/payload/valid_to"


@pytest.mark.parametrize(("logic", "broken"), [("WEIGHTED", True), ("ALL", False), ("ANY", False)])
def test_cx_rule_weights_need_a_threshold(logic: str, broken: bool) -> None:
    message = changed("target.risk_rule", {"/payload/logic": logic, THRESHOLD: ABSENT})

    assert verdict(message) == ({("CX-RULE", THRESHOLD)} if broken else set())
    assert verdict(changed("target.risk_rule", {"/payload/logic": logic})) == set()


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "broken"),
    [
        ("2026-11-15", "2026-11-15", False),
        ("2026-11-15", "2027-11-16", False),
        ("2026-11-15", "2027-11-17", True),
        # A leap year has 366 days itself.
        ("2027-03-01", "2028-03-01", False),
        ("2027-03-01", "2028-03-02", True),
    ],
)
def test_cx_rule_a_rule_is_valid_for_366_days_at_most(valid_from: str, valid_to: str, broken: bool) -> None:
    message = changed("target.risk_rule", {"/payload/valid_from": valid_from, VALID_TO: valid_to})

    assert verdict(message) == ({("CX-RULE", VALID_TO)} if broken else set())
