"""The calls of the operator port about a running node: its queue, incidents, maintenance, quotas.

Operators decide, auditors look. Every change carries a reason; its digest is in the audit log.

Spec: docs/operating.md, "Maintenance" and "Quotas".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import orjson

from gateway.console.approvals import enrolled_of, proposal_document
from gateway.console.decisions import Field, actor_of, json_reply, read_change, read_decision
from gateway.console.incidents import IncidentCalls, incident_routes
from gateway.console.officials import Official
from gateway.console.queue import AGENCY, QueueCalls, queue_routes
from gateway.core.message.instants import time_text
from gateway.core.message.wording import Wording
from gateway.node.audit_log import Actor
from gateway.node.enrolment import Enrolled
from gateway.node.maintenance import Draining
from gateway.node.proposals import Proposal
from gateway.node.quotas import OwnQuota, Quota
from gateway.web.exchange import Reply, Request
from gateway.web.routing import Route

MAX_QUOTA: Final = 100_000_000

_AGENCY: Final = Field(
    expected=Wording(en="the code of an agency", fr="le code d'un service"),
    fits=lambda value: isinstance(value, str) and AGENCY.fullmatch(value) is not None,
)
_OWN_AGENCY: Final = Wording(
    en="the code of an agency of this nation, as in the catalogue",
    fr="le code d'un service de ce pays, comme au catalogue",
)
_LIMIT: Final = Field(
    expected=Wording(
        en="a whole number from 1 to 100000000, or null for no limit",
        fr="un nombre entier de 1 à 100000000, ou null pour aucune limite",
    ),
    fits=lambda value: value is None or (type(value) is int and 1 <= value <= MAX_QUOTA),
)


class MaintenanceCalls(Protocol):
    """Maintenance; see `gateway.node.maintenance.Maintenance`."""

    async def start(self, actor: Actor, reason: str) -> Draining:
        """Take nothing new on."""
        ...

    async def end(self, actor: Actor, reason: str) -> Draining:
        """Take new messages on again."""
        ...

    async def draining(self) -> Draining:
        """Return how far the node is."""
        ...


class QuotaCalls(Protocol):
    """Quotas; see `gateway.node.quotas.Quotas`."""

    @property
    def default(self) -> Quota:
        """Return what holds for agencies without a quota of their own."""
        ...

    @property
    def own(self) -> Mapping[str, OwnQuota]:
        """Return the quotas of single agencies."""
        ...

    async def set(self, actor: Actor, agency: str, quota: Quota, reason: str) -> None:
        """Let a quota hold for one agency."""
        ...

    async def clear(self, actor: Actor, agency: str, reason: str) -> None:
        """Let the configuration's quota hold for an agency again."""
        ...


class QuotaProposals(Protocol):
    """Changes of quotas that need two operators; see `gateway.node.approvals.ApprovalDesk`."""

    @property
    def required(self) -> bool:
        """Return whether they do."""
        ...

    async def propose_quota(self, by: Enrolled, agency: str, quota: Quota | None, reason: str) -> Proposal:
        """Propose a quota of one agency, or with None that of the configuration."""
        ...


class RunningCalls(IncidentCalls, Protocol):
    """A running node, as far as this module asks it."""

    @property
    def queue(self) -> QueueCalls:
        """Return the queue."""
        ...

    @property
    def maintenance(self) -> MaintenanceCalls:
        """Return what begins and ends maintenance."""
        ...

    @property
    def quotas(self) -> QuotaCalls:
        """Return the quotas."""
        ...

    @property
    def approvals(self) -> QuotaProposals:
        """Return what takes proposals."""
        ...

    def own_agencies(self) -> Collection[str]:
        """Return the agencies of this nation that the catalogue in force has."""
        ...


def running_routes(node: RunningCalls) -> tuple[Route, ...]:
    """Return the calls about a running node."""
    return (
        *queue_routes(node.queue),
        *_maintenance_routes(node.maintenance),
        *_quota_routes(node.quotas, node.approvals, node.own_agencies),
        *incident_routes(node),
    )


def _maintenance_routes(maintenance: MaintenanceCalls) -> tuple[Route, ...]:
    async def look(request: Request[Official]) -> Reply:
        del request
        return json_reply(draining_document(await maintenance.draining()))

    async def start(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        reason = read_decision(request.body, ()).reason
        return json_reply(draining_document(await maintenance.start(actor, reason)))

    async def end(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        reason = read_decision(request.body, ()).reason
        return json_reply(draining_document(await maintenance.end(actor, reason)))

    path = "/ops/v1/maintenance"
    return (
        Route(name="maintenance", method="GET", path=path, parts={}, handler=look),
        _post("maintenance-start", f"{path}:start", start),
        _post("maintenance-end", f"{path}:end", end),
    )


def _quota_routes(
    quotas: QuotaCalls, approvals: QuotaProposals, own_agencies: Callable[[], Collection[str]]
) -> tuple[Route, ...]:
    # One that is taken back may be of an agency that the catalogue has no more.
    own = Field(expected=_OWN_AGENCY, fits=lambda value: isinstance(value, str) and value in own_agencies())

    async def propose(request: Request[Official], agency: str, quota: Quota | None, reason: str) -> Reply:
        """Answer 202: what was asked for waits for a second operator."""
        proposal = await approvals.propose_quota(enrolled_of(request.caller), agency, quota, reason)
        return Reply(status=202, body=orjson.dumps({"proposal": proposal_document(proposal)}))

    async def look(request: Request[Official]) -> Reply:
        del request
        return json_reply(quotas_document(quotas))

    async def change(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        values = read_change(request.body, {"agency": own, "per_minute": _LIMIT, "waiting": _LIMIT})
        quota = Quota(per_minute=values["per_minute"], waiting=values["waiting"])
        if approvals.required:
            return await propose(request, values["agency"], quota, values["reason"])
        await quotas.set(actor, values["agency"], quota, values["reason"])
        return json_reply(quotas_document(quotas))

    async def clear(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        values = read_change(request.body, {"agency": _AGENCY})
        if approvals.required:
            return await propose(request, values["agency"], None, values["reason"])
        await quotas.clear(actor, values["agency"], values["reason"])
        return json_reply(quotas_document(quotas))

    path = "/ops/v1/quotas"
    return (
        Route(name="quotas", method="GET", path=path, parts={}, handler=look),
        _post("quota-set", path, change),
        _post("quota-clear", f"{path}:clear", clear),
    )


def draining_document(draining: Draining) -> dict[str, Any]:
    """Return maintenance as JSON."""
    since = draining.since
    return {
        "maintenance": since is not None,
        "since": None if since is None else time_text(since.at_ms),
        "reason": None if since is None else since.reason,
        "waiting": draining.waiting,
        "on_the_way": draining.on_the_way,
        "drained": draining.is_drained,
    }


def quotas_document(quotas: QuotaCalls) -> dict[str, Any]:
    """Return every quota as JSON."""
    return {
        "default": _limits(quotas.default),
        "agencies": [
            {
                "agency": agency,
                **_limits(own.quota),
                "since": time_text(own.at_ms),
                "reason": own.reason,
            }
            for agency, own in sorted(quotas.own.items())
        ],
    }


def _limits(quota: Quota) -> dict[str, int | None]:
    return {"per_minute": quota.per_minute, "waiting": quota.waiting}


def _post(name: str, path: str, handler: Any) -> Route:
    return Route(
        name=name,
        method="POST",
        path=path,
        parts={},
        handler=handler,
        media_types=frozenset({"application/json"}),
        max_body=4_096,
    )
