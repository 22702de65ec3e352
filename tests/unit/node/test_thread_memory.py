"""What is read of a conversation is read once, however many messages ask for it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

import pytest

from gateway.node.thread_memory import MissingNumbers, ThreadMemory
from gateway.ports import Step, Transaction
from gateway.storage.threads import SqlThreads
from tests.contract.builders import LYON, NEWARK, identifier, incoming, outgoing
from tests.messages import INVESTIGATORS, acknowledgement, request
from tests.world import World

TALK = identifier("talk")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the questions about numbers that reach the storage."""
    counted: Counter[str] = Counter()

    def watch(name: str) -> None:
        answer = getattr(SqlThreads, name)

        def count(self: SqlThreads, wanted: Any) -> Any:
            counted[name] += 1
            return answer(self, wanted)

        monkeypatch.setattr(SqlThreads, name, count)

    watch("last_numbers")
    watch("missing_numbers")
    return counted


async def test_last_numbers_of_a_group_are_asked_at_once_and_others_when_they_are_wanted(
    world: World, asked: Counter[str]
) -> None:
    def look(tx: Transaction) -> None:
        tx.outbox.insert([outgoing(conversation_id=TALK, seq=4)])
        tx.inbox.insert([incoming(log_index=9, conversation_id=TALK, seq=7)])
        memory = ThreadMemory(tx, open_content=lambda *_: {})
        memory.fetch(numbered=[(TALK, LYON), (identifier("none"), LYON)])
        for _ in range(3):
            assert memory.last_seq(TALK, LYON) == 4
            assert memory.last_seq(identifier("none"), LYON) == 0
        assert asked == {"last_numbers": 1}
        for _ in range(3):
            assert memory.last_seq(TALK, NEWARK) == 7
        assert asked == {"last_numbers": 2}
        # What the group adds counts, also where nothing was asked before.
        memory = ThreadMemory(tx, open_content=lambda *_: {})
        memory.add(outgoing(conversation_id=TALK, seq=2))
        assert memory.last_seq(TALK, LYON) == 4
        memory.add(outgoing(conversation_id=TALK, seq=5))
        assert memory.last_seq(TALK, LYON) == 5

    await store_of(world).write(Step.SETUP, look)


async def test_a_gap_is_filled_once_nothing_before_the_message_is_missing(world: World) -> None:
    def look(tx: Transaction) -> None:
        for n in (1, 3, 4, 7):
            tx.inbox.insert([incoming(n, log_index=n, conversation_id=TALK, seq=n, flags="crossed gap")])
        tx.inbox.put_void(TALK, NEWARK, [2])
        rows = tx.threads.conversation(TALK, LYON)
        missing = MissingNumbers(tx)
        assert missing.of(TALK) == {NEWARK: [5, 6]}
        flags = [missing.without_filled_gap(row).flags for row in rows]
        assert flags == ["crossed", "crossed", "crossed", "crossed gap"]
        assert missing.without_filled_gap(rows[3]) is rows[3]

    await store_of(world).write(Step.SETUP, look)


async def test_missing_numbers_are_read_once_for_an_inbox_and_for_a_conversation(
    world: World, asked: Counter[str]
) -> None:
    async def delivered(nation: str, document: dict[str, Any]) -> bytes:
        agency = INVESTIGATORS[nation]
        message_id = (await world.post(nation, document, agency=agency)).message_id
        await world.until_state(nation, message_id, "received", agency=agency)
        return message_id

    now_ms = world.clock.now_ms()
    question = await delivered("US", request("US", now_ms))
    for _ in range(4):
        await delivered("FR", acknowledgement("FR", question, now_ms))
    with closing(sqlite3.connect(world.sides["US"].database)) as database, database:
        database.execute("UPDATE messages SET flags = 'gap' WHERE NOT outgoing")
    node, reader = world.node("US"), world.principal("US", INVESTIGATORS["US"])
    asked.clear()

    page = await node.inbox.page(reader)

    assert [item.row.flags for item in page] == [""] * 4
    assert asked == {"missing_numbers": 1}
    found = await node.conversations.read(reader, question)
    assert [row.flags for row in found.shown] == [""] * 5
    assert asked == {"missing_numbers": 2}


def store_of(world: World) -> Any:
    return world.sides["FR"].store
