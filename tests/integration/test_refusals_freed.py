"""What a refused post took is given back when it is answered, without the collector of cycles.

A node lets that run seldom, and a body may have a MiB, a batch sixteen: 120 refused posts of 0.9 MB would
hold 700 MB.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from gateway.errors import GatewayError
from gateway.node.posts import Posted
from tests.agency_site import AgencySite, open_site

SARC = "FR.DGDDI.SARC"
UNKNOWN = "01a20847-0135-7993-b063-b5d5cb27d3ff"
COUNT = 5

Bodies = Callable[[AgencySite], bytes]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AgencySite]:
    async with open_site(tmp_path) as opened:
        yield opened


@pytest.fixture
def _all_kept() -> Iterator[None]:
    """Let everything that only the collector would free be found in `gc.garbage`."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def with_header(**header: Any) -> Bodies:
    return lambda site: orjson.dumps(site.world.draft("FR", **header))


def against_schema(site: AgencySite) -> bytes:
    document = site.world.draft("FR")
    document["payload"]["kind"] = "NO_SUCH_KIND"
    return orjson.dumps(document)


CASES: dict[str, tuple[str, Bodies]] = {
    "no JSON": ("/v1/messages", lambda _: b'{"a": 1, "a": 2}'),
    "against the schema": ("/v1/messages", against_schema),
    "against a rule": ("/v1/messages", with_header(expires_at="2020-01-01T00:00:00.000Z")),
    "about an unknown message": ("/v1/messages", with_header(conversation={"in_reply_to": UNKNOWN})),
    "of another sender": ("/v1/messages", with_header(**{"from": {"agency": "FR.DGDDI.DNRED"}})),
    "under a key that was used": ("/v1/messages", with_header()),
    "in a batch": ("/v1/messages:batch", lambda site: b"\n".join([against_schema(site), b"{"] * 5)),
    "checked": ("/v1/messages:check", against_schema),
    "too large": ("/v1/messages", lambda _: b" " * 2**20 + b"{"),
}


@pytest.mark.usefixtures("_all_kept")
@pytest.mark.parametrize("case", CASES)
async def test_nothing_of_a_refused_post_waits_for_the_collector(site: AgencySite, case: str) -> None:
    path, make = CASES[case]
    kind = "application/x-ndjson" if "batch" in path else "application/json"
    headers = {"Content-Type": kind, "Idempotency-Key": "key"}
    context = site.authorities["FR"].client(site.leaves[SARC])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:

        async def post() -> bytes:
            async with session.post(
                site.url("FR") + path, data=BytesIO(make(site)), headers=headers
            ) as response:
                return await response.read()

        await post()
        gc.collect()
        gc.garbage.clear()
        for _ in range(COUNT):
            assert b"urn:entente:problem:" in await post()
        await asyncio.sleep(0.1)
        gc.collect()

    assert [
        type(item) for item in gc.garbage if isinstance(item, (GatewayError, Posted, web.BaseRequest))
    ] == []
