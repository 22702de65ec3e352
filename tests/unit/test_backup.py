"""Backups: what is in them, and what they bring back."""

from __future__ import annotations

import asyncio
import io
import shutil
import sqlite3
import tarfile
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.backup.making import make_backup
from gateway.keyring.backupkey import BACKUP_KEY, make_backup_key, open_backup_key
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfile import open_key_file
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import CeremonyError, KeyFileError, Refusal
from gateway.keyring.sealedfile import BackupError, SealedReader
from gateway.storage.highwater import FileHighWater
from gateway.storage.notices import waiting
from gateway.storage.snapshot import version_of
from gateway.storage.store import SqlStore
from tests.backup_site import (
    ENTRIES,
    NOW,
    ORIGIN,
    PASSPHRASE,
    Site,
    append,
    copy_site,
    files_of,
    make_template,
    open_keys,
    rows,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a home with a database and a backup key once; tests get copies."""
    return make_template(tmp_path_factory.mktemp("backup"))


@pytest.fixture
def site(template: tuple[Path, Path], tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "fr")


def test_what_was_backed_up_is_restored_into_an_empty_home(site: Site, tmp_path: Path) -> None:
    # A new root that waits, which the peer may know already.
    site.home.own.next.folder.mkdir()
    shutil.copy(site.home.own.root_keys, site.home.own.next.roots)
    # New authorities of both nations that wait.
    for files in (site.home.own, site.home.peer):
        files.next_authorities.folder.mkdir(parents=True)
        shutil.copy(site.home.own.crl("node-ca"), files.next_authorities.folder)
    content = site.backup()
    new = NodeHome(path=tmp_path / "new")
    done = site.restore(new.path, content)

    assert rows(new.data / "gateway.db") == rows(site.home.data / "gateway.db")
    assert len(rows(new.data / "gateway.db")) == ENTRIES
    assert (new.data / "gateway.db").stat().st_mode & 0o777 == 0o600
    assert new.config.read_bytes() == site.home.config.read_bytes()
    assert files_of(new.trust) == files_of(site.home.trust)
    assert (new.data / "orders").read_bytes() == (site.home.data / "orders").read_bytes()
    marks = FileHighWater(new.data / "high-water").read()
    assert marks == FileHighWater(site.home.data / "high-water").read()
    assert done.kept == ()
    assert not [path for path in new.path.rglob("*") if ".restoring" in path.name or ".snapshot" in path.name]


def test_the_manifest_names_logs_with_size_and_root_and_the_release(site: Site) -> None:
    manifest = make_backup(site.home.path, io.BytesIO(), reason="daily", now=NOW)
    (log,) = manifest.logs
    assert (log.origin, log.size) == (ORIGIN, ENTRIES)
    assert manifest.marks == {ORIGIN: (log.size, log.root)}
    assert (manifest.node, manifest.reason, manifest.created) == ("fr.gateway.test", "daily", NOW)


def test_a_backup_holds_no_private_key_and_nothing_in_the_clear(site: Site) -> None:
    content = site.backup()
    assert b"entry 7" not in content
    names = _names(site, content)
    assert names[0] == "manifest.json"
    assert names[-1] == "database"
    assert not [name for name in names if "key" in name and not name.endswith(".vkeys")]
    assert {"gateway.toml", "orders", "trust/agencies.json", "trust/own/statement.note"} < set(names)


def _names(site: Site, content: bytes) -> list[str]:
    reader = SealedReader(io.BytesIO(content), site.key)
    with tarfile.open(fileobj=cast("Any", reader), mode="r|") as archive:
        return archive.getnames()


def test_a_backup_beside_a_writer_is_one_moment_of_every_log(site: Site, tmp_path: Path) -> None:
    """While a store goes on appending, each backup holds a log that leads to its own root."""

    async def main() -> None:
        store = SqlStore.open(f"sqlite:///{site.home.data}/gateway.db")
        stop = asyncio.Event()

        async def append_on() -> None:
            while not stop.is_set():
                await append(store, 7)

        writing = asyncio.create_task(append_on())
        try:
            sizes = []
            for number in range(3):
                content = await asyncio.to_thread(site.backup)
                done = await asyncio.to_thread(site.restore, tmp_path / f"new{number}", content)
                sizes.append(done.manifest.logs[0].size)
                assert len(rows(tmp_path / f"new{number}" / "data" / "gateway.db")) == sizes[-1]
                await append(store, 1)
        finally:
            stop.set()
            await writing
            await store.close()
        assert sizes == sorted(set(sizes))

    asyncio.run(main())


def test_tables_of_an_older_release_are_backed_up_and_restored_as_they_are(
    site: Site, tmp_path: Path
) -> None:
    """The new program may make the backup before an upgrade; the old one runs on what it restores."""
    connection = sqlite3.connect(site.home.data / "gateway.db")
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.commit()
    connection.close()
    done = site.restore(tmp_path / "new", site.backup())
    assert done.manifest.tables == version_of(tmp_path / "new" / "data" / "gateway.db") == "0001"
    assert done.manifest.logs[0].size == ENTRIES


def test_files_that_the_home_has_are_kept(site: Site, tmp_path: Path) -> None:
    """The high-water file and the file of orders know what happened after the backup."""
    content = site.backup()
    before = files_of(site.home.path)
    (site.home.data / "gateway.db").unlink()
    (site.home.data / "orders").write_bytes(before["data/orders"] * 2)
    done = site.restore(site.home.path, content)
    after = files_of(site.home.path)
    assert after.pop("data/orders") == before["data/orders"] * 2
    kept = {str(path.relative_to(site.home.path)) for path in done.kept}
    assert {"gateway.toml", "trust/agencies.json", "data/orders", "data/high-water"} <= kept
    assert [path.name for path in done.written] == ["gateway.db"]
    for name in ("gateway.toml", "trust/agencies.json", "data/high-water", "keys/unlock.key"):
        assert after[name] == before[name]


def test_a_restore_leaves_a_notice_for_the_log_of_the_node(site: Site, tmp_path: Path) -> None:
    site.restore(tmp_path / "new", site.backup())
    ((_, notice),) = waiting(tmp_path / "new" / "data")
    assert notice is not None
    assert notice.event == "backup.restored"
    assert [len(detail) for detail in notice.details] == [48, 48]


def test_a_check_puts_nothing_in_place_and_needs_no_empty_home(site: Site) -> None:
    content = site.backup()
    before = files_of(site.home.path)
    assert site.restore(site.home.path, content, only_check=True).written == ()
    assert files_of(site.home.path) == before


def test_erased_rows_are_in_no_page_of_a_backup(site: Site, tmp_path: Path) -> None:
    """A copy has no free pages, so what was deleted before it was made is not in it."""
    connection = sqlite3.connect(site.home.data / "gateway.db")
    connection.execute("PRAGMA secure_delete = OFF")
    secret = "a-wrapped-key-that-was-erased" * 40
    connection.execute("INSERT INTO settings VALUES ('gone', ?)", (secret,))
    connection.commit()
    connection.execute("DELETE FROM settings WHERE key = 'gone'")
    connection.commit()
    connection.close()
    assert secret.encode() in (site.home.data / "gateway.db").read_bytes()
    site.restore(tmp_path / "new", site.backup())
    assert secret.encode() not in (tmp_path / "new" / "data" / "gateway.db").read_bytes()


def test_a_backup_key_lies_outside_the_home_and_is_not_replaced_by_accident(
    site: Site, tmp_path: Path
) -> None:
    def make(folder: Path, *, replace: bool = False) -> None:
        keys = open_keys(site.home)
        make_backup_key(
            site.home,
            keys,
            folder,
            node="fr.gateway.test",
            passphrase=PASSPHRASE,
            now=NOW,
            replace=replace,
        )

    with pytest.raises(CeremonyError, match="outside the node home"):
        make(site.home.path / "backup-key", replace=True)
    with pytest.raises(CeremonyError, match="names a backup key already"):
        make(tmp_path / "second")
    assert not (tmp_path / "second").exists()
    make(tmp_path / "second", replace=True)
    second = open_backup_key(tmp_path / "second", passphrase=PASSPHRASE, allow_test=True)
    assert second.private.key_id != site.key.private.key_id
    with pytest.raises(BackupError, match="another backup key"):
        SealedReader(io.BytesIO(site.backup()), site.key)


def test_a_backup_key_opens_with_its_passphrase_and_for_backups_only(site: Site) -> None:
    with pytest.raises(KeyFileError) as refused:
        open_backup_key(site.folder, passphrase=Passphrase(b"another passphrase"), allow_test=True)
    assert refused.value.refusal is Refusal.WRONG_PASSPHRASE
    with pytest.raises(KeyFileError) as refused:
        open_backup_key(site.folder, passphrase=PASSPHRASE, allow_test=False)
    assert refused.value.refusal is Refusal.TEST_KEY
    with pytest.raises(KeyFileError) as refused:
        open_key_file(
            site.folder / BACKUP_KEY, purpose=cast("Any", "kem"), opener=PASSPHRASE, allow_test=True
        )
    assert refused.value.refusal is Refusal.OTHER_PURPOSE
