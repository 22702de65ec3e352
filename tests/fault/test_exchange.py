"""Two nodes exchange messages when nothing is broken; the ground that the faults stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.errors import UnavailableError
from gateway.node import intake, owing, vouching
from gateway.node.courier import CourierConfig
from tests.world import AGENCIES, World


async def test_a_message_is_received_and_both_logs_hold_it(world: World) -> None:
    message_id = await world.send("US")

    await world.until_state("US", message_id, "received")
    await world.settle()

    assert await world.received("FR") == [message_id]
    await world.check()


async def test_a_receipt_leaves_before_its_bundle_is_cosigned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is: the bundle of the receipt is made at once, and is there in time.
    monkeypatch.setattr(intake, "RECEIPT_FIRST_S", 600.0)
    async with World(tmp_path, config=CourierConfig(pace_ms=0)) as world:
        await world.settle()
        unanswered: list[int] = []

        def look(_: bytes) -> None:
            unanswered.append(world.sides["US"].faults.in_flight)

        world.sides["FR"].faults.refuse = look
        message_id = await world.send("US")
        await world.until_state("US", message_id, "received")

        assert unanswered[0] == 1
        await world.settle()
        await world.check()


async def test_who_waits_for_an_inbox_is_woken_after_the_receipt_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "RECEIPT_FIRST_S", 600.0)
    async with World(tmp_path, config=CourierConfig(pace_ms=0)) as world:
        await world.settle()
        inbox = world.node("FR").inbox
        waiting = asyncio.create_task(inbox.page(world.principal("FR"), wait_s=600))
        woken: list[bool] = []

        def look(_: bytes) -> None:
            woken.append(waiting.done())

        world.sides["FR"].faults.refuse = look
        message_id = await world.send("US")

        assert [item.row.message_id for item in await waiting] == [message_id]
        assert woken[0] is False
        await world.settle()


async def test_bundles_in_a_row_are_cosigned_together_and_the_last_one_soon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.settle()
    monkeypatch.setattr(vouching, "BETWEEN_S", 600.0)
    first = await world.send("US")
    await world.until_state("US", first, "received")
    await world.until(lambda: cosigned_size(world), lambda size: size > 0)
    before, asked = await cosigned_size(world), len(world.sides["US"].faults.asked)
    monkeypatch.setattr(owing, "ASK_AFTER_S", 600.0)

    for _ in range(3):
        message_id = await world.send("US")
        await world.until_state("US", message_id, "received")

    assert await cosigned_size(world) == before
    assert world.sides["US"].faults.asked[asked:].count("view") == 0
    # The next one after that time brings it for all of them.
    world.clock.advance(600)
    message_id = await world.send("US")
    await world.until(lambda: cosigned_size(world), lambda size: size >= before + 4)
    # And where none comes, it is asked for.
    monkeypatch.setattr(owing, "ASK_AFTER_S", 0.15)
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    await world.until(lambda: cosigned_size(world), lambda size: size >= before + 5)
    await world.check()


async def test_what_is_owed_comes_with_the_answer_to_whatever_is_shipped_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await owed(world, monkeypatch)
    monkeypatch.setattr(owing, "ASK_AFTER_S", 600.0)
    asked = len(world.sides["US"].faults.asked)

    world.clock.advance(30)
    # Its receipt travels in a bundle without messages.
    message_id = await world.send("FR")
    await world.until_state("FR", message_id, "received")

    await world.until(lambda: cosigned_size(world), lambda size: size >= before + 2)
    assert world.sides["US"].faults.asked[asked:].count("view") == 0


async def test_what_is_owed_is_asked_for_while_bundles_are_in_flight(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await owed(world, monkeypatch)
    faults = world.sides["US"].faults
    faults.gate = asyncio.Event()
    await world.send("FR")
    await world.until(in_flight(world), lambda count: count > 0)

    await world.until(lambda: cosigned_size(world), lambda size: size >= before + 1)
    assert faults.in_flight > 0
    faults.gate.set()
    await world.settle()
    await world.check()


async def owed(world: World, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the French node take a message that it does not cosign; return how much it has cosigned."""
    await world.settle()
    first = await world.send("US")
    await world.until_state("US", first, "received")
    await world.cosigned("US")
    monkeypatch.setattr(vouching, "BETWEEN_S", 20.0)
    world.clock.advance(1)
    for _ in range(2):
        message_id = await world.send("US")
        await world.until_state("US", message_id, "received")
    return await cosigned_size(world)


def in_flight(world: World) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return world.sides["US"].faults.in_flight

    return count


