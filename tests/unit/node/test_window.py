"""The window keeps the peer busy and its queue short, whatever the peer and the way to it are like."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.core.bundle import MAX_BUNDLE_ENTRIES
from gateway.node.window import (
    BACKLOG_MESSAGES,
    BUSY_MESSAGES,
    BUSY_PACES,
    CALM,
    FEW_MESSAGES,
    LATELY_S,
    MAX_IN_FLIGHT,
    MOST_MESSAGES,
    NEAR_S,
    PRESSED,
    QUICKEST_S,
    ROUND_TRIPS,
    Window,
)
from tests.clocks import StillClock

MAKING_S = 0.008
BUNDLE_S = 0.005


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def window(clock: StillClock) -> Window:
    return Window(clock=clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    left_s: float
    back_s: float
    messages: int
    flying: int
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What came of draining a backlog: the second half, when the window has settled."""

    per_s: float
    flights_s: tuple[float, ...]
    largest: int


def pressed_s(rate: float) -> float:
    """Return how long a peer that gets so many messages done a second may have the queue while pressed."""
    return max(PRESSED.longest_s, PRESSED.least / rate + 2 * BUNDLE_S)


def drain(
    window: Window, *, rate: float, way_s: float, backlog: int, first_s: float | None = None
) -> Drained:
    """Drain a backlog to a peer that opens one bundle after the other, on a clock of our own.

    The first, alone, took ``first_s`` seconds, usually what the way takes.
    """
    now_s = free_s = half_s = 0.0
    left, half = backlog, backlog // 2
    flights: list[Flight] = []
    elapsed: list[float] = []
    largest = 0
    window.landed(way_s + MAKING_S if first_s is None else first_s, messages=0, flying=0, alone=True)
    while left or flights:
        flying = sum(flight.messages for flight in flights)
        if left and len(flights) < MAX_IN_FLIGHT and window.admits(flying):
            messages = min(left, window.bundle)
            left -= messages
            window.waits(left)
            now_s += MAKING_S
            free_s = max(free_s, now_s + way_s / 2) + BUNDLE_S + messages / rate
            flights.append(
                Flight(
                    left_s=now_s,
                    back_s=free_s + way_s / 2,
                    messages=messages,
                    flying=flying + messages,
                    alone=not flights,
                )
            )
            if left <= half:
                half_s = half_s or now_s
                largest = max(largest, messages) if left else largest
            continue
        flight = flights.pop(0)
        now_s = max(now_s, flight.back_s)
        window.landed(
            flight.back_s - flight.left_s,
            messages=flight.messages,
            flying=flight.flying,
            alone=flight.alone,
        )
        if half_s and left:
            elapsed.append(flight.back_s - flight.left_s)
    return Drained(per_s=half / (now_s - half_s), flights_s=tuple(elapsed), largest=largest)


