from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.core.message.instants import instant_ms
from tests.unit.core.message.rules.samples import ABSENT, changed, created_ms, example, stamp, verdict

VESSEL = {"ref": "v1", "kind": "VESSEL"}
CRAFT = [
    ("marine.vessel_alert", "vessel"),
    ("marine.boarding_request", "vessel"),
    ("marine.track_report", "target"),
    ("air.aircraft_alert", "aircraft"),
]


def with_craft(type_name: str, field: str, craft: dict[str, Any]) -> set[tuple[str, str]]:
    return verdict(changed(type_name, {f"/payload/{field}": craft}))


@pytest.mark.parametrize(
    "known", [{"imo": "9999993"}, {"mmsi": "371000017"}, {"name": "SPECIMEN"}, {"description": "Grey hull"}]
)
@pytest.mark.parametrize(("type_name", "field"), CRAFT[:3])
def test_a_vessel_is_told_by_any_one_of_four_fields(
    type_name: str, field: str, known: dict[str, str]
) -> None:
    assert with_craft(type_name, field, {**VESSEL, **known}) == set()


@pytest.mark.parametrize(("type_name", "field"), CRAFT[:3])
def test_cx_vessel_a_vessel_that_nothing_tells_from_others_is_refused(type_name: str, field: str) -> None:
    # A flag, a call sign and a hull number do not count: many share them, or they come and go.
    vague = {**VESSEL, "flag": "PA", "call_sign": "HP00", "hin": "FR-ZZZ00001A626"}

    assert with_craft(type_name, field, vague) == {("CX-VESSEL", f"/payload/{field}")}


@pytest.mark.parametrize("kind", ["SMALL_CRAFT", "SEMI_SUBMERSIBLE"])
@pytest.mark.parametrize(("type_name", "field"), CRAFT[:3])
def test_other_craft_at_sea_need_not_be_told(type_name: str, field: str, kind: str) -> None:
    assert with_craft(type_name, field, {"ref": "v1", "kind": kind}) == set()


@pytest.mark.parametrize("kind", ["AIRCRAFT", "DRONE", "ROAD_VEHICLE"])
@pytest.mark.parametrize(("type_name", "field"), CRAFT[:2])
def test_cx_vessel_what_does_not_float_is_no_vessel(type_name: str, field: str, kind: str) -> None:
    assert with_craft(type_name, field, {"ref": "v1", "kind": kind}) == {
        ("CX-VESSEL", f"/payload/{field}/kind")
    }


@pytest.mark.parametrize("kind", ["AIRCRAFT", "DRONE", "ROAD_VEHICLE"])
def test_a_target_may_be_of_any_kind(kind: str) -> None:
    assert with_craft("marine.track_report", "target", {"ref": "v1", "kind": kind}) == set()


@pytest.mark.parametrize(
    ("kind", "broken"),
    [("AIRCRAFT", False), ("DRONE", False), ("SMALL_CRAFT", True), ("ROAD_VEHICLE", True)],
)
def test_cx_vessel_an_aircraft_flies(kind: str, broken: bool) -> None:
    expected = {("CX-VESSEL", "/payload/aircraft/kind")} if broken else set()

    assert with_craft("air.aircraft_alert", "aircraft", {"ref": "v1", "kind": kind}) == expected


def test_cx_vessel_kind_and_missing_name_are_both_reported() -> None:
    assert with_craft("air.aircraft_alert", "aircraft", VESSEL) == {
        ("CX-VESSEL", "/payload/aircraft"),
        ("CX-VESSEL", "/payload/aircraft/kind"),
    }


# --- CX-TRACK -------------------------------------------------------------------------

START = instant_ms("2026-11-05T03:00:00Z")


def position(after: timedelta, lat: str, lon: str, **more: str) -> dict[str, str]:
    milliseconds = START + after // timedelta(milliseconds=1)
    return {"at": stamp(milliseconds), "lat": lat, "lon": lon, "source": "RADAR", **more}


def track(*positions: dict[str, str], kind: str = "SMALL_CRAFT") -> set[tuple[str, str]]:
    target = {"ref": "v1", "kind": kind, "description": "Grey hull"}
    return verdict(
        changed("marine.track_report", {"/payload/positions": list(positions), "/payload/target": target})
    )


