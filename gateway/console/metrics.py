"""What Prometheus reads: the node's health and the counters of its ports.

Everything is read when it is asked for, so the node keeps no metrics of its own. Names
begin with ``entente_`` and end with their unit where they have one; what only grows ends with
``_total``. Labels are route names, statuses, states, codes and origins, never an agency.

Spec: docs/operating.md, "Metrics".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.console.words import HEALTH
from gateway.core.states import State
from gateway.node.health import Health, Phase
from gateway.web.app import App

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
VERSION: Final = version("entente")


def render_metrics(health: Health, ports: Sequence[App], ends: Mapping[str, float] | None = None) -> bytes:
    """Return the metrics in Prometheus' text format.

    Args:
        health: How the node is.
        ports: Applications whose counters are shown.
        ends: When certificates and revocation lists end, POSIX seconds by file.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Snapshot(health, ports, ends or {}))
    return generate_latest(registry)


class _Snapshot(Collector):
    """Hands out the metrics of one moment."""

    def __init__(self, health: Health, ports: Sequence[App], ends: Mapping[str, float]) -> None:
        self._health = health
        self._ports = ports
        self._ends = ends

    def collect(self) -> Iterator[Metric]:
        yield from self._node()
        yield from self._messages()
        yield from self._store()
        yield from self._trust()
        yield from self._http()

    def _node(self) -> Iterator[Metric]:
        health = self._health
        named = {*health.obstacles, *health.troubles}
        yield _labelled("entente_build_info", "1, with the version of the program.", "version", {VERSION: 1})
        yield _gauge("entente_ready", "1 while the node accepts, signs and writes.", health.ready)
        yield _labelled(
            "entente_reason",
            "1 for each thing that keeps the node from being ready, or that asks for somebody.",
            "reason",
            {code: code in named for code in HEALTH},
        )
        yield _labelled(
            "entente_phase",
            "1 for the phase the node is in.",
            "phase",
            {phase.value: phase is health.phase for phase in Phase},
        )
        yield _gauge(
            "entente_peer_reachable", "1 if the last exchange with the peer worked.", health.reachable
        )
        if health.peer_ahead_s is not None:
            yield _gauge(
                "entente_peer_clock_ahead_seconds",
                "How far the peer's clock is ahead of this one's at least; negative if it is behind.",
                health.peer_ahead_s,
            )
        differing = len(health.not_agreed)
        yield _gauge(
            "entente_types_not_agreed",
            "Message types of which the two nodes hold different versions.",
            differing,
        )
        yield _gauge(
            "entente_logs_damaged",
            "Logs that the database does not hold as they were appended.",
            len(health.damaged),
        )
        maintenance = health.draining
        yield _gauge(
            "entente_maintenance", "1 while the node is under maintenance.", maintenance.since is not None
        )
        yield _gauge(
            "entente_maintenance_drained",
            "1 if it is under maintenance and nothing is left to send.",
            maintenance.is_drained,
        )
        if health.room is not None:
            yield _gauge(
                "entente_disk_free_bytes",
                "Free on the file system that is nearest to its reserve.",
                health.room.free_bytes,
            )
            yield _gauge(
                "entente_disk_reserve_bytes",
                "Free bytes of that file system below which nothing new is taken on.",
                health.room.reserve_bytes,
            )
        vitals = health.vitals
        heads = {head.origin: head.size for head in (vitals.own, vitals.mirror, vitals.audit) if head}
        yield _labelled("entente_log_entries", "Entries of a log.", "origin", heads)

    def _messages(self) -> Iterator[Metric]:
        health, vitals = self._health, self._health.vitals
        states = {state.label: vitals.states.get(state, 0) for state in State}
        yield _labelled(
            "entente_messages", "Messages of agencies of this node by their state now.", "state", states
        )
        yield _gauge(
            "entente_outbox_waiting",
            "Accepted messages not sent yet.",
            vitals.states.get(State.ACCEPTED, 0),
        )
        oldest_ms = vitals.oldest_waiting_ms
        yield _gauge(
            "entente_outbox_oldest_seconds",
            "Age of the oldest message that waits to be sent; 0 if none does.",
            0 if oldest_ms is None else max(0, health.now_ms - oldest_ms) / 1_000,
        )
        yield _gauge(
            "entente_requests_overdue", "Open requests of both nations after their deadline.", vitals.overdue
        )
        yield _gauge("entente_admission_waiting", "Messages being decided right now.", health.admission)
        turned = CounterMetricFamily(
            "entente_posts_turned_away", "Posts refused before they were looked at.", labels=["reason"]
        )
        for reason in ("disk-low", "maintenance", "quota"):
            turned.add_metric([reason], health.turned_away.get(reason, 0))
        yield turned
        yield _gauge("entente_messages_held", "Messages that a legal hold keeps.", vitals.held)
        yield _gauge("entente_legal_holds", "Legal holds that stand.", vitals.holds)
        yield _gauge(
            "entente_erasure_pending",
            "1 while erased bytes may still stand in the files of the database.",
            not health.scrubbed,
        )

    def _store(self) -> Iterator[Metric]:
        stats = self._health.store
        commits = CounterMetricFamily("entente_store_commits", "Transactions made durable.")
        commits.add_metric([], stats.commits)
        seconds = CounterMetricFamily("entente_store_commit_seconds", "Seconds spent in commits.")
        seconds.add_metric([], stats.commit_s)
        writes = CounterMetricFamily(
            "entente_store_writes", "Writes made durable, by what they write.", labels=["step"]
        )
        for step, count in sorted(stats.writes.items()):
            writes.add_metric([step.value], count)
        yield from (commits, seconds, writes)
        yield _gauge("entente_store_waiting", "Writes that wait for the writer.", stats.waiting)

    def _trust(self) -> Iterator[Metric]:
        ends = GaugeMetricFamily(
            "entente_trust_ends_timestamp_seconds",
            "When a certificate or revocation list ends, seconds since 1970.",
            labels=["file"],
        )
        for file, seconds in sorted(self._ends.items()):
            ends.add_metric([file], seconds)
        yield ends

    def _http(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "entente_http_requests", "Answers by call and status.", labels=["port", "call", "status"]
        )
        opened = CounterMetricFamily("entente_http_connections", "Connections opened.", labels=["port"])
        failed = CounterMetricFamily("entente_tls_handshakes_failed", "Failed handshakes.", labels=["port"])
        turned = CounterMetricFamily(
            "entente_http_turned_away", "Connections closed because too many were open.", labels=["port"]
        )
        timeouts = CounterMetricFamily(
            "entente_http_timeouts", "Connections cut off by a deadline.", labels=["port", "kind"]
        )
        for port in self._ports:
            statistics = port.statistics
            for (call, status), count in sorted(statistics.requests.items()):
                requests.add_metric([port.name, call, str(status)], count)
            opened.add_metric([port.name], statistics.connections)
            failed.add_metric([port.name], statistics.handshakes_failed)
            turned.add_metric([port.name], statistics.turned_away)
            for kind, count in sorted(statistics.timeouts.items()):
                timeouts.add_metric([port.name, kind], count)
        yield from (requests, opened, failed, turned, timeouts)


def _gauge(name: str, text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    gauge = GaugeMetricFamily(name, text)
    gauge.add_metric([], float(value))
    return gauge


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """Return a gauge with a value for each of some labels."""
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        gauge.add_metric([key], float(value))
    return gauge
