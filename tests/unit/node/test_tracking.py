"""What an agency learns of its messages: its own alone, each step with its proof."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.node.inbox import NotFoundError
from gateway.node.tracking import TooLateError, Tracking
from gateway.ports import MessageRow
from tests.messages import INVESTIGATORS
from tests.world import World


def tracking(world: World) -> Tracking:
    return world.node("US").tracking


async def test_another_agencys_message_is_as_unknown_as_none(world: World) -> None:
    message_id = await world.send("US")
    stranger = world.principal("US", INVESTIGATORS["US"])

    for principal, asked in ((stranger, message_id), (world.principal("US"), bytes(16))):
        with pytest.raises(NotFoundError):
            await tracking(world).status(principal, asked)
        with pytest.raises(NotFoundError):
            await tracking(world).withdraw(principal, asked)
        with pytest.raises(NotFoundError):
            await world.node("US").conversations.read(principal, asked)
    assert await tracking(world).listing(stranger, after=0, limit=10) == []


async def test_own_messages_are_listed_newest_first(world: World) -> None:
    ids = [await world.send("US") for _ in range(3)]
    principal = world.principal("US")

    rows = await tracking(world).listing(principal, after=0, limit=2)
    rest = await tracking(world).listing(principal, after=rows[-1].number, limit=2)

    assert [row.message_id for row in (*rows, *rest)] == ids[::-1]


async def test_a_message_that_was_sent_cannot_be_withdrawn(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")

    with pytest.raises(TooLateError):
        await tracking(world).withdraw(world.principal("US"), message_id)


async def test_whoever_watches_is_woken_when_a_message_moves(world: World) -> None:
    await world.settle()
    watching = asyncio.create_task(tracking(world).until_moved(600))
    await asyncio.sleep(0.02)

    await world.send("US")

    await asyncio.wait_for(watching, 20)


async def test_every_step_names_the_log_and_the_place_that_prove_it(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    await world.until_state("US", message_id, "collected")
    pair = world.sides["US"].keyring.pair

    timeline = (await tracking(world).status(world.principal("US"), message_id)).timeline

    assert [(event.event, event.origin) for event in timeline] == [
        ("accepted", pair.audit_origin),
        ("sent", pair.exchange_origin),
        ("delivered", pair.exchange_origin),
        ("received", pair.peer_origin),
        ("collected", pair.peer_origin),
    ]
    assert all(event.index is not None for event in timeline)


# --- how a message ended, from its row alone ------------------------------------------------


async def row_of(world: World) -> MessageRow:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    return (await tracking(world).status(world.principal("US"), message_id)).row


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "received": ({}, ["accepted", "sent", "delivered", "received"]),
    "refused by a rule": (
        {"state": State.REFUSED, "exception": ExceptionCode.RULE},
        ["accepted", "sent", "delivered", "refused"],
    ),
    "refused with a code of a later version": (
        {"state": State.REFUSED, "exception": 99},
        ["accepted", "sent", "delivered", "refused"],
    ),
    "lost once too often": (
        {"state": State.REFUSED, "exception": ExceptionCode.CONTENT_LOST},
        ["accepted", "sent", "delivered", "refused"],
    ),
    "expired on its way": (
        {"state": State.EXPIRED, "exception": ExceptionCode.EXPIRED},
        ["accepted", "sent", "delivered", "expired"],
    ),
    "erased before it arrived": (
        {"state": State.ERASED, "exception": ExceptionCode.ERASED},
        ["accepted", "sent", "delivered", "erased"],
    ),
    "refused and erased since": (
        {"state": State.ERASED, "exception": ExceptionCode.RULE},
        ["accepted", "sent", "delivered", "refused"],
    ),
    "waiting to be sent once more": (
        {"state": State.ACCEPTED, "exception": ExceptionCode.CONTENT_LOST, "log_index": None},
        ["accepted", "accepted"],
    ),
    "sent once more": (
        {"state": State.SENT, "exception": ExceptionCode.KEM_KEY_GONE, "delivered_ms": None},
        ["accepted", "accepted", "sent"],
    ),
    "withdrawn before it was sent once more": (
        {"state": State.WITHDRAWN, "exception": ExceptionCode.CONTENT_LOST, "log_index": None},
        ["accepted", "withdrawn"],
    ),
    "expired before it was sent": (
        {
            "state": State.EXPIRED,
            "log_index": None,
            "sent_ms": None,
            "delivered_ms": None,
            "receipt_index": None,
        },
        ["accepted", "expired"],
    ),
    "sent": (
        {"state": State.SENT, "delivered_ms": None, "decided_ms": None, "receipt_index": None},
        ["accepted", "sent"],
    ),
}


async def test_a_timeline_says_how_a_message_went_in_every_case(world: World) -> None:
    row = await row_of(world)

    for name, (changes, expected) in CASES.items():
        timeline = tracking(world)._timeline(replace(row, **changes), [])
        assert [event.event for event in timeline] == expected, name
        ended_here = {"withdrawn before it was sent once more", "expired before it was sent"}
        if name in ended_here:
            assert (timeline[-1].origin, timeline[-1].index) == (None, None)
