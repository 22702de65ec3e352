"""Listings of conversations: what comes first, pages, filters."""

from __future__ import annotations

from gateway.core.message.instants import time_text
from gateway.core.message.threads.progress import RequestState
from gateway.node.conversations import Place, Thread
from tests.messages import DAY_MS, INVESTIGATORS, answer, intelligence, request
from tests.world import World

AGENCY = INVESTIGATORS["US"]


async def listed(
    world: World, *, limit: int, states: frozenset[RequestState] = frozenset(), nation: str = "US"
) -> list[list[Thread]]:
    """Return every page of a listing."""
    pages: list[list[Thread]] = []
    after: Place | None = None
    while True:
        page = await world.node(nation).conversations.listing(
            world.principal(nation, INVESTIGATORS[nation]), limit=limit, after=after, states=states
        )
        pages.append(list(page.threads))
        if page.following is None:
            return pages
        after = page.following


def ids(pages: list[list[Thread]]) -> list[bytes]:
    return [thread.conversation_id for page in pages for thread in page]


async def ask(world: World, days: int) -> bytes:
    draft = request("US", world.clock.now_ms(), reply_by=_time(world, days))
    return (await world.post("US", draft, agency=AGENCY)).message_id


def _time(world: World, days: int) -> str:
    return time_text(world.clock.now_ms() + days * DAY_MS)


async def test_a_conversation_is_named_once_however_many_messages_it_has(world: World) -> None:
    posted = [(await world.post("US", intelligence("US"), agency=AGENCY)).message_id for _ in range(3)]

    assert ids(await listed(world, limit=2)) == posted[::-1]


async def test_open_requests_come_first_by_their_deadline_then_the_rest_newest_first(world: World) -> None:
    old = (await world.post("US", intelligence("US"), agency=AGENCY)).message_id
    late, soon = await ask(world, 20), await ask(world, 5)
    new = (await world.post("US", intelligence("US"), agency=AGENCY)).message_id
    middle = await ask(world, 10)

    for limit in (1, 2, 3, 50):
        pages = await listed(world, limit=limit)
        assert ids(pages) == [soon, middle, late, new, old], limit
        assert all(len(page) <= limit for page in pages)


async def test_a_filter_lists_conversations_in_these_states_only(world: World) -> None:
    informed = (await world.post("US", intelligence("US"), agency=AGENCY)).message_id
    opened, overdue, answered = await ask(world, 20), await ask(world, 1), await ask(world, 20)
    await world.until_state("US", answered, "received", agency=AGENCY)
    world.clock.advance(2 * 86_400)
    draft = answer("FR", answered, world.clock.now_ms())
    reply = (await world.post("FR", draft, agency=INVESTIGATORS["FR"])).message_id
    await world.until_state("FR", reply, "received", agency=INVESTIGATORS["FR"])

    expected = {
        frozenset({RequestState.OVERDUE}): [overdue],
        frozenset({RequestState.OPEN}): [opened],
        frozenset({RequestState.ANSWERED}): [answered],
        frozenset({RequestState.FOR_INFORMATION}): [informed],
        frozenset({RequestState.OPEN, RequestState.ANSWERED}): [opened, answered],
        frozenset({RequestState.WAITING_INFO}): [],
    }
    for nation in ("US", "FR"):
        for states, found in expected.items():
            for limit in (1, 50):
                assert ids(await listed(world, limit=limit, states=states, nation=nation)) == found, states


async def test_a_request_that_was_withdrawn_or_whose_answer_was_is_listed_as_it_is(world: World) -> None:
    await world.settle()
    asked = await ask(world, 20)
    await world.until_state("US", asked, "received", agency=AGENCY)
    for nation in ("US", "FR"):
        await world.cut_off(nation)
    withdrawn = await ask(world, 20)
    draft = answer("FR", asked, world.clock.now_ms())
    reply = (await world.post("FR", draft, agency=INVESTIGATORS["FR"])).message_id
    opened = frozenset({RequestState.OPEN})
    assert ids(await listed(world, limit=9, states=opened, nation="FR")) == []

    await world.node("US").tracking.withdraw(world.principal("US", AGENCY), withdrawn)
    await world.node("FR").tracking.withdraw(world.principal("FR", INVESTIGATORS["FR"]), reply)

    assert ids(await listed(world, limit=9, states=opened, nation="FR")) == [asked]
    assert ids(await listed(world, limit=9, states=opened)) == [asked]
