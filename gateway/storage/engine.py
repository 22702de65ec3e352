"""The one place where SQLite and PostgreSQL differ.

How to connect, what makes a commit durable, how a second process is kept out, which
triggers keep a table append-only: everything else in this package is the same for both.

SQLite keeps one file. A lock file beside it is locked for the life of the process, so two
nodes never write one database; readers such as an export stay possible. WAL lets them
read while the writer writes, and ``synchronous=FULL`` syncs every commit.

PostgreSQL keeps a lease: an advisory lock that the server drops with the session, and a
row with an epoch that grows with every holder. Each transaction checks the epoch, so a
holder that was cut off and comes back can write nothing.

Spec: docs/storage.md; docs/spec/log.md, "One writer".
"""

from __future__ import annotations

import contextlib
import fcntl
import operator
import os
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from gateway.errors import StoreError

PAGE_BYTES: Final = 16_384
"""Page of a new SQLite file. In larger ones long rows leave less unused, in smaller ones a commit
writes less; docs/adr/0042-rows-at-rest.md has the measurements. Files of older versions keep theirs."""

CACHE_KIB: Final = 8_192
"""Pages that a connection to SQLite keeps, in KiB. What a busy writer comes back to fits; what waits longer
is read once, and the operating system has it. Readers forget theirs whenever somebody has written."""

_LEASE_KEY: Final = 0x656E74656E7465
"""Advisory lock of PostgreSQL: the word ``entente`` in ASCII."""

_LEASE_POLL_S: Final = 0.2
_BUSY_TIMEOUT_MS: Final = 10_000
_SCRUB_TIMEOUT_MS: Final = 500


# The driver asks values of these three types whether they are not really of another one, by a look
# for methods that none of them has: longer than all the rest of handing a value over. Told what they
# become, themselves, it does not look.
sqlite3.register_adapter(bytes, bytes.__bytes__)
sqlite3.register_adapter(bool, operator.index)
sqlite3.register_adapter(type(None), dict[None, None]().get)


def keep_first(table: sa.Table) -> Callable[[str], sa.Executable]:
    """Return an insert that leaves a row alone that is there already."""

    def build(dialect: str) -> sa.Executable:
        statement: sa.Executable = _insert(table, dialect).on_conflict_do_nothing()
        return statement

    return build


def replace_row(table: sa.Table, *columns: str) -> Callable[[str], sa.Executable]:
    """Return an insert that overwrites the row with the same primary key, or these columns of it."""

    def build(dialect: str) -> sa.Executable:
        insert = _insert(table, dialect)
        replaced = [c.name for c in table.columns if not c.primary_key]
        statement: sa.Executable = insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: insert.excluded[name] for name in columns or replaced},
        )
        return statement

    return build


def _insert(table: sa.Table, dialect: str) -> Any:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


class Database(ABC):
    """Where the store lives, and what its dialect needs."""

    begin_read_text: ClassVar[str]
    """Begins a transaction that sees one snapshot and writes nothing."""

    def __init__(self, url: sa.URL, *, read_only: bool, paramstyle: str) -> None:
        """Prepare the engine; nothing is opened yet."""
        self.url = url
        self.read_only = read_only
        self.engine = sa.create_engine(url, poolclass=NullPool, paramstyle=paramstyle)
        self.dialect = self.engine.dialect
        self.error: type[Exception] = self.dialect.loaded_dbapi.Error

    @staticmethod
    def at(url: str, *, read_only: bool) -> Database:
        """Return the database that a URL names.

        Args:
            url: ``sqlite:///path`` or ``postgresql://user@host/name``.
            read_only: Whether it is opened to read only.

        Raises:
            StoreError: Neither of the two, or its driver is not installed.
        """
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            msg = "the database URL is neither sqlite:///PATH nor postgresql://HOST/NAME"
            raise StoreError(msg) from error
        if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
            return SQLiteFile(parsed, read_only=read_only)
        if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
            return PostgreSQL(parsed.set(drivername="postgresql+psycopg"), read_only=read_only)
        msg = "the database URL is neither sqlite:///PATH nor postgresql://HOST/NAME"
        raise StoreError(msg)

    @abstractmethod
    def acquire(self, *, wait_s: float) -> None:
        """Become the only writer, or raise `StoreError` after ``wait_s`` seconds."""

    @abstractmethod
    def release(self) -> None:
        """Let another process write."""

    @abstractmethod
    def connect(self, *, writable: bool) -> Any:
        """Return a driver connection in which transactions are begun and ended by text."""

    @abstractmethod
    def begin(self, cursor: Any, epoch: int) -> None:
        """Begin a transaction of the writer; raise `StoreError` if the lease is not its own."""

    @abstractmethod
    def next_mark(self, cursor: Any) -> None:
        """Replace the savepoint by one that stands here."""

    @abstractmethod
    def commit(self, connection: Any, cursor: Any) -> None:
        """Commit; raise `StoreError` or the driver's error if the outcome is not *durable*."""

    @abstractmethod
    def scrub(self) -> bool:
        """Let nothing of what was deleted stay readable, as far as this program can do that.

        Returns:
            False if somebody reads right now, so that it has to be tried again.
        """

    @abstractmethod
    def explain(self, error: Exception) -> str:
        """Return a text for an operator that holds no value of a row."""

    @abstractmethod
    def is_fatal(self, error: Exception) -> bool:
        """Return whether the database is in doubt after this error of the driver."""


