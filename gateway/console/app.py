"""The application of the operator port: health, metrics and logs, for operators and auditors.

``/health/live`` says that the process answers; ``/health/ready`` that the node accepts,
signs and writes (503 while it does not); ``/metrics`` is for Prometheus; ``/logs`` is for
auditors (`gateway.console.log_files`).

Spec: docs/operating.md, "Operator port".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from gateway.console.log_files import LogCalls, log_routes
from gateway.console.metrics import MEDIA_TYPE, render_metrics
from gateway.console.officials import Official, identify_officials
from gateway.node.agreements import AgreementState, standing_document
from gateway.node.runtime import Health
from gateway.ports import LogHead
from gateway.web.app import App
from gateway.web.exchange import Reply, Request
from gateway.web.identity import AgencyRegistry
from gateway.web.routing import Route


class HealthCalls(Protocol):
    """The node, as far as this port asks it; see `gateway.node.runtime.Node`."""

    def agreement(self) -> AgreementState:
        """Return how the catalogues of the two nodes compare."""
        ...

    @property
    def log_files(self) -> LogCalls:
        """Return what serves the logs as files."""
        ...

    async def health(self) -> Health:
        """Return what readiness and metrics report."""
        ...


def ops_app(
    node: HealthCalls, registry: AgencyRegistry, *, ports: Sequence[App] = (), more: Sequence[Route] = ()
) -> App:
    """Return the application of the operator port.

    Args:
        node: Says how it is.
        registry: Says who holds a certificate, and in which role.
        ports: Applications whose counters the metrics show.
        more: Further calls, such as those about content.
    """
    routes = (*ops_routes(node, ports), *more)
    return App(name="operator", routes=routes, identify=identify_officials(registry))


def ops_routes(node: HealthCalls, ports: Sequence[App]) -> tuple[Route, ...]:
    """Return every call of the operator port."""

    async def live(request: Request[Official]) -> Reply:
        del request
        return Reply(body=b'{"status":"live"}')

    async def ready(request: Request[Official]) -> Reply:
        del request
        health = await node.health()
        return Reply(status=200 if health.ready else 503, body=orjson.dumps(health_document(health)))

    async def metrics(request: Request[Official]) -> Reply:
        del request
        return Reply(body=render_metrics(await node.health(), ports), media_type=MEDIA_TYPE)

    async def agreement(request: Request[Official]) -> Reply:
        del request
        return Reply(body=orjson.dumps(standing_document(node.agreement())))

    return (
        Route(name="agreement", method="GET", path="/ops/v1/agreement", parts={}, handler=agreement),
        Route(name="live", method="GET", path="/health/live", parts={}, handler=live),
        Route(name="ready", method="GET", path="/health/ready", parts={}, handler=ready),
        Route(name="metrics", method="GET", path="/metrics", parts={}, handler=metrics),
        *log_routes(node.log_files),
    )


def health_document(health: Health) -> dict[str, Any]:
    """Return the health of a node as JSON."""
    return {
        "status": "ready" if health.ready else "not-ready",
        "phase": health.phase.value,
        "peer": {"reachable": health.reachable, "breaker": health.peer.value},
        "waiting": health.waiting,
        "admission": health.admission,
        "held": health.held,
        "not_agreed": list(health.not_agreed),
        "damaged": list(health.damaged),
        "erasure": "done" if health.scrubbed else "pending",
        "log": _head(health.own),
        "mirror": _head(health.mirror),
    }


def _head(head: LogHead | None) -> dict[str, Any] | None:
    return None if head is None else {"origin": head.origin, "size": head.size}
