"""Log and cosigner keys change while messages flow: every size has its key, whatever breaks."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from gateway.core.bundle import Bundle, decode_bundle
from gateway.core.cosignature import sign_checkpoint, signing_key, verify_cosignature, verify_log_note
from gateway.core.entries import KeyStatementEntry, encode_entry
from gateway.errors import PeerError, SignatureInvalidError
from gateway.node.health import Phase
from gateway.node.signing_keys import statements_in
from gateway.ports import PeerView, Step, StoredNote
from tests.forger import Forger
from tests.world import World, _signer, other

FR_LOG, US_LOG = "fr.gateway.test/exchange/us", "us.gateway.test/exchange/fr"


async def stated(world: World, nation: str = "FR", origin: str = FR_LOG) -> list[int]:
    """Return where a log of a node, or its mirror of the other's, states keys."""
    store = world.sides[nation].store
    assert store is not None
    return [index for index, _ in await store.read(partial(statements_in, origin=origin))]


async def rotate(world: World, nation: str = "FR") -> None:
    world.sides[nation].keyring.rotate()
    await world.node(nation).restate()


async def newest_note(world: World, nation: str, origin: str) -> StoredNote:
    store = world.sides[nation].store
    assert store is not None
    note = await store.read(lambda tx: tx.logs.newest_note(origin))
    assert note is not None
    assert note.note is not None
    return note


async def all_received(world: World, nation: str, ids: list[bytes]) -> None:
    for message_id in ids:
        await world.until_state(nation, message_id, "received")


async def test_messages_flow_on_under_new_keys_and_each_size_has_its_own(world: World) -> None:
    before = await world.send_many("FR", 3)
    await all_received(world, "FR", before)
    # Both nations at once, with messages on their way.
    after = {nation: await world.send_many(nation, 20) for nation in ("FR", "US")}
    await asyncio.gather(rotate(world, "FR"), rotate(world, "US"))
    more = {nation: await world.send_many(nation, 20) for nation in ("FR", "US")}
    for nation in ("FR", "US"):
        await all_received(world, nation, after[nation] + more[nation])
    await world.settle()
    await world.check()

    for nation, origin in (("FR", FR_LOG), ("US", US_LOG)):
        first, second = await stated(world, nation, origin)
        assert first == 0
        assert await stated(world, other(nation), origin) == [first, second]
        note = await newest_note(world, nation, origin)
        assert note.note is not None
        assert note.size > second
        verify_log_note(note.note, verifier=_signer(origin, 2).verifier)
        assert [entry.event for entry in await world.events(nation)].count("keys.changed") == 1
    assert await world.received("US") == before + after["FR"] + more["FR"]
    assert await world.received("FR") == after["US"] + more["US"]


async def test_the_bundle_of_the_statement_is_the_first_under_the_new_keys(world: World) -> None:
    await world.settle()
    faults = world.sides["FR"].faults
    faults.keep_posted = True
    await world.send_many("FR", 4)
    await rotate(world)
    await world.settle()
    await world.send_many("FR", 4)
    await world.settle()

    _, index = await stated(world)
    for data in faults.posted:
        bundle = decode_bundle(data)
        version = 1 if bundle.end <= index else 2
        verify_log_note(bundle.note, verifier=_signer(FR_LOG, version).verifier)
        if bundle.start <= index < bundle.end:
            assert (bundle.start, bundle.end) == (index, index + 1)


async def test_cosignatures_change_once_the_peer_holds_the_statement(world: World) -> None:
    await all_received(world, "FR", await world.send_many("FR", 2))
    # The other node does not get our statement, and messages go on to come from it.
    world.sides["FR"].faults.refuse = lambda _: PeerError("away")
    await rotate(world)
    await world.send_many("US", 2)

    async def cosigned_by(version: int) -> bool:
        store = world.sides["US"].store
        assert store is not None
        note = await store.read(lambda tx: tx.logs.newest_note(US_LOG, cosigned=True))
        if note is None or note.note is None:
            return False
        try:
            verify_cosignature(note.note, cosigner=_signer("fr.gateway.test", version).verifier)
        except SignatureInvalidError:
            return False
        return True

    await world.until(lambda: cosigned_by(1), bool)
    world.sides["FR"].faults.refuse = None

    async def with_another_message(version: int) -> bool:
        world.clock.advance(61)
        await world.send("US")
        await world.settle()
        return await cosigned_by(version)

    await world.until(lambda: with_another_message(2), bool)


