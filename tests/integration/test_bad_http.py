"""What a port does with bytes that are no good request, and with clients that do not behave."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.web.limits import Limits
from gateway.web.server import Port, serve
from tests.http_site import CLOCK, Site

# On a busy machine a good client may be slow: short deadlines are for those that never go on.
USUAL = Limits(idle_s=0.8, drain_s=0.5)
FAST = replace(USUAL, head_s=0.3, body_s=0.3, write_s=0.3)

DEADLINE_S = 20.0


@asynccontextmanager
async def open_site(site: Site, limits: Limits = USUAL) -> AsyncIterator[Port]:
    async with serve(site.app(), "127.0.0.1", 0, None, clock=CLOCK, limits=limits) as port:
        yield port


async def exchange(port: Port, request: bytes) -> bytes:
    """Send bytes, and return everything until the server closes the connection."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        try:
            writer.write(request)
            await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()


async def is_alive(port: Port) -> bool:
    """Return whether another client is still served."""
    answer = await exchange(port, b"GET /get HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return answer.startswith(b"HTTP/1.1 200 OK\r\n")


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, header fields by lower-case name, and body of the first answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split(" ")[1]), fields, body[: int(fields.get("content-length", "0"))]


def code_of(answer: bytes) -> str:
    status, fields, body = split(answer)
    assert fields["content-type"] == "application/problem+json"
    document = orjson.loads(body)
    assert document["status"] == status
    return str(document["code"])


def get(path: str, *lines: str) -> bytes:
    head = [f"GET {path} HTTP/1.1", "Host: x", *lines, "Connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1")


def post(path: str, body: bytes, *lines: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    typed = (
        []
        if any(line.lower().startswith("content-type") for line in lines)
        else ["Content-Type: application/json"]
    )
    head = [f"POST {path} HTTP/1.1", "Host: x", *typed, f"Content-Length: {size}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def chunked_head(coding: str = "chunked") -> bytes:
    typed = "Content-Type: application/json"
    return f"POST /post HTTP/1.1\r\nHost: x\r\n{typed}\r\nTransfer-Encoding: {coding}\r\n\r\n".encode()


def stop_reading(writer: asyncio.StreamWriter) -> None:
    cast("asyncio.Transport", writer.transport).pause_reading()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so that has no event to wait for."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - counters have no event
            await asyncio.sleep(0.01)


async def until_cut_off(port: Port) -> None:
    await until(lambda: port.app.statistics.timeouts and not port.open_connections)


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """Return the next answer as soon as it is there, whatever becomes of the connection then."""
    async with asyncio.timeout(DEADLINE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        _, fields, _ = split(head)
        return head + await reader.readexactly(int(fields.get("content-length", "0")))


# --- bytes that are no good request ----------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n  folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon <script>\r\n\r\n",
        b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nab",
        b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/7.3\r\nHost: x\r\n\r\n",
    ],
    ids=[
        "tls on a plain port",
        "bare line feeds",
        "two hosts",
        "no host",
        "folded line",
        "nul",
        "no colon",
        "two lengths",
        "length and chunks",
        "signed length",
        "negative length",
        "long target",
        "long field",
        "many fields",
        "unknown version",
    ],
)
async def test_what_is_no_request_gets_a_constant_problem_and_the_end(request_bytes: bytes) -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, request_bytes)

        assert code_of(answer) in {"request-malformed", "http-version"}
        assert split(answer)[1]["connection"] == "close"
        assert b"script" not in answer
        assert await is_alive(port)


@pytest.mark.parametrize("line", [b"GET /get HTTP/1.0\r\nHost: x\r\n\r\n", b"GET /get HTTP/0.9\r\n\r\n"])
async def test_older_versions_of_http_are_refused(line: bytes) -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, line)

        assert code_of(answer) in {"http-version", "request-malformed"}


async def test_a_request_without_a_version_is_cut_off() -> None:
    async with open_site(Site()) as port:
        assert b"200" not in await exchange(port, b"GET /get\r\n")
        assert b"200" not in await exchange(port, b"GET /get\r\n\r\n")


