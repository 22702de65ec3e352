"""A frozen pair goes on in a new generation once the operators of both nodes have said so.

The American node has signed two histories; the French one holds the proof and is frozen. What
was on its way arrives once, what had arrived is not shown again, and what is said of old
messages still finds them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.audit.evidence import verify_evidence
from gateway.audit.trust import Trust, parse_trust
from gateway.core.entries import (
    AnchorEntry,
    CollectedEntry,
    IncidentEntry,
    IncidentKind,
    KeyStatementEntry,
    MessageEntry,
    Role,
    VoidEntry,
)
from gateway.errors import PairFrozenError, UnavailableError
from gateway.keyring.statement import root_name
from gateway.node.audit_log import Actor
from gateway.node.health import Phase
from gateway.node.inbox import NotFoundError
from gateway.node.recovery import (
    GenerationBehindError,
    NothingToOverrideError,
    UnprovenHistoryError,
)
from gateway.node.resumption import NotFrozenError
from gateway.ports import Incident, Step
from tests.fault.test_recovery import collect, deliver, head, is_whole, stopped_with
from tests.forger import Forger
from tests.world import World, _signer, other

OPERATOR = Actor(role=Role.OPERATOR, spki=b"o" * 32)


async def fork(world: World) -> bytes:
    """Let the American log have two signed histories, and both nodes run again.

    Returns:
        Id of the message that the French node holds of the history that it mirrored.
    """
    forger = await Forger.take_over(world)
    second, first = (forger.message() for _ in range(2))
    bundle = forger.bundle([second])
    await forger.post(forger.bundle([first]))
    with pytest.raises(PairFrozenError):
        await forger.post(bundle)
    await world.start("US")
    # Its database lacks what the forger has signed: until it is refilled the node accepts nothing.
    await world.until_phase("US", Phase.RUNNING)
    return first.header.message_id


async def resume(world: World, nation: str) -> None:
    await world.node(nation).resumption.sign_off(OPERATOR, "Case 7: both notes compared")


async def until_generation(world: World, generation: int, *nations: str) -> None:
    async def ask() -> list[int]:
        world.clock.advance(2.1)
        return [world.node(nation).pair.generation for nation in nations or ("FR", "US")]

    await world.until(ask, lambda found: set(found) == {generation})
    for nation in nations or ("FR", "US"):
        await world.until_phase(nation, Phase.RUNNING)


async def state(world: World, nation: str, message_id: bytes) -> str:
    return await world.state(nation, message_id)


@pytest.fixture
async def frozen(world: World) -> World:
    await fork(world)
    return world


async def test_both_sign_off_and_the_pair_goes_on_in_a_second_generation(world: World) -> None:
    (before,) = await deliver(world, "US")
    old = {nation: await head(world, nation) for nation in ("FR", "US")}
    forged = await fork(world)
    waiting = {nation: await world.send(nation) for nation in ("FR", "US")}

    await resume(world, "FR")
    await resume(world, "US")
    await until_generation(world, 2)

    for nation, message_id in waiting.items():
        await world.until_state(nation, message_id, "received")
    assert await world.received("FR") == [before, forged, waiting["US"]]
    assert await world.received("US") == [waiting["FR"]]
    await is_whole(world)
    for nation in ("FR", "US"):
        pair = world.node(nation).pair
        assert pair.exchange_origin.endswith("/2")
        log = await world.log(nation, pair.exchange_origin)
        closed = await head(world, nation, pair.first_exchange_origin)
        assert log[0] == AnchorEntry(origin=closed.origin, size=closed.size, root=closed.edge.root())
        assert closed.size >= old[nation].size
        assert any(isinstance(entry, KeyStatementEntry) for entry in log[:4])


async def test_the_fork_stands_in_the_new_log_and_both_notes_stay(frozen: World) -> None:
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)
    await is_whole(frozen)

    (incident,) = [i for i in await frozen.incidents("FR") if i.kind == IncidentKind.FORK]
    assert incident.note_a is not None
    assert incident.note_b is not None
    assert not incident.is_stated
    log = await frozen.log("FR", frozen.exchange_origin("FR"))
    assert (
        IncidentEntry(
            incident=IncidentKind.FORK, origin=incident.origin, size=incident.size, root=incident.root
        )
        in log
    )


async def test_a_fork_that_the_peer_merely_states_is_shown_and_logged_as_none(frozen: World) -> None:
    node = frozen.node("FR")
    stated = Incident(
        kind=IncidentKind.FORK, origin=node.pair.exchange_origin, size=2, root=bytes(32), at_ms=2**50
    )
    store = frozen.sides["FR"].store
    assert store is not None
    await store.write(Step.MIRRORED, lambda tx: tx.facts.put_incident(stated))

    state = await node.resumption.state()
    assert stated not in state.forks
    assert [fork.is_stated for fork in state.forks] == [False]
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)
    log = await frozen.log("FR", frozen.exchange_origin("FR"))
    assert [entry.size for entry in log if isinstance(entry, IncidentEntry)] == [state.forks[0].size]


async def test_one_sign_off_alone_changes_nothing(frozen: World) -> None:
    await resume(frozen, "FR")
    for _ in range(5):
        frozen.clock.advance(2.1)
        await frozen.until(_asked(frozen, "FR"), bool)
    message_id = await frozen.send("US")

    assert frozen.node("FR").phase is Phase.FROZEN
    assert frozen.node("FR").pair.generation == 1
    assert message_id not in await frozen.received("FR")
    assert await frozen.state("US", message_id) in {"accepted", "sent"}
    with pytest.raises(PairFrozenError):
        await frozen.node("FR").peer_service.receive(b"")
    # The other side's operators see that they are asked.
    seen = await frozen.node("US").resumption.state()
    assert seen.peer is not None
    assert (seen.peer.generation, seen.peer.resumes) == (1, 2)
    assert seen.signed_off == 0


def _asked(world: World, nation: str) -> Callable[[], Awaitable[bool]]:
    before = world.sides[nation].faults.asked.count("standing")

    async def ask() -> bool:
        world.clock.advance(2.1)
        return world.sides[nation].faults.asked.count("standing") > before

    return ask


async def test_a_sign_off_names_who_and_the_digest_of_why_and_counts_once(frozen: World) -> None:
    await resume(frozen, "FR")
    await resume(frozen, "FR")

    (event,) = [event for event in await frozen.events("FR") if event.event == "pair.signed_off"]
    assert (event.role, event.actor) == (Role.OPERATOR, OPERATOR.spki)
    assert event.details[0] == 2
    assert isinstance(event.details[1], bytes)
    assert len(event.details[1]) == 48
    await resume(frozen, "US")
    await until_generation(frozen, 2)
    opened = [event for event in await frozen.events("FR") if event.event == "pair.resumed"]
    assert [event.details[0] for event in opened] == [2]


async def test_a_pair_that_is_not_frozen_is_not_resumed(world: World) -> None:
    await world.settle()
    with pytest.raises(NotFrozenError):
        await resume(world, "FR")
    assert world.node("FR").phase is Phase.RUNNING


async def test_a_message_that_had_arrived_is_sequenced_anew_and_shown_once(world: World) -> None:
    await world.settle()
    # The receipt does not reach the sender: it does not know that the message has arrived.
    world.sides["FR"].faults.refuse = lambda _: UnavailableError("one-way")
    message_id = await world.send("US")
    await world.until(lambda: world.received("FR"), bool)
    await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    world.sides["FR"].faults.refuse = None
    world.sides["FR"].faults.unreachable = True
    await world.restart("FR")
    await freeze_both(world)
    world.reconnect("FR")

    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)

    # Its collection is said of the new place, so the sender learns of it.
    await world.until_state("US", message_id, "collected")
    assert await world.received("FR") == [message_id]
    entries = await world.log("US", world.exchange_origin("US"))
    assert len([entry for entry in entries if isinstance(entry, MessageEntry)]) == 1
    await is_whole(world)


async def freeze_both(world: World) -> None:
    """Freeze the pair as its proof does, at both nodes, without a forger."""
    for nation in ("FR", "US"):
        world.node(nation)._signed_off()


async def test_a_collection_finds_a_message_of_the_generation_before(world: World) -> None:
    (message_id,) = await deliver(world, "US")
    await fork(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    await world.settle()
    assert await world.state("US", message_id) == "received"

    await collect(world, "FR", message_id)

    said = [e for e in await world.log("FR", world.exchange_origin("FR")) if isinstance(e, CollectedEntry)]
    assert [entry.origin for entry in said] == [world.sides["US"].keyring.pair.exchange_origin]
    tracked = await world.node("US").tracking.status(world.principal("US"), message_id)
    places = {event.event: event.origin for event in tracked.timeline}
    first = world.sides["US"].keyring.pair
    assert places["sent"] == first.exchange_origin
    assert places["received"] == first.peer_origin
    assert places["collected"] == f"{first.peer_origin}/2"
    await is_whole(world)


def trust_of(world: World) -> Trust:
    """Return the keys that an auditor holds: of both nations' logs, cosigners and roots."""
    lines = []
    for nation in ("FR", "US"):
        keyring, pair = world.sides[nation].keyring, world.sides[nation].keyring.pair
        for origin in (pair.audit_origin, pair.exchange_origin):
            lines += [k.encode() for k in keyring.own_verifiers(origin)[0].verifier_keys(cosigner=False)]
        lines += [k.encode() for k in keyring.cosigner.verifier.verifier_keys(cosigner=True)]
        lines += [k.encode() for k in _signer(root_name(nation)).verifier.statement_keys()]
    return parse_trust(lines)


