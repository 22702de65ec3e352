from __future__ import annotations

import asyncio

import pytest

from gateway.api.handbook import handbook_routes
from gateway.catalogue import read_catalogue
from gateway.core.message.wording import Language
from gateway.node.inbox import NotFoundError
from gateway.web.exchange import Query, Reply, Request
from gateway.web.refusals import NoSuchPathError, ParameterError
from gateway.web.routing import Router
from tests.unit.api.asking import CALLER

ROUTER = Router(handbook_routes(read_catalogue()))


async def get(path: str, *, language: Language = "en", query: str = "") -> Reply:
    route, names = ROUTER.find("GET", path)
    return await route.handler(
        Request(
            caller=CALLER,
            names=names,
            query=Query(query, route.query),
            headers={},
            body=b"",
            language=language,
            when_gone=asyncio.Event().wait,  # type: ignore[arg-type]
        )
    )


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_the_first_page_is_that_of_the_reader_s_language(path: str, language: Language) -> None:
    reply = await get(path, language=language)

    assert reply.status == 302
    assert ("Location", f"/docs/{language}/index.html") in reply.headers


@pytest.mark.parametrize(
    ("path", "media_type", "part"),
    [
        ("/docs/fr/gov.retraction-1.html", "text/html; charset=utf-8", "Rétractation"),
        ("/docs/en/rules.html", "text/html; charset=utf-8", "CX-CONSENT"),
        ("/docs/handbook.css", "text/css; charset=utf-8", "--paper"),
        ("/docs/handbook.js", "text/javascript; charset=utf-8", "data-search"),
    ],
)
async def test_each_page_comes_with_a_policy_that_lets_it_load_only_its_own(
    path: str, media_type: str, part: str
) -> None:
    reply = await get(path)

    assert reply.body is not None
    assert (reply.status, reply.media_type) == (200, media_type)
    assert part in reply.body.decode()
    policy = dict(reply.headers)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in policy
    assert "*" not in policy


async def test_a_page_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        await get("/docs/fr/no.such_type-1.html")


@pytest.mark.parametrize(
    "path",
    [
        "/docs/de/index.html",
        "/docs/fr/../index.html",
        "/docs/fr/%2e%2e",
        "/docs/book.py",
        "/docs/fr/Index.html",
    ],
)
def test_other_paths_lead_nowhere(path: str) -> None:
    with pytest.raises(NoSuchPathError):
        ROUTER.find("GET", path)


async def test_a_page_takes_no_parameters() -> None:
    with pytest.raises(ParameterError):
        await get("/docs/fr/index.html", query="q=x")
