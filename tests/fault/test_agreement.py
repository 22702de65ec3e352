"""Types that both nodes hold alike flow, others are refused by name, and a planned change loses nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.core.entries import AgreementEntry, MessageEntry
from gateway.core.envelope import decode_header
from gateway.core.message.instants import time_text
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Schedule, digests_of
from gateway.node.refusal import RefusedError, TypeNotAgreedError
from tests.catalogues import ADDED, CHANGED, changed_catalogue, minor_catalogue
from tests.messages import intelligence
from tests.world import World, other

HOUR_MS = 3_600_000


async def have(world: World, nation: str, schedule: Schedule) -> None:
    """Start a nation's node again with other catalogues."""
    world.schedules[nation] = schedule
    await world.restart(nation)


async def until_known(world: World, not_agreed: tuple[str, ...]) -> None:
    """Wait until both nodes know how their catalogues compare."""
    for nation in ("FR", "US"):

        async def ask(nation: str = nation) -> tuple[bool, tuple[str, ...]]:
            state = world.node(nation).agreement()
            return state.is_announced, state.not_agreed

        await world.until(ask, lambda found: found == (True, not_agreed))


async def plan_change(world: World, *nations: str, following: Catalogue | None = None) -> int:
    """Let nodes plan a change in an hour; return when that is."""
    change_ms = world.clock.now_ms() + HOUR_MS
    for nation in nations:
        await have(
            world,
            nation,
            Schedule(
                catalogue=world.catalogue, following=following or changed_catalogue(), change_ms=change_ms
            ),
        )
    for nation in nations:
        await until_plans(world, other(nation), 1)
    return change_ms


async def until_plans(world: World, nation: str, count: int) -> None:
    """Wait until a node knows of so many changes that its peer plans."""

    async def ask() -> int:
        return len(world.node(nation).agreement().peer_plans)

    await world.until(ask, lambda found: found == count)


async def digest_sent(world: World, nation: str, message_id: bytes) -> bytes:
    """Return the digest of its type under which a message stands in the log."""
    for entry in await world.log(nation):
        if isinstance(entry, MessageEntry) and decode_header(entry.header).message_id == message_id:
            return decode_header(entry.header).type_digest
    raise AssertionError


async def test_a_type_that_differs_is_refused_by_name_at_both_nodes_and_all_others_flow(
    world: World,
) -> None:
    await have(world, "US", Schedule(catalogue=changed_catalogue()))
    await until_known(world, (CHANGED,))

    for nation in ("FR", "US"):
        with pytest.raises(TypeNotAgreedError) as caught:
            await world.send(nation)
        assert caught.value.type == CHANGED
        assert (await world.node(nation).health()).not_agreed == (CHANGED,)
    sent = await world.post("US", intelligence("US"), agency="US.ICE.HSI")
    await world.until_state("US", sent.message_id, "received", agency="US.ICE.HSI")
    refusals = [event for event in await world.events("US") if event.outcome == "type-not-agreed"]
    assert len(refusals) == 1


async def test_a_type_flows_again_once_both_nodes_hold_the_same(world: World) -> None:
    await have(world, "US", Schedule(catalogue=changed_catalogue()))
    await until_known(world, (CHANGED,))

    await have(world, "FR", Schedule(catalogue=changed_catalogue()))
    await until_known(world, ())

    message_id = await world.send("FR")
    await world.until_state("FR", message_id, "received")


async def test_a_node_that_was_told_nothing_yet_accepts_what_it_knows(world: World) -> None:
    world.sides["US"].faults.unreachable = True
    await world.restart("FR")
    message_id = await world.send("FR")
    world.reconnect("US")
    await world.until_state("FR", message_id, "received")


