"""Posts that came alone are examined together, and each hears of itself only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from gateway.errors import GatewayError
from gateway.node.line import GATHERED, GATHERED_BYTES, MAX_GROUP, Line, NoCandidateError
from gateway.node.posts import Posted, Submission
from gateway.node.preparation import Preparation
from gateway.node.refusal import NotAllowedError, RefusedError, UnreadableError
from gateway.node.second_stage import Acceptance
from tests.messages import INVESTIGATORS, answer, request
from tests.world import World


def preparation(world: World) -> Preparation:
    return world.node("US")._admission._preparation


def posts(world: World, count: int) -> list[Posted]:
    bodies = [orjson.dumps(world.draft("US")) for _ in range(count)]
    return world.node("US")._admission._first_stage.begin(
        world.principal("US"), [Submission(body=item) for item in bodies]
    )


async def outcome_of(world: World, content: bytes, *, agency: str | None = None) -> Acceptance | GatewayError:
    principal = world.principal("US", agency)
    (outcome,) = await world.node("US")._admission.submit(principal, [Submission(body=content)])
    return outcome


async def test_those_who_come_at_once_are_examined_together_and_keep_their_order(world: World) -> None:
    examined: list[int] = []

    def examine(new: Sequence[Posted]) -> None:
        examined.append(len(new))
        preparation(world).examine_small(new)

    line: Line[int] = Line(examine)
    new = posts(world, 5)
    callers = [asyncio.create_task(line.add_new(post)) for post in new]
    await asyncio.sleep(0)

    group = await line.next_group()
    for number, (_, decided) in enumerate(group):
        decided.set_result(number)

    assert examined == [5]
    assert [candidate for candidate, _ in group] == [post.candidate for post in new]
    assert await asyncio.gather(*callers) == [0, 1, 2, 3, 4]


async def test_once_enough_have_gathered_they_are_examined_before_anybody_asks(world: World) -> None:
    line: Line[int] = Line(preparation(world).examine_small)
    new = posts(world, GATHERED)
    callers = [asyncio.create_task(line.add_new(post)) for post in new[:-1]]
    await asyncio.sleep(0)
    assert not any(post.candidate for post in new)

    callers.append(asyncio.create_task(line.add_new(new[-1])))
    await asyncio.sleep(0)

    assert all(post.candidate for post in new)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


async def test_few_large_ones_are_examined_at_once_and_do_not_hold_the_loop_up_together(
    world: World,
) -> None:
    examined: list[int] = []
    line: Line[int] = Line(lambda new: examined.append(len(new)))
    body = b" " * (GATHERED_BYTES // 2)
    new = world.node("US")._admission._first_stage.begin(world.principal("US"), [Submission(body=body)] * 5)

    callers = [asyncio.create_task(line.add_new(post)) for post in new]
    await asyncio.sleep(0)

    assert examined == [2, 2]
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


async def test_a_group_has_a_most_and_the_others_are_the_next(world: World) -> None:
    line: Line[int] = Line(preparation(world).examine_small)
    (post,) = posts(world, 1)
    preparation(world).examine_small([post])
    waiting = [line.add(post) for _ in range(MAX_GROUP + 1)]

    first, second = await line.next_group(), await line.next_group()

    assert [decided for _, decided in (*first, *second)] == waiting
    assert len(first) == MAX_GROUP


async def test_whoever_gets_no_candidate_is_told_so_and_holds_nobody_up(world: World) -> None:
    line: Line[int] = Line(preparation(world).examine_small)
    (good,) = posts(world, 1)
    (bad,) = world.node("US")._admission._first_stage.begin(world.principal("US"), [Submission(body=b"{")])
    refused, decided = (asyncio.create_task(line.add_new(post)) for post in (bad, good))
    await asyncio.sleep(0)

    ((candidate, future),) = await line.next_group()
    future.set_result(7)

    assert candidate is good.candidate
    assert await decided == 7
    with pytest.raises(NoCandidateError):
        await refused


async def test_a_caller_that_has_gone_away_loses_its_message_no_place(world: World) -> None:
    line: Line[int] = Line(preparation(world).examine_small)
    (post,) = posts(world, 1)
    caller = asyncio.create_task(line.add_new(post))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)

    ((candidate, decided),) = await line.next_group()

    assert candidate is post.candidate
    assert decided.cancelled()


async def test_posts_of_all_kinds_that_come_at_once_each_get_their_own_answer(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = await world.post("FR", request("FR", now_ms), agency=INVESTIGATORS["FR"])
    await world.settle()
    # A reply that its node completes from the request: the first stage alone makes no candidate of it.
    reply = answer("US", asked.message_id, now_ms)
    stranger = world.draft("US", **{"from": {"nation": "US", "agency": "US.XX"}})

    outcomes = await asyncio.gather(
        outcome_of(world, orjson.dumps(world.draft("US"))),
        outcome_of(world, orjson.dumps(reply), agency=INVESTIGATORS["US"]),
        outcome_of(world, orjson.dumps(stranger)),
        outcome_of(world, b"{}"),
        outcome_of(world, orjson.dumps(world.draft("US"))),
        outcome_of(world, b"{"),
    )

    assert [type(item) for item in outcomes] == [
        Acceptance,
        Acceptance,
        NotAllowedError,
        RefusedError,
        Acceptance,
        UnreadableError,
    ]
