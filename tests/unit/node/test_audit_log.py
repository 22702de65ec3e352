"""Events: one entry each, several only for long lists of ids."""

from __future__ import annotations

from gateway.core.entries import EventEntry, KeyStatementEntry, Role, decode_entry
from gateway.node.audit_log import MAX_OBJECTS, NODE, PEER, AuditLog
from gateway.node.pair import Pair
from gateway.node.posts import agency_actor
from gateway.ports import Step
from gateway.storage.store import SqlStore


def ids(count: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(count)]


def test_an_event_says_who_did_what_to_which_with_what_outcome(pair: Pair) -> None:
    actor = agency_actor(b"\x01" * 32)

    (data,) = AuditLog(pair).event(
        at_ms=5, actor=actor, event="message.refused", outcome="wrong-sender", objects=ids(2), details=[7]
    )

    assert decode_entry(data) == EventEntry(
        at_ms=5,
        role=Role.AGENCY,
        actor=b"\x01" * 32,
        event="message.refused",
        objects=tuple(ids(2)),
        outcome="wrong-sender",
        details=(7,),
    )
    assert (NODE.role, NODE.spki, PEER.role, PEER.spki) == (Role.NODE, b"", Role.PEER, b"")


def test_an_event_about_nothing_is_one_entry(pair: Pair) -> None:
    assert len(AuditLog(pair).event(at_ms=1, actor=NODE, event="node.started")) == 1


def test_long_lists_of_ids_are_split_and_none_is_lost(pair: Pair) -> None:
    for count, entries in ((MAX_OBJECTS, 1), (MAX_OBJECTS + 1, 2), (3 * MAX_OBJECTS, 3)):
        made = AuditLog(pair).event(at_ms=1, actor=NODE, event="message.expired", objects=ids(count))
        decoded = [decode_entry(data) for data in made]
        assert len(made) == entries
        assert [item for entry in decoded if isinstance(entry, EventEntry) for item in entry.objects] == ids(
            count
        )


async def test_the_log_begins_once_with_the_statement_and_grows_by_what_is_appended(
    pair: Pair, store: SqlStore
) -> None:
    audit = AuditLog(pair)
    for _ in range(2):
        await store.write(Step.SETUP, lambda tx: audit.open(tx, b"statement"))
    assert await store.write(Step.AUDITED, audit.next_place) == 1

    event = audit.event(at_ms=1, actor=NODE, event="node.started")
    assert await store.write(Step.AUDITED, lambda tx: audit.append(tx, event)) == 1
    assert await store.write(Step.AUDITED, lambda tx: audit.append(tx, [*event, *event])) == 2

    entries = await store.read(lambda tx: tx.logs.entries(audit.origin, 0, 4))
    assert decode_entry(entries[0]) == KeyStatementEntry(statement=b"statement")
    assert entries[1:] == event * 3
