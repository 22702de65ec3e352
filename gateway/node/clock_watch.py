"""The clock alarm: does the time that this node writes into its logs deserve belief?

Time decides expiry and display, never the validity of history. But a log whose times are wrong
misleads whoever reads it, and clocks that differ by more than five minutes let each node refuse
what the other one sends. Three things are looked at, none of which needs a time service:

- A clock that is **set**: wall time and the clock that only grows move apart by more than the
  limit between two looks. Slewing, as time services do it, is far slower.
- A clock that is **behind the log** at the start: notes were signed at times that are still to
  come, so it was set back while the node was stopped, or was ahead before.
- A clock that **differs from the peer's**, by what the peer's answers prove at least
  (`gateway.ports.PeerLink.peer_ahead_s`). Which of the two is wrong this node cannot know.

Each is an event of the audit log (``clock.alarm``), an alarm, and a trouble in health while it
lasts; an alarm that comes and goes is recorded at most once in ten minutes for each cause.

Spec: docs/spec/log.md, "Audit log"; docs/operating.md, "A wrong clock".
"""

from __future__ import annotations

from typing import Final

import structlog

from gateway.core.entries import IncidentKind
from gateway.core.merkle import EMPTY_ROOT
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.pair import Pair
from gateway.ports import Clock, Incident, LogKind, PeerLink, Step, Store, Transaction

log = structlog.get_logger(__name__)

LIMIT_S: Final = 2.0
"""A difference beyond it is an alarm."""

GOOD_S: Final = 1.0
"""A difference below it ends the alarm; in between it stays as it is."""

AGAIN_S: Final = 600.0
"""An alarm of one cause is recorded at most so often."""

FIT_S: Final = 0.1
"""Both clocks have to be read within this, else the machine stood still in between."""

_READINGS: Final = 5


class ClockWatch:
    """Watches the clock of a node. One task of the node calls `look` once a second."""

    def __init__(self, *, pair: Pair, store: Store, audit: AuditLog, link: PeerLink, clock: Clock) -> None:
        """Wire it; the first look is what later ones are compared with."""
        self._pair = pair
        self._store = store
        self._audit = audit
        self._link = link
        self._clock = clock
        self._epoch_s: float | None = None
        self._recorded_s: dict[str, float] = {}
        # Until when a clock that was set, or was found behind the log, is a trouble.
        self._trouble_until_s: float | None = None
        self._differs = False

    @property
    def is_wrong(self) -> bool:
        """Return whether somebody should look at the clock."""
        lasts = self._trouble_until_s is not None and self._clock.monotonic_s() < self._trouble_until_s
        return self._differs or lasts

    @property
    def peer_ahead_s(self) -> float | None:
        """Return how far the peer's clock is ahead, in seconds, negative if behind; None if unknown."""
        return self._link.peer_ahead_s

    async def open(self) -> None:
        """Compare the clock with the newest note that this node has signed."""

        def newest_ms(tx: Transaction) -> int:
            own = {LogKind.EXCHANGE, LogKind.AUDIT}
            notes = [tx.logs.newest_note(head.origin) for head in tx.logs.heads() if head.kind in own]
            return max((note.at_ms for note in notes if note is not None), default=0)

        behind_s = (await self._store.read(newest_ms) - self._clock.now_ms()) / 1_000
        if behind_s > LIMIT_S:
            await self._alarm("behind-log", behind_s)

    async def look(self) -> None:
        """Compare the clock with itself a moment ago, and with the peer's."""
        epoch_s = self._epoch()
        if epoch_s is not None:
            before_s, self._epoch_s = self._epoch_s, epoch_s
            if before_s is not None and abs(epoch_s - before_s) > LIMIT_S:
                step_s = epoch_s - before_s
                await self._alarm("set-ahead" if step_s > 0 else "set-back", abs(step_s))
        ahead_s = self._link.peer_ahead_s
        if ahead_s is None:
            return
        if abs(ahead_s) > LIMIT_S and not self._differs:
            self._differs = True
            await self._alarm("peer-ahead" if ahead_s > 0 else "peer-behind", abs(ahead_s))
        elif abs(ahead_s) < GOOD_S and self._differs:
            self._differs = False
            log.info("clock.agrees", peer=self._pair.peer_node)

    def _epoch(self) -> float | None:
        """Return wall time less the time that only grows; None if the machine stands still too often.

        Read between two readings of the other: a process that was stopped in the middle would look
        like a clock that was set.
        """
        for _ in range(_READINGS):
            before_s = self._clock.monotonic_s()
            now_ms = self._clock.now_ms()
            after_s = self._clock.monotonic_s()
            if after_s - before_s <= FIT_S:
                return now_ms / 1_000 - before_s
        return None

    async def _alarm(self, cause: str, seconds: float) -> None:
        now_s = self._clock.monotonic_s()
        if not cause.startswith("peer-"):
            self._trouble_until_s = now_s + AGAIN_S
        recorded_s = self._recorded_s.get(cause)
        if recorded_s is not None and now_s - recorded_s < AGAIN_S:
            return
        now_ms = self._clock.now_ms()
        event = self._audit.event(
            at_ms=now_ms, actor=NODE, event="clock.alarm", outcome=cause, details=(int(seconds * 1_000),)
        )
        own, peers = self._audit.origin, self._pair.peer_origin
        incident = Incident(
            kind=IncidentKind.CLOCK,
            origin=peers if cause.startswith("peer-") else own,
            size=0,
            root=EMPTY_ROOT,
            at_ms=now_ms,
        )

        def keep(tx: Transaction) -> None:
            tx.facts.put_incident(incident)
            self._audit.append(tx, event)

        await self._store.write(Step.AUDITED, keep)
        self._recorded_s[cause] = now_s
        log.error("clock.alarm", cause=cause, seconds=round(seconds, 1))
