"""The line between two nodes, over real sockets and mutual TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509

from gateway.core.encoding import encode
from gateway.errors import (
    GatewayError,
    MalformedError,
    PairFrozenError,
    PeerConflictError,
    PeerError,
    RootMismatchError,
    SignatureInvalidError,
    StoreError,
    UnavailableError,
)
from gateway.link.client import HttpPeerLink, OwnCertificateEndedError, OwnKeyUnknownError
from gateway.link.pinning import NotThePeerError
from gateway.link.server import peer_app
from gateway.node.peer_service import ProofRefusedError, UnknownLogError
from gateway.ports import BundleAnswer, PeerView, Standing
from gateway.system import SystemClock
from gateway.web.limits import Limits
from gateway.web.server import Port, serve
from tests.certificates import Authority, Leaf
from tests.http_site import CLOCK

LOG = "us.gateway.test/exchange/fr"


@dataclass(slots=True)
class Answers:
    """The node behind a peer port, as a test wants it."""

    error: Exception | None = None
    received: list[bytes] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    delay_s: float = 0.0
    run: list[bytes] | None = None

    async def receive(self, data: bytes) -> BundleAnswer:
        self.began.set()
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        self.received.append(data)
        self.finished.set()
        return BundleAnswer(size=len(data), note=b"note")

    async def view(self) -> PeerView:
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return PeerView(mirrored=b"m", mirrored_size=3, own=None, own_size=0)

    async def standing(self) -> Standing:
        if self.error is not None:
            raise self.error
        return Standing(witnessed=b"w", generation=2, resumes=3)

    async def entries(self, log: str, start: int, end: int) -> list[bytes]:
        if self.error is not None:
            raise self.error
        assert log == LOG
        return [b"entry %d" % index for index in range(start, end)] if self.run is None else self.run

    async def add_checkpoint(self, body: bytes) -> bytes:
        if self.error is not None:
            raise self.error
        return b"lines for " + body


@dataclass(slots=True, kw_only=True)
class Pki:
    """Two nations' node authorities and what they issued."""

    fr: Authority
    us: Authority
    fr_node: Leaf
    us_node: Leaf
    us_other: Leaf
    us_expired: Leaf
    fr_agency: Leaf


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder: Path = tmp_path_factory.mktemp("pki")
    fr, us = Authority(folder / "fr", "FR nodes"), Authority(folder / "us", "US nodes")
    agencies = Authority(folder / "agencies", "FR agencies")
    return Pki(
        fr=fr,
        us=us,
        fr_node=fr.leaf("node"),
        us_node=us.leaf("node"),
        us_other=us.leaf("other"),
        us_expired=us.leaf("expired", days=-1),
        fr_agency=agencies.leaf("agency"),
    )


def server_context(pki: Pki) -> ssl.SSLContext:
    """Return the French peer port's context: own certificate, trust in the American authority."""
    context = pki.us.server(pki.fr_node)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def client_context(pki: Pki, leaf: Leaf | None) -> ssl.SSLContext:
    return pki.fr.client(leaf)


