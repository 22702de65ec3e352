"""A database put back from a backup signs no second history, loses what it must and no more.

A node is both a sender and a receiver, so an old copy takes back its own log and its mirror
at once. Names say which of the two a test looks at; the American node is the one restored
as a sender, the French one as a receiver.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.core.bundle import decode_bundle
from gateway.core.entries import IncidentEntry, IncidentKind, MessageEntry, Role, VoidEntry
from gateway.core.merkle import Hash
from gateway.errors import UnavailableError
from gateway.node import recovery
from gateway.node.audit_log import Actor
from gateway.node.beginning import SendingUnknownError
from gateway.node.gate import RecoveringError
from gateway.node.health import Phase
from gateway.node.inbox import NotFoundError
from gateway.node.recovery import UnprovenHistoryError
from gateway.ports import LogHead, Step
from gateway.storage.highwater import FileHighWater
from tests.world import World, other


async def head(world: World, nation: str, origin: str | None = None) -> LogHead:
    side = world.sides[nation]
    assert side.store is not None
    name = origin or side.keyring.pair.exchange_origin
    found = await side.store.read(lambda tx: tx.logs.head(name))
    assert found is not None
    return found


async def deliver(world: World, nation: str, count: int = 1) -> list[bytes]:
    ids = [await world.send(nation) for _ in range(count)]
    for message_id in ids:
        await world.until_state(nation, message_id, "received")
    await world.settle()
    return ids


async def collect(world: World, nation: str, message_id: bytes) -> None:
    """Let the addressee in ``nation`` acknowledge, and wait until the sender knows."""
    await world.node(nation).inbox.acknowledge(world.principal(nation), message_id)
    await world.until_state(other(nation), message_id, "collected")
    await world.settle()


async def stopped_with(world: World, nation: str) -> BaseException | None:
    """Wait until a node has stopped by itself and return why."""
    task = world.sides[nation].task
    assert task is not None
    async with asyncio.timeout(20):
        await asyncio.wait([task])
    return task.exception()


def incident_entries(entries: Sequence[Any]) -> list[IncidentEntry]:
    return [entry for entry in entries if isinstance(entry, IncidentEntry)]


async def is_whole(world: World) -> None:
    """Both logs are mirrored whole, no pair is frozen, every root fits."""
    await world.settle()
    await world.check()
    for nation in ("FR", "US"):
        assert world.node(nation).phase is Phase.RUNNING


async def marked_size(world: World, nation: str, origin: str) -> int:
    high_water = world.sides[nation].high_water
    assert high_water is not None
    return high_water.read().get(origin, (0, b""))[0]


# --- our own log is behind ---------------------------------------------------------------


async def test_a_restored_sender_refills_its_log_before_it_signs_and_goes_on(world: World) -> None:
    first = await deliver(world, "US")
    copy = world.backup("US")
    lost = await deliver(world, "US", 2)
    before = await head(world, "US")

    await world.restore("US", copy)
    posted = world.sides["US"].faults.posted
    posted.clear()
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    after = await deliver(world, "US")

    assert await world.received("FR") == [*first, *lost, *after]
    assert all(decode_bundle(data).start >= before.size for data in posted)
    await is_whole(world)


async def test_a_recovery_is_on_record_for_operators_and_for_both_nations_auditors(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("US")
    old = await head(world, "US")
    await deliver(world, "US")
    lost = await head(world, "US")

    await world.restore("US", copy)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await world.settle()

    kept = await world.incidents("US")
    assert [(item.kind, item.size, item.root) for item in kept if item.origin == old.origin] == [
        (IncidentKind.RECOVERY, old.size, old.edge.root())
    ]
    logged = incident_entries(await world.log("US"))
    assert (IncidentKind.RECOVERY, old.origin, old.size) in [
        (entry.incident, entry.origin, entry.size) for entry in logged
    ]
    assert incident_entries(await world.log("FR", old.origin)) == logged
    (event,) = [event for event in await world.events("US") if event.event == "log.recovered"]
    assert event.details == (old.size, lost.size)


async def test_a_message_that_waited_at_the_backup_and_was_sent_since_is_not_sent_twice(world: World) -> None:
    await deliver(world, "US")
    await world.cut_off("US")
    message_id = await world.send("US")
    copy = world.backup("US")
    world.reconnect("US")
    await world.until_state("US", message_id, "received")
    await world.settle()

    await world.restore("US", copy)
    await world.start("US")

    await world.until_state("US", message_id, "received")
    assert (await world.received("FR")).count(message_id) == 1
    entries = [entry for entry in await world.log("US") if isinstance(entry, MessageEntry)]
    assert len(entries) == 2
    await is_whole(world)


async def test_a_message_that_was_withdrawn_after_the_backup_is_not_sent(world: World) -> None:
    await deliver(world, "US")
    await world.cut_off("US")
    message_id = await world.send("US")
    copy = world.backup("US")
    await world.node("US").tracking.withdraw(world.principal("US"), message_id)
    world.reconnect("US")
    await world.until(lambda: world.log("US"), lambda log: any(isinstance(entry, VoidEntry) for entry in log))
    await world.settle()

    await world.restore("US", copy)
    await world.start("US")

    await world.until_phase("US", Phase.RUNNING)
    await world.until_state("US", message_id, "withdrawn")
    after = await deliver(world, "US")
    assert message_id not in await world.received("FR")
    assert after[0] in await world.received("FR")
    await is_whole(world)


async def test_a_number_that_the_log_declares_void_is_not_declared_void_again(world: World) -> None:
    await deliver(world, "US")
    await world.cut_off("US")
    message_id = await world.send("US")
    await world.node("US").tracking.withdraw(world.principal("US"), message_id)
    copy = world.backup("US")
    world.reconnect("US")
    await world.until(lambda: world.log("US"), lambda log: any(isinstance(entry, VoidEntry) for entry in log))
    await world.settle()

    await world.restore("US", copy)
    await world.start("US")

    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")
    await is_whole(world)
    assert len([entry for entry in await world.log("US") if isinstance(entry, VoidEntry)]) == 1


async def test_what_was_accepted_and_sent_after_the_backup_is_known_to_the_log_alone(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("US")
    (lost,) = await deliver(world, "US")

    await world.restore("US", copy)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)

    with pytest.raises(NotFoundError):
        await world.state("US", lost)
    assert lost in await world.received("FR")
    await is_whole(world)


async def test_receipts_and_collections_that_the_log_holds_are_not_logged_again(world: World) -> None:
    (message_id,) = await deliver(world, "FR")
    copy = world.backup("US")
    await collect(world, "US", message_id)
    before = await world.log("US")

    await world.restore("US", copy)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await world.settle()

    new = (await world.log("US"))[len(before) :]
    assert all(isinstance(entry, IncidentEntry) for entry in new)
    # Whether the audit log as well was signed beyond the backup is a matter of a second.
    origins = {entry.origin for entry in new if isinstance(entry, IncidentEntry)}
    assert world.exchange_origin("US") in origins
    (delivery,) = await world.node("US").inbox.page(world.principal("US"), collected=True)
    assert delivery.row.message_id == message_id
    await is_whole(world)


async def test_an_empty_disk_is_filled_from_the_peer_even_if_the_marks_are_gone_too(world: World) -> None:
    await deliver(world, "US", 2)
    before = await head(world, "US")

    await world.restore("US", None, marks=False)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    after = await deliver(world, "US")

    log = await world.log("US")
    assert len(log) > before.size
    assert len(await world.received("FR")) == 3
    assert (await world.received("FR"))[-1:] == after
    await is_whole(world)


# --- nothing is signed before the peer was asked ---------------------------------------


async def test_while_the_peer_is_away_a_restored_node_accepts_and_signs_nothing(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("US")
    await deliver(world, "US")
    await world.restore("US", copy)
    faults = world.sides["US"].faults
    faults.posted.clear()
    faults.unreachable = True
    await world.start("US")

    message_id = await world.send("US")
    old = await head(world, "US")
    world.clock.advance(60)
    await world.until(lambda: _asked(world, "US"), lambda asked: asked >= 3)

    assert (await head(world, "US")).size == old.size
    assert _notes(world.sides["US"].database) == _notes(copy), "nothing was signed"
    assert faults.posted == []
    assert world.node("US").phase is Phase.STARTING
    assert not (await world.node("US").health()).reachable
    assert await world.state("US", message_id) == "accepted"

    faults.unreachable = False
    await world.until_state("US", message_id, "received")
    assert (await world.node("US").health()).reachable
    await is_whole(world)


def _notes(database: Path) -> int:
    """Return how many signed notes a database holds, of whatever log."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        (count,) = opened.execute("SELECT count(*) FROM notes").fetchone()
    return int(count)


