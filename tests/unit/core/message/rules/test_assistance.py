from __future__ import annotations

import pytest

from gateway.core.message.instants import DAY_MS, HOUR_MS
from tests.unit.core.message.rules.samples import ABSENT, changed, created_ms, example, stamp, verdict

REASON = "/payload/urgency_reason"
REPLY_BY = "/header/reply_by"
CREATED_MS = created_ms(example("assist.request"))
WAITS = {
    "URGENT_DIRECT": 8 * HOUR_MS,
    "URGENT_INDIRECT": 3 * DAY_MS,
    "STANDARD": 7 * DAY_MS,
    "EXTENDED": 30 * DAY_MS,
}


def request(urgency: str, wait_ms: int, reason: object = "A vessel sails tonight.") -> set[tuple[str, str]]:
    return verdict(
        changed(
            "assist.request",
            {"/payload/urgency": urgency, REPLY_BY: stamp(CREATED_MS + wait_ms), REASON: reason}
            if reason is not ABSENT
            else {"/payload/urgency": urgency, REPLY_BY: stamp(CREATED_MS + wait_ms)},
        )
    )


@pytest.mark.parametrize("urgency", WAITS)
def test_cx_urgency_a_deadline_fits_the_urgency(urgency: str) -> None:
    assert request(urgency, WAITS[urgency]) == set()
    assert request(urgency, WAITS[urgency] + 1) == {("CX-URGENCY", REPLY_BY)}


@pytest.mark.parametrize("urgency", ["URGENT_DIRECT", "URGENT_INDIRECT"])
def test_cx_urgency_an_urgent_request_says_why(urgency: str) -> None:
    assert request(urgency, HOUR_MS, reason=ABSENT) == {("CX-URGENCY", REASON)}


@pytest.mark.parametrize("urgency", ["STANDARD", "EXTENDED"])
def test_other_requests_need_not(urgency: str) -> None:
    assert request(urgency, HOUR_MS, reason=ABSENT) == set()


def test_cx_ack_the_handler_belongs_to_the_sending_nation() -> None:
    pointer = "/payload/handled_by"

    assert verdict(changed("assist.ack", {pointer: "US.CBP.NTC"})) == {("CX-ACK", pointer)}
    assert verdict(changed("assist.ack", {pointer: "FR.ONAF"})) == set()


def test_cx_ack_acceptance_says_by_when() -> None:
    pointer = "/payload/expected_by"

    assert verdict(changed("assist.ack", {pointer: ABSENT})) == {("CX-ACK", pointer)}
    assert verdict(changed("assist.ack", {pointer: ABSENT, "/payload/status": "RECEIVED_ONLY"})) == set()


@pytest.mark.parametrize("needed", [{}, {"/payload/needed": []}])
def test_cx_ack_a_question_back_says_what_is_needed(needed: dict[str, object]) -> None:
    message = changed("assist.ack", {"/payload/status": "MORE_INFORMATION_NEEDED", **needed})

    assert verdict(message) == {("CX-ACK", "/payload/needed")}


def test_a_question_back_that_says_what_is_needed_is_good() -> None:
    message = changed(
        "assist.ack",
        {"/payload/status": "MORE_INFORMATION_NEEDED", "/payload/needed": ["The bill of lading."]},
    )

    assert verdict(message) == set()


def test_cx_refusal_a_refusal_explains_itself() -> None:
    pointer = "/payload/explanation"

    assert verdict(changed("assist.refusal", {pointer: ABSENT})) == {("CX-REFUSAL", pointer)}


@pytest.mark.parametrize("reasons", [["SOVEREIGNTY"], ["FISCAL_SECRECY", "LIFE_SAFETY"]])
def test_sovereignty_and_safety_may_stay_unexplained(reasons: list[str]) -> None:
    message = changed("assist.refusal", {"/payload/explanation": ABSENT, "/payload/reasons": reasons})

    assert verdict(message) == set()


def test_cx_refusal_a_postponement_says_until_when() -> None:
    kind, pointer = "/payload/kind", "/payload/postponed_until"

    assert verdict(changed("assist.refusal", {kind: "POSTPONED"})) == {("CX-REFUSAL", pointer)}
    assert verdict(changed("assist.refusal", {kind: "POSTPONED", pointer: "2026-12-01"})) == set()


def test_cx_refusal_an_offer_names_its_conditions() -> None:
    kind, pointer = "/payload/kind", "/payload/conditions"

    assert verdict(changed("assist.refusal", {kind: "CONDITIONS_OFFERED"})) == {("CX-REFUSAL", pointer)}
    assert verdict(changed("assist.refusal", {kind: "CONDITIONS_OFFERED", pointer: []})) == {
        ("CX-REFUSAL", pointer)
    }
    assert verdict(changed("assist.refusal", {kind: "CONDITIONS_OFFERED", pointer: ["No court."]})) == set()


def test_cx_reply_a_part_announces_the_next() -> None:
    pointer = "/payload/next_part_by"

    assert verdict(changed("assist.reply", {pointer: ABSENT})) == {("CX-REPLY", pointer)}
    assert verdict(changed("assist.reply", {pointer: ABSENT, "/payload/status": "FINAL"})) == set()
