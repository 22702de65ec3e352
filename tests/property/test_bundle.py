"""Laws of the bundle: read back as written, and no second encoding of anything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bundle import Bundle, decode_bundle
from gateway.errors import MalformedError
from tests.property.strategies import altered

some_bytes = st.binary(max_size=40)


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    entries = draw(st.lists(some_bytes, min_size=1, max_size=20))
    most = len(entries)
    return Bundle(
        start=draw(st.integers(min_value=0, max_value=2**63)),
        entries=tuple(entries),
        boxes=tuple(draw(st.lists(some_bytes, max_size=most))),
        ciphertexts=tuple(draw(st.lists(st.none() | some_bytes, max_size=most))),
        note=draw(some_bytes),
    )


@given(bundles())
def test_what_is_written_is_read_back(bundle: Bundle) -> None:
    assert decode_bundle(bundle.encode()) == bundle
    assert bundle.end == bundle.start + len(bundle.entries)


@given(bundles(), st.data())
def test_an_altered_bundle_is_refused_or_says_exactly_its_bytes(bundle: Bundle, data: st.DataObject) -> None:
    other = data.draw(altered(bundle.encode()))
    try:
        read = decode_bundle(other)
    except MalformedError:
        return

    assert read.encode() == other
    assert read != bundle


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_say_exactly_themselves(data: bytes) -> None:
    try:
        read = decode_bundle(data)
    except MalformedError:
        return

    assert read.encode() == data