async def _asked(world: World, nation: str) -> int:
    return world.sides[nation].faults.asked.count("standing")


async def test_a_node_that_never_signed_asks_as_well(world: World) -> None:
    await world.restore("US", None, marks=False)
    world.sides["US"].faults.unreachable = True
    await world.start("US")

    message_id = await world.send("US")
    await world.until(lambda: _asked(world, "US"), lambda asked: asked >= 3)

    assert await world.log("US") == []
    world.sides["US"].faults.unreachable = False
    await world.until_state("US", message_id, "received")
    await is_whole(world)


async def test_a_message_whose_time_is_over_expires_although_nothing_may_be_signed(world: World) -> None:
    await world.settle()
    world.sides["US"].faults.unreachable = True
    await world.restart("US")
    message_id = await world.send("US")

    world.clock.advance(31 * 86_400)

    await world.until_state("US", message_id, "expired")
    assert world.node("US").phase is Phase.STARTING


async def test_a_message_from_before_the_start_ends_once_the_peer_has_answered_and_is_not_sent(
    world: World,
) -> None:
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")
    await world.restart("US")
    world.clock.advance(31 * 86_400)
    later, taken_back = await world.send("US"), await world.send("US")
    await world.until(lambda: _asked(world, "US"), lambda asked: asked >= 3)
    assert await world.state("US", message_id) == "accepted"
    node, principal = world.node("US"), world.principal("US")
    with pytest.raises(SendingUnknownError):
        await node.tracking.withdraw(principal, message_id)
    with pytest.raises(SendingUnknownError):
        await node.queue.cancel(Actor(role=Role.OPERATOR, spki=b"o" * 32), message_id, "no more wanted")
    await node.tracking.withdraw(principal, taken_back)

    world.reconnect("US")

    await world.until_state("US", message_id, "expired")
    await world.until_state("US", later, "received")
    assert await world.received("FR") == [later]
    await is_whole(world)


