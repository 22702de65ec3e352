"""How a node is: what readiness, metrics and the doctor report, read in one moment.

*Ready* means that the node accepts, signs and writes, now. What keeps it from that is named
by code, and so is what does not, but asks for somebody all the same: then it is *degraded*.

Spec: docs/operating.md, "Ready, degraded, not ready".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import structlog

from gateway.core.states import State
from gateway.node.maintenance import Draining
from gateway.node.pair import Pair
from gateway.node.patience import Breaker
from gateway.node.room import RoomLeft
from gateway.ports import LogHead, StoreStats, Transaction

log = structlog.get_logger(__name__)

STALLED_S: Final = 10.0
"""Seconds without a commit, while writes wait, after which a node does not call itself ready."""


class Phase(StrEnum):
    """Where a node is in its life."""

    STARTING = "starting"
    RECOVERING = "recovering"
    RUNNING = "running"
    FROZEN = "frozen"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What the database knows of how a node is.

    Attributes:
        states: How many outgoing messages are in each state.
        oldest_waiting_ms: When the oldest was accepted that waits to be sent, or None.
        overdue: Open requests, in either direction, whose deadline is over.
        held: Messages that a legal hold keeps.
        holds: Legal holds that stand.
        own: Head of the own exchange log, or None before it exists.
        mirror: Head of the peer's log, or None.
        audit: Head of the audit log, or None before it exists.
    """

    states: Mapping[State, int] = field(default_factory=dict)
    oldest_waiting_ms: int | None = None
    overdue: int = 0
    held: int = 0
    holds: int = 0
    own: LogHead | None = None
    mirror: LogHead | None = None
    audit: LogHead | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What readiness and metrics report.

    Attributes:
        phase: Where the node is.
        obstacles: Codes of what keeps it from accepting, signing or writing.
        troubles: Codes of what does not, but asks for somebody.
        peer: State of the circuit breaker towards the peer.
        reachable: True if the last exchange with the peer worked.
        admission: Messages being decided right now.
        turned_away: Posts that were refused unread so far, by code.
        scrubbed: True if nothing that was erased is left in the files of the database.
        room: What is left on the disk, or None before the first look.
        draining: Maintenance, and how far it is.
        vitals: What the database knows.
        store: What its writer has done.
        now_ms: When all this was read, UTC milliseconds.
        not_agreed: Types of which the two nodes hold different versions; empty while the peer
            has announced none.
        damaged: Logs that the database does not hold as they were appended.
        peer_ahead_s: How far the peer's clock is ahead at least, negative if behind; None if unknown.
    """

    phase: Phase
    obstacles: tuple[str, ...]
    troubles: tuple[str, ...]
    peer: Breaker
    reachable: bool
    admission: int
    turned_away: Mapping[str, int]
    scrubbed: bool
    room: RoomLeft | None
    draining: Draining
    vitals: Vitals
    store: StoreStats
    now_ms: int
    not_agreed: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    peer_ahead_s: float | None = None

    @property
    def ready(self) -> bool:
        """Return whether the node accepts, signs and writes."""
        return not self.obstacles

    @property
    def status(self) -> str:
        """Return ``ready``, ``degraded`` (ready, but somebody is needed) or ``not-ready``."""
        if self.obstacles:
            return "not-ready"
        return "degraded" if self.troubles else "ready"


def read_vitals(tx: Transaction, pair: Pair, *, audit_origin: str, now_ms: int) -> Vitals:
    """Return what the database knows of how a node is; ``audit_origin`` names the audit log in use."""
    return Vitals(
        states={state: tx.outbox.count(state) for state in State},
        oldest_waiting_ms=tx.queue.oldest_waiting_ms(),
        overdue=tx.queue.count_overdue(now_ms),
        held=tx.removal.held(),
        holds=len(tx.removal.holds()),
        own=tx.logs.head(pair.exchange_origin),
        mirror=tx.logs.head(pair.peer_origin),
        audit=tx.logs.head(audit_origin),
    )


class WriterWatch:
    """Says whether the database still makes progress; told once a second how its writer does."""

    def __init__(self) -> None:
        """Begin with the opinion that it does."""
        self._commits = 0
        self._moved_s: float | None = None
        self.is_stalled = False

    def look(self, stats: StoreStats, *, now_s: float) -> None:
        """Compare with the last look.

        Args:
            stats: What the writer has done by now.
            now_s: Seconds that only grow.
        """
        if self._moved_s is None or stats.commits != self._commits or stats.waiting == 0:
            self._moved_s, self._commits = now_s, stats.commits
        is_stalled = now_s - self._moved_s >= STALLED_S
        if is_stalled and not self.is_stalled:
            log.error("store.stalled", waiting=stats.waiting)
        if self.is_stalled and not is_stalled:
            log.info("store.moving")
        self.is_stalled = is_stalled


def obstacles_of(
    phase: Phase, *, can_sign: bool, store_stalled: bool, disk_low: bool, maintenance: bool
) -> tuple[str, ...]:
    """Return the codes of what keeps a node from accepting, signing or writing."""
    return (
        *([] if phase is Phase.RUNNING else [phase.value]),
        *([] if can_sign else ["cannot-sign"]),
        *(["store-stalled"] if store_stalled else []),
        *(["disk-low"] if disk_low else []),
        *(["maintenance"] if maintenance else []),
    )


def troubles_of(
    phase: Phase,
    *,
    trust_ended: bool,
    reachable: bool,
    peer_frozen: bool,
    damaged: bool,
    not_agreed: bool,
    clock_wrong: bool,
) -> tuple[str, ...]:
    """Return the codes of what a node that is ready needs somebody for."""
    is_away = phase is Phase.RUNNING and not reachable
    return (
        # Before the peer: it may be away for no other reason, and then it is not its operators who act.
        *(["trust-ended"] if trust_ended else []),
        *(["peer-frozen" if peer_frozen else "peer-away"] if is_away else []),
        *(["log-damaged"] if damaged else []),
        *(["agreement-differs"] if not_agreed else []),
        *(["clock-wrong"] if clock_wrong else []),
    )
