"""A message that its addressees have collected comes back to a receiver that was restored and lost it.

The French node receives from the American one. Its agency has the message; its node needs it all the same:
what it answers, supplements or closes is checked there, and a conversation without it has a gap.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.entries import CollectedEntry, ReceiptEntry
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.errors import UnavailableError
from gateway.node import answers
from gateway.node.health import Phase
from gateway.ports import Step
from tests.fault.test_conversations import ask, delivered
from tests.fault.test_evidence_over_time import WHOLE, judged, verify_whole
from tests.fault.test_received_once import (
    OVER_S,
    codes,
    conflicts,
    of_an_earlier_release,
    reconciled,
    row,
    shown,
    voids,
    waits_again,
    with_boxes,
)
from tests.fault.test_recovery import collect, deliver, is_whole
from tests.fault.test_resumption import OPERATOR, freeze_both, resume, until_generation
from tests.messages import INVESTIGATORS, answer
from tests.world import World


async def lost_and_collected(world: World, count: int = 1) -> list[bytes]:
    """Let the French node stand on a copy of before messages that its agency has; return their ids."""
    await deliver(world, "US")
    copy = world.backup("FR")
    lost = await deliver(world, "US", count)
    for message_id in lost:
        await collect(world, "FR", message_id)
    await world.cosigned("US")
    await world.restore("FR", copy)
    return lost


async def held(world: World) -> list[bytes]:
    """Return what the French agency has acknowledged, as its node holds it."""
    page = await world.node("FR").inbox.page(world.principal("FR"), limit=1_000, collected=True)
    assert all(item.message is not None for item in page)
    assert {item.row.state for item in page} <= {State.COLLECTED}
    return [item.row.message_id for item in page]


def remembered(world: World) -> int:
    """Return how much the French node still looks for with each message that comes."""
    with closing(sqlite3.connect(world.sides["FR"].database)) as database:
        (count,) = database.execute(
            "SELECT (SELECT count(*) FROM early_collections) + (SELECT count(*) FROM lost_messages)"
        ).fetchone()
    return int(count)


async def until_back(world: World, *ids: bytes) -> None:
    """Wait until the French node holds these again, and the American one knows who has them."""
    await world.until(lambda: held(world), lambda found: set(ids) <= set(found))
    for message_id in ids:
        await world.until_state("US", message_id, "collected")
    await world.settle()
    # Nobody is shown them a second time.
    assert not set(ids) & set(await shown(world))


async def test_what_was_collected_comes_back_and_is_shown_to_nobody_again(
    world: World, tmp_path: Path
) -> None:
    lost = await lost_and_collected(world, 3)
    world.clock.advance(OVER_S)
    await world.start("FR")

    await until_back(world, *lost)
    assert remembered(world) == 0
    assert await voids(world) == []
    assert set(await codes(world)) == {ExceptionCode.CONTENT_LOST}
    assert await conflicts(world) == 0
    await is_whole(world)
    await world.cosigned("US", "FR")
    found = await reconciled(world, tmp_path)
    assert found.is_reconciled, found.differences
    await verify_whole(world, *(("US", message_id) for message_id in lost))


async def test_a_request_that_was_collected_can_be_answered_after_the_restore(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("FR")
    request_id = await ask(world)
    await world.node("FR").inbox.acknowledge(world.principal("FR", INVESTIGATORS["FR"]), request_id)
    await world.until_state("US", request_id, "collected", agency=INVESTIGATORS["US"])
    await world.settle()
    await world.cosigned("US")
    await world.restore("FR", copy)
    await world.start("FR")
    await world.until_state("US", request_id, "accepted", "sent", agency=INVESTIGATORS["US"])
    await world.until_state("US", request_id, "collected", agency=INVESTIGATORS["US"])

    answer_id = await delivered(world, "FR", answer("FR", request_id, world.clock.now_ms()))

    assert answer_id in await world.received("US", INVESTIGATORS["US"])
    await is_whole(world)


async def test_what_was_collected_and_is_restored_again_and_again_comes_back_each_time(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("FR")
    (message_id,) = await deliver(world, "US")
    await collect(world, "FR", message_id)
    await world.cosigned("US")
    for _ in range(5):
        await world.restore("FR", copy)
        await world.start("FR")
        await until_back(world, message_id)
        await world.cosigned("US")

    assert await voids(world) == []
    assert await conflicts(world) == 0
    await is_whole(world)


async def test_what_was_collected_and_not_cosigned_comes_back_in_its_own_entry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender holds the box: nothing has to be asked for, and the sender says *collected* all along."""
    message_id = await with_boxes(world, monkeypatch, collected=True)
    first = await row(world, message_id)
    await world.start("FR")

    await until_back(world, message_id)
    assert (await row(world, message_id)).log_index == first.log_index
    await is_whole(world)