async def test_a_planned_change_is_announced_with_its_time_and_takes_effect_at_both_nodes(
    world: World,
) -> None:
    change_ms = await plan_change(world, "FR", "US")
    for nation in ("FR", "US"):
        announced = [e for e in await world.log(nation) if isinstance(e, AgreementEntry)]
        assert announced[-1].effective_ms == change_ms
        assert dict(announced[-1].types) == digests_of(changed_catalogue())
    await until_known(world, ())
    before = await world.send("US")
    await world.until_state("US", before, "received")

    world.clock.advance(HOUR_MS / 1_000 + 1)

    await until_known(world, ())
    after = await world.send("US")
    await world.until_state("US", after, "received")
    assert await digest_sent(world, "US", before) == world.catalogue.type(CHANGED).digest
    assert await digest_sent(world, "US", after) == changed_catalogue().type(CHANGED).digest
    assert await world.received("FR") == [before, after]
    await world.settle()
    await world.check()


async def test_a_minor_version_that_both_planned_brings_its_optional_field_and_stops_nothing(
    world: World,
) -> None:
    await plan_change(world, "FR", "US", following=minor_catalogue())
    await until_known(world, ())
    early = world.draft("US")
    early["payload"][ADDED] = "Fog."
    with pytest.raises(RefusedError) as refused:
        await world.post("US", early)
    assert [item.pointer for item in refused.value.violations] == ["/payload"]
    before = await world.send("US")
    await world.until_state("US", before, "received")

    world.clock.advance(HOUR_MS / 1_000 + 1)

    await until_known(world, ())
    with_field, without = world.draft("US"), world.draft("US")
    with_field["payload"][ADDED] = "Fog."
    for draft in (with_field, without):
        accepted = await world.post("US", draft)
        assert orjson.loads(accepted.message)["header"]["schema_version"] == "1.1"
        await world.until_state("US", accepted.message_id, "received")
    await world.check()


async def test_what_was_accepted_before_a_planned_change_is_received_after_it(world: World) -> None:
    await plan_change(world, "FR", "US")
    await world.cut_off("US")
    message_id = await world.send("US")
    world.clock.advance(HOUR_MS / 1_000 + 600)

    world.reconnect("US")

    await world.until_state("US", message_id, "received")
    assert await digest_sent(world, "US", message_id) == world.catalogue.type(CHANGED).digest


async def test_a_change_that_one_side_planned_alone_stops_that_type_from_then_on_and_says_so(
    world: World,
) -> None:
    await plan_change(world, "US")
    await until_known(world, ())
    before = await world.send("US")
    await world.until_state("US", before, "received")
    state = world.node("FR").agreement()
    assert (state.planned, len(state.peer_plans)) == (None, 1)

    world.clock.advance(HOUR_MS / 1_000 + 1)

    await until_known(world, (CHANGED,))
    for nation in ("FR", "US"):
        with pytest.raises(TypeNotAgreedError):
            await world.send(nation)
    # Nothing is lost: what was sent before is where it was.
    assert await world.received("FR") == [before]


async def test_operators_of_both_nodes_hear_beforehand_of_a_change_that_one_has_planned_alone(
    world: World,
) -> None:
    with capture_logs() as logs:

        async def told() -> list[Mapping[str, Any]]:
            return [line for line in logs if line["event"] == "agreement.will_differ"]

        change_ms = await plan_change(world, "US")
        # The other node hears of it with the next bundle.
        said = await world.until(
            told, lambda found: {line["peer"] for line in found} == {"fr.gateway.test", "us.gateway.test"}
        )
    for line in said:
        assert (line["types"], line["effective"]) == ([CHANGED], time_text(change_ms))

    schedule = world.schedules["US"]
    with capture_logs() as logs:
        await have(world, "FR", schedule)
        await until_plans(world, "US", 1)
    assert "agreement.will_differ" not in [line["event"] for line in logs]
    for nation in ("FR", "US"):
        assert world.node(nation).agreement().difference is None


@pytest.mark.parametrize("nation", ["FR", "US"])
async def test_a_plan_that_is_given_up_is_taken_back_in_the_log(world: World, nation: str) -> None:
    await plan_change(world, nation)
    await have(world, nation, Schedule(catalogue=world.catalogue))
    await until_plans(world, other(nation), 0)

    world.clock.advance(HOUR_MS / 1_000 + 1)

    await until_known(world, ())
    message_id = await world.send(nation)
    await world.until_state(nation, message_id, "received")
