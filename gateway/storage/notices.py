"""What commands did to a node while they could not write its log: left in a folder, logged by the node.

A backup is made beside the node, and a restore before it runs; the audit log has one writer.
So a command leaves a small file, and the node records it within a second, or at its next
start, and removes it. A crash in between records it twice, never not at all.

Spec: docs/storage.md, "Backup".
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

FOLDER: Final = "notices"
MAX_NOTICE_BYTES: Final = 4_096
_DIGEST_BYTES: Final = 48
_END_MS: Final = 253_402_300_800_000
"""The end of the year 9999: no later time can be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that was done.

    Attributes:
        event: Name of the event in the audit log.
        details: SHA-384 digests that go into it.
        made_ms: When the backup that it tells of was made, UTC milliseconds.
    """

    event: str
    details: tuple[bytes, ...]
    made_ms: int


EVENTS: Final = frozenset({"backup.made", "backup.restored"})


def leave(data: Path, notice: Notice) -> None:
    """Leave a notice for the node; durable when this returns.

    Args:
        data: The folder of the node's data.
        notice: What was done.
    """
    folder = data / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    details = [detail.hex() for detail in notice.details]
    text = json.dumps({"event": notice.event, "details": details, "made_ms": notice.made_ms})
    name = secrets.token_hex(8)
    beside = folder / f".{name}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    _give(data, folder, beside)
    beside.replace(folder / f"{name}.json")
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(inside)
    finally:
        os.close(inside)


def _give(data: Path, *paths: Path) -> None:
    """Let the node, whose user owns its data, read what root leaves."""
    if os.geteuid() == 0:
        owner = data.stat()
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def waiting(data: Path) -> Iterator[tuple[Path, Notice | None]]:
    """Yield each notice that waits, with its file; None for a file that is none.

    The caller removes the file once the notice is recorded.
    """
    for path in sorted((data / FOLDER).glob("*.json")):
        yield path, _read(path)


def _read(path: Path) -> Notice | None:
    with path.open("rb") as file:
        content = file.read(MAX_NOTICE_BYTES)
    try:
        document = orjson.loads(content)
        made_ms = document["made_ms"]
        notice = Notice(
            event=document["event"],
            details=tuple(bytes.fromhex(detail) for detail in document["details"]),
            made_ms=made_ms,
        )
        is_known = notice.event in EVENTS and type(made_ms) is int and 0 <= made_ms < _END_MS
    except (KeyError, TypeError, ValueError):
        return None
    return notice if is_known and all(len(detail) == _DIGEST_BYTES for detail in notice.details) else None
