"""Cursors: where a listing goes on, opaque to whoever holds one.

A cursor is a place in one kind of listing. It names nothing that the caller could not
list anyway, so it needs no secret; its first byte keeps it from another listing.
"""

from __future__ import annotations

import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{8,32}")

_INBOX: Final = struct.Struct(">cbQ")
_NUMBER: Final = struct.Struct(">cQ")
_DUE: Final = struct.Struct(">cQQ")

MESSAGES: Final = b"m"
CONVERSATIONS: Final = b"c"
THREAD: Final = b"t"
OPEN: Final = b"o"
INBOX: Final = b"i"


def encode_place(kind: bytes, number: int) -> str:
    """Return the cursor of a listing by number."""
    return _text(_NUMBER.pack(kind, number))


def decode_place(kind: bytes, cursor: str) -> int | None:
    """Return the number in a cursor of this kind, or None if it is no such cursor."""
    data = _bytes(cursor)
    if len(data) != _NUMBER.size or data[:1] != kind:
        return None
    number: int = _NUMBER.unpack(data)[1]
    return number if number < 2**63 and encode_place(kind, number) == cursor else None


def encode_due(due_ms: int, number: int) -> str:
    """Return the cursor behind an open request, by its deadline."""
    return _text(_DUE.pack(OPEN, due_ms, number))


def decode_due(cursor: str) -> tuple[int, int] | None:
    """Return (deadline, number) in a cursor of open requests, or None if it is no such cursor."""
    data = _bytes(cursor)
    if len(data) != _DUE.size or data[:1] != OPEN:
        return None
    _, due_ms, number = _DUE.unpack(data)
    if due_ms >= 2**63 or number >= 2**63 or encode_due(due_ms, number) != cursor:
        return None
    return due_ms, number


def encode_inbox(rank: int, number: int) -> str:
    """Return the cursor behind a message of an inbox."""
    return _text(_INBOX.pack(INBOX, rank, number))


def decode_inbox(cursor: str) -> tuple[int, int] | None:
    """Return (rank, number) in an inbox cursor, or None if it is no such cursor."""
    data = _bytes(cursor)
    if len(data) != _INBOX.size or data[:1] != INBOX:
        return None
    _, rank, number = _INBOX.unpack(data)
    if not 0 <= rank <= 3 or number >= 2**63 or encode_inbox(rank, number) != cursor:
        return None
    return rank, number


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bytes(cursor: str) -> bytes:
    if CURSOR.fullmatch(cursor) is None:
        return b""
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        return b""
