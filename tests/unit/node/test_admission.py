"""Admission decides for good: durable before it answers, once for each key, never too much at once."""

from __future__ import annotations

import asyncio
import copy
from typing import Any
from uuid import UUID

import orjson
import pytest

from gateway.core.message.instants import time_text
from gateway.core.message.rule import rule_number
from gateway.core.message.strict_json import MAX_BODY_BYTES, MessageTooLargeError
from gateway.core.states import State
from gateway.errors import GatewayError, StoreError
from gateway.node.admission import Admission, OverloadedError
from gateway.node.gate import RecoveringError
from gateway.node.identifiers import new_uuid7
from gateway.node.posts import Submission
from gateway.node.preparation import _is_whole, _parent_needed
from gateway.node.refusal import NotAllowedError, RefusedError, UnreadableError
from gateway.node.second_stage import Acceptance, IdempotencyConflictError
from gateway.ports import Step
from tests.messages import INVESTIGATORS, answer, intelligence, lifecycle, request
from tests.world import World


def admission(world: World) -> Admission:
    """Return what stands behind the front door, which has tests of its own."""
    return world.node("US")._admission


def body(world: World, **header: Any) -> bytes:
    return orjson.dumps(world.draft("US", **header))


async def waiting(world: World) -> int:
    return (await world.node("US").health()).vitals.states[State.ACCEPTED]


# --- one by one ------------------------------------------------------------------------------


async def test_each_post_stands_alone_and_results_are_in_order(world: World) -> None:
    bodies = [body(world), b"{", body(world, precedence="ROUTINE"), b"{}", body(world)]

    outcomes = await admission(world).submit(
        world.principal("US"), [Submission(body=item) for item in bodies]
    )

    assert [type(item) for item in outcomes] == [
        Acceptance,
        UnreadableError,
        RefusedError,
        RefusedError,
        Acceptance,
    ]


def told(outcome: object) -> list[tuple[str, str]]:
    assert isinstance(outcome, RefusedError)
    return [(item.rule, item.pointer) for item in outcome.violations]


