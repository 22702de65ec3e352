"""Conversations across the border: numbers, gaps, answers, states; both nodes see the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import pytest

from gateway.core.bundle import decode_bundle
from gateway.core.entries import VoidEntry
from gateway.core.message.threads.deadlines import DeadlineKind
from gateway.node.conversations import Thread
from gateway.node.refusal import RefusedError
from gateway.ports import InboxRow, MessageRow, Transaction
from tests.messages import (
    DAY_MS,
    INVESTIGATORS,
    PERSONAL,
    acknowledgement,
    answer,
    cancellation,
    intelligence,
    refusal,
    request,
)
from tests.world import World, message_uuid, other

ASKING, ANSWERING = INVESTIGATORS["US"], INVESTIGATORS["FR"]


async def post(world: World, nation: str, document: dict[str, Any], **more: Any) -> bytes:
    return (await world.post(nation, document, agency=INVESTIGATORS[nation], **more)).message_id


async def delivered(world: World, nation: str, document: dict[str, Any]) -> bytes:
    message_id = await post(world, nation, document)
    await world.until_state(nation, message_id, "received", agency=INVESTIGATORS[nation])
    return message_id


async def ask(world: World) -> bytes:
    """Let the American agency ask the French one."""
    return await delivered(world, "US", request("US", world.clock.now_ms()))


async def thread(world: World, nation: str, conversation_id: bytes) -> Thread:
    principal = world.principal(nation, INVESTIGATORS[nation])
    return await world.node(nation).conversations.read(principal, conversation_id)


async def inbox(world: World, nation: str) -> list[MessageRow]:
    principal = world.principal(nation, INVESTIGATORS[nation])
    return [item.row for item in await world.node(nation).inbox.page(principal, limit=1_000)]


async def numbers(world: World, nation: str, conversation_id: bytes, agency: str) -> list[int]:
    found = await thread(world, nation, conversation_id)
    return [row.seq for row in found.messages if row.from_agency == agency]


def rules(caught: pytest.ExceptionInfo[RefusedError]) -> list[tuple[str, str]]:
    return [(violation.rule, violation.pointer) for violation in caught.value.violations]


# --- numbers -----------------------------------------------------------------------------


async def test_numbers_run_per_agency_and_conversation_and_drafts_get_the_next(world: World) -> None:
    first, second = await ask(world), await ask(world)
    now_ms = world.clock.now_ms()
    for _ in range(2):
        await delivered(world, "FR", acknowledgement("FR", first, now_ms))
    await delivered(world, "FR", acknowledgement("FR", second, now_ms))

    for nation in ("FR", "US"):
        assert await numbers(world, nation, first, ASKING) == [1]
        assert await numbers(world, nation, first, ANSWERING) == [1, 2]
        assert await numbers(world, nation, second, ANSWERING) == [1]


@pytest.mark.parametrize("seq", [2, 3, 100_000])
async def test_a_number_that_leaves_a_gap_is_refused_at_admission(world: World, seq: int) -> None:
    asked = await ask(world)
    draft = acknowledgement("FR", asked, world.clock.now_ms(), conversation={"seq": seq})

    with pytest.raises(RefusedError) as caught:
        await post(world, "FR", draft)

    assert rules(caught) == [("RF-SEQ", "/header/conversation/seq")]
    assert await numbers(world, "FR", asked, ANSWERING) == []


async def test_a_number_that_was_used_is_refused_at_admission(world: World) -> None:
    asked = await ask(world)
    now_ms = world.clock.now_ms()
    await post(world, "FR", acknowledgement("FR", asked, now_ms, conversation={"seq": 1}))

    with pytest.raises(RefusedError) as caught:
        await post(world, "FR", acknowledgement("FR", asked, now_ms, conversation={"seq": 1}))

    assert rules(caught) == [("RF-SEQ", "/header/conversation/seq")]
    await post(world, "FR", acknowledgement("FR", asked, now_ms, conversation={"seq": 2}))


async def test_drafts_that_are_admitted_together_get_numbers_in_their_order(world: World) -> None:
    asked = await ask(world)
    principal = world.principal("FR", ANSWERING)
    drafts = [acknowledgement("FR", asked, world.clock.now_ms()) for _ in range(5)]

    ids = await world.submit("FR", drafts, principal=principal)

    rows = (await thread(world, "FR", asked)).messages
    assert {row.message_id: row.seq for row in rows if row.outgoing} == {
        message_id: position for position, message_id in enumerate(ids, 1)
    }


async def test_the_number_of_a_withdrawn_message_is_void_and_leaves_no_gap(world: World) -> None:
    asked = await ask(world)
    await world.settle()
    await world.cut_off("FR")
    now_ms = world.clock.now_ms()
    withdrawn = await post(world, "FR", acknowledgement("FR", asked, now_ms))
    kept = await post(world, "FR", answer("FR", asked, now_ms))
    principal = world.principal("FR", ANSWERING)

    await world.node("FR").tracking.withdraw(principal, withdrawn)
    world.reconnect("FR")
    await world.until_state("FR", kept, "received", agency=ANSWERING)

    (row,) = await inbox(world, "US")
    assert (row.message_id, row.seq, row.flags) == (kept, 2, "")
    assert (await thread(world, "US", asked)).missing == {}
    (void,) = [entry for entry in await world.log("FR") if isinstance(entry, VoidEntry)]
    assert (void.conversation_id, void.agency, void.numbers) == (asked, ANSWERING, (1,))
    # The next one counts on from what was used or void.
    await post(world, "FR", acknowledgement("FR", await ask(world), now_ms))


# --- gaps at the receiver ------------------------------------------------------------------


def tamper_once(world: World, nation: str, damage: Callable[[bytes], bytes]) -> None:
    """Damage the next bundle with messages of a node."""
    faults = world.sides[nation].faults

    def tamper(data: bytes) -> bytes:
        if not decode_bundle(data).ciphertexts:
            return data
        faults.tamper = None
        return damage(data)

    faults.tamper = tamper


def without_boxes(data: bytes) -> bytes:
    return replace(decode_bundle(data), boxes=()).encode()


def with_damaged_content(data: bytes) -> bytes:
    bundle = decode_bundle(data)
    first = bundle.ciphertexts[0]
    assert first is not None
    damaged = first[:-1] + bytes([first[-1] ^ 1])
    return replace(bundle, ciphertexts=(damaged, *bundle.ciphertexts[1:])).encode()


async def test_a_gap_is_flagged_until_the_missing_message_arrives(world: World) -> None:
    asked = await ask(world)
    await world.settle()
    now_ms = world.clock.now_ms()
    tamper_once(world, "FR", without_boxes)
    # The receipt that asks for the first message once more is held up.
    world.sides["US"].faults.gate = asyncio.Event()
    first = await post(world, "FR", acknowledgement("FR", asked, now_ms))
    await world.until_state("FR", first, "delivered", agency=ANSWERING)
    second = await post(world, "FR", answer("FR", asked, now_ms, final=False))

    (row,) = await world.until(lambda: inbox(world, "US"), lambda rows: rows != [])
    assert (row.message_id, row.seq, row.flags) == (second, 2, "gap")
    found = await thread(world, "US", asked)
    assert found.missing == {ANSWERING: [1]}
    assert [item.flags for item in found.shown if not item.outgoing] == ["gap"]

    world.sides["US"].faults.gate.set()
    await world.until_state("FR", first, "received", agency=ANSWERING)

    rows = await world.until(lambda: inbox(world, "US"), lambda found: len(found) == 2)
    assert {item.message_id: item.flags for item in rows} == {first: "", second: ""}
    found = await thread(world, "US", asked)
    assert found.missing == {}
    assert {item.flags for item in found.shown} == {""}


async def test_a_gap_that_a_refusal_leaves_is_flagged_until_its_number_is_declared_void(world: World) -> None:
    asked = await ask(world)
    await world.settle()
    await world.cut_off("FR")
    now_ms = world.clock.now_ms()
    refused = await post(world, "FR", acknowledgement("FR", asked, now_ms))
    kept = await post(world, "FR", answer("FR", asked, now_ms))
    tamper_once(world, "FR", with_damaged_content)
    world.sides["US"].faults.gate = asyncio.Event()
    world.reconnect("FR")

    (row,) = await world.until(lambda: inbox(world, "US"), lambda rows: rows != [])
    assert (row.message_id, row.flags) == (kept, "gap")

    world.sides["US"].faults.gate.set()
    await world.until_state("FR", refused, "refused", agency=ANSWERING)
    rows = await world.until(lambda: inbox(world, "US"), lambda found: found[0].flags == "")
    assert [item.message_id for item in rows] == [kept]
    assert (await thread(world, "US", asked)).missing == {}
    principal = world.principal("US", ASKING)
    delivery, _ = await world.node("US").inbox.read(principal, kept)
    assert delivery.row.flags == ""


# --- answers -------------------------------------------------------------------------------


async def test_an_answer_takes_what_it_leaves_out_from_the_message_that_it_answers(world: World) -> None:
    asked = await ask(world)

    accepted = await world.post("FR", answer("FR", asked, world.clock.now_ms()), agency=ANSWERING)

    header = orjson.loads(accepted.message)["header"]
    assert header["conversation"] == {
        "id": message_uuid(asked),
        "pattern": "REQUEST",
        "seq": 1,
        "in_reply_to": message_uuid(asked),
    }
    assert [to["agency"] for to in header["to"]] == [ASKING]
    assert header["purpose"]["code"] == "REVENUE_PROTECTION"
    await world.until_state("FR", accepted.message_id, "received", agency=ANSWERING)


@pytest.mark.parametrize("make", [acknowledgement, answer, lambda n, p, _: refusal(n, p)])
async def test_an_answer_to_a_message_that_this_node_does_not_hold_is_refused(
    world: World, make: Any
) -> None:
    await world.settle()

    with pytest.raises(RefusedError) as caught:
        await post(world, "FR", make("FR", UUID(int=7).bytes, world.clock.now_ms()))

    assert ("RF-OPEN", "/header/conversation/in_reply_to") in rules(caught)


async def test_an_answer_to_what_is_closed_is_refused(world: World) -> None:
    asked = await ask(world)
    now_ms = world.clock.now_ms()
    await post(world, "FR", answer("FR", asked, now_ms))

    with pytest.raises(RefusedError) as caught:
        await post(world, "FR", acknowledgement("FR", asked, now_ms))

    assert rules(caught) == [("RF-OPEN", "/header/conversation/in_reply_to")]


async def test_an_agency_that_was_not_asked_may_not_answer(world: World) -> None:
    asked = await ask(world)

    with pytest.raises(RefusedError) as caught:
        await world.post("FR", answer("FR", asked, world.clock.now_ms()), agency="FR.DGDDI.SARC")

    assert ("RF-PARTY", "/header/from/agency") in rules(caught)


async def test_a_transfer_that_was_taken_back_makes_nobody_a_party(world: World) -> None:
    asked = await ask(world)
    await world.cut_off("FR")
    other_agency = "FR.DGDDI.SARC"
    transfer = acknowledgement("FR", asked, world.clock.now_ms())
    transfer["payload"] |= {"status": "TRANSFERRED", "handled_by": other_agency}
    transferred = await post(world, "FR", transfer)
    theirs = acknowledgement("FR", asked, world.clock.now_ms())
    theirs["payload"]["handled_by"] = other_agency
    await world.post("FR", theirs, agency=other_agency)

    await world.node("FR").tracking.withdraw(world.principal("FR", ANSWERING), transferred)

    for agency, broken in ((ANSWERING, None), (other_agency, [("RF-PARTY", "/header/from/agency")])):
        again = acknowledgement("FR", asked, world.clock.now_ms())
        if broken is None:
            await world.post("FR", again, agency=agency)
            continue
        with pytest.raises(RefusedError) as caught:
            await world.post("FR", again, agency=agency)
        assert rules(caught) == broken


async def test_an_answer_that_crosses_a_cancellation_is_accepted_and_flagged(world: World) -> None:
    asked = await ask(world)
    await world.settle()
    for nation in ("US", "FR"):
        await world.cut_off(nation)
    reply = await post(world, "FR", answer("FR", asked, world.clock.now_ms()))
    cancel = await post(world, "US", cancellation("US", asked))
    for nation in ("US", "FR"):
        world.reconnect(nation)

    await world.until_state("FR", reply, "received", agency=ANSWERING)
    await world.until_state("US", cancel, "received", agency=ASKING)

    (row,) = await inbox(world, "US")
    assert (row.message_id, row.flags) == (reply, "crossed")


# --- duplicates ----------------------------------------------------------------------------


async def test_a_message_id_is_accepted_once_whatever_the_key_says(world: World) -> None:
    first = await world.post("US", intelligence("US"), agency=ASKING)
    document = orjson.loads(first.message)

    with pytest.raises(RefusedError) as caught:
        await world.post("US", document, agency=ASKING, key="another key")

    assert rules(caught) == [("RF-DUP", "/header/message_id")]
    await world.until_state("US", first.message_id, "received", agency=ASKING)
    assert len(await inbox(world, "FR")) == 1


async def test_an_id_that_came_from_the_peer_is_not_accepted_from_an_agency(world: World) -> None:
    accepted = await world.post("US", intelligence("US"), agency=ASKING)
    await world.until_state("US", accepted.message_id, "received", agency=ASKING)
    draft = intelligence("FR", message_id=message_uuid(accepted.message_id))

    with pytest.raises(RefusedError) as caught:
        await world.post("FR", draft, agency=ANSWERING)

    assert ("RF-DUP", "/header/message_id") in rules(caught)


# --- states and deadlines ------------------------------------------------------------------


async def both(world: World, conversation_id: bytes) -> set[tuple[str, int | None, bool]]:
    found = [await thread(world, nation, conversation_id) for nation in ("FR", "US")]
    return {(item.state, item.open_until_ms, item.overdue) for item in found}


async def test_both_sides_see_a_request_go_from_open_to_answered(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = await delivered(world, "US", request("US", now_ms))
    deadline_ms = now_ms + 20 * DAY_MS
    assert await both(world, asked) == {("OPEN", deadline_ms, False)}

    await delivered(world, "FR", acknowledgement("FR", asked, now_ms))
    assert await both(world, asked) == {("ACKNOWLEDGED", deadline_ms, False)}

    await delivered(world, "FR", answer("FR", asked, now_ms, final=False))
    assert await both(world, asked) == {("PARTLY_ANSWERED", deadline_ms, False)}

    await delivered(world, "FR", answer("FR", asked, now_ms, part=2))
    assert await both(world, asked) == {("ANSWERED", None, False)}


async def test_a_refused_request_is_refused_and_not_answered(world: World) -> None:
    asked = await ask(world)
    await delivered(world, "FR", refusal("FR", asked))

    assert await both(world, asked) == {("REFUSED", None, False)}


async def test_a_request_is_overdue_when_its_deadline_is_over_and_until_it_is_answered(world: World) -> None:
    asked = await ask(world)
    world.clock.advance(20 * 86_400 + 1)
    assert {(state, overdue) for state, _, overdue in await both(world, asked)} == {("OVERDUE", True)}

    await delivered(world, "FR", answer("FR", asked, world.clock.now_ms()))
    assert await both(world, asked) == {("ANSWERED", None, False)}


async def test_a_message_that_awaits_nothing_is_for_information(world: World) -> None:
    message_id = await delivered(world, "US", intelligence("US"))

    assert await both(world, message_id) == {("FOR_INFORMATION", None, False)}


async def test_an_answer_that_was_withdrawn_or_refused_answers_nothing(world: World) -> None:
    asked = await ask(world)
    await world.settle()
    await world.cut_off("FR")
    now_ms = world.clock.now_ms()
    reply = await post(world, "FR", answer("FR", asked, now_ms))
    assert (await thread(world, "FR", asked)).state == "ANSWERED"

    await world.node("FR").tracking.withdraw(world.principal("FR", ANSWERING), reply)

    assert (await thread(world, "FR", asked)).state == "OPEN"
    world.reconnect("FR")
    await delivered(world, "FR", answer("FR", asked, now_ms))
    assert await both(world, asked) == {("ANSWERED", None, False)}


async def test_overdue_conversations_are_listed_first_then_open_ones_then_the_rest(world: World) -> None:
    overdue = await ask(world)
    world.clock.advance(20 * 86_400 + 1)
    informed = await delivered(world, "US", intelligence("US"))
    opened = await ask(world)
    answered = await ask(world)
    await delivered(world, "FR", answer("FR", answered, world.clock.now_ms()))

    for nation in ("FR", "US"):
        principal = world.principal(nation, INVESTIGATORS[nation])
        page = await world.node(nation).conversations.listing(principal, limit=50)
        listed = [item.conversation_id for item in page.threads]
        assert listed[:2] == [overdue, opened]
        assert set(listed[2:]) == {informed, answered}


async def test_a_long_conversation_is_shown_page_by_page_and_its_state_is_that_of_all_of_it(
    world: World,
) -> None:
    asked = await delivered(world, "US", request("US", world.clock.now_ms(), data_protection=PERSONAL))
    told = partial(acknowledgement, "FR", asked, data_protection=PERSONAL)
    answers = [await delivered(world, "FR", told(world.clock.now_ms())) for _ in range(3)]
    conversations, agency = world.node("US").conversations, world.principal("US", ASKING)
    whole = await conversations.read(agency, asked)

    first = await conversations.read(agency, asked, limit=3)
    assert first.following is not None
    rest = await conversations.read(agency, asked, limit=3, after=first.following)

    assert [row.message_id for row in whole.shown] == [asked, *answers]
    assert (whole.following, rest.following) == (None, None)
    assert [row.message_id for row in (*first.shown, *rest.shown)] == [asked, *answers]
    assert len(rest.shown) == 1
    for page in (first, rest):
        assert (page.state, page.requests, len(page.messages)) == (whole.state, whole.requests, 4)
        erased = {item.message_id for item in page.deadlines if item.kind is DeadlineKind.DELETE_BY}
        assert erased == {row.message_id for row in page.shown}
        others = [item for item in page.deadlines if item.kind is not DeadlineKind.DELETE_BY]
        assert others == [item for item in whole.deadlines if item.kind is not DeadlineKind.DELETE_BY]
        assert others, "an answer is owed"


async def test_a_page_behind_the_end_of_a_conversation_is_empty(world: World) -> None:
    asked = await ask(world)
    conversations, agency = world.node("US").conversations, world.principal("US", ASKING)

    page = await conversations.read(agency, asked, after=10**6)

    assert (page.shown, page.following, len(page.messages)) == ((), None, 1)


async def test_a_third_agency_sees_nothing_of_a_conversation(world: World) -> None:
    asked = await ask(world)

    for nation in ("FR", "US"):
        outsider = world.principal(nation)
        assert outsider.agency != INVESTIGATORS[nation]
        page = await world.node(nation).conversations.listing(outsider, limit=50)
        assert (page.threads, page.following) == ((), None)
        store = world.sides[nation].store
        assert store is not None

        def find(tx: Transaction, agency: str = outsider.agency) -> InboxRow | None:
            return tx.inbox.find(asked, agency)

        assert await store.read(find) is None
    assert other("FR") == "US"
