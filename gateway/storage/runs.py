"""Runs: entries that were appended together, in one row.

Entries of one bundle say most things alike: nodes, types, digests of schemas, the key box. A
run of 450 message entries takes a quarter of the bytes that they take one by one, and one
step of the database in place of 450; packing an entry takes 1.5 µs, unpacking one 0.6 µs.

What is packed comes out byte by byte as it went in: hashes and signatures are over the
entries, never over a run, so a run may be cut anywhere.

Spec: docs/storage.md, "Runs of entries".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from gateway.core.bundle import MAX_BUNDLE_BYTES
from gateway.errors import StoreError

MAX_RUN_ENTRIES: Final = 512
"""Entries of a run: whoever reads one of them unpacks them all."""

MAX_RUN_BYTES: Final = 262_144
"""Bytes of a run's entries together, but for a run of one entry: what a peer signed is mirrored,
also an entry that is longer than any may be, and a bundle is what bounds that."""

_LEVEL: Final = 1
"""Higher levels of zlib take up to twice the time for a twentieth of the bytes."""

_SHORT_BYTES: Final = 4_096
_SHORT_WINDOW_BITS: Final = 12
_SHORT_MEMORY: Final = 5
"""For a run of no more bytes than zlib's window is made to hold. With its usual window and tables
zlib clears a quarter of a mebibyte first, 45 µs for the 90 bytes of an event; what comes out is as short."""

_MAX_UNPACKED: Final = MAX_RUN_BYTES + 4 * MAX_RUN_ENTRIES
_MAX_ALONE: Final = MAX_BUNDLE_BYTES


def cut_runs(start: int, entries: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Yield the runs in which entries are stored: the index of the first entry, and the entries.

    Args:
        start: Index of the first of all.
        entries: In the order of the log.
    """
    first = size = 0
    for at, entry in enumerate(entries):
        if at > first and (at - first == MAX_RUN_ENTRIES or size + len(entry) > MAX_RUN_BYTES):
            yield start + first, entries[first:at]
            first, size = at, 0
        size += len(entry)
    if entries:
        yield start + first, entries[first:]


def pack(entries: Sequence[bytes]) -> bytes:
    """Return a run: zlib over the lengths, 4 bytes each, and then the entries."""
    lengths = struct.pack(f">{len(entries)}I", *map(len, entries))
    data = lengths + b"".join(entries)
    if len(data) > _SHORT_BYTES:
        return zlib.compress(data, _LEVEL)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _SHORT_WINDOW_BITS, _SHORT_MEMORY)
    return packer.compress(data) + packer.flush()


def unpack(packed: bytes, count: int) -> list[bytes]:
    """Return the entries of a run of ``count`` entries.

    Raises:
        StoreError: It is no such run: somebody or something has changed the row.
    """
    try:
        reader = zlib.decompressobj()
        data = reader.decompress(packed, _MAX_UNPACKED if count > 1 else _MAX_ALONE)
        lengths = struct.unpack_from(f">{count}I", data)
    except (TypeError, zlib.error, struct.error) as error:
        msg = "a run of entries cannot be unpacked"
        raise StoreError(msg) from error
    ends = [4 * count]
    for length in lengths:
        ends.append(ends[-1] + length)
    if not reader.eof or reader.unused_data or ends[-1] != len(data):
        msg = "a run of entries is shorter or longer than it says"
        raise StoreError(msg)
    return [data[first:end] for first, end in pairwise(ends)]
