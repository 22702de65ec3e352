"""Laws of log entries: read back as written, and no second encoding of anything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.encoding import decode, encode
from gateway.core.entries import (
    MAX_INDEX,
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Collection,
    Entry,
    EventEntry,
    IncidentEntry,
    KemKeyEntry,
    KeyStatementEntry,
    MessageEntry,
    ReceiptEntry,
    ReceiptException,
    VoidEntry,
    decode_entries,
    decode_entry,
    encode_entry,
    kind_of,
)
from gateway.errors import MalformedError
from tests.property.strategies import altered

numbers = st.integers(min_value=0, max_value=MAX_INDEX)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


def sized(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


@st.composite
def receipts(draw: st.DrawFn) -> ReceiptEntry:
    start = draw(st.integers(min_value=0, max_value=2**40))
    count = draw(st.integers(min_value=1, max_value=2_000))
    indexes = draw(st.sets(st.integers(min_value=start, max_value=start + count - 1), max_size=20))
    return ReceiptEntry(
        origin=draw(texts),
        start=start,
        count=count,
        root=draw(sized(32)),
        decided_ms=draw(numbers),
        exceptions=tuple(
            ReceiptException(index=index, code=draw(numbers), rule=draw(st.none() | numbers))
            for index in sorted(indexes)
        ),
    )


def ascending(values: set[int]) -> tuple[int, ...]:
    return tuple(sorted(values))


collections = st.builds(Collection, index=numbers, agency=texts, at_ms=numbers)
ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    st.builds(
        MessageEntry,
        header=st.binary(max_size=400),
        kem_key_id=sized(8),
        bundle_id=sized(16),
        slot=numbers,
        box_digest=sized(48),
        ciphertext_digest=sized(48),
        ciphertext_bytes=numbers,
    ),
    receipts(),
    st.builds(
        CollectedEntry, origin=texts, collections=st.lists(collections, min_size=1, max_size=9).map(tuple)
    ),
    st.builds(
        KemKeyEntry,
        key_id=sized(8),
        suite=numbers,
        public_key=st.binary(min_size=1, max_size=9).map(lambda part: (part * 1_665)[:1_665]),
        not_before_ms=numbers,
        not_after_ms=numbers,
    ),
    st.builds(KeyStatementEntry, statement=st.binary(max_size=500)),
    st.builds(AnchorEntry, origin=texts, size=numbers, root=sized(32)),
    st.builds(
        AgreementEntry,
        types=st.dictionaries(texts, sized(48), max_size=9).map(lambda types: tuple(sorted(types.items()))),
        effective_ms=numbers,
    ),
    st.builds(IncidentEntry, incident=numbers, origin=texts, size=numbers, root=sized(32)),
    st.builds(
        EventEntry,
        at_ms=numbers,
        role=numbers,
        actor=st.sampled_from([b"", bytes(32)]),
        event=texts,
        objects=st.lists(sized(16), max_size=9).map(tuple),
        outcome=texts,
        details=st.lists(numbers | st.binary(max_size=48), max_size=9).map(tuple),
    ),
    st.builds(
        VoidEntry,
        conversation_id=sized(16),
        agency=texts,
        numbers=st.sets(numbers, min_size=1, max_size=20).map(ascending),
    ),
)


@given(ENTRIES)
def test_what_is_written_is_read_back(entry: Entry) -> None:
    data = encode_entry(entry)

    assert decode_entry(data) == entry
    assert kind_of(data) == entry.kind


@given(ENTRIES, st.data())
def test_an_altered_entry_is_refused_or_says_exactly_its_bytes(entry: Entry, data: st.DataObject) -> None:
    other = data.draw(altered(encode_entry(entry)))
    try:
        read = decode_entry(other)
    except MalformedError:
        return

    assert encode_entry(read) == other
    assert read != entry


SCALARS = numbers | st.none() | st.booleans() | texts | st.binary(max_size=48)
SHAPES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12)


@given(ENTRIES, SHAPES, st.data())
def test_a_field_of_any_other_shape_is_refused_or_says_exactly_its_bytes(
    entry: Entry, shape: object, data: st.DataObject
) -> None:
    fields = decode(encode_entry(entry), max_bytes=100_000)
    assert isinstance(fields, tuple)
    at = data.draw(st.integers(min_value=0, max_value=len(fields) - 1))
    other = encode((*fields[:at], shape, *fields[at + 1 :]))  # type: ignore[arg-type]
    try:
        read = decode_entry(other)
    except MalformedError:
        return

    assert encode_entry(read) == other


FOREIGN = st.sampled_from([b"\xcb\x3f\xf0" + bytes(6), b"\xca\x3f\x80\x00\x00", b"\x80", b"\xc7\x00\x05"])
"""What looks like a value when it is read and written again: floats, the empty map, an empty extension."""


@given(st.lists(ENTRIES, min_size=1, max_size=5), FOREIGN, st.data())
def test_many_entries_are_read_as_each_of_them(
    entries: list[Entry], foreign: bytes, data: st.DataObject
) -> None:
    batch = [encode_entry(entry) for entry in entries]
    match data.draw(st.sampled_from(["as they are", "altered", "foreign", "foreign alone"])):
        case "as they are":
            pass
        case "altered":
            batch[-1] = data.draw(altered(batch[-1]))
        case "foreign alone":
            batch[0] = foreign
        case _:
            # In the place of a field, or of one within it: of a byte string that begins there.
            marks = [at for at in range(1, len(batch[0])) if batch[0][at] < 0x80]
            at = data.draw(st.sampled_from(marks))
            batch[0] = batch[0][:at] + foreign + batch[0][at + 1 :]
    alone: list[Entry | None] = []
    for item in batch:
        try:
            alone.append(decode_entry(item))
        except MalformedError:
            alone.append(None)

    assert decode_entries(batch) == alone
