"""Frames: a header that is stored in parts comes out byte by byte as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.envelope import Header
from gateway.core.states import Precedence
from gateway.storage.frames import frame_of, header_of

FIRST_LARGE_MS = 2**32


def header(**changes: Any) -> Header:
    value = Header(
        message_id=bytes(range(16)),
        created_ms=1_795_937_832_622,
        expires_ms=1_795_947_832_622,
        from_node="fr.gateway.test",
        to_node="us.gateway.test",
        from_agency="FR.DGDDI.DNRED",
        to_agencies=("US.ICE.HSI",),
        type="intel.spontaneous/1",
        type_digest=bytes(48),
        precedence=Precedence.ROUTINE,
        marking_level=2,
        conversation_id=bytes(range(16)),
        attachments_bytes=0,
    )
    return replace(value, **changes)


def parts(value: Header) -> tuple[bytes | None, bytes]:
    """Return what the database keeps of a header."""
    encoded = value.encode()
    frame = frame_of(
        encoded,
        message_id=value.message_id,
        created_ms=value.created_ms,
        expires_ms=value.expires_ms,
        conversation_id=value.conversation_id,
    )
    return frame, encoded if frame is None else b""


def joined(value: Header, frame: bytes | None, whole: bytes) -> bytes:
    return header_of(
        frame,
        whole,
        message_id=value.message_id,
        created_ms=value.created_ms,
        expires_ms=value.expires_ms,
        conversation_id=value.conversation_id,
    )


@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.lists(st.text("ABC.", min_size=1, max_size=60), min_size=1, max_size=8).map(tuple),
    st.integers(0, 200),
)
def test_a_header_comes_out_as_it_went_in(
    message_id: bytes, conversation: bytes, created: int, expires: int, to: tuple[str, ...], attached: int
) -> None:
    value = header(
        message_id=message_id,
        conversation_id=conversation,
        created_ms=created,
        expires_ms=expires,
        to_agencies=to,
        attachments_bytes=attached,
    )
    frame, whole = parts(value)
    assert joined(value, frame, whole) == value.encode()
    assert (frame is not None) == (attached == 0 and min(created, expires) >= FIRST_LARGE_MS)


def test_messages_that_differ_in_ids_and_times_alone_have_one_frame() -> None:
    others = [
        header(message_id=bytes(16)),
        header(conversation_id=bytes([7] * 16)),
        header(created_ms=FIRST_LARGE_MS, expires_ms=2**53),
    ]
    assert {parts(other)[0] for other in others} == {parts(header())[0]}


@pytest.mark.parametrize(
    "changes",
    [
        {"from_node": "gb.gateway.test"},
        {"to_agencies": ("US.ICE.HSI", "US.CBP.NTC")},
        {"type_digest": bytes([1] * 48)},
        {"precedence": Precedence.FLASH},
        {"marking_level": 3},
    ],
    ids=str,
)
def test_whatever_else_a_header_says_is_in_its_frame(changes: dict[str, object]) -> None:
    assert parts(header(**changes))[0] != parts(header())[0]


def test_a_header_of_another_message_has_no_frame() -> None:
    own = header()
    for name in ("message_id", "conversation_id"):
        values = {"message_id": own.message_id, "conversation_id": own.conversation_id, name: bytes(16)}
        assert frame_of(own.encode(), created_ms=own.created_ms, expires_ms=own.expires_ms, **values) is None


@pytest.mark.parametrize("data", [b"", b"header", bytes(300)])
def test_what_is_no_header_is_stored_as_it_is(data: bytes) -> None:
    value = header()
    ids = {"message_id": value.message_id, "conversation_id": value.conversation_id}
    assert frame_of(data, created_ms=1, expires_ms=1, **ids) is None
    assert header_of(None, data, created_ms=1, expires_ms=1, **ids) == data
