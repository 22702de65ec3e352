"""Frames: what the headers of many messages say alike, stored once.

A header names the message, its times and its conversation, which stand in the row of the
message as well. What is left says which nodes, agencies, type, schema, precedence and marking
the message has, and is the same for most messages of a type between two agencies. So a row
keeps the number of a frame, and its header is put together again when somebody asks for it.

What comes out is what went in, byte by byte: a header that its frame and its row would not
give again (one with attachments, or of a later version) is stored whole.

Spec: docs/storage.md, "Headers".
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from gateway.storage.session import Session
from gateway.storage.statements import Statement
from gateway.storage.tables import frames

MAX_KNOWN: Final = 4_096
"""Frames that a session remembers the numbers of."""

_ID: Final = b"\xc4\x10"
_TIME: Final = b"\xcf"
_NO_ATTACHMENTS: Final = b"\x00"

_FIND: Final = Statement(sa.select(frames.c.id).where(frames.c.frame == sa.bindparam("bytes")))
_LAST: Final = Statement(sa.select(sa.func.max(frames.c.id)))
_INSERT: Final = Statement(sa.insert(frames), row=("id", "frame"))


def frame_of(
    header: bytes, *, message_id: bytes, created_ms: int, expires_ms: int, conversation_id: bytes
) -> bytes | None:
    """Return the frame from which `header_of` gives a header again, or None if there is none.

    The frame is one byte that says how much of it stands before the message id, and then what
    the header holds beside the values that are arguments here.
    """
    own, conversation = _cut_out(message_id, created_ms, expires_ms, conversation_id)
    before, found, after = header.partition(own)
    if not found or not after.endswith(conversation) or len(before) > 255:
        return None
    return bytes((len(before),)) + before + after[: -len(conversation)]


def header_of(
    frame: bytes | None,
    whole: bytes,
    *,
    message_id: bytes,
    created_ms: int,
    expires_ms: int,
    conversation_id: bytes,
) -> bytes:
    """Return a header: put together, or as it is stored if there is no frame."""
    if frame is None:
        return whole
    own, conversation = _cut_out(message_id, created_ms, expires_ms, conversation_id)
    end = 1 + frame[0]
    return frame[1:end] + own + frame[end:] + conversation


def _cut_out(
    message_id: bytes, created_ms: int, expires_ms: int, conversation_id: bytes
) -> tuple[bytes, bytes]:
    """Return how a header spells the values of its own, at its beginning and at its end.

    Spec: docs/spec/exchange.md, "Header".
    """
    own = _ID + message_id + _TIME + created_ms.to_bytes(8, "big") + _TIME + expires_ms.to_bytes(8, "big")
    return own, _ID + conversation_id + _NO_ATTACHMENTS


def frame_number(session: Session, frame: bytes) -> int:
    """Return the number of a frame, which is stored if it is new."""
    known = session.frame_numbers
    found = known.get(frame)
    if found is None:
        if len(known) >= MAX_KNOWN:
            known.clear()
        found = known[frame] = _stored(session, frame)
    return found


def _stored(session: Session, frame: bytes) -> int:
    row = session.first(_FIND, bytes=frame)
    if row is not None:
        return int(row[0])
    last = session.first(_LAST)
    number = 1 + (last[0] or 0 if last else 0)
    session.many(_INSERT, [(number, frame)])
    return number
