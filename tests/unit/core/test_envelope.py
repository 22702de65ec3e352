"""The header: one encoding, nothing in it that the message does not say."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any
from uuid import UUID

import pytest

from gateway.core.encoding import encode
from gateway.core.envelope import (
    MARKING_LEVELS,
    MAX_HEADER_BYTES,
    MAX_NUMBER,
    Header,
    decode_header,
    header_of,
    is_header_of,
)
from gateway.core.message.instants import instant_ms, time_text
from gateway.core.states import Precedence
from gateway.errors import MalformedError

HEADER = Header(
    message_id=bytes(range(16)),
    created_ms=1_795_521_600_000,
    expires_ms=1_795_521_600_001,
    from_node="fr.gateway.test",
    to_node="us.gateway.test",
    from_agency="FR.DGDDI.SARC",
    to_agencies=("US.CBP.NTC", "US.ICE.HSI"),
    type="assist.request/1",
    type_digest=b"\x05" * 48,
    precedence=Precedence.FLASH,
    marking_level=1,
    conversation_id=b"\x07" * 16,
    attachments_bytes=0,
)
FIELDS: tuple[Any, ...] = (
    1,
    1,
    HEADER.message_id,
    HEADER.created_ms,
    HEADER.expires_ms,
    HEADER.from_node,
    HEADER.to_node,
    HEADER.from_agency,
    HEADER.to_agencies,
    HEADER.type,
    HEADER.type_digest,
    0,
    1,
    HEADER.conversation_id,
    0,
)


def with_field(position: int, value: Any) -> bytes:
    return encode((*FIELDS[:position], value, *FIELDS[position + 1 :]))


def test_a_header_is_an_array_of_fifteen_fields_in_the_order_of_the_specification() -> None:
    assert HEADER.encode() == encode(FIELDS)
    assert decode_header(HEADER.encode()) == HEADER


@pytest.mark.parametrize("count", [1, 8])
def test_one_to_eight_addressees_are_read_back_in_their_order(count: int) -> None:
    header = replace(HEADER, to_agencies=tuple(f"US.X.{9 - i}" for i in range(count)))

    assert decode_header(header.encode()) == header


@pytest.mark.parametrize("level", range(len(MARKING_LEVELS)))
def test_every_marking_level_is_read_back(level: int) -> None:
    assert decode_header(with_field(12, level)).marking_level == level


BAD_FIELDS: list[tuple[int, Any]] = [
    *((0, value) for value in (0, 2, True, "1", b"\x01", None)),  # version: true is not 1
    *((1, value) for value in (0, 2, True, "1", None)),  # suite
    *((position, value) for position in (2, 13) for value in (b"", bytes(15), bytes(17), "0" * 16, 0, None)),
    *((10, value) for value in (bytes(47), bytes(49), "0" * 48, None)),
    *((position, value) for position in (3, 4, 14) for value in (-1, MAX_NUMBER + 1, True, "0", b"", None)),
    *((position, value) for position in (5, 6, 7, 9) for value in ("", b"x", 0, ("x",), None)),
    *((8, value) for value in ((), ("A",) * 9, "A", ("",), (b"A",), (None,), (("A",),))),
    *((11, value) for value in (4, -1, True, "FLASH", None)),
    *((12, value) for value in (len(MARKING_LEVELS), -1, True, "SECRET", None)),
]


@pytest.mark.parametrize(("position", "value"), BAD_FIELDS, ids=repr)
def test_a_field_of_another_type_length_or_range_is_refused(position: int, value: Any) -> None:
    with pytest.raises(MalformedError):
        decode_header(with_field(position, value))


@pytest.mark.parametrize("value", [FIELDS[:-1], (*FIELDS, 0), (), 1, b"", None], ids=lambda v: str(type(v)))
def test_what_is_no_array_of_fifteen_fields_is_refused(value: Any) -> None:
    with pytest.raises(MalformedError):
        decode_header(encode(value))


def test_a_header_beyond_its_limit_is_refused_before_it_is_read() -> None:
    longest = replace(HEADER, from_node="f" * (MAX_HEADER_BYTES - len(HEADER.encode()) - 1))
    room = MAX_HEADER_BYTES - len(longest.encode())
    longest = replace(longest, from_node=longest.from_node + "f" * room)
    assert len(longest.encode()) == MAX_HEADER_BYTES
    assert decode_header(longest.encode()) == longest

    with pytest.raises(MalformedError):
        decode_header(replace(longest, from_node=longest.from_node + "f").encode())


def test_a_refusal_says_nothing_of_what_stood_in_the_header() -> None:
    with pytest.raises(MalformedError) as caught:
        decode_header(with_field(7, ("CANARY",)))

    assert "CANARY" not in str(caught.value)


# --- from a message ----------------------------------------------------------------------

MESSAGE_ID = UUID("0190f3c2-7a00-7c11-8f00-000000000001")
CONVERSATION = UUID("0190f3c2-7a00-7c11-8f00-000000000009")


def document(**header: Any) -> dict[str, Any]:
    return {
        "type": "assist.request/1",
        "header": {
            "message_id": str(MESSAGE_ID),
            "created_at": "2026-11-02T08:15:00.000Z",
            "expires_at": "2026-11-09T08:15:00.250Z",
            "from": {"nation": "FR", "agency": "FR.DGDDI.SARC"},
            "to": [{"nation": "US", "agency": "US.CBP.NTC"}, {"nation": "US", "agency": "US.ICE.HSI"}],
            "precedence": "PRIORITY",
            "marking": {"level": "CUI"},
            "conversation": {"id": str(CONVERSATION), "seq": 1},
            **header,
        },
        "payload": {},
    }


def made(**header: Any) -> Header:
    return header_of(document(**header), from_node="f", to_node="u", type_digest=b"\x01" * 48)


def test_every_field_comes_from_the_message_or_from_the_nodes() -> None:
    assert made() == Header(
        message_id=MESSAGE_ID.bytes,
        created_ms=1_793_607_300_000,
        expires_ms=1_794_212_100_250,
        from_node="f",
        to_node="u",
        from_agency="FR.DGDDI.SARC",
        to_agencies=("US.CBP.NTC", "US.ICE.HSI"),
        type="assist.request/1",
        type_digest=b"\x01" * 48,
        precedence=Precedence.PRIORITY,
        marking_level=MARKING_LEVELS.index("CUI"),
        conversation_id=CONVERSATION.bytes,
        attachments_bytes=0,
    )


def test_attachments_count_with_their_total_size() -> None:
    assert made(attachments=[{"size": 3}, {"size": 40}]).attachments_bytes == 43


def test_the_header_does_not_depend_on_how_the_message_writes_an_id() -> None:
    upper = made(message_id=str(MESSAGE_ID).upper())

    assert upper.encode() == made().encode()


BY_THE_NODES = {"from_node", "to_node", "type_digest"}


@pytest.mark.parametrize("name", [field.name for field in fields(Header)])
def test_a_header_is_that_of_a_message_only_if_every_field_from_the_message_is(name: str) -> None:
    header = made(attachments=[{"size": 3}])
    assert is_header_of(header, document(attachments=[{"size": 3}]))

    others = replace(
        HEADER, from_agency="FR.ONAF", to_agencies=("US.CBP",), type="intel.spontaneous/1", marking_level=0
    )
    other: Header = replace(header, **{name: getattr(others, name)})

    assert getattr(other, name) != getattr(header, name)
    assert is_header_of(other, document(attachments=[{"size": 3}])) is (name in BY_THE_NODES)


# --- times -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("2000-02-29T23:59:59.999Z", 951_868_799_999),
        ("2026-11-02T08:15:00Z", 1_793_607_300_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_times_are_milliseconds_of_utc_without_a_float_between(text: str, milliseconds: int) -> None:
    assert instant_ms(text) == milliseconds
    assert instant_ms(time_text(milliseconds)) == milliseconds


def test_a_time_is_written_with_three_decimals_and_z() -> None:
    assert time_text(0) == "1970-01-01T00:00:00.000Z"
    assert time_text(1_793_607_300_007) == "2026-11-02T08:15:00.007Z"


def test_a_time_after_the_year_9999_is_written_as_its_last_instant() -> None:
    last = instant_ms("9999-12-31T23:59:59.999Z")

    assert [time_text(last), time_text(last + 1), time_text(2 * last)] == ["9999-12-31T23:59:59.999Z"] * 3
