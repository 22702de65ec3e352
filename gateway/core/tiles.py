"""How a log looks as files: the layout that any C2SP checker reads.

A tile holds up to 256 hashes of one level (0, 8, 16, … levels above the leaves), an entry
bundle the up to 256 entries below a tile of level 0. A tile or bundle that is not full yet
carries its width in its name, and is a prefix of every later version of itself, so a store
keeps hashes and entries once and cuts any width from them.

Spec: C2SP tlog-tiles; docs/spec/log.md, "Files".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.merkle import HASH_BYTES, MAX_TREE_SIZE
from gateway.errors import MalformedError

TILE_WIDTH: Final = 256
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
MAX_BUNDLED_ENTRY_BYTES: Final = 65_535
CHECKPOINT_PATH: Final = "checkpoint"

_MAX_LEVEL: Final = 7
"""Level 8 would need 2^64 leaves."""

_PATH: Final = re.compile(
    r"tile/(?P<level>entries|[0-7])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileFile:
    """One file of a log directory.

    Attributes:
        level: Tile level, or None for an entry bundle.
        index: Position of the tile within its level, from 0.
        width: Hashes or entries in it, 1 to 256.
    """

    level: int | None
    index: int
    width: int

    @property
    def path(self) -> str:
        """Return the path below the log's prefix."""
        if self.level is None:
            return entries_path(self.index, self.width)
        return tile_path(self.level, self.index, self.width)

    @property
    def start(self) -> int:
        """Return the position of its first hash or entry within the level."""
        return self.index * TILE_WIDTH

    @property
    def end(self) -> int:
        """Return one behind the position of its last hash or entry within the level."""
        return self.start + self.width


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile, such as ``tile/0/x001/067.p/5``.

    Args:
        level: 0 to 7.
        index: Position within the level, from 0.
        width: Hashes in it, 1 to 256.
    """
    if not 0 <= level <= _MAX_LEVEL:
        msg = f"a tile level is 0 to {_MAX_LEVEL}"
        raise ValueError(msg)
    return f"tile/{level}/{_position(index, width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of an entry bundle, such as ``tile/entries/000.p/5``."""
    return f"tile/entries/{_position(index, width)}"


def parse_tile_path(path: str) -> TileFile:
    """Return the tile or entry bundle that a path names.

    Raises:
        MalformedError: The path is not in the one form that `tile_path` and
            `entries_path` write.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        msg = "not the path of a tile or of an entry bundle"
        raise MalformedError(msg)
    level = None if match["level"] == "entries" else int(match["level"])
    index = int(match["index"].replace("/", "").replace("x", ""))
    width = int(match["width"] or TILE_WIDTH)
    file = TileFile(level=level, index=index, width=width)
    try:
        # One comparison covers leading groups of zeros and ".p/256".
        canonical = file.path == path
    except ValueError:
        canonical = False
    if not canonical:
        msg = "not the path of a tile or of an entry bundle"
        raise MalformedError(msg)
    return file


def files_for(size: int) -> Iterator[TileFile]:
    """Yield every file that a log of ``size`` entries consists of, but its checkpoint.

    Entry bundles come first, then tiles level by level; within a level in order.

    Args:
        size: Tree size; nothing is yielded for 0, since an empty tree has no tiles.
    """
    if not 0 <= size <= MAX_TREE_SIZE:
        msg = "the tree size is out of range"
        raise ValueError(msg)
    yield from _level_files(None, size)
    level, hashes = 0, size
    while hashes:
        yield from _level_files(level, hashes)
        level, hashes = level + 1, hashes // TILE_WIDTH


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each entry behind its length as u16, big-endian.

    Raises:
        ValueError: No entry, more than 256, or one longer than 65,535 bytes.
    """
    if not 1 <= len(entries) <= TILE_WIDTH:
        msg = f"an entry bundle holds 1 to {TILE_WIDTH} entries"
        raise ValueError(msg)
    if max(map(len, entries)) > MAX_BUNDLED_ENTRY_BYTES:
        msg = f"an entry is at most {MAX_BUNDLED_ENTRY_BYTES} bytes"
        raise ValueError(msg)
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_bundle(data: bytes, count: int) -> tuple[bytes, ...]:
    """Return the ``count`` entries of an entry bundle.

    Raises:
        MalformedError: The data holds fewer or more entries, or ends within one.
    """
    entries: list[bytes] = []
    at, length = 0, len(data)
    while at < length and len(entries) < count:
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if at != length or len(entries) != count:
        msg = f"the data is not an entry bundle of {count} entries"
        raise MalformedError(msg)
    return tuple(entries)


def _level_files(level: int | None, hashes: int) -> Iterator[TileFile]:
    full, rest = divmod(hashes, TILE_WIDTH)
    for index in range(full):
        yield TileFile(level=level, index=index, width=TILE_WIDTH)
    if rest:
        yield TileFile(level=level, index=full, width=rest)


def _position(index: int, width: int) -> str:
    if not 1 <= width <= TILE_WIDTH or not 0 <= index <= MAX_TREE_SIZE // TILE_WIDTH:
        msg = "the tile index or its width is out of range"
        raise ValueError(msg)
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return "/".join(reversed(groups)) + suffix
