"""Reading a folder that somebody else made.

An exported log comes on a stick, from a mail, from the other nation: whatever lies in the
folder may be there to mislead. So every name is compared with the names a log of this size
has, nothing is read before its kind and length are known, and links are never followed.

Spec: C2SP tlog-tiles; docs/auditing.md, "What is checked".
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.core.entries import MAX_STATEMENT_BYTES
from gateway.core.merkle import HASH_BYTES, Hash, split_hashes
from gateway.core.note import MAX_NOTE_BYTES
from gateway.core.tiles import (
    CHECKPOINT_PATH,
    TILE_WIDTH,
    TileFile,
    decode_bundle,
    entries_path,
    parse_tile_path,
    tile_path,
)
from gateway.errors import MalformedError, PeerError

MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_STATEMENT_BYTES)
"""No bundle of this protocol's entries is longer; a longer file is not read."""

_FOLDER: Final = re.compile(r"tile(/(entries|[0-7])((/x[0-9]{3}){0,6}(/[0-9]{3}\.p)?)?)?")
"""Folders that paths of tiles go through; no other is entered."""


class FolderError(PeerError):
    """A file of an exported log is absent, superfluous, or not what its name says."""

    code = "log-folder"


class LogFolder:
    """An exported log: `checkpoint`, tiles, entry bundles, and nothing else.

    Satisfies `gateway.audit.log.AuditedLog`.
    """

    stored_from = 0

    def __init__(self, path: Path) -> None:
        """Look at the folder ``path``; nothing is read yet."""
        self.path = path

    def note(self) -> bytes:
        """Return the content of ``checkpoint``, at most 64 KiB.

        Raises:
            FolderError: There is none, or it is too long, a link, a folder or a device.
        """
        return self._read(CHECKPOINT_PATH, most=MAX_NOTE_BYTES)

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Return the entries of one bundle.

        Args:
            start: A multiple of 256.
            end: The end of the bundle: 256 further, or the size of the log.

        Raises:
            FolderError: The file is absent or not the bundle of these entries.
        """
        path = entries_path(start // TILE_WIDTH, end - start)
        data = self._read(path, most=MAX_BUNDLE_BYTES)
        try:
            return decode_bundle(data, end - start)
        except MalformedError as error:
            msg = f"{path} does not hold exactly {end - start} entries"
            raise FolderError(msg) from error

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        """Return the hashes of the tile that begins at ``start`` and has ``end - start`` of them.

        Raises:
            FolderError: The file is absent or has another length.
        """
        path = tile_path(level, start // TILE_WIDTH, end - start)
        length = (end - start) * HASH_BYTES
        data = self._read(path, most=length)
        if len(data) != length:
            msg = f"{path} is not {length} bytes long"
            raise FolderError(msg)
        return split_hashes(data)

    def is_alike(self, other: LogFolder, path: str) -> bool:
        """Return whether a tile or bundle is byte by byte the one of another folder.

        Args:
            other: The other folder.
            path: Name of the file, of a form that tiles and bundles have.

        Raises:
            FolderError: One of the two is absent or cannot be read.
        """
        return self._read(path, most=MAX_BUNDLE_BYTES) == other._read(path, most=MAX_BUNDLE_BYTES)

    def check_names(self, size: int) -> int:
        """Check that the folder holds the files of a log of ``size`` entries and no other.

        Contents are not looked at.

        Returns:
            The number of files, ``checkpoint`` included.

        Raises:
            FolderError: A name is superfluous or absent, or stands for a link, an empty
                folder or a device.
        """
        found = 0
        for name in walk(self.path):
            if name != CHECKPOINT_PATH and not _belongs(name, size):
                msg = f"{shown(name)} does not belong to a log of {size} entries"
                raise FolderError(msg)
            found += 1
        # Each file that belongs was counted once, since a tile has one name only.
        expected = 1 + count_files(size)
        if found != expected:
            msg = f"{expected - found} of {expected} files are absent"
            raise FolderError(msg)
        return found

    def _read(self, name: str, *, most: int) -> bytes:
        try:
            # Opening a FIFO must not wait for a writer.
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            reason = "is absent" if isinstance(error, FileNotFoundError) else "cannot be opened as a file"
            msg = f"{name} {reason}"
            raise FolderError(msg) from error
        try:
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                state = os.fstat(descriptor)
                if not stat.S_ISREG(state.st_mode) or state.st_size > most:
                    msg = f"{name} is not a regular file of at most {most} bytes"
                    raise FolderError(msg)
                data = file.read(most + 1)
        except OSError as error:
            msg = f"{name} cannot be read"
            raise FolderError(msg) from error
        if len(data) != state.st_size:
            msg = f"{name} changed while it was read"
            raise FolderError(msg)
        return data


def walk(top: Path, *, allow_empty: bool = False) -> Iterator[str]:
    """Yield the name of every file below the folder of an exported log.

    Args:
        top: The folder.
        allow_empty: Whether a folder in it may be empty, as a crash leaves it.

    Raises:
        FolderError: A name stands for a link or a device, or a folder is one that no tile
            lies in, or is empty.
    """
    pending = [""]
    while pending:
        prefix = pending.pop()
        empty = True
        try:
            with os.scandir(top / prefix) as names:
                for entry in names:
                    empty = False
                    name = f"{prefix}{entry.name}"
                    if entry.is_file(follow_symlinks=False):
                        yield name
                    elif entry.is_dir(follow_symlinks=False) and _FOLDER.fullmatch(name):
                        pending.append(f"{name}/")
                    else:
                        msg = f"{shown(name)} is neither a file nor a folder of a log"
                        raise FolderError(msg)
        except OSError as error:
            msg = f"{shown(prefix)} cannot be listed"
            raise FolderError(msg) from error
        if empty and prefix and not allow_empty:
            msg = f"{shown(prefix)} is an empty folder"
            raise FolderError(msg)


def count_files(size: int) -> int:
    """Return how many bundles and tiles a log of ``size`` entries has, without its checkpoint."""
    bundles = -(-size // TILE_WIDTH)
    tiles, hashes = 0, size
    while hashes:
        tiles += -(-hashes // TILE_WIDTH)
        hashes //= TILE_WIDTH
    return bundles + tiles


def width_at(file: TileFile, size: int) -> int:
    """Return how wide this tile or bundle is in a log of ``size`` entries; 0 or less if there is none."""
    hashes = size >> 8 * (file.level or 0)
    return min(TILE_WIDTH, hashes - file.start)


def shown(name: str) -> str:
    """Return a foreign file name so that a terminal can show it: ASCII, at most 80 characters."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:76]}...{text[-1]}"


def _belongs(name: str, size: int) -> bool:
    try:
        file = parse_tile_path(name)
    except MalformedError:
        return False
    return width_at(file, size) == file.width
