"""Every backup that is refused, and with it nothing written; every database that is not backed up."""

from __future__ import annotations

import asyncio
import fcntl
import io
import secrets
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.backup.restoring import restore_backup
from gateway.core.keybox import KEM_SEED_BYTES, KemPrivateKey
from gateway.errors import StoreError
from gateway.keyring.backupkey import BackupKey
from gateway.keyring.home import BACKUP_SENDER_KEY
from gateway.keyring.refusals import CeremonyError, KeyFileError, TrustError
from gateway.keyring.sealedfile import MAGIC, BackupError
from gateway.storage.notices import waiting
from gateway.storage.snapshot import remove_leftovers
from gateway.storage.store import SqlStore
from tests.backup_site import (
    ENTRIES,
    ORIGIN,
    Site,
    append,
    copy_site,
    files_of,
    make_template,
    mark,
    rebuilt,
    rows,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a home with a database and a backup key once; tests get copies."""
    return make_template(tmp_path_factory.mktemp("backup"))


@pytest.fixture
def site(template: tuple[Path, Path], tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "fr")


def _cut(content: bytes) -> bytes:
    return content[:-1]


def _cut_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip_last(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def _flip_middle(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _flip_header(content: bytes) -> bytes:
    return content.replace(b'"created": "2026', b'"created": "2025', 1)


def _other_mark(content: bytes) -> bytes:
    return content.replace(b'"test": true', b'"test":  true', 1)


def _swap(content: bytes) -> bytes:
    """Exchange two pieces of 16 KiB far behind the header."""
    piece, first = 16_384, len(content) - 5 * 16_384
    a, b = content[first : first + piece], content[first + piece : first + 2 * piece]
    return content[:first] + b + a + content[first + 2 * piece :]


def _repeat_end(content: bytes) -> bytes:
    return content + content[-100:]


def _header_only(content: bytes) -> bytes:
    return content[: content.index(b'"box"')]


def _long_header(content: bytes) -> bytes:
    return MAGIC + b"\xff\xff\xff\xff" + content[len(MAGIC) + 4 :]


DAMAGES: tuple[Callable[[bytes], bytes], ...] = (
    _cut,
    _cut_half,
    _flip_last,
    _flip_middle,
    _flip_header,
    _other_mark,
    _swap,
    _repeat_end,
    _header_only,
    _long_header,
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_with_one_sentence_and_nothing_is_written(
    site: Site, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    content = site.backup()
    damaged = damage(content)
    assert damaged != content
    with pytest.raises(
        BackupError,
        match="truncated, altered or damaged, or was not made by its node: use another copy; nothing",
    ):
        site.restore(tmp_path / "new", damaged)
    assert not (tmp_path / "new").exists()


def test_pieces_of_two_backups_do_not_go_together(site: Site, tmp_path: Path) -> None:
    one, two = site.backup(), site.backup()
    at = len(one) - 3 * 16_384
    with pytest.raises(BackupError, match="truncated, altered or damaged"):
        site.restore(tmp_path / "new", one[:at] + two[at:])
    assert not (tmp_path / "new").exists()


def test_a_backup_that_somebody_made_who_has_only_the_public_key_is_refused(
    site: Site, tmp_path: Path
) -> None:
    content = rebuilt(site, lambda text: text, sender=bytes(32))
    with pytest.raises(BackupError, match="was not made by its node"):
        site.restore(tmp_path / "new", content)
    assert not (tmp_path / "new").exists()


def test_without_the_sender_secret_there_is_no_backup(site: Site) -> None:
    sender = site.home.keys / BACKUP_SENDER_KEY
    sender.unlink()
    with pytest.raises(KeyFileError, match=r"backup-sender\.key does not exist"):
        site.backup()


def test_a_key_of_another_backup_is_refused(site: Site, tmp_path: Path) -> None:
    private = KemPrivateKey.from_seed(secrets.token_bytes(KEM_SEED_BYTES))
    other = BackupKey(private=private, sender=site.key.sender)
    with pytest.raises(BackupError, match="another backup key"):
        restore_backup(tmp_path / "new", io.BytesIO(site.backup()), other, reason="a test")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a backup of Entente"),
        (b"PK\x03\x04 something else entirely", "not a backup of Entente"),
        (b"entente-backup/2\n", "a format that this version does not know"),
    ],
)
def test_another_file_is_told_apart(site: Site, tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(BackupError, match=says):
        site.restore(tmp_path / "new", content)


@pytest.mark.parametrize("name", ["gateway.db", "gateway.db-wal", "gateway.db-journal"])
def test_nothing_of_a_database_that_is_there_is_replaced(site: Site, tmp_path: Path, name: str) -> None:
    data = tmp_path / "new" / "data"
    data.mkdir(parents=True, mode=0o700)
    (data / name).write_bytes(b"precious")
    with pytest.raises(StoreError, match=f"there is a database already: move {name} away"):
        site.restore(tmp_path / "new", site.backup())
    assert files_of(tmp_path / "new") == {f"data/{name}": b"precious"}


def test_a_running_node_is_not_restored_under_its_feet(site: Site) -> None:
    content = site.backup()

    async def main() -> None:
        store = SqlStore.open(f"sqlite:///{site.home.data}/gateway.db")
        try:
            (site.home.data / "gateway.db").rename(site.home.path / "moved-away")
            for side in ("-wal", "-shm"):
                (site.home.data / f"gateway.db{side}").unlink(missing_ok=True)
            with pytest.raises(StoreError, match="a process of this node runs: stop it first"):
                await asyncio.to_thread(site.restore, site.home.path, content)
            assert not (site.home.data / "gateway.db").exists()
            # Nothing was restored, so the running node finds nothing to say of it.
            assert not list(waiting(site.home.data))
            (site.home.path / "moved-away").rename(site.home.data / "gateway.db")
        finally:
            await store.close()

    asyncio.run(main())


def test_a_running_node_whose_lock_was_moved_away_as_well_is_told_by_its_socket(site: Site) -> None:
    """As by `mv gateway.db* …` where somebody forgot to stop the node."""
    content = site.backup()
    away = site.home.path / "away"
    away.mkdir()
    for path in site.home.data.glob("gateway.db*"):
        path.rename(away / path.name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(site.home.health_socket))
        listener.listen()
        with pytest.raises(StoreError, match="a process of this node runs: stop it first"):
            site.restore(site.home.path, content)
    assert not list(waiting(site.home.data))
    # A node that was killed leaves its socket, at which nobody listens.
    assert site.home.health_socket.exists()
    site.restore(site.home.path, content)


def test_a_restore_beside_a_running_node_says_to_stop_it_and_not_to_move_its_database(site: Site) -> None:
    content = site.backup()

    async def main() -> None:
        store = SqlStore.open(f"sqlite:///{site.home.data}/gateway.db")
        try:
            with pytest.raises(StoreError, match="a process of this node runs: stop it first"):
                await asyncio.to_thread(site.restore, site.home.path, content)
        finally:
            await store.close()

    asyncio.run(main())


def test_a_backup_of_another_node_is_refused(site: Site, tmp_path: Path) -> None:
    content = site.backup()
    new = tmp_path / "new"
    new.mkdir()
    text = site.home.config.read_text().replace("fr.gateway.test", "fr2.gateway.test")
    (new / "gateway.toml").write_text(text)
    with pytest.raises(BackupError, match="of another node"):
        site.restore(new, content)
    assert list(new.iterdir()) == [new / "gateway.toml"]


def test_a_backup_of_a_newer_release_is_refused_by_name(site: Site, tmp_path: Path) -> None:
    content = rebuilt(site, lambda text: text.replace(b'"tables": "', b'"tables": "9'))
    with pytest.raises(BackupError, match="made by a newer version of this program"):
        site.restore(tmp_path / "new", content)
    assert not (tmp_path / "new").exists()


def test_a_manifest_in_another_form_is_refused(site: Site, tmp_path: Path) -> None:
    content = rebuilt(site, lambda text: text + b" ")
    with pytest.raises(BackupError, match="does not hold what a backup holds"):
        site.restore(tmp_path / "new", content)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/passwd", "trust/../gateway.toml", "keys/unlock.key", "trust/own/.hidden", "x"],
)
def test_a_member_with_a_foreign_name_is_refused(site: Site, tmp_path: Path, name: str) -> None:
    content = rebuilt(site, lambda text: text, more={name: b"x"})
    with pytest.raises(BackupError, match="does not hold what a backup holds"):
        site.restore(tmp_path / "new", content)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "outside").exists()


def test_a_database_that_is_none_is_refused(site: Site, tmp_path: Path) -> None:
    content = rebuilt(site, lambda text: text, database=b"no database at all" * 1_000)
    with pytest.raises(StoreError, match="the copy is no database"):
        site.restore(tmp_path / "new", content)
    assert not (tmp_path / "new").exists()


def test_a_database_that_lacks_what_was_signed_is_not_backed_up(site: Site) -> None:
    mark(site, ENTRIES + 1, bytes(32))
    with pytest.raises(BackupError, match="holds less than this node has signed"):
        site.backup()


@pytest.mark.parametrize("size", [7, ENTRIES + 1])
def test_a_closed_log_that_lacks_or_contradicts_what_was_signed_is_backed_up_with_its_successor(
    site: Site, tmp_path: Path, size: int
) -> None:
    (site.home.data / "high-water").unlink()
    mark(site, size, bytes(32))
    succeed(site)
    restored = site.restore(tmp_path / "new", site.backup())
    # What was signed and lost stays known.
    assert restored.manifest.marks[ORIGIN] == (size, bytes(32))


def test_a_database_with_another_history_is_not_backed_up(site: Site) -> None:
    (site.home.data / "high-water").unlink()
    mark(site, 7, bytes(32))
    with pytest.raises(BackupError, match="another history than this node has signed"):
        site.backup()


def test_a_database_whose_tables_are_newer_is_not_backed_up(site: Site) -> None:
    _change(site, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BackupError, match="made by a newer version of this program"):
        site.backup()


def test_a_database_whose_entries_do_not_lead_to_its_head_is_not_backed_up(site: Site) -> None:
    _change(site, "DROP TRIGGER logs_no_update", "UPDATE logs SET root = zeroblob(32)")
    with pytest.raises(BackupError, match="another history"):
        site.backup()


def _change(site: Site, *statements: str) -> None:
    connection = sqlite3.connect(site.home.data / "gateway.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_full_disk_is_said_before_anything_is_copied(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(site.home.data)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(StoreError, match="MiB of free space beside the database"):
        site.backup()
    assert not list(site.home.data.glob("*.snapshot-*"))


def test_without_a_backup_key_there_is_no_backup(site: Site) -> None:
    site.home.backup_recipient.unlink()
    with pytest.raises(CeremonyError, match=r"make one \(entente backup-key\)"):
        site.backup()


def test_a_recipient_file_that_was_edited_is_refused(site: Site) -> None:
    text = site.home.backup_recipient.read_text()
    site.home.backup_recipient.write_text(text.replace("fr.gateway.test", "us.gateway.test"))
    with pytest.raises(BackupError, match="of another node, or names a test key"):
        site.backup()
    site.home.backup_recipient.write_text(text.replace('"node"', '"Node"'))
    with pytest.raises(TrustError, match=r"trust/backup\.json is damaged"):
        site.backup()


def test_an_unfinished_copy_of_a_killed_backup_is_removed_and_a_running_one_is_left(site: Site) -> None:
    database = site.home.data / "gateway.db"
    dead, alive = (site.home.data / f"gateway.db.snapshot-{name}" for name in ("dead", "alive"))
    dead.write_bytes(b"x")
    with alive.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        remove_leftovers(database)
        assert not dead.exists()
        assert alive.exists()
    remove_leftovers(database)
    assert not alive.exists()


def test_a_restore_that_was_killed_is_begun_anew(site: Site, tmp_path: Path) -> None:
    staging = tmp_path / "new" / "data" / ".restoring"
    staging.mkdir(parents=True, mode=0o700)
    (staging / "database").write_bytes(b"half of it")
    site.restore(tmp_path / "new", site.backup())
    assert not staging.exists()
    assert len(rows(tmp_path / "new" / "data" / "gateway.db")) == ENTRIES


def succeed(site: Site) -> None:
    """Open a successor of the log of a home."""

    async def opened() -> None:
        store = SqlStore.open(f"sqlite:///{site.home.data}/gateway.db")
        await append(store, 3, origin=f"{ORIGIN}/2")
        await store.close()

    asyncio.run(opened())
