"""The handbook of messages below ``/docs``: static pages for people, on the port where agencies are.

They are no calls of the API and stand in no OpenAPI document. A browser with the agency's
certificate reads them; they load nothing but what is beside them, and the policy that goes
with each answer lets them do nothing else.
"""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import Final

from gateway.api.callers import Caller
from gateway.catalogue import catalogue_folder
from gateway.core.message.registry import Catalogue
from gateway.handbook import CONTENT_SECURITY_POLICY, FIRST_PAGE, Handbook
from gateway.node.inbox import NotFoundError
from gateway.web.exchange import Reply, Request
from gateway.web.routing import Route

_HEADERS: Final = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Referrer-Policy", "no-referrer"),
)
_FILE: Final = r"[a-z][a-z0-9._-]{0,120}\.html"
_NOTHING: Final = MappingProxyType[str, str]({})


def handbook_routes(catalogue: Catalogue) -> tuple[Route, ...]:
    """Return the pages below ``/docs``.

    Args:
        catalogue: What this node checks messages by; the pages describe that.
    """
    book = Handbook(catalogue, catalogue_folder())

    async def first(request: Request[Caller]) -> Reply:
        request.query.done()
        place = f"/docs/{request.language}/{FIRST_PAGE}"
        return Reply(body=None, status=302, headers=(("Location", place), ("Vary", "Accept-Language")))

    async def page(request: Request[Caller]) -> Reply:
        request.query.done()
        path = "/".join(request.names[name] for name in ("language", "file") if name in request.names)
        # A page is made when it is first asked for, which is too long for the loop.
        found = await asyncio.to_thread(book.page, path)
        if found is None:
            msg = "the handbook has no such page"
            raise NotFoundError(msg)
        return Reply(body=found.body, media_type=found.media_type, headers=_HEADERS)

    def route(name: str, path: str, **parts: str) -> Route:
        handler = page if parts else first
        return Route(name=name, method="GET", path=path, parts=parts or _NOTHING, handler=handler)

    return (
        route("handbook", "/docs"),
        route("handbook_first", "/docs/"),
        route("handbook_asset", "/docs/{file}", file=r"handbook\.(?:css|js)"),
        route("handbook_page", "/docs/{language}/{file}", language="en|fr", file=_FILE),
    )
