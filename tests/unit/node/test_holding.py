"""A bundle that comes a moment too early waits, a few of them and for a short time."""

from __future__ import annotations

import asyncio

import pytest

from gateway.node import holding
from gateway.node.holding import MAX_HELD, Holding


async def test_what_may_be_taken_does_not_wait() -> None:
    assert await Holding().until(lambda: True)


async def test_a_bundle_is_let_go_by_the_change_that_it_waits_for_and_by_no_other() -> None:
    held = Holding()
    size = 0
    waiting = asyncio.create_task(held.until(lambda: size >= 2))
    for grown in (1, 2):
        await asyncio.sleep(0.01)
        assert not waiting.done()
        size = grown
        held.changed()
    assert await waiting


async def test_a_bundle_whose_time_never_comes_is_let_go_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "HOLD_S", 0.02)
    assert not await Holding().until(lambda: False)


async def test_one_more_than_may_be_held_is_sent_away_at_once_and_the_others_stay() -> None:
    held = Holding()
    ready = False
    waiting = [asyncio.create_task(held.until(lambda: ready)) for _ in range(MAX_HELD)]
    await asyncio.sleep(0)
    assert not await held.until(lambda: ready)
    ready = True
    held.changed()
    assert await asyncio.gather(*waiting) == [True] * MAX_HELD
    # Their places are free again.
    later = asyncio.create_task(held.until(lambda: not ready))
    await asyncio.sleep(0)
    ready = False
    held.changed()
    assert await later
