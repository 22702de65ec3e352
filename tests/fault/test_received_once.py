"""A message that was received stays so, although its receiver was restored from a backup and lost it.

The French node receives from the American one and is restored, within one generation of the logs. Its own
log, refilled from the peer's copy, tells it what it said before.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.folder import LogFolder
from gateway.audit.reconcile import NamedLog, Reconciliation, reconcile
from gateway.core.entries import (
    IncidentKind,
    ReceiptEntry,
    VoidEntry,
)
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.errors import UnavailableError
from gateway.node import owing, vouching
from gateway.node.beginning import SendingUnknownError
from gateway.node.earlier import NO_WORDS, Earlier
from gateway.node.health import Phase
from gateway.ports import MessageRow, Step
from gateway.storage.outbox import SqlOutbox
from tests.fault.test_conversations import delivered
from tests.fault.test_evidence_over_time import WHOLE, judged, verify_whole
from tests.fault.test_generations_and_keys import copy_of, trust_of
from tests.fault.test_mirror_behind import restored_receiver
from tests.fault.test_recovery import collect, deliver, is_whole
from tests.fault.test_resumption import OPERATOR, freeze_both, resume, until_generation
from tests.messages import INVESTIGATORS, answer, request
from tests.world import World

OVER_S = 31 * 86_400
"""Longer than any message may be on its way."""


async def row(world: World, message_id: bytes) -> MessageRow:
    return (await world.node("US").tracking.status(world.principal("US"), message_id)).row


async def voids(world: World) -> list[VoidEntry]:
    return [entry for entry in await world.log("US") if isinstance(entry, VoidEntry)]


async def shown(world: World) -> list[bytes]:
    """Return what the French agency has not acknowledged, in the order of its inbox."""
    page = await world.node("FR").inbox.page(world.principal("FR"), limit=1_000)
    return [item.row.message_id for item in page]


async def until_shown(world: World, *ids: bytes) -> None:
    await world.until(lambda: world.received("FR"), lambda found: set(ids) <= set(found))
    for message_id in ids:
        await world.until_state("US", message_id, "received")
        assert (await world.received("FR")).count(message_id) == 1


async def codes(world: World) -> list[int]:
    """Return the exceptions of all receipts of the French node, in the order of its log."""
    return [
        item.code
        for entry in await world.log("FR")
        if isinstance(entry, ReceiptEntry)
        for item in entry.exceptions
    ]


async def conflicts(world: World) -> int:
    kinds = [item.kind for item in await world.incidents("US")]
    return kinds.count(IncidentKind.RECEIPT_CONFLICT)


async def without_boxes(world: World) -> bytes:
    """Let the French node lose a message whose box its sender holds no more."""
    _, lost = await restored_receiver(world)
    return lost[0]


async def with_boxes(world: World, monkeypatch: pytest.MonkeyPatch, *, collected: bool = False) -> bytes:
    """Let the French node lose a message that it received and had not cosigned yet."""
    await deliver(world, "US")
    monkeypatch.setattr(vouching, "BETWEEN_S", 600.0)
    monkeypatch.setattr(owing, "ASK_AFTER_S", 600.0)
    # The turn that the last cosignature left open.
    world.clock.advance(1)
    await deliver(world, "US")
    copy = world.backup("FR")
    (message_id,) = await deliver(world, "US")
    if collected:
        await collect(world, "FR", message_id)

    async def owed() -> int:
        return world.node("US")._courier._owing.size

    await world.until(owed, bool)
    await world.restore("FR", copy)
    return message_id


async def of_an_earlier_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no node know what it said before it was restored."""

    async def nothing(*_: object, **__: object) -> object:
        return NO_WORDS

    monkeypatch.setattr(Earlier, "words", nothing)


async def reconciled(world: World, folder: Path) -> Reconciliation:
    """Return what auditors of both nations find in both exchange logs."""
    origins = [world.sides[nation].keyring.pair.exchange_origin for nation in ("FR", "US")]
    sides = []
    for nation in ("FR", "US"):
        logs = []
        for number, origin in enumerate(origins):
            copy = await copy_of(world, nation, origin)
            path = copy.export(folder / f"{nation}{number}")
            logs.append(NamedLog(title=f"{nation}{number}", log=LogFolder(path)))
        sides.append(logs)
    return reconcile(*sides, trust=trust_of(world), progress=lambda _: lambda _done, _all: None)


# --- time ------------------------------------------------------------------------------------


