"""What happens to a message after it was sent: both nodes and every reader see the same."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.message.instants import time_text
from gateway.core.message.threads.deadlines import DeadlineKind
from gateway.core.message.threads.in_force import InForce
from gateway.core.message.threads.progress import RequestState
from gateway.node.conversations import Thread
from gateway.node.refusal import RefusedError
from tests.messages import (
    DAY_MS,
    INVESTIGATORS,
    acknowledgement,
    answer,
    cancellation,
    correction,
    intelligence,
    lifecycle,
    request,
    use_change,
)
from tests.world import World, message_uuid

ASKING, ANSWERING = INVESTIGATORS["US"], INVESTIGATORS["FR"]
SUMMARY = "/payload/summary"


async def post(world: World, nation: str, document: dict[str, Any]) -> bytes:
    return (await world.post(nation, document, agency=INVESTIGATORS[nation])).message_id


async def delivered(world: World, nation: str, document: dict[str, Any]) -> bytes:
    message_id = await post(world, nation, document)
    await world.until_state(nation, message_id, "received", agency=INVESTIGATORS[nation])
    return message_id


async def thread(world: World, nation: str, conversation_id: bytes) -> Thread:
    principal = world.principal(nation, INVESTIGATORS[nation])
    return await world.node(nation).conversations.read(principal, conversation_id)


async def in_force(world: World, nation: str, message_id: bytes) -> InForce | None:
    """Return what the addressee is told became of a message, the same in its list and read alone."""
    principal = world.principal(nation, INVESTIGATORS[nation])
    delivery, _ = await world.node(nation).inbox.read(principal, message_id)
    page = await world.node(nation).inbox.page(principal, limit=1_000)
    (listed,) = [item.in_force for item in page if item.row.message_id == message_id]
    assert listed == delivery.in_force
    return listed


async def refused(world: World, nation: str, document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(RefusedError) as caught:
        await post(world, nation, document)
    return [(violation.rule, violation.pointer) for violation in caught.value.violations]


async def test_a_correction_changes_what_is_in_force_at_both_nodes_and_leaves_the_message(
    world: World,
) -> None:
    sent = await delivered(world, "US", intelligence("US"))
    assert await in_force(world, "FR", sent) is None

    first = await delivered(world, "US", correction("US", sent, SUMMARY, "A synthetic summary.", "One."))
    second = await delivered(world, "US", correction("US", sent, SUMMARY, "One.", "Two."))

    told = await in_force(world, "FR", sent)
    assert told is not None
    assert told.payload is not None
    assert told.payload["summary"] == "Two."
    delivery, _ = await world.node("FR").inbox.read(world.principal("FR", ANSWERING), sent)
    assert b"A synthetic summary." in (delivery.message or b"")
    for nation in ("US", "FR"):
        found = await thread(world, nation, sent)
        assert [applied.message_id for applied in found.changes[sent]] == [first, second]
    stale = correction("US", sent, SUMMARY, "A synthetic summary.", "Three.")
    assert await refused(world, "US", stale) == [("CX-PATCH", "/payload/patches/0/old")]


async def test_the_other_side_corrects_nothing(world: World) -> None:
    sent = await delivered(world, "US", intelligence("US"))
    document = correction("FR", sent, SUMMARY, "A synthetic summary.", "Ours.")

    assert await refused(world, "FR", document) == [("RF-OWN", "/payload/target")]
    feedback = {"about": message_uuid(sent), "usefulness": "USEFUL", "evaluation_confirmed": "YES"}
    purpose = {"code": "CRIMINAL_INVESTIGATION", "areas": ["NARCOTICS"]}
    await delivered(world, "FR", lifecycle("FR", "gov.feedback", feedback, purpose=purpose))
    own = lifecycle("US", "gov.feedback", feedback, purpose=purpose)
    assert await refused(world, "US", own) == [("RF-THEIRS", "/payload/about")]


async def test_terms_are_tightened_at_both_nodes_from_their_time_on(world: World) -> None:
    sent = await delivered(world, "US", intelligence("US"))
    tight = {"evidence": "NO", "dissemination": "ADDRESSEE_ONLY", "onward_transfer": "FORBIDDEN"}
    tomorrow = world.clock.now_ms() + DAY_MS
    change = await delivered(world, "US", use_change("US", sent, tomorrow, use=tight))

    for nation in ("US", "FR"):
        terms = (await thread(world, nation, sent)).terms[sent]
        assert (terms.changed_by, terms.announced) == ((), (change,))
    world.clock.advance(86_401)
    for nation in ("US", "FR"):
        terms = (await thread(world, nation, sent)).terms[sent]
        assert (terms.use, terms.changed_by, terms.announced) == (tight, (change,), ())
    told = await in_force(world, "FR", sent)
    assert told is not None
    assert told.terms is not None
    assert told.terms.use == tight


async def test_changes_outlive_a_restart(world: World) -> None:
    asked = await delivered(world, "US", request("US", world.clock.now_ms()))
    await delivered(world, "FR", acknowledgement("FR", asked, world.clock.now_ms()))
    await delivered(world, "US", correction("US", asked, "/payload/facts", "Synthetic facts.", "Others."))
    seen = {nation: await thread(world, nation, asked) for nation in ("US", "FR")}

    for nation in ("US", "FR"):
        await world.restart(nation)
        found = await thread(world, nation, asked)
        assert found.changes == seen[nation].changes
        assert found.requests == seen[nation].requests
        assert found.deadlines == seen[nation].deadlines


# --- states ------------------------------------------------------------------------------


async def states(world: World, conversation_id: bytes) -> set[tuple[RequestState, int | None]]:
    found = [await thread(world, nation, conversation_id) for nation in ("US", "FR")]
    return {(item.state, item.open_until_ms) for item in found}


async def test_a_request_that_is_cancelled_is_closed_and_its_deletion_is_to_be_certified(
    world: World,
) -> None:
    asked = await delivered(world, "US", request("US", world.clock.now_ms()))
    cancel = await delivered(world, "US", cancellation("US", asked))

    assert await states(world, asked) == {(RequestState.CANCELLED, None)}
    late = answer("FR", asked, world.clock.now_ms())
    assert await refused(world, "FR", late) == [("RF-OPEN", "/header/conversation/in_reply_to")]
    for nation in ("US", "FR"):
        due = [item for item in (await thread(world, nation, asked)).deadlines if item.owed]
        (certificate,) = [item for item in due if item.kind is DeadlineKind.CERTIFICATE_BY]
        assert (certificate.message_id, certificate.agencies) == (cancel, (ANSWERING,))


async def test_the_clock_stands_while_the_one_who_was_asked_waits_for_information(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = await delivered(world, "US", request("US", now_ms))
    due_ms = now_ms + 20 * DAY_MS
    document = acknowledgement("FR", asked, now_ms)
    document["payload"] |= {"status": "MORE_INFORMATION_NEEDED", "needed": ["Which invoice?"]}
    del document["payload"]["expected_by"]
    question = await delivered(world, "FR", document)
    assert await states(world, asked) == {(RequestState.WAITING_INFO, None)}

    world.clock.advance(25 * 86_400)
    assert await states(world, asked) == {(RequestState.WAITING_INFO, None)}

    more = intelligence("US", conversation={"in_reply_to": message_uuid(question)})
    more["header"]["purpose"] = {"code": "REVENUE_PROTECTION", "areas": ["CUSTOMS_FRAUD"]}
    await delivered(world, "US", more)
    ((state, later_ms),) = await states(world, asked)
    assert state is RequestState.ACKNOWLEDGED
    assert later_ms is not None
    assert later_ms >= due_ms + 25 * DAY_MS


async def test_feedback_that_was_asked_for_is_listed_until_it_comes(world: World) -> None:
    sent = await delivered(world, "US", intelligence("US"))

    async def kinds(nation: str) -> list[DeadlineKind]:
        return [item.kind for item in (await thread(world, nation, sent)).deadlines]

    for nation in ("US", "FR"):
        assert DeadlineKind.FEEDBACK_BY in await kinds(nation)
    said = {"about": message_uuid(sent), "usefulness": "USEFUL", "evaluation_confirmed": "YES"}
    purpose = {"code": "CRIMINAL_INVESTIGATION", "areas": ["NARCOTICS"]}
    await delivered(world, "FR", lifecycle("FR", "gov.feedback", said, purpose=purpose))
    for nation in ("US", "FR"):
        assert DeadlineKind.FEEDBACK_BY not in await kinds(nation)


# --- order -------------------------------------------------------------------------------


async def test_an_urgent_correction_does_not_overtake_what_it_corrects(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    await world.send_many("US", 3)
    sent = await post(world, "US", intelligence("US"))
    first = correction("US", sent, SUMMARY, "A synthetic summary.", "One.")
    second = correction("US", sent, SUMMARY, "One.", "Two.", precedence="IMMEDIATE")
    ids = [await post(world, "US", document) for document in (first, second)]
    world.reconnect("US")

    for message_id in (sent, *ids):
        await world.until_state("US", message_id, "received", agency=ASKING)
    told = await in_force(world, "FR", sent)
    assert told is not None
    assert told.payload is not None
    assert told.payload["summary"] == "Two."


async def test_what_becomes_urgent_does_not_overtake_what_it_is_about_itself(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    await world.send_many("US", 3)
    sent = await post(world, "US", intelligence("US"))
    ids = [sent]
    corrected = correction("US", sent, SUMMARY, "A synthetic summary.", "One.")
    ids.append(await post(world, "US", corrected))
    corrected = correction("US", ids[-1], "/payload/patches/0/new", "One.", "Two.")
    ids.append(await post(world, "US", corrected))
    # It is about the last one, which is about the one before, and so on.
    said = {
        "target": message_uuid(ids[-1]),
        "reason": "PERSON_CLEARED",
        "delete": False,
        "notify_recipients": False,
    }
    urgent = lifecycle("US", "gov.retraction", said, precedence="IMMEDIATE")
    ids.append(await post(world, "US", urgent))
    world.reconnect("US")

    for message_id in ids:
        await world.until_state("US", message_id, "received", agency=ASKING)
    told = await in_force(world, "FR", sent)
    assert told is not None
    assert told.payload is not None
    assert told.payload["summary"] == "One."


async def test_an_urgent_correction_does_not_overtake_a_correction_of_a_correction(world: World) -> None:
    sent = await delivered(world, "US", intelligence("US"))
    first = await delivered(world, "US", correction("US", sent, SUMMARY, "A synthetic summary.", "One."))
    await world.settle()
    await world.cut_off("US")
    await world.send_many("US", 3)
    second = await post(world, "US", correction("US", first, "/payload/patches/0/new", "One.", "Two."))
    third = await post(world, "US", correction("US", sent, SUMMARY, "Two.", "3.", precedence="IMMEDIATE"))
    world.reconnect("US")

    for message_id in (second, third):
        await world.until_state("US", message_id, "received", agency=ASKING)


async def test_messages_of_one_group_see_what_those_before_them_did(world: World) -> None:
    principal = world.principal("US", ASKING)
    sent = await delivered(world, "US", intelligence("US"))
    documents = [
        correction("US", sent, SUMMARY, "A synthetic summary.", "One."),
        correction("US", sent, SUMMARY, "One.", "Two."),
    ]

    ids = await world.submit("US", documents, principal=principal)

    for message_id in ids:
        await world.until_state("US", message_id, "received", agency=ASKING)


# --- rooms -------------------------------------------------------------------------------


def room_draft(world: World) -> dict[str, Any]:
    now_ms = world.clock.now_ms()
    payload = {
        "operation": "OP-TEST26",
        "starts_at": time_text(now_ms),
        "ends_at": time_text(now_ms + 7 * DAY_MS),
        "objective": "A synthetic objective.",
        "areas": ["NARCOTICS"],
        "members": [
            {"nation": "FR", "agency": ANSWERING, "role": "LEAD"},
            {"nation": "US", "agency": ASKING, "role": "LEAD"},
        ],
        "allowed_types": ["ops.sitrep/1", "ops.room_close/1"],
    }
    purpose = {"code": "CUSTOMS_ENFORCEMENT", "areas": ["NARCOTICS"]}
    return lifecycle("US", "ops.room_open", payload, purpose=purpose)


def in_room(world: World, room: bytes, nation: str, type_name: str) -> dict[str, Any]:
    payload: dict[str, Any] = {"outcome": "COMPLETED", "summary": "A synthetic summary."}
    if type_name == "ops.sitrep":
        as_of = time_text(world.clock.now_ms())
        payload = {"number": 1, "as_of": as_of, "situation": "A synthetic situation."}
    header = {
        "purpose": {"code": "CUSTOMS_ENFORCEMENT", "areas": ["NARCOTICS"]},
        "operation": {"code": "OP-TEST26", "room": message_uuid(room)},
        "conversation": {"id": message_uuid(room), "pattern": "ROOM"},
    }
    return lifecycle(nation, type_name, payload, **header)


async def test_a_room_lives_from_its_opening_to_its_close(world: World) -> None:
    room = await delivered(world, "US", room_draft(world))
    await delivered(world, "FR", in_room(world, room, "FR", "ops.sitrep"))
    for nation in ("US", "FR"):
        found = (await thread(world, nation, room)).room
        assert found is not None
        assert [member.agency for member in found.members] == [ANSWERING, ASKING]
        assert found.ended_by is None

    closed = await delivered(world, "US", in_room(world, room, "US", "ops.room_close"))

    for nation in ("US", "FR"):
        found = (await thread(world, nation, room)).room
        assert found is not None
        assert found.ended_by is not None
        assert found.ended_by.message_id == closed
        late = in_room(world, room, nation, "ops.sitrep")
        assert await refused(world, nation, late) == [("RF-ROOM", "/header/operation/room")]


async def test_a_members_draft_is_completed_from_the_opening_of_its_room(world: World) -> None:
    opening = room_draft(world)
    opening["payload"]["members"].append({"nation": "FR", "agency": "FR.DGDDI.SARC", "role": "PARTICIPANT"})
    room = await delivered(world, "US", opening)
    draft = in_room(world, room, "FR", "ops.sitrep")
    del draft["header"]["purpose"]
    draft["header"]["conversation"] = {"in_reply_to": message_uuid(room)}

    sent = await world.post("FR", draft, agency="FR.DGDDI.SARC")

    await world.until_state("FR", sent.message_id, "received", agency="FR.DGDDI.SARC")


async def test_a_stranger_says_nothing_in_a_room(world: World) -> None:
    room = await delivered(world, "US", room_draft(world))
    document = in_room(world, room, "FR", "ops.sitrep")

    with pytest.raises(RefusedError) as caught:
        await world.post("FR", document, agency="FR.DGDDI.SARC")

    assert [violation.rule for violation in caught.value.violations] == ["RF-ROOM"]
