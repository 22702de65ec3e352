from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

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
