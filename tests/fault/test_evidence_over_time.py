"""Evidence of a message stays whole over a change of keys and over another generation of the logs.

Each nation's node hands it out, and an auditor who has nothing but the keys of the two national
roots verifies it.
"""

from __future__ import annotations

import asyncio

import pytest

from gateway.audit.evidence import EvidenceReport, verify_evidence
from gateway.audit.trust import parse_trust
from gateway.core.evidence import parse_evidence
from gateway.errors import UnavailableError
from gateway.keyring.statement import root_name
from gateway.node import courier
from tests.fault.test_recovery import deliver
from tests.fault.test_resumption import fork, resume, until_generation
from tests.fault.test_signing_keys import rotate
from tests.world import World, _signer, other

WHOLE = "origin, delivery, acceptance"


async def evidence(world: World, nation: str, message_id: bytes) -> bytes:
    principal = world.principal(nation)
    return await world.node(nation).evidence.prove(principal, message_id, disclose=False)


def judged(data: bytes) -> EvidenceReport:
    roots = [_signer(root_name(nation)).verifier for nation in ("FR", "US")]
    lines = [key.encode() for root in roots for key in root.statement_keys()]
    return verify_evidence(data, trust=parse_trust(lines))


async def exchanged(world: World) -> list[tuple[str, bytes]]:
    """Send a message each way and wait for its receipt."""
    return [(sender, (await deliver(world, sender))[0]) for sender in ("FR", "US")]


async def verify_whole(world: World, *messages: tuple[str, bytes]) -> list[bytes]:
    """Verify that both nodes prove origin, delivery and acceptance of messages (sender, id)."""
    found = []
    for sender, message_id in messages:
        for nation in (sender, other(sender)):
            data = await evidence(world, nation, message_id)
            report = judged(data)
            assert report.headline.endswith(f": {WHOLE}"), (sender, nation, report)
            found.append(data)
    return found


async def received_without_cosignature(world: World) -> bytes:
    """Return a message whose receipt alone has come: the answer to its bundle is lost, and no view is had."""
    await world.settle()
    world.sides["US"].faults.lose_answers = True
    world.sides["US"].faults.refuse_question = lambda _: UnavailableError("out of reach")
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    return message_id


async def test_evidence_that_is_asked_for_with_the_receipt_waits_for_the_cosignature(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is.
    monkeypatch.setattr(courier, "DELIVERED_S", 60.0)
    message_id = await received_without_cosignature(world)
    asked = asyncio.create_task(evidence(world, "US", message_id))
    await asyncio.sleep(0.05)
    assert not asked.done()

    world.sides["US"].faults.lose_answers = False
    world.sides["US"].faults.refuse_question = None

    assert judged(await asked).headline.endswith(f": {WHOLE}")


async def test_evidence_is_handed_out_without_a_cosignature_that_does_not_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "DELIVERED_S", 0.1)
    message_id = await received_without_cosignature(world)

    headline = judged(await evidence(world, "US", message_id)).headline

    assert "acceptance" in headline
    assert "delivery" not in headline


@pytest.mark.parametrize("nation", ["FR", "US"])
async def test_evidence_is_whole_after_one_nation_has_changed_its_keys(world: World, nation: str) -> None:
    sent = await exchanged(world)
    await world.settle()
    before = await verify_whole(world, *sent)

    await rotate(world, nation)
    await world.settle()

    # Nothing was sent since: the newest cosignature is under the old keys, the newest note of the
    # nation's own log under the new ones.
    await verify_whole(world, *sent)
    for data in before:
        assert judged(data).is_verified, "what was handed out before stays good"
    later = await exchanged(world)
    await verify_whole(world, *sent, *later)


async def test_a_cosignature_under_other_keys_than_the_receipts_brings_both_statements(world: World) -> None:
    (message_id,) = await deliver(world, "FR")
    await world.settle()
    await rotate(world, "US")
    await world.settle()

    found = parse_evidence(await evidence(world, "FR", message_id))
    assert found.cosigner_statement is not None
    assert found.cosigner_statement != found.receiver_statement


async def test_evidence_is_whole_in_the_next_generation_at_both_nodes(world: World) -> None:
    old = await exchanged(world)
    await fork(world)
    waiting = [(sender, await world.send(sender)) for sender in ("FR", "US")]
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    for sender, message_id in waiting:
        await world.until_state(sender, message_id, "received")
    await world.settle()

    await verify_whole(world, *old, *waiting)


async def test_evidence_is_whole_over_new_keys_and_another_generation_and_new_keys_again(
    world: World,
) -> None:
    sent = await exchanged(world)
    await rotate(world, "US")
    await world.settle()
    sent += await exchanged(world)
    # A frozen pair cosigns nothing any more.
    await world.cosigned("FR", "US")
    await fork(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    sent += await exchanged(world)
    for nation in ("FR", "US"):
        await rotate(world, nation)
    await world.settle()
    sent += await exchanged(world)
    await world.settle()

    await verify_whole(world, *sent)