async def cosigned_size(world: World) -> int:
    """Return how much of the American log the French node has cosigned, as the former knows it."""
    store, origin = world.sides["US"].store, world.exchange_origin("US")
    assert store is not None
    note = await store.read(lambda tx: tx.logs.newest_note(origin, cosigned=True))
    return 0 if note is None else note.size


async def test_a_node_that_cannot_send_its_receipt_cosigns_and_shows_all_the_same(world: World) -> None:
    await world.settle()
    world.sides["FR"].faults.refuse = lambda _: UnavailableError("the way back is closed")
    waiting = asyncio.create_task(world.node("FR").inbox.page(world.principal("FR"), wait_s=600))

    message_id = await world.send("US")
    await world.until_state("US", message_id, "delivered")
    assert [item.row.message_id for item in await waiting] == [message_id]

    world.sides["FR"].faults.refuse = None
    await world.until_state("US", message_id, "received")


async def test_an_acknowledgement_makes_the_message_collected_at_the_sender(world: World) -> None:
    message_id = await world.send("FR")
    await world.until_state("FR", message_id, "received")

    await world.node("US").inbox.acknowledge(world.principal("US"), message_id)

    await world.until_state("FR", message_id, "collected")
    tracked = await world.node("FR").tracking.status(world.principal("FR"), message_id)
    assert [event.event for event in tracked.timeline] == [
        "accepted",
        "sent",
        "delivered",
        "received",
        "collected",
    ]
    assert tracked.timeline[-1].agency == AGENCIES["US"]
    assert all(event.index is not None for event in tracked.timeline)


async def test_messages_cross_in_both_directions_at_once(world: World) -> None:
    american = await world.send_many("US", 40)
    french = await world.send_many("FR", 40)

    for nation, ids in (("US", american), ("FR", french)):
        for message_id in ids:
            await world.until_state(nation, message_id, "received")
    await world.settle()

    assert sorted(await world.received("FR")) == sorted(american)
    assert sorted(await world.received("US")) == sorted(french)
    await world.check()


async def test_a_repeated_post_gets_the_first_answer(world: World) -> None:
    document = world.draft("US")

    first = await world.post("US", document, key="key-1")
    second = await world.post("US", document, key="key-1")

    assert second.message_id == first.message_id
    assert second.message == first.message
    await world.until_state("US", first.message_id, "received")
    assert await world.received("FR") == [first.message_id]


async def test_a_message_in_a_backlog_is_overtaken_by_a_flash(world: World) -> None:
    world.sides["US"].faults.unreachable = True
    backlog = await world.send_many("US", 300)
    flash = await world.send("US", precedence="FLASH")
    world.sides["US"].faults.unreachable = False

    for message_id in (*backlog, flash):
        await world.until_state("US", message_id, "received")

    assert (await world.received("FR"))[0] == flash


async def test_an_expired_message_is_not_delivered_late(world: World) -> None:
    world.sides["US"].faults.unreachable = True
    message_id = await world.send("US")

    world.clock.advance(31 * 86_400)

    await world.until_state("US", message_id, "expired")
    world.sides["US"].faults.unreachable = False
    await world.settle()
    assert await world.received("FR") == []


async def test_a_withdrawn_message_is_not_sent_and_its_number_is_void(world: World) -> None:
    world.sides["US"].faults.unreachable = True
    message_id = await world.send("US")

    await world.node("US").tracking.withdraw(world.principal("US"), message_id)

    world.sides["US"].faults.unreachable = False
    follow_up = await world.send("US")
    await world.until_state("US", follow_up, "received")
    assert await world.state("US", message_id) == "withdrawn"
    assert await world.received("FR") == [follow_up]


async def test_kem_keys_rotate_daily_and_the_old_one_is_destroyed_once_the_new_one_is_used(
    world: World,
) -> None:
    first = await world.send("US")
    await world.until_state("US", first, "received")
    (before,) = world.sides["FR"].keyring.kem_keys()

    world.clock.advance(86_401)
    await world.until(_kem_keys(world), lambda keys: len(keys) == 2)
    await world.until(_sealed_for(world), lambda key_id: key_id not in {None, before})
    second = await world.send("US")
    await world.until_state("US", second, "received")

    await world.until(_kem_keys(world), lambda keys: len(keys) == 1 and before not in keys)
    assert await world.received("FR") == [first, second]


def _sealed_for(world: World):  # type: ignore[no-untyped-def]  # noqa: ANN202
    async def ask() -> bytes | None:
        key = world.node("US")._sequencer.peer_key
        return None if key is None else key.key_id

    return ask


def _kem_keys(world: World):  # type: ignore[no-untyped-def]  # noqa: ANN202
    async def ask() -> set[bytes]:
        return set(world.sides["FR"].keyring.kem_keys())

    return ask
