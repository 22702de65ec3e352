"""A small site for tests of the HTTP server: plain objects, no node, no mocks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.system import SystemClock
from gateway.web.app import App, Identify
from gateway.web.exchange import Reply, Request
from gateway.web.identity import Certificate
from gateway.web.routing import UUID, Route

CLOCK = SystemClock()


def anybody(certificate: Certificate | None) -> str:
    """Let everybody in."""
    del certificate
    return "anybody"


@dataclass(slots=True)
class Site:
    """What the test site was asked, and what it answers."""

    bodies: list[bytes] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    large: bytes = b"x" * 32_000_000

    def app(self, identify: Identify = anybody) -> App:
        """Return an application of a few calls."""
        json = frozenset({"application/json"})
        return App(
            name="test",
            identify=identify,
            routes=(
                Route(name="get", method="GET", path="/get", parts={}, handler=self.get),
                Route(
                    name="query",
                    method="GET",
                    path="/query",
                    parts={},
                    handler=self.query,
                    query=frozenset({"limit"}),
                ),
                Route(name="thing", method="GET", path="/thing/{id}", parts={"id": UUID}, handler=self.get),
                Route(
                    name="post",
                    method="POST",
                    path="/post",
                    parts={},
                    handler=self.post,
                    media_types=json,
                    max_body=1_000,
                ),
                Route(
                    name="big",
                    method="POST",
                    path="/big",
                    parts={},
                    handler=self.post,
                    media_types=json,
                    max_body=4_000_000,
                ),
                Route(
                    name="held",
                    method="POST",
                    path="/held",
                    parts={},
                    handler=self.wait,
                    media_types=json,
                    max_body=4_000_000,
                ),
                Route(name="large", method="GET", path="/large", parts={}, handler=self.get_large),
                Route(name="fail", method="GET", path="/fail", parts={}, handler=self.fail),
                Route(name="wait", method="GET", path="/wait", parts={}, handler=self.wait),
                Route(name="gone", method="GET", path="/gone", parts={}, handler=self.until_gone),
                Route(name="slow", method="GET", path="/slow", parts={}, handler=self.wait, deadline_s=0.1),
            ),
        )

    async def get(self, request: Request[str]) -> Reply:
        return Reply(body=b"{}", language=request.language)

    async def query(self, request: Request[str]) -> Reply:
        limit = request.query.integer("limit", default=1, low=1, high=9)
        request.query.done()
        return Reply(body=b"%d" % limit)

    async def post(self, request: Request[str]) -> Reply:
        self.bodies.append(request.body)
        return Reply(status=202, body=b"%d" % len(request.body))

    async def get_large(self, request: Request[str]) -> Reply:
        del request
        return Reply(body=self.large)

    async def fail(self, request: Request[str]) -> Reply:
        del request
        return {"passport": Reply(body=b"")}["P1234567"]

    async def wait(self, request: Request[str]) -> Reply:
        del request
        self.started.set()
        await self.release.wait()
        return Reply(body=b"{}")

    async def until_gone(self, request: Request[str]) -> Reply:
        self.started.set()
        await request.when_gone()
        self.release.set()
        return Reply(body=b'{"gone":true}')
