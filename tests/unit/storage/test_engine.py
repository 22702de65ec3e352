"""What differs between the two databases: URLs, locks, durability, errors."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.errors import StoreError
from gateway.ports import Step
from gateway.storage.engine import Database, PostgreSQL
from gateway.storage.store import SqlStore
from tests.contract.builders import OWN, grow


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory",
        "mysql://host/db",
        "postgresql+asyncpg://host/db",
        "sqlite+aiosqlite:///x.db",
        "://",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="database URL"):
        Database.at(url, read_only=False)


def test_both_spellings_of_postgresql_use_the_same_driver() -> None:
    for scheme in ("postgresql", "postgresql+psycopg"):
        database = Database.at(f"{scheme}://user@host/name", read_only=False)
        assert isinstance(database, PostgreSQL)
        assert database.url.drivername == "postgresql+psycopg"


def test_a_server_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="PostgreSQL reports"):
        SqlStore.open(f"postgresql://gateway@/db?host={tmp_path}")


def _pragma(connection: Any, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_every_connection_is_durable_strict_and_forgets_what_is_erased(path: Path) -> None:
    database = Database.at(f"sqlite:///{path}", read_only=False)
    for writable in (True, False):
        connection = database.connect(writable=writable)
        assert _pragma(connection, "journal_mode") == "wal"
        assert _pragma(connection, "synchronous") == 2
        assert _pragma(connection, "foreign_keys") == 1
        assert _pragma(connection, "secure_delete") == 1
        assert _pragma(connection, "query_only") == (not writable)
        connection.close()


@pytest.mark.parametrize("value", [b"", b"\x00bytes", None, True, False, 0, 2**62, "text", ""])
def test_a_value_comes_back_from_the_driver_as_it_went_there(path: Path, value: object) -> None:
    connection = Database.at(f"sqlite:///{path}", read_only=False).connect(writable=True)
    assert connection.execute("SELECT ?", (value,)).fetchone() == (value,)
    connection.close()


async def test_database_and_lock_file_belong_to_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "gateway.db"
    before = os.umask(0)
    try:
        store = SqlStore.open(f"sqlite:///{path}")
        await store.write(Step.SETUP, lambda tx: tx.facts.put("a", "b"))
    finally:
        os.umask(before)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {file.name for file in path.parent.iterdir()} == {
        "gateway.db",
        "gateway.db-wal",
        "gateway.db-shm",
        "gateway.db.lock",
    }
    await store.close()
    assert not path.with_name("gateway.db-wal").exists()


async def test_the_refusal_names_the_process_that_holds_the_lock(path: Path) -> None:
    store = SqlStore.open(f"sqlite:///{path}")
    with pytest.raises(StoreError, match=rf"pid {os.getpid()}\).*read-only"):
        SqlStore.open(f"sqlite:///{path}")
    await store.close()


def test_another_process_is_kept_out_until_the_holder_dies(path: Path) -> None:
    """Also when the holder is killed: the lock goes with the process, not with a file."""
    program = (
        "import sys, time; from gateway.storage.store import SqlStore;"
        "SqlStore.open(sys.argv[1]); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, f"sqlite:///{path}"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match=f"pid {child.pid}"):
            SqlStore.open(f"sqlite:///{path}")
        child.kill()
        child.wait()
    store = SqlStore.open(f"sqlite:///{path}", wait_s=5)
    store._stop()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        SqlStore.open(f"sqlite:///{tmp_path}/file/gateway.db")


def test_a_disk_without_a_byte_of_room_is_a_clear_error_and_leaves_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node is started again on the disk that has ended it."""

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", refuse)
        with pytest.raises(StoreError, match="cannot be written: No space left on device"):
            SqlStore.open(f"sqlite:///{tmp_path}/gateway.db")
    SqlStore.open(f"sqlite:///{tmp_path}/gateway.db")._stop()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="NOTADB"):
        SqlStore.open(f"sqlite:///{path}")
    assert path.read_bytes() == b"not a database at all" * 100
    # The refusal has let go of the lock.
    path.unlink()
    SqlStore.open(f"sqlite:///{path}")._stop()


