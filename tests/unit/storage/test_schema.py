"""Migrations and descriptions say the same; versions are told apart."""

from __future__ import annotations

import re
import sqlite3
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.core.merkle import Hash
from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import PostName, Step, Transaction
from gateway.storage.engine import Database
from gateway.storage.schema import MADE_BY, MIGRATIONS, OLDEST_READER
from gateway.storage.store import SqlStore
from gateway.storage.tables import SCHEMA_REVISION, metadata
from tests.unit.storage.test_frames import header

_OPEN_REQUESTS = "SELECT number, agency, due_ms FROM open_requests ORDER BY 1, 2"
_SCHEMA = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"


def _described(path: Path) -> dict[tuple[str, str], str]:
    """Return every table and index by name, as SQLite has them, without layout."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(_SCHEMA).fetchall()
    connection.close()
    return {(kind, name): re.sub(r"\s+", " ", text) for kind, name, text in rows if "alembic" not in name}


def _parts(text: str) -> tuple[str, ...]:
    """Return the columns and constraints of a table in any order of the constraints."""
    return tuple(sorted(part.strip() for part in re.split(r", (?=[A-Za-z_\"]+ )", text)))


def test_the_migrations_make_what_the_tables_describe(path: Path, tmp_path: Path) -> None:
    described = tmp_path / "described.db"
    engine = sa.create_engine(f"sqlite:///{described}")
    metadata.create_all(engine)
    engine.dispose()
    migrated, wanted = _described(path), _described(described)
    assert migrated.keys() == wanted.keys()
    for key, text in wanted.items():
        assert _parts(migrated[key]) == _parts(text), key


def test_alembic_finds_no_difference_either(path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_that_the_tables_name() -> None:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_REVISION]


def test_a_counter_exists_for_every_state(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT state, messages FROM counts").fetchall()
    connection.close()
    assert dict(rows) == {int(state): 0 for state in State}


def _set_version(path: Path, version: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.commit()
    connection.close()


def _set(path: Path, key: str, value: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))
    connection.commit()
    connection.close()


def test_a_database_of_a_newer_version_is_refused_and_unchanged(path: Path) -> None:
    _set_version(path, "9999")
    before = _described(path)
    with pytest.raises(StoreError, match="newer version"):
        SqlStore.open(f"sqlite:///{path}")
    _set(path, OLDEST_READER, "9998")
    with pytest.raises(StoreError, match="newer version than this program can read"):
        SqlStore.open(f"sqlite:///{path}", read_only=True)
    assert _described(path) == before


def test_the_refusal_names_the_release_that_made_the_database(path: Path) -> None:
    _set_version(path, "9999")
    _set(path, MADE_BY, "9.8.7")
    with pytest.raises(StoreError, match=r"made by a newer version of this program \(9\.8\.7\): run that"):
        SqlStore.open(f"sqlite:///{path}")


async def test_a_newer_database_is_read_if_all_that_changed_was_added(path: Path) -> None:
    _set_version(path, "9999")
    store = SqlStore.open(f"sqlite:///{path}", read_only=True)
    assert store.is_newer
    assert await store.read(lambda tx: tx.logs.heads()) == []
    await store.close()


def test_an_older_database_is_not_read_but_asks_for_a_start(path: Path) -> None:
    _set_version(path, "0001")
    with pytest.raises(StoreError, match="older version than this program: start the node"):
        SqlStore.open(f"sqlite:///{path}", read_only=True)


def test_a_database_names_its_oldest_reader_and_the_release_that_made_it(path: Path) -> None:
    """The oldest reader is the newest migration that is not marked as one that only adds."""
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    chain = ScriptDirectory.from_config(config).walk_revisions()
    oldest = next(script.revision for script in chain if getattr(script.module, "STEP", "post") == "post")
    with sqlite3.connect(path) as connection:
        rows = dict(connection.execute("SELECT key, value FROM settings WHERE key LIKE 'schema.%'"))
    connection.close()
    assert rows == {OLDEST_READER: oldest, MADE_BY: version("entente")}


def test_versions_are_numbers_of_four_digits_in_one_chain() -> None:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert all(re.fullmatch(r"\d{4}", revision) for revision in chain)
    assert chain == sorted(chain, reverse=True)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Tables, indexes and triggers come in one transaction, or not at all."""
    path = tmp_path / "gateway.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE settings (something TEXT)")
    connection.commit()
    connection.close()
    before = _described(path)
    with pytest.raises(StoreError, match="could not be made or migrated"):
        SqlStore.open(f"sqlite:///{path}")
    assert _described(path) == before


def test_a_database_of_this_version_opens_without_alembic(path: Path) -> None:
    """A start must not pay for a tool that it does not need."""
    database = Database.at(f"sqlite:///{path}", read_only=False)
    statements: list[str] = []
    sa.event.listen(
        database.engine, "before_cursor_execute", lambda _c, _cur, text, *_: statements.append(text)
    )
    from gateway.storage.schema import migrate  # noqa: PLC0415

    migrate(database)
    assert not [text for text in statements if text.startswith(("CREATE", "INSERT", "UPDATE"))]