async def test_evidence_of_an_old_message_is_that_of_its_own_generation(world: World) -> None:
    (message_id,) = await deliver(world, "US")
    await fork(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    (new,) = await deliver(world, "US")

    for wanted, word in ((message_id, b"exchange/fr\n"), (new, b"exchange/fr/2\n")):
        archive = await world.node("US").evidence.prove(world.principal("US"), wanted, disclose=False)
        assert word in archive
        report = verify_evidence(archive, trust=trust_of(world))
        assert report.is_verified, report
    delivery, verification = await world.node("FR").inbox.read(world.principal("FR"), message_id)
    assert delivery.row.message_id == message_id
    assert verification.origin == world.sides["US"].keyring.pair.exchange_origin
    await is_whole(world)


async def test_what_the_old_log_said_unheard_is_said_again(world: World) -> None:
    (message_id,) = await deliver(world, "US")
    await world.settle()
    world.sides["FR"].faults.refuse = lambda _: UnavailableError("one-way")
    await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    await world.until(
        lambda: world.log("FR"), lambda log: any(isinstance(entry, CollectedEntry) for entry in log)
    )
    await freeze_both(world)
    world.sides["FR"].faults.refuse = None

    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)

    await world.until_state("US", message_id, "collected")
    await is_whole(world)


