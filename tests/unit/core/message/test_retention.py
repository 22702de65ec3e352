"""When the content of a message has to go, from the message alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.instants import DAY_MS, HOUR_MS, day_of_date, instant_ms
from gateway.core.message.retention import AT_ONCE, Ending, Ground, Retention, ending_of, retention_of
from gateway.core.message.terms import TypeTerms

CREATED = "2026-11-23T10:30:00Z"
TARGET = "01a20847-0135-7993-b063-b5d5cb27d3ff"


def terms(keep_days: int) -> TypeTerms:
    return replace(read_catalogue().type("assist.request/1").terms, keep_days=keep_days)


def message(
    type_id: str = "assist.request/1",
    *,
    payload: dict[str, Any] | None = None,
    protection: dict[str, Any] | None = None,
    conversation: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "type": type_id,
        "header": {
            "created_at": CREATED,
            "conversation": conversation or {},
            "data_protection": protection or {"contains_personal_data": False},
        },
        "payload": payload or {},
    }


def after(day: str) -> int:
    return (day_of_date(day) + 1) * DAY_MS


def test_a_message_without_personal_data_is_kept_as_long_as_its_type_allows() -> None:
    assert retention_of(message(), terms(365)) == Retention(
        erase_ms=after("2027-11-23"), ground=Ground.RETENTION
    )


def test_the_last_day_that_a_message_names_is_over_at_its_end_in_utc() -> None:
    protection = {"contains_personal_data": True, "delete_by": "2027-01-05"}
    found = retention_of(message(protection=protection), terms(1_825))
    assert found == Retention(erase_ms=after("2027-01-05"), ground=Ground.DELETE_BY)
    assert found.erase_ms == instant_ms("2027-01-06T00:00:00Z")


def test_of_two_equal_dates_the_one_that_the_message_names_is_the_ground() -> None:
    protection = {"contains_personal_data": True, "delete_by": "2026-11-30"}
    assert retention_of(message(protection=protection), terms(7)).ground is Ground.DELETE_BY


def test_a_date_to_delete_data_that_are_none_changes_nothing() -> None:
    protection = {"contains_personal_data": False, "delete_by": "2026-11-24"}
    assert retention_of(message(protection=protection), terms(7)).ground is Ground.RETENTION


def test_a_type_that_keeps_no_day_is_kept_for_the_one_that_the_rules_allow() -> None:
    assert retention_of(message(), terms(0)).erase_ms == after("2026-11-24")


def test_matching_tokens_go_after_the_hours_that_the_query_names() -> None:
    found = retention_of(message("match.query/1", payload={"destroy_after_h": 24}), terms(1))
    assert found == Retention(erase_ms=instant_ms(CREATED) + 24 * HOUR_MS, ground=Ground.TOKENS)


def test_most_messages_order_nothing() -> None:
    assert ending_of(message()) is None


def test_a_retraction_ends_its_target_at_once() -> None:
    found = ending_of(message("gov.retraction/1", payload={"target": TARGET, "delete": True}))
    assert found == Ending(
        target=UUID(TARGET).bytes, retention=Retention(erase_ms=AT_ONCE, ground=Ground.RETRACTION)
    )


def test_a_retraction_that_does_not_ask_for_deletion_ends_nothing() -> None:
    assert ending_of(message("gov.retraction/1", payload={"target": TARGET, "delete": False})) is None


def test_a_cancelled_request_ends_with_its_data_only_if_that_is_asked() -> None:
    conversation = {"in_reply_to": TARGET}
    asked = message("assist.cancel/1", payload={"delete_data": True}, conversation=conversation)
    found = ending_of(asked)
    assert found is not None
    assert (found.target, found.retention.ground) == (UUID(TARGET).bytes, Ground.CANCELLATION)
    kept = message("assist.cancel/1", payload={"delete_data": False}, conversation=conversation)
    assert ending_of(kept) is None


@pytest.mark.parametrize(
    ("effective", "expected"),
    [
        ("2026-12-01T00:00:00Z", "2027-02-02T00:00:00Z"),
        # A day that is over when the change takes effect: then the content goes at that moment.
        ("2027-03-01T08:00:00Z", "2027-03-01T08:00:00Z"),
    ],
)
def test_a_change_of_use_moves_the_date_from_when_it_takes_effect(effective: str, expected: str) -> None:
    payload = {"target": TARGET, "delete_by": "2027-02-01", "effective": effective}
    found = ending_of(message("gov.use_change/1", payload=payload))
    assert found is not None
    assert found.retention == Retention(erase_ms=instant_ms(expected), ground=Ground.USE_CHANGE)


def test_a_change_of_use_that_names_no_day_moves_no_date() -> None:
    payload = {"target": TARGET, "effective": "2026-12-01T00:00:00Z"}
    assert ending_of(message("gov.use_change/1", payload=payload)) is None