@asynccontextmanager
async def open_pair(
    pki: Pki,
    answers: Answers,
    *,
    leaf: Leaf | None = None,
    no_certificate: bool = False,
    server_pins: frozenset[bytes] | None = None,
    client_pins: frozenset[bytes] | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[tuple[HttpPeerLink, Port]]:
    """Open the French peer port, and a link to it with an American certificate."""
    allowed = frozenset({pki.us_node.spki}) if server_pins is None else server_pins
    expected = frozenset({pki.fr_node.spki}) if client_pins is None else client_pins
    app = peer_app(answers, lambda: allowed)
    shown = None if no_certificate else leaf or pki.us_node
    async with serve(app, "127.0.0.1", 0, server_context(pki), clock=CLOCK, limits=limits) as port:
        link = HttpPeerLink(
            url=f"https://127.0.0.1:{port.number}",
            context=client_context(pki, shown),
            pins=lambda: expected,
            server_name="localhost",
        )
        async with link:
            yield link, port


# --- what works ------------------------------------------------------------------------------


async def test_the_four_calls_bring_what_the_node_answers(pki: Pki) -> None:
    answers = Answers()
    async with open_pair(pki, answers) as (link, _):
        assert await link.post_bundle(b"bundle") == BundleAnswer(size=6, note=b"note")
        assert await link.view() == PeerView(mirrored=b"m", mirrored_size=3, own=None, own_size=0)
        assert await link.standing() == Standing(witnessed=b"w", generation=2, resumes=3)
        assert await link.entries(LOG, 2, 4) == (b"entry 2", b"entry 3")
        assert await link.add_checkpoint(b"old 0\n\n") == b"lines for old 0\n\n"
        assert answers.received == [b"bundle"]


async def test_a_bundle_of_the_longest_length_crosses(pki: Pki) -> None:
    answers = Answers()
    async with open_pair(pki, answers) as (link, _):
        longest = bytes(16 * 1_048_576)
        assert (await link.post_bundle(longest)).size == len(longest)
        with pytest.raises(PeerError):
            await link.post_bundle(longest + b"x")
        assert len(answers.received) == 1
        assert (await link.view()).mirrored_size == 3


class ShiftedClock(SystemClock):
    """The clock of the machine, less some seconds."""

    def __init__(self, behind_s: float) -> None:
        self._behind_ms = int(behind_s * 1_000)

    def now_ms(self) -> int:
        return super().now_ms() - self._behind_ms


@pytest.mark.parametrize(("behind_s", "least", "most"), [(3_600, 3_590, 3_600), (-3_600, -3_600, -3_590)])
async def test_the_link_says_how_far_the_clock_of_the_peer_is_ahead_at_least(
    pki: Pki, behind_s: float, least: float, most: float
) -> None:
    async with open_pair(pki, Answers()) as (link, _):
        link._clock = ShiftedClock(behind_s)
        await link.view()
        found = link.peer_ahead_s
        # However slow this machine is, the answer never proves more than there is.
        assert found is not None
        assert least <= found <= most


async def test_before_the_first_answer_nothing_is_known_of_the_peers_clock(pki: Pki) -> None:
    async with open_pair(pki, Answers()) as (link, _):
        link._clock = SystemClock()
        assert link.peer_ahead_s is None


async def test_the_link_knows_when_the_certificate_ends_that_the_peer_shows(pki: Pki) -> None:
    async with open_pair(pki, Answers()) as (link, _):
        assert link.peer_certificate_ends_ms is None
        await link.view()
        await link.close()
        # It is known while nothing is open, too: a peer that is away may come back with it.
        ends = x509.load_pem_x509_certificate(pki.fr_node.chain.read_bytes()).not_valid_after_utc
        assert link.peer_certificate_ends_ms == int(ends.timestamp()) * 1_000


async def test_clocks_that_agree_and_a_slow_answer_prove_no_difference(pki: Pki) -> None:
    async with open_pair(pki, Answers(delay_s=1.5)) as (link, _):
        link._clock = ShiftedClock(0)
        await link.view()
        assert link.peer_ahead_s == 0.0


async def test_calls_share_few_connections(pki: Pki) -> None:
    async with open_pair(pki, Answers(delay_s=0.05)) as (link, port):
        await asyncio.gather(*(link.view() for _ in range(20)))
        await asyncio.gather(*(link.view() for _ in range(20)))
        assert port.app.statistics.connections <= 6


# --- refusals of the peer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MalformedError("x"), PeerError),
        (SignatureInvalidError("x"), PeerError),
        (RootMismatchError("x"), PeerError),
        (ProofRefusedError("x"), PeerError),
        (UnknownLogError("x"), PeerError),
        (PairFrozenError("x"), PairFrozenError),
        (PeerConflictError(7), PeerConflictError),
        (UnavailableError("x", retry_after_s=9), UnavailableError),
        (StoreError("x"), UnavailableError),
        (RuntimeError("x"), UnavailableError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
async def test_every_refusal_becomes_one_of_four_errors(
    pki: Pki, error: Exception, expected: type[GatewayError]
) -> None:
    answers = Answers(error=error)
    async with open_pair(pki, answers) as (link, _):
        with pytest.raises(expected) as raised:
            await link.post_bundle(b"bundle")
        answers.error = None
        assert (await link.view()).mirrored_size == 3
    if isinstance(error, PeerConflictError):
        assert isinstance(raised.value, PeerConflictError)
        assert raised.value.size == 7
    if isinstance(raised.value, UnavailableError) and isinstance(error, UnavailableError):
        assert raised.value.retry_after_s == error.retry_after_s


async def test_a_conflict_about_a_checkpoint_brings_the_size(pki: Pki) -> None:
    async with open_pair(pki, Answers(error=PeerConflictError(12))) as (link, _):
        with pytest.raises(PeerConflictError) as raised:
            await link.add_checkpoint(b"old 0\n\n")
        assert raised.value.size == 12


async def test_a_bundle_goes_to_its_end_though_the_caller_gives_up(pki: Pki) -> None:
    answers = Answers(delay_s=0.2)
    async with open_pair(pki, answers) as (link, _):
        call = asyncio.ensure_future(link.post_bundle(b"bundle"))
        async with asyncio.timeout(20):
            await answers.began.wait()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await answers.finished.wait()


@pytest.mark.parametrize(
    "run", [[], [b"one", b"two", b"three"], [bytes(65_537)]], ids=["none", "more", "long"]
)
async def test_other_entries_than_were_asked_for_are_refused(pki: Pki, run: list[bytes]) -> None:
    async with open_pair(pki, Answers(run=run)) as (link, _):
        with pytest.raises(PeerError):
            await link.entries(LOG, 0, 2)


# --- who is not the peer -----------------------------------------------------------------------


async def test_no_certificate_gets_no_further_than_the_handshake(pki: Pki) -> None:
    answers = Answers()
    async with open_pair(pki, answers, no_certificate=True) as (link, port):
        with pytest.raises((UnavailableError, PeerError)):
            await link.post_bundle(b"bundle")
        assert port.app.statistics.handshakes_failed >= 1
    assert answers.received == []


@pytest.mark.parametrize(
    "choose",
    [lambda pki: pki.us_expired, lambda pki: pki.fr_node, lambda pki: pki.fr_agency],
    ids=["expired", "of the own nation", "of an agency"],
)
async def test_an_unfit_certificate_gets_no_further_than_the_handshake(
    pki: Pki, choose: Callable[[Pki], Leaf]
) -> None:
    answers = Answers()
    async with open_pair(pki, answers, leaf=choose(pki)) as (link, port):
        with pytest.raises((UnavailableError, PeerError)):
            await link.post_bundle(b"bundle")
        assert port.app.statistics.handshakes_failed >= 1
        assert port.app.statistics.requests == {}
    assert answers.received == []


async def test_a_good_certificate_that_is_not_pinned_is_refused_by_the_port(pki: Pki) -> None:
    answers = Answers()
    async with open_pair(pki, answers, leaf=pki.us_other) as (link, port):
        with pytest.raises(OwnKeyUnknownError):
            await link.post_bundle(b"bundle")
        assert port.app.statistics.requests == {("none", 403): 1}
    assert answers.received == []


async def test_a_port_whose_key_is_not_pinned_gets_no_byte_of_a_request(pki: Pki) -> None:
    answers = Answers()
    async with open_pair(pki, answers, client_pins=frozenset({b"x" * 32})) as (link, port):
        with pytest.raises(NotThePeerError):
            await link.post_bundle(b"bundle")
        assert port.app.statistics.requests == {}
    assert answers.received == []


class LaterClock(SystemClock):
    """The machine's clock, moved on by a test."""

    def __init__(self) -> None:
        self.added_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.added_ms


async def test_a_certificate_that_runs_out_ends_its_connection(pki: Pki) -> None:
    clock = LaterClock()
    app = peer_app(Answers(), lambda: {pki.us_node.spki})
    async with serve(app, "127.0.0.1", 0, server_context(pki), clock=clock) as port:
        link = HttpPeerLink(
            url=f"https://127.0.0.1:{port.number}",
            context=client_context(pki, pki.us_node),
            pins=lambda: {pki.fr_node.spki},
            server_name="localhost",
        )
        async with link:
            await link.view()
            clock.added_ms = 2 * 86_400_000
            with pytest.raises(PeerError, match="403"):
                await link.view()
            async with asyncio.timeout(2):
                while port.open_connections:  # noqa: ASYNC110 - a counter has no event
                    await asyncio.sleep(0.02)


async def test_a_connection_ends_with_the_certificate_of_the_port(pki: Pki) -> None:
    clock = LaterClock()
    app = peer_app(Answers(), lambda: {pki.us_node.spki})
    async with serve(app, "127.0.0.1", 0, server_context(pki), clock=CLOCK) as port:
        link = HttpPeerLink(
            url=f"https://127.0.0.1:{port.number}",
            context=client_context(pki, pki.us_node),
            pins=lambda: {pki.fr_node.spki},
            server_name="localhost",
            clock=clock,
        )
        async with link:
            await link.view()
            await link.view()
            assert app.statistics.connections == 1
            clock.added_ms = 2 * 86_400_000
            await link.view()
            assert app.statistics.connections == 2


async def test_what_is_unfit_about_the_certificate_of_the_port_is_said(pki: Pki) -> None:
    app = peer_app(Answers(), lambda: {pki.us_node.spki})
    context = pki.us.server(pki.fr.leaf("ended", days=-1))
    async with serve(app, "127.0.0.1", 0, context, clock=CLOCK) as port:
        link = HttpPeerLink(
            url=f"https://127.0.0.1:{port.number}",
            context=client_context(pki, pki.us_node),
            pins=lambda: {pki.fr_node.spki},
            server_name="localhost",
        )
        async with link:
            with pytest.raises(NotThePeerError, match="or the authority above it, has ended"):
                await link.view()


async def test_with_an_own_certificate_that_has_ended_nobody_blames_the_peer(pki: Pki) -> None:
    app = peer_app(Answers(), lambda: {pki.us_node.spki})
    async with serve(app, "127.0.0.1", 0, server_context(pki), clock=CLOCK) as port:
        link = HttpPeerLink(
            url=f"https://127.0.0.1:{port.number}",
            context=client_context(pki, pki.us_expired),
            pins=lambda: {pki.fr_node.spki},
            server_name="localhost",
            is_own_ended=lambda: True,
        )
        async with link:
            with pytest.raises(OwnCertificateEndedError):
                await link.view()


async def test_pins_are_asked_for_anew(pki: Pki) -> None:
    pins: set[bytes] = {pki.us_node.spki}
    app = peer_app(Answers(), lambda: pins)
    async with serve(app, "127.0.0.1", 0, server_context(pki), clock=CLOCK) as port:
        link = HttpPeerLink(
            url=f"https://127.0.0.1:{port.number}",
            context=client_context(pki, pki.us_node),
            pins=lambda: {pki.fr_node.spki},
            server_name="localhost",
        )
        async with link:
            await link.view()
            pins.clear()
            # Who can act is told: our own operators, who have not brought the peer our newest statement.
            with pytest.raises(OwnKeyUnknownError, match="the peer does not know the key of our certificate"):
                await link.view()
            pins.add(pki.us_node.spki)
            await link.view()


async def test_a_new_context_ends_connections_under_the_old_one(pki: Pki) -> None:
    async with open_pair(pki, Answers()) as (link, port):
        await link.view()
        # A context that trusts another authority: as after the peer's authority was replaced.
        port.replace_context(pki.fr.server(pki.fr_node))
        with pytest.raises((UnavailableError, PeerError)):
            await link.view()
        port.replace_context(server_context(pki))
        await link.view()


async def test_a_connection_that_has_ended_is_not_cut_off_afterwards(pki: Pki) -> None:
    failed: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    async with open_pair(pki, Answers(), limits=Limits(write_s=0.1)) as (link, port):
        await link.view()
        await link.close()
        async with asyncio.timeout(20):
            while port.open_connections:  # noqa: ASYNC110 - counters have no event
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)

    assert failed == []


async def test_the_link_can_take_a_new_context(pki: Pki) -> None:
    async with open_pair(pki, Answers(), leaf=pki.us_other) as (link, _):
        with pytest.raises(PeerError):
            await link.view()
        await link.replace_context(client_context(pki, pki.us_node))
        assert (await link.view()).mirrored_size == 3


# --- a peer that is not there, or not itself -----------------------------------------------------


async def test_nobody_there_is_not_available() -> None:
    async with HttpPeerLink(url="http://127.0.0.1:9", context=None, pins=frozenset) as link:
        with pytest.raises(UnavailableError):
            await link.view()


async def test_a_peer_that_does_not_answer_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.link.client.VIEW_S", 0.2)
    async with answering_server(b"", keep_open=True) as url, plain_link(url) as link:
        with pytest.raises(UnavailableError):
            await link.view()


def http(status: str, body: bytes, media_type: str = "application/msgpack", *lines: str) -> bytes:
    head = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        *lines,
        "",
        "",
    ]
    return "\r\n".join(head).encode() + body


