"""Content that a message orders away, retracts or cancels is destroyed at both nodes, once that counts."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from gateway.core.message.instants import instant_ms, time_text
from gateway.core.message.retention import Ground
from gateway.node.health import Phase
from gateway.ports import Step
from tests.fault.test_erasure import (
    LAST_DAY_OVER_S,
    deliver,
    erased_entries,
    kept,
    order,
    places,
    sealed,
    until_erased,
    until_scrubbed,
)
from tests.fault.test_holds import hold, lift
from tests.messages import (
    DAY_MS,
    INVESTIGATORS,
    correction,
    intelligence,
    use_change,
)
from tests.world import World, message_uuid, other


def governance(
    nation: str, type_name: str, parent: bytes, payload: dict[str, Any], now_ms: int
) -> dict[str, Any]:
    """Return a message about an earlier one of the same agency."""
    return {
        "type": f"{type_name}/1",
        "header": {
            "to": [{"agency": INVESTIGATORS[other(nation)]}],
            "language": "fr" if nation == "FR" else "en",
            "precedence": "ROUTINE",
            "purpose": {"code": "DATA_GOVERNANCE", "areas": []},
            "conversation": {"in_reply_to": message_uuid(parent)},
            **({"reply_by": time_text(now_ms + DAY_MS)} if type_name == "gov.retraction" else {}),
        },
        "payload": {"target": message_uuid(parent), **payload},
    }


def retraction(nation: str, parent: bytes, now_ms: int, *, delete: bool = True) -> dict[str, Any]:
    payload = {"reason": "PERSON_CLEARED", "delete": delete, "notify_recipients": False}
    return governance(nation, "gov.retraction", parent, payload, now_ms)


async def inform(world: World) -> bytes:
    """Send intelligence from the American investigators to the French ones; return its id."""
    posted = await world.post("US", intelligence("US"), agency="US.ICE.HSI")
    await world.until_state("US", posted.message_id, "received", agency="US.ICE.HSI")
    await world.settle()
    return posted.message_id


async def retract(world: World, message_id: bytes, *, delete: bool = True) -> bytes:
    draft = retraction("US", message_id, world.clock.now_ms(), delete=delete)
    return (await world.post("US", draft, agency="US.ICE.HSI")).message_id


async def test_a_retraction_destroys_what_it_names_at_both_nodes(world: World) -> None:
    message_id = await inform(world)
    secrets = {nation: await sealed(world, nation, message_id) for nation in ("FR", "US")}

    order_id = await retract(world, message_id)

    for nation in ("FR", "US"):
        found = await until_erased(world, nation, message_id)
        assert found.row.ground is Ground.RETRACTION
        await until_scrubbed(world, nation)
        for part in secrets[nation]:
            assert places(world, nation, part) == []
        # The retraction itself stays: it says why.
        assert await sealed(world, nation, order_id)
        entries = await world.until(partial(erased_entries, world, nation), bool)
        assert [entry.origin for entry in entries] == ["us.gateway.test/exchange/fr"]
    await world.settle()
    await world.check()


async def test_a_retraction_destroys_the_corrections_of_what_it_names_as_well(world: World) -> None:
    message_id = await inform(world)
    old = "A synthetic summary."
    ids: list[bytes] = []
    for new in ("Another synthetic summary.", "A third synthetic summary."):
        draft = correction("US", ids[-1] if ids else message_id, "/payload/summary", old, new)
        if ids:  # a correction of the correction: its one patch says the new value
            draft["payload"]["patches"][0]["path"] = "/payload/patches/0/new"
        ids.append((await world.post("US", draft, agency="US.ICE.HSI")).message_id)
        await world.until_state("US", ids[-1], "received", agency="US.ICE.HSI")
        old = new
    bystander = await inform(world)
    await world.settle()

    await retract(world, message_id)

    for nation in ("FR", "US"):
        for item in (message_id, *ids):
            assert (await until_erased(world, nation, item)).row.ground is Ground.RETRACTION
        assert await sealed(world, nation, bystander)
    await world.settle()
    await world.check()


async def test_a_correction_after_the_retraction_is_destroyed_too_and_so_is_its_own(world: World) -> None:
    message_id = await inform(world)
    bystander = await inform(world)
    await retract(world, message_id)
    for nation in ("FR", "US"):
        await until_erased(world, nation, message_id)

    late = correction("US", message_id, "/payload/summary", "A synthetic summary.", "Another one.")
    late_id = (await world.post("US", late, agency="US.ICE.HSI")).message_id
    # The sender destroys it once it has the receipt: by then it is known at the other side.
    for nation in ("US", "FR"):
        assert (await until_erased(world, nation, late_id)).row.ground is Ground.RETRACTION
    later = correction("US", late_id, "/payload/patches/0/new", "Another one.", "A third one.")
    other = correction("US", bystander, "/payload/summary", "A synthetic summary.", "Another one.")
    later_id, other_id = [
        (await world.post("US", draft, agency="US.ICE.HSI")).message_id for draft in (later, other)
    ]

    for nation in ("US", "FR"):
        assert (await until_erased(world, nation, later_id)).row.ground is Ground.RETRACTION
    await world.settle()
    for nation in ("US", "FR"):
        assert await sealed(world, nation, other_id)
        assert (await kept(world, nation, other_id)).erasure is None
    await world.check()


async def test_a_retraction_that_does_not_ask_for_deletion_destroys_nothing(world: World) -> None:
    message_id = await inform(world)
    order_id = await retract(world, message_id, delete=False)
    await world.until_state("US", order_id, "received", agency="US.ICE.HSI")
    probe = await deliver(world)
    await order(world, "FR", probe)
    for nation in ("FR", "US"):
        assert await sealed(world, nation, message_id)


async def test_a_sender_keeps_what_it_retracts_until_the_peer_has_the_retraction(world: World) -> None:
    message_id = await inform(world)
    world.sides["US"].faults.unreachable = True
    await retract(world, message_id)
    probe = await world.send("US")
    await order(world, "US", probe)
    assert await sealed(world, "US", message_id)

    world.reconnect("US")

    for nation in ("FR", "US"):
        await until_erased(world, nation, message_id)


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_while_a_retraction_is_mirrored_leaves_it_in_force(
    world: World, *, persisted: bool
) -> None:
    message_id = await inform(world)
    world.break_write("FR", Step.MIRRORED, persisted=persisted)
    await retract(world, message_id)
    await world.until_crashed("FR")

    await world.restart("FR")

    for nation in ("FR", "US"):
        await until_erased(world, nation, message_id)
    await world.settle()
    await world.check()


async def test_a_held_message_outlives_its_retraction(world: World) -> None:
    message_id = await inform(world)
    await hold(world, "FR", message_id)
    await retract(world, message_id)
    await until_erased(world, "US", message_id)
    assert await sealed(world, "FR", message_id)

    await lift(world, "FR", message_id)

    assert (await until_erased(world, "FR", message_id)).row.ground is Ground.RETRACTION


@pytest.mark.parametrize("nation", ["FR", "US"])
async def test_a_backup_from_before_a_retraction_does_not_bring_the_content_back(
    world: World, nation: str
) -> None:
    message_id = await inform(world)
    copy = world.backup(nation)
    await retract(world, message_id)
    for both in ("FR", "US"):
        await until_erased(world, both, message_id)
        await world.until(partial(erased_entries, world, both), bool)
    await world.settle()

    # Even without the files that outlive a restore, as after the loss of a whole machine.
    await world.restore(nation, copy, marks=False)
    await world.start(nation)

    await until_erased(world, nation, message_id)
    await world.until_phase(nation, Phase.RUNNING)
    await world.settle()
    await world.check()


async def test_a_change_of_use_moves_the_end_to_an_earlier_day(world: World) -> None:
    message_id = await inform(world)
    now_ms = world.clock.now_ms()
    payload = {
        "direction": "TIGHTEN",
        "delete_by": "2026-11-30",
        "effective": time_text(now_ms + 60_000),
        "reason": "A synthetic reason.",
    }
    change = await world.post(
        "US", governance("US", "gov.use_change", message_id, payload, now_ms), agency="US.ICE.HSI"
    )
    await world.until_state("US", change.message_id, "received", agency="US.ICE.HSI")

    world.clock.advance(LAST_DAY_OVER_S)

    for nation in ("FR", "US"):
        assert (await until_erased(world, nation, message_id)).row.ground is Ground.USE_CHANGE


async def test_content_goes_by_the_changes_of_use_that_are_in_force(world: World) -> None:
    message_id = await inform(world)

    def after(day: str) -> int:
        return instant_ms(f"{day}T00:00:00Z") + DAY_MS

    async def end(nation: str) -> int | None:
        return (await kept(world, nation, message_id)).row.erase_ms

    async def post(draft: dict[str, Any]) -> bytes:
        posted = await world.post("US", draft, agency="US.ICE.HSI")
        await world.until_state("US", posted.message_id, "received", agency="US.ICE.HSI")
        await world.settle()
        return posted.message_id

    async def until_end(day: str) -> None:
        for nation in ("FR", "US"):
            found = await world.until(partial(end, nation), lambda at_ms: at_ms == after(day))
            assert found == after(day)

    def change(direction: str, day: str) -> dict[str, Any]:
        return use_change("US", message_id, world.clock.now_ms(), direction=direction, delete_by=day)

    early = await post(change("TIGHTEN", "2026-12-20"))
    await until_end("2026-12-20")
    # What tightens loosens nothing that another one has tightened.
    await post(change("TIGHTEN", "2027-01-20"))
    await until_end("2026-12-20")
    await post(correction("US", early, "/payload/delete_by", "2026-12-20", "2026-12-10"))
    await until_end("2026-12-10")
    await post(retraction("US", early, world.clock.now_ms(), delete=True))
    await until_end("2027-01-20")
    relaxed = await post(change("RELAX", "2035-01-20"))
    await until_end("2035-01-20")
    await post(retraction("US", relaxed, world.clock.now_ms(), delete=False))
    await until_end("2027-01-20")
    await world.check()


async def test_a_retraction_destroys_although_a_change_of_use_comes_with_it(world: World) -> None:
    message_id = await inform(world)
    await world.cut_off("US")
    now_ms = world.clock.now_ms()
    drafts = [
        retraction("US", message_id, now_ms),
        use_change("US", message_id, now_ms, delete_by="2027-01-20"),
    ]
    ids = [(await world.post("US", draft, agency="US.ICE.HSI")).message_id for draft in drafts]
    world.reconnect("US")
    for order_id in ids:
        await world.until_state("US", order_id, "received", agency="US.ICE.HSI")

    for nation in ("FR", "US"):
        assert (await until_erased(world, nation, message_id)).row.ground is Ground.RETRACTION
    await world.settle()
    await world.check()
