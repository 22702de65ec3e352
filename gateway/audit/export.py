"""Writing a log as the folder that any C2SP tlog-tiles checker reads.

::

    <folder>/checkpoint              the newest signed note
    <folder>/tile/<level>/…          hash tiles
    <folder>/tile/entries/…          entry bundles

A second export into the same folder adds what is new. The order of writing is what makes
an interrupted export harmless: tiles and bundles of the new size come first, each under a
name of its own and then renamed, then the checkpoint that names them, and only then the
partial tiles go that no checkpoint names any more. A crash at any point leaves a folder
whose checkpoint, if there is one, names files that are all there; the next export removes
what is superfluous.

Entries are hashed on the way, and nothing is published that does not lead to the signed
root.

Spec: C2SP tlog-tiles; docs/auditing.md, "Exporting".
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from gateway.audit.folder import FolderError, LogFolder, walk, width_at
from gateway.audit.stack import Tile, TileStack
from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.merkle import hash_leaf
from gateway.core.note import parse_note
from gateway.core.tiles import CHECKPOINT_PATH, TILE_WIDTH, encode_bundle, entries_path, parse_tile_path
from gateway.errors import MalformedError, OperatorError

UNFINISHED: Final = ".unfinished"
"""Name under which a file is written before it is renamed to its own."""

_READ_ENTRIES: Final = 8 * TILE_WIDTH
"""Entries asked for at once: some megabytes at most in practice."""

_FILE_MODE: Final = 0o644


class ExportRefusedError(OperatorError):
    """The log cannot be exported, or not into this folder."""

    code = "export-refused"


class LogSource(Protocol):
    """Where an export reads a log from."""

    def note(self) -> bytes:
        """Return the newest signed note, the same one in every call."""
        ...

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Return the entries from ``start`` up to ``end``, all below the size in the note."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export did.

    Attributes:
        checkpoint: What the folder holds now.
        old_size: Entries that it held before.
        files: Files written, the checkpoint included.
        removed: Outdated partial tiles and bundles that were removed.
    """

    checkpoint: Checkpoint
    old_size: int
    files: int
    removed: int


