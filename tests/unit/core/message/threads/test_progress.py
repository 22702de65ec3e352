"""The states of a request and its deadline."""

from __future__ import annotations

from itertools import permutations

import pytest

from gateway.core.message.effect import CLOSING, Effect
from gateway.core.message.instants import DAY_MS, HOUR_MS
from gateway.core.message.threads import AppliedEffect
from gateway.core.message.threads.progress import (
    CLOSED_STATES,
    TRANSITIONS,
    Progress,
    RequestState,
    awaits,
    progress,
)
from tests.unit.core.message.rules.samples import example
from tests.unit.core.message.threads.memory import CATALOGUE

START = 1_800_000_000_000
DUE = START + 10 * DAY_MS

S = RequestState
E = Effect


def applied(effect: Effect, hours: int = 1, *, at_ms: int | None = None) -> AppliedEffect:
    """Return an effect of a message that was created so many hours after the request."""
    return AppliedEffect(
        effect=effect,
        message_id=bytes([effect, hours % 256]) * 8,
        type="assist.ack/1",
        from_agency="US.ICE.HSI",
        to_agencies=("FR.DGDDI.DNRED",),
        created_ms=START + hours * HOUR_MS,
        at_ms=at_ms,
    )


def after(*effects: Effect, now_ms: int = START + DAY_MS, due_ms: int | None = DUE) -> Progress:
    found = [applied(effect, hours) for hours, effect in enumerate(effects, 1)]
    return progress(due_ms, found, now_ms=now_ms)


@pytest.mark.parametrize(
    ("effects", "state"),
    [
        ((), S.OPEN),
        ((E.ACKNOWLEDGES,), S.ACKNOWLEDGED),
        ((E.ASKS_BACK,), S.WAITING_INFO),
        ((E.ACKNOWLEDGES, E.ASKS_BACK), S.WAITING_INFO),
        ((E.ASKS_BACK, E.INFORMS), S.ACKNOWLEDGED),
        ((E.ASKS_BACK, E.CORRECTS), S.ACKNOWLEDGED),
        ((E.ASKS_BACK, E.ACKNOWLEDGES), S.ACKNOWLEDGED),
        ((E.ANSWERS_PARTLY,), S.PARTLY_ANSWERED),
        ((E.ANSWERS_PARTLY, E.ACKNOWLEDGES), S.PARTLY_ANSWERED),
        ((E.ANSWERS_PARTLY, E.ASKS_BACK), S.WAITING_INFO),
        ((E.ANSWERS_PARTLY, E.ASKS_BACK, E.INFORMS), S.PARTLY_ANSWERED),
        ((E.POSTPONES,), S.POSTPONED),
        ((E.POSTPONES, E.ACKNOWLEDGES), S.ACKNOWLEDGED),
        ((E.ANSWERS_PARTLY, E.ANSWERS), S.ANSWERED),
        ((E.REFUSES,), S.REFUSED),
        ((E.CANCELS,), S.CANCELLED),
        ((E.CANCELS_AND_DELETES,), S.CANCELLED),
        ((E.RETRACTS_AND_DELETES,), S.CANCELLED),
        # What only informs, corrects or speaks about a request leaves it where it was.
        ((E.INFORMS, E.CORRECTS, E.CHANGES_USE, E.ASKS_CONSENT, E.GIVES_FEEDBACK), S.OPEN),
        # Nothing follows an end, also what crossed it.
        ((E.CANCELS, E.ANSWERS), S.CANCELLED),
        ((E.ANSWERS, E.ACKNOWLEDGES, E.ASKS_BACK), S.ANSWERED),
    ],
)
def test_a_request_goes_from_state_to_state(effects: tuple[Effect, ...], state: RequestState) -> None:
    found = after(*effects)

    assert (found.state, found.step) == (state, state)
    assert found.is_closed is (state in CLOSED_STATES)


def test_both_nodes_see_the_same_in_whatever_order_messages_came() -> None:
    effects = [
        applied(E.ASKS_BACK, 1),
        applied(E.INFORMS, 30),
        applied(E.ANSWERS_PARTLY, 40),
        applied(E.POSTPONES, 50, at_ms=DUE + DAY_MS),
    ]

    seen = {progress(DUE, order, now_ms=START) for order in permutations(effects)}

    assert len(seen) == 1


