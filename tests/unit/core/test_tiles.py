"""Files of a log have the names and widths of C2SP tlog-tiles, and one name each."""

from __future__ import annotations

import pytest

from gateway.core.tiles import (
    TileFile,
    decode_bundle,
    encode_bundle,
    entries_path,
    files_for,
    parse_tile_path,
    tile_path,
)
from gateway.errors import MalformedError


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (0, "000"),
        (7, "007"),
        (999, "999"),
        (1_000, "x001/000"),
        (67_000, "x067/000"),
        (1_234_067, "x001/x234/067"),
        (2**55 - 1, "x036/x028/x797/x018/x963/967"),
    ],
)
def test_an_index_is_written_in_groups_of_three_digits(index: int, text: str) -> None:
    assert tile_path(0, index) == f"tile/0/{text}"
    assert entries_path(index, 5) == f"tile/entries/{text}.p/5"
    assert parse_tile_path(f"tile/3/{text}.p/255") == TileFile(level=3, index=index, width=255)
    assert parse_tile_path(f"tile/entries/{text}") == TileFile(level=None, index=index, width=256)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/00/000",
        "tile/8/000",
        "tile/63/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/Entries/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x036/x028/x797/x018/x963/968",
        "tile/0/000.p/0",
        "tile/0/000.p/05",
        "tile/0/000.p/256",
        "tile/0/000.p/1000",
        "tile/0/000.p/",
        "tile/0/000.p/+5",
        "tile/0/000.p/\N{ARABIC-INDIC DIGIT FIVE}",
        "tile/0/\N{ARABIC-INDIC DIGIT FIVE}00",
        "tile/0/../000",
        "tile/8/0/000",
    ],
)
def test_every_other_path_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        parse_tile_path(path)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-1, 0, 1), (8, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)]
)
def test_no_path_is_made_for_what_is_no_tile(level: int, index: int, width: int) -> None:
    with pytest.raises(ValueError, match="tile"):
        tile_path(level, index, width)


@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        (1, ["tile/0/000.p/1"]),
        (255, ["tile/0/000.p/255"]),
        (256, ["tile/0/000", "tile/1/000.p/1"]),
        (257, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]),
        (512, ["tile/0/000", "tile/0/001", "tile/1/000.p/2"]),
        (
            65_535,
            [*(tile_path(0, index) for index in range(255)), "tile/0/255.p/255", "tile/1/000.p/255"],
        ),
        (65_536, [*(tile_path(0, index) for index in range(256)), "tile/1/000", "tile/2/000.p/1"]),
        (
            65_537,
            [
                *(tile_path(0, index) for index in range(256)),
                "tile/0/256.p/1",
                "tile/1/000",
                "tile/2/000.p/1",
            ],
        ),
        (
            70_000,
            [
                *(tile_path(0, index) for index in range(273)),
                "tile/0/273.p/112",
                "tile/1/000",
                "tile/1/001.p/17",
                "tile/2/000.p/1",
            ],
        ),
    ],
)
def test_a_log_consists_of_the_files_of_its_size(size: int, tiles: list[str]) -> None:
    paths = [file.path for file in files_for(size)]
    bundles = [path.replace("tile/0/", "tile/entries/") for path in tiles if path.startswith("tile/0/")]

    assert paths == bundles + tiles


def test_an_empty_log_has_no_files() -> None:
    assert list(files_for(0)) == []


def test_the_size_of_a_log_is_checked() -> None:
    with pytest.raises(ValueError, match="size"):
        list(files_for(-1))


def test_a_file_says_which_part_of_its_level_it_holds() -> None:
    file = parse_tile_path("tile/1/003.p/7")

    assert (file.start, file.end) == (768, 775)


def test_a_bundle_is_each_entry_behind_its_length() -> None:
    entries = (b"", b"a", b"x" * 300, b"y" * 65_535)
    data = encode_bundle(entries)

    assert data[:7] == b"\x00\x00\x00\x01a\x01\x2c"
    assert decode_bundle(data, 4) == entries


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x01", 1),
        (b"\x00\x02a", 1),
        (b"\x00\x01a", 0),
        (b"\x00\x01a", 2),
        (b"\x00\x01a\x00", 1),
        (b"\x00\x01a\x00", 2),
        (b"\x00\x01a\x00\x00", 1),
    ],
)
def test_a_bundle_with_fewer_or_more_entries_is_refused(data: bytes, count: int) -> None:
    with pytest.raises(MalformedError):
        decode_bundle(data, count)


@pytest.mark.parametrize("entries", [(), (b"",) * 257, (b"x" * 65_536,)], ids=["none", "257", "long"])
def test_no_bundle_is_made_beyond_the_limits(entries: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="entr"):
        encode_bundle(entries)
