"""The encoding has one form of each value, and a reader takes no other."""

from __future__ import annotations

import json
import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from gateway.core.encoding import (
    MAX_BATCH_BYTES,
    MAX_DEPTH,
    decode,
    decode_batch,
    encode,
    expect_array,
    expect_bytes,
    expect_int,
    expect_text,
)
from gateway.errors import MalformedError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "encoding.json").read_text("utf-8"))
LARGE = 70_000
"""Above 64 KiB a reader counts values before it builds any."""


class Colour(IntEnum):
    RED = 1


def value_of(item: Any) -> Any:
    if isinstance(item, list):
        return tuple(value_of(part) for part in item)
    return bytes.fromhex(item["bytes"]) if isinstance(item, dict) else item


def in_large(encoded: bytes) -> bytes:
    """Return an array of 70,000 bytes and of what ``encoded`` is."""
    return b"\x92\xc6" + LARGE.to_bytes(4, "big") + bytes(LARGE) + encoded


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda vector: vector["hex"][:16])
def test_each_value_has_the_bytes_of_the_specification(vector: dict[str, Any]) -> None:
    value, data = value_of(vector["value"]), bytes.fromhex(vector["hex"])

    assert encode(value) == data
    assert decode(data, max_bytes=100) == value
    assert type(decode(data, max_bytes=100)) is type(value)
    assert decode(in_large(data), max_bytes=100_000) == (bytes(LARGE), value)


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["reason"])
@pytest.mark.parametrize("wrap", [lambda data: data, in_large], ids=["alone", "within much"])
def test_every_other_form_is_refused(vector: dict[str, Any], wrap: Any) -> None:
    with pytest.raises(MalformedError):
        decode(wrap(bytes.fromhex(vector["hex"])), max_bytes=100_000)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        {},
        {"a": 1},
        {1},
        object(),
        bytearray(b"a"),
        memoryview(b"a"),
        Colour.RED,
        2**64,
        -(2**63) - 1,
        "\ud800",
        [1, [2, [3.0]]],
        [1, {}],
        [[Colour.RED]],
    ],
)
def test_what_has_no_encoding_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)

    assert encode([7]) == b"\x91\x07", "a refusal must leave nothing behind in the encoder"


def test_lists_and_tuples_are_one_array() -> None:
    assert encode([1, [2]]) == encode((1, (2,)))


def test_arrays_nest_as_deep_as_the_limit_and_no_deeper() -> None:
    value: Any = ()
    for _ in range(MAX_DEPTH - 1):
        value = (value,)

    assert decode(encode(value), max_bytes=100) == value
    with pytest.raises(TypeError):
        encode((value,))


def test_an_input_above_the_limit_is_refused_before_it_is_read() -> None:
    data = encode(bytes(100))

    assert decode(data, max_bytes=len(data)) == bytes(100)
    with pytest.raises(MalformedError, match="longer than 101 bytes"):
        decode(data, max_bytes=len(data) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd" + (2**24).to_bytes(4, "big") + b"\x90" * 2**24,
        b"\xdd" + (2**23).to_bytes(4, "big") + b"\x91\xc0" * 2**23,
        b"\xdc\xff\xff" + (b"\xdc\x01\x00" + b"\xc0" * 256) * 60_000,
        b"\xdd" + (2**31).to_bytes(4, "big") + bytes(LARGE),
    ],
    ids=["empty arrays", "small arrays", "many arrays", "announced only"],
)
def test_many_small_values_are_refused_before_memory_is_allocated(data: bytes) -> None:
    with pytest.raises(MalformedError, match="more than 65536 values"):
        decode(data, max_bytes=2**25)


def test_the_number_of_values_is_a_limit_of_the_caller() -> None:
    data = encode([bytes(LARGE), *range(200)])

    assert decode(data, max_bytes=100_000, max_values=202) == (bytes(LARGE), *range(200))
    with pytest.raises(MalformedError):
        decode(data, max_bytes=100_000, max_values=201)


@pytest.mark.parametrize("value", [None, True, -1, 11, b"1", "1", ()])
def test_an_integer_field_refuses_other_types_and_values(value: Any) -> None:
    assert expect_int(10, field="slot", maximum=10) == 10
    with pytest.raises(MalformedError, match="slot"):
        expect_int(value, field="slot", maximum=10)


@pytest.mark.parametrize("value", [None, 1, "ab", b"a", b"abc", (b"ab",)])
def test_a_bytes_field_refuses_other_types_and_lengths(value: Any) -> None:
    assert expect_bytes(b"ab", field="digest", length=2) == b"ab"
    with pytest.raises(MalformedError, match="digest"):
        expect_bytes(value, field="digest", length=2)


def test_a_bytes_field_can_have_a_longest_length() -> None:
    assert expect_bytes(b"", field="header", max_length=2) == b""
    with pytest.raises(MalformedError, match="2 at most"):
        expect_bytes(b"abc", field="header", max_length=2)
    with pytest.raises(MalformedError, match="expected bytes"):
        expect_bytes("", field="header")


@pytest.mark.parametrize("value", [None, 1, b"ab", "", "abcd", "AB", "ab\n"])
def test_a_text_field_refuses_other_types_lengths_and_forms(value: Any) -> None:
    form = re.compile("[a-z]+")

    assert expect_text("ab", field="origin", max_length=3, pattern=form) == "ab"
    with pytest.raises(MalformedError, match="origin"):
        expect_text(value, field="origin", max_length=3, pattern=form)


@pytest.mark.parametrize("value", [None, 1, "ab", b"ab", (), (1, 2, 3)])
def test_an_array_field_refuses_other_types_and_lengths(value: Any) -> None:
    assert expect_array((1, 2), field="types", length=2) == (1, 2)
    assert expect_array((1, 2), field="types", max_length=2) == (1, 2)
    with pytest.raises(MalformedError, match="types"):
        expect_array(value, field="types", length=2)


def test_no_error_repeats_the_input() -> None:
    with pytest.raises(MalformedError) as caught:
        decode(encode("passport 12AB34567") + b"\x00", max_bytes=100)

    assert "passport" not in str(caught.value)


def test_what_is_no_encoding_is_not_read_together_either() -> None:
    good = encode((1, b"two", "three"))

    assert decode_batch([good, good]) == ((1, b"two", "three"),) * 2
    assert decode_batch([]) is None
    assert decode_batch([good, good[:-1]]) is None
    # Each border is wrong, and all bytes together are two values.
    assert decode_batch([good[:-1], good[-1:] + good]) is None
    assert decode_batch([good, b"\xcd\x00\x01"]) is None, "a number in a longer form"
    assert decode_batch([good, b"\x81\x01\x01"]) is None, "a map"


def test_what_only_looks_like_a_value_is_left_to_the_caller_of_a_batch() -> None:
    # Those who read entries and headers compare exact types.
    assert decode_batch([b"\xcb" + bytes(8)]) == (0.0,)
    assert decode_batch([b"\xc7\x00\x05"]) is None, "an extension without content"
    assert decode_batch([b"\x80"]) is None, "the empty map"


def test_more_than_a_batch_holds_is_left_to_be_read_one_by_one() -> None:
    large = encode(bytes(MAX_BATCH_BYTES))

    assert decode_batch([large]) is None
    assert decode_batch([b"\x01"] * 5_000) is None