async def test_a_withdrawn_number_stays_void_in_the_new_generation(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")
    await world.node("US").tracking.withdraw(world.principal("US"), message_id)
    await freeze_both(world)
    world.reconnect("US")

    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    await deliver(world, "US")

    entries = await world.log("FR", world.exchange_origin("US"))
    assert [e.conversation_id for e in entries if isinstance(e, VoidEntry)] == [message_id]
    with pytest.raises(NotFoundError):
        await world.node("FR").inbox.read(world.principal("FR"), message_id)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("nation", ["FR", "US"])
async def test_a_crash_while_the_generation_opens_leaves_one_generation(
    frozen: World, nation: str, *, persisted: bool
) -> None:
    message_id = await frozen.send("US")
    await resume(frozen, nation)
    frozen.break_write(nation, Step.RECOVERED, persisted=persisted)
    await resume(frozen, other(nation))

    async def died() -> bool:
        frozen.clock.advance(2.1)
        return frozen.sides[nation].faults.crashed.is_set()

    await frozen.until(died, bool)
    await frozen.restart(nation)
    await until_generation(frozen, 2)

    await frozen.until_state("US", message_id, "received")
    await is_whole(frozen)


async def test_a_node_asks_what_its_peer_mirrors_once_that_is_of_the_same_generation(frozen: World) -> None:
    # The French node opens the generation between two answers: its mirror of before is longer
    # than the American log of the new one.
    faults = frozen.sides["US"].faults
    before = await frozen.node("FR").peer_service.view()
    followed: list[str] = []

    def answer_late(question: str, answer: object) -> object:
        if frozen.node("US").pair.generation == 2:
            followed.append(question)
            # What is asked first is still answered by the generation before.
            return before if followed == ["view"] else answer
        return answer

    faults.alter_answer = answer_late
    message_id = await frozen.send("US")
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)

    assert followed[0] == "standing"
    await frozen.until_state("US", message_id, "received")
    await is_whole(frozen)


