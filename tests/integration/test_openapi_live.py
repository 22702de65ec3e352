"""The agency API against its own description: schemathesis asks a live server.

The server runs in a thread with two real nodes behind it and the caller fixed, so that
every request reaches a handler.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.api.app import agency_routes
from gateway.api.callers import Caller
from gateway.api.openapi import openapi_json
from gateway.catalogue import read_catalogue
from gateway.web.app import App
from gateway.web.identity import Certificate
from gateway.web.server import serve
from tests.http_site import CLOCK
from tests.world import World

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    missing_required_header,
    unsupported_method,
]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """Send a generated text as it is: good lines are the business of other tests."""
    del context
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value).encode()


class LiveSite:
    """Two nodes and the French agency port, in a thread of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.number = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.number}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with World(self._folder) as world:
            certificate = Certificate(spki=b"c" * 32, expires_ms=4_000_000_000_000, cipher="none")
            caller = Caller(principal=world.principal("FR"), certificate=certificate)
            routes = agency_routes(world.node("FR"))
            app = App(name="agency", routes=routes, identify=lambda _certificate: caller)
            async with serve(app, "127.0.0.1", 0, None, clock=CLOCK) as port:
                self.number = port.number
                await self._post_a_few(world)
                self._ready.set()
                await self._stop.wait()

    async def _post_a_few(self, world: World) -> None:
        for nation in ("FR", "US"):
            await world.until_state(nation, await world.send(nation), "received")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    with LiveSite(tmp_path_factory.mktemp("live")) as site:
        yield site


schema = schemathesis.openapi.from_dict(orjson.loads(openapi_json(tuple(read_catalogue().types), "en")))


@schema.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_described(live: LiveSite, case: schemathesis.Case[Any]) -> None:
    if case.query and "wait" in case.query:
        case.query["wait"] = "0"  # a test that waits for nothing to happen only costs time
    checks = CHECKS
    if case.operation.path in {"/v1/messages:batch", "/v1/inbox:ack"}:
        # A batch is taken as a whole and judged line by line, so bad lines still get 200.
        checks = [check for check in CHECKS if check is not negative_data_rejection]
    case.call_and_validate(base_url=live.url, checks=checks)