async def test_a_refusal_names_what_a_message_breaks_by_itself_and_in_its_conversation(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = (await world.post("US", request("US", now_ms), agency=INVESTIGATORS["US"])).message_id
    await world.settle()
    first = answer("FR", asked, now_ms, final=False)
    del first["payload"]["next_part_by"]
    first["payload"] |= {"part": 2, "answers": [{"q": 3, "text": "A synthetic answer."}]}
    numbered = copy.deepcopy(first)
    numbered["header"]["conversation"]["seq"] = 7
    whole = [
        ("CX-REPLY", "/payload/next_part_by"),
        ("CX-REPLY", "/payload/part"),
        ("CX-REPLY", "/payload/answers"),
    ]
    principal = world.principal("FR", INVESTIGATORS["FR"])
    french = world.node("FR")._admission

    outcomes = await french.submit(principal, [Submission(body=orjson.dumps(d)) for d in (first, numbered)])

    assert told(outcomes[0]) == whole
    assert told(outcomes[1]) == [*whole, ("RF-SEQ", "/header/conversation/seq")]
    for document, outcome in zip((first, numbered), outcomes, strict=True):
        (alone,) = await french.submit(principal, [Submission(body=orjson.dumps(document))])
        with pytest.raises(RefusedError) as checked:
            await french.check(principal, orjson.dumps(document), strict=False)
        assert told(alone) == told(checked.value) == told(outcome)
    numbers = [rule_number(rule) for rule, _ in (("CX-REPLY", ""), ("RF-SEQ", ""))]
    refusals = [event for event in await world.events("FR") if event.event == "message.refused"]
    assert [list(event.details) for event in refusals] == [[numbers[0]], numbers, [numbers[0]], numbers]


async def test_what_a_refused_message_of_a_batch_builds_on_may_stand_before_it(world: World) -> None:
    now_ms = world.clock.now_ms()
    message_id = str(UUID(bytes=new_uuid7(now_ms, world.entropy)))
    first = intelligence("US", message_id=message_id, created_at=time_text(now_ms))
    said = {"target": message_id, "reason": "SENT_IN_ERROR", "delete": False, "notify_recipients": False}
    second = lifecycle("US", "gov.retraction", said, handling={"codes": ["H0", "H1"]})
    principal = world.principal("US", INVESTIGATORS["US"])

    accepted, refused = await admission(world).submit(
        principal, [Submission(body=orjson.dumps(document)) for document in (first, second)]
    )

    assert isinstance(accepted, Acceptance)
    assert told(refused) == [("HD-01", "/header/handling/codes")]


async def test_an_agency_may_name_itself_as_sender_and_nobody_else(world: World) -> None:
    own = world.draft("US")
    own["header"]["from"] = {"agency": world.principal("US").agency}
    await world.post("US", own)

    for other in (INVESTIGATORS["US"], "FR.DGDDI.SARC", "", None, 7):
        own["header"]["from"] = {"agency": other}
        with pytest.raises(NotAllowedError):
            await world.post("US", own)


async def test_a_body_that_is_too_large_is_refused_as_such_and_by_itself(world: World) -> None:
    large = b'{"a": "' + b"x" * 1_048_576 + b'"}'

    outcomes = await admission(world).submit(
        world.principal("US"), [Submission(body=large), Submission(body=body(world))]
    )

    assert isinstance(outcomes[0], MessageTooLargeError)
    assert isinstance(outcomes[1], Acceptance)


def long_draft(size: int, **header: Any) -> dict[str, Any]:
    """Return a good draft of at most so many bytes, and hardly fewer."""
    draft = intelligence("US", **header)
    item = {"line": 1, "hs": "080390", "description": "\u00e9" * 240, "category": "LEGITIMATE"}
    consignments = draft["payload"]["consignments"] = []
    for _ in range(20):
        documents = [{"kind": "BL", "number": "ZZZZ26LEH000417"}]
        consignments.append({"documents": documents, "load": "ECGYE", "discharge": "FRLEH", "goods": []})
        free = size - len(orjson.dumps(draft))
        consignments[-1]["goods"] = [item] * min(99, free // (len(orjson.dumps(item)) + 1))
    return draft


@pytest.mark.parametrize(("conversation", "spare"), [({"seq": 1}, 0), ({}, 5)])
async def test_what_is_filled_in_counts_for_the_size_of_a_message(
    world: World, conversation: dict[str, int], spare: int
) -> None:
    draft = long_draft(MAX_BODY_BYTES - 2_000, conversation=conversation)
    agency = INVESTIGATORS["US"]
    principal = world.principal("US", agency)
    checked = await admission(world).check(principal, orjson.dumps(draft), strict=False)
    free = MAX_BODY_BYTES - spare - len(checked.message)
    draft["payload"]["summary"] += "x" * (free + 1)

    with pytest.raises(MessageTooLargeError):
        await world.post("US", draft, agency=agency)
    with pytest.raises(MessageTooLargeError):
        await admission(world).check(principal, orjson.dumps(draft), strict=False)
    draft["payload"]["summary"] = draft["payload"]["summary"][:-1]
    accepted = await world.post("US", draft, agency=agency)

    assert len(accepted.message) == MAX_BODY_BYTES - spare
    state = await world.until_state("US", accepted.message_id, "received", "refused", agency=agency)
    assert state == "received"


@pytest.mark.parametrize("type_name", ["alert.urgent", "assist.cancel", "sys.rejection"])
async def test_a_draft_tells_strangers_nothing_of_the_message_that_it_is_linked_to(
    world: World, type_name: str
) -> None:
    asked = await world.post("US", request("US", world.clock.now_ms()), agency=INVESTIGATORS["US"])
    await world.until_state("US", asked.message_id, "received", agency=INVESTIGATORS["US"])

    async def verdict(nation: str, parent: UUID) -> list[tuple[str, str, str]]:
        draft = {
            "type": f"{type_name}/1",
            "header": {"language": "en", "conversation": {"in_reply_to": str(parent)}},
            "payload": {},
        }
        with pytest.raises(RefusedError) as refusal:
            await world.post(nation, draft)
        return [(item.rule, item.pointer, item.wording.text("en")) for item in refusal.value.violations]

    nobodys = UUID("01a20847-0135-7993-b063-b5d5cb27d3ff")
    for nation in ("US", "FR"):
        there, not_there = await verdict(nation, UUID(bytes=asked.message_id)), await verdict(nation, nobodys)
        assert there == not_there
        ((rule, pointer, text),) = there
        assert (rule, pointer) == ("RF-OPEN", "/header/conversation/in_reply_to")
        assert "write out to, purpose and, but for seq, conversation" in text


# --- idempotency -----------------------------------------------------------------------------


async def test_a_key_gives_the_same_answer_for_the_same_body_alone(world: World) -> None:
    draft = world.draft("US")
    first = await world.post("US", draft, key="k")

    assert (await world.post("US", draft, key="k")).message_id == first.message_id
    with pytest.raises(IdempotencyConflictError):
        await world.post("US", world.draft("US"), key="k")
    await world.until_state("US", first.message_id, "received")
    repeated = await world.post("US", draft, key="k")
    assert (repeated.message, repeated.accepted_ms) == (first.message, first.accepted_ms)
    assert repeated.state.label == "received"


@pytest.mark.parametrize("key", ["k", None])
async def test_a_repeat_gets_the_first_answer_though_the_times_in_it_have_passed(
    world: World, key: str | None
) -> None:
    checked = await admission(world).check(world.principal("US"), body(world), strict=False)
    post = Submission(body=checked.message, key=key)
    (first,) = await admission(world).submit(world.principal("US"), [post])
    assert isinstance(first, Acceptance)
    before = len(await world.events("US"))
    # Less than an idempotency key is remembered.
    world.clock.advance(29 * 86_400)

    # A new message with these times is refused, and so is one of another body.
    fresh = Submission(body=checked.message, key="another")
    other = Submission(body=checked.message + b" ", key=key)
    again, late, changed = await admission(world).submit(world.principal("US"), [post, fresh, other])

    assert isinstance(again, Acceptance)
    assert (again.message_id, again.message) == (first.message_id, first.message)
    assert isinstance(late, RefusedError)
    assert isinstance(changed, RefusedError)
    refused = [event for event in (await world.events("US"))[before:] if event.event == "message.refused"]
    assert len(refused) == 2


async def test_a_key_that_is_the_message_id_names_a_post_as_no_key_does(world: World) -> None:
    checked = await admission(world).check(world.principal("US"), body(world), strict=False)
    own = orjson.loads(checked.message)["header"]["message_id"]
    posts = [Submission(body=checked.message, key=key) for key in (own, None, own, "another")]

    first, *again, other = [
        (await admission(world).submit(world.principal("US"), [post]))[0] for post in posts
    ]

    assert isinstance(first, Acceptance)
    for outcome in again:
        assert isinstance(outcome, Acceptance)
        assert (outcome.message_id, outcome.accepted_ms) == (first.message_id, first.accepted_ms)
    # By another name it is a second message with the same id.
    assert isinstance(other, RefusedError)
    assert [violation.rule for violation in other.violations] == ["RF-DUP"]


async def test_a_key_and_the_id_of_another_message_are_two_names(world: World) -> None:
    checked = await admission(world).check(world.principal("US"), body(world), strict=False)
    named = orjson.loads(checked.message)["header"]["message_id"]
    first = await world.post("US", world.draft("US"), key=named)

    (second,) = await admission(world).submit(world.principal("US"), [Submission(body=checked.message)])

    assert isinstance(second, Acceptance)
    assert second.message_id != first.message_id


async def test_two_agencies_may_use_one_key(world: World) -> None:
    first = await world.post("US", world.draft("US"), key="k")
    draft = request("US", world.clock.now_ms())
    second = await world.post("US", draft, agency=INVESTIGATORS["US"], key="k")

    assert first.message_id != second.message_id


async def test_one_key_twice_in_one_call_is_accepted_once(world: World) -> None:
    same, other = body(world), body(world, precedence="FLASH")
    submissions = [Submission(body=item, key="k") for item in (same, same, other)]

    first, second, third = await admission(world).submit(world.principal("US"), submissions)

    assert isinstance(first, Acceptance)
    assert isinstance(second, Acceptance)
    assert first.message_id == second.message_id
    assert isinstance(third, IdempotencyConflictError)


async def test_a_refused_post_does_not_use_its_key_up(world: World) -> None:
    with pytest.raises(RefusedError):
        await world.post("US", world.draft("US", precedence="ROUTINE"), key="k")

    await world.post("US", world.draft("US"), key="k")


# --- checking --------------------------------------------------------------------------------


async def test_checking_completes_and_keeps_nothing(world: World) -> None:
    checked = await admission(world).check(world.principal("US"), body(world), strict=False)

    document = orjson.loads(checked.message)
    assert document["header"]["conversation"]["seq"] == 1
    assert await waiting(world) == 0
    with pytest.raises(RefusedError):
        await admission(world).check(world.principal("US"), body(world), strict=True)
    assert await admission(world).check(world.principal("US"), checked.message, strict=True) == checked


@pytest.mark.parametrize(
    ("block", "field", "rule"),
    [("", "reply_by", "H-07"), ("data_protection", "delete_by", "DP-04"), ("marking", "alternative", None)],
)
async def test_a_message_that_its_schema_accepts_is_judged_as_it_stands_and_not_completed(
    world: World, block: str, field: str, rule: str | None
) -> None:
    draft = world.draft("US")
    draft["header"]["data_protection"] = {
        "contains_personal_data": True,
        "categories": ["IDENTITY"],
        "subjects": ["SUSPECT"],
    }
    principal = world.principal("US")
    document = orjson.loads(
        (await admission(world).check(principal, orjson.dumps(draft), strict=False)).message
    )
    del (document["header"][block] if block else document["header"])[field]

    post = Submission(body=orjson.dumps(document), key=None)
    (outcome,) = await admission(world).submit(principal, [post])

    if rule is None:
        assert isinstance(outcome, Acceptance), "what the schema refuses is a draft"
        return
    assert isinstance(outcome, RefusedError)
    assert [violation.rule for violation in outcome.violations] == [rule]
    for strict in (False, True):
        with pytest.raises(RefusedError):
            await admission(world).check(principal, post.body, strict=strict)


@pytest.mark.parametrize("number", ["1.0", "1e0", "1.5", "9007199254740993"])
async def test_a_number_that_strict_json_refuses_makes_a_good_message_unreadable(
    world: World, number: str
) -> None:
    whole = (await admission(world).check(world.principal("US"), body(world), strict=False)).message
    assert whole is not None
    assert (await admission(world).check(world.principal("US"), whole, strict=True)).message == whole

    altered = whole.replace(b'"seq":1', b'"seq":' + number.encode())
    assert altered != whole

    for strict in (False, True):
        with pytest.raises(UnreadableError):
            await admission(world).check(world.principal("US"), altered, strict=strict)
    (outcome,) = await admission(world).submit(world.principal("US"), [Submission(body=altered)])
    assert isinstance(outcome, UnreadableError)


async def test_a_value_in_no_list_is_warned_of_at_its_sender_and_does_not_hold_it_up(world: World) -> None:
    draft = world.draft("US")
    draft["payload"]["place"] = {"unlocode": "USQ99"}
    principal, post = world.principal("US"), Submission(body=orjson.dumps(draft), key="k")

    checked = await admission(world).check(principal, post.body, strict=False)
    (first,) = await admission(world).submit(principal, [post])
    (again,) = await admission(world).submit(principal, [post])

    assert isinstance(first, Acceptance)
    assert isinstance(again, Acceptance)
    for warnings in (checked.warnings, first.warnings, again.warnings):
        assert [(item.warning, item.pointer) for item in warnings] == [
            ("W-LOCODE", "/payload/place/unlocode")
        ]
    await world.until_state("US", first.message_id, "received")


async def test_checking_answers_what_posting_would(world: World) -> None:
    accepted = await world.post("US", world.draft("US"))
    cases: list[tuple[bytes, type[GatewayError]]] = [
        (b"{", UnreadableError),
        (b'{"header": {"from": {"agency": "x"}}}', NotAllowedError),
        (body(world, precedence="ROUTINE"), RefusedError),
        (accepted.message, RefusedError),
        (
            orjson.dumps(answer("US", UUID(int=7).bytes, world.clock.now_ms())),
            RefusedError,
        ),
    ]
    for case, error in cases:
        with pytest.raises(error):
            await admission(world).check(world.principal("US"), case, strict=False)


# --- too much, too late ------------------------------------------------------------------------


async def test_more_than_may_wait_is_refused_before_it_is_looked_at(world: World) -> None:
    admission(world)._max_waiting = 2
    submissions = [Submission(body=body(world)) for _ in range(3)]

    with pytest.raises(OverloadedError) as caught:
        await admission(world).submit(world.principal("US"), submissions)

    assert caught.value.retry_after_s >= 1
    assert admission(world).waiting == 0
    await admission(world).submit(world.principal("US"), submissions[:2])


async def test_while_the_log_is_refilled_agencies_are_told_to_come_back(world: World) -> None:
    admission(world).paused = True
    with pytest.raises(RecoveringError):
        await world.send("US")
    admission(world).paused = False
    await world.send("US")


async def test_a_caller_that_goes_away_does_not_take_its_message_along(world: World) -> None:
    await world.settle()
    calling = asyncio.create_task(world.send("US"))
    while not admission(world).waiting:  # noqa: ASYNC110 - a number has no event
        await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert admission(world).waiting == 0
    other = await world.send("US")
    await world.until_state("US", other, "received")
    assert other in await world.received("FR")


@pytest.mark.parametrize("persisted", [False, True])
async def test_when_the_store_fails_every_caller_of_the_group_hears_it(
    world: World, *, persisted: bool
) -> None:
    await world.settle()
    world.break_write("US", Step.ACCEPTED, persisted=persisted)

    outcomes = await asyncio.gather(*(world.send("US") for _ in range(5)), return_exceptions=True)

    assert all(isinstance(item, StoreError) for item in outcomes)


async def test_when_a_refusal_cannot_be_recorded_it_is_not_answered_as_one(world: World) -> None:
    await world.settle()
    world.break_write("US", Step.REFUSED, persisted=False)

    with pytest.raises(StoreError):
        await world.post("US", {})


# --- what a draft needs ------------------------------------------------------------------------


PARENT = str(UUID(int=5))


@pytest.mark.parametrize(
    ("document", "needed"),
    [
        ({}, None),
        ({"header": 1}, None),
        ({"header": {}}, None),
        ({"header": {"conversation": []}}, None),
        ({"header": {"conversation": {}}}, None),
        ({"header": {"conversation": {"in_reply_to": PARENT}}}, UUID(int=5).bytes),
        ({"header": {"conversation": {"in_reply_to": "no id"}}}, None),
        ({"header": {"conversation": {"in_reply_to": 7}}}, None),
        ({"header": {"conversation": {"in_reply_to": None}}}, None),
        (
            {
                "header": {
                    "conversation": {"in_reply_to": PARENT, "id": 1, "pattern": 2},
                    "to": [],
                    "purpose": {},
                }
            },
            None,
        ),
        (
            {"header": {"conversation": {"in_reply_to": PARENT, "id": 1, "pattern": 2}, "to": []}},
            UUID(int=5).bytes,
        ),
    ],
)
def test_a_draft_needs_its_parent_only_if_something_follows_from_it(
    document: dict[str, Any], needed: bytes | None
) -> None:
    assert _parent_needed(document) == needed


@pytest.mark.parametrize("document", [{}, {"header": []}, {"header": {}}, {"header": {"conversation": {}}}])
def test_what_lacks_anything_is_a_draft(document: dict[str, Any]) -> None:
    assert _is_whole(document) is False


async def test_what_a_node_completed_is_whole(world: World) -> None:
    accepted = await world.post("US", world.draft("US"))
    document = orjson.loads(accepted.message)

    assert _is_whole(document) is True
    del document["header"]["conversation"]["seq"]
    assert _is_whole(document) is False
