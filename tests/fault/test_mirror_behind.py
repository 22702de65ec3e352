"""A receiver put back from a backup gets what it lost, once, and cosigns no second history.

The French node is the one restored.
"""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.checkpoint import parse_checkpoint
from gateway.core.entries import IncidentKind, MessageEntry
from gateway.core.note import parse_note
from gateway.errors import PairFrozenError, UnavailableError
from gateway.node import owing, vouching
from gateway.node.health import Phase
from gateway.ports import PeerView
from gateway.storage.highwater import FileHighWater
from tests.fault.test_recovery import collect, deliver, head, incident_entries, is_whole
from tests.forger import Forger
from tests.world import World


async def restored_receiver(world: World, *, collected: bool = False) -> tuple[list[bytes], list[bytes]]:
    """Let the French node stand on an old copy; return (ids before, ids after the backup)."""
    before = await deliver(world, "US")
    copy = world.backup("FR")
    lost = await deliver(world, "US", 2)
    if collected:
        await collect(world, "FR", lost[0])
    await world.cosigned("US")
    await world.restore("FR", copy)
    return before, lost


async def test_a_restored_receiver_gets_what_it_lost_with_new_boxes_and_shows_it_once(world: World) -> None:
    before, lost = await restored_receiver(world)
    await world.start("FR")

    await world.until(lambda: world.received("FR"), lambda ids: set(ids) == {*before, *lost})
    for message_id in lost:
        await world.until_state("US", message_id, "received")
    after = await deliver(world, "US")

    assert sorted(await world.received("FR")) == sorted([*before, *lost, *after])
    entries = [entry for entry in await world.log("US") if isinstance(entry, MessageEntry)]
    assert len(entries) == 1 + 2 + 2 + 1
    assert len({entry.box_digest for entry in entries}) >= 4
    await is_whole(world)


async def test_a_restored_receiver_gets_again_what_it_had_not_cosigned(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await deliver(world, "US")
    copy = world.backup("FR")
    monkeypatch.setattr(vouching, "BETWEEN_S", 600.0)
    monkeypatch.setattr(owing, "ASK_AFTER_S", 600.0)
    # The turn that the last cosignature left open: it is for the next bundle, and not for one behind it.
    world.clock.advance(1)
    cosigned = await deliver(world, "US")
    lost = await deliver(world, "US", 2)

    async def owed() -> int:
        return world.node("US")._courier._owing.size

    # The receipt may come before the answer that leaves a cosignature owed.
    await world.until(owed, bool)
    await world.restore("FR", copy)
    await world.start("FR")

    await world.until(lambda: world.received("FR"), lambda ids: set(ids) == {*before, *cosigned, *lost})
    after = await deliver(world, "US")

    # The sender had a cosignature over one of the three: that one is sent anew, the others as they were.
    assert sorted(await world.received("FR")) == sorted([*before, *cosigned, *lost, *after])
    for message_id in (*cosigned, *lost, *after):
        await world.until_state("US", message_id, "received")
    await is_whole(world)


async def test_a_rollback_of_the_peer_is_an_incident_and_no_fork(world: World) -> None:
    _, lost = await restored_receiver(world)
    size = (await head(world, "US")).size
    await world.start("FR")
    await world.until_state("US", lost[0], "sent", "accepted")
    await world.until_state("US", lost[0], "received")
    await world.settle()

    origin = world.sides["US"].keyring.pair.exchange_origin
    (kept,) = [item for item in await world.incidents("US") if item.kind == IncidentKind.PEER_ROLLBACK]
    assert kept.origin == origin
    assert kept.size < size
    logged = incident_entries(await world.log("US"))
    assert [(entry.incident, entry.size) for entry in logged] == [(IncidentKind.PEER_ROLLBACK, kept.size)]
    # The receiver says so itself, in the audit log that goes on or in its successor.
    said = await world.events("FR")
    assert [event.event for event in said].count("mirror.rolled_back") == 1
    (event,) = [event for event in await world.events("US") if event.event == "peer.rolled_back"]
    assert event.details[0] == kept.size
    # The other side knows of its own loss, and says so for both of its logs.
    kinds = {(item.kind, item.origin) for item in await world.incidents("FR")}
    assert (IncidentKind.RECOVERY, origin) in kinds
    await is_whole(world)


async def test_a_peer_that_goes_back_again_and_again_is_one_incident_an_hour_for_each_state(
    world: World,
) -> None:
    await deliver(world, "US", 2)
    await world.settle()
    recovery = world.node("US").recovery
    size = (await head(world, "US")).size

    async def told() -> list[int]:
        found = await world.incidents("US")
        return [item.size for item in found if item.kind == IncidentKind.PEER_ROLLBACK]

    for _ in range(5):
        await recovery.peer_rolled_back(0, size)
    assert await told() == [0]
    # Another state is told as well, a minute later.
    await recovery.peer_rolled_back(1, size)
    assert await told() == [0]
    world.clock.advance(60)
    await recovery.peer_rolled_back(1, size)
    await recovery.peer_rolled_back(0, size)
    assert await told() == [0, 1]
    events = [event for event in await world.events("US") if event.event == "peer.rolled_back"]
    assert len(events) == 2
    # The same backup may be restored a second time, which is told again.
    world.clock.advance(3_600)
    await recovery.peer_rolled_back(0, size)
    assert await told() == [0, 1, 0]


async def test_what_was_collected_is_not_shown_to_its_addressee_again(world: World) -> None:
    before, lost = await restored_receiver(world, collected=True)
    await world.start("FR")

    # Its sender believes it received until it learns of the rollback: the addressee's side tells.
    await world.until(lambda: world.received("FR"), lambda ids: lost[1] in ids)
    await world.until_state("US", lost[1], "received")
    await world.settle()

    shown = await world.node("FR").inbox.page(world.principal("FR"))
    assert sorted(item.row.message_id for item in shown) == sorted([*before, lost[1]])
    assert await world.state("US", lost[0]) == "collected"
    await is_whole(world)


async def test_a_collection_of_a_message_that_the_copy_still_holds_is_remembered(world: World) -> None:
    before = await deliver(world, "US")
    copy = world.backup("FR")
    await collect(world, "FR", before[0])
    await world.restore("FR", copy)

    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)
    await world.settle()

    assert await world.node("FR").inbox.page(world.principal("FR")) == []
    (delivery,) = await world.node("FR").inbox.page(world.principal("FR"), collected=True)
    assert delivery.row.message_id == before[0]
    await is_whole(world)


