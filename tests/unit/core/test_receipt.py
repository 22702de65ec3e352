"""Exceptions: numbers that travel, words that do not, and what becomes of the message."""

from __future__ import annotations

import pytest

from gateway.core.receipt import (
    EXCEPTION_TEXTS,
    MAX_SENDINGS,
    SEND_AGAIN,
    ExceptionCode,
    exception_label,
    exception_text,
    state_after,
)
from gateway.core.states import TRANSITIONS, State

ENDS = {ExceptionCode.EXPIRED: State.EXPIRED, ExceptionCode.ERASED: State.ERASED}


def test_the_numbers_travel_and_never_change() -> None:
    assert [(int(code), code.label) for code in ExceptionCode] == [
        (1, "wrong-recipient"),
        (2, "unknown-suite"),
        (3, "kem-key-gone"),
        (4, "expired"),
        (5, "duplicate"),
        (6, "type-not-agreed"),
        (7, "digest-mismatch"),
        (8, "box-invalid"),
        (9, "content-invalid"),
        (10, "json"),
        (11, "schema"),
        (12, "rule"),
        (13, "header-mismatch"),
        (14, "content-lost"),
        (15, "held-too-long"),
        (16, "erased"),
        (17, "unexamined"),
    ]


@pytest.mark.parametrize("code", ExceptionCode, ids=lambda code: code.label)
def test_every_exception_has_a_meaning_and_a_next_step_in_both_languages(code: ExceptionCode) -> None:
    text = EXCEPTION_TEXTS[code]

    for words in (text.meaning("en"), text.meaning("fr"), text.next_step("en"), text.next_step("fr")):
        assert words.endswith(".")
    assert text.meaning("en") != text.meaning("fr")
    assert text.next_step("en") != text.next_step("fr")


def test_another_language_gets_english() -> None:
    text = EXCEPTION_TEXTS[ExceptionCode.EXPIRED]

    assert text.meaning("de") == text.meaning_en
    assert text.next_step("de") == text.next_en


def test_a_code_of_a_later_version_has_a_label_and_words_too() -> None:
    assert exception_label(14) == "content-lost"
    assert exception_text(14) == EXCEPTION_TEXTS[ExceptionCode.CONTENT_LOST]
    assert exception_label(99) == "exception-99"
    assert exception_text(99).next_en == EXCEPTION_TEXTS[ExceptionCode.WRONG_RECIPIENT].next_en


@pytest.mark.parametrize("code", sorted(SEND_AGAIN), ids=lambda code: code.label)
def test_a_message_is_sent_again_three_times_and_then_refused(code: ExceptionCode) -> None:
    states = [state_after(code, sendings=count) for count in range(1, MAX_SENDINGS + 2)]

    assert states == [State.ACCEPTED] * 3 + [State.REFUSED] * 2


@pytest.mark.parametrize("code", sorted(set(ExceptionCode) - SEND_AGAIN), ids=lambda code: code.label)
def test_every_other_exception_ends_the_message_at_once(code: ExceptionCode) -> None:
    assert state_after(code, sendings=1) is ENDS.get(code, State.REFUSED)


@pytest.mark.parametrize("code", ExceptionCode, ids=lambda code: code.label)
def test_what_follows_an_exception_may_follow_in_the_table_of_states(code: ExceptionCode) -> None:
    for source in (State.SENT, State.DELIVERED):
        assert state_after(code, sendings=1) in TRANSITIONS[source]


def test_whoever_is_told_to_wait_is_sent_again_and_nobody_else() -> None:
    told = {code for code, text in EXCEPTION_TEXTS.items() if "by itself" in text.next_en}

    assert told == SEND_AGAIN
