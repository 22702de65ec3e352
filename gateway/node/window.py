"""How much may be under way to the peer, so that it is kept busy and its queue stays short.

Bundles are opened in the order of the log, so whatever is urgent waits for all that left
before it. Behind a backlog that is the one thing it waits for, and the window is therefore a
time: as many messages as the peer gets done in its bare round trip and a little more, which
keeps it busy. What it gets done is read off each answer: of all that was under way when a
bundle left, none is left when its answer comes. Small bundles cost rate, so the queue is short
only as long as something urgent has come lately: the first that comes waits for the longer one.
The bare round trip is that of a bundle of few messages that left alone, or of any that was quicker:
behind a backlog none leaves alone, and the last one that did may have met a peer that was just starting.

Without a backlog what waits is soon gone, and larger bundles cost both nodes fewer signatures: once
256 messages are under way, the next one gathers for longer. Two bundles may hold all that may be under
way. But where the line is long, four do: it carries the next ones while the peer opens the first.

Spec: docs/spec/exchange.md, "Sending"; docs/adr/0040-a-window-of-time.md.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from gateway.core.bundle import MAX_BUNDLE_ENTRIES
from gateway.ports import Clock

MAX_IN_FLIGHT: Final = 4
"""Bundles under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What may be under way behind a backlog.

    Attributes:
        longest_s: Seconds that it may take the peer beyond a bare round trip.
        least_bundle: Messages of a bundle, however slow the peer is: in smaller ones it would do
            nothing but sign. Two of them may be under way, so that it has the next one in time.
    """

    longest_s: float
    least_bundle: int

    @property
    def least(self) -> int:
        """Return how many messages may be under way, however slow the peer is."""
        return 2 * self.least_bundle


CALM: Final = Queue(longest_s=0.1, least_bundle=192)

PRESSED: Final = Queue(longest_s=0.02, least_bundle=128)
"""While something urgent has come lately."""

LATELY_S: Final = 3.0
"""How long something urgent that came says that more of it comes."""

BACKLOG_MESSAGES: Final = 8 * MAX_BUNDLE_ENTRIES
"""Waiting messages from which there is a backlog; it lasts until one bundle takes the rest."""

MOST_MESSAGES: Final = 2 * MAX_BUNDLE_ENTRIES
"""Under way, without a backlog and with one."""

NEAR_S: Final = 0.05
"""Bare round trip up to which two large bundles keep the peer busy. A line of 90 ms carried nothing while it
opened the first of them."""

BUSY_MESSAGES: Final = 256
"""Under way: the peer has work for a good part of the time in which the next bundle gathers."""

BUSY_PACES: Final = 6
"""How many times longer the next bundle gathers then for each in flight."""

FEW_MESSAGES: Final = 32
"""A bundle of at most so many that leaves alone shows the bare round trip."""

ROUND_TRIPS: Final = 16
"""Newest bare round trips, the quickest of which counts."""

QUICKEST_S: Final = 60.0
"""How long the quickest flight counts as one, for a line may become longer."""

SUPPOSED_ROUND_TRIP_S: Final = 0.025
"""Until one was seen."""


class Window:
    """Follows the answers of one peer and says how much may leave."""

    def __init__(self, *, clock: Clock) -> None:
        """Begin as behind a backlog: only the first bundle tells how much waits."""
        self._clock = clock
        self._pressed_s = -LATELY_S
        self._backlog = True
        self._is_known = False
        self._waiting = 0
        self._behind_backlog = 2 * CALM.least
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._quickest_s = math.inf
        self._quickest_at_s = -math.inf

    @property
    def messages(self) -> int:
        """Return how many messages may be under way."""
        return self._behind_backlog if self._backlog else MOST_MESSAGES

    @property
    def bundle(self) -> int:
        """Return how many messages the next bundle may hold.

        Without a backlog half of all that may be under way, if the line is known to be short; else a quarter,
        and where something urgent comes, which waits for what left before it. Behind a backlog what the peer
        does in half of the queue's time, so that it has the next one when it has done one; a quarter of the
        window on long ways, for at most four are under way.
        """
        queue = self._queue
        if not self._backlog:
            is_near = min(*self._round_trips, self._quickest_s, math.inf) <= NEAR_S
            return MOST_MESSAGES // (2 if is_near and queue is CALM else MAX_IN_FLIGHT)
        share = max(1 / MAX_IN_FLIGHT, queue.longest_s / (2 * self._allowed_s))
        return min(max(int(self._behind_backlog * share), queue.least_bundle), MAX_BUNDLE_ENTRIES)

    @property
    def is_filled(self) -> bool:
        """Return whether what waits fills the next bundle, as far as it is known."""
        return self._waiting >= self.bundle

    def paces(self, flights: int, flying: int) -> int:
        """Return how many paces more than one the next bundle gathers, unless it is filled before.

        Args:
            flights: Bundles under way.
            flying: Messages in them.
        """
        # Where something urgent comes, the queue that it finds is to be short.
        is_busy = flying >= BUSY_MESSAGES and self._queue is CALM
        return flights * BUSY_PACES if is_busy else flights

    def admits(self, flying: int) -> bool:
        """Return whether another bundle may leave while so many messages are under way.

        The few of a bundle that something urgent has closed take no room from it.
        """
        return flying + self.bundle <= self.messages + FEW_MESSAGES

    def pressed(self) -> None:
        """Take note that something urgent has come: what comes next is to find a short queue."""
        before_s = self._allowed_s
        self._pressed_s = self._clock.monotonic_s()
        self._allow(self._behind_backlog * self._allowed_s / before_s)

    def waits(self, messages: int) -> None:
        """Take note of how many messages wait outside the log."""
        lasts = self._is_known and self._backlog
        self._backlog = messages > (self.bundle if lasts else BACKLOG_MESSAGES)
        self._waiting = messages
        self._is_known = True

    def joined(self, messages: int) -> None:
        """Take note of how many more messages are about to wait."""
        self._waiting += messages

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
        now_s = self._clock.monotonic_s()
        if elapsed_s < self._quickest_s or now_s - self._quickest_at_s > QUICKEST_S:
            self._quickest_s, self._quickest_at_s = elapsed_s, now_s
        if not self._backlog:
            return
        share = self._allowed_s / max(elapsed_s, 0.001)
        was_full = flying + self.bundle > self._behind_backlog
        if share < 1 or was_full:
            # Half of the way to where it would be right: one answer is late for many reasons.
            self._allow(self._behind_backlog * (1 + min(max(share, 0.5), 2.0)) / 2)

    def _allow(self, messages: float) -> None:
        self._behind_backlog = min(max(int(messages), self._queue.least), MOST_MESSAGES)

    @property
    def _queue(self) -> Queue:
        return PRESSED if self._clock.monotonic_s() - self._pressed_s < LATELY_S else CALM

    @property
    def _allowed_s(self) -> float:
        bare_s = min(self._round_trips, default=SUPPOSED_ROUND_TRIP_S)
        return min(bare_s, self._quickest_s) + self._queue.longest_s
