"""The operator port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from gateway.catalogue import read_catalogue
from gateway.console.app import ops_app, ops_routes
from gateway.console.officials import identify_officials
from gateway.console.words import HEALTH
from gateway.core.entries import AgreementEntry
from gateway.core.merkle import RightEdge
from gateway.core.message.schedule import Announced, Schedule
from gateway.core.message.wording import Language
from gateway.core.states import State
from gateway.node.agreements import AgreementState, agreement_state
from gateway.node.health import Health, Phase, Vitals, WriterWatch, obstacles_of, troubles_of
from gateway.node.log_files import ServedLog
from gateway.node.maintenance import Draining, Since
from gateway.node.patience import Breaker
from gateway.node.room import RoomLeft
from gateway.ports import Attestation, LogHead, LogKind, Step, StoreStats
from gateway.web.app import App
from gateway.web.exchange import Query, Reply, Request
from gateway.web.identity import Certificate, RoleNotAllowedError, UnknownCertificateError
from tests.agency_site import Holder

CERTIFICATE = Certificate(spki=b"s" * 32, expires_ms=2**50, cipher="TLS_AES_256_GCM_SHA384")
ORIGIN = "fr.gateway.test/exchange/us"


def health(phase: Phase = Phase.RUNNING, **changes: Any) -> Health:
    head = LogHead(origin=ORIGIN, kind=LogKind.EXCHANGE, edge=RightEdge(size=1, hashes=(b"h" * 32,)))  # type: ignore[arg-type]
    answer = Health(
        phase=phase,
        obstacles=obstacles_of(phase, can_sign=True, store_stalled=False, disk_low=False, maintenance=False),
        troubles=(),
        peer=Breaker.CLOSED,
        reachable=True,
        admission=2,
        turned_away={"quota": 5},
        scrubbed=True,
        room=RoomLeft(free_bytes=700, reserve_bytes=256),
        draining=Draining(since=None, waiting=5, on_the_way=1),
        vitals=Vitals(
            states={State.ACCEPTED: 3, State.REFUSED: 6},
            oldest_waiting_ms=1_000,
            overdue=8,
            held=4,
            holds=2,
            own=head,
        ),
        store=StoreStats(
            commits=9, writes={Step.ACCEPTED: 11}, largest_group=2, commit_s=1.5, waiting=1, failed=False
        ),
        now_ms=61_000,
        peer_ahead_s=0.0,
    )
    return replace(answer, **changes)


class NoLogs:
    """A node that has not signed any log yet."""

    async def logs(self) -> Sequence[ServedLog]:
        return ()

    async def file(self, name: str, path: str) -> bytes | None:  # noqa: ARG002
        return None

    async def attestations(self, name: str) -> Sequence[Attestation] | None:  # noqa: ARG002
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


async def ask(
    node: Node,
    name: str,
    ports: tuple[App, ...] = (),
    language: Language = "en",
    *,
    ends: Mapping[str, float] | None = None,
) -> Reply:
    routes = ops_routes(node, ports, lambda: ends or {})
    route = next(route for route in routes if route.name == name)
    request: Request[Any] = Request(
        caller=None, names={}, query=Query("", frozenset()), headers={}, body=b"", language=language
    )
    return await route.handler(request)


async def test_a_running_node_is_live_and_ready() -> None:
    live, ready = await ask(Node(), "live"), await ask(Node(), "ready")

    assert (live.status, ready.status) == (200, 200)
    assert ready.body is not None
    assert orjson.loads(ready.body) == {
        "status": "ready",
        "phase": "running",
        "reasons": [],
        "peer": {"reachable": True, "breaker": "closed", "clock_ahead_s": 0.0},
        "waiting": 3,
        "overdue": 8,
        "admission": 2,
        "held": 4,
        "holds": 2,
        "not_agreed": [],
        "damaged": [],
        "erasure": "done",
        "maintenance": {"since": None, "drained": False},
        "disk": {"free_bytes": 700, "reserve_bytes": 256},
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


@pytest.mark.parametrize(
    ("changes", "status", "http"),
    [
        ({"obstacles": ("disk-low",)}, "not-ready", 503),
        ({"obstacles": ("maintenance",), "troubles": ("peer-away",)}, "not-ready", 503),
        ({"troubles": ("peer-away",)}, "degraded", 200),
        ({"troubles": ("log-damaged", "agreement-differs")}, "degraded", 200),
    ],
)
async def test_readiness_says_in_words_what_is_the_matter_and_what_to_do(
    changes: dict[str, Any], status: str, http: int
) -> None:
    reply = await ask(Node(health(**changes)), "ready", language="fr")

    assert (reply.status, reply.language) == (http, "fr")
    assert reply.body is not None
    document = orjson.loads(reply.body)
    assert document["status"] == status
    expected = [*changes.get("obstacles", ()), *changes.get("troubles", ())]
    assert [reason["code"] for reason in document["reasons"]] == expected
    for reason in document["reasons"]:
        advice = HEALTH[reason["code"]]
        assert (reason["says"], reason["do"]) == (advice.says.fr, advice.do.fr)


def test_what_keeps_a_node_from_working_is_told_from_what_only_asks_for_somebody() -> None:
    fine_now = {"can_sign": True, "store_stalled": False, "disk_low": False, "maintenance": False}
    assert obstacles_of(Phase.RUNNING, **fine_now) == ()
    assert obstacles_of(
        Phase.FROZEN, can_sign=False, store_stalled=True, disk_low=True, maintenance=True
    ) == ("frozen", "cannot-sign", "store-stalled", "disk-low", "maintenance")
    well = {
        "trust_ended": False,
        "peer_frozen": False,
        "damaged": False,
        "not_agreed": False,
        "clock_wrong": False,
    }
    assert troubles_of(Phase.RUNNING, reachable=True, **well) == ()
    assert troubles_of(Phase.RUNNING, reachable=False, **dict.fromkeys(well, True)) == (
        "trust-ended",
        "peer-frozen",
        "log-damaged",
        "agreement-differs",
        "clock-wrong",
    )
    assert troubles_of(Phase.RUNNING, reachable=False, **well) == ("peer-away",)
    # A node that has not come to asking its peer cannot say that it is away.
    assert troubles_of(Phase.STARTING, reachable=False, **well) == ()
    assert {phase.value for phase in Phase} - {"running"} <= set(HEALTH)


def test_a_database_that_makes_no_progress_while_writes_wait_is_stalled_until_it_moves() -> None:
    watch = WriterWatch()

    def look(commits: int, waiting: int, now_s: float) -> bool:
        stats = StoreStats(
            commits=commits, writes={}, largest_group=0, commit_s=0, waiting=waiting, failed=False
        )
        watch.look(stats, now_s=now_s)
        return watch.is_stalled

    with capture_logs() as logs:
        assert not look(5, 3, 100)
        assert not look(5, 3, 109)
        assert look(5, 9, 110)
        assert look(5, 9, 111)
        assert not look(6, 9, 112)
        # Nothing waits: no commit is missed.
        assert not look(6, 0, 200)
        assert not look(6, 1, 205)
        assert look(6, 1, 215)
    assert [line["event"] for line in logs] == ["store.stalled", "store.moving", "store.stalled"]


async def test_metrics_tell_of_node_and_ports_in_prometheus_words() -> None:
    port = ops_app(Node(), Registry("operator"))
    port.statistics.answered("ready", 200)
    port.statistics.answered("ready", 200)
    port.statistics.timed_out("head")

    reply = await ask(Node(), "metrics", (port,))

    assert reply.body is not None
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    plain = {
        name: family.samples[0].value
        for name, family in families.items()
        if family.samples and not family.samples[0].labels
    }
    assert plain["entente_ready"] == 1
    assert plain["entente_outbox_waiting"] == 3
    assert plain["entente_outbox_oldest_seconds"] == 60
    assert plain["entente_requests_overdue"] == 8
    assert plain["entente_legal_holds"] == 2
    assert plain["entente_disk_free_bytes"] == 700
    assert plain["entente_disk_reserve_bytes"] == 256
    assert plain["entente_maintenance"] == plain["entente_maintenance_drained"] == 0
    assert plain["entente_store_commits"] == 9
    assert plain["entente_store_commit_seconds"] == 1.5
    labelled = {(s.name, *s.labels.values()): s.value for family in families.values() for s in family.samples}
    assert labelled["entente_messages", "refused"] == 6
    assert labelled["entente_posts_turned_away_total", "quota"] == 5
    assert labelled["entente_posts_turned_away_total", "disk-low"] == 0
    assert labelled["entente_store_writes_total", "accepted"] == 11
    assert labelled["entente_reason", "disk-low"] == 0
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
    assert families["entente_log_entries"].samples[0].labels == {"origin": ORIGIN}
    assert "process_resident_memory_bytes" in families


async def test_metrics_tell_when_certificates_and_lists_end() -> None:
    reply = await ask(Node(), "metrics", ends={"own/agency-ca.crl": 1_773_480_413.0})

    assert reply.body is not None
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    (sample,) = families["entente_trust_ends_timestamp_seconds"].samples
    assert sample.labels == {"file": "own/agency-ca.crl"}
    assert sample.value == 1_773_480_413.0


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


async def test_metrics_of_a_node_in_maintenance_say_whether_it_is_drained() -> None:
    draining = Draining(since=Since(at_ms=1, reason="Upgrade"), waiting=0, on_the_way=0)
    node = Node(health(obstacles=("maintenance",), draining=draining))
    reply = await ask(node, "metrics")
    assert reply.body is not None
    text = reply.body.decode()
    assert "Upgrade" not in text
    for line in (
        "entente_ready 0.0",
        "entente_maintenance_drained 1.0",
        'entente_reason{reason="maintenance"} 1.0',
    ):
        assert line in text.splitlines()


async def test_metrics_of_a_node_that_has_not_looked_at_its_disk_do_not_guess() -> None:
    reply = await ask(Node(health(room=None)), "metrics")
    assert reply.body is not None
    assert b"entente_disk" not in reply.body