async def test_the_audit_log_goes_on_under_its_new_key_and_is_cosigned(world: World) -> None:
    await world.settle()
    origin = "fr.gateway.test/audit"
    await rotate(world)
    await world.settle()

    async def cosigned() -> Any:
        world.clock.advance(61)
        await asyncio.sleep(0.02)
        store = world.sides["FR"].store
        assert store is not None
        return await store.read(lambda tx: tx.logs.newest_note(origin, cosigned=True))

    places = await stated(world, "FR", origin)
    assert len(places) == 2
    note = await world.until(cosigned, lambda found: found is not None and found.size > places[1])
    verify_log_note(note.note, verifier=_signer(origin, 2).verifier)
    # The peer, which holds no entries of it, has seen the new key and does not go back.
    known = await newest_note(world, "US", origin)
    forged = sign_checkpoint(
        verify_log_note(note.note, verifier=_signer(origin, 2).verifier).checkpoint,
        signer=_signer(origin, 1),
        time_s=2_000_000_000,
    )
    with pytest.raises(SignatureInvalidError):
        await world.node("US").peer_service.add_checkpoint(f"old {known.size}\n\n".encode() + forged)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", [Step.SEQUENCED, Step.SIGNED, Step.AUDITED])
async def test_a_crash_around_the_statement_loses_nothing(
    world: World, step: Step, *, persisted: bool
) -> None:
    ids = await world.send_many("FR", 3)
    await all_received(world, "FR", ids)
    await world.settle()
    world.break_write("FR", step, persisted=persisted)
    world.sides["FR"].keyring.rotate()
    with_crash = asyncio.create_task(world.node("FR").restate())
    await world.until_crashed("FR")
    await asyncio.gather(with_crash, return_exceptions=True)

    await world.restart("FR")
    ids += await world.send_many("FR", 3)
    await all_received(world, "FR", ids)
    await world.settle()
    await world.check()
    assert len(await stated(world)) == 2
    assert await stated(world, "US") == await stated(world)
    note = await newest_note(world, "FR", FR_LOG)
    assert note.note is not None
    verify_log_note(note.note, verifier=_signer(FR_LOG, 2).verifier)


async def test_a_peer_that_lost_its_mirror_gets_each_bundle_under_the_key_of_its_size(world: World) -> None:
    backup = world.backup("US")
    ids = await world.send_many("FR", 5)
    await all_received(world, "FR", ids)
    await rotate(world)
    await world.settle()
    ids += await world.send_many("FR", 5)
    await all_received(world, "FR", ids)
    await world.settle()

    await world.restore("US", backup)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await world.settle()
    await all_received(world, "FR", ids)
    await world.check()
    assert await stated(world, "US") == await stated(world)
    assert set(ids) <= set(await world.received("US"))


async def test_a_node_that_lost_its_statement_refills_it_from_the_peer(world: World) -> None:
    await world.settle()
    backup = world.backup("FR")
    await rotate(world)
    ids = await world.send_many("FR", 3)
    await all_received(world, "FR", ids)
    await world.settle()
    before = await stated(world)

    await world.restore("FR", backup)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)
    ids = await world.send_many("FR", 3)
    await all_received(world, "FR", ids)
    await world.settle()
    await world.check()
    assert await stated(world) == before


async def test_who_has_a_replaced_key_cannot_bring_it_back(world: World) -> None:
    old = world.sides["US"].keyring.statement
    await rotate(world, "US")
    await world.settle()
    forger = await Forger.take_over(world)

    # The old statement is public, and the thief has the key that it names.
    forger.use_key(_signer(US_LOG, 1))
    entry = encode_entry(KeyStatementEntry(statement=old))
    going_back = forger.signed(
        Bundle(start=forger.size, entries=(entry,), boxes=(), ciphertexts=(), note=b"")
    )
    with pytest.raises(PeerError):
        await forger.post(going_back)
    # Nor does the old key sign beyond its last size.
    with pytest.raises(SignatureInvalidError):
        await forger.post(forger.bundle([forger.message()]))
    forger.use_key(_signer(US_LOG, 2))
    await forger.post(forger.bundle([forger.message()]))


async def test_the_view_of_a_restarted_node_is_signed_by_the_key_in_use(world: World) -> None:
    await all_received(world, "FR", await world.send_many("FR", 2))
    await rotate(world)
    await world.settle()
    await world.restart("FR")
    await world.until_phase("FR", Phase.RUNNING)
    view: PeerView = await world.node("FR").peer_service.view()
    assert view.own is not None
    keys = [_signer(FR_LOG, version).verifier for version in (2, 1)]
    assert signing_key(view.own, keys) == keys[0]
