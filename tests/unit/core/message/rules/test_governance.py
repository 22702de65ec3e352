from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

USE = "/payload/use"
RECIPIENT = "/payload/recipient"
COUNTRY = "/payload/recipient_country"
NEW_PURPOSE = "/payload/new_purpose"


@pytest.mark.parametrize("use", ["PASS_TO_OTHER_AGENCY", "PASS_TO_THIRD_COUNTRY"])
def test_cx_consent_who_would_get_it_is_named(use: str) -> None:
    asked = {USE: use, COUNTRY: "CA"}

    assert verdict(changed("gov.consent_request", asked)) == set()
    assert verdict(changed("gov.consent_request", {**asked, RECIPIENT: ABSENT})) == {
        ("CX-CONSENT", RECIPIENT)
    }


@pytest.mark.parametrize("country", ["CA", "GB", "MQ", "PR"])
def test_cx_consent_a_third_country_may_get_it(country: str) -> None:
    """Also one whose customs territory belongs to one of the two: the code says which it is."""
    asked = {USE: "PASS_TO_THIRD_COUNTRY", COUNTRY: country}

    assert verdict(changed("gov.consent_request", asked)) == set()


@pytest.mark.parametrize("country", ["FR", "US", ABSENT])
def test_cx_consent_the_third_country_is_named_and_is_neither_of_the_two(country: object) -> None:
    asked: dict[str, object] = {USE: "PASS_TO_THIRD_COUNTRY"}
    if country is not ABSENT:
        asked[COUNTRY] = country

    assert verdict(changed("gov.consent_request", asked)) == {("CX-CONSENT", COUNTRY)}


def test_cx_consent_both_gaps_are_told_at_once() -> None:
    asked = {USE: "PASS_TO_THIRD_COUNTRY", RECIPIENT: ABSENT}

    assert verdict(changed("gov.consent_request", asked)) == {
        ("CX-CONSENT", RECIPIENT),
        ("CX-CONSENT", COUNTRY),
    }


def test_cx_consent_another_agency_needs_no_country_and_any_will_do() -> None:
    """Only a third country is looked at."""
    asked = {USE: "PASS_TO_OTHER_AGENCY"}

    assert verdict(changed("gov.consent_request", asked)) == set()
    assert verdict(changed("gov.consent_request", {**asked, COUNTRY: "FR"})) == set()


def test_cx_consent_another_purpose_is_named() -> None:
    asked = {USE: "OTHER_PURPOSE", RECIPIENT: ABSENT}

    assert verdict(changed("gov.consent_request", asked)) == {("CX-CONSENT", NEW_PURPOSE)}
    assert verdict(changed("gov.consent_request", {**asked, NEW_PURPOSE: "REVENUE_PROTECTION"})) == set()


@pytest.mark.parametrize("use", ["EVIDENCE_IN_COURT", "LONGER_RETENTION", "PUBLIC_RELEASE"])
def test_other_uses_name_nobody(use: str) -> None:
    assert verdict(changed("gov.consent_request", {USE: use, RECIPIENT: ABSENT})) == set()


def test_id_iso3166_the_country_of_the_recipient_exists() -> None:
    asked = {USE: "PASS_TO_THIRD_COUNTRY", COUNTRY: "ZZ"}

    assert verdict(changed("gov.consent_request", asked)) == {("ID-ISO3166", COUNTRY)}


# --- Rules of all messages, on messages about messages --------------------------------


@pytest.mark.parametrize(
    "name", ["gov.correction", "gov.retraction", "gov.use_change", "gov.consent_request", "gov.feedback"]
)
def test_a_message_about_another_may_link_to_it_or_open_a_conversation(name: str) -> None:
    """H-05, and H-06: without the link it has the pattern of its type."""
    link = "/header/conversation/in_reply_to"
    pattern = "/header/conversation/pattern"

    assert verdict(changed(name)) == set()
    assert verdict(changed(name, {link: ABSENT, pattern: "LIFECYCLE"})) == set()
    assert verdict(changed(name, {link: ABSENT, pattern: "REQUEST"})) == {("H-06", pattern)}
    assert verdict(changed(name, {pattern: "REQUEST"})) == set()


@pytest.mark.parametrize("name", ["gov.consent_decision", "gov.deletion_certificate"])
def test_h_05_a_decision_and_a_certificate_answer_something(name: str) -> None:
    link = "/header/conversation/in_reply_to"

    assert verdict(changed(name, {link: ABSENT})) == {("H-05", "/header/conversation")}


@pytest.mark.parametrize("name", ["gov.security_incident", "gov.subject_request", "practice.share"])
def test_h_05_an_opener_links_to_nothing(name: str) -> None:
    link = "/header/conversation/in_reply_to"
    other = "01a19b53-73a0-74a9-be21-29270e87b654"

    assert verdict(changed(name, {link: other})) == {("H-05", "/header/conversation")}


@pytest.mark.parametrize("name", ["gov.retraction", "gov.consent_request", "gov.subject_request"])
def test_h_07_what_asks_something_of_the_partner_says_by_when(name: str) -> None:
    reply_by = "/header/reply_by"

    assert verdict(changed(name, {reply_by: ABSENT})) == {("H-07", reply_by)}


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("gov.retraction", True),
        ("gov.security_incident", True),
        ("sys.rejection", True),
        ("gov.correction", False),
        ("gov.use_change", False),
        ("gov.consent_request", False),
        ("gov.feedback", False),
        ("gov.subject_request", False),
        ("practice.share", False),
    ],
)
def test_h_08_only_what_stops_harm_goes_flash(name: str, may: bool) -> None:
    flash = changed(name, {"/header/precedence": "FLASH"})

    assert verdict(flash) == (set() if may else {("H-08", "/header/precedence")})