def test_every_closing_effect_ends_a_request_and_nothing_leaves_an_end() -> None:
    for state, following in TRANSITIONS.items():
        if state in CLOSED_STATES:
            assert not following
        else:
            assert {following[effect] for effect in CLOSING} <= CLOSED_STATES
            assert set(following.values()) <= set(TRANSITIONS)


# --- Deadlines -------------------------------------------------------------------------


def test_a_request_is_overdue_once_its_deadline_is_over() -> None:
    for effects, step in (((), S.OPEN), ((E.ACKNOWLEDGES,), S.ACKNOWLEDGED)):
        on_time, late = after(*effects, now_ms=DUE), after(*effects, now_ms=DUE + 1)
        assert on_time.state == step
        assert (late.state, late.step) == (S.OVERDUE, step)


@pytest.mark.parametrize("effect", [E.ANSWERS, E.REFUSES, E.CANCELS])
def test_what_is_closed_is_never_overdue(effect: Effect) -> None:
    found = after(effect, now_ms=DUE + 365 * DAY_MS)

    assert found.due_ms is None
    assert found.state != S.OVERDUE


def test_what_has_no_deadline_is_never_overdue() -> None:
    assert after(E.ACKNOWLEDGES, due_ms=None, now_ms=DUE * 2).state is S.ACKNOWLEDGED


def test_while_the_one_who_was_asked_waits_the_clock_stands() -> None:
    waiting = progress(DUE, [applied(E.ASKS_BACK, 1)], now_ms=DUE + DAY_MS)
    informed = progress(DUE, [applied(E.ASKS_BACK, 1), applied(E.INFORMS, 25)], now_ms=START)

    assert (waiting.state, waiting.due_ms) == (S.WAITING_INFO, None)
    assert informed.due_ms == DUE + DAY_MS


def test_time_that_the_clock_stood_adds_up() -> None:
    effects = [
        applied(E.ASKS_BACK, 1),
        applied(E.INFORMS, 3),
        applied(E.ASKS_BACK, 10),
        # Asked once more while it stood already: it goes on standing.
        applied(E.ASKS_BACK, 12),
        applied(E.INFORMS, 14),
    ]

    assert progress(DUE, effects, now_ms=START).due_ms == DUE + 6 * HOUR_MS


def test_a_postponement_moves_the_deadline_to_its_end_and_never_back() -> None:
    later = progress(DUE, [applied(E.POSTPONES, at_ms=DUE + DAY_MS)], now_ms=DUE + 1)
    earlier = progress(DUE, [applied(E.POSTPONES, at_ms=DUE - DAY_MS)], now_ms=DUE)

    assert (later.state, later.due_ms) == (S.POSTPONED, DUE + DAY_MS)
    assert (earlier.state, earlier.due_ms) == (S.POSTPONED, DUE)


def test_what_led_to_a_state_is_named() -> None:
    acknowledged, informs = applied(E.ACKNOWLEDGES, 1), applied(E.INFORMS, 2)

    assert progress(DUE, [], now_ms=START).last is None
    assert progress(DUE, [acknowledged, informs], now_ms=START).last == acknowledged


# --- What awaits -----------------------------------------------------------------------


def test_a_message_awaits_an_answer_unless_it_is_one() -> None:
    assert awaits(example("assist.request"), CATALOGUE)
    assert awaits(example("invest.deconfliction"), CATALOGUE)
    assert not awaits(example("invest.deconfliction", number=1), CATALOGUE)
    assert not awaits(example("assist.ack"), CATALOGUE)
    assert not awaits(example("intel.spontaneous"), CATALOGUE)
    retraction = example("gov.retraction")
    retraction["header"]["conversation"]["in_reply_to"] = retraction["payload"]["target"]
    assert awaits(retraction, CATALOGUE)
    retraction["type"] = "gov.unknown/1"
    assert not awaits(retraction, CATALOGUE)
