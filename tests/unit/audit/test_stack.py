"""Tiles that grow tile by tile are those that the whole list of leaves gives."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from gateway.audit.stack import Tile, TileStack
from gateway.core.merkle import EMPTY_ROOT, Hash, root_of
from gateway.core.tiles import TileFile, files_for
from tests.unit.audit.making import LARGE_SIZES, SIZES

LEAVES = [Hash(hashlib.sha256(n.to_bytes(4, "big")).digest()) for n in range(max(LARGE_SIZES))]


class Levels:
    """The hashes of every level of the tree over some leaves."""

    def __init__(self, leaves: Sequence[Hash]) -> None:
        self.levels = [list(leaves)]
        while len(self.levels[-1]) >= 256:
            below = self.levels[-1]
            self.levels.append(
                [root_of(below[at : at + 256]) for at in range(0, len(below) - len(below) % 256, 256)]
            )

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        return self.levels[level][start:end]


def grow(stack: TileStack, leaves: Sequence[Hash]) -> list[Tile]:
    tiles: list[Tile] = []
    for at in range(0, len(leaves), 256):
        tiles += stack.push(leaves[at : at + 256])
    return tiles


@pytest.mark.parametrize("size", [*SIZES, *LARGE_SIZES])
def test_full_and_partial_tiles_together_are_all_tiles_of_the_log(size: int) -> None:
    stack = TileStack()
    tiles = grow(stack, LEAVES[:size]) + stack.partial()
    expected = [file for file in files_for(size) if file.level is not None]
    by_place = sorted(tiles, key=lambda tile: (tile.file.level or 0, tile.file.index))
    assert [tile.file for tile in by_place] == expected
    levels = Levels(LEAVES[:size])
    for tile in tiles:
        file = tile.file
        assert list(tile.hashes) == levels.hashes(file.level or 0, file.start, file.end)
        assert len(tile.encode()) == 32 * file.width


@pytest.mark.parametrize("size", [*SIZES, *LARGE_SIZES])
def test_the_edge_leads_to_the_root(size: int) -> None:
    stack = TileStack()
    grow(stack, LEAVES[:size])
    assert stack.size == size
    assert stack.edge().root() == root_of(LEAVES[:size])


def test_the_empty_log_has_no_tile_and_the_empty_root() -> None:
    assert TileStack().partial() == []
    assert TileStack().edge().root() == EMPTY_ROOT


@pytest.mark.parametrize("first", [0, 256, 512, 65_280, 65_536])
def test_a_resumed_stack_goes_on_as_if_it_had_seen_everything(first: int) -> None:
    size = 65_537
    stack = TileStack.resume(first, Levels(LEAVES[:first]))
    assert stack.size == first
    grow(stack, LEAVES[first:size])
    assert stack.edge().root() == root_of(LEAVES[:size])
    assert TileFile(level=2, index=0, width=1) in [tile.file for tile in stack.partial()]


@pytest.mark.parametrize("size", [1, 255, 257])
def test_a_stack_resumes_at_the_end_of_a_full_tile_only(size: int) -> None:
    with pytest.raises(ValueError, match="full tile"):
        TileStack.resume(size, Levels(LEAVES[:size]))


def test_leaves_beyond_the_end_of_a_tile_are_refused() -> None:
    stack = TileStack()
    stack.push(LEAVES[:200])
    with pytest.raises(ValueError, match="end of a tile"):
        stack.push(LEAVES[200:257])
    assert stack.size == 200


def test_leaves_may_come_in_any_portions_within_a_tile() -> None:
    stack = TileStack()
    for at in range(0, 515, 1):
        stack.push(LEAVES[at : at + 1])
    assert stack.edge().root() == root_of(LEAVES[:515])
