"""Restoring a backup into a home that has no database.

Spec: docs/spec/backup.md, "Restoring".
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from gateway.backup.manifest import (
    CONFIG,
    DATABASE,
    MANIFEST,
    MAX_SMALL_BYTES,
    ORDERS,
    PIECE_BYTES,
    TRUST,
    Manifest,
    Progress,
    Told,
    database_of,
    decode_manifest,
    notice_of,
    unusable,
)
from gateway.config import Config, load_config, resolve
from gateway.core.merkle import Hash
from gateway.keyring.backupkey import BackupKey
from gateway.keyring.files import make_private_folder, make_public_folder, write_private, write_public
from gateway.keyring.home import NodeHome
from gateway.keyring.sealedfile import BackupError, SealedHeader, SealedReader
from gateway.storage.highwater import FileHighWater, Marks
from gateway.storage.notices import leave
from gateway.storage.snapshot import (
    put_in_place,
    require_no_database,
    require_no_process,
    running,
    verify_copy,
    version_of,
)
from gateway.storage.tables import SCHEMA_REVISION

_STAGING: Final = ".restoring"
_ANSWER_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did.

    Attributes:
        manifest: What the backup said.
        written: Files that were put in place.
        kept: Files of the backup that were there already, and were left as they are.
    """

    manifest: Manifest
    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def restore_backup(
    home: Path,
    source: BinaryIO,
    key: BackupKey,
    *,
    reason: str,
    only_check: bool = False,
    progress: Progress = lambda _done, _all: None,
) -> Restored:
    """Put a backup into a home that has no database; the node's start does the rest.

    Args:
        home: Configuration, trust and high-water file that are there stay as they are.
        source: The sealed file.
        key: From the offline folder.
        reason: Why; its digest goes into the audit log.
        only_check: Check everything and put nothing in place.
        progress: Told about bytes of the database.

    Raises:
        BackupError: The file cannot be used, or is of another node; nothing was written.
        StoreError: There is a database already, or what the file holds is not a sound one.
    """
    reader = SealedReader(source, key)
    try:
        with _staging(home) as staging:
            manifest, small, copy, config = _unpack(reader, home, staging, progress, only_check=only_check)
            verify_copy(copy)
            if version_of(copy) != manifest.tables:
                raise unusable()
            if only_check:
                return Restored(manifest=manifest, written=(), kept=())
            return _place(home, config, manifest, small, copy, reason)
    except OSError as error:
        msg = f"the backup could not be read, or its content not be written here: {error.strerror}"
        raise BackupError(msg) from error


