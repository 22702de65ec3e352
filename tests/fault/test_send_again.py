"""What the receiver could not open is sent once more: same content, new box, new entry."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.bundle import decode_bundle
from gateway.core.entries import KemKeyEntry, MessageEntry, ReceiptEntry, ReceiptException, VoidEntry
from gateway.core.envelope import decode_header
from gateway.core.receipt import MAX_SENDINGS, ExceptionCode
from gateway.errors import UnavailableError
from gateway.node.tracking import Tracked
from gateway.ports import Step, Transaction
from tests.world import World

DAY_S = 86_400


def lose_boxes(world: World, times: int) -> None:
    """Take the key boxes out of the next bundles with messages of the American node."""
    left = times

    def tamper(data: bytes) -> bytes:
        nonlocal left
        bundle = decode_bundle(data)
        if not bundle.boxes or left == 0:
            return data
        left -= 1
        return replace(bundle, boxes=()).encode()

    world.sides["US"].faults.tamper = tamper


async def entries_of(world: World, message_id: bytes) -> list[MessageEntry]:
    return [
        entry
        for entry in await world.log("US")
        if isinstance(entry, MessageEntry) and decode_header(entry.header).message_id == message_id
    ]


async def exceptions(world: World) -> list[int]:
    receipts = [entry for entry in await world.log("FR") if isinstance(entry, ReceiptEntry)]
    return [item.code for receipt in receipts for item in receipt.exceptions]


async def tracked(world: World, message_id: bytes) -> Tracked:
    return await world.node("US").tracking.status(world.principal("US"), message_id)


async def arrived_once(world: World, message_id: bytes) -> None:
    assert await world.received("FR") == [message_id]
    await world.settle()
    await world.check()


# --- content-lost --------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, MAX_SENDINGS - 1])
async def test_a_message_whose_box_got_lost_is_sent_again_and_received_once(world: World, times: int) -> None:
    await world.settle()
    lose_boxes(world, times)

    message_id = await world.send("US")

    await world.until_state("US", message_id, "received")
    await arrived_once(world, message_id)
    sent = await entries_of(world, message_id)
    assert len(sent) == times + 1
    assert len({entry.header for entry in sent}) == 1
    assert len({(entry.ciphertext_digest, entry.ciphertext_bytes) for entry in sent}) == 1
    assert len({entry.box_digest for entry in sent}) == times + 1
    assert len({entry.bundle_id for entry in sent}) == times + 1
    assert await exceptions(world) == [ExceptionCode.CONTENT_LOST] * times
    found = await tracked(world, message_id)
    assert (found.row.sendings, found.row.exception) == (times + 1, None)
    assert [event.event for event in found.timeline] == ["accepted", "sent", "delivered", "received"]


async def test_a_message_that_is_lost_a_fourth_time_is_refused_and_its_number_void(world: World) -> None:
    await world.settle()
    lose_boxes(world, 100)

    message_id = await world.send("US")

    await world.until_state("US", message_id, "refused")
    assert len(await entries_of(world, message_id)) == MAX_SENDINGS
    assert await exceptions(world) == [ExceptionCode.CONTENT_LOST] * MAX_SENDINGS
    found = await tracked(world, message_id)
    assert found.row.exception == ExceptionCode.CONTENT_LOST
    assert [event.event for event in found.timeline] == ["accepted", "sent", "delivered", "refused"]
    log = await world.until(lambda: world.log("US"), lambda log: isinstance(log[-1], VoidEntry))
    void = log[-1]
    assert isinstance(void, VoidEntry)
    assert (void.conversation_id, void.numbers) == (message_id, (1,))
    await world.settle()
    assert await world.received("FR") == []
    await world.check()


async def test_one_lost_box_concerns_all_messages_of_its_bundle_and_none_of_another(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    lost = await world.send_many("US", 3)
    lose_boxes(world, 1)
    world.reconnect("US")
    for message_id in lost:
        await world.until_state("US", message_id, "received")
    other = await world.send("US")
    await world.until_state("US", other, "received")

    assert await world.received("FR") == [*lost, other]
    assert [len(await entries_of(world, message_id)) for message_id in (*lost, other)] == [2, 2, 2, 1]
    await world.check()


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", [Step.MIRRORED, Step.SEQUENCED, Step.SIGNED, Step.DELIVERED])
async def test_a_crash_of_the_sender_while_it_sends_again_loses_and_repeats_nothing(
    world: World, step: Step, *, persisted: bool
) -> None:
    await world.settle()
    lose_boxes(world, 1)
    # The first sending is over before the write that breaks, but for the receipt.
    world.break_write("US", step, persisted=persisted, skip=0 if step is Step.MIRRORED else 1)

    message_id = await world.send("US")
    await world.until_crashed("US")
    await world.restart("US")

    await world.until_state("US", message_id, "received")
    await arrived_once(world, message_id)


# --- between two sendings --------------------------------------------------------------------


async def returned(world: World) -> bytes:
    """Return a message that has come back, at a node whose peer is away."""
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")
    lose_boxes(world, 1)
    # Only the receiver may call: what the sender would send next stays where it is.
    posts = iter([None])
    faults = world.sides["US"].faults
    faults.refuse = lambda _: next(posts, UnavailableError("gone"))
    world.reconnect("US")

    async def is_back() -> bool:
        found = await tracked(world, message_id)
        return found.row.exception is not None and found.row.state.label in {"accepted", "sent"}

    await world.until(is_back, lambda back: back)
    return message_id


async def test_the_way_of_a_message_that_came_back_says_so(world: World) -> None:
    message_id = await returned(world)

    found = await tracked(world, message_id)

    assert [event.event for event in found.timeline][:2] == ["accepted", "accepted"]
    assert found.timeline[1].origin == world.sides["FR"].keyring.pair.exchange_origin
    assert found.row.exception == ExceptionCode.CONTENT_LOST
    assert "delivered" not in [event.event for event in found.timeline]
    world.sides["US"].faults.refuse = None
    await world.until_state("US", message_id, "received")
    await arrived_once(world, message_id)


async def test_a_message_that_came_back_keeps_its_content_over_a_restart(world: World) -> None:
    message_id = await returned(world)
    await world.restart("US")
    world.sides["US"].faults.refuse = None

    await world.until_state("US", message_id, "received")
    await arrived_once(world, message_id)


# --- kem-key-gone ----------------------------------------------------------------------------


async def test_a_receiver_that_lost_its_key_announces_another_and_gets_the_message_again(
    world: World,
) -> None:
    await world.settle()
    keyring = world.sides["FR"].keyring
    (lost,) = keyring.kem_keys()
    keyring.destroy_kem_key(lost)

    message_id = await world.send("US")

    await world.until_state("US", message_id, "received")
    await arrived_once(world, message_id)
    sent = await entries_of(world, message_id)
    assert 2 <= len(sent) <= MAX_SENDINGS
    assert sent[0].kem_key_id == lost
    assert sent[-1].kem_key_id != lost
    assert set(await exceptions(world)) == {ExceptionCode.KEM_KEY_GONE}
    announced = [entry.key_id for entry in await world.log("FR") if isinstance(entry, KemKeyEntry)]
    assert announced == [lost, sent[-1].kem_key_id]


async def test_a_sender_that_was_away_for_longer_than_a_key_lives_is_asked_to_send_again(
    world: World,
) -> None:
    await world.settle()
    await world.stop("US")
    for _ in range(9):
        before = set(world.sides["FR"].keyring.kem_keys())
        world.clock.advance(DAY_S + 1)
        await world.until(_kem_keys(world), lambda keys, old=before: bool(keys - old))  # type: ignore[misc]
    await world.start("US")

    message_id = await world.send("US")

    await world.until_state("US", message_id, "received")
    await arrived_once(world, message_id)
    sent = await entries_of(world, message_id)
    assert len(sent) <= MAX_SENDINGS
    assert sent[-1].kem_key_id in world.sides["FR"].keyring.kem_keys()


def _kem_keys(world: World) -> Any:
    async def ask() -> set[bytes]:
        # Housekeeping looks once a second.
        world.clock.advance(1.1)
        await asyncio.sleep(0.02)
        return set(world.sides["FR"].keyring.kem_keys())

    return ask


# --- a code of a later version ---------------------------------------------------------------


async def test_an_exception_that_this_version_does_not_know_is_a_refusal_and_no_receipt(
    world: World,
) -> None:
    await world.settle()
    faults = world.sides["FR"].faults
    faults.refuse = lambda _: UnavailableError("gone")
    faults.refuse_question = lambda _: UnavailableError("gone")
    world.clock.advance(61)
    await world.until(_reachable(world, "FR"), lambda reachable: not reachable)
    message_id = await world.send("US")
    await world.until_state("US", message_id, "delivered")
    store = world.sides["FR"].store
    assert store is not None

    def foresee(tx: Transaction) -> None:
        (due,) = tx.inbox.due_receipts(limit=10)
        index = due.start + due.count - 1
        unknown = ReceiptException(index=index, code=99, rule=None)
        tx.inbox.put_receipt_due(replace(due, exceptions=(unknown,)))

    await store.write(Step.AUDITED, foresee)
    faults.refuse = faults.refuse_question = None

    await world.until_state("US", message_id, "refused")
    assert (await tracked(world, message_id)).row.exception == 99


def _reachable(world: World, nation: str) -> Any:
    async def ask() -> bool:
        return (await world.node(nation).health()).reachable

    return ask