NO_TIME, SECOND, HOUR = timedelta(), timedelta(seconds=1), timedelta(hours=1)


def test_a_track_may_be_one_position() -> None:
    assert track(position(NO_TIME, "14.25", "-61.75")) == set()


def test_a_craft_may_stay_where_it_is() -> None:
    assert track(position(NO_TIME, "14.25", "-61.75"), position(HOUR, "14.25", "-61.75")) == set()


def test_cx_track_positions_are_in_strict_order_of_time() -> None:
    # Only the order is reported: no time passed, so there is no speed.
    same = track(
        position(NO_TIME, "14.25", "-61.75"),
        position(NO_TIME, "50", "0"),
        position(SECOND, "50", "0"),
    )
    earlier = track(position(SECOND, "14.25", "-61.75"), position(NO_TIME, "14.25", "-61.75"))

    assert same == {("CX-TRACK", "/payload/positions/1/at")}
    assert earlier == {("CX-TRACK", "/payload/positions/1/at")}


def test_a_millisecond_is_later_whatever_the_text_looks_like() -> None:
    first = {**position(NO_TIME, "14.25", "-61.75"), "at": "2026-11-05T03:00:00Z"}
    second = {**position(NO_TIME, "14.25", "-61.75"), "at": "2026-11-05T03:00:00.001Z"}

    assert track(first, second) == set()
    assert track(second, first) == {("CX-TRACK", "/payload/positions/1/at")}


# 120 nautical miles are 120 / 3440.065 radians on the great circle, and eight decimals of a
# degree are the finest step that a position has: about a millimetre.
@pytest.mark.parametrize("kind", ["VESSEL", "SMALL_CRAFT", "SEMI_SUBMERSIBLE", "ROAD_VEHICLE"])
@pytest.mark.parametrize(("lat", "broken"), [("1.99865221", False), ("1.99865222", True)])
def test_cx_track_nothing_is_faster_than_120_knots(kind: str, lat: str, broken: bool) -> None:
    found = track(position(NO_TIME, "0", "0"), position(HOUR, lat, "0"), kind=kind)

    assert found == ({("CX-TRACK", "/payload/positions/1")} if broken else set())


@pytest.mark.parametrize("kind", ["AIRCRAFT", "DRONE"])
@pytest.mark.parametrize(("lon", "broken"), [("19.98652217", False), ("19.98652218", True)])
def test_cx_track_in_the_air_nothing_is_faster_than_1200_knots(kind: str, lon: str, broken: bool) -> None:
    found = track(position(NO_TIME, "0", "0"), position(HOUR, "0", lon), kind=kind)

    assert found == ({("CX-TRACK", "/payload/positions/1")} if broken else set())


def test_the_way_across_the_date_line_is_short() -> None:
    assert track(position(NO_TIME, "-17", "179.9"), position(HOUR, "-17", "-179.9")) == set()


def test_cx_track_the_longest_way_on_the_globe_is_measured() -> None:
    # Half round the globe, 10,807 miles: 90 hours are just too few at 120 knots, 91 are enough.
    found = [
        track(position(NO_TIME, "12.5", "-61.3"), position(hours * HOUR, "-12.5", "118.7"))
        for hours in (90, 91)
    ]

    assert found == [{("CX-TRACK", "/payload/positions/1")}, set()]


def test_cx_track_each_leap_is_reported_at_the_later_position() -> None:
    found = track(
        position(NO_TIME, "14.00", "-61"),
        position(SECOND, "14.10", "-61"),
        position(2 * SECOND, "14.10", "-61"),
        position(3 * SECOND, "14.00", "-61"),
    )

    assert found == {("CX-TRACK", "/payload/positions/1"), ("CX-TRACK", "/payload/positions/3")}


def test_a_reported_speed_is_not_compared() -> None:
    assert (
        track(position(NO_TIME, "14", "-61", sog_kn="900"), position(HOUR, "14", "-61", sog_kn="900"))
        == set()
    )


@pytest.mark.parametrize(("lat", "lon", "field"), [("900", "0", "lat"), ("0", "999.5", "lon")])
def test_there_is_no_way_to_a_place_that_is_not_on_the_globe(lat: str, lon: str, field: str) -> None:
    found = track(
        position(NO_TIME, "14", "-61"), position(SECOND, lat, lon), position(2 * SECOND, "14", "-61")
    )

    assert found == {("CX-POS", f"/payload/positions/1/{field}")}


