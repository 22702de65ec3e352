"""What both sides of a backup know: its members, what it says of itself, and where the database is.

Spec: docs/spec/backup.md, "Members of the tar".
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha384
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from gateway.config import Config, resolve
from gateway.core.message.instants import moment_ms
from gateway.keyring.sealedfile import BackupError
from gateway.storage.notices import Notice
from gateway.storage.snapshot import (
    database_path,
)

MANIFEST: Final = "manifest.json"
CONFIG: Final = "gateway.toml"
ORDERS: Final = "orders"
DATABASE: Final = "database"
MAX_SMALL_BYTES: Final = 64 * 2**20
"""All members but the database, together."""

PIECE_BYTES: Final = 1_048_576

TRUST: Final = re.compile(
    r"trust/((own|peer|own/next|own/next-authorities|peer/next-authorities)/)?[A-Za-z0-9][A-Za-z0-9.-]{0,99}"
)

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """Where a log ends in a backup.

    Attributes:
        origin: Its name.
        kind: Own, mirror, audit or witnessed.
        size: Number of entries.
        root: Root hash at that size.
    """

    origin: str
    kind: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says of itself, inside the seal.

    Attributes:
        node: Name of the node.
        created: When it was made, UTC.
        reason: Why, as the operator said.
        program: Release that made it.
        tables: Version of the tables.
        logs: Every log of the database, in order of origin.
        marks: The high-water file, as it was before the database was copied.
    """

    node: str
    created: datetime
    reason: str
    program: str
    tables: str
    logs: tuple[LogState, ...]
    marks: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)


class Told(io.RawIOBase):
    """A file that says how far it has been read."""

    def __init__(self, file: BinaryIO, length: int, progress: Progress) -> None:
        self._file, self._length, self._progress, self._done = file, length, progress, 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes of the file."""
        piece = self._file.read(size)
        self._done += len(piece)
        self._progress(self._done, self._length)
        return piece


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the one form of a manifest."""
    document = {
        "format": "entente-backup-manifest/1",
        "node": manifest.node,
        "created": manifest.created.isoformat(),
        "reason": manifest.reason,
        "program": manifest.program,
        "tables": manifest.tables,
        "logs": [
            {"origin": log.origin, "kind": log.kind, "size": log.size, "root": log.root.hex()}
            for log in manifest.logs
        ],
        "marks": {origin: [size, root.hex()] for origin, (size, root) in manifest.marks.items()},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def notice_of(manifest: Manifest, *, event: str, reason: str) -> Notice:
    """Return what the node is to log of a backup.

    Args:
        manifest: Of the backup.
        event: Whether it was made, or restored.
        reason: Why that was done.
    """
    return Notice(
        event=event,
        details=(digest_of(reason.encode()), digest_of(encode_manifest(manifest))),
        made_ms=moment_ms(manifest.created),
    )


def decode_manifest(content: bytes) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        BackupError: It is not in its one form.
    """
    try:
        document = orjson.loads(content)
        manifest = Manifest(
            node=document["node"],
            created=datetime.fromisoformat(document["created"]),
            reason=document["reason"],
            program=document["program"],
            tables=document["tables"],
            logs=tuple(
                LogState(
                    origin=log["origin"], kind=log["kind"], size=log["size"], root=bytes.fromhex(log["root"])
                )
                for log in document["logs"]
            ),
            marks={origin: (size, bytes.fromhex(root)) for origin, (size, root) in document["marks"].items()},
        )
        is_canonical = encode_manifest(manifest) == content
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unusable() from error
    if not is_canonical:
        raise unusable()
    return manifest


def unusable() -> BackupError:
    """Return the refusal of a file that opens and is no backup."""
    return BackupError("the backup opens, but does not hold what a backup holds; nothing was written")


def database_of(home: Path, config: Config) -> Path:
    """Return where the database of a home is, or is to be.

    Raises:
        StoreError: It is on a server.
    """
    return resolve(home, database_path(config.store.url))


def digest_of(content: bytes) -> bytes:
    """Return SHA-384, as it stands in the audit log."""
    return sha384(content).digest()
