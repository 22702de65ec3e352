"""Bodies of the peer link."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.encoding import encode
from gateway.errors import MalformedError
from gateway.link.wire import (
    MAX_SIZE,
    decode_answer,
    decode_entries,
    decode_size,
    decode_view,
    encode_answer,
    encode_entries,
    encode_size,
    encode_view,
)
from gateway.ports import BundleAnswer, PeerView

sizes = st.integers(0, MAX_SIZE)
notes = st.none() | st.binary(max_size=200)


@given(sizes, notes)
def test_an_answer_is_read_back(size: int, note: bytes | None) -> None:
    answer = BundleAnswer(size=size, note=note)
    assert decode_answer(encode_answer(answer)) == answer


@given(notes, sizes, notes, sizes)
def test_a_view_is_read_back(mirrored: bytes | None, size: int, own: bytes | None, own_size: int) -> None:
    view = PeerView(mirrored=mirrored, mirrored_size=size, own=own, own_size=own_size)
    assert decode_view(encode_view(view)) == view


@given(sizes, st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_entries_are_read_back(start: int, entries: list[bytes]) -> None:
    body = encode_entries(start, entries)
    assert decode_entries(body, start=start, end=start + len(entries)) == tuple(entries)


@given(sizes)
def test_a_size_is_read_back(size: int) -> None:
    assert decode_size(encode_size(size)) == size


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for decode in (decode_answer, decode_view, decode_size):
        try:
            decode(body)
        except MalformedError:
            continue


@pytest.mark.parametrize(
    "body",
    [
        encode((2, 1, None)),
        encode((1, 1)),
        encode((1, 1, None, None)),
        encode((1, -1, None)),
        encode((1, MAX_SIZE + 1, None)),
        encode((1, True, None)),
        encode((1, "1", None)),
        encode((1, 1, "note")),
        encode((1, 1, b"x" * 65_537)),
        encode(1),
        encode((1, 1, None)) + b"\x00",
        b"\x93\x01\xcc\x01\xc0",
        b"",
    ],
)
def test_an_answer_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_answer(body)


@pytest.mark.parametrize(
    "value",
    [
        (1, 0, ()),
        (1, 1, (b"a",)),
        (1, 0, (b"a", b"b", b"c")),
        (1, 0, ("a",)),
        (1, 0, (b"x" * 65_537,)),
        (1, 0, None),
    ],
    ids=["none", "elsewhere", "too many", "text", "too long", "no list"],
)
def test_entries_of_another_form_or_place_are_refused(value: tuple[object, ...]) -> None:
    with pytest.raises(MalformedError):
        decode_entries(encode(value), start=0, end=2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"7",
        b"7\n\n",
        b" 7\n",
        b"07\n",
        b"+7\n",
        b"-7\n",
        b"7.0\n",
        b"9" * 17 + b"\n",
        b"9007199254740992\n",
    ],
)
def test_a_size_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_size(body)
