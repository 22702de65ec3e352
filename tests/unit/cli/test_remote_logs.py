"""Reading logs from a node that may answer anything: what is too long, absent or odd is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

from gateway.audit.folder import FolderError
from gateway.audit.third_parties import ClaimKind
from gateway.audit.verify import verify_log
from gateway.cli.remote_logs import NodePort, NodeUnreadableError, RemoteLog
from gateway.client.errors import IdentityError
from tests.certificates import Authority
from tests.unit.audit.making import audit_log, full_trust

MADE = audit_log(300)


class Answers(BaseHTTPRequestHandler):
    """Gives the files of a folder under /logs/audit, unless a test says otherwise."""

    protocol_version = "HTTP/1.1"
    folder: Path
    told: dict[str, tuple[int, bytes]]
    hangs_up: bool

    def do_GET(self) -> None:
        if self.path in self.told:
            status, body = self.told[self.path]
        else:
            file = self.folder / self.path.removeprefix("/logs/audit/")
            status, body = (200, file.read_bytes()) if file.is_file() else (404, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        # As a node does that closes connections which were idle: without a word before.
        self.close_connection = self.hangs_up

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Site:
    """A node that a test can make lie."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "ca", "operators")
        self.identity = authority.leaf("auditor").folder
        self.told: dict[str, tuple[int, bytes]] = {}
        self.handler = type(
            "Handler",
            (Answers,),
            {"folder": MADE.export(folder / "log"), "told": self.told, "hangs_up": False},
        )
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        context = authority.server(authority.leaf("server"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = NodePort(f"https://127.0.0.1:{self.server.server_address[1]}", self.identity)

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.port.close()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_log_is_verified_over_the_line_however_often_it_is_cut(site: Site, hangs_up: bool) -> None:
    site.handler.hangs_up = hangs_up  # type: ignore[attr-defined]
    found = verify_log(RemoteLog(site.port, "audit"), title="audit", trust=full_trust())
    assert found.report.is_verified
    assert found.report.headline.startswith("VERIFIED fr.gateway.test/audit: 300 entries")


@pytest.mark.parametrize(
    ("path", "answer", "why"),
    [
        ("/logs/audit/checkpoint", (200, bytes(70_000)), "longer than 65536 bytes"),
        ("/logs/audit/checkpoint", (503, b""), "the node answers 503"),
        ("/logs/audit/tile/entries/000", (200, b"short"), "does not hold exactly 256 entries"),
        ("/logs/audit/tile/entries/001.p/44", (404, b""), "is absent at the node"),
        ("/logs/audit/tile/0/000", (200, bytes(8_191)), "is not 8192 bytes long"),
        ("/logs/audit/tile/0/000", (200, bytes(8_193)), "longer than 8192 bytes"),
        ("/logs/audit/tile/0/000", (200, bytes(8_192)), "do not follow from the entries"),
    ],
)
def test_an_odd_answer_is_not_verified(site: Site, path: str, answer: tuple[int, bytes], why: str) -> None:
    site.told[path] = answer
    found = verify_log(RemoteLog(site.port, "audit"), title="audit", trust=full_trust())
    assert not found.report.is_verified
    assert why in str(found.report.reason)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"logs": 7}', b'{"logs": [{}]}', b"\xff"])
def test_a_list_of_logs_that_is_none_is_refused(site: Site, body: bytes) -> None:
    site.told["/logs"] = (200, body)
    with pytest.raises(NodeUnreadableError, match="cannot be read"):
        site.port.names()


def test_names_are_those_that_the_node_gives(site: Site) -> None:
    site.told["/logs"] = (200, b'{"logs": [{"name": "audit"}, {"name": "mirror/us"}]}')
    assert site.port.names() == ["audit", "mirror/us"]


SAID = "/logs/audit/third-parties"


def test_what_third_parties_said_is_what_the_node_gives(site: Site) -> None:
    site.told[SAID] = (200, b'{"said": [{"kind": "stamp", "name": "tsa", "size": 7}]}')
    site.told[f"{SAID}/stamp.tsa.7"] = (200, b"a response")
    (claim,) = site.port.claims("audit", MADE.origin) or ()
    assert (claim.origin, claim.kind, claim.name, claim.size) == (MADE.origin, ClaimKind.STAMP, "tsa", 7)
    assert claim.evidence == b"a response"


def test_a_node_of_an_earlier_release_does_not_say_what_third_parties_said(site: Site) -> None:
    assert site.port.claims("audit", MADE.origin) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"said": 7}',
        b'{"said": [{}]}',
        b'{"said": [{"kind": "seal", "name": "tsa", "size": 7}]}',
        b'{"said": [{"kind": "stamp", "name": "../x", "size": 7}]}',
        b'{"said": [{"kind": "stamp", "name": 7, "size": 7}]}',
        b'{"said": [{"kind": "stamp", "name": "tsa", "size": -1}]}',
        b'{"said": [{"kind": "stamp", "name": "tsa", "size": true}]}',
    ],
)
def test_a_list_of_what_third_parties_said_that_is_none_is_refused(site: Site, body: bytes) -> None:
    site.told[SAID] = (200, body)
    with pytest.raises(NodeUnreadableError, match="cannot be read"):
        site.port.claims("audit", MADE.origin)


def test_what_is_listed_and_not_there_or_too_long_is_refused(site: Site) -> None:
    site.told[SAID] = (200, b'{"said": [{"kind": "stamp", "name": "tsa", "size": 7}]}')
    with pytest.raises(FolderError, match="absent"):
        site.port.claims("audit", MADE.origin)
    site.told[f"{SAID}/stamp.tsa.7"] = (200, bytes(70_000))
    with pytest.raises(FolderError, match="longer"):
        site.port.claims("audit", MADE.origin)


@pytest.mark.parametrize(
    "url",
    ["", "http://127.0.0.1:1", "https://127.0.0.1", "https://host:1/path", "https://a b:1", "https://:1"],
)
def test_another_address_is_refused(site: Site, url: str) -> None:
    with pytest.raises(NodeUnreadableError, match="https://host:port"):
        NodePort(url, site.identity)


def test_nobody_there_and_no_certificate_are_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(NodeUnreadableError, match="does not answer"):
        NodePort("https://127.0.0.1:1", site.identity).get("/logs", most=1)
    with pytest.raises(NodeUnreadableError, match="does not answer"):
        NodePort("https://[::1]:1", site.identity).get("/logs", most=1)
    with pytest.raises(IdentityError):
        NodePort("https://127.0.0.1:1", tmp_path)
    with pytest.raises(FolderError, match="longer than 3 bytes"):
        site.port.get("/logs/audit/checkpoint", most=3)
