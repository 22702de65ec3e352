"""How the catalogues of the two nodes compare, for agencies, operators and metrics.

Spec: docs/spec/messages.md, "Agreement between nodes".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.message.instants import time_text
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import (
    Announced,
    Schedule,
    Standing,
    compare,
    digests_of,
    first_difference,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementState:
    """How the catalogues of the two nodes compare.

    Attributes:
        catalogue: In force at this node.
        is_announced: Whether the peer has announced its own; before that nothing is refused.
        standings: Every type of either node.
        planned: Catalogue that takes effect later, or None.
        change_ms: When that is, or None.
        peer_plans: (time, digests by type id) of changes that the peer announced.
        difference: When the nodes will differ by what both plan, and in which types that flow now; or None.
    """

    catalogue: Catalogue
    is_announced: bool
    standings: tuple[Standing, ...]
    planned: Catalogue | None
    change_ms: int | None
    peer_plans: tuple[tuple[int, Mapping[str, bytes]], ...]
    difference: tuple[int, tuple[str, ...]] | None

    @property
    def not_agreed(self) -> tuple[str, ...]:
        """Return the types that do not flow."""
        if not self.is_announced:
            return ()
        return tuple(standing.type for standing in self.standings if not standing.is_agreed)


def agreement_state(schedule: Schedule, announced: Announced, *, now_ms: int) -> AgreementState:
    """Return how this node's catalogues compare with what the peer announced."""
    peer = announced.at(now_ms)
    planned = schedule.planned(now_ms)
    own = [(now_ms, digests_of(schedule.at(now_ms)))]
    if planned is not None:
        own.append((schedule.change_ms, digests_of(planned)))
    return AgreementState(
        catalogue=schedule.at(now_ms),
        is_announced=peer is not None,
        standings=tuple(compare(schedule.at(now_ms), peer or {})),
        planned=planned,
        change_ms=None if planned is None else schedule.change_ms,
        peer_plans=tuple(announced.plans(now_ms)),
        difference=None if peer is None else first_difference(own, announced.course(now_ms)),
    )


def standing_document(state: AgreementState) -> dict[str, Any]:
    """Return the comparison as JSON: each type of either node, and planned changes."""
    planned = None
    if state.planned is not None and state.change_ms is not None:
        planned = _plan(state.change_ms, digests_of(state.planned))
    return {
        "peer_announced": state.is_announced,
        "types": [
            {
                "type": standing.type,
                "sha384": None if standing.own is None else standing.own.hex(),
                "peer_sha384": None if standing.peer is None else standing.peer.hex(),
                "agreed": standing.is_agreed if state.is_announced else None,
            }
            for standing in state.standings
        ],
        "planned": planned,
        "peer_planned": [_plan(time_ms, digests) for time_ms, digests in state.peer_plans],
    }


def _plan(time_ms: int, digests: Mapping[str, bytes]) -> dict[str, Any]:
    types = {type_id: digest.hex() for type_id, digest in digests.items()}
    return {"from": time_text(time_ms), "types": types}
