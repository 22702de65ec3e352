"""The ten kinds of entry: one encoding each, and every limit refused at its boundary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.core.bundle import MAX_BUNDLE_ENTRIES
from gateway.core.encoding import decode, encode
from gateway.core.entries import (
    MAX_COLLECTIONS,
    MAX_ENTRY_BYTES,
    MAX_EXCEPTIONS,
    MAX_INDEX,
    MAX_STATEMENT_BYTES,
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Collection,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    KeyStatementEntry,
    Kind,
    MessageEntry,
    ReceiptEntry,
    ReceiptException,
    Role,
    VoidEntry,
    decode_entries,
    decode_entry,
    encode_entry,
    kind_of,
)
from gateway.errors import MalformedError

ORIGIN = "us.gateway.test/exchange/fr"
ROOT = b"\x07" * 32

MESSAGE = MessageEntry(
    header=b"a header",
    kem_key_id=b"\x01" * 8,
    bundle_id=b"\x02" * 16,
    slot=3,
    box_digest=b"\x04" * 48,
    ciphertext_digest=b"\x05" * 48,
    ciphertext_bytes=1_024,
)
RECEIPT = ReceiptEntry(
    origin=ORIGIN,
    start=10,
    count=5,
    root=ROOT,
    decided_ms=1_000,
    exceptions=(
        ReceiptException(index=10, code=12, rule=104),
        ReceiptException(index=14, code=14, rule=None),
    ),
)
COLLECTED = CollectedEntry(
    origin=ORIGIN, collections=(Collection(index=3, agency="FR.DGDDI.SARC", at_ms=2_000),)
)
KEM_KEY = KemKeyEntry(
    key_id=b"\x01" * 8, suite=1, public_key=b"\x02" * 1_665, not_before_ms=1, not_after_ms=2
)
STATEMENT = KeyStatementEntry(statement=b"a statement")
ANCHOR = AnchorEntry(origin=ORIGIN, size=7, root=ROOT)
AGREEMENT = AgreementEntry(
    types=(("alert.urgent/1", b"\x01" * 48), ("assist.ack/1", b"\x02" * 48)), effective_ms=5
)
INCIDENT = IncidentEntry(incident=IncidentKind.RECOVERY, origin=ORIGIN, size=9, root=bytes(32))
EVENT = EventEntry(
    at_ms=1,
    role=Role.AGENCY,
    actor=b"\x03" * 32,
    event="message.accepted",
    objects=(b"\x04" * 16,),
    outcome="ok",
    details=(1, b"digest"),
)
VOID = VoidEntry(conversation_id=b"\x05" * 16, agency="FR.DGDDI.SARC", numbers=(2, 3, 7))

ENTRIES: dict[Kind, Entry] = {
    Kind.MESSAGE: MESSAGE,
    Kind.RECEIPT: RECEIPT,
    Kind.COLLECTED: COLLECTED,
    Kind.KEM_KEY: KEM_KEY,
    Kind.KEY_STATEMENT: STATEMENT,
    Kind.ANCHOR: ANCHOR,
    Kind.AGREEMENT: AGREEMENT,
    Kind.INCIDENT: INCIDENT,
    Kind.EVENT: EVENT,
    Kind.VOID: VOID,
}


def fields_of(kind: Kind) -> tuple[Any, ...]:
    value = decode(encode_entry(ENTRIES[kind]), max_bytes=MAX_STATEMENT_BYTES)
    assert isinstance(value, tuple)
    return value


def with_field(kind: Kind, position: int, value: Any) -> bytes:
    fields = fields_of(kind)
    return encode((*fields[:position], value, *fields[position + 1 :]))


def test_the_numbers_of_the_kinds_are_in_the_logs_and_never_change() -> None:
    assert [(int(kind), kind.name.lower()) for kind in Kind] == [
        (1, "message"),
        (2, "receipt"),
        (3, "collected"),
        (4, "kem_key"),
        (5, "key_statement"),
        (6, "anchor"),
        (7, "agreement"),
        (8, "incident"),
        (9, "event"),
        (10, "void"),
    ]
    assert [(int(kind), kind.name.lower()) for kind in IncidentKind] == [
        (1, "fork"),
        (2, "recovery"),
        (3, "peer_rollback"),
        (4, "key_withdrawn"),
        (5, "erased"),
        (6, "malformed_entry"),
        (7, "clock"),
        (8, "receipt_conflict"),
        (9, "damaged"),
    ]
    assert [role.name for role in Role] == ["NODE", "AGENCY", "OPERATOR", "AUDITOR", "PEER", "UNKNOWN"]


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_an_entry_is_read_back_and_names_its_kind_first(kind: Kind) -> None:
    data = encode_entry(ENTRIES[kind])

    assert decode_entry(data) == ENTRIES[kind]
    assert kind_of(data) == kind
    assert fields_of(kind)[0] == kind


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_a_field_too_few_or_too_many_is_refused(kind: Kind) -> None:
    fields = fields_of(kind)

    for value in (fields[:-1], (*fields, 0), (*fields, None), fields[:1]):
        with pytest.raises(MalformedError):
            decode_entry(encode(value))


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_no_field_may_be_of_another_type(kind: Kind) -> None:
    fields = fields_of(kind)
    strangers: list[Any] = [None, True, -1, "text of another type", b"bytes of another type", ((((),),),)]

    for position in range(1, len(fields)):
        for stranger in strangers:
            if type(stranger) is type(fields[position]) and stranger != -1:
                continue
            with pytest.raises(MalformedError):
                decode_entry(with_field(kind, position, stranger))


@pytest.mark.parametrize("number", [0, 11, 127, 128, 255, -1, True, None, "1", b"\x01"], ids=repr)
def test_an_unknown_kind_is_refused(number: Any) -> None:
    with pytest.raises(MalformedError):
        decode_entry(with_field(Kind.ANCHOR, 0, number))


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x01", b"\xc0", b"\xc4\x01\x01", b"not an entry"], ids=repr)
def test_what_is_no_array_that_begins_with_a_kind_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_entry(data)


def test_a_longer_form_of_the_same_entry_is_refused() -> None:
    data = encode_entry(ANCHOR)
    # The number of fields in two bytes instead of none; the kind in two instead of one.
    for other in (b"\xdc\x00\x04" + data[1:], data[:1] + b"\xcc\x06" + data[2:], data + b"\xc0"):
        with pytest.raises(MalformedError):
            decode_entry(other)


# --- numbers, texts, lengths -----------------------------------------------------------

NUMBERS = [
    (Kind.MESSAGE, 4),
    (Kind.MESSAGE, 7),
    (Kind.RECEIPT, 5),
    (Kind.KEM_KEY, 2),
    (Kind.KEM_KEY, 4),
    (Kind.KEM_KEY, 5),
    (Kind.ANCHOR, 2),
    (Kind.AGREEMENT, 2),
    (Kind.INCIDENT, 1),
    (Kind.INCIDENT, 3),
    (Kind.EVENT, 1),
    (Kind.EVENT, 2),
]


@pytest.mark.parametrize(("kind", "position"), NUMBERS, ids=str)
def test_numbers_run_from_zero_to_two_to_the_53(kind: Kind, position: int) -> None:
    for good in (0, MAX_INDEX):
        decode_entry(with_field(kind, position, good))
    for bad in (-1, MAX_INDEX + 1, 2**64 - 1):
        with pytest.raises(MalformedError):
            decode_entry(with_field(kind, position, bad))


TEXTS = [(Kind.RECEIPT, 1), (Kind.COLLECTED, 1), (Kind.ANCHOR, 1), (Kind.INCIDENT, 2), (Kind.EVENT, 4)]


@pytest.mark.parametrize(("kind", "position"), TEXTS, ids=str)
def test_texts_have_1_to_255_characters(kind: Kind, position: int) -> None:
    for good in ("x", "x" * 255):
        decode_entry(with_field(kind, position, good))
    for bad in ("", "x" * 256):
        with pytest.raises(MalformedError):
            decode_entry(with_field(kind, position, bad))


LENGTHS = [
    (Kind.MESSAGE, 2, 8),
    (Kind.MESSAGE, 3, 16),
    (Kind.MESSAGE, 5, 48),
    (Kind.MESSAGE, 6, 48),
    (Kind.RECEIPT, 4, 32),
    (Kind.KEM_KEY, 1, 8),
    (Kind.KEM_KEY, 3, 1_665),
    (Kind.ANCHOR, 3, 32),
    (Kind.INCIDENT, 4, 32),
    (Kind.VOID, 1, 16),
]


@pytest.mark.parametrize(("kind", "position", "length"), LENGTHS, ids=str)
def test_ids_digests_roots_and_keys_have_one_length(kind: Kind, position: int, length: int) -> None:
    decode_entry(with_field(kind, position, bytes(length)))
    for other in (0, length - 1, length + 1):
        with pytest.raises(MalformedError):
            decode_entry(with_field(kind, position, bytes(other)))


def test_an_actor_is_a_digest_or_nobody() -> None:
    for good in (b"", bytes(32)):
        decode_entry(with_field(Kind.EVENT, 3, good))
    for bad in (bytes(1), bytes(31), bytes(33)):
        with pytest.raises(MalformedError):
            decode_entry(with_field(Kind.EVENT, 3, bad))


# --- receipts --------------------------------------------------------------------------


def receipt_with(*exceptions: Any) -> bytes:
    return with_field(Kind.RECEIPT, 6, exceptions)


@pytest.mark.parametrize(
    "exceptions",
    [
        [(11, 1, None), (10, 1, None)],
        [(11, 1, None), (11, 1, None)],
        [(9, 1, None)],
        [(15, 1, None)],
        [(10, 1)],
        [(10, 1, None, None)],
        [(10, None, None)],
        [(10, 1, "rule")],
        [(True, 1, None)],
        [10],
        [b"\x0a\x01\x02"],  # three bytes unpack like an array of three numbers
        ["abc"],
    ],
    ids=repr,
)
def test_exceptions_are_ascending_triples_inside_the_range(exceptions: list[Any]) -> None:
    decode_entry(receipt_with((10, 1, None), (14, 2, 9)))

    with pytest.raises(MalformedError):
        decode_entry(receipt_with(*exceptions))


def test_a_receipt_for_nothing_is_refused() -> None:
    with pytest.raises(MalformedError):
        decode_entry(encode_entry(replace(RECEIPT, count=0, exceptions=())))


def test_one_receipt_can_answer_the_largest_bundle_of_bad_messages() -> None:
    worst = tuple(
        ReceiptException(index=MAX_INDEX - MAX_EXCEPTIONS + slot, code=127, rule=65_535)
        for slot in range(MAX_BUNDLE_ENTRIES)
    )
    receipt = replace(
        RECEIPT,
        origin="x" * 255,
        start=MAX_INDEX - MAX_EXCEPTIONS,
        count=MAX_BUNDLE_ENTRIES,
        decided_ms=MAX_INDEX,
        exceptions=worst,
    )

    assert decode_entry(encode_entry(receipt)) == receipt
    one_more = replace(
        receipt,
        start=0,
        exceptions=(ReceiptException(index=0, code=1, rule=None), *worst),
        count=MAX_INDEX,
    )
    small = tuple(replace(item, index=at, rule=None) for at, item in enumerate(one_more.exceptions))
    with pytest.raises(MalformedError):
        decode_entry(encode_entry(replace(one_more, exceptions=small)))


# --- lists -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "collections",
    [[], [(1, "A")], [(1, "A", 2, 3)], [(1, "", 2)], [(1, b"A", 2)], [(-1, "A", 2)], [1], [b"\x01\x02\x03"]],
    ids=repr,
)
def test_collections_are_triples_and_at_least_one(collections: list[Any]) -> None:
    with pytest.raises(MalformedError):
        decode_entry(with_field(Kind.COLLECTED, 2, tuple(collections)))


def test_as_many_collections_as_one_entry_may_hold_fit_into_it() -> None:
    most = tuple(
        Collection(index=MAX_INDEX - at, agency="FR.DGDDI.ABCDEFGHIJKLMNOPQRSTUV", at_ms=MAX_INDEX)
        for at in range(MAX_COLLECTIONS)
    )
    entry = replace(COLLECTED, origin="x" * 255, collections=most)

    assert decode_entry(encode_entry(entry)) == entry
    small = replace(COLLECTED, collections=COLLECTED.collections * (MAX_COLLECTIONS + 1))
    with pytest.raises(MalformedError):
        decode_entry(encode_entry(small))


@pytest.mark.parametrize(
    "types",
    [
        [("b", bytes(48)), ("a", bytes(48))],
        [("a", bytes(48)), ("a", bytes(48))],
        [("a", bytes(47))],
        [("a",)],
        [("a", bytes(48), 0)],
        [("", bytes(48))],
        [(b"a", bytes(48))],
        ["ab"],
    ],
    ids=repr,
)
def test_an_agreement_names_types_once_each_in_ascending_order(types: list[Any]) -> None:
    with pytest.raises(MalformedError):
        decode_entry(with_field(Kind.AGREEMENT, 1, tuple(types)))


@pytest.mark.parametrize("numbers", [[], [2, 1], [1, 1], [-1], ["1"], [None], [True]], ids=repr)
def test_void_numbers_are_ascending_and_at_least_one(numbers: list[Any]) -> None:
    with pytest.raises(MalformedError):
        decode_entry(with_field(Kind.VOID, 3, tuple(numbers)))


def test_a_thousand_void_numbers_are_read_back_and_one_more_is_refused() -> None:
    numbers = tuple(range(MAX_INDEX - 999, MAX_INDEX + 1))
    entry = replace(VOID, numbers=numbers)

    assert decode_entry(encode_entry(entry)) == entry
    with pytest.raises(MalformedError):
        decode_entry(encode_entry(replace(VOID, numbers=tuple(range(1, 1_002)))))


@pytest.mark.parametrize("objects", [[bytes(15)], [bytes(17)], ["x"], [None], [bytes(16)] * 501], ids=len)
def test_objects_of_an_event_are_at_most_500_ids(objects: list[Any]) -> None:
    decode_entry(with_field(Kind.EVENT, 5, (bytes(16),) * 500))

    with pytest.raises(MalformedError):
        decode_entry(with_field(Kind.EVENT, 5, tuple(objects)))


@pytest.mark.parametrize("details", [["text"], [None], [-1], [True], [MAX_INDEX + 1], [0] * 101], ids=len)
def test_details_of_an_event_are_at_most_100_numbers_or_digests(details: list[Any]) -> None:
    decode_entry(with_field(Kind.EVENT, 7, (0, b"x") * 50))

    with pytest.raises(MalformedError):
        decode_entry(with_field(Kind.EVENT, 7, tuple(details)))


# --- size ------------------------------------------------------------------------------


def message_of(length: int) -> MessageEntry:
    """Return a message entry whose encoding has this length."""
    empty = len(encode_entry(replace(MESSAGE, header=bytes(300))))
    return replace(MESSAGE, header=bytes(300 + length - empty))


def test_an_entry_has_at_most_16_kib_on_both_sides() -> None:
    largest = message_of(MAX_ENTRY_BYTES)
    assert len(encode_entry(largest)) == MAX_ENTRY_BYTES
    assert decode_entry(encode_entry(largest)) == largest
    too_large = message_of(MAX_ENTRY_BYTES + 1)

    with pytest.raises(ValueError, match="may hold 16384 bytes"):
        encode_entry(too_large)
    with pytest.raises(MalformedError):
        decode_entry(encode((int(Kind.MESSAGE), *too_large.fields())))


def test_a_statement_alone_may_be_larger() -> None:
    largest = KeyStatementEntry(statement=bytes(MAX_STATEMENT_BYTES - 5))
    assert len(encode_entry(largest)) == MAX_STATEMENT_BYTES
    assert decode_entry(encode_entry(largest)) == largest

    with pytest.raises(ValueError, match="may hold 61440 bytes"):
        encode_entry(KeyStatementEntry(statement=bytes(MAX_STATEMENT_BYTES - 4)))
    with pytest.raises(MalformedError):
        decode_entry(bytes(MAX_STATEMENT_BYTES + 1))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", 0),
        (b"\x91", 0),
        (b"\x91\x05", 5),
        (b"\x92\x7f\x00", 127),
        (b"\x92\x80", 0),
        (b"\x92\xcc\x80", 0),
        (b"\xdc\x00\x01\x05", 0),
        (b"\xa1\x05", 0),
        (b"not an entry", 0),
    ],
    ids=repr,
)
def test_the_kind_is_told_from_two_bytes_and_is_zero_for_what_is_no_entry(data: bytes, kind: int) -> None:
    assert kind_of(data) == kind


def test_a_refusal_says_nothing_of_what_stood_in_the_entry() -> None:
    with pytest.raises(MalformedError) as caught:
        decode_entry(with_field(Kind.ANCHOR, 2, "CANARY"))

    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"\xc7\x00\x05", b"\xcb" + bytes(8), b"\x80", b"", b"\x91", b"\xc7\x00\x04"]
)
def test_what_only_looks_like_an_entry_is_none_among_many_either(data: bytes) -> None:
    good = encode_entry(AnchorEntry(origin="x", size=1, root=bytes(32)))

    assert decode_entries([good, data]) == [decode_entry(good), None]
    with pytest.raises(MalformedError):
        decode_entry(data)
