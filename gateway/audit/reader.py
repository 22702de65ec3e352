"""Hashes and single entries of a log that has been verified, read where they lie."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.audit.log import AuditedLog
from gateway.core.entries import Kind, MessageEntry, decode_entry, kind_of
from gateway.core.envelope import Header, decode_header
from gateway.core.merkle import Hash, hash_leaf
from gateway.core.tiles import TILE_WIDTH
from gateway.errors import MalformedError


class LogReader:
    """A log of a known size, a tile at a time; the last tile of each level is kept.

    Satisfies `gateway.core.merkle.HashReader`.
    """

    def __init__(self, log: AuditedLog, size: int) -> None:
        """Read ``log`` as it is at ``size`` entries."""
        self._log = log
        self._size = size
        self._tiles: dict[int, tuple[int, Sequence[Hash]]] = {}
        self._bundle: tuple[int, Sequence[bytes]] = (-1, ())

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        """Return hashes of one tile."""
        tile = start // TILE_WIDTH
        first = tile * TILE_WIDTH
        if self._tiles.get(level, (-1, ()))[0] != tile:
            self._tiles[level] = (tile, self._read(level, first))
        return self._tiles[level][1][start - first : end - first]

    def entry(self, index: int) -> bytes:
        """Return the entry at an index."""
        tile = index // TILE_WIDTH
        first = tile * TILE_WIDTH
        if self._bundle[0] != tile:
            self._bundle = (tile, self._log.entries(first, min(first + TILE_WIDTH, self._size)))
        return self._bundle[1][index - first]

    def _read(self, level: int, first: int) -> Sequence[Hash]:
        last = min(first + TILE_WIDTH, self._size >> 8 * level)
        if level < self._log.stored_from:
            return [hash_leaf(entry) for entry in self._log.entries(first, last)]
        return self._log.hashes(level, first, last)


def read_message(data: bytes) -> MessageEntry | None:
    """Return the message that an entry is, or None if it is none."""
    if kind_of(data) != Kind.MESSAGE:
        return None
    try:
        entry = decode_entry(data)
    except MalformedError:
        return None
    return entry if isinstance(entry, MessageEntry) else None


def read_header(data: bytes) -> Header | None:
    """Return the header of the message that an entry is, or None if it is none or its header is not one."""
    message = read_message(data)
    try:
        return None if message is None else decode_header(message.header)
    except MalformedError:
        return None
