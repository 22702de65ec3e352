"""What Prometheus reads: the node's health and the counters of its ports.

Everything is read when it is asked for, so the node keeps no metrics of its own. Names
begin with ``entente_``; labels are route names, statuses and origins, never an agency.

Spec: docs/operating.md, "Operator port".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.node.runtime import Health, Phase
from gateway.web.app import App

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render_metrics(health: Health, ports: Sequence[App]) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Snapshot(health, ports))
    return generate_latest(registry)


class _Snapshot(Collector):
    """Hands out the metrics of one moment."""

    def __init__(self, health: Health, ports: Sequence[App]) -> None:
        self._health = health
        self._ports = ports

    def collect(self) -> Iterator[Metric]:
        yield from self._node()
        yield from self._http()

    def _node(self) -> Iterator[Metric]:
        health = self._health
        phase = GaugeMetricFamily("entente_phase", "1 for the phase the node is in.", labels=["phase"])
        for item in Phase:
            phase.add_metric([item.value], float(item is health.phase))
        yield phase
        peer = GaugeMetricFamily("entente_peer_reachable", "1 if the last exchange with the peer worked.")
        peer.add_metric([], float(health.reachable))
        yield peer
        waiting = GaugeMetricFamily("entente_outbox_waiting", "Accepted messages not sent yet.")
        waiting.add_metric([], health.waiting)
        yield waiting
        admission = GaugeMetricFamily("entente_admission_waiting", "Messages being decided right now.")
        admission.add_metric([], health.admission)
        yield admission
        held = GaugeMetricFamily("entente_messages_held", "Messages that a legal hold keeps.")
        held.add_metric([], health.held)
        yield held
        pending = GaugeMetricFamily(
            "entente_erasure_pending", "1 while erased bytes may still stand in the files of the database."
        )
        pending.add_metric([], float(not health.scrubbed))
        yield pending
        differing = GaugeMetricFamily(
            "entente_types_not_agreed", "Message types of which the two nodes hold different versions."
        )
        differing.add_metric([], len(health.not_agreed))
        yield differing
        damaged = GaugeMetricFamily(
            "entente_logs_damaged", "Logs that the database does not hold as they were appended."
        )
        damaged.add_metric([], len(health.damaged))
        yield damaged
        sizes = GaugeMetricFamily("entente_log_size", "Entries of a log.", labels=["origin"])
        for head in (health.own, health.mirror):
            if head is not None:
                sizes.add_metric([head.origin], head.size)
        yield sizes

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
