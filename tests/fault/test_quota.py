"""A peer that does not keep the quota of a type has what is over it refused, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from gateway.core.entries import ReceiptEntry
from gateway.core.message.instants import time_text
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import rule_number
from gateway.core.message.schedule import Schedule
from gateway.core.receipt import ExceptionCode
from gateway.node.posts import Submission
from gateway.node.refusal import RefusedError
from gateway.node.second_stage import Acceptance
from tests.world import World

LIMIT = 3


def limited(catalogue: Catalogue, limit: int | None) -> Catalogue:
    """Return a catalogue with another quota and the digests of before, as a dishonest node would."""
    query = catalogue.type("match.query/1")
    changed = replace(query, terms=replace(query.terms, daily_limit=limit))
    return replace(catalogue, types={**catalogue.types, query.id: changed})


def query(world: World) -> bytes:
    day = time_text(world.clock.now_ms())[:10].replace("-", "")
    draft: dict[str, Any] = {
        "type": "match.query/1",
        "header": {
            "to": [{"nation": "FR", "agency": "FR.DGDDI.SARC"}],
            "language": "en",
            "precedence": "ROUTINE",
            "purpose": {"code": "CRIMINAL_INVESTIGATION", "areas": ["NARCOTICS"]},
            "data_protection": {
                "contains_personal_data": True,
                "categories": ["PSEUDONYM"],
                "subjects": ["SUSPECT"],
            },
        },
        "payload": {
            "method": "HMAC_SHA256_DAILY",
            "key_id": f"mk-{day}-us",
            "normalisation": "n1",
            "tokens": [{"idx": 0, "field": "PHONE", "token": "A" * 43}],
            "destroy_after_h": 24,
        },
    }
    return orjson.dumps(draft)


async def ask(world: World, count: int) -> list[Any]:
    submissions = [Submission(body=query(world)) for _ in range(count)]
    return list(await world.node("US").admission.submit(world.principal("US"), submissions))


async def have(world: World, nation: str, limit: int | None) -> None:
    world.schedules[nation] = Schedule(catalogue=limited(world.catalogue, limit))
    await world.restart(nation)


async def exceptions(world: World) -> list[tuple[int, int | None]]:
    """Return code and rule of every exception that the French node put into its log."""
    return [
        (exception.code, exception.rule)
        for entry in await world.log("FR")
        if isinstance(entry, ReceiptEntry)
        for exception in entry.exceptions
    ]


async def test_a_node_refuses_what_is_over_the_quota_and_the_peer_takes_the_rest(world: World) -> None:
    await have(world, "US", LIMIT)
    await have(world, "FR", LIMIT)

    # Within one group and over several, before and after a restart.
    first = await ask(world, LIMIT - 1)
    await world.settle()
    await world.restart("US")
    second = await ask(world, 2)
    await world.settle()

    assert [type(item) for item in first + second] == [Acceptance] * LIMIT + [RefusedError]
    assert [(item.rule, item.pointer) for item in second[1].violations] == [("RF-QUOTA", "/type")]
    assert await exceptions(world) == []
    events = [event for event in await world.events("US") if event.event == "message.refused"]
    assert [rule_number("RF-QUOTA") in event.details for event in events] == [True]
    await world.check()


async def test_a_flood_of_a_dishonest_peer_is_refused_by_the_message_and_the_log_goes_on(
    world: World,
) -> None:
    await have(world, "US", None)
    await have(world, "FR", LIMIT)

    outcomes = await ask(world, LIMIT + 4)
    other = await world.send("US")
    await world.settle()

    assert all(isinstance(item, Acceptance) for item in outcomes)
    assert await exceptions(world) == [(int(ExceptionCode.RULE), rule_number("RF-QUOTA"))] * 4
    states = [await world.state("US", item.message_id) for item in outcomes]
    assert states == ["received"] * LIMIT + ["refused"] * 4
    assert await world.state("US", other) == "received"
    await world.check()


async def test_the_next_day_has_a_quota_of_its_own(world: World) -> None:
    await have(world, "US", LIMIT)
    await have(world, "FR", LIMIT)
    assert [type(item) for item in await ask(world, LIMIT + 1)][-1] is RefusedError

    world.clock.advance(86_400)
    assert [type(item) for item in await ask(world, LIMIT)] == [Acceptance] * LIMIT