async def test_a_message_that_was_sent_after_the_backup_is_not_called_expired(world: World) -> None:
    await deliver(world, "US")
    await world.cut_off("US")
    message_id = await world.send("US")
    copy = world.backup("US")
    world.reconnect("US")
    await world.until_state("US", message_id, "received")
    await world.settle()
    world.clock.advance(31 * 86_400)

    await world.restore("US", copy)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")

    assert await world.state("US", message_id) in {"delivered", "received"}
    assert [entry for entry in await world.log("US") if isinstance(entry, VoidEntry)] == []
    await is_whole(world)


async def test_a_node_that_may_not_sign_takes_no_bundle_and_answers_questions(world: World) -> None:
    await deliver(world, "US")
    world.sides["FR"].faults.refuse_question = lambda _: UnavailableError("one-way")
    await world.restart("FR")
    message_id = await world.send("US")
    await world.until(lambda: _asked(world, "FR"), lambda asked: asked >= 2)

    service = world.node("FR").peer_service
    with pytest.raises(UnavailableError):
        await service.receive(world.sides["US"].faults.posted[0])
    view = await service.view()
    assert (
        view.mirrored_size == (await head(world, "FR", world.sides["US"].keyring.pair.exchange_origin)).size
    )
    origin = world.sides["US"].keyring.pair.exchange_origin
    assert len(await service.entries(origin, 0, view.mirrored_size)) == view.mirrored_size
    assert await world.received("FR") != [message_id]

    world.sides["FR"].faults.refuse_question = None
    await world.until_state("US", message_id, "received")
    await is_whole(world)


# --- what cannot be proven stops the node --------------------------------------------------