async def test_while_it_waits_again_it_was_received_and_can_be_erased(world: World) -> None:
    (message_id,) = await lost_and_collected(world)
    await waits_again(world)
    assert (await row(world, message_id)).was_received
    tracked = await world.node("US").tracking.status(world.principal("US"), message_id)
    assert {"received", "collected"} <= {event.event for event in tracked.timeline}
    await world.node("US").custody.erase(OPERATOR, message_id, "Court order, case 12")
    world.reconnect("US")
    await world.settle()

    found = (await world.node("US").custody.find(message_id)).row
    assert (found.state, found.was, found.is_void) == (State.ERASED, State.RECEIVED, False)
    assert await voids(world) == []
    await is_whole(world)


async def test_what_waits_again_comes_back_in_the_next_generation(world: World) -> None:
    (message_id,) = await lost_and_collected(world)
    await waits_again(world)
    await freeze_both(world)
    world.reconnect("US")
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)

    await until_back(world, message_id)
    assert await voids(world) == []
    await is_whole(world)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", [Step.MIRRORED, Step.SEQUENCED])
async def test_a_crash_on_the_way_loses_nothing(world: World, step: Step, *, persisted: bool) -> None:
    (message_id,) = await lost_and_collected(world)
    world.break_write("FR", step, persisted=persisted, skip=1)
    await world.start("FR")
    await world.until_crashed("FR")
    await world.restart("FR")

    await until_back(world, message_id)
    await is_whole(world)


@pytest.mark.parametrize("has_box", [False, True])
async def test_a_receiver_of_an_earlier_release_leaves_it_collected(
    world: World, monkeypatch: pytest.MonkeyPatch, *, has_box: bool
) -> None:
    """Restored, it knows nothing of what it said and calls it expired."""
    if has_box:
        message_id = await with_boxes(world, monkeypatch, collected=True)
    else:
        (message_id,) = await lost_and_collected(world)
    first = await row(world, message_id)
    await of_an_earlier_release(monkeypatch)
    world.clock.advance(OVER_S)
    await world.start("FR")
    await world.until(lambda: conflicts(world), bool)
    await world.until_phase("FR", Phase.RUNNING)
    await is_whole(world)

    kept = await row(world, message_id)
    assert (kept.state, kept.exception) == (State.COLLECTED, None)
    assert (kept.log_index, kept.receipt_index) == (first.log_index, first.receipt_index)
    assert await voids(world) == []
    data = await world.node("US").evidence.prove(world.principal("US"), message_id, disclose=False)
    assert judged(data).headline.endswith(f": {WHOLE}")


async def test_a_collection_is_never_logged_before_the_receipt_of_its_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its sender would never have the receipt: what is collected waits for none."""
    monkeypatch.setattr(answers, "MAX_ANSWERS", 1)
    await deliver(world, "US")
    await world.settle()
    world.sides["FR"].faults.refuse = lambda _: UnavailableError("one-way")
    ids: list[bytes] = []
    for _ in range(3):
        message_id = await world.send("US")
        ids.append(message_id)
        await world.until(lambda: world.received("FR"), lambda found: set(ids) <= set(found))
    for message_id in ids:
        await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    world.sides["FR"].faults.refuse = None
    for message_id in ids:
        await world.until_state("US", message_id, "collected")
    await world.settle()

    answered = 0
    for entry in await world.log("FR"):
        if isinstance(entry, ReceiptEntry):
            answered = max(answered, entry.start + entry.count)
        if isinstance(entry, CollectedEntry):
            assert max(item.index for item in entry.collections) < answered
    for message_id in ids:
        assert (await row(world, message_id)).receipt_index is not None
    await verify_whole(world, *(("US", message_id) for message_id in ids))
