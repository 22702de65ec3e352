from __future__ import annotations

import pytest

from gateway.core.message.instants import DAY_MS
from tests.unit.core.message.rules.samples import ABSENT, changed, created_ms, example, stamp, verdict

TOKENS = "/payload/tokens"
KEY = "/payload/key_id"
METHOD = "/payload/method"
RESULTS = "/payload/results"
FOLLOW_UP = "/payload/follow_up_by"
UNIT = "/payload/contact_unit"
TOKEN = {"field": "IMEI", "token": "x" * 43}


def test_cx_tokens_each_token_has_an_index_of_its_own() -> None:
    assert verdict(changed("match.query", {f"{TOKENS}/2/idx": 0})) == {("CX-TOKENS", TOKENS)}
    assert verdict(changed("match.query", {f"{TOKENS}/-": {**TOKEN, "idx": 2}})) == {("CX-TOKENS", TOKENS)}


@pytest.mark.parametrize("index", [3, 7, 9999])
def test_indexes_may_have_gaps_and_come_in_any_order(index: int) -> None:
    assert verdict(changed("match.query", {f"{TOKENS}/0/idx": index})) == set()


def test_two_tokens_may_be_alike_but_for_their_index() -> None:
    first = example("match.query")["payload"]["tokens"][0]

    assert verdict(changed("match.query", {f"{TOKENS}/-": {**first, "idx": 3}})) == set()


@pytest.mark.parametrize("key", ["mk-20261108-fr", "mk-20261110-fr", "mk-20251109-fr", ABSENT])
def test_cx_keyday_keyed_tokens_have_the_key_of_the_day(key: object) -> None:
    assert verdict(changed("match.query", {KEY: key})) == {("CX-KEYDAY", KEY)}


@pytest.mark.parametrize("key", ["mk-20261109-fr", "mk-20261109-us", "mk-20261109-zz"])
def test_the_end_of_a_key_is_not_compared(key: str) -> None:
    assert verdict(changed("match.query", {KEY: key})) == set()


@pytest.mark.parametrize(
    ("created_at", "day"),
    [("2026-11-09T23:59:59.999Z", "20261109"), ("2026-11-10T00:00:00Z", "20261110")],
)
def test_the_day_of_a_key_is_that_of_utc(created_at: str, day: str) -> None:
    times = {
        "/header/created_at": created_at,
        "/header/reply_by": "2026-11-11T00:00:00Z",
        "/header/data_protection/delete_by": "2026-11-11" if day == "20261110" else "2026-11-10",
        "/header/expires_at": "2026-11-12T00:00:00Z",
    }
    broken = verdict(changed("match.query", {**times, KEY: f"mk-{day}-fr"}))
    other = verdict(changed("match.query", {**times, KEY: "mk-20261111-fr"}))

    # The id keeps the time of the example, which H-01 notices.
    assert broken == {("H-01", "/header/message_id")}
    assert other == broken | {("CX-KEYDAY", KEY)}


@pytest.mark.parametrize("key", ["mk-20200101-fr", ABSENT])
def test_blinded_tokens_need_no_key(key: object) -> None:
    assert verdict(changed("match.query", {METHOD: "ECDH_P384_PSI", KEY: key})) == set()


@pytest.mark.parametrize("missing", [FOLLOW_UP, UNIT])
def test_cx_results_a_hit_can_be_followed_up(missing: str) -> None:
    assert verdict(changed("match.result", {missing: ABSENT})) == {("CX-RESULTS", FOLLOW_UP)}


@pytest.mark.parametrize("outcome", ["NO_HIT", "NOT_SEARCHED"])
def test_without_a_hit_nothing_follows(outcome: str) -> None:
    message = changed("match.result", {f"{RESULTS}/0/outcome": outcome, FOLLOW_UP: ABSENT, UNIT: ABSENT})

    assert verdict(message) == set()


CREATED_MS = created_ms(example("match.result"))


@pytest.mark.parametrize("after_ms", [1, 30 * DAY_MS])
def test_a_follow_up_may_take_up_to_thirty_days(after_ms: int) -> None:
    assert verdict(changed("match.result", {FOLLOW_UP: stamp(CREATED_MS + after_ms)})) == set()


@pytest.mark.parametrize("after_ms", [0, -1, 30 * DAY_MS + 1])
@pytest.mark.parametrize("outcome", ["HIT", "NO_HIT"])
def test_cx_results_a_follow_up_is_ahead_and_within_thirty_days(after_ms: int, outcome: str) -> None:
    message = changed(
        "match.result", {f"{RESULTS}/0/outcome": outcome, FOLLOW_UP: stamp(CREATED_MS + after_ms)}
    )

    assert verdict(message) == {("CX-RESULTS", FOLLOW_UP)}


def test_cx_results_a_token_has_one_result() -> None:
    assert verdict(changed("match.result", {f"{RESULTS}/2/idx": 1})) == {("CX-RESULTS", RESULTS)}
    assert verdict(changed("match.result", {f"{RESULTS}/2/idx": 1, UNIT: ABSENT})) == {
        ("CX-RESULTS", RESULTS),
        ("CX-RESULTS", FOLLOW_UP),
    }
