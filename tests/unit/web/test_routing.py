"""Paths and their patterns."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.web.exchange import Reply, Request
from gateway.web.refusals import MethodNotAllowedError, NoSuchPathError
from gateway.web.routing import UUID, Route, Router

ID = "01a20847-0135-7993-b063-b5d5cb27d3ff"


async def nothing(request: Request[Any]) -> Reply:
    del request
    return Reply(body=b"")


def route(method: str, path: str, **parts: str) -> Route:
    return Route(name=f"{method} {path}", method=method, path=path, parts=parts, handler=nothing)


ROUTER = Router(
    [
        route("GET", "/a"),
        route("POST", "/a"),
        route("GET", "/a/{id}", id=UUID),
        route("POST", "/a/{id}:act", id=UUID),
        route("GET", "/a.b/{name}/{number}", name="[a-z]+", number="[0-9]+"),
    ]
)


def test_a_fixed_path_is_found_by_its_method() -> None:
    assert ROUTER.find("GET", "/a")[0].name == "GET /a"
    assert ROUTER.find("POST", "/a")[0].name == "POST /a"


def test_variable_parts_come_out_by_name() -> None:
    found, names = ROUTER.find("GET", f"/a/{ID}")
    assert (found.name, names) == ("GET /a/{id}", {"id": ID})
    found, names = ROUTER.find("POST", f"/a/{ID}:act")
    assert (found.name, names) == ("POST /a/{id}:act", {"id": ID})
    assert ROUTER.find("GET", "/a.b/x/7")[1] == {"name": "x", "number": "7"}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "a",
        "/a/",
        "/A",
        "/a%2f",
        f"/a/{ID}/",
        f"/a/{ID}\n",
        f"/a/{ID.upper()}",
        f"/a/{ID}:other",
        f"/a%2F{ID}",
        "/a/../a",
        "/aXb/x/7",
        "/a.b/x/7/../8",
        "/a.b/" + "x" * 600 + "/7",
        "/a.b/x/٧",
        "\ud800",
    ],
)
def test_whatever_matches_no_pattern_exactly_is_nothing(path: str) -> None:
    with pytest.raises(NoSuchPathError):
        ROUTER.find("GET", path)


def test_another_method_is_refused_with_those_that_are_allowed() -> None:
    with pytest.raises(MethodNotAllowedError) as raised:
        ROUTER.find("DELETE", "/a")
    assert raised.value.allowed == ("GET", "POST")
    with pytest.raises(MethodNotAllowedError):
        ROUTER.find("GET", f"/a/{ID}:act")