async def test_what_was_received_comes_again_however_late(world: World) -> None:
    before, lost = await restored_receiver(world)
    world.clock.advance(OVER_S)
    await world.start("FR")

    await until_shown(world, *lost)
    assert await voids(world) == []
    assert set(await codes(world)) == {ExceptionCode.CONTENT_LOST}
    assert await conflicts(world) == 0
    await is_whole(world)
    await verify_whole(world, *(("US", message_id) for message_id in (*before, *lost)))


async def test_what_was_received_and_is_restored_a_second_time_comes_a_third_time(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("FR")
    (message_id,) = await deliver(world, "US")
    await world.cosigned("US")
    for _ in range(5):
        await world.restore("FR", copy)
        world.clock.advance(OVER_S)
        await world.start("FR")
        await until_shown(world, message_id)
        await world.settle()
        await world.cosigned("US")

    assert await voids(world) == []
    await is_whole(world)


@pytest.mark.parametrize("is_key_gone", [False, True])
async def test_what_was_not_cosigned_yet_comes_again_by_its_receipt(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_key_gone: bool
) -> None:
    """The sender sees no rollback: it holds no cosignature over more than the copy holds."""
    message_id = await with_boxes(world, monkeypatch)
    if is_key_gone:
        keyring = world.sides["FR"].keyring
        for key_id in list(keyring.kem_keys()):
            keyring.destroy_kem_key(key_id)
    world.clock.advance(OVER_S)
    await world.start("FR")

    await until_shown(world, message_id)
    found = [item.kind for item in await world.incidents("US")]
    assert IncidentKind.PEER_ROLLBACK not in found
    assert await voids(world) == []
    assert await conflicts(world) == 0
    assert ExceptionCode.EXPIRED not in await codes(world)
    await is_whole(world)


async def test_what_was_mirrored_and_has_no_receipt_yet_came_in_time_as_well(world: World) -> None:
    await deliver(world, "US")
    await world.settle()
    # The French node signs one bundle that does not leave; nothing enters its log after that.
    world.sides["FR"].faults.refuse = lambda _: UnavailableError("one-way")
    await world.until_state("FR", await world.send("FR"), "sent")
    copy = world.backup("FR")
    message_id = await world.send("US")
    await world.until_state("US", message_id, "delivered")
    # The addressee has it, and no log says so.
    await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    await world.restore("FR", copy)
    world.sides["FR"].faults.refuse = None
    world.clock.advance(OVER_S)
    await world.start("FR")

    await until_shown(world, message_id)
    assert await voids(world) == []
    await is_whole(world)


# --- what the message is about ---------------------------------------------------------------


async def test_an_answer_that_was_received_comes_again_although_its_request_is_lost(world: World) -> None:
    """The French request was posted after the backup: it stands in the log alone."""
    await deliver(world, "US")
    copy = world.backup("FR")
    request_id = await delivered(world, "FR", request("FR", world.clock.now_ms()))
    answer_id = await delivered(world, "US", answer("US", request_id, world.clock.now_ms()))
    await world.settle()
    await world.cosigned("US")
    await world.restore("FR", copy)
    await world.start("FR")

    await world.until_state("US", answer_id, "sent", "accepted", agency=INVESTIGATORS["US"])
    await world.until_state("US", answer_id, "received", agency=INVESTIGATORS["US"])
    assert ExceptionCode.RULE not in await codes(world)
    assert answer_id in await world.received("FR", INVESTIGATORS["FR"])
    await is_whole(world)


async def test_what_was_refused_is_refused_for_the_same_reason_again(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("FR")
    world.sides["US"].faults.refuse = lambda _: UnavailableError("one-way")
    message_id = await world.send("US")
    await world.until_state("US", message_id, "sent")
    world.clock.advance(OVER_S)
    world.sides["US"].faults.refuse = None
    await world.until_state("US", message_id, "expired")
    await world.settle()
    await world.cosigned("US")
    await world.restore("FR", copy)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)
    await is_whole(world)

    assert set(await codes(world)) == {ExceptionCode.EXPIRED}
    assert message_id not in await world.received("FR")
    assert await world.state("US", message_id) == "expired"


# --- what its sender may do ------------------------------------------------------------------


async def waiting_again(world: World) -> bytes:
    """Let the French node ask once more for a message that is over, and nothing be sequenced after that."""
    message_id = await without_boxes(world)
    await waits_again(world)
    return message_id


async def waits_again(world: World) -> None:
    """Start the restored French node, and let the American one sequence nothing of what it asks for."""
    world.clock.advance(OVER_S)
    world.break_write("US", Step.SEQUENCED, persisted=False, skip=1)
    await world.start("FR")
    await world.until_crashed("US")
    world.sides["US"].faults.unreachable = True
    await world.restart("US")


async def test_while_it_waits_again_it_does_not_expire_and_is_neither_withdrawn_nor_cancelled(
    world: World,
) -> None:
    message_id = await waiting_again(world)
    node, principal = world.node("US"), world.principal("US")
    assert (await row(world, message_id)).was_received
    with pytest.raises(SendingUnknownError):
        await node.tracking.withdraw(principal, message_id)
    with pytest.raises(SendingUnknownError):
        await node.queue.cancel(OPERATOR, message_id, "no more wanted")
    await node._housekeeping.expire()
    tracked = await node.tracking.status(principal, message_id)
    assert tracked.row.state in {State.ACCEPTED, State.SENT}
    # When it was received is said all along.
    assert "received" in [event.event for event in tracked.timeline]

    world.reconnect("US")

    await until_shown(world, message_id)
    assert await voids(world) == []
    await is_whole(world)


async def test_what_is_erased_while_it_waits_again_was_received(world: World) -> None:
    message_id = await waiting_again(world)
    await world.node("US").custody.erase(OPERATOR, message_id, "Court order, case 12")
    world.reconnect("US")
    await world.settle()

    found = (await world.node("US").custody.find(message_id)).row
    assert (found.state, found.was, found.is_void) == (State.ERASED, State.RECEIVED, False)
    assert await voids(world) == []
    await is_whole(world)


async def test_of_what_its_sender_has_erased_the_receipt_says_what_the_first_one_said(
    world: World, tmp_path: Path
) -> None:
    _, lost = await restored_receiver(world, collected=True)
    for message_id in lost:
        await world.node("US").custody.erase(OPERATOR, message_id, "Court order, case 12")
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)
    await is_whole(world)

    assert await codes(world) == []
    for message_id in lost:
        assert not (await world.node("US").custody.find(message_id)).row.is_void
    assert (await reconciled(world, tmp_path)).is_reconciled


