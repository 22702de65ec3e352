from __future__ import annotations

import pytest

from gateway.core.message.instants import DAY_MS, MINUTE_MS
from tests.unit.core.message.rules.samples import ABSENT, changed, created_ms, example, stamp, verdict

CREATED_MS = created_ms(example("intel.spontaneous"))
OTHER_ID = "01a19b53-73a0-74a9-be21-000000000001"


def id_drawn_at(milliseconds: int) -> str:
    drawn = f"{milliseconds:012x}"
    return f"{drawn[:8]}-{drawn[8:]}-74a9-be21-29270e87b654"


@pytest.mark.parametrize("skew_ms", [-5 * MINUTE_MS, 0, 5 * MINUTE_MS])
def test_an_id_drawn_within_five_minutes_of_creation_is_good(skew_ms: int) -> None:
    message = changed("intel.spontaneous", {"/header/message_id": id_drawn_at(CREATED_MS + skew_ms)})

    assert verdict(message) == set()


@pytest.mark.parametrize("skew_ms", [-5 * MINUTE_MS - 1, 5 * MINUTE_MS + 1])
def test_h01_an_id_drawn_a_millisecond_further_away_is_refused(skew_ms: int) -> None:
    message = changed("intel.spontaneous", {"/header/message_id": id_drawn_at(CREATED_MS + skew_ms)})

    assert verdict(message) == {("H-01", "/header/message_id")}


@pytest.mark.parametrize("life_ms", [1, 30 * DAY_MS])
def test_a_life_of_a_millisecond_to_thirty_days_is_good(life_ms: int) -> None:
    message = changed("intel.spontaneous", {"/header/expires_at": stamp(CREATED_MS + life_ms)})

    assert verdict(message) == set()


@pytest.mark.parametrize("life_ms", [-1, 0, 30 * DAY_MS + 1])
def test_h02_a_shorter_or_longer_life_is_refused(life_ms: int) -> None:
    message = changed("intel.spontaneous", {"/header/expires_at": stamp(CREATED_MS + life_ms)})

    assert verdict(message) == {("H-02", "/header/expires_at")}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"/header/from/agency": "US.ICE.HSI"}, "/header/from/agency"),
        ({"/header/from/officer_ref": "us-7c1e09d2a4b6"}, "/header/from/officer_ref"),
        ({"/header/to/0": {"nation": "FR", "agency": "FR.DGDDI.DNRED"}}, "/header/to/0"),
        ({"/header/to/0": {"nation": "US", "agency": "FR.DGDDI.DNRED"}}, "/header/to/0"),
        ({"/header/to/-": {"nation": "FR", "agency": "FR.DGDDI.SARC"}}, "/header/to/1"),
    ],
)
def test_h03_names_whoever_stands_on_the_wrong_side(changes: dict[str, object], pointer: str) -> None:
    assert verdict(changed("intel.spontaneous", changes)) == {("H-03", pointer)}


def test_h03_reports_each_of_its_conditions() -> None:
    message = changed(
        "intel.spontaneous",
        {
            "/header/from/agency": "US.ICE.HSI",
            "/header/from/officer_ref": "us-7c1e09d2a4b6",
            "/header/to/0/nation": "FR",
        },
    )

    assert verdict(message) == {
        ("H-03", "/header/from/agency"),
        ("H-03", "/header/from/officer_ref"),
        ("H-03", "/header/to/0"),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"/header/from/agency": "FR.SCL"},
        {"/header/to/0/agency": "US.CBP.OT"},
        {"/header/to/-": {"nation": "US", "agency": "US.CBP.LSS"}},
    ],
)
def test_h04_an_agency_outside_the_agreed_pairs_is_refused(changes: dict[str, object]) -> None:
    assert verdict(changed("intel.spontaneous", changes)) == {("H-04", "/header")}


@pytest.mark.parametrize(
    "changes",
    [
        {"/header/from/agency": "FR.DGDDI.SARC"},
        {"/header/to/-": {"nation": "US", "agency": "US.CBP.NTC"}},
    ],
)
def test_every_agency_of_the_agreed_pairs_may_take_part(changes: dict[str, object]) -> None:
    assert verdict(changed("intel.spontaneous", changes)) == set()


