"""What the peer may ask: our log and its own mirrored here, nothing else, and never too much."""

from __future__ import annotations

import pytest

from gateway.core.cosignature import verify_cosignature, verify_log_note
from gateway.errors import MalformedError
from gateway.node import peer_service
from gateway.node.peer_service import UnknownLogError
from tests.world import World


async def test_both_logs_are_shown_entry_by_entry(world: World) -> None:
    await world.settle()
    pair = world.sides["FR"].keyring.pair
    service = world.node("FR").peer_service

    for origin, nation in ((pair.exchange_origin, "FR"), (pair.peer_origin, "US")):
        size = len(await world.log(nation))
        assert len(await service.entries(origin, 0, size)) == size
        assert await service.entries(origin, 1, 2) == (await service.entries(origin, 0, size))[1:2]


@pytest.mark.parametrize(
    "log", ["", "fr.gateway.test/audit", "us.gateway.test/audit", "fr.gateway.test/exchange/xx", "x"]
)
async def test_no_other_log_is_shown(world: World, log: str) -> None:
    await world.settle()

    with pytest.raises(UnknownLogError):
        await world.node("FR").peer_service.entries(log, 0, 1)


@pytest.mark.parametrize(("start", "end"), [(0, 0), (1, 1), (2, 1), (-1, 1), (0, 10_000), (10_000, 10_001)])
async def test_a_range_outside_the_log_is_refused(world: World, start: int, end: int) -> None:
    await world.settle()
    origin = world.sides["FR"].keyring.pair.exchange_origin

    with pytest.raises(MalformedError):
        await world.node("FR").peer_service.entries(origin, start, end)


async def test_an_answer_is_bounded_in_number_and_in_bytes_and_holds_one_entry_at_least(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.settle()
    origin = world.sides["FR"].keyring.pair.exchange_origin
    service = world.node("FR").peer_service

    monkeypatch.setattr(peer_service, "MAX_ENTRIES_ANSWER", 2)
    assert len(await service.entries(origin, 0, 3)) == 2
    monkeypatch.setattr(peer_service, "MAX_ANSWER_BYTES", 10)
    assert len(await service.entries(origin, 0, 3)) == 1


async def test_a_view_shows_both_logs_and_cosigns_the_peers(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    await world.settle()
    french, american = world.sides["FR"].keyring, world.sides["US"].keyring

    view = await world.node("FR").peer_service.view()

    assert view.mirrored_size == len(await world.log("US"))
    assert view.own_size == len(await world.log("FR"))
    assert view.mirrored is not None
    assert view.own is not None
    origin = american.pair.exchange_origin
    checkpoint = verify_log_note(view.mirrored, verifier=american.own_verifiers(origin)[0]).checkpoint
    assert checkpoint.size == view.mirrored_size
    assert verify_cosignature(view.mirrored, cosigner=french.cosigner.verifier) > 0
    own = verify_log_note(view.own, verifier=french.own_verifiers(french.pair.exchange_origin)[0]).checkpoint
    assert own.size == view.own_size


async def test_times_of_cosignatures_never_go_back_even_if_the_clock_does(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    await world.settle()
    cosigner = world.sides["FR"].keyring.cosigner.verifier

    async def cosigned_s() -> int:
        view = await world.node("FR").peer_service.view()
        assert view.mirrored is not None
        return verify_cosignature(view.mirrored, cosigner=cosigner)

    before = await cosigned_s()
    world.clock.set_back(3_600)
    assert await cosigned_s() >= before
    await world.restart("FR")
    assert await cosigned_s() >= before
