"""Idempotency keys are remembered for as long as the configuration says, and then forgotten."""

from __future__ import annotations

import orjson
import pytest

from gateway.core.message.instants import time_text
from gateway.node.refusal import RefusedError
from tests.messages import INVESTIGATORS, intelligence
from tests.world import World

DAY_S = 86_400
AGENCY = INVESTIGATORS["US"]


async def forgotten(world: World, key: str) -> bool:
    """Let the node look at its keys again, and return whether this one is gone."""
    world.clock.advance(3_601)
    store = world.sides["US"].store
    assert store is not None
    return await store.read(lambda tx: tx.facts.idempotent([(AGENCY, key)])) == {}


async def test_a_repeat_gets_the_first_answer_until_the_key_is_forgotten(world: World) -> None:
    document = intelligence("US")
    first = await world.post("US", document, agency=AGENCY, key="k")
    world.clock.advance(29 * DAY_S)
    again = await world.post("US", document, agency=AGENCY, key="k")
    assert again.message_id == first.message_id

    world.clock.advance(2 * DAY_S)
    await world.until(lambda: forgotten(world, "k"), bool)
    fresh = await world.post("US", document, agency=AGENCY, key="k")
    assert fresh.message_id != first.message_id


async def test_a_message_whose_key_is_forgotten_does_not_come_in_again_its_id_tells_its_age(
    world: World,
) -> None:
    first = await world.post("US", world.draft("US"), agency=AGENCY, key="k")
    world.clock.advance(31 * DAY_S)
    await world.until(lambda: forgotten(world, "k"), bool)

    document = orjson.loads(first.message)
    now_ms = world.clock.now_ms()
    document["header"]["created_at"] = time_text(now_ms)
    document["header"]["expires_at"] = time_text(now_ms + DAY_S * 1_000)
    document["header"]["reply_by"] = time_text(now_ms + DAY_S * 500)
    document["payload"]["act_before"] = document["header"]["reply_by"]
    with pytest.raises(RefusedError) as refused:
        await world.post("US", document, agency=AGENCY, key="another")
    assert "H-01" in {violation.rule for violation in refused.value.violations}