GOOD_VIEW = encode((1, None, 0, None, 0))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", UnavailableError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", UnavailableError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", UnavailableError),
        (http("200 OK", GOOD_VIEW)[:-1], UnavailableError),
        (http("200 OK", GOOD_VIEW, "text/html"), PeerError),
        (http("200 OK", GOOD_VIEW + b"\x00"), PeerError),
        (http("200 OK", b"\x95\x02\xc0\x00\xc0\x00"), PeerError),
        (http("200 OK", b""), PeerError),
        (http("200 OK", encode((1, b"x" * 70_000, 0, None, 0))), PeerError),
        (http("200 OK", bytes(300_000)), PeerError),
        (http("204 No Content", b""), PeerError),
        (http("302 Found", b"", "text/plain", "Location: http://127.0.0.1:1/"), PeerError),
        (http("409 Conflict", b"x", "text/x.tlog.size"), PeerError),
        (http("409 Conflict", b"01\n", "text/x.tlog.size"), PeerError),
        (http("409 Conflict", b"7\n", "text/plain"), PeerError),
        (http("500 Oops", b"", "text/plain"), UnavailableError),
        (http("503 Busy", b"", "text/plain", "Retry-After: never"), UnavailableError),
        (http("200 OK", b"\x1f\x8b" + GOOD_VIEW, "application/msgpack", "Content-Encoding: gzip"), PeerError),
    ],
)
async def test_answers_of_something_else_become_errors_and_nothing_worse(
    answer: bytes, expected: type[GatewayError]
) -> None:
    async with answering_server(answer) as url, plain_link(url) as link:
        with pytest.raises(expected):
            await link.view()


