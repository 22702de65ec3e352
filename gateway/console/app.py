"""The application of the operator port: health, metrics and logs, for operators and auditors.

``/health/live`` says that the process answers; ``/health/ready`` that the node accepts,
signs and writes (503 while it does not); ``/metrics`` is for Prometheus; ``/logs`` is for
auditors (`gateway.console.log_files`).

Spec: docs/operating.md, "Operator port".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from gateway.console.log_files import LogCalls, log_routes
from gateway.console.metrics import MEDIA_TYPE, render_metrics
from gateway.node.runtime import Health
from gateway.ports import LogHead
from gateway.web.app import App, Identify
from gateway.web.exchange import Reply, Request
from gateway.web.identity import (
    AgencyRegistry,
    Certificate,
    RoleNotAllowedError,
    UnknownCertificateError,
)
from gateway.web.routing import Route

ROLES: Final = frozenset({"operator", "auditor"})


class HealthCalls(Protocol):
    """The node, as far as this port asks it; see `gateway.node.runtime.Node`."""

    @property
    def log_files(self) -> LogCalls:
        """Return what serves the logs as files."""
        ...

    async def health(self) -> Health:
        """Return what readiness and metrics report."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """An operator or auditor at the other end of a connection.

    Attributes:
        name: As the registry has it.
        role: ``operator`` or ``auditor``.
        spki: SHA-256 of the certificate's SPKI.
    """

    name: str
    role: str
    spki: bytes


def ops_app(node: HealthCalls, registry: AgencyRegistry, *, ports: Sequence[App] = ()) -> App:
    """Return the application of the operator port.

    Args:
        node: Says how it is.
        registry: Says who holds a certificate, and in which role.
        ports: Applications whose counters the metrics show.
    """
    return App(name="operator", routes=ops_routes(node, ports), identify=identify_officials(registry))


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

    return (
        Route(name="live", method="GET", path="/health/live", parts={}, handler=live),
        Route(name="ready", method="GET", path="/health/ready", parts={}, handler=ready),
        Route(name="metrics", method="GET", path="/metrics", parts={}, handler=metrics),
        *log_routes(node.log_files),
    )


def identify_officials(registry: AgencyRegistry) -> Identify:
    """Return the function that finds the operator or auditor of a certificate."""

    def identify(certificate: Certificate | None) -> Official:
        found = None if certificate is None else registry.find(certificate.spki)
        if certificate is None or found is None:
            msg = "the registry does not list this certificate"
            raise UnknownCertificateError(msg)
        if found.role not in ROLES:
            msg = "this port is for operators and auditors"
            raise RoleNotAllowedError(msg)
        return Official(name=found.code, role=found.role, spki=certificate.spki)

    return identify


def health_document(health: Health) -> dict[str, Any]:
    """Return the health of a node as JSON."""
    return {
        "status": "ready" if health.ready else "not-ready",
        "phase": health.phase.value,
        "peer": {"reachable": health.reachable, "breaker": health.peer.value},
        "waiting": health.waiting,
        "admission": health.admission,
        "log": _head(health.own),
        "mirror": _head(health.mirror),
    }


def _head(head: LogHead | None) -> dict[str, Any] | None:
    return None if head is None else {"origin": head.origin, "size": head.size}
