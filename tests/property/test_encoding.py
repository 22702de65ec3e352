"""Law of the encoding: what is written is read back, and no two encodings are one value."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.encoding import decode, decode_batch, encode
from gateway.errors import MalformedError

UNICODE = st.characters(codec="utf-8")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.binary(max_size=300)
    | st.text(UNICODE, max_size=80)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=20).map(tuple), max_leaves=30)


def read(data: bytes) -> Any:
    """Return the value, or the error class for what is refused."""
    try:
        return decode(data, max_bytes=200_000)
    except MalformedError:
        return MalformedError


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    again = decode(encode(value), max_bytes=200_000)

    assert again == value
    assert encode(again) == encode(value)


@given(VALUES)
def test_a_large_input_is_read_like_a_small_one(value: Any) -> None:
    ballast = bytes(70_000)

    assert decode(encode((ballast, value)), max_bytes=200_000) == (ballast, value)


@given(VALUES, VALUES)
def test_different_values_have_different_encodings(first: Any, second: Any) -> None:
    # In Python, True == 1 and False == 0: repr tells them apart.
    assume(repr(first) != repr(second))

    assert encode(first) != encode(second)


@given(st.binary(max_size=64))
def test_whatever_is_accepted_is_the_encoding_of_what_it_says(data: bytes) -> None:
    value = read(data)

    if value is not MalformedError:
        assert encode(value) == data


@given(VALUES, st.data())
def test_an_altered_encoding_is_refused_or_is_another_value(value: Any, data: st.DataObject) -> None:
    encoded = encode(value)
    at = data.draw(st.integers(min_value=0, max_value=len(encoded) - 1))
    other = encoded[:at] + bytes((encoded[at] ^ data.draw(st.integers(1, 255)),)) + encoded[at + 1 :]
    read_back = read(other)

    assert read_back is MalformedError or repr(read_back) != repr(value)


@given(VALUES, st.data())
def test_a_truncated_or_extended_encoding_is_refused(value: Any, data: st.DataObject) -> None:
    encoded = encode(value)
    end = data.draw(st.integers(min_value=0, max_value=len(encoded) - 1))

    assert read(encoded[:end]) is MalformedError
    assert read(encoded + data.draw(st.binary(min_size=1, max_size=5))) is MalformedError


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_many_are_read_as_each_of_them(values: list[Any]) -> None:
    assert decode_batch([encode(value) for value in values]) == tuple(values)


@given(st.lists(VALUES, min_size=1, max_size=6), st.data())
def test_what_is_read_together_is_what_each_would_be_alone(values: list[Any], data: st.DataObject) -> None:
    # Bytes are altered, and moved over the border between two items: together they may still be readable.
    items = [encode(value) for value in values]
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(items) - 1))
        cut = data.draw(st.integers(0, len(items[place])))
        moved, items[place] = items[place][cut:], items[place][:cut] + data.draw(st.binary(max_size=2))
        items[(place + 1) % len(items)] = moved + items[(place + 1) % len(items)]
    together = decode_batch(items)

    if together is not None:
        assert all(encode_or_none(value) in (item, None) for value, item in zip(together, items, strict=True))
    if all(read(item) is not MalformedError for item in items):
        assert together == tuple(map(read, items))


def encode_or_none(value: Any) -> bytes | None:
    """Return the encoding, or None for what only looks like a value: a float, the empty map."""
    try:
        return encode(value)
    except TypeError:
        return None