@pytest.mark.parametrize(
    "date",
    [
        "",
        "x",
        "Mon, 30 Nov 2026 08:00:00 +99999999999999",
        "Mon, 30 Nov 2026 08:00:00 -9999",
        "Mon, 99 Nov 2026 08:00:00 GMT",
        "Mon, 30 Foo 2026 08:00:00 GMT",
        "Mon, 30 Nov 0026 08:00:00 GMT",
        "Mon, 30 Nov 2026 99:00:00 GMT",
        "Mon, 30 Nov 2026 08:00:00",
        "Mon, 30 Nov 99999 08:00:00 GMT",
    ],
)
async def test_a_date_that_is_none_says_nothing_of_the_peers_clock(date: str) -> None:
    answer = http("200 OK", GOOD_VIEW, "application/msgpack", f"Date: {date}")
    async with answering_server(answer) as url, plain_link(url) as link:
        link._clock = SystemClock()
        await link.view()
        assert link.peer_time is None
        assert link.peer_ahead_s is None


@pytest.mark.parametrize("year", ["1000", "9999"])
async def test_a_peer_may_say_any_year_that_there_is(year: str) -> None:
    answer = http("200 OK", GOOD_VIEW, "application/msgpack", f"Date: Mon, 30 Nov {year} 08:00:00 GMT")
    async with answering_server(answer) as url, plain_link(url) as link:
        link._clock = SystemClock()
        await link.view()
        assert link.peer_time is not None
        assert link.peer_ahead_s


async def test_how_long_to_wait_is_bounded() -> None:
    busy = http("503 Busy", b"", "text/plain", "Retry-After: 99999")
    async with answering_server(busy) as url, plain_link(url) as link:
        with pytest.raises(UnavailableError) as raised:
            await link.view()
        assert raised.value.retry_after_s == 300


@asynccontextmanager
async def plain_link(url: str) -> AsyncIterator[HttpPeerLink]:
    async with HttpPeerLink(url=url, context=None, pins=frozenset) as link:
        yield link


@asynccontextmanager
async def answering_server(answer: bytes, *, keep_open: bool = False) -> AsyncIterator[str]:
    """Serve fixed bytes to whoever connects."""
    closing = asyncio.Event()

    async def serve_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if keep_open:
            await closing.wait()
        writer.close()

    server = await asyncio.start_server(serve_bytes, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        closing.set()
        server.close()
        await asyncio.sleep(0.05)