class SQLiteFile(Database):
    """A database in one file."""

    begin_read_text = "BEGIN"

    def __init__(self, url: sa.URL, *, read_only: bool) -> None:
        """Check the URL."""
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            msg = "the database URL names no file: write sqlite:///PATH"
            raise StoreError(msg)
        super().__init__(url, read_only=read_only, paramstyle="qmark")
        self.path = Path(url.database)
        self._lock: int | None = None
        sa.event.listen(self.engine, "do_connect", lambda *_: self.connect(writable=True))
        # The driver would begin by itself, and not before DDL: migrations begin here.
        sa.event.listen(self.engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))

    def acquire(self, *, wait_s: float) -> None:
        """Lock the lock file beside the database."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unwritable(error) from error
        deadline = time.monotonic() + wait_s
        while not _try_flock(lock):
            if time.monotonic() >= deadline:
                holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(lock)
                msg = (
                    f"another process (pid {holder}) has this database open: stop it first, "
                    "or open the database read-only"
                )
                raise StoreError(msg)
            time.sleep(_LEASE_POLL_S)
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            # The file exists with its mode before SQLite writes to it; -wal and -shm inherit it.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            # A disk without a byte of room: the lock file had none to begin with.
            os.close(lock)
            raise _unwritable(error) from error
        self._lock = lock

    def release(self) -> None:
        """Close the lock file, which unlocks it; the file itself stays."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def connect(self, *, writable: bool) -> Any:
        """Open the file."""
        if self.read_only:
            if not self.path.exists():
                msg = "there is no database at this path"
                raise StoreError(msg)
            # A folder that nothing can be created in holds a database that nobody writes.
            fixed = not os.access(self.path.parent, os.W_OK)
            mode = "?mode=ro&immutable=1" if fixed else "?mode=ro"
        else:
            mode = "?mode=rw"
        try:
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}{mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=_BUSY_TIMEOUT_MS / 1_000,
            )
        except sqlite3.Error as error:
            raise StoreError(self.explain(error)) from error
        try:
            if not self.read_only:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA wal_autocheckpoint = 1000")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            # Erased content must not stay behind in free pages.
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            if not writable:
                connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(self.explain(error)) from error
        return connection

    def begin(self, cursor: Any, epoch: int) -> None:
        """Take the write lock at once. The lock file is the lease, so no row is asked."""
        del epoch
        cursor.execute("BEGIN IMMEDIATE")

    def next_mark(self, cursor: Any) -> None:
        """Release and set: without the release every closure would nest one level deeper."""
        cursor.execute("RELEASE SAVEPOINT closure")
        cursor.execute("SAVEPOINT closure")

    def commit(self, connection: Any, cursor: Any) -> None:
        """Commit; returns when the log file is synced."""
        del connection
        cursor.execute("COMMIT")

    def scrub(self) -> bool:
        """Fold the write-ahead log into the file and cut it to nothing.

        Deleted bytes are overwritten in the pages (`secure_delete`), but the log may still hold
        those pages as they were before. A reader that is in the middle of something, an export
        for example, needs them: then the log stays as it is.
        """
        connection = self.connect(writable=True)
        try:
            connection.execute(f"PRAGMA busy_timeout = {_SCRUB_TIMEOUT_MS}")
            busy = bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return not busy

    def explain(self, error: Exception) -> str:
        """Name the condition by SQLite's own word."""
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return f"SQLite reports {name}"

    def is_fatal(self, error: Exception) -> bool:
        """Everything but a broken constraint or a wrong statement leaves doubt."""
        return isinstance(error, sqlite3.OperationalError | sqlite3.InternalError) or (
            type(error) is sqlite3.DatabaseError
        )


