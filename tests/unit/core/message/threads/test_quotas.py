"""RF-QUOTA: an agency asks so often on a day, and not more; both nodes count alike."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.message.instants import DAY_MS, instant_ms
from gateway.core.message.threads import Side
from gateway.core.message.threads.quotas import quota_of
from tests.unit.core.message.rules.samples import changed, example, stamp
from tests.unit.core.message.threads.memory import CATALOGUE, CONVERSATION, Memory, broken, new_id

QUERY = example("match.query")
CREATED = instant_ms(QUERY["header"]["created_at"])
LIMIT = CATALOGUE.type("match.query/1").terms.daily_limit or 0
SIDES: list[Side] = ["sender", "receiver"]


def query(number: int, **changes: Any) -> dict[str, Any]:
    """Return a query that opens a conversation of its own."""
    identifier = new_id(number)
    own = {"/header/message_id": identifier, CONVERSATION: identifier}
    return changed("match.query", own | changes)


@pytest.fixture(scope="module")
def full() -> Memory:
    """Return what a node knows once an agency has asked as often as it may."""
    return Memory().add(*(query(number) for number in range(LIMIT)))


def test_queries_are_limited_and_most_types_are_not() -> None:
    assert LIMIT == 200
    limited = [item.id for item in CATALOGUE.types.values() if item.terms.daily_limit is not None]
    assert limited == ["match.query/1"]


@pytest.mark.parametrize("side", SIDES)
def test_the_last_query_within_the_limit_is_good_and_the_next_is_not(side: Side) -> None:
    memory = Memory().add(*(query(number) for number in range(LIMIT - 1)))
    assert broken(memory, query(LIMIT), side) == []

    memory.add(query(LIMIT))
    assert broken(memory, query(LIMIT + 1), side) == [("RF-QUOTA", "/type")]


def test_every_agency_has_a_quota_of_its_own(full: Memory) -> None:
    other = query(LIMIT, **{"/header/from/agency": "FR.DGDDI.SARC"})
    assert other["header"]["from"]["agency"] != QUERY["header"]["from"]["agency"]
    assert broken(full, other) == []


def test_a_quota_is_for_one_utc_day(full: Memory) -> None:
    midnight = CREATED - CREATED % DAY_MS
    last, first = stamp(midnight + DAY_MS - 1), stamp(midnight + DAY_MS)

    assert broken(full, query(LIMIT, **{"/header/created_at": last})) == [("RF-QUOTA", "/type")]
    assert broken(full, query(LIMIT, **{"/header/created_at": first})) == []


def test_other_types_do_not_count(full: Memory) -> None:
    assert broken(full, example("intel.spontaneous")) == []
    assert quota_of(QUERY) != quota_of({**QUERY, "type": "match.query/2"})
