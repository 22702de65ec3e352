"""Of a bundle that is refused nothing is left in memory, whenever the collector may next run.

The collector is tuned to run rarely, and a bundle is up to 16 MiB: one that only a cycle of references
holds would stay, and with it those that follow.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from gateway.core.bundle import Bundle
from gateway.core.checkpoint import Checkpoint
from gateway.core.merkle import Hash
from gateway.core.receipt import ExceptionCode
from gateway.errors import GatewayError
from tests.forger import Forger
from tests.world import World


@pytest.fixture
async def forger(world: World) -> Forger:
    return await Forger.take_over(world)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def malformed(_: Forger, good: Bundle) -> bytes:
    return good.encode()[:-1]


def unsigned(forger: Forger, good: Bundle) -> bytes:
    note = forger.note(Checkpoint(origin=forger.origin, size=1, root=Hash(bytes(32))))
    return replace(good, note=note).encode()


def altered(_: Forger, good: Bundle) -> bytes:
    return replace(good, entries=good.entries[::-1]).encode()


def without_ciphertext(_: Forger, good: Bundle) -> bytes:
    return replace(good, ciphertexts=()).encode()


@pytest.mark.parametrize("make", [malformed, unsigned, altered, without_ciphertext])
@pytest.mark.usefixtures("no_collector")
async def test_a_refused_bundle_is_gone_once_its_call_is_answered(
    world: World, forger: Forger, make: Callable[[Forger, Bundle], bytes]
) -> None:
    data = make(forger, forger.bundle([forger.message(), forger.message()]))
    held = await _references(data)

    refused = False
    try:
        await forger.post(data)
    except GatewayError:
        refused = True

    # The thread that had it lets go of it when it is done.
    await world.until(lambda: _references(data), lambda count: count <= held, within_s=5)
    assert refused


async def _references(data: bytes) -> int:
    return sys.getrefcount(data) - 1


@pytest.mark.usefixtures("no_collector")
async def test_a_bundle_of_which_messages_are_refused_is_gone_as_well(world: World, forger: Forger) -> None:
    good, bad = forger.message(), forger.message(body=b'{"a": [1, 2, 3')
    data = forger.bundle([good, bad, forger.message(body=b"{}")]).encode()
    held = await _references(data)

    await forger.post(data)

    await world.until(lambda: _references(data), lambda count: count <= held, within_s=5)
    assert [item.code for item in await forger.exceptions()] == [ExceptionCode.JSON, ExceptionCode.SCHEMA]
