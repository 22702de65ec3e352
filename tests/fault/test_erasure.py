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
from gateway.core.message.instants import time_text
from gateway.core.message.retention import Ground
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.errors import StoreError
from gateway.node.audit_log import Actor
from gateway.node.custody import Kept, OnHoldError
from gateway.node.health import Phase
from gateway.node.inbox import NotFoundError
from gateway.node.second_stage import ErasedError
from gateway.ports import Step
from tests.messages import (
    DAY_MS,
    INVESTIGATORS,
    PERSONAL,
    acknowledgement,
    answer,
    correction,
    intelligence,
    request,
)
from tests.world import CrashError, World, message_uuid, other

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


# --- by a message that orders it ---------------------------------------------------------


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
        entries = await world.until(lambda n=nation: erased_entries(world, n), bool)  # type: ignore[misc]
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
        await world.until(lambda n=both: erased_entries(world, n), bool)  # type: ignore[misc]
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


# --- after a restore ---------------------------------------------------------------------


@pytest.mark.parametrize("nation", ["FR", "US"])
async def test_a_restored_backup_erases_again_before_it_shows_anything(world: World, nation: str) -> None:
    message_id = await deliver(world)
    secrets = await sealed(world, nation, message_id)
    copy = world.backup(nation)
    await order(world, nation, message_id)
    await world.until(lambda: erased_entries(world, nation), bool)
    await world.settle()

    await world.restore(nation, copy)
    world.sides[nation].faults.unreachable = True
    await world.start(nation)

    # The peer is not there; what is shown first is erased all the same.
    if nation == "FR":
        (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
        assert delivery.message is None
    found = await until_erased(world, nation, message_id)
    assert found.row.ground is Ground.RESTORED
    await until_scrubbed(world, nation)
    for part in secrets:
        assert places(world, nation, part) == []
    world.reconnect(nation)
    await world.until_phase(nation, Phase.RUNNING)
    await world.settle()
    await world.check()


async def test_a_backup_restored_without_its_other_files_erases_again_by_what_its_log_says(
    world: World,
) -> None:
    message_id = await deliver(world)
    copy = world.backup("FR")
    await order(world, "FR", message_id)
    await world.until(lambda: erased_entries(world, "FR"), bool)
    await world.settle()

    await world.restore("FR", copy, marks=False)
    await world.start("FR")

    found = await until_erased(world, "FR", message_id)
    assert found.row.ground is Ground.RESTORED
    await world.until_phase("FR", Phase.RUNNING)
    await world.settle()
    # It is not named a second time.
    assert len(await erased_entries(world, "FR")) == 1
    await world.check()


async def sent_after_the_backup(world: World) -> tuple[Path, bytes]:
    """Return a copy of the American database in which a message waits that is received since."""
    await deliver(world)
    await world.cut_off("US")
    message_id = await world.send("US")
    copy = world.backup("US")
    world.reconnect("US")
    await world.until_state("US", message_id, "received")
    await world.settle()
    return copy, message_id


async def void_entries(world: World) -> list[VoidEntry]:
    return [entry for entry in await world.log("US") if isinstance(entry, VoidEntry)]


@pytest.mark.parametrize("away", [False, True])
async def test_the_number_of_a_message_that_was_sent_after_the_backup_and_erased_is_not_void(
    world: World, *, away: bool
) -> None:
    copy, message_id = await sent_after_the_backup(world)
    secrets = await sealed(world, "US", message_id)
    await order(world, "US", message_id)
    await world.until(lambda: erased_entries(world, "US"), bool)
    await world.settle()

    await world.restore("US", copy)
    world.sides["US"].faults.unreachable = away
    await world.start("US")
    if away:
        found = await until_erased(world, "US", message_id)
        await until_scrubbed(world, "US")
        assert [places(world, "US", part) for part in secrets] == [[], []]
        assert not found.row.is_void
        world.reconnect("US")

    await world.until_phase("US", Phase.RUNNING)
    assert (await until_erased(world, "US", message_id)).row.ground is Ground.RESTORED
    await deliver(world)

    async def was() -> State | None:
        return (await kept(world, "US", message_id)).row.was

    await world.until(was, lambda state: state is State.RECEIVED)
    await world.settle()
    assert await void_entries(world) == []
    assert not (await kept(world, "US", message_id)).row.is_void
    assert len(await erased_entries(world, "US")) == 1
    await world.check()


async def test_an_order_that_comes_before_the_peer_has_answered_destroys_at_once_and_voids_nothing(
    world: World,
) -> None:
    copy, message_id = await sent_after_the_backup(world)
    await world.restore("US", copy)
    world.sides["US"].faults.unreachable = True
    await world.start("US")
    await world.until_phase("US", Phase.STARTING)
    secrets = await sealed(world, "US", message_id)

    found = await order(world, "US", message_id)

    assert (found.row.state, found.row.ground) == (State.ERASED, Ground.ORDER)
    assert [places(world, "US", part) for part in secrets] == [[], []]
    assert not found.row.is_void
    world.reconnect("US")
    await world.until_phase("US", Phase.RUNNING)
    # Now that its place is known the log names it.
    (entry,) = await world.until(lambda: erased_entries(world, "US"), bool)
    found = await kept(world, "US", message_id)
    assert found.row.log_index is not None
    assert entry.size == found.row.log_index + 1
    await deliver(world)
    await world.settle()
    assert await void_entries(world) == []
    tracked = await world.node("US").tracking.status(world.principal("US"), message_id)
    assert [event.event for event in tracked.timeline] == [
        "accepted",
        "sent",
        "delivered",
        "received",
        "erased",
    ]
    await world.check()


@pytest.mark.parametrize("persisted", [None, False, True])
async def test_what_was_erased_in_doubt_and_never_sent_is_void_once_the_peer_has_answered(
    world: World, *, persisted: bool | None
) -> None:
    await deliver(world)
    await world.cut_off("US")
    message_id = await world.send("US")
    copy = world.backup("US")
    await order(world, "US", message_id)
    await world.restore("US", copy)
    await world.start("US")
    found = await until_erased(world, "US", message_id)
    assert not found.row.is_void
    if persisted is not None:
        # The write that settles it is the second of its kind at this start.
        world.break_write("US", Step.RECOVERED, persisted=persisted, skip=1)
    world.reconnect("US")
    if persisted is not None:
        await world.until_crashed("US")
        await world.restart("US")

    (void,) = await world.until(lambda: void_entries(world), bool)

    assert void.conversation_id == message_id
    assert (await kept(world, "US", message_id)).row.is_void
    await world.settle()
    assert len(await void_entries(world)) == 1
    await world.check()


async def test_a_message_that_comes_back_after_a_restore_is_erased_again(world: World) -> None:
    await deliver(world)
    copy = world.backup("FR")
    message_id = await deliver(world)
    await order(world, "FR", message_id)
    await world.settle()

    await world.restore("FR", copy)
    await world.start("FR")

    await world.until_phase("FR", Phase.RUNNING)
    await world.until_state("US", message_id, "received", "erased")

    async def arrived() -> bool:
        world.clock.advance(1.1)
        return message_id in await world.received("FR")

    await world.until(arrived, bool)
    assert (await until_erased(world, "FR", message_id)).row.ground is Ground.RESTORED


async def test_what_is_over_by_its_own_date_goes_before_a_restored_backup_shows_anything(
    world: World,
) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    copy = world.backup("FR")
    world.clock.advance(LAST_DAY_OVER_S)
    await until_erased(world, "FR", message_id)
    await world.settle()

    await world.restore("FR", copy, marks=False)
    world.sides["FR"].faults.unreachable = True
    await world.start("FR")

    (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
    assert delivery.message is None
    world.reconnect("FR")


# --- legal hold --------------------------------------------------------------------------


async def hold(world: World, nation: str, subject: bytes, *, conversation: bool = False) -> int:
    return await world.node(nation).custody.hold(
        OPERATOR, subject, "Pending trial", conversation=conversation
    )


async def lift(world: World, nation: str, subject: bytes, *, conversation: bool = False) -> None:
    await world.node(nation).custody.lift(OPERATOR, subject, "Trial over", conversation=conversation)


async def test_a_held_message_outlives_its_last_day_and_goes_when_the_hold_is_lifted(world: World) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    assert await hold(world, "FR", message_id) == 1
    assert (await world.node("FR").health()).vitals.held == 1

    world.clock.advance(LAST_DAY_OVER_S)
    await until_erased(world, "US", message_id)
    assert await sealed(world, "FR", message_id)
    await world.restart("FR")
    (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
    assert delivery.message is not None

    await lift(world, "FR", message_id)
    await until_erased(world, "FR", message_id)
    assert (await world.node("FR").health()).vitals.held == 0


async def test_a_held_message_cannot_be_erased_by_order(world: World) -> None:
    message_id = await deliver(world)
    await hold(world, "FR", message_id)
    with pytest.raises(OnHoldError):
        await order(world, "FR", message_id)
    assert await sealed(world, "FR", message_id)


async def test_a_held_conversation_keeps_what_comes_later(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = await world.post("US", request("US", now_ms), agency="US.ICE.HSI")
    await world.until_state("US", asked.message_id, "received", agency="US.ICE.HSI")
    await hold(world, "US", asked.message_id, conversation=True)
    ack = await world.post("FR", acknowledgement("FR", asked.message_id, now_ms), agency="FR.DGDDI.DNRED")
    await world.until_state("FR", ack.message_id, "received", agency="FR.DGDDI.DNRED")

    world.clock.advance(2_000 * DAY_MS / 1_000)
    await until_erased(world, "FR", ack.message_id)

    for message_id in (asked.message_id, ack.message_id):
        assert await sealed(world, "US", message_id)


async def test_holds_are_on_record_with_who_set_them_and_the_digest_of_why(world: World) -> None:
    message_id = await deliver(world)
    await hold(world, "FR", message_id)
    await lift(world, "FR", message_id)

    events = [e for e in await world.events("FR") if e.event.startswith("hold.")]
    assert [(e.event, e.role, e.actor, e.objects) for e in events] == [
        ("hold.set", Role.OPERATOR, OPERATOR.spki, (message_id,)),
        ("hold.lifted", Role.OPERATOR, OPERATOR.spki, (message_id,)),
    ]
    assert all(len(e.details[0]) == 48 for e in events if isinstance(e.details[0], bytes))
    with pytest.raises(NotFoundError):
        await lift(world, "FR", message_id)


async def test_a_hold_that_a_backup_does_not_know_stands_before_anything_is_erased(world: World) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    copy = world.backup("FR")
    await hold(world, "FR", message_id)
    world.clock.advance(LAST_DAY_OVER_S)
    await until_erased(world, "US", message_id)

    await world.restore("FR", copy)
    await world.start("FR")

    (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
    assert delivery.message is not None
    (standing,) = await world.node("FR").custody.holds()
    assert (standing.subject, standing.reason) == (message_id, "Pending trial")


async def test_a_hold_that_was_lifted_after_the_backup_does_not_come_back(world: World) -> None:
    message_id = await deliver(world)
    await hold(world, "FR", message_id)
    copy = world.backup("FR")
    await lift(world, "FR", message_id)

    await world.restore("FR", copy)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)

    assert await world.node("FR").custody.holds() == []
    assert not (await kept(world, "FR", message_id)).row.held