def test_h05_a_reply_names_what_it_answers() -> None:
    message = changed("assist.refusal", {"/header/conversation/in_reply_to": ABSENT})

    assert verdict(message) == {("H-05", "/header/conversation")}


def test_h05_a_type_that_only_opens_answers_nothing() -> None:
    message = changed("assist.request", {"/header/conversation/in_reply_to": OTHER_ID})

    assert verdict(message) == {("H-05", "/header/conversation")}


def test_a_type_with_threads_may_name_an_earlier_message() -> None:
    message = changed("intel.spontaneous", {"/header/conversation/in_reply_to": OTHER_ID})

    assert verdict(message) == set()


def test_h06_an_opening_message_has_the_pattern_of_its_type() -> None:
    message = changed("intel.spontaneous", {"/header/conversation/pattern": "REQUEST"})

    assert verdict(message) == {("H-06", "/header/conversation/pattern")}


@pytest.mark.parametrize(
    ("type_name", "changes"),
    [
        ("intel.spontaneous", {"/header/conversation/in_reply_to": OTHER_ID}),
        ("intel.spontaneous", {"/header/operation": {"code": "OP-ALIZE26", "room": OTHER_ID}}),
        ("assist.refusal", {}),
    ],
)
def test_a_message_within_a_conversation_may_have_its_pattern(
    type_name: str, changes: dict[str, object]
) -> None:
    message = changed(type_name, {**changes, "/header/conversation/pattern": "ROOM"})

    assert verdict(message) == set()


def test_h06_an_operation_without_a_room_excuses_nothing() -> None:
    message = changed(
        "intel.spontaneous",
        {"/header/operation": {"code": "OP-ALIZE26"}, "/header/conversation/pattern": "ROOM"},
    )

    assert verdict(message) == {("H-06", "/header/conversation/pattern")}


REFERRAL_MS = created_ms(example("target.cargo_referral"))


@pytest.mark.parametrize("reply_by", [ABSENT, stamp(REFERRAL_MS), stamp(REFERRAL_MS - 1)])
def test_h07_who_awaits_an_answer_says_by_when(reply_by: object) -> None:
    message = changed("target.cargo_referral", {"/header/reply_by": reply_by})

    assert verdict(message) == {("H-07", "/header/reply_by")}


def test_a_deadline_a_millisecond_after_creation_is_good() -> None:
    message = changed("target.cargo_referral", {"/header/reply_by": stamp(REFERRAL_MS + 1)})

    assert verdict(message) == set()


def test_a_deadline_on_a_type_that_awaits_nothing_is_not_examined() -> None:
    message = changed("intel.spontaneous", {"/header/reply_by": stamp(CREATED_MS - 1)})

    assert verdict(message) == set()


def test_h08_flash_is_kept_for_the_types_that_allow_it() -> None:
    message = changed("intel.spontaneous", {"/header/precedence": "FLASH"})

    assert verdict(message) == {("H-08", "/header/precedence")}


@pytest.mark.parametrize("type_name", ["alert.urgent", "alert.response", "assist.ack", "assist.refusal"])
def test_alerts_and_replies_may_be_flash(type_name: str) -> None:
    assert verdict(changed(type_name, {"/header/precedence": "FLASH"})) == set()


def test_h08_a_reply_type_that_answers_nothing_is_not_excused() -> None:
    message = changed(
        "assist.ack", {"/header/precedence": "FLASH", "/header/conversation/in_reply_to": ABSENT}
    )

    assert verdict(message) == {("H-05", "/header/conversation"), ("H-08", "/header/precedence")}


def test_a_clock_that_is_five_minutes_behind_is_good() -> None:
    assert verdict(example("intel.spontaneous"), now_ms=CREATED_MS - 5 * MINUTE_MS) == set()


