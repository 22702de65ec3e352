"""How much may be under way to the peer, so that it is kept busy and its queue stays short.

Bundles are opened in the order of the log, so whatever is urgent waits for all that left
before it. Behind a backlog that is the one thing it waits for, and the window is therefore a
time: as many messages as the peer gets done in its bare round trip and a little more, which
keeps it busy. What it gets done is read off each answer: of all that was under way when a
bundle left, none is left when its answer comes.

Without a backlog what waits is soon gone, and larger bundles cost both nodes fewer signatures.

Spec: docs/spec/exchange.md, "Sending"; docs/adr/0040-a-window-of-time.md.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from gateway.core.bundle import MAX_BUNDLE_ENTRIES

QUEUE_S: Final = 0.1
"""Seconds that what is under way may take the peer beyond a bare round trip, behind a backlog."""

BACKLOG_MESSAGES: Final = 8 * MAX_BUNDLE_ENTRIES
"""Waiting messages from which there is a backlog; it lasts until one bundle takes the rest."""

LEAST_MESSAGES: Final = 384
"""However slow the peer is: in smaller bundles it would do nothing but sign."""

MOST_MESSAGES: Final = 2 * MAX_BUNDLE_ENTRIES
"""Under way, without a backlog and with one."""

FEW_MESSAGES: Final = 32
"""A bundle of at most so many that leaves alone shows the bare round trip."""

ROUND_TRIPS: Final = 16
"""Newest bare round trips, the quickest of which counts."""

SUPPOSED_ROUND_TRIP_S: Final = 0.025
"""Until one was seen."""


class Window:
    """Follows the answers of one peer and says how much may leave."""

    def __init__(self) -> None:
        """Begin as behind a backlog: only the first bundle tells how much waits."""
        self._backlog = True
        self._is_known = False
        self._behind_backlog = 2 * LEAST_MESSAGES
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)

    @property
    def messages(self) -> int:
        """Return how many messages may be under way."""
        return self._behind_backlog if self._backlog else MOST_MESSAGES

    @property
    def bundle(self) -> int:
        """Return how many messages the next bundle may hold.

        Behind a backlog what the peer does in half of the queue's time, so that it has the next one
        when it has done one; a quarter of the window on long ways, for at most four are under way.
        """
        if not self._backlog:
            return MOST_MESSAGES // 2
        share = max(0.25, QUEUE_S / (2 * self._allowed_s))
        return min(int(self._behind_backlog * share), MAX_BUNDLE_ENTRIES)

    def admits(self, flying: int) -> bool:
        """Return whether another bundle may leave while so many messages are under way."""
        return flying + self.bundle <= self.messages

    def waits(self, messages: int) -> None:
        """Take note of how many messages wait outside the log."""
        lasts = self._is_known and self._backlog
        self._backlog = messages > (self.bundle if lasts else BACKLOG_MESSAGES)
        self._is_known = True

    def landed(self, elapsed_s: float, *, messages: int, flying: int, alone: bool) -> None:
        """Learn from an answer.

        Args:
            elapsed_s: From leaving to the answer, verified.
            messages: In the bundle.
            flying: Messages under way when it left, its own among them.
            alone: Whether nothing else was under way then.
        """
        if alone and messages <= FEW_MESSAGES:
            self._round_trips.append(elapsed_s)
        if not self._backlog:
            return
        share = self._allowed_s / max(elapsed_s, 0.001)
        was_full = flying + self.bundle > self._behind_backlog
        if share < 1 or was_full:
            # Half of the way to where it would be right: one answer is late for many reasons.
            wanted = self._behind_backlog * (1 + min(max(share, 0.5), 2.0)) / 2
            self._behind_backlog = min(max(int(wanted), LEAST_MESSAGES), MOST_MESSAGES)

    @property
    def _allowed_s(self) -> float:
        return min(self._round_trips, default=SUPPOSED_ROUND_TRIP_S) + QUEUE_S