def export_log(
    source: LogSource, folder: Path, *, progress: Callable[[int], None] = lambda _: None
) -> Exported:
    """Write a log into a folder, or add to an earlier export what is new.

    Args:
        source: The log. Its entries must lead to the root in its note; whose signatures the
            note bears is not looked at.
        folder: Created if it does not exist; else empty or an earlier export of this log.
        progress: Called with the number of entries that were written since the last call.

    Raises:
        ExportRefusedError: The folder holds something else, another log or a newer state of
            this one, another export is writing it, or the entries do not lead to the
            signed root. What the folder held before is still whole.
        MalformedError: The note is not one of a checkpoint.
    """
    checkpoint = parse_checkpoint(parse_note(source.note()).text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return _export(source, checkpoint, folder, progress)
    except OSError as error:
        msg = f"the folder cannot be written: {error.strerror}"
        raise ExportRefusedError(msg) from error


def _export(
    source: LogSource, checkpoint: Checkpoint, folder: Path, progress: Callable[[int], None]
) -> Exported:
    _check_is_export(folder)
    writer = _Writer(folder)
    old_size = _size_of(folder, checkpoint)
    stack = _resume(folder, old_size)
    resumed = stack.size > 0
    _write_entries(source, checkpoint.size, stack, writer, progress)
    if resumed and stack.edge().root() != checkpoint.root:
        # What the folder held was damaged, or the log is: writing everything anew tells.
        stack = TileStack()
        _write_entries(source, checkpoint.size, stack, writer, progress)
    if stack.edge().root() != checkpoint.root:
        msg = "the entries do not lead to the root that the log has signed"
        raise ExportRefusedError(msg)
    # From here the folder holds all that the new checkpoint names, and still all that the
    # old one does; a power cut must not take that back. One sync of everything is many
    # times faster than one for each of thousands of tiles.
    os.sync()
    writer.write(CHECKPOINT_PATH, source.note())
    os.sync()
    removed = _remove_outdated(folder, checkpoint.size)
    return Exported(checkpoint=checkpoint, old_size=old_size, files=writer.files, removed=removed)


def _write_entries(
    source: LogSource, size: int, stack: TileStack, writer: _Writer, progress: Callable[[int], None]
) -> None:
    for first in range(stack.size, size, _READ_ENTRIES):
        last = min(first + _READ_ENTRIES, size)
        entries = source.entries(first, last)
        if len(entries) != last - first:
            msg = "the log does not hold all the entries that it has signed"
            raise ExportRefusedError(msg)
        for at in range(0, len(entries), TILE_WIDTH):
            bundled = entries[at : at + TILE_WIDTH]
            path = entries_path((first + at) // TILE_WIDTH, len(bundled))
            writer.write(path, encode_bundle(bundled))
            writer.write_tiles(stack.push([hash_leaf(entry) for entry in bundled]))
        progress(last - first)
    writer.write_tiles(stack.partial())


class _Writer:
    """Writes files that are whole or absent, whatever happens meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()
        self.files = 0

    def write_tiles(self, tiles: Sequence[Tile]) -> None:
        for tile in tiles:
            self.write(tile.file.path, tile.encode())

    def write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        unfinished = self._folder / UNFINISHED
        descriptor = os.open(
            unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        unfinished.replace(path)
        self.files += 1


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second export out of the folder; the lock goes with the process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = "another export is writing into this folder"
            raise ExportRefusedError(msg) from error
        yield
    finally:
        os.close(descriptor)


def _check_is_export(folder: Path) -> None:
    """Refuse a folder with anything that no export leaves; an interrupted one is fine."""
    try:
        for name in walk(folder, allow_empty=True):
            if name not in {CHECKPOINT_PATH, UNFINISHED}:
                parse_tile_path(name)
    except (FolderError, MalformedError) as error:
        msg = "the folder is neither empty nor an export of a log"
        raise ExportRefusedError(msg) from error


def _size_of(folder: Path, checkpoint: Checkpoint) -> int:
    """Return how many entries the folder's checkpoint covers; 0 without one."""
    if not (folder / CHECKPOINT_PATH).exists():
        return 0
    try:
        old = parse_checkpoint(parse_note(LogFolder(folder).note()).text)
    except (FolderError, MalformedError) as error:
        msg = "the folder's checkpoint cannot be read"
        raise ExportRefusedError(msg) from error
    if old.origin != checkpoint.origin:
        msg = "the folder holds another log"
        raise ExportRefusedError(msg)
    if old.size > checkpoint.size or (old.size == checkpoint.size and old.root != checkpoint.root):
        msg = "the folder holds a newer or another state of this log: keep it as evidence"
        raise ExportRefusedError(msg)
    return old.size


def _resume(folder: Path, old_size: int) -> TileStack:
    """Return the hashes of what need not be written again: all full bundles."""
    try:
        return TileStack.resume(old_size - old_size % TILE_WIDTH, LogFolder(folder))
    except FolderError:
        # The folder was damaged: write everything anew.
        return TileStack()


def _remove_outdated(folder: Path, size: int) -> int:
    """Remove what a log of ``size`` entries does not have: outdated partial tiles, leftovers of a crash."""
    removed = 0
    for parent, _, names in os.walk(folder / "tile", topdown=False):
        for name in names:
            path = Path(parent, name)
            file = parse_tile_path(path.relative_to(folder).as_posix())
            if width_at(file, size) != file.width:
                path.unlink()
                removed += 1
        if removed:
            with suppress(OSError):
                Path(parent).rmdir()  # only if nothing is left in it
    (folder / UNFINISHED).unlink(missing_ok=True)
    return removed
