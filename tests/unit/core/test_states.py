"""The table of states is the whole life of a message: nothing else decides what may follow what."""

from __future__ import annotations

import pytest

from gateway.core.states import TRANSITIONS, VOID_STATES, Precedence, State, sources_of

ENDED = frozenset({State.COLLECTED, State.REFUSED, State.EXPIRED, State.WITHDRAWN, State.ERASED})


def test_every_state_has_its_line_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)


def test_the_numbers_are_stored_and_never_change() -> None:
    assert [(state.value, state.label) for state in State] == [
        (1, "accepted"),
        (2, "sent"),
        (3, "delivered"),
        (4, "received"),
        (5, "collected"),
        (6, "refused"),
        (7, "expired"),
        (8, "withdrawn"),
        (9, "erased"),
    ]
    assert [(int(item), item.name) for item in Precedence] == [
        (0, "FLASH"),
        (1, "IMMEDIATE"),
        (2, "PRIORITY"),
        (3, "ROUTINE"),
    ]


def test_a_message_begins_accepted_and_gets_everywhere_from_there() -> None:
    reached = {State.ACCEPTED}
    while more := {after for state in reached for after in TRANSITIONS[state]} - reached:
        reached |= more

    assert reached == set(State)


def test_an_erased_message_stays_erased_and_every_other_can_be_erased() -> None:
    assert TRANSITIONS[State.ERASED] == frozenset()
    assert sources_of(State.ERASED) == tuple(state for state in State if state is not State.ERASED)


def test_a_message_can_be_withdrawn_only_before_it_is_sent() -> None:
    assert sources_of(State.WITHDRAWN) == (State.ACCEPTED,)


def test_a_message_expires_before_it_is_sent_or_by_its_receipt() -> None:
    assert sources_of(State.EXPIRED) == (State.ACCEPTED, State.SENT, State.DELIVERED)


def test_only_a_receipt_refuses_and_only_what_was_sent() -> None:
    assert sources_of(State.REFUSED) == (State.SENT, State.DELIVERED)


def test_a_message_goes_back_to_accepted_only_if_the_peer_may_have_lost_it() -> None:
    assert sources_of(State.ACCEPTED) == (State.SENT, State.DELIVERED, State.RECEIVED, State.COLLECTED)


def test_a_message_is_sent_once_more_unasked_only_before_it_was_collected() -> None:
    assert sources_of(State.SENT) == (State.ACCEPTED, State.DELIVERED, State.RECEIVED)


def test_a_collected_message_is_sent_again_when_it_is_asked_for_and_never_ends_otherwise() -> None:
    assert TRANSITIONS[State.COLLECTED] == {State.ACCEPTED, State.ERASED}


@pytest.mark.parametrize("state", sorted(ENDED - {State.COLLECTED}))
def test_what_has_ended_can_only_be_erased(state: State) -> None:
    assert TRANSITIONS[state] <= {State.ERASED}


def test_what_is_void_has_ended_without_being_received() -> None:
    assert VOID_STATES < ENDED
    assert State.COLLECTED not in VOID_STATES
    assert State.ERASED not in VOID_STATES


def test_nothing_follows_itself() -> None:
    assert all(state not in after for state, after in TRANSITIONS.items())
