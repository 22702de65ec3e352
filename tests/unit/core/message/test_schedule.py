"""Which catalogue governs a message, and what a log has announced at which time."""

from __future__ import annotations

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.entries import AgreementEntry
from gateway.core.message.schedule import (
    SKEW_MS,
    Announced,
    Course,
    Schedule,
    Standing,
    compare,
    digests_of,
    first_difference,
)
from tests.catalogues import CHANGED, changed_catalogue

CHANGE = 1_000_000_000
SAME = "assist.request/1"
OLD, NEW = read_catalogue(), changed_catalogue()
PLAN = Schedule(catalogue=OLD, following=NEW, change_ms=CHANGE)


def entry(effective_ms: int, **types: bytes) -> AgreementEntry:
    return AgreementEntry(types=tuple(sorted(types.items())), effective_ms=effective_ms)


def test_one_catalogue_is_in_force_for_good() -> None:
    schedule = Schedule(catalogue=OLD)
    assert (schedule.at(0), schedule.at(2**50)) == (OLD, OLD)
    assert schedule.planned(2**40) is None


A, B = {"one/1": b"a", "two/1": b"a"}, {"one/1": b"b", "two/1": b"a"}


@pytest.mark.parametrize(
    ("own", "peer", "expected"),
    [
        ([(5, A)], [(5, A)], None),
        # A type that differs already is told as that.
        ([(5, A)], [(5, B)], None),
        ([(5, A), (9, B)], [(5, A), (9, B)], None),
        ([(5, A), (9, B)], [(5, A)], (9, ("one/1",))),
        ([(5, A)], [(5, A), (9, B)], (9, ("one/1",))),
        # Not at the same time: from the earlier one on.
        ([(5, A), (9, B)], [(5, A), (7, B)], (7, ("one/1",))),
        ([(5, A), (9, {})], [(5, B), (9, B)], (9, ("two/1",))),
        ([(5, A), (7, B), (9, A)], [(5, A), (7, B)], (9, ("one/1",))),
    ],
)
def test_when_and_in_what_two_nodes_will_differ_follows_from_their_plans(
    own: Course, peer: Course, expected: tuple[int, tuple[str, ...]] | None
) -> None:
    assert first_difference(own, peer) == expected


def test_a_following_catalogue_is_in_force_from_the_change_on() -> None:
    assert (PLAN.at(CHANGE - 1), PLAN.at(CHANGE)) == (OLD, NEW)
    assert (PLAN.planned(CHANGE - 1), PLAN.planned(CHANGE)) == (NEW, None)


@pytest.mark.parametrize(
    ("digest", "created_ms", "now_ms", "expected"),
    [
        (OLD, CHANGE - 1, CHANGE - 1, OLD),
        (OLD, CHANGE - 1, CHANGE + 2**40, OLD),
        (OLD, CHANGE + SKEW_MS - 1, CHANGE + SKEW_MS, OLD),
        (OLD, CHANGE + SKEW_MS, CHANGE + SKEW_MS, None),
        (NEW, CHANGE, CHANGE, NEW),
        (NEW, CHANGE - 1, CHANGE, NEW),
        (NEW, CHANGE - SKEW_MS, CHANGE - SKEW_MS, NEW),
        (NEW, CHANGE - SKEW_MS - 1, CHANGE - SKEW_MS - 1, None),
    ],
)
def test_a_received_message_is_judged_by_the_catalogue_it_was_written_under(
    digest: object, created_ms: int, now_ms: int, expected: object
) -> None:
    named = (OLD if digest is OLD else NEW).type(CHANGED).digest
    assert PLAN.accepting(CHANGED, named, created_ms=created_ms, now_ms=now_ms) is expected


@pytest.mark.parametrize("now_ms", [0, CHANGE, 2**50])
def test_a_type_that_does_not_change_is_accepted_at_any_time(now_ms: int) -> None:
    digest = OLD.type(SAME).digest
    assert PLAN.accepting(SAME, digest, created_ms=now_ms, now_ms=now_ms) is OLD


def test_a_digest_or_type_that_no_catalogue_has_is_never_accepted() -> None:
    for schedule in (PLAN, Schedule(catalogue=OLD)):
        assert schedule.accepting(CHANGED, bytes(48), created_ms=0, now_ms=0) is None
        assert schedule.accepting("x.y/1", bytes(48), created_ms=0, now_ms=0) is None


def test_nothing_is_known_of_a_log_that_announced_nothing() -> None:
    assert Announced().at(5) is None
    assert Announced().plans(5) == []
    assert Announced().names("a", b"1", (5,))


def test_the_last_entry_that_has_taken_effect_counts() -> None:
    said = Announced(entries=(entry(10, a=b"1"), entry(30, a=b"2"), entry(20, a=b"3")))
    assert [said.at(time) for time in (10, 19, 20, 29, 30, 99)] == [
        {"a": b"1"},
        {"a": b"1"},
        {"a": b"3"},
        {"a": b"3"},
        {"a": b"3"},
        {"a": b"3"},
    ]


def test_before_its_first_entry_took_effect_a_log_means_that_entry() -> None:
    assert Announced(entries=(entry(10, a=b"1"),)).at(3) == {"a": b"1"}


def test_changes_that_are_still_to_come_are_listed_and_those_taken_back_are_not() -> None:
    planned = Announced(entries=(entry(10, a=b"1"), entry(30, a=b"2")))
    assert planned.plans(20) == [(30, {"a": b"2"})]
    assert planned.plans(30) == []
    taken_back = Announced(entries=(*planned.entries, entry(20, a=b"1")))
    assert taken_back.plans(25) == []


def test_a_version_counts_if_it_was_in_force_at_one_of_the_times() -> None:
    said = Announced(entries=(entry(10, a=b"1"), entry(30, a=b"2")))
    assert said.names("a", b"1", (20, 40))
    assert said.names("a", b"2", (20, 40))
    assert not said.names("a", b"2", (20,))
    assert not said.names("b", b"1", (20, 40))


def test_types_are_compared_one_by_one() -> None:
    peer = digests_of(NEW)
    del peer[SAME]
    peer["x.y/1"] = bytes(48)
    differing = [standing for standing in compare(OLD, peer) if not standing.is_agreed]
    assert differing == [
        Standing(type=CHANGED, own=OLD.type(CHANGED).digest, peer=NEW.type(CHANGED).digest),
        Standing(type=SAME, own=OLD.type(SAME).digest, peer=None),
        Standing(type="x.y/1", own=None, peer=bytes(48)),
    ]
