"""The courier ships in order, whatever happens on the way, and counts only what its peer has signed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.bundle import decode_bundle
from gateway.core.entries import MessageEntry
from gateway.core.note import NoteSignature, format_note, parse_note
from gateway.errors import GatewayError, PeerConflictError, UnavailableError
from gateway.node.window import MAX_IN_FLIGHT
from gateway.ports import Transaction
from tests.couriers import one_by_one
from tests.world import World

# --- order -------------------------------------------------------------------------------------------


async def test_a_conflict_takes_the_courier_back_to_the_size_that_the_peer_holds(world: World) -> None:
    first = await world.send("US")
    await world.until_state("US", first, "received")
    await world.settle()
    conflicts = iter([PeerConflictError(3), PeerConflictError(0)])
    world.sides["US"].faults.refuse = lambda _: next(conflicts, None)

    second = await world.send("US")

    await world.until_state("US", second, "received")
    assert await world.received("FR") == [first, second]
    assert next(conflicts, None) is None
    await world.settle()
    await world.check()


async def test_at_most_four_bundles_are_under_way_and_the_rest_waits_outside_the_log(world: World) -> None:
    await world.settle()
    faults = world.sides["US"].faults
    faults.gate = asyncio.Event()
    faults.most_in_flight = 0
    flying = await one_by_one(world, "US", MAX_IN_FLIGHT)

    waiting = [await world.send("US") for _ in range(3)]
    await asyncio.sleep(0.2)

    assert faults.in_flight == MAX_IN_FLIGHT
    assert [await world.state("US", message_id) for message_id in flying] == ["sent"] * MAX_IN_FLIGHT
    assert [await world.state("US", message_id) for message_id in waiting] == ["accepted"] * 3
    faults.gate.set()
    for message_id in (*flying, *waiting):
        await world.until_state("US", message_id, "received")
    assert faults.most_in_flight == MAX_IN_FLIGHT
    assert await world.received("FR") == [*flying, *waiting]


async def test_a_lost_bundle_and_all_behind_it_are_sent_again_in_order(world: World) -> None:
    await world.settle()
    faults = world.sides["US"].faults
    faults.gate = asyncio.Event()
    starts: list[int] = []

    def lose_the_second(bundle: bytes) -> GatewayError | None:
        starts.append(decode_bundle(bundle).start)
        return UnavailableError("lost") if len(starts) == 2 else None

    faults.refuse = lose_the_second
    ids = await one_by_one(world, "US", 3)
    faults.gate.set()

    for message_id in ids:
        await world.until_state("US", message_id, "received")
    assert await world.received("FR") == ids
    again = Counter(starts)
    assert again[starts[1]] == 2
    await world.settle()
    await world.check()


async def test_bundles_that_are_lost_again_and_again_arrive_once_and_in_order(world: World) -> None:
    await world.settle()
    chance = random.Random(7)  # noqa: S311 - which bundle is lost
    world.sides["US"].faults.refuse = lambda _: UnavailableError("lost") if chance.random() < 0.5 else None

    ids = [await world.send("US") for _ in range(25)]

    for message_id in ids:
        await world.until_state("US", message_id, "received")
    assert await world.received("FR") == ids
    await world.settle()
    await world.check()


async def test_answers_that_are_lost_again_and_again_repeat_nothing(world: World) -> None:
    await world.settle()
    chance = random.Random(8)  # noqa: S311 - which answer is lost
    faults = world.sides["US"].faults
    ids = []
    for _ in range(25):
        faults.lose_answers = chance.random() < 0.5
        ids.append(await world.send("US"))
    faults.lose_answers = False

    for message_id in ids:
        await world.until_state("US", message_id, "received")
    assert await world.received("FR") == ids
    assert len([e for e in await world.log("US") if isinstance(e, MessageEntry)]) == len(ids)
    await world.check()


# --- what a bundle is answered with ------------------------------------------------------------------


def with_flipped_bit(line: int) -> Callable[[bytes], bytes]:
    """Return what alters the signature in one line of a note."""

    def alter(note: bytes) -> bytes:
        signed = parse_note(note)
        lines = list(signed.signatures)
        blob = lines[line].blob
        lines[line] = replace(lines[line], blob=blob[:-1] + bytes((blob[-1] ^ 1,)))
        return format_note(signed.text, lines)

    return alter


def with_line_twice(line: int) -> Callable[[bytes], bytes]:
    """Return what adds a second line of a key to a note."""

    def alter(note: bytes) -> bytes:
        signed = parse_note(note)
        return format_note(signed.text, (*signed.signatures, signed.signatures[line]))

    return alter


def with_line_of_a_stranger(note: bytes) -> bytes:
    signed = parse_note(note)
    stranger = NoteSignature(name="stranger.test", key_id=bytes(4), blob=b"unknown")
    return format_note(signed.text, (*signed.signatures, stranger))


async def newest_cosigned(world: World, nation: str) -> bytes:
    """Return the cosigned note of a whole log, once it is recorded: that may wait a little."""
    store, origin = world.sides[nation].store, world.exchange_origin(nation)
    assert store is not None

    def find(tx: Transaction) -> bytes | None:
        head, newest = tx.logs.head(origin), tx.logs.newest_note(origin, cosigned=True)
        is_whole = head is not None and newest is not None and newest.size == head.size
        return newest.note if newest is not None and is_whole else None

    note = await world.until(lambda: store.read(find), lambda found: found is not None)
    assert note is not None
    return note


@pytest.mark.parametrize(
    "alter",
    [*map(with_flipped_bit, range(4)), with_line_twice(0), with_line_twice(3)],
    ids=["own-classical", "own-post-quantum", "classical", "post-quantum", "own-twice", "twice"],
)
async def test_a_cosigned_note_with_a_wrong_line_delivers_nothing_and_the_peer_is_asked(
    world: World, alter: Callable[[bytes], bytes]
) -> None:
    await world.settle()
    faults = world.sides["US"].faults
    faults.alter_cosigned = alter
    questions = faults.asked.count("view")

    message_id = await world.send("US")

    async def asked() -> int:
        return faults.asked.count("view")

    await world.until(asked, lambda count: count > questions)
    await world.until_state("US", message_id, "received")
    await world.settle()
    assert len(parse_note(await newest_cosigned(world, "US")).signatures) == 4
    await world.check()


async def test_lines_of_strangers_do_not_keep_a_cosigned_note_from_counting(world: World) -> None:
    await world.settle()
    faults = world.sides["US"].faults
    faults.alter_cosigned = with_line_of_a_stranger
    questions = faults.asked.count("view")

    message_id = await world.send("US")

    await world.until_state("US", message_id, "received")
    await world.settle()
    assert len(parse_note(await newest_cosigned(world, "US")).signatures) == 5
    assert faults.asked.count("view") == questions
