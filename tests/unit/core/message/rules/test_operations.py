from __future__ import annotations

from typing import Any

import pytest

from gateway.catalogue import read_catalogue
from tests.unit.core.message.rules.samples import ABSENT, ROOT, changed, example, verdict

MEMBERS = "/payload/members"
TYPES = "/payload/allowed_types"
ENDS = "/payload/ends_at"
STARTS_AT = "2026-11-17T12:00:00Z"


def open_until(ends_at: str) -> dict[str, Any]:
    return changed("ops.room_open", {"/payload/starts_at": STARTS_AT, ENDS: ends_at})


def member(agency: str, role: str = "PARTICIPANT", nation: str | None = None) -> dict[str, str]:
    return {"nation": nation or agency[:2], "agency": agency, "role": role}


@pytest.mark.parametrize(
    "members",
    [
        [member("FR.DGDDI.DNGCD"), member("US.CBP.AMO")],
        [member("FR.DGDDI.DNGCD", "LEAD"), member("US.CBP.AMO", "LEAD")],
        [member("FR.DGDDI.DNGCD", "LEAD"), member("US.CBP.AMO"), member("US.ICE.HSI", "OBSERVER")],
        [member("FR.ONAF", "OBSERVER"), member("US.CBP.OT", "OBSERVER")],
    ],
)
def test_a_room_has_members_of_both_nations(members: list[dict[str, str]]) -> None:
    assert verdict(changed("ops.room_open", {MEMBERS: members})) == set()


@pytest.mark.parametrize(
    "members",
    [
        [member("FR.DGDDI.DNGCD", "LEAD"), member("FR.DGDDI.DNRED")],
        [member("US.CBP.AMO", "LEAD"), member("US.ICE.HSI")],
        [member("FR.DGDDI.DNGCD", "LEAD"), member("FR.DGDDI.DNRED", "LEAD"), member("US.CBP.AMO")],
        [member("FR.DGDDI.DNGCD"), member("US.CBP.AMO", "LEAD"), member("US.ICE.HSI", "LEAD")],
        [member("FR.DGDDI.DNGCD"), member("FR.DGDDI.DNRED", nation="US")],
        [member("FR.DGDDI.DNGCD"), member("US.CBP.AMO"), member("US.ICE.HSI", nation="FR")],
    ],
    ids=["FR only", "US only", "two FR leads", "two US leads", "in disguise", "wrong nation"],
)
def test_cx_room_other_members_are_refused(members: list[dict[str, str]]) -> None:
    assert verdict(changed("ops.room_open", {MEMBERS: members})) == {("CX-ROOM", MEMBERS)}


def test_every_type_of_the_catalogue_may_be_used_in_a_room() -> None:
    types = sorted(read_catalogue(ROOT / "schemas").types)
    for start in range(0, len(types), 20):
        assert verdict(changed("ops.room_open", {TYPES: types[start : start + 20]})) == set()


@pytest.mark.parametrize(
    "named",
    ["ops.sitrep", "ops.sitrep/2", "ops.sitrep/01", "OPS.SITREP/1", "ops.rumour/1", "*", " ops.sitrep/1"],
)
def test_cx_room_a_type_that_the_catalogue_does_not_have_is_refused(named: str) -> None:
    assert verdict(changed("ops.room_open", {f"{TYPES}/-": named})) == {("CX-ROOM", TYPES)}


@pytest.mark.parametrize("ends_at", [STARTS_AT, "2027-02-15T12:00:00Z", "2027-02-16T11:59:59.999Z"])
def test_a_room_may_be_open_for_ninety_whole_days(ends_at: str) -> None:
    assert verdict(open_until(ends_at)) == set()


def test_cx_room_the_ninety_first_day_is_too_long() -> None:
    assert verdict(open_until("2027-02-16T12:00:00Z")) == {("CX-ROOM", ENDS)}


def test_cx_dates_a_room_does_not_end_before_it_begins() -> None:
    assert verdict(open_until("2026-11-17T11:59:59.999Z")) == {("CX-DATES", ENDS)}


@pytest.mark.parametrize("answer", ["AVAILABLE", "PARTLY"])
def test_cx_asset_an_asset_that_is_there_says_from_when(answer: str) -> None:
    message = changed("ops.asset_response", {"/payload/answer": answer, "/payload/on_station": ABSENT})

    assert verdict(message) == {("CX-ASSET", "/payload/on_station")}
    assert verdict(changed("ops.asset_response", {"/payload/answer": answer})) == set()


def test_an_asset_that_is_not_there_says_nothing() -> None:
    times = {"/payload/on_station": ABSENT, "/payload/off_station": ABSENT}

    assert verdict(changed("ops.asset_response", {"/payload/answer": "NOT_AVAILABLE", **times})) == set()


def in_room(type_name: str) -> dict[str, Any]:
    document = example(type_name)
    assert "room" in document["header"]["operation"]
    return document


@pytest.mark.parametrize("type_name", ["ops.sitrep", "ops.room_close", "ops.asset_request"])
def test_messages_of_a_room_have_its_pattern(type_name: str) -> None:
    assert in_room(type_name)["header"]["conversation"]["pattern"] == "ROOM"
    assert verdict(in_room(type_name)) == set()


def test_h06_an_asset_request_outside_a_room_has_a_pattern_of_its_own() -> None:
    outside = {"/header/operation": ABSENT}

    assert verdict(changed("ops.asset_request", outside)) == {("H-06", "/header/conversation/pattern")}
    assert (
        verdict(changed("ops.asset_request", {**outside, "/header/conversation/pattern": "REQUEST"})) == set()
    )
