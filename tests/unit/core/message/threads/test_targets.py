"""RF-OPEN, RF-OWN, RF-THEIRS: which messages others may be about, and who says so."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.message.threads import Side
from tests.unit.core.message.rules.samples import ABSENT, changed
from tests.unit.core.message.threads.memory import (
    ANSWERED,
    CATALOGUE,
    REFERRAL,
    REQUEST,
    SENDER,
    Memory,
    about,
    broken,
    new_id,
    reply_to,
)

SIDES: list[Side] = ["sender", "receiver"]
CORRECTION = {
    "/payload/patches": [
        {
            "path": "/payload/national_case",
            "old": REQUEST["payload"]["national_case"],
            "new": "SPECIMEN-1",
        }
    ]
}
OWN = [("gov.correction", CORRECTION), ("gov.retraction", {}), ("gov.use_change", {"/payload/use": ABSENT})]
THEIRS: list[tuple[str, dict[str, Any]]] = [("gov.consent_request", {}), ("gov.feedback", {})]


def pointer_of(type_name: str) -> str:
    return "/payload/about" if type_name == "gov.feedback" else "/payload/target"


def said(type_name: str, more: dict[str, Any], side: Side, **changes: Any) -> list[tuple[str, str]]:
    """Return what is broken by a message about the request, the first of its sender but for the request."""
    own = type_name not in {"gov.consent_request", "gov.feedback"}
    document = about(REQUEST, type_name, more | changes, number=2 if own else 1)
    return broken(Memory().add(REQUEST), document, side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("type_name", "more"), [*OWN, *THEIRS])
def test_a_message_is_about_one_that_this_node_holds(
    type_name: str, more: dict[str, Any], side: Side
) -> None:
    pointer = pointer_of(type_name)

    assert said(type_name, more, side) == []
    assert said(type_name, more, side, **{pointer: new_id(99)}) == [("RF-OPEN", pointer)]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("type_name", "more"), [*OWN, *THEIRS])
def test_the_message_that_another_is_about_may_be_closed(
    type_name: str, more: dict[str, Any], side: Side
) -> None:
    answer = reply_to(REQUEST, "assist.reply", {"/payload/status": "FINAL"})
    document = about(REQUEST, type_name, more, number=2)

    assert broken(Memory().add(REQUEST, answer), document, side) == []


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("type_name", "more"), OWN)
def test_rf_own_only_the_sender_or_its_superior_changes_a_message(
    type_name: str, more: dict[str, Any], side: Side
) -> None:
    assert REQUEST["header"]["from"]["agency"] == "FR.DGDDI.DNRED"
    refused = [("RF-OWN", "/payload/target")]

    for agency in ("FR.DGDDI.DNRED", "FR.DGDDI"):
        seq = {"/header/conversation/seq": 2 if agency == "FR.DGDDI.DNRED" else 1}
        assert said(type_name, more, side, **seq, **{SENDER: agency}) == [], agency
    for agency in ("FR.DGDDI.SARC", "FR.ONAF", "US.ICE.HSI"):
        changes = {"/header/from/nation": agency[:2], SENDER: agency, "/header/conversation/seq": 1}
        assert said(type_name, more, side, **changes) == refused, agency


def test_a_service_does_not_change_what_its_superior_sent() -> None:
    sent = changed("assist.request", {SENDER: "FR.DGDDI"})
    document = about(sent, "gov.retraction", {SENDER: "FR.DGDDI.DNRED"})

    assert broken(Memory().add(sent), document) == [("RF-OWN", "/payload/target")]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("type_name", "more"), THEIRS)
def test_rf_theirs_the_message_came_from_the_other_nation_to_this_agency_or_one_below_it(
    type_name: str, more: dict[str, Any], side: Side
) -> None:
    pointer = pointer_of(type_name)
    sent = about(REFERRAL, type_name, more)  # from US.CBP.NTC to FR.DGDDI.SARC
    memory = Memory().add(REFERRAL)

    assert broken(memory, sent, side) == []
    for agency, expected in (
        ("FR.DGDDI", []),
        ("FR.DGDDI.DNRED", [("RF-THEIRS", pointer)]),
        ("FR.ONAF", [("RF-THEIRS", pointer)]),
    ):
        assert broken(memory, about(REFERRAL, type_name, more | {SENDER: agency}), side) == expected, agency
    # Of the nation that sent it, not even its superior.
    for agency in ("US.CBP.NTC", "US.CBP"):
        changes = {
            "/header/from/nation": "US",
            SENDER: agency,
            "/header/conversation/seq": 2 if agency == "US.CBP.NTC" else 1,
        }
        own = about(REFERRAL, type_name, more | changes)
        assert broken(memory, own, side) == [("RF-THEIRS", pointer)], agency


def test_rf_theirs_an_agency_that_a_request_was_transferred_to_has_it_too() -> None:
    transfer = reply_to(
        REQUEST,
        "assist.ack",
        {"/payload/status": "TRANSFERRED", "/payload/handled_by": "US.CBP.NTC", "/header/from/nation": "US"},
    )
    feedback = about(REQUEST, "gov.feedback", {SENDER: "US.CBP.NTC"})

    assert broken(Memory().add(REQUEST), feedback) == [("RF-THEIRS", "/payload/about")]
    assert broken(Memory().add(REQUEST, transfer), feedback) == []


# --- Decisions and certificates --------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_a_consent_decision_answers_its_request_and_names_a_message_that_exists(side: Side) -> None:
    asked = about(REQUEST, "gov.consent_request", {})
    memory = Memory().add(REQUEST, asked)
    good = {"/payload/target": REQUEST["header"]["message_id"]}

    assert broken(memory, reply_to(asked, "gov.consent_decision", good, number=2), side) == []
    stray = reply_to(asked, "gov.consent_decision", {"/payload/target": new_id(98)}, number=2)
    assert broken(memory, stray, side) == [("RF-OPEN", "/payload/target")]
    twice = reply_to(asked, "gov.consent_decision", good | {"/header/message_id": new_id(97)}, number=3)
    memory.add(reply_to(asked, "gov.consent_decision", good, number=2))
    assert broken(memory, twice, side) == [("RF-OPEN", ANSWERED)]


@pytest.mark.parametrize("side", SIDES)
def test_the_targets_of_a_certificate_are_not_looked_up(side: Side) -> None:
    retraction = about(REQUEST, "gov.retraction", {}, number=2)
    certificate = reply_to(retraction, "gov.deletion_certificate", {"/payload/targets": [new_id(96)]})

    assert broken(Memory().add(REQUEST, retraction), certificate, side) == []


def test_a_message_about_none_asks_nothing() -> None:
    opened = Memory()
    incident = changed("gov.security_incident", {"/header/conversation/seq": 1})

    assert broken(opened, incident) == []
    assert opened.opened == []


def test_superiors_are_those_of_the_agreement() -> None:
    superiors = CATALOGUE.agreement.superiors

    assert superiors["FR.DGDDI.DNRED"] == superiors["FR.DGDDI.SARC"] == "FR.DGDDI"
    assert superiors["US.CBP.NTC"] == "US.CBP"
    assert "FR.ONAF" not in superiors
    assert "US.ICE.HSI" not in superiors