class PostgreSQL(Database):
    """A database of a PostgreSQL server, 14 or newer."""

    begin_read_text = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def __init__(self, url: sa.URL, *, read_only: bool) -> None:
        """Load the driver."""
        try:
            super().__init__(url, read_only=read_only, paramstyle="format")
        except ModuleNotFoundError as error:
            msg = "PostgreSQL needs the Python package psycopg: install it"
            raise StoreError(msg) from error
        self._guard: Any = None
        self._warnings: list[str] = []

    def acquire(self, *, wait_s: float) -> None:
        """Take the advisory lock on a connection of its own, which becomes the writer's."""
        guard = self._open()
        try:
            held = self._take_lock(guard, wait_s)
        except self.error as error:
            guard.close()
            raise StoreError(self.explain(error)) from error
        if not held:
            guard.close()
            msg = "another process holds the lease of this database: stop it first, or wait longer"
            raise StoreError(msg)
        guard.add_notice_handler(lambda notice: self._warnings.append(notice.sqlstate or ""))
        self._guard = guard

    @staticmethod
    def _take_lock(guard: Any, wait_s: float) -> bool:
        deadline = time.monotonic() + wait_s
        while not guard.execute("SELECT pg_try_advisory_lock(%s)", (_LEASE_KEY,)).fetchone()[0]:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LEASE_POLL_S)
        return True

    def release(self) -> None:
        """Close the connection that holds the lock, if the writer has not done so."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def connect(self, *, writable: bool) -> Any:
        """Return the connection that holds the lease for the writer, a new one for a reader."""
        if writable and not self.read_only:
            return self._guard
        connection = self._open()
        connection.execute("SET default_transaction_read_only = on")
        return connection

    def _open(self) -> Any:
        arguments, options = self.dialect.create_connect_args(self.url)
        options.setdefault("connect_timeout", 10)
        options.setdefault("tcp_user_timeout", 30_000)
        try:
            connection = self.dialect.loaded_dbapi.connect(*arguments, autocommit=True, **options)
            connection.execute("SET idle_in_transaction_session_timeout = 0")
            connection.execute("SET client_min_messages = warning")
            # A server or role that answers before its disk has the commit is overruled.
            (level,) = connection.execute("SHOW synchronous_commit").fetchone()
            if level in {"off", "local"}:
                connection.execute("SET synchronous_commit = on")
        except self.error as error:
            raise StoreError(self.explain(error)) from error
        return connection

    def begin(self, cursor: Any, epoch: int) -> None:
        """Begin and lock the lease row in one round trip: whoever wants to take over waits."""
        # Two statements at once: no parameters, and never prepared by the server.
        check = f"SELECT 1 FROM lease WHERE id = 1 AND epoch = {epoch:d} FOR SHARE"  # noqa: S608
        cursor.execute(f"BEGIN; {check}", prepare=False)
        cursor.nextset()
        if cursor.fetchone() is None:
            cursor.execute("ROLLBACK")
            msg = "another process has taken over this database"
            raise StoreError(msg)

    def next_mark(self, cursor: Any) -> None:
        """Release and set in one round trip."""
        cursor.execute("RELEASE SAVEPOINT closure; SAVEPOINT closure", prepare=False)

    def commit(self, connection: Any, cursor: Any) -> None:
        """Commit; a warning is a failure.

        A server whose wait for its standby is cancelled answers *success* and warns with
        01000: the rows are not where they have to be.
        """
        del connection
        self._warnings.clear()
        cursor.execute("COMMIT")
        if cursor.statusmessage != "COMMIT" or any(state.startswith("01") for state in self._warnings):
            msg = "PostgreSQL did not confirm that the commit is durable"
            raise StoreError(msg)

    def scrub(self) -> bool:
        """Leave it to the server, whose VACUUM frees deleted rows; docs/storage.md says what holds."""
        return True

    def explain(self, error: Exception) -> str:
        """Name the condition by its SQLSTATE."""
        state = getattr(error, "sqlstate", None)
        return f"PostgreSQL reports {state or 'a lost connection'} ({type(error).__name__})"

    def is_fatal(self, error: Exception) -> bool:
        """Everything but a broken constraint or a wrong statement leaves doubt."""
        driver = self.dialect.loaded_dbapi
        return isinstance(error, driver.OperationalError | driver.InternalError) or (
            type(error) in {driver.DatabaseError, driver.Error}
        )


def append_only_guards(dialect: str, *tables: str) -> list[str]:
    """Return the triggers of tables whose rows never change and never go.

    On PostgreSQL they call a function that `guards_0001` makes.
    """
    if dialect == "sqlite":
        rules = [(table, action, "") for table in tables for action in ("UPDATE", "DELETE")]
        return [_sqlite_guard(*rule) for rule in rules]
    rules = [(table, "UPDATE OR DELETE", "ROW") for table in tables]
    rules += [(table, "TRUNCATE", "STATEMENT") for table in tables]
    return [_postgresql_guard(*rule) for rule in rules]


def guards_0001(dialect: str) -> list[str]:
    """Return the triggers of revision 0001.

    Rows of the append-only tables never change; a log never shrinks or goes; of a note
    only the bytes may be forgotten.
    """
    whole = append_only_guards(dialect, "entries", "tile_hashes")
    log_moves = "NEW.size < OLD.size OR NEW.origin <> OLD.origin"
    note_changes = "NEW.size <> OLD.size OR NEW.root <> OLD.root OR NEW.note IS NOT NULL"
    if dialect == "sqlite":
        return [
            *whole,
            *(_sqlite_guard(table, "DELETE") for table in ("logs", "notes")),
            _sqlite_guard("logs", "UPDATE", f" WHEN {log_moves}"),
            _sqlite_guard("notes", "UPDATE", f" WHEN {note_changes}"),
        ]
    function = (
        "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23000'; END $$"
    )
    return [
        function,
        *whole,
        *(_postgresql_guard(table, "DELETE", "ROW") for table in ("logs", "notes")),
        *(_postgresql_guard(table, "TRUNCATE", "STATEMENT") for table in ("logs", "notes")),
        _postgresql_guard("logs", "UPDATE", "ROW", f" WHEN ({log_moves})"),
        _postgresql_guard("notes", "UPDATE", "ROW", f" WHEN ({note_changes})"),
    ]


def notes_guards_0007(dialect: str) -> tuple[list[str], list[str]]:
    """Return what revision 0007 does about notes before it takes a column from them, and after that.

    Notes never change any more: the bytes that may be forgotten stand elsewhere.
    """
    if dialect == "sqlite":
        return ["DROP TRIGGER notes_no_update"], [
            _sqlite_guard("notes", "UPDATE"),
            _sqlite_guard("whole_notes", "UPDATE"),
        ]
    return ["DROP TRIGGER notes_no_update ON notes"], [
        _postgresql_guard("notes", "UPDATE", "ROW"),
        _postgresql_guard("whole_notes", "UPDATE", "ROW"),
    ]


def _sqlite_guard(table: str, action: str, condition: str = "") -> str:
    return (
        f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table}{condition} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


def _postgresql_guard(table: str, action: str, level: str, condition: str = "") -> str:
    return (
        f"CREATE TRIGGER {table}_no_{action.lower().replace(' ', '_')} BEFORE {action} ON {table} "
        f"FOR EACH {level}{condition} EXECUTE FUNCTION append_only()"
    )


def _unwritable(error: OSError) -> StoreError:
    return StoreError(f"the folder of the database cannot be written: {error.strerror}")


def _try_flock(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