@pytest.mark.parametrize("rate", [4_000, 8_000, 15_000])
@pytest.mark.parametrize("way_s", [0.001, 0.09])
def test_behind_a_backlog_the_queue_is_short_and_the_peer_is_busy(
    window: Window, rate: float, way_s: float
) -> None:
    drained = drain(window, rate=rate, way_s=way_s, backlog=100_000)

    median = sorted(drained.flights_s)[len(drained.flights_s) // 2]
    assert median <= way_s + MAKING_S + CALM.longest_s * 1.1
    # A bundle costs the peer 5 ms whatever it holds, and no more than half of the time on a long way.
    assert drained.per_s >= rate * (0.7 if way_s < 0.01 else 0.35)


@pytest.mark.parametrize("way_s", [0.001, 0.09])
def test_once_something_urgent_has_come_the_queue_is_shorter_at_a_price_in_rate(
    window: Window, way_s: float
) -> None:
    window.pressed()
    drained = drain(window, rate=8_000, way_s=way_s, backlog=100_000)

    median = sorted(drained.flights_s)[len(drained.flights_s) // 2]
    assert median <= way_s + MAKING_S + pressed_s(8_000)
    assert drained.per_s >= 8_000 * (0.6 if way_s < 0.01 else 0.3)


def test_the_queue_is_cut_at_once_and_grows_again_when_nothing_urgent_comes_any_more(
    window: Window, clock: StillClock
) -> None:
    window.waits(BACKLOG_MESSAGES + 1)
    for _ in range(20):
        window.landed(0.01, messages=window.bundle, flying=window.messages, alone=False)
    before = window.messages
    window.pressed()
    cut = window.messages
    assert cut < 0.7 * before

    window.pressed()
    assert window.messages == cut, "once is enough"

    clock.advance(LATELY_S)
    window.landed(0.05, messages=window.bundle, flying=window.messages, alone=False)
    assert window.messages > cut


@pytest.mark.parametrize("urgent", [False, True])
def test_a_slow_peer_gets_the_least_window_and_not_less(window: Window, *, urgent: bool) -> None:
    queue = PRESSED if urgent else CALM
    if urgent:
        window.pressed()
    window.waits(BACKLOG_MESSAGES + 1)
    for _ in range(10):
        window.landed(2.0, messages=window.bundle, flying=window.messages, alone=False)

    assert (window.messages, window.bundle) == (2 * queue.least_bundle, queue.least_bundle)


def test_a_quick_peer_gets_full_bundles_and_no_larger_ones(window: Window) -> None:
    window.waits(BACKLOG_MESSAGES + 1)
    for _ in range(20):
        window.landed(0.01, messages=window.bundle, flying=window.messages, alone=False)

    assert window.messages == MOST_MESSAGES
    assert window.bundle <= MAX_BUNDLE_ENTRIES


@pytest.mark.parametrize(
    ("elapsed_s", "bundles"), [(0.01, 2), (NEAR_S + 0.01, MAX_IN_FLIGHT), (10.0, MAX_IN_FLIGHT)]
)
def test_without_a_backlog_a_far_or_slow_peer_gets_as_much_as_any_in_more_bundles(
    window: Window, elapsed_s: float, bundles: int
) -> None:
    window.waits(0)
    for _ in range(20):
        window.landed(elapsed_s, messages=window.bundle, flying=window.messages, alone=False)

    assert (window.messages, window.bundle) == (MOST_MESSAGES, MOST_MESSAGES // bundles)


def test_without_a_backlog_a_peer_that_was_once_quick_stays_near_while_it_is_busy(window: Window) -> None:
    window.waits(0)
    window.landed(0.02, messages=1, flying=1, alone=True)
    for _ in range(20):
        window.landed(0.3, messages=window.bundle, flying=window.messages, alone=False)

    assert window.bundle == MOST_MESSAGES // 2


def test_without_a_backlog_bundles_are_smaller_while_something_urgent_comes(
    window: Window, clock: StillClock
) -> None:
    window.waits(0)
    window.landed(0.02, messages=1, flying=1, alone=True)
    window.pressed()
    assert window.bundle == MOST_MESSAGES // MAX_IN_FLIGHT
    clock.advance(LATELY_S)

    assert window.bundle == MOST_MESSAGES // 2


def test_without_a_backlog_bundles_are_larger(window: Window, clock: StillClock) -> None:
    backlog = drain(window, rate=4_000, way_s=0.001, backlog=100_000)
    without = Window(clock=clock)
    without.waits(0)
    bulk = drain(without, rate=4_000, way_s=0.001, backlog=BACKLOG_MESSAGES - 1)

    assert bulk.largest > 1.5 * backlog.largest


@pytest.mark.parametrize("way_s", [0.001, 0.09])
def test_a_first_round_trip_that_met_a_peer_at_its_start_makes_no_longer_queue(
    window: Window, way_s: float
) -> None:
    window.pressed()
    drained = drain(window, rate=8_000, way_s=way_s, backlog=100_000, first_s=2.0)

    median = sorted(drained.flights_s)[len(drained.flights_s) // 2]
    assert median <= way_s + MAKING_S + pressed_s(8_000)


def test_a_line_that_becomes_longer_is_noticed_within_a_minute_or_two(
    window: Window, clock: StillClock
) -> None:
    for _ in range(ROUND_TRIPS):
        window.landed(0.01, messages=1, flying=1, alone=True)
    window.waits(BACKLOG_MESSAGES + 1)
    for _ in range(20):
        window.landed(0.3, messages=window.bundle, flying=window.messages, alone=False)
    assert window.messages == CALM.least
    clock.advance(QUICKEST_S + 1)
    for _ in range(ROUND_TRIPS):
        window.landed(0.3, messages=1, flying=1, alone=True)
    for _ in range(20):
        window.landed(0.3, messages=window.bundle, flying=window.messages, alone=False)

    assert window.messages == MOST_MESSAGES


def test_the_next_bundle_is_filled_once_as_much_waits(window: Window) -> None:
    assert not window.is_filled
    window.waits(MOST_MESSAGES // MAX_IN_FLIGHT - 1)
    assert not window.is_filled
    window.waits(MOST_MESSAGES // MAX_IN_FLIGHT)
    assert window.is_filled


def test_what_is_being_accepted_counts_as_waiting_until_the_next_bundle_tells_what_does(
    window: Window,
) -> None:
    window.waits(0)
    window.joined(window.bundle)
    window.waits(window.bundle - 100)
    window.joined(99)
    assert not window.is_filled
    window.joined(1)

    assert window.is_filled


def test_the_next_bundle_gathers_for_longer_once_much_is_under_way(window: Window) -> None:
    assert window.paces(0, 0) == 0
    assert window.paces(3, BUSY_MESSAGES - 1) == 3
    assert window.paces(3, BUSY_MESSAGES) == 3 * BUSY_PACES


def test_nothing_gathers_for_longer_while_something_urgent_comes(window: Window, clock: StillClock) -> None:
    window.pressed()
    assert window.paces(2, MOST_MESSAGES) == 2
    clock.advance(LATELY_S)

    assert window.paces(2, MOST_MESSAGES) == 2 * BUSY_PACES


def test_a_backlog_ends_when_one_bundle_takes_the_rest(window: Window) -> None:
    window.waits(0)
    window.waits(BACKLOG_MESSAGES)
    assert window.messages == MOST_MESSAGES
    window.waits(BACKLOG_MESSAGES + 1)
    behind = window.messages
    window.waits(BACKLOG_MESSAGES // 2)
    assert window.messages == behind < MOST_MESSAGES
    window.waits(window.bundle)

    assert window.messages == MOST_MESSAGES


def test_the_first_bundle_leaves_whatever_is_under_way(window: Window) -> None:
    assert window.admits(0)
    assert not window.admits(MOST_MESSAGES)


def test_the_few_of_an_urgent_bundle_take_no_room_from_the_others(window: Window) -> None:
    window.pressed()
    window.waits(BACKLOG_MESSAGES + 1)
    for _ in range(10):
        window.landed(2.0, messages=window.bundle, flying=window.messages, alone=False)

    assert window.admits(window.bundle + FEW_MESSAGES)
    assert not window.admits(2 * window.bundle)


def test_without_a_backlog_as_many_bundles_are_under_way_as_may_be(window: Window) -> None:
    window.waits(0)

    assert window.admits((MAX_IN_FLIGHT - 1) * window.bundle)
    assert not window.admits(MAX_IN_FLIGHT * window.bundle)


def test_while_nothing_is_known_of_what_waits_it_is_as_behind_a_backlog(window: Window) -> None:
    assert window.messages < MOST_MESSAGES

    window.waits(BACKLOG_MESSAGES)

    assert window.messages == MOST_MESSAGES


def test_light_traffic_teaches_nothing_about_how_much_may_be_under_way(window: Window) -> None:
    window.waits(BACKLOG_MESSAGES + 1)
    before = window.messages
    for _ in range(100):
        window.landed(0.01, messages=1, flying=1, alone=True)

    assert window.messages == before