@pytest.mark.parametrize(
    "name", ["gov.correction", "gov.retraction", "gov.deletion_certificate", "gov.security_incident"]
)
def test_pu_01_governance_is_the_only_purpose_of_governance(name: str) -> None:
    message = changed(name, {"/header/purpose": {"code": "CARGO_TARGETING", "areas": ["NARCOTICS"]}})

    assert verdict(message) == {("PU-01", "/header/purpose/code")}


@pytest.mark.parametrize("name", ["gov.feedback", "sys.rejection"])
def test_feedback_and_rejections_serve_any_purpose(name: str) -> None:
    message = changed(name, {"/header/purpose": {"code": "REVENUE_PROTECTION", "areas": ["TOBACCO"]}})

    assert verdict(message) == set()


@pytest.mark.parametrize(
    "name",
    [
        "gov.deletion_certificate",
        "gov.security_incident",
        "sys.rejection",
        "facility.vulnerability",
        "practice.share",
        "event.bulletin",
    ],
)
def test_dp_06_these_hold_no_personal_data(name: str) -> None:
    declared = {
        "contains_personal_data": True,
        "categories": ["IDENTITY"],
        "subjects": ["SUSPECT"],
        "special_categories": [],
        "minors": False,
        "safeguards": ["UMBRELLA_2016"],
        "delete_by": "2027-01-31",
    }

    assert verdict(changed(name, {"/header/data_protection": declared})) == {
        ("DP-06", "/header/data_protection")
    }


@pytest.mark.parametrize(
    ("name", "last_day", "day_after"),
    [
        ("gov.subject_request", "2031-11-19", "2031-11-20"),
        ("gov.correction", "2031-11-09", "2031-11-10"),
        ("event.movement_notice", "2029-11-19", "2029-11-20"),
    ],
)
def test_dp_04_kept_no_longer_than_the_type_allows(name: str, last_day: str, day_after: str) -> None:
    declared = {
        "contains_personal_data": True,
        "categories": ["IDENTITY"],
        "subjects": ["SUSPECT"],
        "special_categories": [],
        "minors": False,
        "safeguards": ["UMBRELLA_2016"],
    }
    protection = "/header/data_protection"

    assert verdict(changed(name, {protection: {**declared, "delete_by": last_day}})) == set()
    assert verdict(changed(name, {protection: {**declared, "delete_by": day_after}})) == {
        ("DP-04", f"{protection}/delete_by")
    }


def test_cx_past_an_incident_was_noticed_before_it_is_reported() -> None:
    detected = "/payload/detected_at"
    created = "2026-11-19T16:45:00.000Z"

    assert verdict(changed("gov.security_incident", {detected: created})) == set()
    assert verdict(changed("gov.security_incident", {detected: "2026-11-19T16:45:00.001Z"})) == {
        ("CX-PAST", detected)
    }


def test_cx_dates_a_person_is_answered_after_asking() -> None:
    due = "/payload/answer_due"

    assert verdict(changed("gov.subject_request", {due: "2026-11-18"})) == set()
    assert verdict(changed("gov.subject_request", {due: "2026-11-17"})) == {("CX-DATES", due)}


@pytest.mark.parametrize("grade", [{"scheme": "EU4X4", "source": "F", "information": "6"}])
def test_ev_02_the_grade_that_feedback_proposes_is_not_examined(grade: dict[str, str]) -> None:
    assert verdict(changed("gov.feedback", {"/payload/better_evaluation": grade})) == set()
    assert verdict(changed("gov.feedback", {"/header/evaluation": grade})) == {
        ("EV-02", "/header/evaluation")
    }


def test_the_marking_that_a_use_change_sets_is_not_held_against_the_rules_of_headers() -> None:
    """MK-* and HD-* speak of the message's own header."""
    marking = {
        "policy": "FR",
        "level": "SECRET",
        "alternative": {"policy": "US", "level": "CUI"},
        "releasable_to": ["USA"],
    }
    new = {"/payload/marking": marking, "/payload/handling": {"codes": ["H0", "H2"]}}

    assert verdict(changed("gov.use_change", new)) == set()


@pytest.mark.parametrize("value", ["a text", 17, -1, True, False])
@pytest.mark.parametrize("side", ["old", "new"])
def test_a_patch_takes_any_single_value(side: str, value: object) -> None:
    assert verdict(changed("gov.correction", {f"/payload/patches/0/{side}": value})) == set()


@pytest.mark.parametrize("value", [None, {}, {"kind": "PHONE"}, [], ["a"], "line\u2028break", "\u202eturned"])
@pytest.mark.parametrize("side", ["old", "new"])
def test_a_patch_takes_nothing_composed_and_no_hidden_characters(side: str, value: object) -> None:
    pointer = f"/payload/patches/0/{side}"

    assert verdict(changed("gov.correction", {pointer: value})) == {("SCHEMA", pointer)}


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_patch_may_add_or_remove(side: str) -> None:
    assert verdict(changed("gov.correction", {f"/payload/patches/0/{side}": ABSENT})) == set()
