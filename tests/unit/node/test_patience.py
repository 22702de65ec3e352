"""A node asks a peer that failed again in time, and two that can do nothing for each other keep the peace."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.signature import SigningAwayError
from gateway.errors import GatewayError, PairFrozenError, PeerError, UnavailableError
from gateway.node.patience import (
    BREAKER_FAILURES,
    PRESSED_S,
    SOON_S,
    THAW_S,
    Breaker,
    Patience,
)
from tests.clocks import StillClock
from tests.world import WorldEntropy

LONGEST_S = 30.0
STEP_S = 0.01

AWAY = UnavailableError("away")
STARTING = UnavailableError("starting", retry_after_s=2)
REFUSED = PeerError("refused")


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def patience(clock: StillClock) -> Patience:
    return Patience(
        peer="fr.gateway.test",
        clock=clock,
        entropy=WorldEntropy(),
        first_wait_s=0.2,
        longest_wait_s=LONGEST_S,
    )


async def waited_s(
    patience: Patience, clock: StillClock, error: GatewayError, *, calls: bool = False, presses: bool = False
) -> float:
    """Return how long a wait lasts, while the peer calls or urgent messages come all along."""
    began = clock.monotonic_s()
    waiting = asyncio.create_task(patience.wait(error))
    while True:
        for _ in range(20):
            await asyncio.sleep(0)
        if waiting.done():
            return clock.monotonic_s() - began
        if calls:
            patience.called()
        if presses:
            patience.pressed()
        left_s = clock.due_s - clock.monotonic_s()
        clock.advance(min(left_s, STEP_S) if calls or presses else left_s)


async def fail(patience: Patience, clock: StillClock, error: GatewayError, times: int = 12) -> None:
    """Fail so often that waits have come to their bound."""
    for _ in range(times):
        await waited_s(patience, clock, error)


def about(seconds: float) -> object:
    return pytest.approx(seconds, abs=2.5 * STEP_S)


async def test_waits_grow_to_their_bound(patience: Patience, clock: StillClock) -> None:
    spread = 0.25 + 0.75 * WorldEntropy.jitter

    waits = [await waited_s(patience, clock, AWAY) for _ in range(10)]

    assert waits[:3] == [about(0.2 * spread), about(0.4 * spread), about(0.8 * spread)]
    assert waits[-1] == about(LONGEST_S * spread)


async def test_a_call_ends_a_long_wait_at_once(patience: Patience, clock: StillClock) -> None:
    await fail(patience, clock, AWAY)

    assert await waited_s(patience, clock, AWAY, calls=True) == about(SOON_S)


async def test_a_call_ends_also_the_wait_that_the_peer_has_asked_for(
    patience: Patience, clock: StillClock
) -> None:
    await fail(patience, clock, AWAY)
    await waited_s(patience, clock, AWAY, calls=True)

    assert await waited_s(patience, clock, STARTING) == about(2.0)
    assert await waited_s(patience, clock, STARTING, calls=True) == about(SOON_S)


async def test_a_call_that_came_during_the_try_counts(patience: Patience, clock: StillClock) -> None:
    await fail(patience, clock, STARTING)
    patience.called()

    assert await waited_s(patience, clock, STARTING) == about(SOON_S)


async def test_calls_that_meant_nothing_end_waits_ever_later(patience: Patience, clock: StillClock) -> None:
    await fail(patience, clock, STARTING)

    waits = [await waited_s(patience, clock, STARTING, calls=True) for _ in range(8)]

    assert waits[:4] == [about(SOON_S), about(2 * SOON_S), about(4 * SOON_S), about(8 * SOON_S)]
    assert waits[-2:] == [about(THAW_S)] * 2


async def test_a_peer_that_was_silent_for_a_wait_or_takes_a_bundle_is_believed_again(
    patience: Patience, clock: StillClock
) -> None:
    await fail(patience, clock, AWAY)
    for _ in range(8):
        await waited_s(patience, clock, AWAY, calls=True)
    clock.advance(100)  # the last call is long ago

    await waited_s(patience, clock, AWAY)
    assert await waited_s(patience, clock, AWAY, calls=True) == about(SOON_S)

    for _ in range(8):
        await waited_s(patience, clock, AWAY, calls=True)
    patience.reached(1)
    assert await waited_s(patience, clock, AWAY, calls=True) == about(SOON_S)


@pytest.mark.parametrize("error", [REFUSED, SigningAwayError("away")])
async def test_calls_of_a_peer_that_refuses_or_for_which_our_keys_are_away_do_not_hasten(
    patience: Patience, clock: StillClock, error: GatewayError
) -> None:
    await fail(patience, clock, error)
    patience.called()

    assert await waited_s(patience, clock, error, calls=True) == about(THAW_S)


async def test_a_peer_that_has_called_is_asked_each_second_for_a_minute(
    patience: Patience, clock: StillClock
) -> None:
    await fail(patience, clock, AWAY)
    await waited_s(patience, clock, AWAY, calls=True)

    assert await waited_s(patience, clock, AWAY) <= THAW_S
    clock.advance(60)
    assert await waited_s(patience, clock, AWAY) > 10


async def test_while_something_urgent_waits_a_peer_out_of_reach_is_asked_often(
    patience: Patience, clock: StillClock
) -> None:
    await fail(patience, clock, AWAY)
    patience.pressed()

    for _ in range(20):
        assert await waited_s(patience, clock, AWAY) <= PRESSED_S


async def test_but_one_that_asks_for_time_gets_it_up_to_a_second_however_much_comes(
    patience: Patience, clock: StillClock
) -> None:
    await fail(patience, clock, STARTING)
    patience.pressed()

    assert await waited_s(patience, clock, STARTING) == about(2.0)
    for _ in range(3):
        assert await waited_s(patience, clock, STARTING, presses=True) == about(THAW_S)


async def test_a_frozen_pair_waits_for_people(patience: Patience, clock: StillClock) -> None:
    await fail(patience, clock, PairFrozenError("frozen"))

    assert patience.breaker is Breaker.FROZEN
    assert await waited_s(patience, clock, PairFrozenError("frozen"), calls=True, presses=True) > 10


async def test_the_breaker_opens_and_trust_closes_it_but_thaws_no_pair(
    patience: Patience, clock: StillClock
) -> None:
    await fail(patience, clock, AWAY, BREAKER_FAILURES)
    assert (patience.breaker, patience.reachable, patience.trouble) == (Breaker.OPEN, False, "unavailable")

    patience.trust()
    assert (patience.breaker, patience.reachable, patience.trouble) == (Breaker.CLOSED, True, "")
    assert await waited_s(patience, clock, AWAY) < 0.2

    patience.freeze()
    patience.trust()
    assert patience.breaker is Breaker.FROZEN