def test_reading_a_database_that_is_not_there_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database"):
        SqlStore.open(f"sqlite:///{tmp_path}/gateway.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


async def test_a_closed_database_is_read_without_leaving_a_trace(path: Path) -> None:
    store = SqlStore.open(f"sqlite:///{path}")
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"entry"]))
    await store.close()
    names = sorted(path.parent.iterdir())
    data = path.read_bytes()

    reader = SqlStore.open(f"sqlite:///{path}", read_only=True)
    assert await reader.read(lambda tx: tx.logs.entries(OWN, 0, 1)) == [b"entry"]
    await reader.close()

    assert path.read_bytes() == data
    assert {p.name for p in path.parent.iterdir()} - {p.name for p in names} <= {
        "gateway.db-wal",
        "gateway.db-shm",
    }


async def test_what_a_killed_node_left_in_its_log_is_read_to_read_only(path: Path, tmp_path: Path) -> None:
    store = SqlStore.open(f"sqlite:///{path}")
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"entry"]))
    copy = tmp_path / "copy"
    copy.mkdir()
    for suffix in ("", "-wal"):
        (copy / f"gateway.db{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    await store.close()
    reader = SqlStore.open(f"sqlite:///{copy}/gateway.db", read_only=True)
    assert await reader.read(lambda tx: tx.logs.entries(OWN, 0, 1)) == [b"entry"]
    await reader.close()


# --- PostgreSQL's commit, at the seam of the driver ----------------------------------


class Server:
    """What a driver shows of a server: the tag of a command, and notices beside it."""

    def __init__(self, tag: str, *notices: str) -> None:
        self.database = Database.at("postgresql://host/name", read_only=False)
        assert isinstance(self.database, PostgreSQL)
        self.tag, self.notices = tag, notices
        self.statusmessage = ""

    def execute(self, text: str) -> None:
        assert text == "COMMIT"
        assert isinstance(self.database, PostgreSQL)
        self.statusmessage = self.tag
        self.database._warnings += self.notices

    def commit(self) -> None:
        self.database.commit(None, self)


def test_a_commit_that_the_server_confirms_is_durable() -> None:
    server = Server("COMMIT", "00000")
    server.commit()
    # A warning of some earlier statement says nothing about this commit.
    assert isinstance(server.database, PostgreSQL)
    server.database._warnings.append("01000")
    server.commit()


@pytest.mark.parametrize(
    ("tag", "notices"), [("COMMIT", ("01000",)), ("COMMIT", ("00000", "01S03")), ("ROLLBACK", ())]
)
def test_a_commit_with_a_warning_is_not_durable_although_it_succeeded(
    tag: str, notices: tuple[str, ...]
) -> None:
    with pytest.raises(StoreError, match="did not confirm"):
        Server(tag, *notices).commit()


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (psycopg.OperationalError(), True),
        (psycopg.errors.DiskFull(), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.InFailedSqlTransaction(), True),
        (psycopg.errors.UniqueViolation(), False),
        (psycopg.errors.UndefinedColumn(), False),
        (psycopg.errors.NumericValueOutOfRange(), False),
    ],
)
def test_errors_of_postgresql_are_told_apart(error: Exception, fatal: bool) -> None:
    database = Database.at("postgresql://host/name", read_only=False)
    assert database.is_fatal(error) is fatal
    assert "PostgreSQL reports" in database.explain(error)


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (sqlite3.OperationalError(), True),
        (sqlite3.InternalError(), True),
        (sqlite3.DatabaseError(), True),
        (sqlite3.IntegrityError(), False),
        (sqlite3.ProgrammingError(), False),
        (sqlite3.DataError(), False),
    ],
)
def test_errors_of_sqlite_are_told_apart(error: Exception, fatal: bool) -> None:
    assert Database.at("sqlite:///x.db", read_only=False).is_fatal(error) is fatal
