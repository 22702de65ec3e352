from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import changed, verdict

DISCHARGE = "/payload/consignment/discharge"
PLACE = "/payload/place"


def test_cx_consignment_goods_go_somewhere_else() -> None:
    assert verdict(changed("target.cargo_referral", {DISCHARGE: "ECGYE"})) == {("CX-CONSIGNMENT", DISCHARGE)}
    assert verdict(changed("target.cargo_referral", {DISCHARGE: "ECGYA"})) == set()


@pytest.mark.parametrize(
    "place",
    [
        {"unlocode": "FRLEH"},
        {"lat": "90", "lon": "180"},
        {"lat": "-90.000000", "lon": "-180.000000"},
        {"unlocode": "FRLEH", "lat": "49.5"},
    ],
)
def test_a_place_is_a_code_or_two_coordinates(place: dict[str, str]) -> None:
    assert verdict(changed("seizure.report", {PLACE: place})) == set()


@pytest.mark.parametrize(
    "place", [{"name": "Terminal T"}, {"lat": "49.5", "name": "Quay"}, {"lon": "0.1"}, {}]
)
def test_cx_pos_a_place_without_either_is_refused(place: dict[str, str]) -> None:
    assert verdict(changed("seizure.report", {PLACE: place})) == {("CX-POS", PLACE)}


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ({"lat": "90.00000001", "lon": "0"}, "lat"),
        ({"lat": "-90.00000001", "lon": "0"}, "lat"),
        ({"lat": "0", "lon": "180.00000001"}, "lon"),
        ({"lat": "0", "lon": "-180.00000001"}, "lon"),
    ],
)
def test_cx_pos_a_coordinate_beyond_the_globe_is_refused(place: dict[str, str], field: str) -> None:
    assert verdict(changed("seizure.report", {PLACE: place})) == {("CX-POS", f"{PLACE}/{field}")}


def test_cx_pos_both_coordinates_are_reported() -> None:
    assert verdict(changed("seizure.report", {PLACE: {"lat": "91", "lon": "181"}})) == {
        ("CX-POS", f"{PLACE}/lat"),
        ("CX-POS", f"{PLACE}/lon"),
    }
