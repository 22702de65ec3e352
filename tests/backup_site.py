"""A home with a database whose backups are tried, and a backup that somebody else put together."""

from __future__ import annotations

import asyncio
import io
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from gateway.backup.making import make_backup
from gateway.backup.restoring import Restored, restore_backup
from gateway.keyring.backupkey import BackupKey, make_backup_key, open_backup_key
from gateway.keyring.demo import make_demo_homes
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import Passphrase, read_passphrase_file
from gateway.keyring.sealedfile import SealedReader, SealedWriter
from gateway.node.log_writer import ensure_log, extend_log
from gateway.ports import LogKind, Order, OrderKind, Step, Transaction
from gateway.storage.highwater import FileHighWater
from gateway.storage.orders import FileOrders
from gateway.storage.store import SqlStore
from tests.databases import unpacked

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ORIGIN = "fr.gateway.test/exchange/us"
PASSPHRASE = Passphrase(b"a passphrase of a backup key")
ENTRIES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A home with a database, and the key of its backups."""

    home: NodeHome
    key: BackupKey
    folder: Path

    def backup(self) -> bytes:
        target = io.BytesIO()
        make_backup(self.home.path, target, reason="a test", now=NOW)
        return target.getvalue()

    def restore(self, home: Path, content: bytes, *, only_check: bool = False) -> Restored:
        source = io.BytesIO(content)
        return restore_backup(home, source, self.key, reason="a test", only_check=only_check)


def make_template(base: Path) -> tuple[Path, Path]:
    """Return a home with a database, and the folder of its backup key."""
    home = make_demo_homes(base / "homes", now=datetime.now(UTC))["FR"]
    folder = base / "key"
    now = datetime.now(UTC)
    make_backup_key(home, open_keys(home), folder, node="fr.gateway.test", passphrase=PASSPHRASE, now=now)
    asyncio.run(fill(home))
    return home.path, folder


def open_keys(home: NodeHome) -> KeyFolder:
    """Return the opened keys of a test home."""
    return KeyFolder.open(home.keys, passphrase=read_passphrase_file(home.passphrase), allow_test=True)


def copy_site(template: tuple[Path, Path], target: Path) -> Site:
    """Return a copy of it that a test may change."""
    home, folder = template
    shutil.copytree(home, target)
    key = open_backup_key(folder, passphrase=PASSPHRASE, allow_test=True)
    return Site(home=NodeHome(path=target), key=key, folder=folder)


async def fill(home: NodeHome) -> None:
    store = SqlStore.open(f"sqlite:///{home.data}/gateway.db")
    await append(store, ENTRIES)
    head = await store.read(lambda tx: tx.logs.head(ORIGIN))
    assert head is not None
    high_water = FileHighWater(home.data / "high-water")
    await high_water.record({ORIGIN: (head.size, head.edge.root())})
    high_water.close()
    await store.close()
    order = Order(kind=OrderKind.HOLD_MESSAGE, subject=bytes(16), at_ms=1, reason="a trial")
    await FileOrders(home.data / "orders").record([order])


async def append(store: SqlStore, count: int, *, origin: str = ORIGIN) -> None:
    def append(tx: Transaction) -> None:
        entries = [b"entry %d" % number for number in range(count)]
        extend_log(tx, ensure_log(tx, origin, LogKind.EXCHANGE), entries)

    await store.write(Step.SEQUENCED, append)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(database: Path) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return unpacked(connection)


def mark(site: Site, size: int, root: bytes) -> None:
    async def record() -> None:
        high_water = FileHighWater(site.home.data / "high-water")
        await high_water.record({ORIGIN: (size, cast("Any", root))})
        high_water.close()

    asyncio.run(record())


def rebuilt(
    site: Site,
    edit: Callable[[bytes], bytes],
    *,
    more: dict[str, bytes] | None = None,
    database: bytes | None = None,
    sender: bytes | None = None,
) -> bytes:
    """Return a backup with a changed manifest or members, or one that is not of the node at all."""
    reader = SealedReader(io.BytesIO(site.backup()), site.key)
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=cast("Any", reader), mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            members[member.name] = content.read()
    last = {"database": members.pop("database") if database is None else database}
    members.pop("database", None)
    members["manifest.json"] = edit(members["manifest.json"])
    target = io.BytesIO()
    public, used = site.key.private.public_key, site.key.sender if sender is None else sender
    writer = SealedWriter(target, reader.header, public, sender=used)
    with tarfile.open(fileobj=cast("Any", writer), mode="w|") as archive:
        for name, text in {**members, **(more or {}), **last}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    writer.finish()
    return target.getvalue()
