"""The high-water file: how far logs were signed or cosigned, apart from the database.

A database that is restored from a backup has forgotten what was signed after it; this file
has not. It lies on another path, is synced before anything signed leaves the process, and
is compared at the start. A mark never goes back, and one size never has two roots.

The file holds lines of a checksum and a JSON object. The first line holds every mark, each
further one what was recorded since; the file is written anew, beside and renamed, at the
first use of a process and whenever it has grown. What a crash leaves: a last line without
its end, which nobody was told of and which is ignored. Any other line that does not match
its checksum is damage, and refused.

Whoever asks while a write runs shares the next one.

Spec: docs/storage.md, "High-water file"; docs/spec/log.md, "Start".
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import orjson

from gateway.core.merkle import HASH_BYTES, Hash
from gateway.errands import Threads
from gateway.errors import OperatorError

REWRITE_BYTES: Final = 262_144
"""Length from which the file is written anew."""

MAX_FILE_BYTES: Final = 4 * REWRITE_BYTES

_CHECKSUM_CHARS: Final = 64

Marks = dict[str, tuple[int, Hash]]


class HighWaterError(OperatorError):
    """The high-water file cannot be used, or contradicts what is to be recorded."""

    code = "high-water"


class FileHighWater:
    """Implements `gateway.ports.HighWater` on one small file. Calls may come from several threads."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one. Nothing is created before the first mark.

        Args:
            path: Its place; not on the disk of the database, where there is a choice.

        Raises:
            HighWaterError: It is damaged or cannot be read. It is never repaired by itself:
                what it remembered may be what keeps this node from signing a fork.
        """
        # Replaced, never changed: whoever reads it holds a whole one.
        self._durable: Marks = _load(path)
        # What the next write will hold.
        self._wanted: Marks = dict(self._durable)
        self._wanting = threading.Lock()
        self._file = _MarkFile(path)
        self._writing = threading.Lock()
        self._failure: HighWaterError | None = None
        self._thread = Threads("high-water", count=1)

    async def record(self, marks: Mapping[str, tuple[int, Hash]]) -> None:
        """Store (size, root) by origin; durable when it returns. Smaller sizes are ignored.

        Raises:
            HighWaterError: The file could not be written (the outcome is unknown, so every
                later call fails as well), or a size was recorded with another root before:
                that would be a second history, and nothing may be published.
        """
        if self._want(marks):
            await self._thread.run(partial(self._write, marks))

    def record_now(self, marks: Mapping[str, tuple[int, Hash]]) -> None:
        """Do what `record` does, in a thread that is no loop's: it blocks.

        Raises:
            HighWaterError: As for `record`.
        """
        if self._want(marks):
            self._write(marks)

    def read(self) -> Mapping[str, tuple[int, Hash]]:
        """Return (size, root) by origin, as they are on disk."""
        return MappingProxyType(dict(self._durable))

    def close(self) -> None:
        """Let the thread end and the file go."""
        self._thread.stop()
        self._file.close()

    def _want(self, marks: Mapping[str, tuple[int, Hash]]) -> bool:
        """Let the next write hold these marks; return whether one of them is not durable yet."""
        with self._wanting:
            if self._failure is not None:
                raise self._failed()
            for origin, (size, root) in marks.items():
                known, known_root = self._wanted.get(origin, (-1, root))
                if size == known and root != known_root:
                    msg = "this size of the log was recorded with another root: nothing may be signed"
                    raise HighWaterError(msg)
            for origin, (size, root) in marks.items():
                if size > self._wanted.get(origin, (-1, root))[0]:
                    self._wanted[origin] = (size, root)
        return self._is_news(marks)

    def _is_news(self, marks: Mapping[str, tuple[int, Hash]]) -> bool:
        # A mark that is on its way to the disk has to be waited for as well.
        durable = self._durable
        return any(size > durable.get(origin, (-1, root))[0] for origin, (size, root) in marks.items())

    def _write(self, marks: Mapping[str, tuple[int, Hash]]) -> None:
        """Return once these marks are durable; whoever writes, writes all that is wanted by then."""
        with self._writing:
            if self._failure is not None:
                raise self._failed()
            if not self._is_news(marks):
                return
            with self._wanting:
                wanted = dict(self._wanted)
            durable = self._durable
            news = {origin: mark for origin, mark in wanted.items() if durable.get(origin) != mark}
            try:
                self._file.store(wanted, news)
            except Exception as error:
                name = error.strerror if isinstance(error, OSError) else type(error).__name__
                self._failure = HighWaterError(f"the high-water file could not be written: {name}")
                self._failure.__cause__ = error
                raise self._failed() from error
            self._durable = wanted

    def _failed(self) -> HighWaterError:
        error = HighWaterError(str(self._failure))
        error.__cause__ = self._failure
        return error


class _MarkFile:
    """The file, as the one thread that writes at a time sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # A folder that was there and went away is a disk that is missing: it is not made anew.
        self._makes_folder = not path.parent.exists()
        self._descriptor: int | None = None
        self._length = 0

    def store(self, marks: Marks, news: Marks) -> None:
        """Append what is new, or write all marks anew; durable when it returns."""
        line = _line(news)
        if self._descriptor is None or self._length + len(line) > REWRITE_BYTES:
            self._rewrite(_line(marks))
            return
        _write(self._descriptor, line)
        self._length += len(line)
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _rewrite(self, line: bytes) -> None:
        self.close()
        if self._makes_folder:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._makes_folder = False
        beside = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write(descriptor, line)
            os.fsync(descriptor)
            # From here a crash leaves either the old file or the new one.
            beside.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self._length = descriptor, len(line)


def _write(descriptor: int, line: bytes) -> None:
    if os.write(descriptor, line) != len(line):
        msg = "the disk took only a part of a line"
        raise OSError(msg)


def _line(marks: Marks) -> bytes:
    body = orjson.dumps({origin: [size, root.hex()] for origin, (size, root) in marks.items()})
    return hashlib.sha256(body).hexdigest().encode() + b" " + body + b"\n"


def _load(path: Path) -> Marks:
    try:
        if not path.exists():
            return {}
        if path.stat().st_size > MAX_FILE_BYTES:
            raise _damaged()
        # What stands behind the last line end was torn by a crash and never acknowledged.
        *lines, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        msg = f"the high-water file cannot be read: {error.strerror}"
        raise HighWaterError(msg) from error
    if not lines:
        # The first line is renamed into place whole: a file without one was cut off.
        raise _damaged()
    marks: Marks = {}
    for line in lines:
        marks |= _parse(line)
    return marks


def _parse(line: bytes) -> Marks:
    checksum, space, body = line[:_CHECKSUM_CHARS], line[_CHECKSUM_CHARS : _CHECKSUM_CHARS + 1], line[65:]
    if space != b" " or hashlib.sha256(body).hexdigest().encode() != checksum:
        raise _damaged()
    try:
        found = {
            origin: (size, Hash(bytes.fromhex(root))) for origin, (size, root) in orjson.loads(body).items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged() from error
    if any(type(size) is not int or size < 0 or len(root) != HASH_BYTES for size, root in found.values()):
        raise _damaged()
    return found


def _damaged() -> HighWaterError:
    return HighWaterError(
        "the high-water file is damaged: compare the log with the peer's view before you remove it"
    )
