"""Cursors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.api.cursors import (
    CONVERSATIONS,
    CURSOR,
    MESSAGES,
    decode_inbox,
    decode_place,
    encode_inbox,
    encode_place,
)

numbers = st.integers(0, 2**63 - 1)


@given(st.integers(0, 3), numbers)
def test_an_inbox_cursor_is_read_back(rank: int, number: int) -> None:
    cursor = encode_inbox(rank, number)
    assert CURSOR.fullmatch(cursor)
    assert decode_inbox(cursor) == (rank, number)


@given(numbers)
def test_a_place_is_read_back_in_its_own_listing_only(number: int) -> None:
    cursor = encode_place(MESSAGES, number)
    assert CURSOR.fullmatch(cursor)
    assert decode_place(MESSAGES, cursor) == number
    assert decode_place(CONVERSATIONS, cursor) is None
    assert decode_inbox(cursor) is None


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_in_its_one_form_or_none(text: str) -> None:
    number = decode_place(MESSAGES, text)
    if number is not None:
        assert encode_place(MESSAGES, number) == text
    place = decode_inbox(text)
    if place is not None:
        assert encode_inbox(*place) == text


def test_numbers_that_no_database_has_are_no_cursors() -> None:
    assert decode_place(MESSAGES, encode_place(MESSAGES, 2**63)) is None
    assert decode_inbox(encode_inbox(4, 1)) is None
    assert decode_inbox(encode_inbox(-1, 1)) is None
