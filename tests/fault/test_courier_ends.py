"""Messages that wait, and those that end before they are sent: nothing is given up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.core.entries import MessageEntry, VoidEntry, decode_entry
from gateway.core.envelope import decode_header
from gateway.core.states import State
from gateway.node.health import Phase
from gateway.node.patience import Breaker
from gateway.node.tracking import TooLateError
from gateway.ports import Step, Transaction
from tests.couriers import count, health, one_by_one, post_many, posted
from tests.messages import INVESTIGATORS
from tests.world import World

# --- a frozen pair, expiry, withdrawal ---------------------------------------------------------------


async def test_while_the_peer_has_frozen_the_pair_the_outbox_accepts(world: World) -> None:
    await world.settle()
    store = world.sides["FR"].store
    assert store is not None

    def freeze(tx: Transaction) -> None:
        tx.facts.put("frozen", "for a test")

    await store.write(Step.AUDITED, freeze)
    await world.restart("FR")
    await world.until_phase("FR", Phase.FROZEN)
    first = await world.send("US")
    await world.until(lambda: health(world, "US"), lambda found: found.peer is Breaker.FROZEN)
    faults = world.sides["US"].faults
    faults.gate = asyncio.Event()
    await world.until(lambda: _in_flight(world, "US"), lambda flights: flights == 1)

    # Also while the first one is on its way once more, and nobody knows what it will meet.
    second, third = await world.send("US"), await world.send("FR")
    await asyncio.sleep(0.2)
    faults.gate.set()

    assert await world.state("US", first) == "sent"
    assert await world.state("US", second) == "accepted"
    assert await world.state("FR", third) == "accepted"
    assert await world.received("FR") == []


async def _in_flight(world: World, nation: str) -> int:
    return world.sides[nation].faults.in_flight


async def test_a_pair_that_is_frozen_while_the_courier_asks_its_peer_ships_nothing_more(world: World) -> None:
    await world.settle()
    faults = world.sides["US"].faults

    def freeze(question: str, answer: Any) -> Any:
        if question == "view":
            world.node("US")._courier.freeze()
        return answer

    faults.alter_answer = freeze
    before = await posted(world, "US")
    # A courier that has nothing to do asks once a minute.
    world.clock.advance(61)
    await world.until(lambda: health(world, "US"), lambda found: found.peer is Breaker.FROZEN)

    message_id = await world.send("US")
    # What the other node sends meanwhile arrives: the courier would have had the time.
    await world.send("FR")
    await world.until(lambda: world.received("US"), bool)

    assert (await health(world, "US")).peer is Breaker.FROZEN
    assert await posted(world, "US") == before
    assert await world.state("US", message_id) == "accepted"


async def test_a_message_that_arrives_after_its_time_is_expired_by_its_receipt_alone(world: World) -> None:
    await world.settle()
    faults = world.sides["US"].faults
    faults.gate = asyncio.Event()
    (message_id,) = await one_by_one(world, "US", 1)

    world.clock.advance(31 * 86_400)
    await asyncio.sleep(0.1)
    assert await world.state("US", message_id) == "sent", "only the receipt decides now"
    faults.gate.set()

    await world.until_state("US", message_id, "expired")
    assert await world.received("FR") == []
    tracked = await world.node("US").tracking.status(world.principal("US"), message_id)
    assert [event.event for event in tracked.timeline] == ["accepted", "sent", "delivered", "expired"]
    assert tracked.timeline[-1].origin == world.sides["FR"].keyring.pair.exchange_origin
    await world.until(lambda: world.log("US"), lambda log: isinstance(log[-1], VoidEntry))


async def test_a_message_that_expires_before_it_is_sent_is_never_sent_and_says_so(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")

    world.clock.advance(31 * 86_400)
    await world.until_state("US", message_id, "expired")
    world.reconnect("US")

    (void,) = await world.until(_voids(world, "US"), lambda found: found != [])
    assert void.numbers == (1,)
    tracked = await world.node("US").tracking.status(world.principal("US"), message_id)
    assert [event.event for event in tracked.timeline] == ["accepted", "expired"]
    assert tracked.timeline[-1].origin is None
    await world.settle()
    assert await world.received("FR") == []


def _voids(world: World, nation: str) -> Any:
    async def ask() -> list[VoidEntry]:
        return [entry for entry in await world.log(nation) if isinstance(entry, VoidEntry)]

    return ask


async def test_a_withdrawal_wins_or_comes_too_late_and_nothing_lies_between(world: World) -> None:
    await world.settle()
    chance = random.Random(9)  # noqa: S311 - how long each withdrawal waits
    tracking, principal = world.node("US").tracking, world.principal("US")

    async def send_and_withdraw() -> tuple[bytes, bool]:
        message_id = await world.send("US")
        await asyncio.sleep(chance.random() * 0.004)
        try:
            await tracking.withdraw(principal, message_id)
        except TooLateError:
            return message_id, False
        return message_id, True

    outcomes = await asyncio.gather(*(send_and_withdraw() for _ in range(60)))

    withdrawn = [message_id for message_id, is_withdrawn in outcomes if is_withdrawn]
    sent = [message_id for message_id, is_withdrawn in outcomes if not is_withdrawn]
    for message_id in sent:
        await world.until_state("US", message_id, "received")
    await world.until(_voids(world, "US"), lambda found: len(found) == len(withdrawn))
    assert sorted(await world.received("FR")) == sorted(sent)
    assert {await world.state("US", message_id) for message_id in withdrawn} <= {"withdrawn"}
    await world.settle()
    await world.check()


async def test_a_second_withdrawal_returns_the_time_of_the_first(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")
    tracking, principal = world.node("US").tracking, world.principal("US")
    first = await tracking.withdraw(principal, message_id)
    world.clock.advance(10)

    assert await tracking.withdraw(principal, message_id) == first
    tracked = await tracking.status(principal, message_id)
    assert [(event.event, event.at_ms) for event in tracked.timeline][1:] == [("withdrawn", first)]


# --- backlog -----------------------------------------------------------------------------------------


PAGE_BYTES = 4_096


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


SMALL, LARGE = 10_000, 100_000


@pytest.mark.parametrize("number", [SMALL, pytest.param(LARGE, marks=[pytest.mark.slow])])
async def test_a_backlog_costs_disk_and_drains_in_order_of_precedence(world: World, number: int) -> None:
    await world.settle()
    # Caches, pools and code paths fill up with the first messages, in both directions.
    warm = await post_many(world, "US", 1_500)
    await world.until_state("US", warm[-1], "received", agency=INVESTIGATORS["US"])
    world.sides["US"].faults.keep_posted = False
    await world.cut_off("US")
    before = resident_bytes()

    routine = await post_many(world, "US", number - number // 10)
    priority = await post_many(world, "US", number // 10, precedence="PRIORITY")
    waiting = resident_bytes()
    flash = await world.send("US", precedence="FLASH")
    assert await count(world, "US", State.ACCEPTED) == number + 1
    world.reconnect("US")
    await world.until_state("US", flash, "received")
    left = await count(world, "US", State.ACCEPTED)
    agency = INVESTIGATORS["US"]
    await world.until(
        lambda: world.state("US", routine[-1], agency), lambda label: label == "received", within_s=600
    )
    drained = resident_bytes()

    # The database's page caches fill up: 32 MiB at the sender, then as much at the receiver,
    # and 8 MiB for each reader. The same bounds hold for any number of messages.
    grown = f"{(waiting - before) >> 20} MiB waiting, {(drained - before) >> 20} MiB drained"
    print(f"{number} messages: {grown}")  # noqa: T201 - what was measured; pytest shows it with -rP
    assert waiting - before < 48 * 1024 * 1024
    assert drained - before < 128 * 1024 * 1024
    assert left > number // 2, "the FLASH overtook most of the backlog"
    store = world.sides["FR"].store
    assert store is not None
    origin = world.sides["US"].keyring.pair.exchange_origin
    logged = await store.read(lambda tx: _messages_in(tx, origin))
    assert logged == [*warm, flash, *priority, *routine]
    await world.settle()


def _messages_in(tx: Transaction, origin: str) -> list[bytes]:
    head = tx.logs.head(origin)
    assert head is not None
    found = []
    for start in range(0, head.size, 1_000):
        for data in tx.logs.entries(origin, start, min(start + 1_000, head.size)):
            entry = decode_entry(data)
            if isinstance(entry, MessageEntry):
                found.append(decode_header(entry.header).message_id)
    return found
