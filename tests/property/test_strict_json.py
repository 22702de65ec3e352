"""Laws of strict JSON: what is written is read back, what is ambiguous is refused."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.message.strict_json import MAX_INTEGER, JsonRefusedError, parse_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXTS, children, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(TEXTS, VALUES, max_size=5)
LAYOUTS = st.sampled_from([None, 0, 2])


@given(DOCUMENTS)
def test_compact_json_is_read_back(document: dict[str, Any]) -> None:
    assert parse_json(orjson.dumps(document)) == document


@given(DOCUMENTS, LAYOUTS, st.booleans())
def test_every_way_to_write_a_document_is_read_alike(
    document: dict[str, Any], indent: int | None, escaped: bool
) -> None:
    body = json.dumps(document, indent=indent, ensure_ascii=escaped).encode()

    assert parse_json(body) == document


def _escaped(key: str) -> str:
    """Write a key with every character escaped."""
    units = key.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)) + '"'


@given(DOCUMENTS, TEXTS, VALUES, VALUES, st.booleans())
def test_a_key_twice_is_refused_wherever_it_stands(
    document: dict[str, Any], key: str, first: Any, second: Any, escaped: bool
) -> None:
    again = _escaped(key) if escaped else json.dumps(key)
    twice = f"{{{json.dumps(key)}: {json.dumps(first)}, {again}: {json.dumps(second)}}}"
    # The object with the repeated key takes the place of a marker, at any depth.
    body = json.dumps({**document, "where": [{"marker": "@@"}]}).replace('"@@"', twice)
    assume("@@" not in json.dumps(document))

    _assert_refused(body.encode(), "twice")


@given(DOCUMENTS, st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_refused(document: dict[str, Any], number: float) -> None:
    _assert_refused(orjson.dumps({**document, "number": [number]}), "fraction")


@given(DOCUMENTS, st.integers(MAX_INTEGER + 1, 10**30), st.sampled_from([1, -1]))
def test_every_integer_out_of_range_is_refused(document: dict[str, Any], number: int, sign: int) -> None:
    _assert_refused(json.dumps({**document, "number": sign * number}).encode(), "2^53")


@given(st.integers(1, 200), st.lists(st.booleans(), min_size=200, max_size=200), TEXTS)
def test_nesting_is_measured_exactly(depth: int, shapes: list[bool], text: str) -> None:
    inner: Any = text
    for is_object in shapes[: depth - 1]:
        inner = {text: inner} if is_object else [inner]
    body = orjson.dumps({"a": inner})

    if depth <= 64:
        assert orjson.dumps(parse_json(body)) == body
    else:
        _assert_refused(body, "levels")


@given(DOCUMENTS, st.data())
def test_a_damaged_body_is_refused_or_read_as_every_reader_reads_it(
    document: dict[str, Any], data: st.DataObject
) -> None:
    body = bytearray(orjson.dumps(document))
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))

    _assert_refused_or_agreed(bytes(body))


@given(st.binary(max_size=64))
def test_any_bytes_are_refused_or_read_as_every_reader_reads_them(body: bytes) -> None:
    _assert_refused_or_agreed(body)


def _assert_refused(body: bytes, reason: str) -> None:
    with pytest.raises(JsonRefusedError) as refusal:
        parse_json(body)
    assert reason in refusal.value.violation.text("en")


def _assert_refused_or_agreed(body: bytes) -> None:
    try:
        document = parse_json(body)
    except JsonRefusedError:
        return
    assert document == json.loads(body)