async def restored_behind(world: World) -> None:
    """Let the American node stand on a copy that is older than what it signed."""
    await deliver(world, "US")
    copy = world.backup("US")
    await deliver(world, "US", 2)
    await world.restore("US", copy)


async def unchanged(world: World, size: int) -> None:
    await world.stop("US")
    world.sides["US"].faults.unreachable = True
    await world.start("US")
    assert (await head(world, "US")).size == size


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


async def test_a_copy_that_does_not_lead_to_our_signed_root_stops_the_node(world: World) -> None:
    await restored_behind(world)

    def alter(question: str, answer: Any) -> Any:
        return [flip(answer[0]), *answer[1:]] if question == "entries" else answer

    world.sides["US"].faults.alter_answer = alter
    await world.start("US")

    error = await stopped_with(world, "US")
    assert isinstance(error, UnprovenHistoryError)
    assert "root that we signed" in str(error)
    assert incident_entries(await world.log("US")) == []


async def test_a_longer_copy_without_our_signature_stops_the_node(world: World) -> None:
    await restored_behind(world)

    def alter(question: str, answer: Any) -> Any:
        assert question != "entries", "nothing may be fetched under such a note"
        if question != "view":
            return answer
        return replace(answer, mirrored=flip(answer.mirrored.rstrip()[:-4] + b"AAA=\n"))

    world.sides["US"].faults.alter_answer = alter
    await world.start("US")

    error = await stopped_with(world, "US")
    assert isinstance(error, UnprovenHistoryError)
    assert "does not carry our signature" in str(error)


async def test_marks_beyond_database_and_peer_stop_the_node(world: World) -> None:
    await deliver(world, "US")
    own = await head(world, "US")
    await world.stop("US")
    marks = FileHighWater(world.sides["US"].folder / "high-water")
    await marks.record({own.origin: (own.size + 5, Hash(bytes(32)))})
    marks.close()

    await world.start("US")

    error = await stopped_with(world, "US")
    assert isinstance(error, UnprovenHistoryError)
    assert "neither in its database nor at the peer" in str(error)


async def test_an_entry_that_was_signed_and_did_not_leave_before_the_restore_stops_the_node(
    world: World,
) -> None:
    (message_id,) = await deliver(world, "US")
    copy = world.backup("FR")
    own = await head(world, "FR")
    faults = world.sides["FR"].faults
    # What this node sends is on its way and does not arrive.
    faults.gate = asyncio.Event()
    await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    await world.until(lambda: marked_size(world, "FR", own.origin), lambda marked: marked > own.size)

    await world.restore("FR", copy)
    await world.start("FR")

    # Of this entry nothing is left but the mark: whatever is signed at its place contradicts it.
    error = await stopped_with(world, "FR")
    assert isinstance(error, UnprovenHistoryError)
    assert "neither in its database nor at the peer" in str(error)


async def test_a_database_with_another_history_than_was_signed_stops_the_node(world: World) -> None:
    await deliver(world, "US")
    own = await head(world, "US")
    await world.stop("US")
    path = world.sides["US"].folder / "high-water"
    path.unlink()
    marks = FileHighWater(path)
    await marks.record({own.origin: (own.size - 1, Hash(b"\x01" * 32))})
    marks.close()

    await world.start("US")

    error = await stopped_with(world, "US")
    assert isinstance(error, UnprovenHistoryError)
    assert "another history" in str(error)


async def test_a_note_of_the_peer_that_proves_nothing_does_not_stop_a_whole_node(world: World) -> None:
    await deliver(world, "US")
    calls = 0

    def alter(question: str, answer: Any) -> Any:
        nonlocal calls
        calls += question == "view"
        return replace(answer, mirrored=b"no note") if question == "view" and calls == 1 else answer

    world.sides["US"].faults.alter_answer = alter
    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)

    await deliver(world, "US")
    await is_whole(world)


# --- refilling is interrupted ------------------------------------------------------------


async def test_a_peer_that_goes_away_in_the_middle_is_waited_for(world: World) -> None:
    await restored_behind(world)
    failures = 0

    def refuse(question: str) -> UnavailableError | None:
        nonlocal failures
        failures += question == "entries"
        return UnavailableError("gone") if question == "entries" and failures in {1, 3} else None

    world.sides["US"].faults.refuse_question = refuse
    await world.start("US")

    await world.until_phase("US", Phase.RUNNING)
    assert failures > 3
    await is_whole(world)