@pytest.mark.parametrize(
    "path",
    [
        "/thing/..%2f..%2fetc",
        "/thing/%2e%2e",
        "/thing/01A20847-0135-7993-b063-b5d5cb27d3ff",
        "/thing/01a20847-0135-7993-b063-b5d5cb27d3ff%00",
        "/thing/01a20847-0135-7993-b063-b5d5cb27d3ff/",
        "/thing//01a20847-0135-7993-b063-b5d5cb27d3ff",
        "//get",
        "/get/",
        "/GET",
        "/get;a=b",
        "http://elsewhere/get",
        "/thing/é",
        "/" + "a" * 1_500,
    ],
)
async def test_paths_match_exactly_or_not_at_all(path: str) -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, get(path))

        assert code_of(answer) in {"not-found", "request-malformed"}


async def test_a_path_in_its_form_is_found() -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, get("/thing/01a20847-0135-7993-b063-b5d5cb27d3ff"))

        assert split(answer)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH"])
async def test_other_methods_are_refused_and_the_right_one_is_named(method: str) -> None:
    async with open_site(Site()) as port:
        request = f"{method} /get HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        answer = await exchange(port, request)

        status, fields, _ = split(answer)
        assert status == 405
        assert fields["allow"] == "get"


@pytest.mark.parametrize("path", ["/get", "/nothing"])
async def test_an_answer_to_head_has_no_body_which_would_be_taken_for_the_next_answer(path: str) -> None:
    async with open_site(Site()) as port:
        request = f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + get("/get")
        answer = await exchange(port, request)

        refused, _, following = answer.partition(b"\r\n\r\n")
        assert refused.split(b" ")[1] in {b"404", b"405"}
        assert b"Content-Length: " in refused
        assert following.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=10",
        "limit=1e1",
        "limit=+1",
        "limit=1&limit=2",
        "other=1",
        "limit=%31%00",
        "limit",
        "%00",
        "limit=é",
    ],
)
async def test_query_parameters_are_read_strictly(query: str) -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, get(f"/query?{query}"))

        assert code_of(answer) in {"parameter-invalid", "request-malformed"}
        assert b"other" not in split(answer)[2]


async def test_a_call_without_parameters_takes_none() -> None:
    async with open_site(Site()) as port:
        assert code_of(await exchange(port, get("/get?x=1"))) == "parameter-invalid"


# --- bodies ----------------------------------------------------------------------------------


async def test_a_body_of_the_longest_length_is_taken_and_one_byte_more_is_not() -> None:
    site = Site()
    async with open_site(site) as port:
        good = await exchange(port, post("/post", b"x" * 1_000, "Connection: close"))
        bad = await exchange(port, post("/post", b"x" * 1_001))

        assert split(good)[0] == 202
        assert code_of(bad) == "body-too-large"
        assert site.bodies == [b"x" * 1_000]
        assert await is_alive(port)


async def test_too_large_a_body_is_refused_before_it_is_sent() -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, post("/post", b"", length=10**11))

        assert code_of(answer) == "body-too-large"


async def test_a_body_in_chunks_is_stopped_at_the_limit() -> None:
    site = Site()
    chunk = b"1f4\r\n" + b"x" * 500 + b"\r\n"
    head = chunked_head()
    async with open_site(site) as port:
        good = await exchange(
            port, head.replace(b"Host", b"Connection: close\r\nHost") + chunk * 2 + b"0\r\n\r\n"
        )
        bad = await exchange(port, head + chunk * 3 + b"0\r\n\r\n")

        assert split(good)[0] == 202
        assert code_of(bad) == "body-too-large"
        assert [len(body) for body in site.bodies] == [1_000]


@pytest.mark.parametrize("chunk", [b"5\r\nabc\r\n0\r\n\r\n", b"zz\r\n", b"5\nabcde\r\n0\r\n\r\n", b"-1\r\n"])
async def test_broken_chunks_are_refused(chunk: bytes) -> None:
    site = Site()
    head = chunked_head()
    async with open_site(site) as port:
        answer = await exchange(port, head + chunk)

        assert not answer.startswith(b"HTTP/1.1 2")
        assert site.bodies == []
        assert await is_alive(port)


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity", "chunked, chunked", "xchunked"])
async def test_other_transfer_codings_are_refused(coding: str) -> None:
    site = Site()
    head = chunked_head(coding)
    async with open_site(site) as port:
        answer = await exchange(port, head + b"2\r\n{}\r\n0\r\n\r\n")

        assert code_of(answer) == "request-malformed"
        assert site.bodies == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x-gzip"])
