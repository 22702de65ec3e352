"""An export is whole at every moment, and holds the files of C2SP tlog-tiles and no other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.audit.export import UNFINISHED, ExportRefusedError, export_log
from gateway.audit.verify import verify_folder
from gateway.core.tiles import encode_bundle, entries_path, files_for
from gateway.errors import MalformedError
from tests.unit.audit.making import (
    LARGE_SIZES,
    SIZES,
    US_FR,
    MadeLog,
    audit_log,
    exchange_log,
    full_trust,
    make_log,
    opening,
)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


@pytest.mark.parametrize("size", [*SIZES, *LARGE_SIZES])
def test_an_export_holds_the_files_of_its_size_and_no_other(tmp_path: Path, size: int) -> None:
    log = audit_log(size)
    done = export_log(log, tmp_path / "log")
    expected = {file.path for file in files_for(size)}
    assert names(tmp_path / "log") == {"checkpoint", *expected}
    assert done.files == len(expected) + 1
    assert (done.old_size, done.checkpoint.size, done.removed) == (0, size, 0)
    assert (tmp_path / "log" / "checkpoint").read_bytes() == log.signed
    assert all(path.stat().st_size for path in (tmp_path / "log").rglob("*") if path.is_file())


def test_bundles_hold_the_entries_as_they_are(tmp_path: Path) -> None:
    log = audit_log(257)
    folder = log.export(tmp_path)
    assert (folder / entries_path(0)).read_bytes() == encode_bundle(log.stored[:256])
    assert (folder / entries_path(1, 1)).read_bytes() == encode_bundle(log.stored[256:])


OLD_AND_NEW = [
    *((0, 1), (1, 2), (1, 256), (255, 256), (255, 257), (256, 257), (257, 511), (259, 515), (515, 515)),
    *((515, 65_537), (65_280, 65_536), (65_535, 65_536), (65_536, 65_537)),
]


@pytest.mark.parametrize(("old", "new"), OLD_AND_NEW)
def test_a_second_export_gives_what_a_fresh_one_gives(tmp_path: Path, old: int, new: int) -> None:
    folder = audit_log(old).export(tmp_path / "grown")
    done = export_log(audit_log(new), folder)
    assert done.old_size == old
    log = audit_log(new)
    fresh = log.export(tmp_path / "fresh")
    (folder / "checkpoint").write_bytes(log.signed)
    (fresh / "checkpoint").write_bytes(log.signed)
    assert contents(folder) == contents(fresh)


def test_a_second_export_writes_only_what_is_new(tmp_path: Path) -> None:
    folder = audit_log(2_560).export(tmp_path)
    old = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    done = export_log(audit_log(2_561), folder)
    kept = [path for path, time in old.items() if path.exists() and path.stat().st_mtime_ns == time]
    assert len(kept) == 20  # ten full bundles and ten full tiles
    assert (done.files, done.removed) == (4, 0)


def test_progress_adds_up_to_what_was_written(tmp_path: Path) -> None:
    told: list[int] = []
    export_log(audit_log(5_000), tmp_path, progress=told.append)
    assert sum(told) == 5_000
    assert len(told) > 1


@dataclass
class Failing:
    """A log whose storage fails after some reads."""

    log: MadeLog
    reads: int

    def note(self) -> bytes:
        return self.log.note()

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        if self.reads == 0:
            raise ConnectionError
        self.reads -= 1
        return self.log.entries(start, end)


@pytest.mark.parametrize("reads", [0, 1, 2])
def test_an_interrupted_first_export_leaves_no_checkpoint_and_can_be_repeated(
    tmp_path: Path, reads: int
) -> None:
    with pytest.raises(ExportRefusedError):
        export_log(Failing(audit_log(6_000), reads), tmp_path)
    assert not (tmp_path / "checkpoint").exists()
    audit_log(6_000).export(tmp_path)
    assert verify_folder(tmp_path, trust=full_trust()).is_verified


@pytest.mark.parametrize("reads", [0, 1, 2])
def test_an_interrupted_second_export_leaves_all_that_the_old_checkpoint_names(
    tmp_path: Path, reads: int
) -> None:
    old = audit_log(300)
    old.export(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ExportRefusedError):
        export_log(Failing(audit_log(6_000), reads), tmp_path)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    audit_log(6_000).export(tmp_path)
    assert verify_folder(tmp_path, trust=full_trust()).is_verified


def test_what_a_crash_after_the_checkpoint_leaves_goes_with_the_next_export(tmp_path: Path) -> None:
    folder = audit_log(300).export(tmp_path)
    partial = {name: data for name, data in contents(folder).items() if ".p/" in name}
    audit_log(515).export(folder)
    for name, data in partial.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / UNFINISHED).write_bytes(b"half of a ti")
    assert not verify_folder(folder, trust=full_trust()).is_verified
    done = export_log(audit_log(515), folder)
    assert done.removed == len(partial)
    assert verify_folder(folder, trust=full_trust()).is_verified


def test_an_export_of_the_same_size_takes_the_newer_note(tmp_path: Path) -> None:
    folder = make_log(US_FR, opening(US_FR.partition("/")[0])).export(tmp_path)
    cosigned = make_log(US_FR, opening(US_FR.partition("/")[0]), cosigner="fr.gateway.test")
    cosigned.export(folder)
    assert (folder / "checkpoint").read_bytes() == cosigned.signed


# --- refusals -----------------------------------------------------------------------


def refuse(log: MadeLog, folder: Path, why: str) -> None:
    before = contents(folder) if folder.is_dir() else {}
    with pytest.raises(ExportRefusedError, match=why):
        export_log(log, folder)
    if folder.is_dir():
        assert contents(folder).items() >= before.items()


def test_another_log_in_the_folder_is_refused(tmp_path: Path) -> None:
    refuse(exchange_log(), audit_log(5).export(tmp_path), "another log")


def test_a_newer_state_in_the_folder_is_refused(tmp_path: Path) -> None:
    refuse(audit_log(4), audit_log(5).export(tmp_path), "newer or another state")


def test_another_root_for_the_same_size_is_refused(tmp_path: Path) -> None:
    folder = audit_log(5).export(tmp_path)
    refuse(make_log(audit_log(5).origin, [b"\x91\x01"] * 5), folder, "newer or another state")


@pytest.mark.parametrize("name", ["notes.txt", "tile/0/notes.txt", "tile/8/000", ".git/config", "tile/0/1"])
def test_a_folder_with_other_files_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"mine")
    refuse(audit_log(5), tmp_path, "neither empty nor an export")
    assert path.read_bytes() == b"mine"


def test_a_folder_with_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "checkpoint").symlink_to("/etc/passwd")
    refuse(audit_log(5), tmp_path / "log", "neither empty nor an export")


def test_a_folder_whose_checkpoint_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = audit_log(5).export(tmp_path)
    (folder / "checkpoint").write_bytes(b"garbage\n")
    refuse(audit_log(6), folder, "checkpoint cannot be read")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    refuse(audit_log(5), tmp_path / "file", "cannot be written")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_access_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir(mode=0o500)
    refuse(audit_log(5), folder, "cannot be written")


def test_two_exports_into_one_folder_at_once_are_refused(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refuse(audit_log(5), tmp_path, "another export")
    finally:
        os.close(descriptor)


def test_entries_that_do_not_lead_to_the_signed_root_are_refused(tmp_path: Path) -> None:
    log = audit_log(300)
    changed = MadeLog(origin=log.origin, stored=(*log.stored[:7], b"", *log.stored[8:]), signed=log.signed)
    refuse(changed, tmp_path / "log", "signed root|root that the log has signed")
    assert not (tmp_path / "log" / "checkpoint").exists()


def test_a_log_that_lost_entries_is_refused(tmp_path: Path) -> None:
    log = audit_log(300)
    short = MadeLog(origin=log.origin, stored=log.stored[:299], signed=log.signed)
    refuse(short, tmp_path / "log", "does not hold all the entries")


@pytest.mark.parametrize("damage", ["unlink", "alter", "empty"])
def test_a_folder_that_was_damaged_is_written_anew(tmp_path: Path, damage: str) -> None:
    folder = audit_log(300).export(tmp_path)
    tile = folder / "tile/1/000.p/1"
    tile.write_bytes(bytes(32) if damage == "alter" else b"")
    if damage == "unlink":
        tile.unlink()
    audit_log(515).export(folder)
    assert verify_folder(folder, trust=full_trust()).is_verified


def test_a_note_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedError):
        export_log(MadeLog(origin="x", stored=(), signed=b"garbage"), tmp_path / "log")
    assert not (tmp_path / "log").exists()
