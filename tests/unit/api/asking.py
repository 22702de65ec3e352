"""Calls of the handlers of the agency API, and what a node made by hand tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from gateway.api.app import agency_routes
from gateway.api.callers import Caller
from gateway.core.message.wording import Language
from gateway.core.states import State
from gateway.node.posts import Principal, agency_actor
from gateway.node.second_stage import Acceptance
from gateway.node.tracking import TimelineEvent, Tracked
from gateway.ports import CollectionRow
from gateway.web.exchange import Query, Reply, Request
from gateway.web.identity import Certificate
from tests.unit.api.services import ID, NOW_MS, FakeServices, row

ID_TEXT = "01a20847-0135-7993-b063-b5d5cb27d3ff"
CERTIFICATE = Certificate(spki=b"s" * 32, expires_ms=NOW_MS, cipher="TLS_AES_256_GCM_SHA384")
CALLER = Caller(
    principal=Principal(nation="FR", agency="FR.DGDDI.SARC", actor=agency_actor(CERTIFICATE.spki)),
    certificate=CERTIFICATE,
)


async def ask(
    services: FakeServices,
    name: str,
    *,
    body: bytes = b"",
    query: str = "",
    language: Language = "en",
    when_gone: Callable[[], Awaitable[None]] | None = None,
    parts: dict[str, str] | None = None,
    **headers: str,
) -> Reply:
    """Call the handler of an operation."""
    route = next(route for route in agency_routes(services) if route.name == name)
    return await route.handler(
        Request(
            caller=CALLER,
            names=parts or {"id": ID_TEXT},
            query=Query(query, route.query),
            headers={key.replace("_", "-"): value for key, value in headers.items()},
            body=body,
            language=language,
            when_gone=when_gone or asyncio.Event().wait,  # type: ignore[arg-type]
        )
    )


def json_of(reply: Reply) -> Any:
    assert reply.body is not None
    return orjson.loads(reply.body)


def acceptance(message: bytes = b'{"type":"x"}') -> Acceptance:
    return Acceptance(message_id=ID, state=State.ACCEPTED, accepted_ms=NOW_MS, message=message, audit_index=9)


def tracked(**changes: object) -> Tracked:
    return Tracked(
        row=row(**changes),
        addressees=(CollectionRow(agency="US.CBP.NTC", collected_ms=None, log_index=None),),
        timeline=(
            TimelineEvent(event="accepted", at_ms=NOW_MS, origin="fr.gateway.test/audit", index=4),
            TimelineEvent(event="refused", at_ms=NOW_MS),
        ),
    )