async def test_compressed_bodies_are_refused(coding: str) -> None:
    site = Site()
    async with open_site(site) as port:
        answer = await exchange(port, post("/post", gzip.compress(b"{}"), f"Content-Encoding: {coding}"))

        assert split(answer)[0] == 415
        assert code_of(answer) == "content-encoding"
        assert site.bodies == []


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/xml",
        "application/json2",
        "application/json;charset=latin-1",
        "multipart/form-data; boundary=x",
    ],
)
async def test_another_media_type_is_refused(media_type: str) -> None:
    site = Site()
    async with open_site(site) as port:
        answer = await exchange(port, post("/post", b"{}", f"Content-Type: {media_type}"))

        assert split(answer)[0] == 415
        assert code_of(answer) == "media-type"
        # What is expected is said, to machines and to people; what was sent is not.
        assert b"\r\nAccept: application/json\r\n" in answer
        assert b"`Content-Type` has to be application/json." in answer
        assert "latin" not in answer.decode().lower()
        assert site.bodies == []


async def test_two_media_types_are_refused() -> None:
    async with open_site(Site()) as port:
        request = post("/post", b"{}", "Content-Type: application/json", "Content-Type: application/json")

        assert code_of(await exchange(port, request)) in {"media-type", "request-malformed"}


async def test_a_call_without_body_takes_none() -> None:
    async with open_site(Site()) as port:
        request = b"GET /get HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"

        assert code_of(await exchange(port, request)) == "body-not-expected"


async def test_what_follows_a_refused_body_is_not_taken_for_a_request() -> None:
    site = Site()
    smuggled = post("/post", b"{}")
    async with open_site(site) as port:
        answer = await exchange(port, post("/post", smuggled, "Content-Encoding: gzip"))

        assert answer.count(b"HTTP/1.1") == 1
        assert site.bodies == []


async def test_a_client_that_waits_for_leave_gets_it_and_is_served() -> None:
    async with open_site(Site()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(post("/post", b"", "Expect: 100-continue", "Connection: close", length=2))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert split(await reader.read())[0] == 202
        writer.close()


async def test_a_client_that_waits_for_leave_to_send_too_much_is_told_at_once() -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, post("/post", b"", "Expect: 100-continue", length=2_000))

        assert code_of(answer) == "body-too-large"


async def test_another_expectation_is_not_met() -> None:
    async with open_site(Site()) as port:
        assert code_of(await exchange(port, post("/post", b"{}", "Expect: miracles"))) == "expectation-failed"


async def test_memory_for_arriving_bodies_is_bounded() -> None:
    site = Site()
    async with open_site(site, replace(USUAL, body_bytes=5_000_000)) as port:
        _, first = await asyncio.open_connection("127.0.0.1", port.number)
        first.write(post("/big", b"", length=4_000_000))
        await until(lambda: port.app._bodies)
        second = await exchange(port, post("/big", b"x", length=4_000_000))
        first.transport.abort()

        assert code_of(second) == "too-many-requests"
        assert "retry-after" in split(second)[1]


async def test_a_large_body_counts_until_its_request_is_answered() -> None:
    site = Site()
    async with open_site(site, replace(USUAL, body_bytes=5_000_000)) as port:
        _, first = await asyncio.open_connection("127.0.0.1", port.number)
        first.write(post("/held", bytes(4_000_000)))
        await site.started.wait()
        second = await exchange(port, post("/big", b"x", length=4_000_000))
        site.release.set()
        await until(lambda: port.app._bodies == 0)
        first.transport.abort()

        assert code_of(second) == "too-many-requests"


@pytest.mark.parametrize("sent", [0, 1, 500_000])
async def test_a_client_that_goes_in_the_middle_of_a_body_is_no_defect(sent: int) -> None:
    with capture_logs() as logs:
        async with open_site(Site()) as port:
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", port.number)
                writer.write(post("/big", bytes(sent), length=4_000_000))
                await until(lambda: port.app._bodies)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                writer.transport.abort()
                await until(lambda: not port.app._bodies)
            assert await is_alive(port)

    assert [item for item in logs if item["event"] == "http.failed"] == []
    assert not [status for _, status in port.app.statistics.requests if status >= 500]


# --- deadlines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "half",
    [b"", b"G", b"GET /get HTTP/1.1\r\n", b"GET /get HTTP/1.1\r\nHost: x\r\n", b"\r\n"],
    ids=["nothing", "one byte", "a line", "a field", "an empty line"],
)
async def test_half_sent_header_lines_are_cut_off(half: bytes) -> None:
    async with open_site(Site(), FAST) as port:
        answer = await exchange(port, half)

        assert answer == b""
        assert port.app.statistics.timeouts == {"head": 1}
    async with open_site(Site()) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(half)
        assert await is_alive(port), "another client does not wait for it"
        writer.transport.abort()


