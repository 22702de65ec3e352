"""A process that dies at any write loses nothing, repeats nothing, and signs no fork."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.core.cosignature import verify_log_note
from gateway.core.entries import IncidentKind
from gateway.errors import StoreError, UnavailableError
from gateway.ports import Step
from tests.world import CrashError, World, _signer

SENDER_STEPS = (Step.ACCEPTED, Step.SEQUENCED, Step.SIGNED, Step.DELIVERED)
RECEIVER_STEPS = (Step.MIRRORED, Step.SEQUENCED, Step.SIGNED, Step.DELIVERED)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", SENDER_STEPS)
async def test_a_crash_of_the_sender_at_any_write_loses_and_repeats_nothing(
    world: World, step: Step, *, persisted: bool
) -> None:
    before = await world.send("US")
    await world.until_state("US", before, "received")
    await world.settle()
    document = world.draft("US")
    world.break_write("US", step, persisted=persisted)

    accepted = True
    try:
        await world.post("US", document, key="the-key")
    except StoreError:
        accepted = False
    await world.until_crashed("US")
    await world.restart("US")

    # The agency heard nothing, or a 202: in both cases it may post again with its key.
    again = await world.post("US", document, key="the-key")
    await world.until_state("US", again.message_id, "received")
    await world.settle()
    assert accepted == (step is not Step.ACCEPTED)
    assert await world.received("FR") == [before, again.message_id]
    await world.check()


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", RECEIVER_STEPS)
async def test_a_crash_of_the_receiver_at_any_write_loses_and_repeats_nothing(
    world: World, step: Step, *, persisted: bool
) -> None:
    before = await world.send("US")
    await world.until_state("US", before, "received")
    await world.settle()
    if step is Step.DELIVERED:
        # The receiver writes this only as a sender of messages of its own.
        other = await world.send("FR")
        await world.until_state("FR", other, "received")
    world.break_write("FR", step, persisted=persisted)
    message_id = await world.send("US")
    if step is Step.DELIVERED:
        # It may have died already, at the cosignature of what it sent before.
        with suppress(CrashError):
            await world.send("FR")

    await world.until_crashed("FR")
    await world.restart("FR")

    await world.until_state("US", message_id, "received")
    await world.settle()
    assert await world.received("FR") == [before, message_id]
    await world.check()


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_while_a_message_is_collected_collects_it_once(
    world: World, *, persisted: bool
) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    world.break_write("FR", Step.COLLECTED, persisted=persisted)

    with pytest.raises(StoreError):
        await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    await world.restart("FR")

    await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    await world.until_state("US", message_id, "collected")
    await world.settle()
    await world.check()


async def test_lost_answers_make_replays_not_repeats(world: World) -> None:
    world.sides["US"].faults.lose_answers = True
    message_id = await world.send("US")
    await world.until(lambda: world.received("FR"), lambda ids: ids == [message_id])

    world.sides["US"].faults.lose_answers = False

    await world.until_state("US", message_id, "received")
    await world.settle()
    assert await world.received("FR") == [message_id]
    await world.check()


async def test_both_nodes_die_at_once_and_go_on(world: World) -> None:
    await world.settle()
    world.break_write("FR", Step.MIRRORED, persisted=True)
    ids = await world.send_many("US", 20)
    await world.until_crashed("FR")
    document = world.draft("US")
    world.break_write("US", Step.ACCEPTED, persisted=True)
    with pytest.raises(StoreError):
        await world.post("US", document, key="the-key")

    await world.restart("FR")
    await world.restart("US")

    ids.append((await world.post("US", document, key="the-key")).message_id)
    for message_id in ids:
        await world.until_state("US", message_id, "received")
    await world.settle()
    assert sorted(await world.received("FR")) == sorted(ids)
    await world.check()


async def test_a_mark_beyond_the_newest_note_is_of_what_the_database_holds(world: World) -> None:
    """A node that dies right behind its mark has lost nothing, and says so to auditors and to itself."""
    await world.settle()
    world.break_write("US", Step.SIGNED, persisted=False)
    message_id = await world.send("US")
    await world.until_crashed("US")
    side, origin = world.sides["US"], world.exchange_origin("US")
    assert side.store is not None
    assert side.high_water is not None

    note = await side.store.read(lambda tx: tx.logs.newest_note(origin))
    head = await side.store.read(lambda tx: tx.logs.head(origin))

    assert note is not None
    assert head is not None
    size, root = side.high_water.read()[origin]
    assert note.size < size == head.size
    assert root == head.edge.root()
    await world.restart("US")
    await world.until_state("US", message_id, "received")
    await world.settle()
    await world.check()


async def test_a_bundle_that_left_before_its_note_was_stored_is_signed_again_and_never_earlier(
    world: World,
) -> None:
    """It dies with a bundle at the peer whose note its database never held; the clock is set back."""
    await world.settle()
    message_id, left = await _left_without_a_note(world)
    world.clock.set_back(3_600)

    await world.restart("US")
    await world.until_state("US", message_id, "received")
    again = await world.send("US")
    await world.until_state("US", again, "received")
    await world.settle()

    side, origin = world.sides["US"], world.exchange_origin("US")
    assert side.store is not None
    verifier = side.keyring.own_verifiers(origin)[0]
    note = await side.store.read(lambda tx: tx.logs.newest_note(origin, cosigned=False))
    assert note is not None
    assert note.note is not None
    now, before = (verify_log_note(item, verifier=verifier) for item in (note.note, left))
    assert now.checkpoint.size > before.checkpoint.size
    assert now.time_s >= before.time_s
    # The clock, and nothing else.
    assert {item.kind for item in await world.incidents("US")} == {IncidentKind.CLOCK}
    assert not await world.incidents("FR")
    assert await world.received("FR") == [message_id, again]
    await world.check()


async def test_a_bundle_that_left_before_its_note_was_stored_may_end_under_new_keys(world: World) -> None:
    """The keys are replaced while the node is down: the bundle, grown by their statement, joins what left."""
    await world.settle()
    message_id, left = await _left_without_a_note(world)
    side, origin = world.sides["US"], world.exchange_origin("US")
    side.keyring.rotate()
    side.keyring.away_up_to = 1

    await world.restart("US")
    await world.until_state("US", message_id, "received")
    again = await world.send("US")
    await world.until_state("US", again, "received")
    await world.settle()

    assert side.store is not None
    note = await side.store.read(lambda tx: tx.logs.newest_note(origin))
    assert note is not None
    assert note.note is not None
    verify_log_note(note.note, verifier=_signer(origin, 2).verifier)
    assert verify_log_note(left, verifier=_signer(origin, 1).verifier).checkpoint.size < note.size
    assert not await world.incidents("FR")
    assert not await world.incidents("US")
    assert await world.received("FR") == [message_id, again]
    await world.check()


async def _left_without_a_note(world: World) -> tuple[bytes, bytes]:
    """Let a bundle of the American node arrive, and the node die before it has written anything more.

    Returns:
        The message in it, and the note under which the peer mirrors it.
    """
    american, french = world.sides["US"], world.sides["FR"]
    before = len(await world.log("US"))
    american.faults.forgets_soon = american.faults.lose_answers = True
    french.faults.refuse = lambda _: UnavailableError("the bundle of the receipt got lost")
    message_id = await world.send("US")

    async def mirrored() -> int:
        return (await world.node("FR").peer_service.view()).mirrored_size

    await world.until(mirrored, lambda size: size > before)
    shown = await world.node("FR").peer_service.view()
    await world.stop("US")
    american.faults.forgets_soon = american.faults.lose_answers = False
    french.faults.refuse = None
    assert shown.mirrored is not None
    return message_id, shown.mirrored
