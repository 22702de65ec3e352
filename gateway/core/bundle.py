"""What one node ships to the other: a run of log entries and what belongs to them.

A bundle carries the entries ``start`` to ``start + count`` of the sender's exchange log,
the key boxes and ciphertexts of the message entries among them, and the signed note of
the log at ``start + count``. It is sent again byte for byte after a failure, but for
ciphertexts that were erased since, which travel as nil.

Spec: docs/spec/exchange.md, "Bundle".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from gateway.core.encoding import decode, encode
from gateway.core.envelope import PROTOCOL_VERSION
from gateway.core.tiles import MAX_BUNDLED_ENTRY_BYTES
from gateway.errors import MalformedError

MAX_BUNDLE_ENTRIES: Final = 1_024
MAX_BUNDLE_BYTES: Final = 16 * 1024 * 1024
MAX_NOTE_BYTES: Final = 65_536

_FIELDS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A run of entries with boxes, ciphertexts and the note that covers it.

    Attributes:
        start: Index of the first entry in the sender's log.
        entries: 1 to 1,024 encoded entries, none longer than an exported log can hold.
        boxes: Key boxes; each message entry names its own by digest.
        ciphertexts: One for each message entry, in order; None for one that was erased.
        note: Signed note of the sender's log at ``start + len(entries)``.
    """

    start: int
    entries: tuple[bytes, ...]
    boxes: tuple[bytes, ...]
    ciphertexts: tuple[bytes | None, ...]
    note: bytes

    @property
    def end(self) -> int:
        """Return the index behind the last entry, which is the note's tree size."""
        return self.start + len(self.entries)

    def encode(self) -> bytes:
        """Return the one encoding of this bundle."""
        return encode((PROTOCOL_VERSION, self.start, self.entries, self.boxes, self.ciphertexts, self.note))


def decode_bundle(data: bytes) -> Bundle:
    """Return the bundle that ``data`` encodes.

    Raises:
        MalformedError: Too large, not canonical, of another version, or with fields of
            another shape. The entries themselves are not looked into.
    """
    value = decode(data, max_bytes=MAX_BUNDLE_BYTES)
    if not isinstance(value, tuple) or len(value) != _FIELDS:
        msg = f"a bundle is an array of {_FIELDS} fields"
        raise MalformedError(msg)
    version, start, entries, boxes, ciphertexts, note = cast("tuple[Any, ...]", value)
    if type(version) is not int or version != PROTOCOL_VERSION:
        msg = "the bundle is of another protocol version"
        raise MalformedError(msg)
    if (
        type(start) is not int
        or start < 0
        or type(note) is not bytes
        or len(note) > MAX_NOTE_BYTES
        or not _is_bytes_array(entries, least=1)
        # What no auditor could be given a copy of gets into no mirror.
        or max(map(len, entries)) > MAX_BUNDLED_ENTRY_BYTES
        or not _is_bytes_array(boxes)
        or type(ciphertexts) is not tuple
        or len(ciphertexts) > len(entries)
        or len(boxes) > len(entries)
        or any(item is not None and type(item) is not bytes for item in ciphertexts)
    ):
        msg = "a field of the bundle has another type or size than the specification gives"
        raise MalformedError(msg)
    return Bundle(start=start, entries=entries, boxes=boxes, ciphertexts=ciphertexts, note=note)


def _is_bytes_array(value: Any, *, least: int = 0) -> bool:
    return (
        type(value) is tuple
        and least <= len(value) <= MAX_BUNDLE_ENTRIES
        and all(type(item) is bytes for item in value)
    )
