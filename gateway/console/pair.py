"""The calls of the operator port about the pair: how it stands, resume, override.

Operators decide, auditors look. Every decision carries a reason; its digest is in the audit log.

Spec: docs/operating.md, "Frozen pair" and "Recovery".
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway.console.decisions import actor_of, json_reply, read_decision
from gateway.console.officials import Official
from gateway.core.message.instants import time_text
from gateway.node.audit_log import Actor
from gateway.node.health import Phase
from gateway.node.resumption import PairState
from gateway.ports import Incident
from gateway.web.exchange import Reply, Request
from gateway.web.routing import Route


class ResumptionCalls(Protocol):
    """How a pair goes on; see `gateway.node.resumption.Resumption`."""

    async def state(self) -> PairState:
        """Return how the pair stands."""
        ...

    async def sign_off(self, actor: Actor, reason: str) -> PairState:
        """Record that operators want the pair to go on."""
        ...


class OverrideCalls(Protocol):
    """Signing without the peer's answer; see `gateway.node.recovery.Recovery`."""

    async def override(self, actor: Actor, reason: str) -> None:
        """Let the node sign."""
        ...


class PairCalls(Protocol):
    """The node, as far as these calls ask it."""

    @property
    def phase(self) -> Phase:
        """Return where the node is in its life."""
        ...

    @property
    def resumption(self) -> ResumptionCalls:
        """Return what takes sign-offs."""
        ...

    @property
    def recovery(self) -> OverrideCalls:
        """Return what compares and refills."""
        ...


def pair_routes(node: PairCalls) -> tuple[Route, ...]:
    """Return the calls about the pair."""

    async def show(request: Request[Official]) -> Reply:
        del request
        return json_reply(pair_document(node.phase, await node.resumption.state()))

    async def resume(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        decision = read_decision(request.body, ())
        return json_reply(pair_document(node.phase, await node.resumption.sign_off(actor, decision.reason)))

    async def override(request: Request[Official]) -> Reply:
        actor = actor_of(request.caller)
        decision = read_decision(request.body, ())
        await node.recovery.override(actor, decision.reason)
        return json_reply({"overridden": True})

    json = frozenset({"application/json"})
    return (
        Route(name="pair", method="GET", path="/ops/v1/pair", parts={}, handler=show),
        Route(
            name="pair-resume",
            method="POST",
            path="/ops/v1/pair:resume",
            parts={},
            handler=resume,
            media_types=json,
            max_body=4_096,
        ),
        Route(
            name="pair-override",
            method="POST",
            path="/ops/v1/pair:override",
            parts={},
            handler=override,
            media_types=json,
            max_body=4_096,
        ),
    )


def pair_document(phase: Phase, state: PairState) -> dict[str, Any]:
    """Return how a pair stands as JSON."""
    peer = state.peer
    return {
        "phase": phase.value,
        "generation": state.generation,
        "frozen": state.frozen,
        "signed_off": state.signed_off,
        "peer": None
        if peer is None
        else {
            "generation": peer.generation,
            "signed_off": peer.resumes,
            "frozen": peer.frozen,
            "leaps": state.leaps,
        },
        "forks": [_fork(incident) for incident in state.forks],
    }


def _fork(incident: Incident) -> dict[str, Any]:
    """Return a proven fork with both notes, which are texts that anybody may read."""
    return {
        "origin": incident.origin,
        "size": incident.size,
        "root": incident.root.hex(),
        "at": time_text(incident.at_ms),
        "notes": [note.decode("utf-8") for note in (incident.note_a, incident.note_b) if note is not None],
    }
