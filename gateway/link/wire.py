"""What the two ends of the peer link say to each other, beside bundles and notes.

Bodies are MessagePack in the one encoding of `gateway.core.encoding`, each an array that
begins with the protocol version. A conflict is the plain number that C2SP tlog-witness
defines, for both calls that can meet one.

Spec: docs/spec/peer-calls.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.core.bundle import MAX_BUNDLE_BYTES, MAX_BUNDLE_ENTRIES, MAX_NOTE_BYTES
from gateway.core.encoding import (
    Value,
    decode,
    encode,
    expect_array,
    expect_bytes,
    expect_int,
)
from gateway.core.envelope import PROTOCOL_VERSION
from gateway.core.generation import MAX_GENERATION
from gateway.errors import MalformedError
from gateway.ports import BundleAnswer, PeerView, Standing

MSGPACK: Final = "application/msgpack"
"""Media type of bundles and of every answer in MessagePack (registered with IANA as
``application/vnd.msgpack``; this is the name in use)."""

CHECKPOINT: Final = "text/plain;charset=utf-8"
"""Media type of a tlog-witness request and of its answer."""

SIZE: Final = "text/x.tlog.size"
"""Media type of a conflict's body, from C2SP tlog-witness."""

BUNDLES_PATH: Final = "/peer/v1/bundles"
VIEW_PATH: Final = "/peer/v1/view"
STANDING_PATH: Final = "/peer/v1/standing"
ENTRIES_PATH: Final = "/peer/v1/entries"
ADD_CHECKPOINT_PATH: Final = "/peer/v1/add-checkpoint"

MAX_SIZE: Final = 2**53 - 1
MAX_ENTRY_BYTES: Final = 65_536
MAX_ENTRIES_BYTES: Final = MAX_BUNDLE_BYTES
MAX_SMALL_BYTES: Final = 2 * MAX_NOTE_BYTES + 1_024
MAX_CHECKPOINT_REQUEST: Final = MAX_NOTE_BYTES + 64 * 46

_SIZE_LINE: Final = re.compile(rb"(0|[1-9][0-9]{0,15})\n")


def encode_answer(answer: BundleAnswer) -> bytes:
    """Return the body of the answer to a bundle: array(version, size, note or nil)."""
    return encode((PROTOCOL_VERSION, answer.size, answer.note))


def decode_answer(body: bytes) -> BundleAnswer:
    """Return the answer to a bundle.

    Raises:
        MalformedError: Not the one encoding of an answer.
    """
    size, note = _fields(body, 2, max_bytes=MAX_SMALL_BYTES)
    return BundleAnswer(size=_size(size), note=_note(note))


def encode_view(view: PeerView) -> bytes:
    """Return the body of a view.

    array(version, newest note of your log or nil, size of the mirror, own newest note or
    nil, own size).
    """
    return encode((PROTOCOL_VERSION, view.mirrored, view.mirrored_size, view.own, view.own_size))


def decode_view(body: bytes) -> PeerView:
    """Return a view.

    Raises:
        MalformedError: Not the one encoding of a view.
    """
    mirrored, mirrored_size, own, own_size = _fields(body, 4, max_bytes=MAX_SMALL_BYTES)
    return PeerView(
        mirrored=_note(mirrored),
        mirrored_size=_size(mirrored_size),
        own=_note(own),
        own_size=_size(own_size),
    )


def encode_standing(standing: Standing) -> bytes:
    """Return the body of a standing.

    array(version, newest note of your audit log or nil, generation of the exchange logs,
    generation that was signed off for or 0, 1 if the pair is frozen or 0).
    """
    return encode(
        (
            PROTOCOL_VERSION,
            standing.witnessed,
            standing.generation,
            standing.resumes,
            int(standing.frozen),
        )
    )


def decode_standing(body: bytes) -> Standing:
    """Return a standing.

    Raises:
        MalformedError: Not the one encoding of a standing.
    """
    witnessed, generation, resumes, frozen = _fields(body, 4, max_bytes=MAX_SMALL_BYTES)
    return Standing(
        witnessed=_note(witnessed),
        generation=expect_int(generation, field="generation", minimum=1, maximum=MAX_GENERATION),
        resumes=expect_int(resumes, field="resumes", maximum=MAX_GENERATION),
        frozen=expect_int(frozen, field="frozen", maximum=1) == 1,
    )


def encode_entries(start: int, entries: Sequence[bytes]) -> bytes:
    """Return the body of a run of entries: array(version, start, entries)."""
    return encode((PROTOCOL_VERSION, start, tuple(entries)))


def decode_entries(body: bytes, *, start: int, end: int) -> tuple[bytes, ...]:
    """Return the entries of an answer: one or more, from ``start``, none at ``end`` or above.

    Raises:
        MalformedError: Not the one encoding of a run, or another run than was asked for.
    """
    at, entries = _fields(body, 2, max_bytes=MAX_ENTRIES_BYTES)
    expect_int(at, field="start", minimum=start, maximum=start)
    run = expect_array(entries, field="entries", max_length=min(MAX_BUNDLE_ENTRIES, end - start))
    if not run:
        msg = "entries: expected one entry at least"
        raise MalformedError(msg)
    return tuple(expect_bytes(entry, field="entries", max_length=MAX_ENTRY_BYTES) for entry in run)


def encode_size(size: int) -> bytes:
    """Return the body of a conflict: the size in decimal, and a newline."""
    return b"%d\n" % size


def decode_size(body: bytes) -> int:
    """Return the size in a conflict's body.

    Raises:
        MalformedError: Not a decimal number and a newline.
    """
    match = _SIZE_LINE.fullmatch(body)
    if match is None or int(match[1]) > MAX_SIZE:
        msg = "a conflict's body is a decimal size and a newline"
        raise MalformedError(msg)
    return int(match[1])


def _fields(body: bytes, count: int, *, max_bytes: int) -> tuple[Value, ...]:
    value = expect_array(decode(body, max_bytes=max_bytes), field="answer", length=count + 1)
    expect_int(value[0], field="version", minimum=PROTOCOL_VERSION, maximum=PROTOCOL_VERSION)
    return value[1:]


def _size(value: Value) -> int:
    return expect_int(value, field="size", maximum=MAX_SIZE)


def _note(value: Value) -> bytes | None:
    return None if value is None else expect_bytes(value, field="note", max_length=MAX_NOTE_BYTES)