def test_h09_a_clock_that_is_further_behind_refuses() -> None:
    assert verdict(example("intel.spontaneous"), now_ms=CREATED_MS - 5 * MINUTE_MS - 1) == {
        ("H-09", "/header/created_at")
    }


def test_a_message_is_good_until_the_instant_it_expires() -> None:
    assert verdict(example("intel.spontaneous"), now_ms=CREATED_MS + 7 * DAY_MS) == set()


def test_h10_a_message_is_refused_a_millisecond_after_it_expired() -> None:
    assert verdict(example("intel.spontaneous"), now_ms=CREATED_MS + 7 * DAY_MS + 1) == {
        ("H-10", "/header/expires_at")
    }


def test_h10_is_silent_when_the_life_itself_is_wrong() -> None:
    message = changed("intel.spontaneous", {"/header/expires_at": stamp(CREATED_MS)})

    assert verdict(message, now_ms=CREATED_MS + DAY_MS) == {("H-02", "/header/expires_at")}


# --- Types that answer their own kind -------------------------------------------------

TWO_HALVES = ["invest.deconfliction", "invest.joint_case"]


@pytest.mark.parametrize("type_name", TWO_HALVES)
def test_a_type_that_answers_its_own_kind_opens_and_answers(type_name: str) -> None:
    opener, answer = example(type_name), example(type_name, number=1)

    assert "in_reply_to" not in opener["header"]["conversation"]
    assert "in_reply_to" in answer["header"]["conversation"]
    assert verdict(opener) == set()
    assert verdict(answer) == set()


def test_h07_only_the_first_half_of_a_deconfliction_awaits_an_answer() -> None:
    reply_by = "/header/reply_by"
    answer = changed("invest.deconfliction", {}, number=1)

    assert reply_by not in answer["header"]
    assert verdict(answer) == set()
    assert verdict(changed("invest.deconfliction", {reply_by: ABSENT})) == {("H-07", reply_by)}


def test_a_case_proposal_awaits_nothing() -> None:
    assert "reply_by" not in example("invest.joint_case")["header"]


@pytest.mark.parametrize("type_name", TWO_HALVES)
def test_the_second_half_may_keep_the_pattern_of_its_conversation(type_name: str) -> None:
    pattern = {"/header/conversation/pattern": "ROOM"}

    # By its type it is a reply type, so its first half may too.
    assert verdict(changed(type_name, pattern)) == set()
    assert verdict(changed(type_name, pattern, number=1)) == set()


def test_a_withdrawal_may_name_what_it_withdraws_or_nothing() -> None:
    alone = {
        "/header/conversation": {
            "id": example("assist.cancel")["header"]["message_id"],
            "pattern": "REQUEST",
            "seq": 1,
        }
    }

    assert verdict(example("assist.cancel")) == set()
    assert verdict(changed("assist.cancel", alone)) == set()


@pytest.mark.parametrize(
    "type_name", ["target.preload_referral", "ops.sitrep", "ops.asset_request", "ops.asset_response"]
)
def test_more_types_that_may_be_flash(type_name: str) -> None:
    assert verdict(changed(type_name, {"/header/precedence": "FLASH"})) == set()


@pytest.mark.parametrize(
    "type_name", ["ops.room_open", "ops.room_close", "match.query", "invest.controlled_delivery_request"]
)
def test_h08_more_types_that_may_not(type_name: str) -> None:
    assert verdict(changed(type_name, {"/header/precedence": "FLASH"})) == {("H-08", "/header/precedence")}


@pytest.mark.parametrize(
    ("type_name", "agency"),
    [
        ("match.query", "US.CBP.NTC"),
        ("lab.result", "US.ICE.HSI"),
        ("ops.asset_request", "US.CBP"),
        ("intel.modus_operandi", "US.CBP.AMO"),
    ],
)
def test_each_type_goes_to_the_agencies_of_its_pairs(type_name: str, agency: str) -> None:
    to = "/header/to/0/agency"

    assert verdict(changed(type_name, {to: agency})) == set()
    assert verdict(changed(type_name, {to: "US.CBP.OT"})) == {("H-04", "/header")}
