"""When content goes, by all changes of its use together, each as it is in force."""

from __future__ import annotations

from typing import Any

from gateway.core.message.instants import DAY_MS, day_of_date
from gateway.core.message.retention import AT_ONCE, Ending, Ground, ending_of
from gateway.core.message.threads import effects_of, endings_of, uuid_bytes
from tests.unit.core.message.rules.samples import ABSENT
from tests.unit.core.message.threads.memory import CATALOGUE, REQUEST, Memory, about

FIRST_SENT = REQUEST["header"]["data_protection"]["delete_by"]
EARLY, LATE = "2027-01-15", "2027-02-15"


def accept(memory: Memory, document: dict[str, Any]) -> tuple[Ending, ...]:
    """Return what a message orders, and add it."""
    effects = effects_of(document, catalogue=CATALOGUE, threads=memory)
    alone = ending_of(document)
    found = endings_of(document, alone, catalogue=CATALOGUE, threads=memory, effects=effects)
    memory.add(document)
    return found


def change(direction: str, delete_by: Any, *, number: int) -> dict[str, Any]:
    return about(
        REQUEST,
        "gov.use_change",
        {
            "/payload/direction": direction,
            "/payload/delete_by": delete_by,
            "/payload/effective": "2026-11-24T00:00:00Z",
        },
        number=number,
    )


def retraction(target: dict[str, Any], *, number: int, delete: bool = False) -> dict[str, Any]:
    return about(target, "gov.retraction", {"/payload/delete": delete}, number=number)


def correction(target: dict[str, Any], delete_by: str, *, number: int) -> dict[str, Any]:
    path = "/payload/delete_by" if target["type"] == "gov.use_change/1" else "/payload/patches/0/new"
    patches = [{"path": path, "new": delete_by}]
    return about(target, "gov.correction", {"/payload/patches": patches}, number=number)


def ends(day: str) -> tuple[Any, ...]:
    """Return the end of the request after a day, as it is ordered."""
    return (REQUEST["header"]["message_id"], (day_of_date(day) + 1) * DAY_MS, Ground.USE_CHANGE)


def told(found: tuple[Ending, ...]) -> list[tuple[Any, ...]]:
    ids = {uuid_bytes(REQUEST["header"]["message_id"]): REQUEST["header"]["message_id"]}
    return [
        (ids.get(item.target, item.target), item.retention.erase_ms, item.retention.ground) for item in found
    ]


def test_a_change_that_tightens_loosens_no_earlier_one() -> None:
    memory = Memory().add(REQUEST)

    assert told(accept(memory, change("TIGHTEN", EARLY, number=2))) == [ends(EARLY)]
    assert told(accept(memory, change("TIGHTEN", LATE, number=3))) == [ends(EARLY)]
    assert told(accept(memory, change("RELAX", LATE, number=4))) == [ends(LATE)]


def test_a_change_that_is_retracted_says_nothing() -> None:
    relaxed, tightened = change("RELAX", "2035-01-01", number=2), change("TIGHTEN", EARLY, number=3)
    memory = Memory().add(REQUEST, relaxed, tightened)

    assert told(accept(memory, retraction(tightened, number=4))) == [ends("2035-01-01")]
    # With its own content, which says when it was.
    assert told(accept(memory, retraction(relaxed, number=5, delete=True))) == [
        (uuid_bytes(relaxed["header"]["message_id"]), AT_ONCE, Ground.RETRACTION),
        ends(FIRST_SENT),
    ]


def test_a_change_counts_as_it_was_last_corrected() -> None:
    tightened = change("TIGHTEN", LATE, number=2)
    first = correction(tightened, EARLY, number=3)
    memory = Memory().add(REQUEST, tightened)

    assert told(accept(memory, first)) == [ends(EARLY)]
    assert told(accept(memory, correction(first, "2027-01-10", number=4))) == [ends("2027-01-10")]
    assert told(accept(memory, retraction(first, number=5))) == [ends(LATE)]


def test_a_change_counts_alone_where_an_earlier_one_was_erased() -> None:
    earlier = change("TIGHTEN", EARLY, number=2)
    memory = Memory().add(REQUEST, earlier)
    memory.erase(earlier)

    assert told(accept(memory, change("TIGHTEN", LATE, number=3))) == [ends(LATE)]
    assert accept(memory, retraction(earlier, number=4)) == ()


def test_what_changes_no_date_orders_none() -> None:
    unchanged = change("TIGHTEN", ABSENT, number=2)
    memory = Memory().add(REQUEST)
    about_request = about(
        REQUEST, "gov.correction", {"/payload/patches": [{"path": "/payload/subject", "new": "x"}]}, number=3
    )

    assert accept(memory, about_request) == ()
    assert told(accept(memory, unchanged)) == []
    assert accept(memory, retraction(REQUEST, number=4)) == ()
