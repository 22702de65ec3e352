"""Making a backup, beside a node that works.

Spec: docs/spec/backup.md, "Making".
"""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, cast

from gateway.backup.manifest import (
    CONFIG,
    DATABASE,
    MANIFEST,
    ORDERS,
    TRUST,
    LogState,
    Manifest,
    Progress,
    Told,
    database_of,
    encode_manifest,
    notice_of,
)
from gateway.config import Config, load_config, resolve
from gateway.core.generation import base_of, first_of
from gateway.core.merkle import Hash, edge_at
from gateway.keyring.backupkey import open_sender, read_recipient
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.sealedfile import BackupError, SealedHeader, SealedWriter
from gateway.node.log_writer import LogHashes
from gateway.ports import LogKind, Transaction
from gateway.storage.highwater import FileHighWater
from gateway.storage.notices import leave
from gateway.storage.snapshot import copied, logs_of, version_of
from gateway.storage.store import SqlStore
from gateway.storage.tables import SCHEMA_REVISION


def make_backup(
    home: Path,
    target: BinaryIO,
    *,
    reason: str,
    now: datetime,
    progress: Progress = lambda _done, _all: None,
) -> Manifest:
    """Write a backup of a node, beside the running node or without one.

    Args:
        home: The node home; of its keys the sender secret is opened.
        target: Where the sealed file goes.
        reason: Why; it stands in the manifest.
        now: Aware time.
        progress: Told about bytes of the database.

    Raises:
        BackupError: The database holds less than the node has signed, or contradicts it.
        ConfigError: The configuration cannot be used.
        KeyFileError: There is no backup key yet, or a key file is refused.
        StoreError: The database cannot be copied.
    """
    config = load_config(home)
    node_home = NodeHome(path=home)
    recipient = read_recipient(node_home)
    if recipient.node != config.node.name or (recipient.test and config.node.mode == "production"):
        msg = "trust/backup.json is of another node, or names a test key in production"
        raise BackupError(msg)
    passphrase = read_passphrase_file(resolve(home, config.keys.passphrase_file))
    keys = KeyFolder.open(node_home.keys, passphrase=passphrase, allow_test=config.node.mode == "test")
    sender = open_sender(keys, recipient.public_key.key_id)
    # Before the copy: a mark is never ahead of what was written before it.
    marks = FileHighWater(resolve(home, config.store.high_water_file)).read()
    with copied(database_of(home, config)) as (path, file):
        tables = version_of(path)
        if tables > SCHEMA_REVISION:
            msg = "the database was made by a newer version of this program: use that version"
            raise BackupError(msg)
        logs = tuple(LogState(origin=o, kind=k, size=s, root=r) for o, k, s, r in logs_of(path))
        open_marks = _of_open_logs(marks, logs)
        _check_sizes(logs, open_marks)
        # The program of the next release backs up what the last one left, and cannot read all of it.
        if tables == SCHEMA_REVISION:
            asyncio.run(_check_roots(path, logs, open_marks))
        manifest = Manifest(
            node=config.node.name,
            created=now.astimezone(UTC).replace(microsecond=0),
            reason=reason,
            program=version("entente"),
            tables=tables,
            logs=logs,
            marks=marks,
        )
        # From here the copy has no name: it is gone with this process, whatever happens.
        path.unlink()
        header = SealedHeader(
            node=manifest.node,
            created=manifest.created,
            test=recipient.test,
            key_id=recipient.public_key.key_id,
        )
        writer = SealedWriter(target, header, recipient.public_key, sender=sender)
        with tarfile.open(fileobj=cast("Any", writer), mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for name, content in _small_members(node_home, config, manifest):
                archive.addfile(_member(name, len(content), manifest), io.BytesIO(content))
            length = os.fstat(file.fileno()).st_size
            archive.addfile(_member(DATABASE, length, manifest), Told(file, length, progress))
        writer.finish()
    return manifest


def _of_open_logs(
    marks: Mapping[str, tuple[int, Hash]], logs: Sequence[LogState]
) -> dict[str, tuple[int, Hash]]:
    """Return the marks of the newest generation of each log in a copy, and of later ones.

    A generation before it was closed because what was signed of it is lost or contradicts what is
    stored. Its successor says so; there is nothing that the node could still recover.
    """
    newest: dict[str, int] = {}
    for log in logs:
        first = first_of(log.origin)
        newest[first] = max(newest.get(first, 0), base_of(log.origin))
    return {
        origin: mark for origin, mark in marks.items() if base_of(origin) >= newest.get(first_of(origin), 0)
    }


def _check_sizes(logs: Sequence[LogState], marks: Mapping[str, tuple[int, Hash]]) -> None:
    """Refuse a copy that lacks what was signed."""
    # Of a log that is only witnessed there are no entries, only notes.
    sizes = {log.origin: log.size for log in logs if log.kind != LogKind.WITNESSED}
    witnessed = {log.origin for log in logs} - sizes.keys()
    if any(size > sizes.get(origin, 0) for origin, (size, _) in marks.items() if origin not in witnessed):
        msg = "the database holds less than this node has signed: let the node recover, then back up"
        raise BackupError(msg)


async def _check_roots(path: Path, logs: Sequence[LogState], marks: Mapping[str, tuple[int, Hash]]) -> None:
    """Refuse a copy that holds another history than was signed, or heads that its entries do not lead to."""

    def contradicts(tx: Transaction) -> bool:
        expected = [
            (log.origin, log.size, log.root) for log in logs if log.kind != LogKind.WITNESSED and log.size > 0
        ]
        origins = {origin for origin, _, _ in expected}
        expected += [(origin, size, root) for origin, (size, root) in marks.items() if origin in origins]
        return any(
            edge_at(size, reader=LogHashes(tx.logs, origin)).root() != root for origin, size, root in expected
        )

    store = SqlStore.open(f"sqlite:///{path}", read_only=True, readers=1)
    try:
        if await store.read(contradicts):
            msg = (
                "the database holds another history than this node has signed: keep it, and call the auditors"
            )
            raise BackupError(msg)
    finally:
        await store.close()


def _small_members(home: NodeHome, config: Config, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    yield MANIFEST, encode_manifest(manifest)
    yield CONFIG, home.config.read_bytes()
    for path in sorted(home.trust.rglob("*")):
        name = f"trust/{path.relative_to(home.trust).as_posix()}"
        if path.is_file() and TRUST.fullmatch(name):
            yield name, path.read_bytes()
    # After the copy: an order is durable before the database knows it, so none is missing.
    orders = resolve(home.path, config.store.orders_file)
    if orders.exists():
        yield ORDERS, orders.read_bytes()


def _member(name: str, length: int, manifest: Manifest) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = length
    member.mode = 0o600
    member.mtime = int(manifest.created.timestamp())
    return member


def leave_notice_of_backup(home: Path, manifest: Manifest) -> None:
    """Let the node log that a backup was made; for the end, when the file is where it belongs."""
    leave(NodeHome(path=home).data, notice_of(manifest, event="backup.made", reason=manifest.reason))
