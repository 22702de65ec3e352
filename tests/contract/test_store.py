"""Transactions: order, isolation, snapshots, one writer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import psycopg
import pytest

from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, OWN, grow, identifier, outgoing


class DeliberateError(Exception):
    """What a closure of a test raises."""


async def test_a_write_returns_what_its_closure_returns_and_is_read_back(store: SqlStore) -> None:
    def work(tx: Transaction) -> str:
        tx.facts.put("word", "entente")
        return "done"

    assert await store.write(Step.SETUP, work) == "done"
    assert await store.read(lambda tx: tx.facts.get("word")) == "entente"


async def test_closures_run_in_the_order_of_the_calls_in_another_thread(store: SqlStore) -> None:
    seen: list[int] = []
    threads: set[int] = set()

    def work(number: int) -> int:
        threads.add(threading.get_ident())
        seen.append(number)
        return number

    answers = await asyncio.gather(
        *(store.write(Step.SETUP, lambda _, n=number: work(n)) for number in range(50))  # type: ignore[misc]
    )

    assert answers == seen == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_closures_that_wait_while_a_commit_runs_share_the_next_one(url: str) -> None:
    store = SqlStore.open(url, max_group_s=5.0)
    entered, go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        entered.set()
        go.wait(10)
        tx.facts.put("first", "1")

    first = asyncio.create_task(store.write(Step.SETUP, hold))
    await asyncio.to_thread(entered.wait, 10)
    before = store.stats().commits
    others = [
        asyncio.create_task(store.write(Step.ACCEPTED, lambda tx, n=n: tx.facts.put(f"key {n}", "2")))  # type: ignore[misc]
        for n in range(20)
    ]
    await asyncio.sleep(0.05)
    go.set()
    await asyncio.gather(first, *others)

    stats = store.stats()
    assert stats.commits == before + 1
    assert stats.largest_group == 21
    assert stats.writes == {Step.SETUP: 1, Step.ACCEPTED: 20}
    await store.close()


async def test_a_group_is_bounded_by_its_count(url: str) -> None:
    store = SqlStore.open(url, max_group=4, max_group_s=5.0)
    await asyncio.gather(
        *(store.write(Step.SETUP, lambda tx, n=n: tx.facts.put(f"key {n}", "x")) for n in range(20))  # type: ignore[misc]
    )
    assert store.stats().largest_group <= 4
    await store.close()


@pytest.mark.parametrize("failing", [{0}, {3}, {9}, {0, 1}, {4, 5, 9}, set(range(10))])
async def test_a_closure_that_raises_undoes_its_own_changes_and_nobody_elses(
    url: str, failing: set[int]
) -> None:
    store = SqlStore.open(url, max_group_s=5.0)
    entered, go = threading.Event(), threading.Event()

    def work(tx: Transaction, number: int) -> int:
        if number == 0:
            entered.set()
            go.wait(10)
        tx.outbox.insert([outgoing(f"{url} {number}")])
        tx.facts.put(f"key {number}", "there")
        if number in failing:
            raise DeliberateError(number)
        return number

    tasks = [asyncio.create_task(store.write(Step.ACCEPTED, lambda tx: work(tx, 0)))]
    await asyncio.to_thread(entered.wait, 10)
    tasks += [
        asyncio.create_task(store.write(Step.ACCEPTED, lambda tx, n=n: work(tx, n)))  # type: ignore[misc]
        for n in range(1, 10)
    ]
    await asyncio.sleep(0.02)
    go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    for number, answer in enumerate(answers):
        if number in failing:
            assert isinstance(answer, DeliberateError)
        else:
            assert answer == number
    kept = await store.read(lambda tx: {n for n in range(10) if tx.facts.get(f"key {n}")})
    assert kept == set(range(10)) - failing
    rows = await store.read(lambda tx: tx.outbox.listing(LYON, after=0, limit=100))
    assert {row.message_id for row in rows} == {identifier(f"{url} {n}") for n in kept}
    # The counters follow what was kept, not what was tried.
    assert await store.read(lambda tx: tx.outbox.count(State.ACCEPTED)) == len(kept)
    await store.close()


async def test_a_later_closure_of_a_group_sees_what_an_earlier_one_wrote(store: SqlStore) -> None:
    def write(tx: Transaction) -> None:
        tx.outbox.insert([outgoing(), outgoing()])

    def look(tx: Transaction) -> tuple[int, int]:
        return tx.outbox.count(State.ACCEPTED), len(tx.outbox.waiting(limit=10, max_bytes=1 << 20))

    _, seen = await asyncio.gather(store.write(Step.ACCEPTED, write), store.write(Step.SEQUENCED, look))
    assert seen == (2, 2)


async def test_a_thread_that_writes_goes_on_once_it_is_durable(store: SqlStore) -> None:
    def step_after_step() -> str | None:
        store.write_now(Step.SETUP, lambda tx: tx.facts.put("n", "1"))
        return store.write_now(Step.SETUP, lambda tx: tx.facts.get("n"))

    assert await asyncio.to_thread(step_after_step) == "1"
    assert await store.read(lambda tx: tx.facts.get("n")) == "1"


async def test_an_error_reaches_the_thread_that_wrote_and_undoes_what_it_did(store: SqlStore) -> None:
    def work(tx: Transaction) -> None:
        tx.facts.put("n", "1")
        raise DeliberateError

    with pytest.raises(DeliberateError):
        await asyncio.to_thread(store.write_now, Step.SETUP, work)
    assert await store.read(lambda tx: tx.facts.get("n")) is None


async def test_threads_and_loops_write_in_one_order(store: SqlStore) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        entered.set()
        go.wait(10)
        tx.facts.put("n", "first")

    first = asyncio.create_task(asyncio.to_thread(store.write_now, Step.SETUP, slow))
    await asyncio.to_thread(entered.wait, 10)
    second = asyncio.create_task(store.write(Step.SETUP, lambda tx: tx.facts.get("n")))
    await asyncio.sleep(0)
    go.set()
    assert await second == "first"
    await first


async def test_what_nobody_waits_for_shares_the_commit_of_the_next_write_which_finds_it_done(
    store: SqlStore,
) -> None:
    before = store.stats().commits

    def hand_in() -> None:
        store.write_soon(Step.SETUP, lambda tx: tx.facts.put("n", "1"), linger_s=30)

    await asyncio.to_thread(hand_in)
    assert await store.write(Step.SETUP, lambda tx: tx.facts.get("n")) == "1"
    assert store.stats().commits == before + 1
    assert store.stats().writes[Step.SETUP] == 2


async def test_what_nobody_waits_for_is_committed_by_itself_when_its_time_is_over(store: SqlStore) -> None:
    store.write_soon(Step.SETUP, lambda tx: tx.facts.put("n", "1"), linger_s=0.01)
    for _ in range(1_000):
        if await store.read(lambda tx: tx.facts.get("n")) == "1":
            break
        await asyncio.sleep(0.01)
    assert await store.read(lambda tx: tx.facts.get("n")) == "1"


async def test_an_error_that_nobody_would_hear_of_makes_the_store_fail(store: SqlStore) -> None:
    def work(tx: Transaction) -> None:
        tx.facts.put("n", "1")
        raise DeliberateError

    store.write_soon(Step.SETUP, work, linger_s=30)
    with pytest.raises(StoreError, match="DeliberateError"):
        await store.write(Step.SETUP, lambda tx: tx.facts.put("m", "1"))
    assert store.stats().failed
    with pytest.raises(StoreError):
        store.write_soon(Step.SETUP, lambda tx: tx.facts.put("n", "1"), linger_s=30)
    assert await store.read(lambda tx: (tx.facts.get("n"), tx.facts.get("m"))) == (None, None)


async def test_a_read_holds_every_write_that_has_returned(store: SqlStore) -> None:
    for number in range(30):
        await store.write(Step.SETUP, lambda tx, n=number: tx.facts.put("n", str(n)))  # type: ignore[misc]
        assert await store.read(lambda tx: tx.facts.get("n")) == str(number)


async def test_a_read_sees_one_snapshot_however_long_it_takes(store: SqlStore) -> None:
    await store.write(Step.SETUP, lambda tx: tx.facts.put("n", "old"))
    began, go = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> tuple[str | None, str | None]:
        before = tx.facts.get("n")
        began.set()
        go.wait(10)
        return before, tx.facts.get("n")

    reading = asyncio.create_task(store.read(slow))
    await asyncio.to_thread(began.wait, 10)
    await store.write(Step.SETUP, lambda tx: tx.facts.put("n", "new"))
    go.set()

    assert await reading == ("old", "old")
    assert await store.read(lambda tx: tx.facts.get("n")) == "new"


async def test_a_read_can_write_nothing(store: SqlStore) -> None:
    with pytest.raises(StoreError):
        await store.read(lambda tx: tx.facts.put("n", "1"))
    assert await store.read(lambda tx: tx.facts.get("n")) is None


async def test_an_error_of_a_read_reaches_its_caller(store: SqlStore) -> None:
    def work(_: Transaction) -> None:
        raise DeliberateError

    with pytest.raises(DeliberateError):
        await store.read(work)
    assert await store.read(lambda tx: tx.facts.get("n")) is None


async def test_a_closure_that_runs_out_of_an_iterator_leaves_nobody_without_an_answer(
    store: SqlStore,
) -> None:
    empty: list[int] = []
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(store.write(Step.SETUP, lambda _: next(iter(empty))), 20)
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(store.read(lambda _: next(iter(empty))), 20)


async def test_a_write_is_run_even_if_its_caller_stops_waiting(store: SqlStore) -> None:
    entered, go = threading.Event(), threading.Event()

    def work(tx: Transaction) -> None:
        entered.set()
        go.wait(10)
        tx.facts.put("n", "1")

    task = asyncio.create_task(store.write(Step.SETUP, work))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await store.write(Step.SETUP, lambda tx: tx.facts.put("m", "2"))

    assert await store.read(lambda tx: (tx.facts.get("n"), tx.facts.get("m"))) == ("1", "2")


async def test_a_constraint_that_is_broken_costs_one_closure_and_not_the_store(store: SqlStore) -> None:
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing("twin")]))

    def twice(tx: Transaction) -> None:
        tx.facts.put("n", "1")
        tx.outbox.insert([outgoing("single"), outgoing("twin")])

    with pytest.raises(StoreError) as caught:
        await store.write(Step.ACCEPTED, twice)

    assert identifier("twin").hex() not in str(caught.value)
    assert await store.read(lambda tx: tx.facts.get("n")) is None
    assert await store.write(Step.ACCEPTED, lambda tx: tx.outbox.count(State.ACCEPTED)) == 1
    assert not store.stats().failed


async def test_closing_finishes_what_is_queued_and_refuses_what_comes_later(url: str) -> None:
    store = SqlStore.open(url)
    tasks = [
        asyncio.create_task(store.write(Step.SETUP, lambda tx, n=n: tx.facts.put(f"{n}", "x")))  # type: ignore[misc]
        for n in range(10)
    ]
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    await asyncio.gather(*tasks)
    with pytest.raises(StoreError, match="closed"):
        await store.write(Step.SETUP, lambda tx: tx.facts.put("n", "1"))
    with pytest.raises(StoreError, match="closed"):
        store.write_now(Step.SETUP, lambda tx: tx.facts.put("n", "1"))
    with pytest.raises(StoreError, match="closed"):
        store.write_soon(Step.SETUP, lambda tx: tx.facts.put("n", "1"), linger_s=1)
    with pytest.raises(StoreError, match="closed"):
        await store.read(lambda tx: tx.facts.get("n"))

    again = SqlStore.open(url)
    assert await again.read(lambda tx: [tx.facts.get(f"{n}") for n in range(10)]) == ["x"] * 10
    await again.close()


async def test_a_second_writer_is_refused_and_told_what_to_do(url: str, store: SqlStore) -> None:
    with pytest.raises(StoreError, match="stop it first"):
        SqlStore.open(url)
    # It can wait as well: the lease is free once the first has closed.
    second = asyncio.create_task(asyncio.to_thread(SqlStore.open, url, wait_s=10))
    await asyncio.sleep(0.3)
    assert not second.done()
    await store.close()
    await (await second).close()


async def test_a_database_in_use_can_be_read_beside_its_writer(url: str, store: SqlStore) -> None:
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"entry"]))
    reader = SqlStore.open(url, read_only=True)
    try:
        assert await reader.read(lambda tx: tx.logs.entries(OWN, 0, 1)) == [b"entry"]
        with pytest.raises(StoreError, match="read only"):
            await reader.write(Step.SETUP, lambda tx: tx.facts.put("n", "1"))
        await store.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"next"]))
        assert await reader.read(lambda tx: tx.logs.entries(OWN, 0, 2)) == [b"entry", b"next"]
        assert reader.stats().commits == 0
    finally:
        await reader.close()


def test_an_empty_database_is_not_opened_to_read_only(empty_url: str) -> None:
    if empty_url.startswith("sqlite"):
        path = Path(empty_url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True)
        path.touch()
    with pytest.raises(StoreError, match="start the node once"):
        SqlStore.open(empty_url, read_only=True)


async def test_the_first_start_makes_the_tables(empty_url: str) -> None:
    store = SqlStore.open(empty_url)
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"entry"]))
    await store.close()
    reader = SqlStore.open(empty_url, read_only=True)
    assert await reader.read(lambda tx: tx.logs.entries(OWN, 0, 1)) == [b"entry"]
    await reader.close()


async def test_message_numbers_go_on_after_a_restart(url: str) -> None:
    for attempt in range(3):
        store = SqlStore.open(url)
        await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing(), outgoing()]))
        rows = await store.read(lambda tx: tx.outbox.listing(LYON, after=0, limit=100))
        assert [row.number for row in rows] == list(range(2 * attempt + 2, 0, -1))
        await store.close()


@pytest.mark.postgres
async def test_a_holder_that_was_cut_off_is_replaced_and_can_write_nothing_more(
    request: pytest.FixtureRequest,
) -> None:
    server = request.getfixturevalue("server")
    url = server.url(server.new_database(request.getfixturevalue("template")))
    first = SqlStore.open(url)
    await first.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"first"]))
    with psycopg.connect(url, autocommit=True) as operator:
        operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )

    second = await asyncio.to_thread(SqlStore.open, url, wait_s=10)
    await second.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"second"]))

    for _ in range(2):
        with pytest.raises(StoreError):
            await first.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"third"]))
    assert first.stats().failed
    # Its readers lost their connections as well: one error each, then they are back.
    answers = await asyncio.gather(
        *(first.read(lambda tx: tx.logs.entries(OWN, 0, 2)) for _ in range(2)), return_exceptions=True
    )
    assert any(isinstance(answer, StoreError) for answer in answers)
    for _ in range(3):
        with contextlib.suppress(StoreError):
            await first.read(lambda tx: tx.logs.heads())
    assert await first.read(lambda tx: tx.logs.entries(OWN, 0, 2)) == [b"first", b"second"]
    await first.close()
    await second.close()


@pytest.mark.postgres
async def test_an_epoch_that_was_taken_over_ends_the_writer(request: pytest.FixtureRequest) -> None:
    """Even with its connection and its advisory lock intact, as after a failed-over server."""
    server = request.getfixturevalue("server")
    url = server.url(server.new_database(request.getfixturevalue("template")))
    store = SqlStore.open(url)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("UPDATE lease SET epoch = epoch + 1")
    with pytest.raises(StoreError, match="taken over"):
        await store.write(Step.SETUP, lambda tx: tx.facts.put("n", "1"))
    assert store.stats().failed
    await store.close()
