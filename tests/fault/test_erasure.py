"""Content that is over is destroyed at both nodes, whatever crashes; its proofs stay.

The French node is the receiver that most tests look at. What was destroyed is looked for in
the files, byte by byte.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.core.entries import EventEntry, IncidentEntry, IncidentKind, Role, VoidEntry, encode_entry
from gateway.core.merkle import hash_leaf, root_of
from gateway.core.message.retention import Ground
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.errors import StoreError
from gateway.node.audit_log import Actor
from gateway.node.custody import Kept
from gateway.node.inbox import NotFoundError
from gateway.node.second_stage import ErasedError
from gateway.ports import Step
from tests.messages import (
    PERSONAL,
    acknowledgement,
    answer,
    request,
)
from tests.world import CrashError, World, other

OPERATOR = Actor(role=Role.OPERATOR, spki=b"o" * 32)
LAST_DAY_OVER_S = 8 * 86_400
"""From the world's beginning until after the last day that `PERSONAL` names."""


async def deliver(world: World, nation: str = "US", **header: Any) -> bytes:
    message_id = await world.send(nation, **header)
    await world.until_state(nation, message_id, "received")
    await world.settle()
    return message_id


async def kept(world: World, nation: str, message_id: bytes) -> Kept:
    return await world.node(nation).custody.find(message_id)


async def until_erased(world: World, nation: str, message_id: bytes) -> Kept:
    async def ask() -> Kept:
        world.clock.advance(1.1)
        return await kept(world, nation, message_id)

    return await world.until(ask, lambda found: found.erasure is not None)


async def until_scrubbed(world: World, nation: str) -> None:
    async def ask() -> bool:
        world.clock.advance(1.1)
        return (await world.node(nation).health()).scrubbed

    await world.until(ask, bool)


async def sealed(world: World, nation: str, message_id: bytes) -> tuple[bytes, bytes]:
    """Return (ciphertext, wrapped key) as a node stores them now."""
    store = world.sides[nation].store
    assert store is not None
    found = await store.read(lambda tx: tx.threads.content(message_id))
    assert found is not None
    return found[1], found[2]


def files(world: World, nation: str) -> dict[str, bytes]:
    """Return every file of a node but its backups, by name."""
    folder: Path = world.sides[nation].folder
    found: dict[str, bytes] = {}
    for path in folder.iterdir():
        if not path.name.startswith("backup-"):
            # A running node moves a new high-water file into its place: then that one is read there.
            with suppress(FileNotFoundError):
                found[path.name] = path.read_bytes()
    return found