def test_open_requests_of_an_older_database_are_found(tmp_path: Path) -> None:
    """What its messages did stands in their contents; what closed a request does not."""
    path = tmp_path / "gateway.db"
    _at_revision(path, "0002")
    old: dict[str, dict[str, Any]] = {
        "open": {},
        "told": {"reply_by_ms": None},
        "closed": {},
        "withdrawn": {"state": 8},
    }
    with sqlite3.connect(path) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(messages)")]
        for number, (name, changes) in enumerate(old.items(), 1):
            _insert(connection, columns, number, name, **changes)
        _insert(connection, columns, 5, "answer", in_reply_to=b"closed", closes=True, reply_by_ms=None)
        _insert(connection, columns, 6, "received", outgoing=False, to_agencies="FR.A FR.B")
        for agency in ("FR.A", "FR.B"):
            connection.execute("INSERT INTO inbox VALUES (?, 6, 3, 0, NULL, NULL)", (agency,))
    connection.close()

    SqlStore.open(f"sqlite:///{path}")

    with sqlite3.connect(path) as connection:
        found = connection.execute(
            "SELECT number, agency, due_ms FROM open_requests ORDER BY 1, 2"
        ).fetchall()
    connection.close()
    assert found == [(1, "FR.A", 100), (6, "FR.A", 100), (6, "FR.B", 100)]


def _insert(
    connection: sqlite3.Connection, columns: list[str], number: int, name: str, **changes: object
) -> None:
    values = dict.fromkeys(columns, 0) | {
        "number": number,
        "outgoing": True,
        "state": 4,
        "message_id": name.encode(),
        "header": b"",
        "type": "assist.request/1",
        "from_agency": "FR.A",
        "to_agencies": "US.B",
        "conversation_id": name.encode(),
        "in_reply_to": None,
        "purpose": "",
        "reply_by_ms": 100,
        "closes": False,
        "flags": "",
        **changes,
    }
    marks = ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO messages VALUES ({marks})", [values[name] for name in columns])  # noqa: S608 - marks only


def _at_revision(path: Path, revision: str) -> None:
    """Make the tables of an older version."""
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as older:
        config.attributes["connection"] = older
        command.upgrade(config, revision)
    engine.dispose()


async def test_entries_of_an_older_database_are_the_same_behind_the_migration(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    _at_revision(path, "0005")
    logs = {
        "long": [b"entry %d" % number * 40 for number in range(1_300)],
        "short": [bytes(60_000), b"", bytes(60_000)],
        "empty": [],
    }
    with sqlite3.connect(path) as connection:
        for log, (origin, entries) in enumerate(logs.items(), 1):
            connection.execute(
                "INSERT INTO logs VALUES (?, ?, 'exchange', ?, x'', x'', 0)", (log, origin, len(entries))
            )
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?)", [(log, at, entry) for at, entry in enumerate(entries)]
            )
    connection.close()

    store = SqlStore.open(f"sqlite:///{path}")

    for origin, entries in logs.items():
        assert await store.read(partial(_entries, origin=origin, size=len(entries))) == entries
    await store.close()
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM runs")
    connection.close()


def _entries(tx: Transaction, *, origin: str, size: int) -> list[bytes]:
    return tx.logs.entries(origin, 0, size)