async def test_a_restart_between_the_sign_offs_keeps_the_first(frozen: World) -> None:
    await resume(frozen, "FR")
    await frozen.restart("FR")
    await frozen.until_phase("FR", Phase.FROZEN)

    await resume(frozen, "US")
    await until_generation(frozen, 2)

    await deliver(frozen, "US")
    await is_whole(frozen)


async def test_a_resumed_pair_survives_restarts_and_can_be_resumed_again(frozen: World) -> None:
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)
    await deliver(frozen, "US")
    for nation in ("FR", "US"):
        await frozen.restart(nation)
        await frozen.until_phase(nation, Phase.RUNNING)
    await deliver(frozen, "FR")
    await freeze_both(frozen)

    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 3)

    await deliver(frozen, "US")
    await is_whole(frozen)


async def test_a_backup_of_the_new_generation_is_recovered_like_any_other(frozen: World) -> None:
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)
    await deliver(frozen, "US")
    for nation in ("US", "FR"):
        copy = frozen.backup(nation)
        (lost,) = await deliver(frozen, "US")
        await frozen.restore(nation, copy)
        await frozen.start(nation)
        await frozen.until_phase(nation, Phase.RUNNING)
        await frozen.until(lambda m=lost: _has(frozen, m), bool)  # type: ignore[misc]
        await deliver(frozen, nation)
    await is_whole(frozen)


async def _has(world: World, message_id: bytes) -> bool:
    return message_id in await world.received("FR")


async def test_a_backup_of_the_old_generation_is_named_and_both_sign_off_for_a_third(frozen: World) -> None:
    copy = frozen.backup("US")
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)
    await deliver(frozen, "US")
    await frozen.restore("US", copy)

    await frozen.start("US")

    error = await stopped_with(frozen, "US")
    assert isinstance(error, GenerationBehindError)


# --- an operator vouches for the database --------------------------------------------------


async def test_an_operator_lets_a_node_sign_without_its_peer_and_that_is_on_record(world: World) -> None:
    await deliver(world, "US")
    world.sides["US"].faults.unreachable = True
    await world.restart("US")
    await world.until_phase("US", Phase.STARTING)
    origin = world.sides["US"].keyring.pair.exchange_origin

    async def overridden() -> bool:
        try:
            await world.node("US").recovery.override(OPERATOR, "The border line is down until Monday")
        except NothingToOverrideError:
            return False
        return True

    await world.until(overridden, bool)
    await world.until_phase("US", Phase.RUNNING)

    (event,) = [event for event in await world.events("US") if event.event == "recovery.overridden"]
    assert (event.role, event.actor) == (Role.OPERATOR, OPERATOR.spki)
    kinds = [(item.kind, item.origin) for item in await world.incidents("US")]
    assert (IncidentKind.RECOVERY, origin) in kinds
    world.reconnect("US")
    await deliver(world, "US")
    await is_whole(world)


async def test_what_the_marks_know_to_be_missing_cannot_be_overridden(world: World) -> None:
    await deliver(world, "US")
    copy = world.backup("US")
    await deliver(world, "US")
    await world.restore("US", copy)
    world.sides["US"].faults.unreachable = True
    await world.start("US")

    async def refused() -> bool:
        try:
            await world.node("US").recovery.override(OPERATOR, "It will be all right")
        except NothingToOverrideError:
            return False
        except UnprovenHistoryError:
            return True
        raise AssertionError

    await world.until(refused, bool)
    assert world.node("US").phase is Phase.STARTING
    world.reconnect("US")
    await world.until_phase("US", Phase.RUNNING)
    await is_whole(world)


async def test_a_node_that_does_not_wait_has_nothing_to_override(world: World) -> None:
    await world.settle()
    with pytest.raises(NothingToOverrideError):
        await world.node("US").recovery.override(OPERATOR, "Just in case")