# --- auditors --------------------------------------------------------------------------------


@pytest.mark.parametrize("collected", [False, True])
async def test_both_nations_auditors_see_every_message_received(
    world: World, tmp_path: Path, *, collected: bool
) -> None:
    before, lost = await restored_receiver(world, collected=collected)
    world.clock.advance(OVER_S)
    await world.start("FR")
    await until_shown(world, lost[1])
    await is_whole(world)
    await world.cosigned("US", "FR")

    found = await reconciled(world, tmp_path)
    assert found.is_reconciled, found.differences
    (direction,) = [item for item in found.directions if "us.gateway" in item.origin]
    assert direction.messages == direction.received == len([*before, *lost])
    assert dict(direction.refused) == {}


# --- a peer of an earlier release ------------------------------------------------------------


@pytest.mark.parametrize("has_box", [False, True])
async def test_a_receiver_of_an_earlier_release_takes_nothing_back_that_it_received(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_box: bool
) -> None:
    message_id = await (with_boxes(world, monkeypatch) if has_box else without_boxes(world))
    first = await row(world, message_id)
    await of_an_earlier_release(monkeypatch)
    world.clock.advance(OVER_S)
    await world.start("FR")
    await world.until(lambda: conflicts(world), bool)
    await is_whole(world)

    kept = await row(world, message_id)
    assert (kept.state, kept.exception) == (State.RECEIVED, None)
    assert (kept.log_index, kept.receipt_index) == (first.log_index, first.receipt_index)
    assert await voids(world) == []
    data = await world.node("US").evidence.prove(world.principal("US"), message_id, disclose=False)
    assert judged(data).headline.endswith(f": {WHOLE}")
    # Auditors are told as well.
    found = await reconciled(world, tmp_path)
    assert not found.is_reconciled


async def test_a_sender_of_an_earlier_release_gets_the_receipt_that_it_had(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ships what it has boxes for, and that is received again."""
    message_id = await with_boxes(world, monkeypatch)
    monkeypatch.setattr(SqlOutbox, "taken_back", lambda *_: [])
    world.clock.advance(OVER_S)
    await world.start("FR")

    await until_shown(world, message_id)
    await is_whole(world)


# --- a later generation ----------------------------------------------------------------------


async def test_what_waits_again_is_received_in_the_next_generation(world: World) -> None:
    message_id = await waiting_again(world)
    await freeze_both(world)
    world.reconnect("US")
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)

    await until_shown(world, message_id)
    assert await voids(world) == []
    await is_whole(world)