async def test_a_sender_that_was_stopped_meanwhile_notices_the_rollback_too(world: World) -> None:
    before, lost = await restored_receiver(world)
    await world.stop("US")
    await world.start("FR")
    await world.start("US")

    for message_id in lost:
        await world.until_state("US", message_id, "received")
    await world.until(lambda: world.received("FR"), lambda ids: set(ids) == {*before, *lost})
    assert IncidentKind.PEER_ROLLBACK in [item.kind for item in await world.incidents("US")]
    await is_whole(world)


async def test_a_message_of_which_the_box_is_still_held_needs_no_second_entry(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("FR")
    world.sides["US"].faults.lose_answers = True
    # Mirrored, but its sender never saw a cosignature: the box is still there.
    world.sides["US"].faults.refuse_question = lambda _: UnavailableError("no answers")
    message_id = await world.send("US")
    await world.until(lambda: world.received("FR"), lambda ids: message_id in ids)
    await world.stop("FR")
    await world.restore("FR", copy, marks=False)
    world.sides["US"].faults.lose_answers = False
    world.sides["US"].faults.refuse_question = None

    await world.start("FR")

    await world.until_state("US", message_id, "received")
    entries = [entry for entry in await world.log("US") if isinstance(entry, MessageEntry)]
    assert len(entries) == 2
    await is_whole(world)


async def test_a_restored_receiver_cosigns_nothing_below_what_it_cosigned(world: World) -> None:
    _, lost = await restored_receiver(world)
    faults = world.sides["US"].faults
    faults.gate = asyncio.Event()
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)

    view = await world.node("FR").peer_service.view()
    assert view.mirrored is None
    assert 0 < view.mirrored_size < (await head(world, "US")).size

    faults.gate.set()
    await world.until_state("US", lost[0], "received")
    await world.settle()
    view = await world.node("FR").peer_service.view()
    assert view.mirrored is not None
    await is_whole(world)


async def test_a_restored_receiver_takes_no_other_history_than_the_one_it_cosigned(world: World) -> None:
    forger = await Forger.take_over(world)
    other_history = forger.bundle([forger.message()])
    cosigned = parse_checkpoint(parse_note(forger.bundle([forger.message()]).note).text)
    own = await head(world, "FR")
    await world.stop("FR")
    # What it cosigned is not in its database any more, but the marks have survived.
    marks = FileHighWater(world.sides["FR"].folder / "high-water")
    await marks.record({cosigned.origin: (cosigned.size, cosigned.root)})
    marks.close()
    view = PeerView(mirrored=None, mirrored_size=own.size, own=None, own_size=0)
    world.sides["FR"].faults.impostor = lambda _: view
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)

    with pytest.raises(PairFrozenError):
        await forger.post(other_history.encode())

    (kept,) = [item for item in await world.incidents("FR") if item.kind == IncidentKind.FORK]
    assert kept.note_a == other_history.note
    assert world.node("FR").phase is Phase.FROZEN


async def test_both_nodes_are_restored_at_once_and_meet_again(world: World) -> None:
    american = await deliver(world, "US")
    french = await deliver(world, "FR")
    copies = {nation: world.backup(nation) for nation in ("FR", "US")}
    # Accepted and not sent yet at the backup, sent and received since.
    for nation in ("FR", "US"):
        await world.restore(nation, copies[nation])
        await world.start(nation)

    american += await deliver(world, "US")
    french += await deliver(world, "FR")
    assert await world.received("FR") == american
    assert await world.received("US") == french
    await is_whole(world)
