"""Conversations in both directions."""

from __future__ import annotations

import psycopg
import pytest

from gateway.core.states import State
from gateway.ports import MessageRow, NewMessage, Step, Transaction
from gateway.storage.engine import Database
from gateway.storage.store import SqlStore
from gateway.storage.threads import _LAST_NUMBERS, MAX_MISSING
from tests.contract.builders import BOSTON, LYON, NEWARK, NICE, identifier, incoming, outgoing

TALK = identifier("talk")


async def put(store: SqlStore, *messages: NewMessage) -> None:
    def work(tx: Transaction) -> None:
        for message in messages:
            (tx.outbox if message.outgoing else tx.inbox).insert([message])

    await store.write(Step.SETUP, work)


def names(rows: list[MessageRow]) -> list[bytes]:
    return [row.message_id for row in rows]


def ids(*words: object) -> list[bytes]:
    return [identifier(word) for word in words]


async def test_rows_are_found_in_either_direction(store: SqlStore) -> None:
    await put(store, outgoing("out"), incoming("in", log_index=0))
    asked = ids("out", "in", "unknown")
    found = await store.read(lambda tx: tx.threads.rows(asked))
    assert set(found) == set(asked[:2])
    assert found[asked[0]].outgoing
    assert not found[asked[1]].outgoing
    assert await store.read(lambda tx: tx.threads.rows([])) == {}


async def test_answers_come_oldest_first_with_their_state(store: SqlStore) -> None:
    question = identifier("question")
    await put(
        store,
        outgoing("question"),
        incoming("refusal", log_index=0, in_reply_to=question),
        incoming("answer", log_index=1, in_reply_to=question, closes=True),
        outgoing("thanks", in_reply_to=identifier("answer")),
        outgoing("alone"),
    )
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("thanks"), LYON))
    asked = ids("question", "answer", "alone", "unknown")
    found = await store.read(lambda tx: tx.threads.replies(asked))
    assert {key: names(rows) for key, rows in found.items()} == {
        question: ids("refusal", "answer"),
        identifier("answer"): ids("thanks"),
    }
    # A withdrawn answer closes nothing; the row says so, and whoever asks decides.
    assert found[identifier("answer")][0].state is State.WITHDRAWN
    assert [row.closes for row in found[question]] == [False, True]


async def test_the_last_number_is_the_highest_that_was_used_or_void(store: SqlStore) -> None:
    other = identifier("other talk")
    await put(
        store,
        *(outgoing(n, conversation_id=TALK, seq=n) for n in (1, 2)),
        outgoing("nice", conversation_id=TALK, seq=4, from_agency=NICE),
        incoming("in", log_index=0, conversation_id=TALK, seq=7),
    )
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.put_void(TALK, LYON, 3))
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.put_void(TALK, NICE, 2))
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_void(other, NEWARK, [5, 6]))
    expected = {
        (TALK, LYON): 3,
        (TALK, NICE): 4,
        (TALK, NEWARK): 7,
        (other, NEWARK): 6,
    }
    # Who has said nothing in it, and a conversation that nobody knows.
    none = [(TALK, BOSTON), (other, LYON), (identifier("none"), LYON)]
    assert await store.read(lambda tx: tx.threads.last_numbers([*none, *expected])) == expected
    assert await store.read(lambda tx: tx.threads.last_numbers(none)) == {}
    for pair, last in expected.items():
        assert await store.read(lambda tx, p=pair: tx.threads.last_numbers([p])) == {pair: last}  # type: ignore[misc]  # a default gives a lambda no type
    assert await store.read(lambda tx: tx.threads.last_numbers([])) == {}


async def test_last_numbers_are_found_for_as_many_as_are_asked(store: SqlStore) -> None:
    talks = [(identifier(("talk", n)), LYON) for n in range(300)]
    await put(store, *(outgoing(n, conversation_id=talk, seq=n + 1) for n, (talk, _) in enumerate(talks)))
    found = await store.read(lambda tx: tx.threads.last_numbers(talks))
    assert found == {pair: n + 1 for n, pair in enumerate(talks)}


