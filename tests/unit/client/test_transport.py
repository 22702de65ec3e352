"""Repeats, problems, and answers of something else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from gateway.client import (
    AnswerUnreadableError,
    AsyncClient,
    ClientClosedError,
    IdentityError,
    KeyUnusableError,
    NotReachableError,
    ProblemError,
    Retries,
)
from gateway.client.transport import POOL
from tests.certificates import Authority, Leaf

FAST = Retries(tries=3, first_wait_s=0.01, longest_wait_s=0.05, connect_s=1.0, answer_s=1.0)
ACCEPTED = {
    "message_id": "01a20847-0135-7993-b063-b5d5cb27d3ff",
    "status": "accepted",
    "accepted_at": "2026-11-18T11:06:40.123Z",
    "audit": {"origin": "fr.gateway.test/audit", "index": 9},
    "message": {"type": "x"},
}
PROBLEM = {
    "type": "urn:entente:problem:overloaded",
    "code": "overloaded",
    "title": "Overloaded",
    "status": 429,
    "detail": "Later.",
}


def http(status: int, document: object, *lines: str) -> bytes:
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    media_type = "application/json" if status < 300 else "application/problem+json"
    head = [f"HTTP/1.1 {status} X", f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode() + body


@dataclass(slots=True)
class Script:
    """Answers in order, the last one for ever; None closes the connection without an answer."""

    answers: list[bytes | None]
    requests: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        self.requests.append(head + await reader.readexactly(length))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            writer.write(answer)
        writer.close()

    def key(self, number: int) -> bytes:
        lines = self.requests[number].split(b"\r\n")
        return next((line for line in lines if line.startswith(b"Idempotency-Key")), b"")


@asynccontextmanager
async def client_of(
    *answers: bytes | None, retries: Retries = FAST
) -> AsyncIterator[tuple[AsyncClient, Script]]:
    script = Script(list(answers))
    server = await asyncio.start_server(script.handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with AsyncClient(url, context=None, language="fr", retries=retries) as client:
        yield client, script
    server.close()


async def test_a_post_without_an_answer_is_repeated_with_the_same_key() -> None:
    async with client_of(None, None, http(202, ACCEPTED)) as (client, script):
        accepted = await client.send({"type": "x", "payload": {}})

    assert accepted.message_id == ACCEPTED["message_id"]
    assert len(script.requests) == 3
    assert script.key(0)
    assert script.key(0) == script.key(1) == script.key(2)


async def test_two_posts_of_one_draft_have_two_keys() -> None:
    async with client_of(http(202, ACCEPTED)) as (client, script):
        await client.send({"type": "x", "payload": {}})
        await client.send({"type": "x", "payload": {}})

    assert script.key(0) != script.key(1)


async def test_a_message_with_an_id_needs_no_other_key() -> None:
    async with client_of(http(202, ACCEPTED)) as (client, script):
        await client.send(b'{"header":{"message_id":"01a20847-0135-7993-b063-b5d5cb27d3ff"}}')
        await client.send({"header": {}}, key="mine")

    assert script.key(0) == b""
    assert script.key(1) == b"Idempotency-Key: mine"


async def test_a_batch_of_messages_with_ids_needs_no_other_key() -> None:
    whole = {"header": {"message_id": "01a20847-0135-7993-b063-b5d5cb27d3ff"}}
    line = orjson.dumps({"status": 202, "result": ACCEPTED}) + b"\n"
    async with client_of(http(200, line), http(200, line + line), http(200, line)) as (client, script):
        await client.send_batch([whole])
        await client.send_batch([whole, {"header": {}}])
        await client.send_batch([whole], key="mine")

    assert script.key(0) == b""
    assert script.key(1)
    assert script.key(2) == b"Idempotency-Key: mine"


@pytest.mark.parametrize("status", [429, 503])
async def test_later_means_later(status: int) -> None:
    busy = http(status, PROBLEM, "Retry-After: 1")
    async with client_of(busy, http(202, ACCEPTED)) as (client, script):
        await client.send({})
    assert len(script.requests) == 2


async def test_what_stands_before_a_node_may_ask_for_patience_without_a_problem() -> None:
    async with client_of(http(503, b"<html>busy</html>"), http(202, ACCEPTED)) as (client, script):
        assert (await client.send({})).message_id == ACCEPTED["message_id"]

    assert len(script.requests) == 2


async def test_later_for_ever_is_a_problem_in_the_end() -> None:
    async with client_of(http(429, PROBLEM, "Retry-After: 1")) as (client, script):
        with pytest.raises(ProblemError) as raised:
            await client.send({})
    assert len(script.requests) == 3
    assert (raised.value.status, raised.value.problem, raised.value.retry_after_s) == (429, "overloaded", 1)


async def test_much_later_is_a_problem_at_once() -> None:
    async with client_of(http(503, PROBLEM, "Retry-After: 60")) as (client, script):
        with pytest.raises(ProblemError) as raised:
            await client.send({})
    assert len(script.requests) == 1
    assert raised.value.retry_after_s == 60


async def test_a_refusal_is_not_repeated_and_brings_every_violation() -> None:
    errors = [{"pointer": "/a", "rule": "H-01", "message": "attendu"}, {"pointer": "", "rule": "X"}, "odd"]
    problem = {**PROBLEM, "code": "message-refused", "status": 422, "errors": errors}
    async with client_of(http(422, problem)) as (client, script):
        with pytest.raises(ProblemError) as raised:
            await client.send({})
    assert len(script.requests) == 1
    assert [(item.pointer, item.rule) for item in raised.value.errors] == [("/a", "H-01"), ("", "X")]
    assert b"Accept-Language: fr" in script.requests[0]


async def test_nobody_there_is_told_after_all_tries() -> None:
    async with AsyncClient("http://127.0.0.1:9", context=None, retries=FAST) as client:
        with pytest.raises(NotReachableError, match="3 tries"):
            await client.whoami()


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html>"),
        http(200, []),
        http(200, {}),
        http(200, {**ACCEPTED, "accepted_at": "yesterday"}),
        http(200, {**ACCEPTED, "message": "x"}),
        http(200, {**ACCEPTED, "audit": None}),
        http(200, b""),
    ],
)
async def test_an_answer_of_something_else_is_not_readable(answer: bytes) -> None:
    async with client_of(answer) as (client, _):
        with pytest.raises(AnswerUnreadableError):
            await client.send({})


@pytest.mark.parametrize("body", [b"<html>no</html>", b"[]", b"", b'{"code":7}', b'{"code":"<b>"}'])
async def test_a_refusal_of_something_else_is_not_readable(body: bytes) -> None:
    async with client_of(http(418, body)) as (client, _):
        with pytest.raises(AnswerUnreadableError, match="418"):
            await client.whoami()


async def test_redirections_are_not_followed() -> None:
    async with client_of(http(307, b"", "Location: http://127.0.0.1:9/")) as (client, script):
        with pytest.raises(AnswerUnreadableError, match="307"):
            await client.whoami()
    assert len(script.requests) == 1


async def test_a_batch_with_another_number_of_lines_is_not_readable() -> None:
    line = orjson.dumps({"status": 202, "result": ACCEPTED}) + b"\n"
    async with client_of(http(200, line)) as (client, _):
        with pytest.raises(AnswerUnreadableError):
            await client.send_batch([{}, {}])
    async with client_of(http(200, line + line[:-1])) as (client, _):
        with pytest.raises(AnswerUnreadableError):
            await client.send_batch([{}, {}])


async def test_a_batch_keeps_its_key_over_repeats_and_its_lines_apart() -> None:
    line = orjson.dumps({"status": 202, "result": ACCEPTED}) + b"\n"
    refused = orjson.dumps({"status": 422, "problem": PROBLEM}) + b"\n"
    async with client_of(None, http(200, line + refused)) as (client, script):
        first, second = await client.send_batch([{"a": "x"}, b'{\n"a": 1}'])
    assert script.key(0) == script.key(1) != b""
    assert script.requests[1].endswith(b'{"a":"x"}\n{ "a": 1}\n')
    assert not isinstance(first, ProblemError)
    assert isinstance(second, ProblemError)
    assert second.status == 422


@pytest.mark.parametrize(
    "key", ["", "a\r\nX: 1", "a\n", "\x00", "a b", "clé", "€", "x" * 129], ids=lambda key: ascii(key)[:12]
)
async def test_a_key_that_no_header_can_hold_is_refused_before_anything_is_sent(key: str) -> None:
    async with client_of(http(202, ACCEPTED)) as (client, script):
        with pytest.raises(KeyUnusableError, match="1 to 128 visible ASCII") as single:
            await client.send({}, key=key)
        with pytest.raises(KeyUnusableError):
            await client.send_batch([{}], key=key)
    assert not script.requests
    assert not key or key not in str(single.value)


async def test_a_line_of_a_batch_that_may_come_again_says_when() -> None:
    later = orjson.dumps({"status": 429, "problem": PROBLEM | {"retry_after": 20}}) + b"\n"
    odd = orjson.dumps({"status": 429, "problem": PROBLEM | {"retry_after": "soon"}}) + b"\n"
    async with client_of(http(200, later + odd)) as (client, _):
        first, second = await client.send_batch([{}, {}])
    assert isinstance(first, ProblemError)
    assert first.retry_after_s == 20
    assert isinstance(second, ProblemError)
    assert second.retry_after_s is None


@pytest.mark.parametrize("name", ["..", "../../x", "a/b", "CON", "", "01A20847-0135-7993-B063-B5D5CB27D3FF"])
async def test_an_id_that_is_none_is_no_answer(name: str) -> None:
    # Ids become names of files.
    async with client_of(http(202, ACCEPTED | {"message_id": name})) as (client, _):
        with pytest.raises(AnswerUnreadableError):
            await client.send({})


async def test_no_messages_are_no_call() -> None:
    async with client_of(None) as (client, script):
        assert await client.send_batch([]) == []
    assert script.requests == []


async def test_ids_cannot_lead_elsewhere() -> None:
    async with client_of(http(404, PROBLEM)) as (client, script):
        with pytest.raises(ProblemError):
            await client.status("../inbox?x=1")
    assert script.requests[0].startswith(b"GET /v1/messages/..%2Finbox%3Fx=1 HTTP/1.1")


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9",
        "127.0.0.1:9",
        "https://",
        "https://127.0.0.1:99999",
        "https://127.0.0.1:0",
        "ftp://a",
    ],
)
def test_an_agency_with_a_certificate_sends_nothing_in_the_clear(address: str, tmp_path: Path) -> None:
    """One letter too few in an address would show a message to whoever listens there."""
    folder = Authority(tmp_path, "agencies").leaf("agency").folder
    with pytest.raises(IdentityError, match="https://host:port"):
        AsyncClient.from_folder(folder, url=address)


@asynccontextmanager
async def tls_server(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Listen with a certificate, or without TLS as a web server, and hang up on everybody."""

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def server_of(leaf: Leaf, clients: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.chain, leaf.key)
    context.load_verify_locations(cafile=clients.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_it_is_said_which_side_refuses_the_certificate_of_which(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours", "ours"), Authority(tmp_path / "theirs", "theirs")
    folder = ours.leaf("agency").folder
    refusals = []
    for context in (
        server_of(theirs.leaf("node"), ours),
        server_of(ours.leaf("ended", days=-1.0), ours),
        server_of(ours.leaf("node"), theirs),
        None,
    ):
        async with tls_server(context) as port:
            async with AsyncClient.from_folder(
                folder, url=f"https://127.0.0.1:{port}", retries=FAST
            ) as client:
                with pytest.raises((IdentityError, NotReachableError)) as refusal:
                    await client.whoami()
            refusals.append(str(refusal.value))

    untrusted, ended, stranger, no_tls = refusals
    assert "the node is not accepted here (unable to get local issuer" in untrusted
    assert "the node is not accepted here (certificate has expired)" in ended
    assert "does not accept client.pem" in stranger or "does it accept this certificate" in stranger
    assert "is no node (WRONG_VERSION_NUMBER)" in no_tls


async def test_a_host_that_has_no_address_is_not_called_unreachable(tmp_path: Path) -> None:
    folder = Authority(tmp_path, "agencies").leaf("agency").folder
    async with AsyncClient.from_folder(folder, url="https://nobody.invalid:9", retries=FAST) as client:
        with pytest.raises(NotReachableError, match="the name of its host is not known here"):
            await client.whoami()


async def test_a_closed_client_opens_nothing() -> None:
    async with client_of(http(202, ACCEPTED)) as (client, script):
        await client.close()
        with pytest.raises(ClientClosedError):
            await client.send({})
    assert script.requests == []


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Take connections and say nothing, as a node that is stopped does, until their clients end them."""
    connections: set[asyncio.Task[None]] = set()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    async with asyncio.timeout(5):
        await asyncio.gather(*connections)


@pytest.mark.parametrize("calls", [1, POOL + 2], ids=["answer", "connection"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "handshake"])
async def test_calls_end_when_another_task_closes_the_client(calls: int, *, tls: bool) -> None:
    async with silent_server() as port:
        address = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        client = AsyncClient(address, context=ssl.create_default_context() if tls else None)
        waiting = [asyncio.create_task(client.whoami()) for _ in range(calls)]
        await asyncio.sleep(0.2)

        await client.close()

        async with asyncio.timeout(5):
            ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [ClientClosedError] * calls


async def test_a_call_that_waits_to_be_repeated_ends_when_the_client_is_closed() -> None:
    async with client_of(http(503, PROBLEM, "Retry-After: 9"), retries=Retries()) as (client, script):
        waiting = asyncio.create_task(client.whoami())
        await asyncio.sleep(0.3)
        assert len(script.requests) == 1

        await asyncio.gather(client.close(), client.close())

        async with asyncio.timeout(5):
            with pytest.raises(ClientClosedError, match="closed"):
                await waiting


async def test_a_call_that_its_caller_cancels_stays_cancelled() -> None:
    async with silent_server() as port:
        client = AsyncClient(f"http://127.0.0.1:{port}", context=None)
        waiting = asyncio.create_task(client.whoami())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await client.close()