async def test_an_entry_that_is_missing_in_an_older_database_goes_on_missing(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    _at_revision(path, "0005")
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO logs VALUES (1, 'own', 'exchange', 4, x'', x'', 0)")
        rows = [(1, index, b"%d" % index) for index in (0, 1, 3)]
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
    connection.close()

    store = SqlStore.open(f"sqlite:///{path}")

    assert await store.read(lambda tx: tx.logs.entries("own", 0, 2)) == [b"0", b"1"]
    assert await store.read(lambda tx: tx.logs.entries("own", 3, 4)) == [b"3"]
    with pytest.raises(StoreError, match="does not hold every entry"):
        await store.read(lambda tx: tx.logs.entries("own", 0, 4))
    await store.close()


def test_an_older_database_whose_entries_are_not_bytes_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    _at_revision(path, "0005")
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO logs VALUES (1, 'own', 'exchange', 1, x'', x'', 0)")
        connection.execute("INSERT INTO entries VALUES (1, 0, 'text')")
    connection.close()
    before = _described(path)
    with pytest.raises(StoreError, match="not bytes"):
        SqlStore.open(f"sqlite:///{path}")
    assert _described(path) == before


async def test_notes_bundles_and_open_requests_of_an_older_database_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    _at_revision(path, "0006")
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO logs VALUES (1, 'own', 'exchange', 9, x'', x'', 0)")
        notes = [
            (1, 1, 3, 10, False, None),
            (2, 1, 5, 20, True, b"cosigned"),
            (3, 1, 9, 30, False, b"newest"),
        ]
        for number, log, size, at_ms, is_cosigned, note in notes:
            row = (number, log, size, bytes(32), at_ms, is_cosigned, False, note)
            connection.execute("INSERT INTO notes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        rows = [(0, 5, None, None, True), (5, 7, b"box", b"note", False), (7, 9, None, None, False)]
        for start, stop, box, sent, delivered in rows:
            values = (start, stop, bytes(32), box, sent, start, 1, delivered)
            connection.execute("INSERT INTO bundles VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(messages)")]
        _insert(connection, columns, 1, "asked", reply_by_ms=40)
        connection.execute("INSERT INTO open_requests VALUES (1, 'FR.A', 40, x'01')")
    connection.close()

    store = SqlStore.open(f"sqlite:///{path}")

    newest = await store.read(lambda tx: tx.logs.newest_note("own"))
    cosigned = await store.read(lambda tx: tx.logs.newest_note("own", cosigned=True))
    assert newest is not None
    assert cosigned is not None
    assert [(note.size, note.at_ms, note.note) for note in (newest, cosigned)] == [
        (9, 30, b"newest"),
        (5, 20, b"cosigned"),
    ]
    bundles = await store.read(lambda tx: tx.outbox.bundles_from(0, limit=9))
    assert [(b.start, b.end, b.box, b.note, b.sequenced_ms, b.messages) for b in bundles] == [
        (0, 5, None, None, 0, 1),
        (5, 7, b"box", b"note", 5, 1),
        (7, 9, None, None, 7, 1),
    ]
    # Of the three, the first was cosigned: it can grow no more.
    with pytest.raises(StoreError, match="signed, or is not there"):
        await store.write(Step.SEQUENCED, lambda tx: tx.outbox.grow_bundle(0, end=6, root=Hash(bytes(32))))
    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.grow_bundle(7, end=10, root=Hash(bytes(32))))
    requests = await store.read(lambda tx: tx.threads.open_requests("FR.A", after=(-1, 0), limit=9))
    assert [(request.due_ms, request.number, request.conversation_id) for request in requests] == [
        (40, 1, b"asked")
    ]
    await store.close()
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE notes SET at_ms = 0")
    connection.close()


async def test_posts_of_an_older_database_are_recognised_when_they_are_repeated(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    _at_revision(path, "0007")
    ids = [bytes([7] * 15 + [number]) for number in range(4)]
    # Known by its id, and its content is there; by a key of its own; erased; of another agency.
    posts = [
        ("FR.A", str(UUID(bytes=ids[1])), b"one", ids[1]),
        ("FR.A", "key", b"two", ids[2]),
        ("FR.A", str(UUID(bytes=ids[3])), b"", ids[3]),
        ("FR.B", str(UUID(bytes=ids[0])), b"other", ids[2]),
    ]
    with sqlite3.connect(path) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(messages)")]
        for number, message_id in enumerate(ids[1:], 1):
            _insert(connection, columns, number, "m", message_id=message_id)
        connection.executemany("INSERT INTO contents VALUES (?, x'01', x'02')", [(1,), (2,)])
        connection.executemany("INSERT INTO idempotency VALUES (?, ?, ?, ?, 5)", posts)
    connection.close()

    store = SqlStore.open(f"sqlite:///{path}")

    asked: list[PostName] = [("FR.A", "key"), ("FR.B", str(UUID(bytes=ids[0])))]
    asked += [("FR.A", message_id) for message_id in ids]
    assert await store.read(lambda tx: tx.facts.idempotent(asked)) == {
        ("FR.A", ids[1]): (b"one", ids[1]),
        ("FR.A", ids[3]): (b"", ids[3]),
        ("FR.A", "key"): (b"two", ids[2]),
        ("FR.B", str(UUID(bytes=ids[0]))): (b"other", ids[2]),
    }
    assert await store.read(lambda tx: tx.threads.content(ids[1])) == (b"", b"\x01", b"\x02")
    await store.close()


async def test_headers_of_an_older_database_are_the_same_and_messages_of_a_kind_share_a_frame(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gateway.db"
    _at_revision(path, "0008")
    values = [
        header(message_id=bytes([number] * 16), conversation_id=bytes([9] * 16)) for number in range(1, 4)
    ]
    values.append(header(message_id=bytes([4] * 16), attachments_bytes=7))
    with sqlite3.connect(path) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(messages)")]
        for number, value in enumerate(values, 1):
            names = ("message_id", "conversation_id", "created_ms", "expires_ms")
            changes = {name: getattr(value, name) for name in names} | {"header": value.encode()}
            _insert(connection, columns, number, "m", seq=number, **changes)
            connection.execute("INSERT INTO contents VALUES (?, x'01', x'02', NULL)", (number,))
    connection.close()

    store = SqlStore.open(f"sqlite:///{path}")

    for value in values:
        content = await store.read(partial(_content, message_id=value.message_id))
        assert content == (value.encode(), b"\x01", b"\x02")
    await store.close()
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT frame, length(header) FROM messages ORDER BY number").fetchall()
    connection.close()
    assert found == [(1, 0), (1, 0), (1, 0), (None, len(values[3].encode()))]


def _content(tx: Transaction, *, message_id: bytes) -> tuple[bytes, bytes, bytes] | None:
    return tx.threads.content(message_id)
