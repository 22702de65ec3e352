from __future__ import annotations

import pytest

from gateway.core.message.instants import instant_ms
from tests.unit.core.message.rules.samples import ABSENT, changed, created_ms, example, stamp, verdict

FROM = "/payload/observed_from"
TO = "/payload/observed_to"


@pytest.mark.parametrize(
    "changes",
    [
        {FROM: "2026-09-01", TO: "2026-09-01"},
        {FROM: "2026-09-01", TO: "2026-09-02"},
        {FROM: ABSENT, TO: "1999-01-01"},
        {TO: ABSENT},
    ],
)
def test_a_period_may_last_a_day_and_may_lack_a_side(changes: dict[str, object]) -> None:
    assert verdict(changed("intel.spontaneous", changes)) == set()


def test_cx_dates_a_period_that_ends_before_it_begins_is_refused() -> None:
    message = changed("intel.spontaneous", {FROM: "2026-09-02", TO: "2026-09-01"})

    assert verdict(message) == {("CX-DATES", TO)}


@pytest.mark.parametrize(
    ("ended_at", "broken"),
    [
        ("2026-11-11T09:05:00.001Z", set()),
        ("2026-11-11T09:05:00Z", {("CX-DATES", "/payload/ended_at")}),
        ("2026-11-11T09:04:59.999Z", {("CX-DATES", "/payload/ended_at")}),
    ],
)
def test_cx_dates_an_examination_takes_time(ended_at: str, broken: set[tuple[str, str]]) -> None:
    assert verdict(changed("inspect.result", {"/payload/ended_at": ended_at})) == broken


ETD = "/payload/consignment/etd"
ETA = "/payload/consignment/eta"


def test_cx_dates_an_arrival_does_not_precede_its_departure() -> None:
    # Instants are compared, not texts: as text the second would come first.
    good = {ETD: "2026-11-05T06:00:00.000Z", ETA: "2026-11-05T06:00:00Z"}
    bad = {ETD: "2026-11-05T06:00:00.001Z", ETA: "2026-11-05T06:00:00Z"}

    assert verdict(changed("target.cargo_referral", good)) == set()
    assert verdict(changed("target.cargo_referral", bad)) == {("CX-DATES", ETA)}


@pytest.mark.parametrize("missing", [ETD, ETA])
def test_a_consignment_may_lack_a_time(missing: str) -> None:
    assert verdict(changed("target.cargo_referral", {missing: ABSENT})) == set()


@pytest.mark.parametrize(
    ("sta", "broken"),
    [
        ("2026-11-04T23:30:00.001Z", set()),
        ("2026-11-04T23:30:00Z", {("CX-DATES", "/payload/flight/sta")}),
        ("2026-11-04T23:29:59Z", {("CX-DATES", "/payload/flight/sta")}),
        (ABSENT, set()),
    ],
)
def test_cx_dates_a_flight_takes_time(sta: object, broken: set[tuple[str, str]]) -> None:
    message = changed(
        "target.pax_referral", {"/payload/flight/std": "2026-11-04T23:30:00Z", "/payload/flight/sta": sta}
    )

    assert verdict(message) == broken


REPORTED = [
    ("seizure.report", "/payload/seized_at"),
    ("alert.response", "/payload/at"),
    ("target.disposition", "/payload/done_at"),
    ("ops.sitrep", "/payload/as_of"),
]


@pytest.mark.parametrize(("type_name", "pointer"), REPORTED)
def test_what_is_reported_may_have_happened_at_the_instant_of_creation(type_name: str, pointer: str) -> None:
    created = created_ms(example(type_name))

    assert verdict(changed(type_name, {pointer: stamp(created)})) == set()


@pytest.mark.parametrize(("type_name", "pointer"), REPORTED)
def test_cx_past_what_is_reported_is_not_after_creation(type_name: str, pointer: str) -> None:
    created = created_ms(example(type_name))
    message = changed(type_name, {pointer: stamp(created + 1)})

    # Measured against the message, whatever the node's clock says.
    assert verdict(message, now_ms=created + 60_000) == {("CX-PAST", pointer)}


ACTIONS = ["target.cargo_referral", "target.preload_referral", "target.pax_referral", "alert.urgent"]


@pytest.mark.parametrize("type_name", ACTIONS)
def test_cx_actbefore_a_deadline_for_action_is_ahead(type_name: str) -> None:
    created = created_ms(example(type_name))
    pointer = "/payload/act_before"

    assert verdict(changed(type_name, {pointer: stamp(created + 1)})) == set()
    assert verdict(changed(type_name, {pointer: stamp(created)})) == {("CX-ACTBEFORE", pointer)}


def test_cx_neededby_an_examination_precedes_the_departure() -> None:
    etd = example("inspect.request")["payload"]["consignment"]["etd"]
    pointer = "/payload/needed_by"

    assert verdict(changed("inspect.request", {pointer: etd})) == set()
    assert verdict(changed("inspect.request", {pointer: stamp(instant_ms(etd) + 1)})) == {
        ("CX-NEEDEDBY", pointer)
    }


def test_an_examination_of_what_does_not_leave_may_be_needed_at_any_time() -> None:
    message = changed("inspect.request", {ETD: ABSENT, "/payload/needed_by": "2027-01-01T00:00:00Z"})

    assert verdict(message) == set()


PERIODS = [
    ("intel.threat_assessment", "period_from", "period_to"),
    ("target.risk_rule", "valid_from", "valid_to"),
    ("invest.deconfliction", "window_from", "window_to"),
    ("invest.controlled_delivery_decision", "valid_from", "valid_to"),
    ("ops.room_open", "starts_at", "ends_at"),
]


@pytest.mark.parametrize(("type_name", "start", "end"), PERIODS)
def test_cx_dates_a_period_of_any_type_may_last_no_time_but_not_less(
    type_name: str, start: str, end: str
) -> None:
    begins = example(type_name)["payload"][start]
    earlier = "2026-01-01" + begins[len("YYYY-MM-DD") :]

    assert verdict(changed(type_name, {f"/payload/{end}": begins})) == set()
    assert verdict(changed(type_name, {f"/payload/{end}": earlier})) == {("CX-DATES", f"/payload/{end}")}


STRICT_PERIODS = [
    ("invest.controlled_delivery_request", "window_from", "window_to"),
    ("ops.asset_request", "from", "to"),
    ("ops.asset_response", "on_station", "off_station"),
    ("ops.sitrep", "as_of", "next_due"),
]


@pytest.mark.parametrize(("type_name", "start", "end"), STRICT_PERIODS)
def test_cx_dates_where_the_catalogue_says_later_the_end_is_later(
    type_name: str, start: str, end: str
) -> None:
    begins_ms = instant_ms(example(type_name)["payload"][start])
    pointer = f"/payload/{end}"

    assert verdict(changed(type_name, {pointer: stamp(begins_ms + 1)})) == set()
    assert verdict(changed(type_name, {pointer: stamp(begins_ms)})) == {("CX-DATES", pointer)}
    assert verdict(changed(type_name, {pointer: stamp(begins_ms - 1)})) == {("CX-DATES", pointer)}


@pytest.mark.parametrize(
    ("type_name", "missing"),
    [
        ("ops.sitrep", "next_due"),
        ("ops.asset_response", "off_station"),
        ("invest.controlled_delivery_decision", "conditions"),
    ],
)
def test_a_period_without_an_end_is_good_where_the_end_is_optional(type_name: str, missing: str) -> None:
    more = {"/payload/decision": "AUTHORISED"} if missing == "conditions" else {}

    assert verdict(changed(type_name, {f"/payload/{missing}": ABSENT, **more})) == set()
