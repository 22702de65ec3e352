"""A bundle has one form, and its limits are set before anything in it is looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.core.bundle import MAX_BUNDLE_BYTES, MAX_BUNDLE_ENTRIES, MAX_NOTE_BYTES, Bundle, decode_bundle
from gateway.core.encoding import encode
from gateway.errors import MalformedError

BUNDLE = Bundle(
    start=7,
    entries=(b"entry 7", b"entry 8"),
    boxes=(b"box",),
    ciphertexts=(b"ciphertext", None),
    note=b"note",
)
FIELDS: tuple[Any, ...] = (1, 7, BUNDLE.entries, BUNDLE.boxes, BUNDLE.ciphertexts, BUNDLE.note)


def with_field(position: int, value: Any) -> bytes:
    return encode((*FIELDS[:position], value, *FIELDS[position + 1 :]))


def test_a_bundle_is_an_array_of_six_fields_in_the_order_of_the_specification() -> None:
    assert BUNDLE.encode() == encode(FIELDS)
    assert decode_bundle(BUNDLE.encode()) == BUNDLE
    assert BUNDLE.end == 9


def test_a_bundle_without_messages_is_read_back() -> None:
    bundle = replace(BUNDLE, boxes=(), ciphertexts=())

    assert decode_bundle(bundle.encode()) == bundle


def test_the_largest_number_of_entries_is_read_back() -> None:
    entries = (b"e",) * MAX_BUNDLE_ENTRIES
    bundle = replace(BUNDLE, entries=entries, boxes=entries, ciphertexts=entries)

    assert decode_bundle(bundle.encode()) == bundle


MANY = (b"",) * (MAX_BUNDLE_ENTRIES + 1)
BAD_FIELDS: list[tuple[int, Any]] = [
    *((0, value) for value in (0, 2, True, "1", None)),
    *((1, value) for value in (-1, True, "7", b"", None)),
    *(
        (2, value)
        for value in ((), MANY, b"entry", ("entry",), (None,), ((b"entry",),), (b"", bytes(65_536)), None)
    ),
    *((3, value) for value in (MANY, (b"",) * 3, b"box", ("box",), (None,), None)),
    *((4, value) for value in ((b"",) * 3, b"c", ("c",), (1,), (False,), None)),
    *((5, value) for value in ("note", None, 0, bytes(MAX_NOTE_BYTES + 1))),
]


@pytest.mark.parametrize(
    ("position", "value"), BAD_FIELDS, ids=[f"{p}-{i}" for i, (p, _) in enumerate(BAD_FIELDS)]
)
def test_a_field_of_another_type_or_size_is_refused(position: int, value: Any) -> None:
    with pytest.raises(MalformedError):
        decode_bundle(with_field(position, value))


@pytest.mark.parametrize("value", [FIELDS[:-1], (*FIELDS, 0), (), 1, b"", None], ids=lambda v: str(type(v)))
def test_what_is_no_array_of_six_fields_is_refused(value: Any) -> None:
    with pytest.raises(MalformedError):
        decode_bundle(encode(value))


def test_a_bundle_beyond_its_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedError):
        decode_bundle(bytes(MAX_BUNDLE_BYTES + 1))


def test_a_refusal_says_nothing_of_what_stood_in_the_bundle() -> None:
    with pytest.raises(MalformedError) as caught:
        decode_bundle(with_field(5, "CANARY"))

    assert "CANARY" not in str(caught.value)
