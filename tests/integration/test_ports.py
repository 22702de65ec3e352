"""Opening and closing ports."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import http_parser

from gateway.errors import ConfigError
from gateway.web.server import serve
from tests.http_site import CLOCK, Site


async def test_an_address_in_use_is_told_as_what_an_operator_can_mend() -> None:
    app = Site().app()
    async with serve(app, "127.0.0.1", 0, None, clock=CLOCK) as port:
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port.number}"):
            async with serve(app, "127.0.0.1", port.number, None, clock=CLOCK):
                pass  # pragma: no cover - never opened


async def test_an_address_that_does_not_exist_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        async with serve(Site().app(), "no-such-host.invalid", 0, None, clock=CLOCK):
            pass  # pragma: no cover - never opened


async def test_no_port_opens_without_the_compiled_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(ConfigError, match="compiled parser"):
        async with serve(Site().app(), "127.0.0.1", 0, None, clock=CLOCK):
            pass  # pragma: no cover - never opened


async def test_a_name_with_two_addresses_listens_on_both() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
        number = probe.getsockname()[1]
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(Site().app(), "localhost", number, None, clock=CLOCK))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        families = {listening.family for listening in port._sockets}
        for address in ("127.0.0.1", "[::1]"):
            if address == "[::1]" and socket.AF_INET6 not in families:
                continue
            async with session.get(f"http://{address}:{number}/get") as answer:
                assert answer.status == 200


async def test_a_port_of_several_addresses_listens_on_each_of_them_and_on_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number = probe.getsockname()[1]
    async with AsyncExitStack() as stack:
        app = Site().app()
        await stack.enter_async_context(serve(app, "127.0.0.2,127.0.0.3", number, None, clock=CLOCK))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for address in ("127.0.0.2", "127.0.0.3"):
            async with session.get(f"http://{address}:{number}/get") as answer:
                assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.4:{number}/get")


async def test_a_closed_port_can_be_opened_again_at_once() -> None:
    app = Site().app()
    async with serve(app, "127.0.0.1", 0, None, clock=CLOCK) as port:
        number = port.number
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{number}/get") as answer,
        ):
            assert answer.status == 200
    async with serve(app, "127.0.0.1", number, None, clock=CLOCK) as port:
        assert port.number == number
