"""The writer thread: what a failing disk does to callers, and to nobody's data."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import Step, Transaction
from gateway.storage.engine import Database, SQLiteFile
from gateway.storage.schema import take_lease
from gateway.storage.session import Session
from gateway.storage.store import SqlStore
from gateway.storage.writer import Readers, Writer
from tests.contract.builders import grow, outgoing


class FaultyCursor:
    """A cursor of the driver, but for statements that a test makes fail."""

    def __init__(self, cursor: Any, fault: Callable[[str], None]) -> None:
        self._cursor = cursor
        self._fault = fault

    def execute(self, text: str, *values: Any) -> Any:
        self._fault(text)
        return self._cursor.execute(text, *values)

    def executemany(self, text: str, rows: Any) -> Any:
        self._fault(text)
        return self._cursor.executemany(text, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class FaultyConnection:
    def __init__(self, connection: Any, fault: Callable[[str], None]) -> None:
        self._connection = connection
        self._fault = fault

    def cursor(self) -> FaultyCursor:
        return FaultyCursor(self._connection.cursor(), self._fault)

    def close(self) -> None:
        self._connection.close()


class FaultyDatabase(SQLiteFile):
    """A real file behind a driver whose writing connection fails on command."""

    def __init__(self, path: Path) -> None:
        super().__init__(Database.at(f"sqlite:///{path}", read_only=False).url, read_only=False)
        self.broken_text = ""
        self.error: type[Exception] = sqlite3.Error
        self.raises: Exception = sqlite3.OperationalError("disk I/O error")
        self.seen: list[str] = []

    def connect(self, *, writable: bool) -> Any:
        connection = super().connect(writable=writable)
        return FaultyConnection(connection, self._fault) if writable else connection

    def _fault(self, text: str) -> None:
        self.seen.append(text)
        if self.broken_text and text.startswith(self.broken_text):
            raise self.raises


@pytest.fixture
async def faulty(path: Path) -> AsyncIterator[tuple[FaultyDatabase, SqlStore]]:
    database = FaultyDatabase(path)
    database.acquire(wait_s=0)
    session = Session(database, writable=True)
    take_lease(session)
    readers = Readers(lambda: Session(database, writable=False), count=1)
    store = SqlStore(database, Writer(session, max_group_s=5.0), readers)
    yield database, store
    await store.close()


def put(key: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.facts.put(key, "there")


async def group(store: SqlStore, *works: Callable[[Transaction], Any]) -> list[Any]:
    """Run closures in one transaction; return their results or errors."""
    entered, go = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        entered.set()
        go.wait(10)

    tasks = [asyncio.create_task(store.write(Step.SETUP, hold))]
    await asyncio.to_thread(entered.wait, 10)
    tasks += [asyncio.create_task(store.write(Step.ACCEPTED, work)) for work in works]
    await asyncio.sleep(0.02)
    go.set()
    return (await asyncio.gather(*tasks, return_exceptions=True))[1:]


@pytest.mark.parametrize("broken", ["COMMIT", "UPDATE counts", "SAVEPOINT", "RELEASE"])
async def test_a_failing_commit_reaches_everyone_in_the_group_and_everyone_after(
    faulty: tuple[FaultyDatabase, SqlStore], broken: str
) -> None:
    database, store = faulty

    def insert(tx: Transaction) -> None:
        tx.outbox.insert([outgoing("m")])

    await store.write(Step.SETUP, put("before"))
    database.broken_text = broken
    answers = await group(store, put("a"), insert, put("b"))
    for answer in answers:
        assert isinstance(answer, StoreError)
        assert "until the node is started again" in str(answer)
    assert len({id(answer) for answer in answers}) == 3

    # The disk is well again, but nobody knows what it holds.
    database.broken_text = ""
    seen = len(database.seen)
    with pytest.raises(StoreError):
        await store.write(Step.ACCEPTED, put("c"))
    assert store.stats().failed
    assert len(database.seen) == seen, "nothing may be tried again"

    def keys(tx: Transaction) -> list[str | None]:
        return [tx.facts.get(key) for key in ("before", "a", "b", "c")]

    assert await store.read(keys) == ["there", None, None, None]
    assert await store.read(lambda tx: tx.outbox.count(State.ACCEPTED)) == 0


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.DatabaseError("database disk image is malformed"),
    ],
)
async def test_an_error_that_leaves_doubt_is_fatal_even_if_the_closure_swallows_it(
    faulty: tuple[FaultyDatabase, SqlStore], error: Exception
) -> None:
    database, store = faulty
    database.broken_text, database.raises = "SELECT settings", error

    def swallow(tx: Transaction) -> str:
        try:
            tx.facts.get("x")
        except StoreError:
            return "all is well"
        return "not broken"

    answers = await group(store, put("a"), swallow)
    assert [type(answer) for answer in answers] == [StoreError, StoreError]
    assert store.stats().failed
    database.broken_text = ""
    assert await store.read(lambda tx: tx.facts.get("a")) is None


async def test_an_error_of_the_program_costs_its_closure_only(
    faulty: tuple[FaultyDatabase, SqlStore],
) -> None:
    database, store = faulty
    database.broken_text = "SELECT settings"
    database.raises = sqlite3.ProgrammingError("Incorrect number of bindings supplied")
    answers = await group(store, put("a"), lambda tx: tx.facts.get("x"), put("b"))
    assert [type(answer) for answer in answers] == [type(None), StoreError, type(None)]
    assert not store.stats().failed
    database.broken_text = ""
    assert await store.read(lambda tx: (tx.facts.get("a"), tx.facts.get("b"))) == ("there", "there")


async def test_a_transaction_that_cannot_begin_leaves_nobody_without_an_answer(
    faulty: tuple[FaultyDatabase, SqlStore],
) -> None:
    database, store = faulty
    database.broken_text = "BEGIN IMMEDIATE"
    for _ in range(2):
        with pytest.raises(StoreError):
            await asyncio.wait_for(store.write(Step.SETUP, put("a")), 20)


async def test_what_is_no_ordinary_error_is_fatal(faulty: tuple[FaultyDatabase, SqlStore]) -> None:
    _, store = faulty

    def leave(_: Transaction) -> None:
        raise SystemExit

    answers = await group(store, put("a"), leave, put("b"))
    assert [type(answer) for answer in answers] == [StoreError] * 3
    assert await store.read(lambda tx: tx.facts.get("a")) is None


async def test_the_text_of_a_failure_names_the_condition_and_holds_no_value(
    faulty: tuple[FaultyDatabase, SqlStore],
) -> None:
    database, store = faulty
    database.broken_text = "COMMIT"
    with pytest.raises(StoreError) as caught:
        await store.write(Step.SETUP, put("secret"))
    assert "SQLite reports" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_full_disk_is_fatal_and_loses_only_what_was_not_acknowledged(path: Path) -> None:
    """A real SQLITE_FULL, from SQLite itself: the file may not grow beyond some pages."""

    class SmallDatabase(SQLiteFile):
        def connect(self, *, writable: bool) -> Any:
            connection = super().connect(writable=writable)
            connection.execute("PRAGMA max_page_count = 300")
            return connection

    database = SmallDatabase(Database.at(f"sqlite:///{path}", read_only=False).url, read_only=False)
    database.acquire(wait_s=0)
    session = Session(database, writable=True)
    take_lease(session)
    store = SqlStore(database, Writer(session), Readers(lambda: Session(database, writable=False), count=1))
    acknowledged = 0

    async def post_without_end() -> None:
        nonlocal acknowledged
        while True:
            message = outgoing(ciphertext=bytes(20_000))
            await store.write(Step.ACCEPTED, lambda tx, m=message: tx.outbox.insert([m]))  # type: ignore[misc]
            acknowledged += 1

    with pytest.raises(StoreError, match="SQLITE_FULL"):
        await post_without_end()
    assert acknowledged > 0
    await store.close()

    again = SqlStore.open(f"sqlite:///{path}")
    assert await again.read(lambda tx: tx.outbox.count(State.ACCEPTED)) == acknowledged
    assert len(await again.read(lambda tx: tx.outbox.waiting(limit=1_000, max_bytes=1 << 30))) == (
        acknowledged
    )
    await again.close()


async def test_a_lone_write_costs_no_savepoint(faulty: tuple[FaultyDatabase, SqlStore]) -> None:
    database, store = faulty
    database.seen.clear()
    await store.write(Step.SETUP, put("a"))
    assert not [text for text in database.seen if "SAVEPOINT" in text]


async def test_closures_that_only_look_cost_no_savepoint_and_their_errors_undo_nothing(
    faulty: tuple[FaultyDatabase, SqlStore],
) -> None:
    database, store = faulty

    def look_and_fail(tx: Transaction) -> None:
        assert tx.facts.get("a") == "there"
        raise KeyError

    def change_and_fail(tx: Transaction) -> None:
        tx.facts.put("b", "never")
        raise KeyError

    database.seen.clear()
    answers = await group(store, put("a"), look_and_fail, lambda tx: tx.facts.get("a"), look_and_fail)
    assert [type(answer) for answer in answers] == [type(None), KeyError, str, KeyError]
    # One for the first change, which stands behind the closure that held the group.
    assert [text for text in database.seen if "SAVEPOINT" in text] == ["SAVEPOINT closure"]

    answers = await group(store, put("c"), look_and_fail, change_and_fail, look_and_fail, put("d"))
    assert [type(answer) for answer in answers] == [
        type(None),
        KeyError,
        KeyError,
        KeyError,
        type(None),
    ]
    assert await store.read(lambda tx: [tx.facts.get(key) for key in "abcd"]) == [
        "there",
        None,
        "there",
        "there",
    ]


async def test_a_log_that_a_closure_created_and_undid_is_forgotten(store: SqlStore) -> None:
    """Numbers of logs are remembered; one that never came to be must not be."""

    def create_and_fail(tx: Transaction) -> None:
        grow(tx, "fr.gateway.test/first", [b"1"])
        raise KeyError

    answers = await group(
        store,
        create_and_fail,
        lambda tx: grow(tx, "fr.gateway.test/second", [b"2"]).edge.size,
        create_and_fail,
        lambda tx: grow(tx, "fr.gateway.test/first", [b"3"]).edge.size,
    )
    assert [type(answer) for answer in answers] == [KeyError, int, KeyError, int]
    assert await store.read(lambda tx: [tx.logs.entries(head.origin, 0, 1) for head in tx.logs.heads()]) == [
        [b"3"],
        [b"2"],
    ]


async def test_a_transaction_in_which_everything_failed_is_not_committed(
    faulty: tuple[FaultyDatabase, SqlStore],
) -> None:
    database, store = faulty
    database.seen.clear()

    def fail(tx: Transaction) -> None:
        tx.facts.put("a", "1")
        raise KeyError

    with pytest.raises(KeyError):
        await store.write(Step.SETUP, fail)
    assert "COMMIT" not in database.seen
    assert await store.read(lambda tx: tx.facts.get("a")) is None


async def test_stopping_in_the_middle_of_a_failing_group_does_not_hang(
    faulty: tuple[FaultyDatabase, SqlStore],
) -> None:
    database, store = faulty
    entered, go = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        entered.set()
        go.wait(10)

    first = asyncio.create_task(store.write(Step.SETUP, hold))
    await asyncio.to_thread(entered.wait, 10)
    second = asyncio.create_task(store.write(Step.SETUP, put("a")))
    await asyncio.sleep(0.01)
    database.broken_text = "COMMIT"
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.05)
    go.set()
    await asyncio.wait_for(closing, 20)
    for task in (first, second):
        with pytest.raises(StoreError):
            await task


async def test_a_write_that_lingers_shares_the_next_commit_and_keeps_its_turn(store: SqlStore) -> None:
    before = store.stats().commits
    order: list[str] = []

    lingering = asyncio.create_task(
        store.write(Step.DELIVERED, lambda _: order.append("lingering"), linger_s=1_000.0)
    )
    await asyncio.sleep(0)  # the task has begun, so the write is queued
    await store.write(Step.ACCEPTED, lambda _: order.append("next"))
    await lingering

    assert order == ["lingering", "next"]
    assert store.stats().commits == before + 1
    assert store.stats().largest_group == 2


async def test_a_write_that_lingers_in_vain_is_durable_all_the_same(store: SqlStore) -> None:
    await store.write(Step.DELIVERED, put("alone"), linger_s=0.01)

    assert await store.read(lambda tx: tx.facts.get("alone")) == "there"


async def test_a_write_that_lingers_when_the_store_closes_is_run(path: Path) -> None:
    store = SqlStore.open(f"sqlite:///{path}")
    lingering = asyncio.create_task(store.write(Step.DELIVERED, put("last"), linger_s=1_000.0))
    await asyncio.sleep(0)

    await store.close()
    await lingering

    store = SqlStore.open(f"sqlite:///{path}")
    assert await store.read(lambda tx: tx.facts.get("last")) == "there"
    await store.close()


async def test_writes_that_linger_do_not_wait_for_more_than_a_group_holds(path: Path) -> None:
    store = SqlStore.open(f"sqlite:///{path}", max_group=2)

    await asyncio.gather(
        *[store.write(Step.DELIVERED, put(str(number)), linger_s=1_000.0) for number in range(4)]
    )

    await store.close()


async def test_a_write_that_lingers_hears_of_a_commit_that_fails(
    faulty: tuple[FaultyDatabase, SqlStore],
) -> None:
    database, store = faulty
    lingering = asyncio.create_task(store.write(Step.DELIVERED, put("lingering"), linger_s=1_000.0))
    await asyncio.sleep(0)

    database.broken_text = "COMMIT"
    for write in (store.write(Step.ACCEPTED, put("next")), lingering):
        with pytest.raises(StoreError):
            await write
    with pytest.raises(StoreError):
        await store.write(Step.DELIVERED, put("after"), linger_s=1_000.0)
