"""Whatever lies in a folder that somebody made to mislead, the answer is NOT VERIFIED and why."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.audit.folder import count_files, shown
from gateway.audit.verify import verify_folder
from gateway.core.tiles import files_for
from tests.unit.audit.making import LARGE_SIZES, SIZES, audit_log, full_trust


def not_verified(folder: Path) -> str:
    report = verify_folder(folder, trust=full_trust())
    assert not report.is_verified
    assert report.headline.startswith("NOT VERIFIED")
    assert report.headline.isascii()
    assert report.headline.isprintable()
    return report.reason or ""


def add(name: str, data: bytes = b"x") -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return build


def replace_with(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        path = folder / name
        path.unlink()
        make(path)

    return build


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)
        server.bind(path.name)


SUPERFLUOUS = [
    *("README", "tile/0/x000/000", "tile/00/000", "tile/0/002", "tile/0/000.p/256", "tile/0/000.p/0"),
    *("tile/0/000.p/255", "tile/0/001.p/1", "tile/0/001.p/43", "tile/1/000", "tile/1/001.p/1"),
    *("tile/2/000.p/1", "tile/7/000.p/1", "tile/8/000", "tile/63/000", "tile/entries/x000/000"),
    *("tile/entries/001", "tile/data/000", "tile/entries/001.p/45", ".unfinished", "checkpoint.old"),
    *("tile/0/\N{ARABIC-INDIC DIGIT FIVE}00", "tile/0/00\n0", "\x1b[2J", "tile/0/" + "x" * 200),
    *("x001/000", "tile/0/x999/x999/x999/x999/x999/x999/999", "a/b/c/d/e/f/g/h/i/j/k/l/m/n"),
]


@pytest.mark.parametrize("name", SUPERFLUOUS)
def test_a_superfluous_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = audit_log(300).export(tmp_path / "log")
    add(name)(folder)
    assert not_verified(folder).startswith("files:")


@pytest.mark.parametrize("name", [file.path for file in files_for(300)])
def test_an_absent_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = audit_log(300).export(tmp_path / "log")
    (folder / name).unlink()
    assert not_verified(folder).startswith("files:")


EVERY_FILE = ["checkpoint", *(file.path for file in files_for(300))]
KINDS: dict[str, Callable[[Path], object]] = {
    "link": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "loop": lambda path: path.symlink_to(path),
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "socket": unix_socket,
    "empty file": lambda path: path.write_bytes(b""),
    "terabyte": sparse,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EVERY_FILE)
def test_something_else_in_the_place_of_a_file_is_refused(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = audit_log(300).export(tmp_path / "log")
    replace_with(name, KINDS[kind])(folder)
    assert not_verified(folder)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_file_that_is_a_byte_shorter_or_longer_is_refused(tmp_path: Path, name: str) -> None:
    folder = audit_log(300).export(tmp_path / "log")
    data = (folder / name).read_bytes()
    for changed in (data[:-1], data + b"\n", data + b"\x00", data[: len(data) // 2], data * 2, data[1:]):
        (folder / name).write_bytes(changed)
        assert not_verified(folder)


def test_a_link_to_the_right_file_is_refused_too(tmp_path: Path) -> None:
    folder = audit_log(300).export(tmp_path / "log")
    (folder / "tile/0/000").rename(tmp_path / "tile")
    (folder / "tile/0/000").symlink_to(tmp_path / "tile")
    assert "neither a file nor a folder of a log" in not_verified(folder)


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    folder = audit_log(300).export(tmp_path / "log")
    (folder / "tile").rename(tmp_path / "tile")
    (folder / "tile").symlink_to(tmp_path / "tile")
    assert not_verified(folder)


@pytest.mark.parametrize("name", ["tile/0/005.p", "tile/2", "tile/entries/x000", "tile/x000"])
def test_an_empty_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = audit_log(300).export(tmp_path / "log")
    (folder / name).mkdir()
    assert not_verified(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "checkpoint is absent" in not_verified(tmp_path / "nowhere")


def test_an_empty_folder_is_no_log(tmp_path: Path) -> None:
    assert "checkpoint is absent" in not_verified(tmp_path)


@pytest.mark.parametrize(
    "note",
    [
        *(b"", b"\n", b"\n\n", b"x", b"\x00" * 100, b"\xff\xfe" * 50, "\u2014 a b\n".encode() * 99),
        b"fr.gateway.test/audit\n3\nAAAA\n\n\xe2\x80\x94 x AAAAAAA=\n",
        b"fr.gateway.test/audit\n99999999999999999999\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 x AAAAAAA=\n",
        b"a" * 65_536,
        b"a" * 65_537,
    ],
)
def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path, note: bytes) -> None:
    folder = audit_log(3).export(tmp_path / "log")
    (folder / "checkpoint").write_bytes(note)
    assert not_verified(folder).startswith("signatures:")


def test_lines_ended_as_on_windows_are_refused(tmp_path: Path) -> None:
    folder = audit_log(3).export(tmp_path / "log")
    path = folder / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert not_verified(folder).startswith("signatures:")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = audit_log(3).export(tmp_path / "log")
    (folder / "tile/0/000.p/3").chmod(0)
    assert "cannot be opened" in not_verified(folder)


@pytest.mark.parametrize("size", [*SIZES, *LARGE_SIZES, 70_000, 16_777_217])
def test_files_are_counted_without_listing_them(size: int) -> None:
    assert count_files(size) == sum(1 for _ in files_for(size))


def test_a_foreign_name_is_shown_so_that_a_terminal_can_show_it() -> None:
    assert shown("a\x1b[2Jb") == r"'a\x1b[2Jb'"
    assert len(shown("x" * 500)) <= 80