async def test_header_lines_that_trickle_are_cut_off() -> None:
    async with open_site(Site(), FAST) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        trickling = asyncio.create_task(
            _trickle(writer, b"GET /get HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 5_000)
        )
        assert await _rest(reader) == b""
        assert port.app.statistics.timeouts == {"head": 1}
        assert not trickling.done(), "the deadline is not put off by what arrives"
        trickling.cancel()
        writer.transport.abort()


async def _trickle(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send a byte at a time, for longer than a test lasts, whoever listens or not."""
    for byte in data:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


async def test_half_sent_bodies_are_told_and_cut_off() -> None:
    site = Site()
    async with open_site(site, FAST) as port:
        answer = await exchange(port, post("/post", b"{", length=10))

        assert code_of(answer) == "body-timeout"
        assert site.bodies == []


async def test_bodies_that_trickle_are_cut_off() -> None:
    site = Site()
    async with open_site(site, FAST) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(post("/post", b"", length=1_000))
        trickling = asyncio.create_task(_trickle(writer, b"x" * 1_000))
        # Read as soon as it is there: what is sent to a closed connection takes its answer along.
        assert code_of(await read_answer(reader)) == "body-timeout"
        assert site.bodies == []
        assert not trickling.done(), "the deadline is not put off by what arrives"
        trickling.cancel()
        writer.transport.abort()


def test_the_deadlines_are_ten_seconds_and_a_larger_body_gets_more_time() -> None:
    limits = replace(FAST, bytes_per_s=1_000_000)

    assert (Limits().head_s, Limits().body_deadline_s(1_048_576), Limits().write_deadline_s(0)) == (
        10,
        10,
        10,
    )

    assert limits.body_deadline_s(1_000) == FAST.body_s
    assert limits.body_deadline_s(5 * 1_048_576) > 4


async def test_the_next_request_on_a_connection_has_the_same_deadline() -> None:
    async with open_site(Site(), replace(FAST, idle_s=DEADLINE_S)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"{}")
        await asyncio.sleep(0.5)  # idle is no half-sent request
        assert port.app.statistics.timeouts == {}
        writer.write(b"GET /get HT")
        async with asyncio.timeout(DEADLINE_S):
            assert await _rest(reader) == b""
        assert port.app.statistics.timeouts == {"head": 1}
        writer.transport.abort()


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with open_site(Site()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"{}")
        async with asyncio.timeout(DEADLINE_S):
            assert await _rest(reader) == b""
        assert port.app.statistics.timeouts == {}
        writer.transport.abort()


async def test_a_request_behind_a_waiting_one_does_not_end_the_connection() -> None:
    site = Site()
    async with open_site(site, FAST) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /get HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.6)
        site.release.set()
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200")
            assert (await reader.readuntil(b"{}")).startswith(b"\r\n") is False
        writer.transport.abort()


async def test_a_client_that_never_reads_is_cut_off() -> None:
    site = Site()
    async with open_site(site, replace(FAST, bytes_per_s=10**9)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port.number, limit=1_024)
        stop_reading(writer)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await until_cut_off(port)
        assert port.app.statistics.timeouts == {"write": 1}
        writer.transport.abort()


async def test_a_client_that_asks_and_never_reads_is_cut_off() -> None:
    site = Site(large=b"x" * 60_000)
    async with open_site(site, FAST) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port.number, limit=1_024)
        stop_reading(writer)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
        await until_cut_off(port)
        writer.transport.abort()


async def test_a_call_that_takes_too_long_says_so() -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, get("/slow"))

        assert code_of(answer) == "no-answer-in-time"
        assert "retry-after" in split(answer)[1]


# --- answers -----------------------------------------------------------------------------------


async def test_answers_name_no_software_and_are_not_stored() -> None:
    async with open_site(Site()) as port:
        _, fields, _ = split(await exchange(port, get("/get")))

        assert "server" not in fields
        assert fields["cache-control"] == "no-store"
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["date"].endswith("gmt")
        assert fields["vary"] == "accept-language"


async def test_an_unexpected_failure_tells_nothing_and_ends_only_its_connection(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with open_site(Site()) as port:
        answer = await exchange(port, get("/fail"))

        assert code_of(answer) == "internal"
        assert b"P1234567" not in answer
        assert await is_alive(port)
    said = capsys.readouterr()
    assert "P1234567" not in said.out + said.err
    assert "KeyError" in said.out + said.err


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("fr", "fr"),
        ("fr-FR, en;q=0.8", "fr"),
        ("en, fr;q=0.9", "en"),
        ("de", "en"),
        ("*", "en"),
        ("fr;q=0", "en"),
        ("fr;q=2", "en"),
        ("x" * 300, "en"),
    ],
)
async def test_problems_come_in_the_readers_language(header: str, language: str) -> None:
    async with open_site(Site()) as port:
        _, fields, body = split(await exchange(port, get("/none", f"Accept-Language: {header}")))

        assert fields["content-language"] == language
        assert fields["vary"] == "accept-language"
        title = orjson.loads(body)["title"]
        assert title == ("Introuvable" if language == "fr" else "Not found")


# --- life of connections -------------------------------------------------------------------------


async def test_more_connections_than_the_cap_are_closed_at_once() -> None:
    async with open_site(Site(), replace(USUAL, connections=2)) as port:
        kept = [await asyncio.open_connection("127.0.0.1", port.number) for _ in range(2)]
        await until(lambda: port.open_connections == 2)
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        async with asyncio.timeout(DEADLINE_S):
            assert await _rest(reader) == b""
        assert port.app.statistics.turned_away == 1
        for _, other in [*kept, (reader, writer)]:
            other.transport.abort()
        await until(lambda: port.open_connections == 0)
        assert await is_alive(port)


async def test_a_caller_with_too_many_connections_is_told() -> None:
    async with open_site(Site(), replace(USUAL, connections_per_caller=1)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        await until(lambda: port.open_connections == 1)
        answer = await exchange(port, b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n")
        assert code_of(answer) == "too-many-connections"
        assert split(answer)[1]["retry-after"] == "5"

        writer.write(b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200")
        writer.transport.abort()


async def test_a_caller_with_too_many_requests_in_work_is_told() -> None:
    site = Site()
    async with open_site(site, replace(USUAL, requests_per_caller=1)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await site.started.wait()
        assert code_of(await exchange(port, get("/get"))) == "too-many-requests"
        site.release.set()
        await reader.readuntil(b"{}")
        assert await is_alive(port)
        writer.transport.abort()


async def test_a_caller_that_asks_too_fast_is_told() -> None:
    async with open_site(Site(), replace(USUAL, requests_per_s=2)) as port:
        answers = await exchange(port, b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n" * 6)

        assert answers.count(b"HTTP/1.1 200") == 4
        assert answers.count(b"HTTP/1.1 429") == 2


async def test_an_old_connection_ends_with_its_next_answer() -> None:
    async with open_site(Site(), replace(USUAL, age_s=0.1, idle_s=DEADLINE_S)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n")
        first = await reader.readuntil(b"{}")
        await asyncio.sleep(0.15)
        writer.write(b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n")
        second = await reader.read()
        assert b"Connection: close" not in first
        assert b"Connection: close" in second
        writer.close()


async def test_who_waits_learns_that_the_client_has_gone() -> None:
    site = Site()
    async with open_site(site) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
        await site.started.wait()
        writer.transport.abort()
        async with asyncio.timeout(DEADLINE_S):
            await site.release.wait()


async def test_a_closing_port_answers_those_who_wait() -> None:
    site = Site()
    async with open_site(site) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
        await site.started.wait()
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in answer
    writer.close()


async def test_a_closing_port_finishes_what_is_in_work() -> None:
    site = Site()
    async with open_site(site) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await site.started.wait()
        asyncio.get_running_loop().call_later(0.1, site.release.set)
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    assert await _rest(idle_reader) == b""
    writer.close()
    idle_writer.close()


async def test_connections_can_be_renewed() -> None:
    site = Site()
    async with open_site(site) as port:
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port.number)
        busy, busy_writer = await asyncio.open_connection("127.0.0.1", port.number)
        busy_writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await site.started.wait()
        port.renew_connections()
        async with asyncio.timeout(DEADLINE_S):
            assert await _rest(idle) == b""
        site.release.set()
        async with asyncio.timeout(DEADLINE_S):
            answer = await busy.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"Connection: close" in answer
        assert await is_alive(port)
        idle_writer.close()
        busy_writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""