def test_cx_pos_positions_of_alerts_and_requests_are_on_the_globe() -> None:
    for type_name, field in (
        ("marine.vessel_alert", "last_position"),
        ("air.aircraft_alert", "last_position"),
        ("marine.boarding_request", "position"),
    ):
        at = f"/payload/{field}"
        assert verdict(changed(type_name, {f"{at}/lat": "90", f"{at}/lon": "-180"})) == set()
        assert verdict(changed(type_name, {f"{at}/lat": "90.1", f"{at}/lon": "-180.1"})) == {
            ("CX-POS", f"{at}/lat"),
            ("CX-POS", f"{at}/lon"),
        }


# --- CX-BOARD -------------------------------------------------------------------------

FLAG = "/payload/vessel/flag"
MMSI = "/payload/vessel/mmsi"
BASIS = "/payload/basis"


@pytest.mark.parametrize("flag", ["FR", "PA", ABSENT])
def test_consent_may_be_asked_for_any_flag_but_the_own(flag: object) -> None:
    message = example("marine.boarding_request")
    assert message["header"]["from"]["nation"] == "US"

    changes = {BASIS: "FLAG_CONSENT"} if flag is ABSENT else {BASIS: "FLAG_CONSENT", FLAG: flag}
    assert verdict(changed("marine.boarding_request", changes)) == set()


def test_cx_board_nobody_asks_for_consent_under_the_own_flag() -> None:
    own = {FLAG: "US", MMSI: "338000013"}

    assert verdict(changed("marine.boarding_request", {BASIS: "FLAG_CONSENT", **own})) == {("CX-BOARD", FLAG)}
    for basis in ("STATELESS", "TERRITORIAL_WATERS", "CONTIGUOUS_ZONE"):
        assert verdict(changed("marine.boarding_request", {BASIS: basis, **own})) == set()


def test_cx_board_the_boarding_is_planned_after_the_position() -> None:
    planned_at = "/payload/planned_at"
    seen_ms = instant_ms(example("marine.boarding_request")["payload"]["position"]["at"])

    assert verdict(changed("marine.boarding_request", {planned_at: stamp(seen_ms + 1)})) == set()
    assert verdict(changed("marine.boarding_request", {planned_at: stamp(seen_ms)})) == {
        ("CX-BOARD", planned_at)
    }


# --- CX-BOARDDEC, without the request -------------------------------------------------

DECISION = "/payload/decision"
UNTIL = "/payload/valid_until"
CONDITIONS = "/payload/conditions"
CREATED = created_ms(example("marine.boarding_decision"))


@pytest.mark.parametrize("decision", ["CONSENT", "CONSENT_WITH_CONDITIONS"])
def test_cx_boarddec_a_consent_has_an_end_that_is_ahead(decision: str) -> None:
    def found(until: object) -> set[tuple[str, str]]:
        return verdict(changed("marine.boarding_decision", {DECISION: decision, UNTIL: until}))

    assert found(stamp(CREATED + 1)) == set()
    assert found(stamp(CREATED)) == {("CX-BOARDDEC", UNTIL)}
    assert found(ABSENT) == {("CX-BOARDDEC", UNTIL)}


@pytest.mark.parametrize("conditions", [[], ABSENT])
def test_cx_boarddec_conditions_are_said(conditions: object) -> None:
    with_conditions = {DECISION: "CONSENT_WITH_CONDITIONS", CONDITIONS: conditions}
    without = {DECISION: "CONSENT", CONDITIONS: conditions}

    assert verdict(changed("marine.boarding_decision", with_conditions)) == {("CX-BOARDDEC", CONDITIONS)}
    assert verdict(changed("marine.boarding_decision", without)) == set()


@pytest.mark.parametrize("decision", ["REFUSED", "NATIONALITY_NOT_CONFIRMED"])
def test_what_is_no_consent_needs_neither_end_nor_conditions(decision: str) -> None:
    message = changed(
        "marine.boarding_decision",
        {DECISION: decision, UNTIL: ABSENT, CONDITIONS: ABSENT, "/payload/steps": []},
    )

    assert verdict(message) == set()