@pytest.mark.parametrize("url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_postgresql_looks_for_last_numbers_at_the_ends_of_indexes(store: SqlStore, url: str) -> None:
    await put(store, *(outgoing(n, conversation_id=TALK, seq=n) for n in range(1, 4_001)))

    def declare(tx: Transaction) -> None:
        for number in range(1, 4_001):
            tx.inbox.put_void(TALK, NEWARK, [number])

    await store.write(Step.MIRRORED, declare)
    text = _LAST_NUMBERS.compiled(Database.at(url, read_only=True).dialect, 64).text
    with psycopg.connect(url, autocommit=True) as connection:
        for prepare in ("SELECT 1", "ANALYZE"):
            # As it is before the server has counted rows, and after.
            connection.execute(prepare)
            plan = " ".join(row[0] for row in connection.execute(f"EXPLAIN {text}", [TALK, LYON] * 64))
            assert "Index Only Scan Backward using ix_messages_conversation" in plan
            assert "Index Only Scan Backward using pk_voids" in plan
            assert not any(walk in plan for walk in ("Seq Scan", "Hash", "Merge"))


async def test_missing_numbers_are_those_below_the_highest_neither_used_nor_void(
    store: SqlStore,
) -> None:
    await put(
        store,
        *(incoming(n, log_index=n, conversation_id=TALK, seq=n) for n in (2, 3, 8)),
        *(outgoing(f"own {n}", conversation_id=TALK, seq=n) for n in (1, 2)),
        incoming("boston", log_index=99, conversation_id=TALK, seq=2**50, from_agency=BOSTON),
    )
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_void(TALK, NEWARK, [5, 6]))
    found = await store.read(lambda tx: tx.threads.missing_numbers(TALK))
    assert found.pop(BOSTON) == list(range(1, MAX_MISSING + 1))
    assert found == {NEWARK: [1, 4, 7]}
    assert await store.read(lambda tx: tx.threads.missing_numbers(identifier("none"))) == {}


async def test_content_is_found_by_id_in_either_direction(store: SqlStore) -> None:
    out, back = outgoing("out"), incoming("in", log_index=0)
    await put(store, out, back)
    for message in (out, back):
        assert await store.read(lambda tx, m=message: tx.threads.content(m.message_id)) == (  # type: ignore[misc]
            message.header,
            message.ciphertext,
            message.wrapped_key,
        )
    assert await store.read(lambda tx: tx.threads.content(identifier("none"))) is None


async def test_an_agency_sees_of_a_conversation_what_it_takes_part_in(store: SqlStore) -> None:
    await put(
        store,
        outgoing("lyon", conversation_id=TALK),
        outgoing("nice", conversation_id=TALK, from_agency=NICE),
        incoming("both", log_index=0, conversation_id=TALK, to_agencies=(NICE, LYON)),
        incoming("for nice", log_index=1, conversation_id=TALK, to_agencies=(NICE,)),
        outgoing("elsewhere"),
    )

    async def seen(agency: str) -> list[bytes]:
        return names(await store.read(lambda tx: tx.threads.conversation(TALK, agency)))

    assert await seen(LYON) == ids("lyon", "both")
    assert await seen(NICE) == ids("nice", "both", "for nice")
    # The partner's agencies are no agencies of this node.
    assert await seen(NEWARK) == []


async def test_conversations_come_newest_first_page_by_page(store: SqlStore) -> None:
    talks = [identifier(f"talk {n}") for n in range(5)]
    await put(
        store,
        *(outgoing(f"open {n}", conversation_id=talk) for n, talk in enumerate(talks)),
        incoming("answer", log_index=0, conversation_id=talks[1]),
        outgoing("not ours", conversation_id=talks[0], from_agency=NICE),
        incoming("new", log_index=1, conversation_id=identifier("talk of theirs")),
        incoming("not for us", log_index=2, conversation_id=talks[2], to_agencies=(NICE,)),
    )

    async def page(after: int, limit: int) -> list[list[MessageRow]]:
        return await store.read(lambda tx: tx.threads.conversations(LYON, limit=limit, after=after))

    expected = [
        ids("new"),
        ids("open 1", "answer"),
        ids("open 4"),
        ids("open 3"),
        ids("open 2"),
        ids("open 0"),
    ]
    assert [names(rows) for rows in await page(0, 10)] == expected
    paged: list[list[MessageRow]] = []
    after = 0
    while found := await page(after, 2):
        paged += found
        after = found[-1][-1].number
    assert [names(rows) for rows in paged] == expected
    assert await page(after, 2) == []


@pytest.mark.parametrize("limit", [1, 3, 1_000])
async def test_a_long_conversation_is_listed_once(store: SqlStore, limit: int) -> None:
    await put(
        store,
        outgoing("old", conversation_id=identifier("old talk")),
        *(outgoing(n, conversation_id=TALK, seq=n) for n in range(450)),
    )
    found = await store.read(lambda tx: tx.threads.conversations(LYON, limit=limit, after=0))
    assert [len(rows) for rows in found] == [450, 1][:limit]
