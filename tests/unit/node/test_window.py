"""The window keeps the peer busy and its queue short, whatever the peer and the way to it are like."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.core.bundle import MAX_BUNDLE_ENTRIES
from gateway.node.courier import MAX_IN_FLIGHT
from gateway.node.window import (
    BACKLOG_MESSAGES,
    LEAST_MESSAGES,
    MOST_MESSAGES,
    QUEUE_S,
    Window,
)

MAKING_S = 0.008
BUNDLE_S = 0.005


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


def drain(window: Window, *, rate: float, way_s: float, backlog: int) -> Drained:
    """Drain a backlog to a peer that opens one bundle after the other, on a clock of our own."""
    now_s = free_s = half_s = 0.0
    left, half = backlog, backlog // 2
    flights: list[Flight] = []
    elapsed: list[float] = []
    largest = 0
    window.landed(way_s + MAKING_S, messages=0, flying=0, alone=True)
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
def test_behind_a_backlog_the_queue_is_short_and_the_peer_is_busy(rate: float, way_s: float) -> None:
    drained = drain(Window(), rate=rate, way_s=way_s, backlog=100_000)

    median = sorted(drained.flights_s)[len(drained.flights_s) // 2]
    assert median <= way_s + MAKING_S + QUEUE_S * 1.1
    # A bundle costs the peer 5 ms whatever it holds, and no more than half of the time on a long way.
    assert drained.per_s >= rate * (0.7 if way_s < 0.01 else 0.35)


def test_a_slow_peer_gets_the_least_window_and_not_less() -> None:
    window = Window()
    window.waits(BACKLOG_MESSAGES + 1)
    for _ in range(10):
        window.landed(2.0, messages=window.bundle, flying=window.messages, alone=False)

    assert window.messages == LEAST_MESSAGES


def test_a_quick_peer_gets_full_bundles_and_no_larger_ones() -> None:
    window = Window()
    window.waits(BACKLOG_MESSAGES + 1)
    for _ in range(20):
        window.landed(0.01, messages=window.bundle, flying=window.messages, alone=False)

    assert window.messages == MOST_MESSAGES
    assert window.bundle <= MAX_BUNDLE_ENTRIES


@pytest.mark.parametrize("elapsed_s", [0.01, 10.0])
def test_without_a_backlog_a_far_or_slow_peer_gets_as_much_as_any(elapsed_s: float) -> None:
    window = Window()
    window.waits(0)
    for _ in range(20):
        window.landed(elapsed_s, messages=window.bundle, flying=window.messages, alone=False)

    assert (window.messages, window.bundle) == (MOST_MESSAGES, MAX_BUNDLE_ENTRIES)


def test_without_a_backlog_bundles_are_larger() -> None:
    backlog = drain(Window(), rate=4_000, way_s=0.001, backlog=100_000)
    without = Window()
    without.waits(0)
    bulk = drain(without, rate=4_000, way_s=0.001, backlog=BACKLOG_MESSAGES - 1)

    assert bulk.largest > 1.5 * backlog.largest


def test_a_backlog_ends_when_one_bundle_takes_the_rest() -> None:
    window = Window()
    window.waits(0)
    window.waits(BACKLOG_MESSAGES)
    assert window.messages == MOST_MESSAGES
    window.waits(BACKLOG_MESSAGES + 1)
    behind = window.messages
    window.waits(BACKLOG_MESSAGES // 2)
    assert window.messages == behind < MOST_MESSAGES
    window.waits(window.bundle)

    assert window.messages == MOST_MESSAGES


def test_the_first_bundle_leaves_whatever_is_under_way() -> None:
    assert Window().admits(0)
    assert not Window().admits(MOST_MESSAGES)


def test_while_nothing_is_known_of_what_waits_it_is_as_behind_a_backlog() -> None:
    window = Window()
    assert window.messages < MOST_MESSAGES

    window.waits(BACKLOG_MESSAGES)

    assert window.messages == MOST_MESSAGES


def test_light_traffic_teaches_nothing_about_how_much_may_be_under_way() -> None:
    window = Window()
    window.waits(BACKLOG_MESSAGES + 1)
    before = window.messages
    for _ in range(100):
        window.landed(0.01, messages=1, flying=1, alone=True)

    assert window.messages == before
