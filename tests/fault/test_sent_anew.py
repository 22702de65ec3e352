"""What the two nodes say of a message that was on its way when its generation ended.

The sender has no receipt and cannot know whether the message has arrived. It asks in the next
generation, however late that opens, and only the receiver's answer ends the message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.core.entries import IncidentEntry, IncidentKind, MessageEntry, VoidEntry
from gateway.core.envelope import decode_header
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.errors import UnavailableError
from gateway.node.audit_log import AuditLog
from gateway.node.beginning import SendingUnknownError
from gateway.node.custody import Kept
from gateway.node.forks import GIVEN_UP
from gateway.node.health import Phase
from gateway.node.recovery import NothingToOverrideError, UnprovenHistoryError
from gateway.node.resumption import put_sign_off
from gateway.ports import MessageRow, Step
from gateway.storage.store import SqlStore
from tests.fault.test_recovery import deliver, is_whole, stopped_with
from tests.fault.test_resumption import OPERATOR, freeze_both, resume, until_generation
from tests.world import World

OVER_S = 31 * 86_400
"""Longer than any message may be on its way."""


async def arrive_unanswered(world: World) -> bytes:
    """Let a message of the American node arrive whose receipt does not come back; freeze the pair."""
    await deliver(world, "US")
    world.sides["FR"].faults.refuse = lambda _: UnavailableError("one-way")
    message_id = await world.send("US")

    async def arrived() -> bool:
        return message_id in await world.received("FR")

    await world.until(arrived, bool)
    await break_off(world, "FR")
    return message_id


async def send_in_vain(world: World) -> bytes:
    """Let the American node sign a message in its log that does not arrive; freeze the pair."""
    await deliver(world, "US")
    await world.settle()
    world.sides["US"].faults.refuse = lambda _: UnavailableError("one-way")
    message_id = await world.send("US")
    await world.until_state("US", message_id, "sent")
    await break_off(world, "US")
    return message_id


async def break_off(world: World, nation: str) -> None:
    """Freeze the pair before what a node could not ship leaves."""
    world.sides[nation].faults.unreachable = True
    await world.restart(nation)
    world.sides[nation].faults.refuse = None
    await freeze_both(world)
    world.reconnect(nation)


async def go_on_without_answer(world: World) -> None:
    """Open the next generation, in which the US does not reach its peer before anything is sequenced."""
    for nation in ("FR", "US"):
        await resume(world, nation)
    world.break_write("US", Step.SEQUENCED, persisted=False)

    async def died() -> bool:
        world.clock.advance(2.1)
        return world.sides["US"].faults.crashed.is_set()

    await world.until(died, bool)
    world.sides["US"].faults.unreachable = True
    await world.restart("US")


async def go_on(world: World) -> None:
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)


async def row(world: World, message_id: bytes) -> MessageRow:
    return (await world.node("US").tracking.status(world.principal("US"), message_id)).row


async def voids(world: World) -> list[VoidEntry]:
    """Return what the American logs declare void, in both generations."""
    first = world.sides["US"].keyring.pair.exchange_origin
    entries = await world.log("US", first) + await world.log("US", f"{first}/2")
    return [entry for entry in entries if isinstance(entry, VoidEntry)]


# --- what had arrived --------------------------------------------------------------------


async def test_what_had_arrived_is_received_however_late_the_pair_goes_on(world: World) -> None:
    message_id = await arrive_unanswered(world)
    world.clock.advance(OVER_S)

    await go_on(world)

    await world.until_state("US", message_id, "received")
    assert (await world.received("FR")).count(message_id) == 1
    assert await voids(world) == []
    await is_whole(world)


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_at_the_opening_calls_nothing_expired_that_had_arrived(
    world: World, *, persisted: bool
) -> None:
    message_id = await arrive_unanswered(world)
    world.clock.advance(OVER_S)
    await resume(world, "US")
    world.break_write("US", Step.RECOVERED, persisted=persisted)
    await resume(world, "FR")

    async def died() -> bool:
        world.clock.advance(2.1)
        return world.sides["US"].faults.crashed.is_set()

    await world.until(died, bool)
    await world.restart("US")
    await until_generation(world, 2)

    await world.until_state("US", message_id, "received")
    assert await voids(world) == []
    await is_whole(world)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize(("nation", "step"), [("US", Step.SEQUENCED), ("FR", Step.MIRRORED)])
async def test_a_crash_on_the_way_anew_calls_nothing_expired_that_had_arrived(
    world: World, nation: str, step: Step, *, persisted: bool
) -> None:
    message_id = await arrive_unanswered(world)
    world.clock.advance(OVER_S)
    for signing in ("FR", "US"):
        await resume(world, signing)
    world.break_write(nation, step, persisted=persisted)

    async def died() -> bool:
        world.clock.advance(2.1)
        return world.sides[nation].faults.crashed.is_set()

    await world.until(died, bool)
    await world.restart(nation)
    await until_generation(world, 2)

    await world.until_state("US", message_id, "received")
    assert (await world.received("FR")).count(message_id) == 1
    assert await voids(world) == []
    await is_whole(world)


async def test_until_the_receiver_has_answered_it_waits_and_is_neither_withdrawn_nor_cancelled(
    world: World,
) -> None:
    message_id = await arrive_unanswered(world)
    world.clock.advance(OVER_S)
    await go_on_without_answer(world)
    node, principal = world.node("US"), world.principal("US")

    async def vouched() -> bool:
        try:
            await node.recovery.override(OPERATOR, "The border line is down until Monday")
        except NothingToOverrideError:
            return False
        return True

    # That the log is whole does not say what became of what the log before it held.
    await world.until(vouched, bool)
    await world.until_phase("US", Phase.RUNNING)
    later = await world.send("US")
    await node.tracking.withdraw(principal, later)
    with pytest.raises(SendingUnknownError):
        await node.tracking.withdraw(principal, message_id)
    with pytest.raises(SendingUnknownError):
        await node.queue.cancel(OPERATOR, message_id, "no more wanted")
    world.clock.advance(OVER_S)
    await node._housekeeping.expire()
    assert await world.state("US", message_id) == "accepted"
    # Where it was sent is said all along.
    tracked = await node.tracking.status(principal, message_id)
    assert [(event.event, event.origin) for event in tracked.timeline[1:]] == [
        ("sent", world.sides["US"].keyring.pair.exchange_origin)
    ]

    world.reconnect("US")

    await world.until_state("US", message_id, "received")
    assert [entry.conversation_id for entry in await voids(world)] == [later]
    await is_whole(world)


async def test_its_collection_comes_as_well_and_its_evidence_holds(world: World) -> None:
    message_id = await arrive_unanswered(world)
    await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    world.clock.advance(OVER_S)

    await go_on(world)

    await world.until_state("US", message_id, "collected")

    async def origin() -> str:
        _, verification = await world.node("FR").inbox.read(world.principal("FR"), message_id)
        return verification.origin

    # The collection may come before it, of the place in the generation before.
    await world.until(origin, lambda found: found == world.exchange_origin("US"))
    await world.settle()
    archive = await world.node("US").evidence.prove(world.principal("US"), message_id, disclose=False)
    assert b"exchange/fr/2\n" in archive
    await is_whole(world)


async def test_what_the_receiver_has_erased_meanwhile_had_arrived_all_the_same(world: World) -> None:
    message_id = await arrive_unanswered(world)
    await world.node("FR").custody.erase(OPERATOR, message_id, "Court order, case 12")
    world.clock.advance(OVER_S)

    await go_on(world)

    await world.until_state("US", message_id, "received")
    assert await voids(world) == []
    await is_whole(world)


# --- what had not ------------------------------------------------------------------------


async def test_what_had_not_arrived_and_is_over_ends_by_the_receiver_s_word(world: World) -> None:
    message_id = await send_in_vain(world)
    world.clock.advance(OVER_S)

    await go_on(world)

    await world.until_state("US", message_id, "expired")
    ended = await row(world, message_id)
    assert ended.exception == ExceptionCode.EXPIRED
    assert ended.receipt_index is not None
    (void,) = await world.until(lambda: voids(world), bool)
    assert void.conversation_id == message_id
    assert message_id not in await world.received("FR")
    await is_whole(world)


async def test_what_was_never_sent_is_the_sender_s_to_end_while_the_pair_is_frozen(world: World) -> None:
    on_its_way = await send_in_vain(world)
    waiting, withdrawn = await world.send("US"), await world.send("US")
    await world.node("US").tracking.withdraw(world.principal("US"), withdrawn)
    await go_on(world)

    for message_id in (on_its_way, waiting):
        await world.until_state("US", message_id, "received")
    assert await world.state("US", withdrawn) == "withdrawn"
    assert [entry.conversation_id for entry in await voids(world)] == [withdrawn]
    await is_whole(world)


async def test_what_was_refused_unheard_is_told_why_and_is_no_duplicate(world: World) -> None:
    await deliver(world, "US")
    await world.settle()
    # It arrives after its time, and that does not come back.
    world.sides["FR"].faults.refuse = lambda _: UnavailableError("one-way")
    world.sides["US"].faults.refuse = lambda _: UnavailableError("one-way")
    message_id = await world.send("US")
    await world.until_state("US", message_id, "sent")
    world.clock.advance(OVER_S)
    mirrored = world.node("FR")._intake.size
    world.sides["US"].faults.refuse = None

    async def grown() -> bool:
        return world.node("FR")._intake.size > mirrored

    await world.until(grown, bool)
    await break_off(world, "FR")

    await go_on(world)

    await world.until_state("US", message_id, "expired")
    assert [entry.conversation_id for entry in await world.until(lambda: voids(world), bool)] == [message_id]
    await is_whole(world)


# --- erased before the answer ------------------------------------------------------------


async def erased(world: World, message_id: bytes) -> Kept:
    return await world.node("US").custody.find(message_id)


def was(world: World, message_id: bytes) -> Callable[[], Awaitable[State | None]]:
    async def ask() -> State | None:
        world.clock.advance(1.1)
        return (await erased(world, message_id)).row.was

    return ask


@pytest.mark.parametrize("has_arrived", [True, False])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_of_what_was_erased_at_its_sender_the_receiver_says_what_became_of_it(
    world: World, moment: str, *, has_arrived: bool
) -> None:
    """The order comes before the next generation opens, or when the message waits in it."""
    message_id = await (arrive_unanswered if has_arrived else send_in_vain)(world)
    if moment == "before":
        await world.node("US").custody.erase(OPERATOR, message_id, "Court order, case 12")
        await go_on(world)
    else:
        await go_on_without_answer(world)
        await world.node("US").custody.erase(OPERATOR, message_id, "Court order, case 12")
        assert not (await erased(world, message_id)).row.is_void
        world.reconnect("US")
        await until_generation(world, 2)

    await world.until(was(world, message_id), lambda state: state is not State.SENT)
    await world.settle()
    found = await erased(world, message_id)
    assert found.row.was is (State.RECEIVED if has_arrived else State.REFUSED)
    assert found.row.is_void is not has_arrived
    said = [entry.conversation_id for entry in await world.until(lambda: voids(world), ended(has_arrived))]
    assert said == ([] if has_arrived else [message_id])
    assert (message_id in await world.received("FR")) is has_arrived
    # It is sent anew once, without content, and its erasure is named once.
    first = world.sides["US"].keyring.pair.exchange_origin
    entries = await world.log("US", first) + await world.log("US", f"{first}/2")
    ids = [decode_header(e.header).message_id for e in entries if isinstance(e, MessageEntry)]
    assert ids.count(message_id) == 2
    named = [e for e in entries if isinstance(e, IncidentEntry) and e.incident == IncidentKind.ERASED]
    assert len(named) == 1
    await is_whole(world)


def ended(has_arrived: bool) -> Callable[[list[VoidEntry]], bool]:
    return lambda found: has_arrived or bool(found)


# --- a generation that was given up ------------------------------------------------------


async def test_what_a_given_up_history_may_have_sent_is_asked_about_as_well(world: World) -> None:
    await deliver(world, "US")
    await world.cut_off("US")
    received, lost, erased_id = [await world.send("US") for _ in range(3)]
    copy = world.backup("US")
    world.reconnect("US")
    for message_id in (received, lost, erased_id):
        await world.until_state("US", message_id, "received")
    await world.settle()
    # What follows is signed and nowhere else.
    signed: list[bytes] = []

    def refuse(bundle: bytes) -> UnavailableError:
        signed.append(bundle)
        return UnavailableError("one-way")

    async def are_signed() -> bool:
        return bool(signed)

    world.sides["US"].faults.refuse = refuse
    await world.send("US")
    await world.until(are_signed, bool)
    await world.restore("US", copy)
    world.sides["US"].faults.refuse = None
    await world.start("US")
    assert isinstance(await stopped_with(world, "US"), UnprovenHistoryError)
    world.clock.advance(OVER_S)

    await give_up(world)
    await world.start("US")
    await world.until_phase("US", Phase.FROZEN)
    await world.node("US").custody.erase(OPERATOR, erased_id, "Court order, case 12")
    assert await world.state("US", received) == "accepted"
    assert not (await erased(world, erased_id)).row.is_void
    await resume(world, "FR")
    await until_generation(world, 2)

    for message_id in (received, lost):
        await world.until_state("US", message_id, "received")
    # Nothing is left of it that the receiver could be asked by.
    assert not (await erased(world, erased_id)).row.is_void
    assert await voids(world) == []
    await is_whole(world)


async def give_up(world: World) -> None:
    """Sign off for the next generation in a home whose node is stopped, as `entente pair resume --home`."""
    await world.stop("US")
    store = SqlStore.open(f"sqlite:///{world.sides['US'].database}")
    audit = AuditLog(world.sides["US"].keyring.pair)
    await store.write(
        Step.RECOVERED,
        lambda tx: put_sign_off(tx, audit, OPERATOR, "Case 8", target=2, now_ms=1, why=GIVEN_UP),
    )
    await store.close()
