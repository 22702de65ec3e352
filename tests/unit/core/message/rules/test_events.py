from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict


@pytest.mark.parametrize("name", ["event.bulletin", "event.movement_notice"])
def test_cx_event_the_event_is_named(name: str) -> None:
    assert verdict(changed(name)) == set()
    assert verdict(changed(name, {"/header/event": "PARIS2024"})) == set()
    assert verdict(changed(name, {"/header/event": ABSENT})) == {("CX-EVENT", "/header/event")}


def test_other_messages_need_not_name_one() -> None:
    assert verdict(changed("practice.share")) == set()
    assert verdict(changed("practice.share", {"/header/event": "LA2028"})) == set()


def test_cx_dates_a_bulletin_may_be_for_one_day_and_goods_leave_after_they_came() -> None:
    last_day, re_export = "/payload/valid_to", "/payload/re_export_by"

    assert verdict(changed("event.bulletin", {last_day: "2026-11-13"})) == set()
    assert verdict(changed("event.bulletin", {last_day: "2026-11-12"})) == {("CX-DATES", last_day)}
    assert verdict(changed("event.movement_notice", {re_export: "2028-07-06"})) == set()
    assert verdict(changed("event.movement_notice", {re_export: "2028-07-05"})) == {("CX-DATES", re_export)}


def test_cx_pos_a_place_alone_is_given_and_a_venue_may_be_known_by_its_name() -> None:
    nameless = {"name": "Stade Specimen"}

    assert verdict(changed("event.bulletin", {"/payload/venues": [nameless]})) == set()
    assert verdict(changed("event.movement_notice", {"/payload/entry": nameless})) == {
        ("CX-POS", "/payload/entry")
    }
    assert verdict(changed("facility.vulnerability", {"/payload/place": nameless})) == {
        ("CX-POS", "/payload/place")
    }


def test_ev_01_a_vulnerability_is_graded_and_a_bulletin_need_not_be() -> None:
    grade = {"scheme": "EU4X4", "source": "B", "information": "2"}

    assert verdict(changed("facility.vulnerability", {"/header/evaluation": ABSENT})) == {
        ("EV-01", "/header/evaluation")
    }
    assert verdict(changed("event.bulletin", {"/header/evaluation": grade})) == set()
