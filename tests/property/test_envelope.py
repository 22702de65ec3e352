"""Laws of the header: read back as written, and no second encoding of anything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.envelope import (
    MARKING_LEVELS,
    MAX_NUMBER,
    Header,
    batch_header_fields,
    decode_header,
    header_fields,
)
from gateway.core.message.instants import instant_ms, time_text
from gateway.core.states import Precedence
from gateway.errors import MalformedError
from tests.property.strategies import altered

numbers = st.integers(min_value=0, max_value=MAX_NUMBER)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
ids = st.binary(min_size=16, max_size=16)

HEADERS = st.builds(
    Header,
    message_id=ids,
    created_ms=numbers,
    expires_ms=numbers,
    from_node=texts,
    to_node=texts,
    from_agency=texts,
    to_agencies=st.lists(texts, min_size=1, max_size=8).map(tuple),
    type=texts,
    type_digest=st.binary(min_size=48, max_size=48),
    precedence=st.sampled_from(Precedence),
    marking_level=st.integers(min_value=0, max_value=len(MARKING_LEVELS) - 1),
    conversation_id=ids,
    attachments_bytes=numbers,
)


@given(HEADERS)
def test_what_is_written_is_read_back(header: Header) -> None:
    assert decode_header(header.encode()) == header


@given(HEADERS, st.data())
def test_an_altered_header_is_refused_or_says_exactly_its_bytes(header: Header, data: st.DataObject) -> None:
    other = data.draw(altered(header.encode()))
    try:
        read = decode_header(other)
    except MalformedError:
        return

    assert read.encode() == other
    assert read != header


@given(st.lists(HEADERS, min_size=1, max_size=5), st.data())
def test_many_headers_are_read_as_each_of_them(headers: list[Header], data: st.DataObject) -> None:
    batch = [header.encode() for header in headers]
    if data.draw(st.booleans()):
        batch[-1] = data.draw(altered(batch[-1]))
    alone: list[object] = []
    for item in batch:
        try:
            alone.append(header_fields(item))
        except MalformedError:
            alone.append(None)

    assert batch_header_fields(batch) == alone


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_every_millisecond_until_the_year_9999_is_written_and_read_back(milliseconds: int) -> None:
    assert instant_ms(time_text(milliseconds)) == milliseconds
