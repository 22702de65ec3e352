"""The tiles of a log, computed from its entries one tile after another.

Writing an export and checking one are the same computation: leaf hashes go in at the
bottom, and each tile comes out at the moment when its last hash is known. At any time at
most 255 hashes a level are held, so a log of any size fits into a few kilobytes.

Spec: C2SP tlog-tiles; RFC 6962 Section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.merkle import Hash, HashReader, RightEdge, append, root_of
from gateway.core.tiles import TILE_WIDTH, TileFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile with its hashes, as they follow from the entries.

    Attributes:
        file: Level, index and width.
        hashes: As many as the tile is wide.
    """

    file: TileFile
    hashes: tuple[Hash, ...]

    def encode(self) -> bytes:
        """Return the content of the tile's file: 32 bytes a hash."""
        return b"".join(self.hashes)


class TileStack:
    """The right edge of a log as tiles that are not full yet, from the leaves upwards."""

    __slots__ = ("_levels", "_size")

    def __init__(self) -> None:
        """Begin with the empty log."""
        self._size = 0
        self._levels: list[list[Hash]] = [[]]

    @classmethod
    def resume(cls, size: int, reader: HashReader) -> TileStack:
        """Return the stack of a log whose first ``size`` entries have been hashed before.

        Args:
            size: A multiple of 256, so that no leaf hash is pending.
            reader: Hashes of level 1 and above of this log.
        """
        if size % TILE_WIDTH:
            msg = "a log is resumed at the end of a full tile"
            raise ValueError(msg)
        stack = cls()
        stack._size = size
        level, count = 1, size // TILE_WIDTH
        while count:
            first = count - count % TILE_WIDTH
            stack._levels.append(list(reader.hashes(level, first, count)) if first < count else [])
            level, count = level + 1, count // TILE_WIDTH
        return stack

    @property
    def size(self) -> int:
        """Return the number of leaves so far."""
        return self._size

    def push(self, leaf_hashes: Sequence[Hash]) -> list[Tile]:
        """Add leaves and return the tiles that are full now, lower levels first.

        Args:
            leaf_hashes: At most as many as the pending tile of level 0 has room for.

        Raises:
            ValueError: More than that.
        """
        if len(self._levels[0]) + len(leaf_hashes) > TILE_WIDTH:
            msg = "leaves are added up to the end of a tile"
            raise ValueError(msg)
        self._size += len(leaf_hashes)
        full: list[Tile] = []
        level, nodes = 0, leaf_hashes
        while nodes:
            if level == len(self._levels):
                self._levels.append([])
            pending = self._levels[level]
            pending.extend(nodes)
            if len(pending) < TILE_WIDTH:
                break
            tile = self._tile(level, full=True)
            full.append(tile)
            pending.clear()
            level, nodes = level + 1, (root_of(tile.hashes),)
        return full

    def partial(self) -> list[Tile]:
        """Return the tiles at the right edge that are neither full nor empty, lower levels first."""
        return [self._tile(level, full=False) for level, pending in enumerate(self._levels) if pending]

    def edge(self) -> RightEdge:
        """Return the right edge of the log; its root commits to every leaf so far."""
        hashes: list[Hash] = []
        for pending in reversed(self._levels):
            hashes += append(RightEdge.EMPTY, pending).edge.hashes
        return RightEdge(size=self._size, hashes=tuple(hashes))

    def _tile(self, level: int, *, full: bool) -> Tile:
        # Hashes of this level so far, the pending ones included, tell which tile they are in.
        count = self._size >> 8 * level
        index = count // TILE_WIDTH - (1 if full else 0)
        hashes = tuple(self._levels[level])
        return Tile(file=TileFile(level=level, index=index, width=len(hashes)), hashes=hashes)
