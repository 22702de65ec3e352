"""A backlog costs disk, not time or memory: taking the next bundle walks an index."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.states import State
from gateway.ports import Transaction
from gateway.storage.engine import Database
from gateway.storage.outbox import FEW
from gateway.storage.schema import take_lease
from gateway.storage.session import Session
from gateway.storage.transaction import SqlTransaction
from tests.contract.builders import LYON, NEWARK, NICE, identifier, outgoing, send

STEPS = 100
"""Instructions of SQLite's machine between two ticks."""


class Measured:
    """A session whose database says how much work a closure was."""

    def __init__(self, path: Path) -> None:
        database = Database.at(f"sqlite:///{path}", read_only=False)
        database.acquire(wait_s=0)
        self.database = database
        self.session = Session(database, writable=True)
        take_lease(self.session)
        self.transaction = SqlTransaction(self.session)

    def write(self, work: Callable[[Transaction], Any]) -> None:
        self.session.begin()
        work(self.transaction)
        self.session.commit()

    def steps(self, work: Callable[[Transaction], Any]) -> int:
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            ticks += 1

        connection = self.session._connection
        self.session.begin()
        connection.set_progress_handler(tick, STEPS)
        work(self.transaction)
        connection.set_progress_handler(None, STEPS)
        self.session.rollback()
        return ticks * STEPS

    def close(self) -> None:
        self.session.close()
        self.database.release()


def fill(measured: Measured, count: int) -> None:
    while count > 0:
        batch = [
            outgoing(rank=3 if n % 10 else 2, expires_ms=10**12, ciphertext=bytes(200))
            for n in range(min(count, 5_000))
        ]
        measured.write(lambda tx, b=batch: tx.outbox.insert(b))  # type: ignore[misc]
        count -= len(batch)


def _bundle(tx: Transaction) -> None:
    waiting = tx.outbox.waiting(limit=100, max_bytes=1 << 24)
    tx.outbox.mark_sent([(item.number, slot) for slot, item in enumerate(waiting)], at_ms=1)
    assert len(waiting) == 100


def _poll(tx: Transaction) -> None:
    tx.outbox.has_expired(5)
    assert tx.outbox.expire(5, limit=100) == []
    assert tx.outbox.count(State.ACCEPTED) > 0
    tx.outbox.take_voids(limit=10)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backlog", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_the_next_bundle_costs_the_same_however_much_waits(path: Path, backlog: int) -> None:
    measured = Measured(path)
    fill(measured, 500)
    small = (measured.steps(_bundle), measured.steps(_poll))
    fill(measured, backlog)
    large = (measured.steps(_bundle), measured.steps(_poll))
    assert large[0] <= 1.3 * small[0] + STEPS
    assert large[1] <= small[1] + STEPS

    tracemalloc.start()
    measured.steps(_bundle)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    measured.close()


def test_large_messages_that_wait_are_not_read_before_their_turn(path: Path) -> None:
    measured = Measured(path)
    for n in range(40):
        message = outgoing(("large", n), ciphertext=bytes(1_000_000))
        measured.write(lambda tx, m=message: tx.outbox.insert([m]))  # type: ignore[misc]
    tracemalloc.start()
    measured.steps(lambda tx: tx.outbox.waiting(limit=1_000, max_bytes=2_500_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_500_000
    measured.close()


ROOM = identifier("room")


def talk(measured: Measured, numbers: range) -> None:
    """Let two agencies speak in one room, and the peer declare numbers void; what is posted is sent."""

    def insert(tx: Transaction) -> None:
        first = 2 * numbers.start
        rows = [outgoing(conversation_id=ROOM, seq=n + 1, rank=2) for n in numbers]
        rows += [outgoing(conversation_id=ROOM, seq=n + 1, rank=3, from_agency=NICE) for n in numbers]
        tx.outbox.insert(rows)
        send(tx, first, limit=len(rows))
        for number in numbers:
            tx.inbox.put_void(ROOM, NEWARK, [number])

    measured.write(insert)


def _last_numbers(tx: Transaction) -> None:
    found = tx.threads.last_numbers([(ROOM, LYON), (ROOM, NICE), (ROOM, NEWARK)])
    assert min(found.values()) > 0


def test_last_numbers_cost_the_same_however_long_the_conversation_is(path: Path) -> None:
    measured = Measured(path)
    talk(measured, range(10))
    short = measured.steps(_last_numbers)
    talk(measured, range(10, 2_000))
    assert measured.steps(_last_numbers) <= short + STEPS
    measured.close()


@pytest.mark.parametrize("less_urgent", [0, FEW])
def test_a_rank_costs_the_same_however_long_the_conversation_is(path: Path, less_urgent: int) -> None:
    measured = Measured(path)

    def raise_rank(tx: Transaction) -> None:
        tx.outbox.insert([outgoing(rank=3) for _ in range(less_urgent)])
        # Most that waits is as urgent.
        tx.outbox.insert([outgoing(rank=2, conversation_id=ROOM, seq=10_000 + n) for n in range(100)])
        tx.outbox.raise_ranks({ROOM: 2})

    talk(measured, range(10))
    short = measured.steps(raise_rank)
    talk(measured, range(10, 2_000))
    assert measured.steps(raise_rank) <= 1.3 * short + STEPS
    measured.close()
