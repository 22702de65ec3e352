"""RF-ROOM: who may say what in an operation room, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.message.instants import DAY_MS, instant_ms
from gateway.core.message.threads import Flag, Side, uuid_bytes
from gateway.core.message.threads.rooms import find_room
from tests.unit.core.message.rules.samples import ABSENT, changed, example, stamp
from tests.unit.core.message.threads.memory import SENDER, Memory, about, ask, broken, new_id

SIDES: list[Side] = ["sender", "receiver"]
ROOM = "/header/operation/room"
CREATED = "/header/created_at"
# The second example: it is the room that the other ops.* examples are sent in.
OPENING = example("ops.room_open", number=1)  # from US.CBP.AMO to FR.DGDDI.DNGCD
ROOM_ID: str = OPENING["header"]["conversation"]["id"]
STARTS = instant_ms(OPENING["payload"]["starts_at"])
ENDS = instant_ms(OPENING["payload"]["ends_at"])
MEMBERS = [member["agency"] for member in OPENING["payload"]["members"]]


def report(**changes: Any) -> dict[str, Any]:
    """Return a situation report in the room, the first message of its sender there."""
    return changed("ops.sitrep", {"/header/conversation/seq": 1} | changes)


def said(document: dict[str, Any], side: Side = "sender", memory: Memory | None = None) -> list[str]:
    found = broken(memory or Memory().add(OPENING), document, side)
    assert {rule for rule, _ in found} <= {"RF-ROOM"}
    return [pointer for _, pointer in found]


def closing(**changes: Any) -> dict[str, Any]:
    """Return the message of the American side that closes the room."""
    return changed("ops.room_close", {"/header/conversation/seq": 2} | changes)


@pytest.mark.parametrize("side", SIDES)
def test_the_room_is_one_that_this_node_holds(side: Side) -> None:
    assert said(report(), side) == []
    assert said(report(**{ROOM: new_id(9)}), side) == [ROOM]
    assert said(report(), side, Memory()) == [ROOM]


def test_a_message_that_opens_no_room_is_none() -> None:
    memory = Memory().add(example("intel.spontaneous"))
    stray = report(**{ROOM: example("intel.spontaneous")["header"]["message_id"]})

    assert said(stray, memory=memory) == [ROOM]


def test_a_room_has_the_id_of_its_conversation_and_that_of_its_message() -> None:
    opening = changed("ops.room_open", {"/header/message_id": new_id(7)}, number=1)
    memory = Memory().add(opening)

    assert said(report(), memory=memory) == []
    assert said(report(**{ROOM: new_id(7)}), memory=memory) == []


@pytest.mark.parametrize("side", SIDES)
def test_a_type_is_allowed_or_belongs_to_every_room(side: Side) -> None:
    only = changed("ops.room_open", {"/payload/allowed_types": ["seizure.report/1"]}, number=1)
    memory = Memory().add(only)

    assert said(report(), side, memory) == ["/type"]
    assert said(closing(), side, memory) == ["/type"]
    operation = {"/header/operation": {"code": "OP-CARBET26", "room": ROOM_ID}}
    retraction = about(only, "gov.retraction", operation | {CREATED: stamp(STARTS)}, number=2)
    assert said(retraction, side, memory) == []


def test_an_acknowledgement_and_a_rejection_belong_to_every_room() -> None:
    room = find_room(uuid_bytes(ROOM_ID), Memory().add(OPENING))
    assert room is not None

    for type_id in ("assist.ack/1", "gov.feedback/1", "sys.rejection/1", "ops.sitrep/1"):
        assert room.allows(type_id), type_id
    for type_id in ("assist.reply/1", "practice.share/1", "ops.sitrep/2"):
        assert not room.allows(type_id), type_id


@pytest.mark.parametrize("side", SIDES)
def test_only_members_speak(side: Side) -> None:
    for agency in MEMBERS:
        seq = {"/header/conversation/seq": 2} if agency == OPENING["header"]["from"]["agency"] else {}
        document = report(**{SENDER: agency, "/header/from/nation": agency[:2]} | seq)
        assert said(document, side) == [], agency
    assert "FR.DGDDI.SARC" not in MEMBERS
    assert said(report(**{SENDER: "FR.DGDDI.SARC"}), side) == [SENDER]


@pytest.mark.parametrize("side", SIDES)
def test_messages_are_created_while_the_room_lives(side: Side) -> None:
    for created, expected in (
        (STARTS - 1, [CREATED]),
        (STARTS, []),
        (ENDS, []),
        (ENDS + 1, [CREATED]),
    ):
        assert said(report(**{CREATED: stamp(created)}), side) == expected, created - STARTS


@pytest.mark.parametrize("side", SIDES)
def test_the_close_may_come_a_day_after_the_end(side: Side) -> None:
    assert said(closing(**{CREATED: stamp(ENDS + DAY_MS)}), side) == []
    assert said(closing(**{CREATED: stamp(ENDS + DAY_MS + 1)}), side) == [CREATED]


def test_everything_that_is_wrong_is_said() -> None:
    only = changed("ops.room_open", {"/payload/allowed_types": ["seizure.report/1"]}, number=1)
    document = report(**{SENDER: "FR.ONAF", CREATED: stamp(ENDS + 1)})

    assert said(document, memory=Memory().add(only)) == ["/type", SENDER, CREATED]


def test_outside_a_room_nothing_is_examined() -> None:
    document = report(**{"/header/operation": ABSENT, SENDER: "FR.ONAF", CREATED: stamp(ENDS + 1)})
    only_named = report(**{ROOM: ABSENT, SENDER: "FR.ONAF", CREATED: stamp(ENDS + 1)})

    assert said(document) == []
    assert said(only_named) == []


def test_whoever_opens_a_room_may_name_its_operation() -> None:
    within = changed(
        "ops.room_open", {"/header/operation": {"code": "OP-CARBET26", "room": new_id(3)}}, number=1
    )

    assert said(within, memory=Memory()) == []


# --- After the close -------------------------------------------------------------------


def test_nothing_follows_the_close_but_what_crossed_it() -> None:
    memory = Memory().add(OPENING, closing())
    french = report()
    american = report(**{SENDER: "US.CBP.AMO", "/header/from/nation": "US", "/header/conversation/seq": 3})

    def flags(document: dict[str, Any]) -> frozenset[Flag]:
        return ask(memory, document, "receiver").flags

    # The American side closed it, and the French may not have heard of that yet.
    assert said(french, "sender", memory) == [ROOM]
    assert (said(french, "receiver", memory), flags(french)) == ([], frozenset({"crossed"}))
    assert said(american, "sender", memory) == [ROOM]
    assert (said(american, "receiver", memory), flags(american)) == ([ROOM], frozenset())


def test_a_close_without_a_room_ends_the_one_whose_conversation_it_is_in() -> None:
    memory = Memory().add(OPENING, closing(**{ROOM: ABSENT}))

    assert said(report(), "sender", memory) == [ROOM]


def test_a_close_of_a_stranger_in_the_conversation_of_a_room_ends_none() -> None:
    stranger = "FR.DGDDI.DNRED"
    assert stranger not in MEMBERS
    memory = Memory().add(OPENING, closing(**{"/header/operation": ABSENT, SENDER: stranger}))

    assert said(report(), memory=memory) == []


def test_a_close_that_belongs_to_no_room_ends_none() -> None:
    stray = closing(**{ROOM: ABSENT, "/header/conversation/id": new_id(4), "/header/conversation/seq": 1})
    memory = Memory().add(stray, OPENING)

    assert said(report(), "sender", memory) == []


# --- In force, and erased --------------------------------------------------------------


def test_a_corrected_room_counts_as_corrected() -> None:
    patches = [{"path": "/payload/ends_at", "new": stamp(ENDS + DAY_MS)}]
    correction = about(OPENING, "gov.correction", {"/payload/patches": patches}, number=2)
    memory = Memory().add(OPENING, correction)

    assert said(report(**{CREATED: stamp(ENDS + DAY_MS)}), memory=memory) == []
    assert said(report(**{CREATED: stamp(ENDS + DAY_MS + 1)}), memory=memory) == [CREATED]


def test_of_an_erased_room_only_its_existence_is_known() -> None:
    memory = Memory().add(OPENING)
    memory.erase(OPENING)

    assert said(report(**{SENDER: "FR.ONAF"}), memory=memory) == []
    assert find_room(uuid_bytes(ROOM_ID), memory) is None


def test_a_room_says_who_is_in_it_and_when_it_ends() -> None:
    room = find_room(uuid_bytes(ROOM_ID), Memory().add(OPENING))

    assert room is not None
    assert [member.agency for member in room.members] == MEMBERS
    assert (room.starts_ms, room.ends_ms, room.ended_by) == (STARTS, ENDS, None)
    assert room.operation == "OP-CARBET26"
    ended = find_room(uuid_bytes(ROOM_ID), Memory().add(OPENING, closing()))
    assert ended is not None
    assert ended.ended_by is not None
    assert ended.ended_by.from_agency == "US.CBP.AMO"