def _unpack(
    reader: SealedReader, home: Path, staging: Path, progress: Progress, *, only_check: bool
) -> tuple[Manifest, dict[str, bytes], Path, Config]:
    """Write what a backup holds below ``staging``, and return it once the file is proven whole."""
    small: dict[str, bytes] = {}
    copy = staging / DATABASE
    manifest: Manifest | None = None
    config: Config | None = None
    try:
        with tarfile.open(fileobj=cast("Any", reader), mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or member.name in small or copy.exists():
                    raise unusable()
                if member.name == DATABASE:
                    if manifest is None or CONFIG not in small:
                        raise unusable()
                    config = _configuration(home, small[CONFIG], staging)
                    _check_fit(config, manifest, reader.header)
                    if not only_check:
                        _require_stopped(home, database_of(home, config))
                        require_no_database(database_of(home, config))
                    _write_copy(cast("BinaryIO", content), copy, member.size, progress)
                    continue
                if member.name not in {MANIFEST, CONFIG, ORDERS} and not TRUST.fullmatch(member.name):
                    raise unusable()
                if member.size + sum(map(len, small.values())) > MAX_SMALL_BYTES:
                    raise unusable()
                small[member.name] = content.read()
                if member.name == MANIFEST:
                    manifest = decode_manifest(small[MANIFEST])
        # Nothing is put to use before the end of the file is proven.
        reader.finish()
    except tarfile.TarError as error:
        raise unusable() from error
    if manifest is None or config is None or not copy.exists():
        raise unusable()
    return manifest, small, copy, config


def _configuration(home: Path, stored: bytes, staging: Path) -> Config:
    """Return the configuration of the home, or else the backup's."""
    if (home / CONFIG).exists():
        return load_config(home)
    (staging / CONFIG).write_bytes(stored)
    return load_config(staging)


def _check_fit(config: Config, manifest: Manifest, header: SealedHeader) -> None:
    if not manifest.node == header.node == config.node.name:
        msg = "the backup is of another node than the one that gateway.toml names"
        raise BackupError(msg)
    if header.test and config.node.mode == "production":
        msg = "the backup is sealed for a test key, which mode production refuses"
        raise BackupError(msg)
    if manifest.tables > SCHEMA_REVISION:
        msg = f"the backup was made by a newer version of this program ({manifest.program}): use that version"
        raise BackupError(msg)


def _require_stopped(home: Path, database: Path) -> None:
    """Refuse a restore beside a running node, whose database may have been moved away under it.

    It would go on with that one until it is stopped, and all that it accepts would be lost. Its lock
    may have been moved away as well; the socket on which it says how it is tells of it then.

    Raises:
        StoreError: A process of this node runs.
    """
    require_no_process(database)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(str(NodeHome(path=home).health_socket))
        except (TimeoutError, BlockingIOError) as error:
            # Somebody listens and is busy.
            raise running() from error
        except OSError:
            return
    raise running()


def _write_copy(content: BinaryIO, copy: Path, length: int, progress: Progress) -> None:
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    told = Told(content, length, progress)
    with os.fdopen(descriptor, "wb") as file:
        while piece := told.read(PIECE_BYTES):
            file.write(piece)


def _place(
    home: Path, config: Config, manifest: Manifest, small: Mapping[str, bytes], copy: Path, reason: str
) -> Restored:
    """Put everything where it belongs, the database last; files that exist stay as they are."""
    written: list[Path] = []
    kept: list[Path] = []
    trust = [name for name in small if name.startswith("trust/")]
    # All of the home's trust or all of the backup's: the two may be of different days.
    has_trust = (home / "trust").exists()
    for name in (CONFIG, *trust):
        path = home / name
        if path.exists() or (has_trust and name in trust):
            kept.append(path)
            continue
        make_public_folder(path.parent)
        write_public(path, small[name])
        written.append(path)
    orders = resolve(home, config.store.orders_file)
    if ORDERS in small:
        _put_private(orders, small[ORDERS], written, kept)
    high_water = resolve(home, config.store.high_water_file)
    if high_water.exists():
        kept.append(high_water)
    elif manifest.marks:
        high_water.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        marks = {origin: (size, Hash(root)) for origin, (size, root) in manifest.marks.items()}
        asyncio.run(_record(high_water, marks))
        written.append(high_water)
    path = database_of(home, config)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Before the database: a node that starts on it finds the notice.
    leave(NodeHome(path=home).data, notice_of(manifest, event="backup.restored", reason=reason))
    put_in_place(_beside(copy, path), path)
    written.append(path)
    return Restored(manifest=manifest, written=tuple(written), kept=tuple(kept))


async def _record(path: Path, marks: Marks) -> None:
    high_water = FileHighWater(path)
    try:
        await high_water.record(marks)
    finally:
        high_water.close()


def _put_private(path: Path, content: bytes, written: list[Path], kept: list[Path]) -> None:
    if path.exists():
        kept.append(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, content)
    written.append(path)


def _beside(copy: Path, path: Path) -> Path:
    """Return the copy on the file system of the database, copying it if it lies on another."""
    if copy.stat().st_dev == path.parent.stat().st_dev:
        return copy
    near = path.with_name(f"{_STAGING}.{path.name}")
    near.unlink(missing_ok=True)
    shutil.copyfile(copy, near)
    near.chmod(0o600)
    return near


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """Have a private folder that is gone afterwards, with every folder that was made for it."""
    made = [folder for folder in (home / "data", home, *home.parents) if not folder.exists()]
    (home / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = home / "data" / _STAGING
    # Of a restore that was killed.
    shutil.rmtree(staging, ignore_errors=True)
    make_private_folder(staging)
    try:
        yield staging
    finally:
        shutil.rmtree(staging)
        for folder in made:
            try:
                folder.rmdir()
            except OSError:
                break  # something was put in place there