def places(world: World, nation: str, secret: bytes) -> list[str]:
    """Return the files that hold a secret, or any sixteen bytes out of its middle."""
    middle = secret[len(secret) // 2 : len(secret) // 2 + 16]
    return [name for name, data in files(world, nation).items() if secret[:16] in data or middle in data]


async def order(world: World, nation: str, message_id: bytes) -> Kept:
    return await world.node(nation).custody.erase(OPERATOR, message_id, "Court order, case 12")


async def erased_events(world: World, nation: str) -> list[EventEntry]:
    return [event for event in await world.events(nation) if event.event == "message.erased"]


async def erased_entries(world: World, nation: str) -> list[IncidentEntry]:
    return [
        entry
        for entry in await world.log(nation)
        if isinstance(entry, IncidentEntry) and entry.incident == IncidentKind.ERASED
    ]


# --- at the end of its time --------------------------------------------------------------


async def test_content_is_destroyed_at_both_nodes_once_its_last_day_is_over(world: World) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    other_id = await deliver(world)
    secrets = {nation: await sealed(world, nation, message_id) for nation in ("FR", "US")}
    assert all(places(world, nation, part) for nation in secrets for part in secrets[nation])

    world.clock.advance(LAST_DAY_OVER_S)

    for nation in ("FR", "US"):
        found = await until_erased(world, nation, message_id)
        assert (found.row.state.label, found.row.ground) == ("erased", Ground.DELETE_BY)
        await until_scrubbed(world, nation)
        for part in secrets[nation]:
            assert places(world, nation, part) == []
        assert await sealed(world, nation, other_id)
    await world.settle()
    await world.check()


async def test_nothing_is_destroyed_before_its_last_day_is_over(world: World) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    # The world begins at noon of 23 November.
    world.clock.advance(7.49 * 86_400)
    probe = await deliver(world)
    assert (await kept(world, "FR", message_id)).erasure is None
    assert (await kept(world, "FR", probe)).erasure is None


async def test_what_both_sides_foresaw_is_in_both_audit_logs_and_in_no_exchange_log(world: World) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    world.clock.advance(LAST_DAY_OVER_S)

    for nation in ("FR", "US"):
        found = await until_erased(world, nation, message_id)
        (event,) = await erased_events(world, nation)
        assert (event.role, event.objects, event.details) == (
            Role.NODE,
            (message_id,),
            (int(Ground.DELETE_BY),),
        )
        assert found.erasure is not None
        audit = await world.log(nation, world.sides[nation].keyring.pair.audit_origin)
        assert audit[found.erasure.audit_index] == event
    await world.settle()
    assert await erased_entries(world, "FR") + await erased_entries(world, "US") == []


async def test_more_than_one_group_is_erased_group_by_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.node.eraser.MAX_ERASED", 4)
    ids = await world.send_many("US", 10, data_protection=PERSONAL)
    for message_id in ids:
        await world.until_state("US", message_id, "received")
    await world.settle()

    world.clock.advance(LAST_DAY_OVER_S)

    for message_id in ids:
        await until_erased(world, "FR", message_id)
    events = await erased_events(world, "FR")
    assert sorted(len(event.objects) for event in events) == [2, 4, 4]


# --- what an agency is told --------------------------------------------------------------


async def test_an_agency_sees_that_its_message_was_erased_and_when_it_had_been_received(
    world: World,
) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    world.clock.advance(LAST_DAY_OVER_S)
    await until_erased(world, "US", message_id)

    tracked = await world.node("US").tracking.status(world.principal("US"), message_id)

    assert tracked.row.state.label == "erased"
    assert [event.event for event in tracked.timeline] == [
        "accepted",
        "sent",
        "delivered",
        "received",
        "erased",
    ]
    assert tracked.timeline[-1].origin == "us.gateway.test/audit"
    assert all(event.index is not None for event in tracked.timeline)


async def test_an_addressee_finds_an_erased_message_without_content_and_may_acknowledge_it(
    world: World,
) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    world.clock.advance(LAST_DAY_OVER_S)
    await until_erased(world, "FR", message_id)
    principal = world.principal("FR")

    (listed,) = await world.node("FR").inbox.page(principal)
    delivery, verification = await world.node("FR").inbox.read(principal, message_id)
    await world.node("FR").inbox.acknowledge(principal, message_id)

    assert (listed.message, delivery.message) == (None, None)
    assert delivery.row.state.label == "erased"
    assert verification.receipt_index is not None

    async def collected_by() -> list[int | None]:
        tracked = await world.node("US").tracking.status(world.principal("US"), message_id)
        return [item.collected_ms for item in tracked.addressees]

    await world.until(collected_by, lambda times: None not in times)


async def test_a_repeated_post_of_an_erased_message_is_told_so(world: World) -> None:
    document = world.draft("US")
    first = await world.post("US", document, key="the-key")
    await world.until_state("US", first.message_id, "received")
    await order(world, "US", first.message_id)

    for repeated in (document, world.draft("US")):
        with pytest.raises(ErasedError):
            await world.post("US", repeated, key="the-key")


# --- conversations -----------------------------------------------------------------------


async def test_a_conversation_goes_on_around_an_erased_message(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = await world.post("US", request("US", now_ms), agency="US.ICE.HSI")
    await world.until_state("US", asked.message_id, "received", agency="US.ICE.HSI")
    for nation in ("US", "FR"):
        await order(world, nation, asked.message_id)

    # What a draft takes from the message it answers has to be said now: that message is gone.
    purpose = {"code": "REVENUE_PROTECTION", "areas": ["CUSTOMS_FRAUD"]}
    drafts = [make("FR", asked.message_id, now_ms, purpose=purpose) for make in (acknowledgement, answer)]
    ack, reply = [await world.post("FR", draft, agency="FR.DGDDI.DNRED") for draft in drafts]

    for posted in (ack, reply):
        await world.until_state("FR", posted.message_id, "received", agency="FR.DGDDI.DNRED")
    thread = await world.node("US").conversations.read(world.principal("US", "US.ICE.HSI"), asked.message_id)
    assert (thread.state, len(thread.messages), thread.missing) == ("ANSWERED", 3, {})


async def test_an_answer_that_was_erased_still_closes_what_it_answered(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = await world.post("US", request("US", now_ms), agency="US.ICE.HSI")
    await world.until_state("US", asked.message_id, "received", agency="US.ICE.HSI")
    reply = await world.post("FR", answer("FR", asked.message_id, now_ms), agency="FR.DGDDI.DNRED")
    await world.until_state("FR", reply.message_id, "received", agency="FR.DGDDI.DNRED")

    await order(world, "US", reply.message_id)

    thread = await world.node("US").conversations.read(world.principal("US", "US.ICE.HSI"), asked.message_id)
    assert thread.state == "ANSWERED"


async def test_a_refused_message_does_not_count_again_once_it_is_erased(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = await world.post("US", request("US", now_ms), agency="US.ICE.HSI")
    await world.until_state("US", asked.message_id, "received", agency="US.ICE.HSI")
    await world.settle()
    await world.cut_off("FR")
    reply = await world.post("FR", answer("FR", asked.message_id, now_ms), agency="FR.DGDDI.DNRED")
    await world.node("FR").tracking.withdraw(world.principal("FR", "FR.DGDDI.DNRED"), reply.message_id)

    await order(world, "FR", reply.message_id)

    thread = await world.node("FR").conversations.read(
        world.principal("FR", "FR.DGDDI.DNRED"), asked.message_id
    )
    assert thread.state == "OPEN"
    world.reconnect("FR")


# --- by order ----------------------------------------------------------------------------


async def test_an_order_destroys_content_at_once_and_says_who_ordered_it(world: World) -> None:
    message_id = await deliver(world)
    secrets = await sealed(world, "FR", message_id)

    found = await order(world, "FR", message_id)

    assert (found.row.state.label, found.row.ground) == ("erased", Ground.ORDER)
    for part in secrets:
        assert places(world, "FR", part) == []
    events = [e for e in await world.events("FR") if e.event in {"erasure.ordered", "message.erased"}]
    assert [(e.event, e.role, e.actor, e.objects) for e in events] == [
        ("erasure.ordered", Role.OPERATOR, OPERATOR.spki, (message_id,)),
        ("message.erased", Role.NODE, b"", (message_id,)),
    ]
    assert b"Court" not in b"".join(files(world, "FR").values())


@pytest.mark.parametrize("nation", ["FR", "US"])
async def test_an_order_is_named_in_the_exchange_log_with_the_state_right_behind_the_message(
    world: World, nation: str
) -> None:
    message_id = await deliver(world)
    await order(world, nation, message_id)

    (entry,) = await world.until(lambda: erased_entries(world, nation), bool)

    origin = world.sides["US"].keyring.pair.exchange_origin
    found = await kept(world, nation, message_id)
    assert found.row.log_index is not None
    assert (entry.origin, entry.size) == (origin, found.row.log_index + 1)
    leaves = [hash_leaf(encode_entry(item)) for item in await world.log("US")]
    assert entry.root == root_of(leaves[: entry.size])
    await world.settle()
    # The other nation has it in its mirror, and nobody is alarmed.
    assert await world.incidents(other(nation)) == []
    mirrored = await world.log(other(nation), world.sides[nation].keyring.pair.exchange_origin)
    assert entry in mirrored
    found = await kept(world, nation, message_id)
    assert found.erasure is not None
    assert found.erasure.log_index is not None
    assert (await world.log(nation))[found.erasure.log_index] == entry
    await world.check()


async def test_an_order_may_be_repeated_and_does_nothing_more(world: World) -> None:
    message_id = await deliver(world)
    first = await order(world, "FR", message_id)
    second = await order(world, "FR", message_id)
    assert second.erasure is not None
    assert first.erasure is not None
    assert second.erasure.audit_index == first.erasure.audit_index
    assert len(await erased_events(world, "FR")) == 1


async def test_a_message_that_nobody_knows_cannot_be_erased(world: World) -> None:
    await world.settle()
    with pytest.raises(NotFoundError):
        await order(world, "FR", b"x" * 16)


# --- before it has arrived ---------------------------------------------------------------


async def test_a_waiting_message_that_is_erased_is_never_sent_and_its_number_is_void(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")

    await order(world, "US", message_id)

    world.reconnect("US")
    follow_up = await deliver(world)
    assert await world.received("FR") == [follow_up]
    found = await kept(world, "US", message_id)
    assert (found.row.state.label, found.row.was) == ("erased", State.ACCEPTED)
    voids = [entry for entry in await world.log("US") if isinstance(entry, VoidEntry)]
    assert [entry.conversation_id for entry in voids] == [message_id]


async def test_a_bundle_that_has_to_be_sent_again_travels_with_nil_for_an_erased_message(
    world: World,
) -> None:
    await world.settle()
    # Two messages in one bundle that is signed, and does not arrive.
    world.break_write("US", Step.SIGNED, persisted=True)
    first, second = await world.send_many("US", 2)
    await world.until_crashed("US")
    world.sides["US"].faults.unreachable = True
    await world.restart("US")
    secrets = await sealed(world, "US", first)

    await order(world, "US", first)
    world.reconnect("US")

    await world.until_state("US", second, "received")
    await world.settle()
    assert await world.received("FR") == [second]
    found = await kept(world, "US", first)
    assert (found.row.state.label, found.row.exception) == ("erased", ExceptionCode.ERASED)
    assert found.row.is_void
    for part in secrets:
        assert places(world, "FR", part) == []
    await world.check()


# --- crashes -----------------------------------------------------------------------------


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_around_the_transaction_leaves_an_erasure_that_the_next_start_completes(
    world: World, *, persisted: bool
) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    secrets = await sealed(world, "FR", message_id)
    world.break_write("FR", Step.ERASED, persisted=persisted)
    world.clock.advance(LAST_DAY_OVER_S)
    await world.until_crashed("FR")

    await world.restart("FR")

    (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
    assert delivery.message is None
    await until_scrubbed(world, "FR")
    for part in secrets:
        assert places(world, "FR", part) == []
    assert len(await erased_events(world, "FR")) == 1
    await world.settle()
    await world.check()


async def test_a_crash_before_the_files_are_scrubbed_is_made_up_for_at_the_next_start(world: World) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    secrets = await sealed(world, "FR", message_id)
    world.sides["FR"].faults.crash_at_scrub = True
    world.clock.advance(LAST_DAY_OVER_S)
    await world.until_crashed("FR")

    await world.restart("FR")

    await until_scrubbed(world, "FR")
    for part in secrets:
        assert places(world, "FR", part) == []


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_around_the_file_of_orders_loses_no_order(world: World, *, persisted: bool) -> None:
    message_id = await deliver(world)
    world.sides["FR"].faults.crash_at_orders = persisted
    with pytest.raises(StoreError):
        await order(world, "FR", message_id)

    await world.restart("FR")

    found = await until_erased(world, "FR", message_id)
    # With its order on disk but not carried out, the start takes it for one before a restore.
    assert found.row.ground in {Ground.ORDER, Ground.RESTORED}
    await world.settle()
    await world.check()


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_while_the_exchange_log_names_an_erasure_names_it_once(
    world: World, *, persisted: bool
) -> None:
    message_id = await deliver(world)
    world.break_write("FR", Step.SEQUENCED, persisted=persisted)
    # The log may name it, and the node die, while the files are still being scrubbed.
    with suppress(CrashError):
        await order(world, "FR", message_id)
    await world.until_crashed("FR")

    await world.restart("FR")

    await world.until(lambda: erased_entries(world, "FR"), bool)
    await world.settle()
    assert len(await erased_entries(world, "FR")) == 1
    await world.check()
