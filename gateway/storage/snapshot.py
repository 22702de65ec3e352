"""A copy of a database as of one moment, beside a node that goes on writing; and putting one in place.

SQLite copies what one read transaction sees (`VACUUM INTO`): the writer never waits, and the
copy has no free pages, so nothing that was erased before is in it. The copy lies beside the
database, under the same protection, has no name once it is whole, and goes with the process.
What a crash leaves is a file that is locked by nobody: the next backup or start removes it.

Spec: docs/storage.md, "Backup"; docs/spec/backup.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from gateway.errors import StoreError
from gateway.storage.engine import PAGE_BYTES, Database, SQLiteFile

SPARE_BYTES: Final = 64 * 2**20
"""Room that a copy leaves on the disk of the database."""

_SUFFIX: Final = ".snapshot-"
_INDEX: Final = "-shm"
_SIDES: Final = ("", "-wal", "-journal", _INDEX)


def is_on_server(url: str) -> bool:
    """Return whether a database is on a server, whose tools make its backups."""
    return not isinstance(Database.at(url, read_only=True), SQLiteFile)


def database_path(url: str) -> Path:
    """Return the file of a SQLite database.

    Raises:
        StoreError: The database is on a server.
    """
    database = Database.at(url, read_only=True)
    if not isinstance(database, SQLiteFile):
        msg = (
            "this database is on a PostgreSQL server: back it up with the tools of the server "
            "(docs/runbooks.md, PostgreSQL)"
        )
        raise StoreError(msg)
    return database.path


@contextmanager
def copied(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Copy a database as of one moment, and give the copy as a path and open for reading.

    Args:
        path: A SQLite database, which may be in use.

    Raises:
        StoreError: There is none, it cannot be read, or the disk has no room for the copy.
    """
    if not path.exists():
        msg = "there is no database at this path"
        raise StoreError(msg)
    remove_leftovers(path)
    length = sum(_length(path.with_name(path.name + side)) for side in _SIDES)
    if shutil.disk_usage(path.parent).free < length + SPARE_BYTES:
        msg = f"a backup needs {(length + SPARE_BYTES) // 2**20} MiB of free space beside the database"
        raise StoreError(msg)
    target = path.with_name(f"{path.name}{_SUFFIX}{secrets.token_hex(4)}")
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _copy(path, target)
            yield target, file
    finally:
        target.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove copies that a backup left when it was killed; one that runs is left alone."""
    for leftover in path.parent.glob(f"{path.name}{_SUFFIX}*"):
        with contextlib.suppress(OSError), leftover.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def verify_copy(path: Path) -> None:
    """Verify that a copy is a sound database: pages, trees, indexes and constraints.

    Raises:
        StoreError: It is not.
    """
    try:
        connection = _open(path, "ro&immutable=1")
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        msg = "the copy is no database"
        raise StoreError(msg) from error
    if found != "ok":
        msg = "the database in the copy is damaged"
        raise StoreError(msg)


def version_of(path: Path) -> str:
    """Return the version of the tables in a copy.

    Raises:
        StoreError: It holds no tables of this program.
    """
    try:
        connection = _open(path, "ro&immutable=1")
        try:
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    except (sqlite3.Error, TypeError) as error:
        msg = "the copy holds no tables of this program"
        raise StoreError(msg) from error
    return str(version)


def logs_of(path: Path) -> list[tuple[str, str, int, bytes]]:
    """Return origin, kind, size and root of every log in a copy, whatever the version of its tables."""
    connection = _open(path, "ro&immutable=1")
    try:
        rows: list[tuple[str, str, int, bytes]] = connection.execute(
            "SELECT origin, kind, size, root FROM logs ORDER BY origin"
        ).fetchall()
    finally:
        connection.close()
    return rows


def require_no_database(path: Path) -> None:
    """Refuse a place where a database is, or a part of one that holds something.

    A write-ahead log that is left behind would be played into any database of this name. An
    empty one, and the index of one, mean nothing: a reader leaves them.

    Raises:
        StoreError: There is something; the text names it.
    """
    for side in _SIDES:
        found = path.with_name(path.name + side)
        if found.exists() and (side == "" or (side != _INDEX and _length(found) > 0)):
            msg = f"there is a database already: move {found.name} away, and keep it until the node runs"
            raise StoreError(msg)


def require_no_process(path: Path) -> None:
    """Refuse the place of a database whose lock a process holds: it would go on with the one of before.

    Raises:
        StoreError: Some process holds it.
    """
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _lock(lock)
    finally:
        os.close(lock)


def put_in_place(copy: Path, path: Path) -> None:
    """Make a copy the database of a node; durable when this returns.

    Args:
        copy: A whole and verified copy on the same file system.
        path: Where the node looks for its database; nothing is replaced.

    Raises:
        StoreError: A database is there, or a process holds the lock of one.
    """
    require_no_database(path)
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(lock)
        for side in _SIDES[1:]:
            path.with_name(path.name + side).unlink(missing_ok=True)
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        # A hard link fails if the name exists: nothing is ever replaced.
        os.link(copy, path)
        copy.unlink()
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError as error:
        msg = "there is a database already"
        raise StoreError(msg) from error
    finally:
        os.close(lock)


def running() -> StoreError:
    """Return the refusal of what needs a node that is stopped."""
    return StoreError("a process of this node runs: stop it first")


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise running() from error


def _copy(path: Path, target: Path) -> None:
    try:
        connection = _open(path, "ro")
        try:
            connection.execute("PRAGMA busy_timeout = 10000")
            # Of the copy: a database of an older version is restored with the pages of this one.
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        msg = f"the database could not be copied: SQLite reports {name}"
        raise StoreError(msg) from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