async def test_while_entries_are_being_fetched_agencies_are_told_to_come_back(world: World) -> None:
    await restored_behind(world)
    world.sides["US"].faults.refuse_question = lambda name: (
        UnavailableError("gone") if name == "entries" else None
    )
    await world.start("US")
    await world.until_phase("US", Phase.RECOVERING)

    with pytest.raises(RecoveringError) as caught:
        await world.send("US")

    assert caught.value.retry_after_s > 0
    world.sides["US"].faults.refuse_question = None
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")
    await is_whole(world)


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_while_pages_are_appended_goes_on_from_there(
    world: World, monkeypatch: pytest.MonkeyPatch, *, persisted: bool
) -> None:
    monkeypatch.setattr(recovery, "PAGE", 2)
    first = await deliver(world, "US")
    copy = world.backup("US")
    lost = await deliver(world, "US", 5)
    await world.restore("US", copy)
    # Each of these writes is one page.
    world.break_write("US", Step.RECOVERED, persisted=persisted, skip=1)
    await world.start("US")
    await world.until_crashed("US")

    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)

    after = await deliver(world, "US")
    assert await world.received("FR") == [*first, *lost, *after]
    await is_whole(world)


async def test_a_recovered_log_can_be_shipped_once_more_from_the_beginning(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.node.refill.MAX_BUNDLE_ENTRIES", 3)
    await restored_behind(world)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await world.settle()

    # The receiver loses everything as well: it refills its log, and mirrors ours anew.
    await world.restore("FR", None, marks=False)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)

    await deliver(world, "US")
    await is_whole(world)
    posted = [decode_bundle(data) for data in world.sides["US"].faults.posted]
    assert max(len(bundle.entries) for bundle in posted if bundle.start < 4) <= 3


async def test_a_peer_that_turns_out_to_hold_more_later_on_is_recovered_from(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("US")
    lost = await deliver(world, "US", 2)
    await world.restore("US", copy, marks=False)
    calls = 0

    def alter(question: str, answer: Any) -> Any:
        # The first answer is old: what a peer says that is itself being restored.
        nonlocal calls
        calls += question == "view"
        is_first = question == "view" and calls == 1
        return replace(answer, mirrored=None, mirrored_size=3) if is_first else answer

    world.sides["US"].faults.alter_answer = alter
    await world.start("US")
    after = await deliver(world, "US")

    assert calls > 1
    assert [*lost, *after] == (await world.received("FR"))[1:]
    (logged,) = incident_entries(await world.log("US"))
    assert logged.incident == IncidentKind.RECOVERY
    await is_whole(world)


@pytest.mark.parametrize("note", [None, b"no note"], ids=["a bare number", "junk"])
@pytest.mark.parametrize("starts", [True, False], ids=["at the start", "while it runs"])
async def test_a_peer_that_claims_more_and_proves_nothing_keeps_no_agency_out(
    world: World, note: bytes | None, *, starts: bool
) -> None:
    """Else a bare number would make a node that has lost nothing refuse posts, or stop."""
    await deliver(world, "US")
    faults = world.sides["US"].faults

    def alter(question: str, answer: Any) -> Any:
        return replace(answer, mirrored=note, mirrored_size=1_000_000) if question == "view" else answer

    async def trouble() -> str:
        return world.node("US")._courier.trouble or world.node("US").phase

    refused = {"signature-invalid", "malformed"}
    faults.alter_answer = alter
    if starts:
        await world.restart("US")
        await world.until(trouble, lambda said: said in {*refused, Phase.STARTING})
    else:
        world.node("US")._courier.doubt()
        await world.until(trouble, lambda said: said in refused)
    waits = await world.send("US")
    assert world.node("US").phase is (Phase.STARTING if starts else Phase.RUNNING)
    assert incident_entries(await world.log("US")) == []

    faults.alter_answer = None
    await world.until_state("US", waits, "received")
    await is_whole(world)
