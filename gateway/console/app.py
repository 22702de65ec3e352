"""The application of the operator port: health, metrics and logs, for operators and auditors.

``/health/live`` says that the process answers; ``/health/ready`` that the node accepts,
signs and writes (503 while it does not), and in words what keeps it from that or asks for
somebody; ``/metrics`` is for Prometheus; ``/logs`` is for
auditors (`gateway.console.log_files`).

Spec: docs/operating.md, "Operator port".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from gateway.console.log_files import LogCalls, log_routes
from gateway.console.metrics import MEDIA_TYPE, render_metrics
from gateway.console.officials import Official, identify_officials
from gateway.console.words import HEALTH
from gateway.core.message.instants import time_text
from gateway.core.message.wording import Language
from gateway.core.states import State
from gateway.node.agreements import AgreementState, standing_document
from gateway.node.health import Health
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
    node: HealthCalls,
    registry: AgencyRegistry,
    *,
    ports: Sequence[App] = (),
    ends: Callable[[], Mapping[str, float]] = dict,
    more: Sequence[Route] = (),
) -> App:
    """Return the application of the operator port.

    Args:
        node: Says how it is.
        registry: Says who holds a certificate, and in which role.
        ports: Applications whose counters the metrics show.
        ends: Returns when certificates and revocation lists end, POSIX seconds by file.
        more: Further calls, such as those about content.
    """
    routes = (*ops_routes(node, ports, ends), *more)
    return App(name="operator", routes=routes, identify=identify_officials(registry))


def ops_routes(
    node: HealthCalls, ports: Sequence[App], ends: Callable[[], Mapping[str, float]] = dict
) -> tuple[Route, ...]:
    """Return every call of the operator port."""

    async def live(request: Request[Official]) -> Reply:
        del request
        return Reply(body=b'{"status":"live"}')

    async def ready(request: Request[Official]) -> Reply:
        health = await node.health()
        body = orjson.dumps(health_document(health, request.language))
        return Reply(status=200 if health.ready else 503, body=body, language=request.language)

    async def metrics(request: Request[Official]) -> Reply:
        del request
        return Reply(body=render_metrics(await node.health(), ports, ends()), media_type=MEDIA_TYPE)

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


def health_document(health: Health, language: Language = "en") -> dict[str, Any]:
    """Return the health of a node as JSON, with what is the matter in words."""
    vitals, room = health.vitals, health.room
    return {
        "status": health.status,
        "phase": health.phase.value,
        "reasons": [_reason(code, language) for code in (*health.obstacles, *health.troubles)],
        "peer": {
            "reachable": health.reachable,
            "breaker": health.peer.value,
            "clock_ahead_s": health.peer_ahead_s,
        },
        "waiting": vitals.states.get(State.ACCEPTED, 0),
        "overdue": vitals.overdue,
        "admission": health.admission,
        "held": vitals.held,
        "holds": vitals.holds,
        "not_agreed": list(health.not_agreed),
        "damaged": list(health.damaged),
        "erasure": "done" if health.scrubbed else "pending",
        "maintenance": {
            "since": None if health.draining.since is None else time_text(health.draining.since.at_ms),
            "drained": health.draining.is_drained,
        },
        "disk": None
        if room is None
        else {"free_bytes": room.free_bytes, "reserve_bytes": room.reserve_bytes},
        "log": _head(vitals.own),
        "mirror": _head(vitals.mirror),
    }


def _reason(code: str, language: Language) -> dict[str, str]:
    advice = HEALTH[code]
    return {"code": code, "says": advice.says.text(language), "do": advice.do.text(language)}


def _head(head: LogHead | None) -> dict[str, Any] | None:
    return None if head is None else {"origin": head.origin, "size": head.size}
