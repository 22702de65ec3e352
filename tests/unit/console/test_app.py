"""The operator port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.catalogue import read_catalogue
from gateway.console.app import ops_app, ops_routes
from gateway.console.officials import identify_officials
from gateway.core.entries import AgreementEntry
from gateway.core.merkle import RightEdge
from gateway.core.message.schedule import Announced, Schedule
from gateway.node.agreements import AgreementState, agreement_state
from gateway.node.courier import Breaker
from gateway.node.log_files import ServedLog
from gateway.node.runtime import Health, Phase
from gateway.ports import LogHead, LogKind
from gateway.web.app import App
from gateway.web.exchange import Query, Reply, Request
from gateway.web.identity import Certificate, RoleNotAllowedError, UnknownCertificateError
from tests.agency_site import Holder

CERTIFICATE = Certificate(spki=b"s" * 32, expires_ms=2**50, cipher="TLS_AES_256_GCM_SHA384")
ORIGIN = "fr.gateway.test/exchange/us"


def health(phase: Phase = Phase.RUNNING) -> Health:
    head = LogHead(origin=ORIGIN, kind=LogKind.EXCHANGE, edge=RightEdge(size=1, hashes=(b"h" * 32,)))  # type: ignore[arg-type]
    return Health(
        phase=phase,
        ready=phase is Phase.RUNNING,
        peer=Breaker.CLOSED,
        reachable=True,
        waiting=3,
        admission=2,
        held=4,
        scrubbed=True,
        own=head,
        mirror=None,
    )


class NoLogs:
    """A node that has not signed any log yet."""

    async def logs(self) -> Sequence[ServedLog]:
        return ()

    async def file(self, name: str, path: str) -> bytes | None:  # noqa: ARG002
        return None


@dataclass(slots=True)
class Node:
    """A node that says how it is."""

    answer: Health = field(default_factory=health)
    log_files: NoLogs = field(default_factory=NoLogs)

    async def health(self) -> Health:
        return self.answer

    def agreement(self) -> AgreementState:
        peer = Announced(entries=(AgreementEntry(types=(("a.b/1", bytes(48)),), effective_ms=1),))
        return agreement_state(Schedule(catalogue=read_catalogue()), peer, now_ms=2)


class Registry:
    """A registry with one holder."""

    def __init__(self, role: str) -> None:
        self._role = role

    def find(self, spki: bytes) -> Holder | None:
        return Holder(code="DUTY-OFFICER", role=self._role) if spki == CERTIFICATE.spki else None


async def ask(node: Node, name: str, ports: tuple[App, ...] = ()) -> Reply:
    route = next(route for route in ops_routes(node, ports) if route.name == name)
    request: Request[Any] = Request(
        caller=None, names={}, query=Query("", frozenset()), headers={}, body=b"", language="en"
    )
    return await route.handler(request)


async def test_a_running_node_is_live_and_ready() -> None:
    live, ready = await ask(Node(), "live"), await ask(Node(), "ready")

    assert (live.status, ready.status) == (200, 200)
    assert ready.body is not None
    assert orjson.loads(ready.body) == {
        "status": "ready",
        "phase": "running",
        "peer": {"reachable": True, "breaker": "closed"},
        "waiting": 3,
        "admission": 2,
        "held": 4,
        "not_agreed": [],
        "damaged": [],
        "erasure": "done",
        "log": {"origin": ORIGIN, "size": 1},
        "mirror": None,
    }


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RUNNING])
async def test_a_node_that_does_not_run_is_live_and_not_ready(phase: Phase) -> None:
    node = Node(health(phase))
    assert (await ask(node, "live")).status == 200
    reply = await ask(node, "ready")
    assert reply.status == 503
    assert reply.body is not None
    assert orjson.loads(reply.body)["phase"] == phase.value


async def test_metrics_tell_of_node_and_ports_in_prometheus_words() -> None:
    port = ops_app(Node(), Registry("operator"))
    port.statistics.answered("ready", 200)
    port.statistics.answered("ready", 200)
    port.statistics.timed_out("head")

    reply = await ask(Node(), "metrics", (port,))

    assert reply.body is not None
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    waiting = families["entente_outbox_waiting"].samples[0]
    assert waiting.value == 3
    assert families["entente_types_not_agreed"].samples[0].value == 0
    assert families["entente_logs_damaged"].samples[0].value == 0
    assert families["entente_messages_held"].samples[0].value == 4
    assert families["entente_erasure_pending"].samples[0].value == 0
    phases = {sample.labels["phase"]: sample.value for sample in families["entente_phase"].samples}
    assert phases["running"] == 1
    assert sum(phases.values()) == 1
    requests = families["entente_http_requests"].samples[0]
    assert requests.labels == {"port": "operator", "call": "ready", "status": "200"}
    assert requests.value == 2
    assert families["entente_http_timeouts"].samples[0].labels["kind"] == "head"
    assert families["entente_log_size"].samples[0].labels == {"origin": ORIGIN}
    assert "process_resident_memory_bytes" in families


async def test_the_agreement_names_what_only_one_of_the_nodes_has() -> None:
    reply = await ask(Node(), "agreement")
    assert reply.body is not None
    document = orjson.loads(reply.body)
    assert document["peer_announced"] is True
    by_type = {item["type"]: item for item in document["types"]}
    assert by_type["a.b/1"] == {
        "type": "a.b/1",
        "sha384": None,
        "peer_sha384": "00" * 48,
        "agreed": False,
    }
    assert by_type["assist.request/1"]["peer_sha384"] is None
    assert (document["planned"], document["peer_planned"]) == (None, [])


@pytest.mark.parametrize("role", ["operator", "auditor"])
def test_operators_and_auditors_are_let_in(role: str) -> None:
    identify_officials(Registry(role))(CERTIFICATE)


def test_agencies_and_strangers_are_not() -> None:
    with pytest.raises(RoleNotAllowedError):
        identify_officials(Registry("agency"))(CERTIFICATE)
    stranger = Certificate(spki=b"o" * 32, expires_ms=2**50, cipher=CERTIFICATE.cipher)
    for certificate in (None, stranger):
        with pytest.raises(UnknownCertificateError):
            identify_officials(Registry("operator"))(certificate)
