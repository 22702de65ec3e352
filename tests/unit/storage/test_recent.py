"""What was just accepted is remembered as far as there is room, and no longer than it waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.ports import NewMessage, Step, Transaction, Waiting
from gateway.storage.recent import Recent
from gateway.storage.store import SqlStore
from tests.contract.builders import outgoing, send


def message(number: int, *, content_bytes: int = 90) -> Waiting:
    return Waiting(
        number=number,
        message_id=number.to_bytes(16, "big"),
        header=bytes(10),
        rank=3,
        ciphertext=bytes(content_bytes),
        wrapped_key=bytes(48),
    )


def test_a_message_is_found_until_it_is_dropped() -> None:
    recent = Recent()
    recent.put(message(1))
    recent.put(message(2))
    assert recent.find(1) == message(1)
    recent.drop([1, 3])
    assert recent.find(1) is None
    assert recent.find(2) == message(2)
    recent.clear()
    assert recent.find(2) is None


def test_what_does_not_fit_is_not_remembered_until_others_go() -> None:
    recent = Recent(max_bytes=200)
    for number in (1, 2, 3):
        recent.put(message(number))
    assert [recent.find(number) is not None for number in (1, 2, 3)] == [True, True, False]
    recent.put(message(4, content_bytes=500))
    recent.drop([1])
    recent.put(message(5))
    recent.put(message(6))
    assert [recent.find(number) is not None for number in (4, 5, 6)] == [False, True, False]
    recent.clear()
    recent.put(message(7))
    recent.put(message(8))
    assert recent.find(8) is not None


def waiting(tx: Transaction) -> list[Waiting]:
    return tx.outbox.waiting(limit=100, max_bytes=1 << 24)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/gateway.db"


async def test_what_a_failed_closure_stored_is_not_remembered(url: str) -> None:
    store = SqlStore.open(url)
    try:
        kept = outgoing("kept")
        await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([kept]))

        def fail(tx: Transaction) -> None:
            tx.outbox.insert([outgoing("undone")])
            msg = "undone"
            raise ValueError(msg)

        with pytest.raises(ValueError, match="undone"):
            await store.write(Step.ACCEPTED, fail)
        after = outgoing("after")
        await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([after]))
        found = await store.write(Step.SEQUENCED, waiting)
        assert [item.message_id for item in found] == [kept.message_id, after.message_id]
        assert found == await store.read(waiting)
    finally:
        await store.close()


async def test_a_backlog_is_read_from_the_database_in_the_same_order(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recent.__init__, "__kwdefaults__", {"max_bytes": 100})
    store = SqlStore.open(url)
    try:
        messages: list[NewMessage] = [outgoing(n, rank=n % 3) for n in range(20)]
        await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert(messages))
        assert await store.write(Step.SEQUENCED, waiting) == await store.read(waiting)
        assert len(await store.write(Step.SEQUENCED, lambda tx: send(tx, 0, limit=5))) == 5
        assert await store.write(Step.SEQUENCED, waiting) == await store.read(waiting)
        assert len(await store.write(Step.SEQUENCED, waiting)) == 15
    finally:
        await store.close()


async def test_a_message_whose_sending_was_undone_still_waits(url: str) -> None:
    store = SqlStore.open(url)
    try:
        await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing("m")]))
        with pytest.raises(StoreError, match="not waiting"):
            await store.write(Step.SEQUENCED, lambda tx: tx.outbox.mark_sent([(1, 0), (1, 1)], at_ms=1))
        (found,) = await store.write(Step.SEQUENCED, waiting)
        assert found.ciphertext == b"ciphertext of m"
    finally:
        await store.close()
