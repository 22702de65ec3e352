"""What tests of the courier ask of a world of two nodes, and post to it."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.core.states import State
from gateway.errors import GatewayError
from gateway.node.health import Health
from gateway.node.posts import Submission
from tests.messages import INVESTIGATORS, intelligence
from tests.world import World


async def health(world: World, nation: str) -> Health:
    return await world.node(nation).health()


async def posted(world: World, nation: str) -> int:
    return len(world.sides[nation].faults.posted)


async def ready(value: int) -> int:
    return value


async def count(world: World, nation: str, state: State) -> int:
    store = world.sides[nation].store
    assert store is not None
    return await store.read(lambda tx: tx.outbox.count(state))


async def inbox(world: World, nation: str) -> list[bytes]:
    """Return the ids that arrived for the investigators, in the order in which they did."""
    return await world.received(nation, INVESTIGATORS[nation])


async def post_many(world: World, nation: str, number: int, **header: Any) -> list[bytes]:
    """Post intelligence of a precedence, in batches, and return the ids."""
    agency = INVESTIGATORS[nation]
    ids: list[bytes] = []
    while len(ids) < number:
        bodies = [
            Submission(body=orjson.dumps(intelligence(nation, **header)))
            for _ in range(min(500, number - len(ids)))
        ]
        outcomes = await world.node(nation).admission.submit(world.principal(nation, agency), bodies)
        for outcome in outcomes:
            assert not isinstance(outcome, GatewayError), outcome
            ids.append(outcome.message_id)
    return ids


async def one_by_one(world: World, nation: str, number: int, *, urgent: bool = True) -> list[bytes]:
    """Send messages so that each leaves in a bundle of its own."""
    ids = []
    for _ in range(number):
        before = await posted(world, nation)
        ids += [await world.send(nation)] if urgent else await post_many(world, nation, 1)
        await world.until(lambda: posted(world, nation), lambda found, more=before: found > more)  # type: ignore[misc]
    return ids
