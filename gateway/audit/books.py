"""A node's two books, as far as they are at hand: its audit log, and its exchange logs.

A node writes both in one transaction: a restore is an event and an incident, a new generation an event and
the first entries of a log; an erasure that the other nation cannot foresee, and a collection, are events
and, with the next bundles, entries. Whoever tells only one of them hides the other half from who reads the
other book.

An event binds as far as nothing behind it was lost: what stood in an audit log behind the state at which its
successor closed it did not happen for the node that goes on. And an exchange log binds as far as its copy
goes: each bundle is anchored in the audit log, and that says up to where the copy has to reach.

Spec: docs/spec/log.md, "Two books"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.audit.cosigners import HeldLog
from gateway.audit.trail import Trail
from gateway.core.generation import number_of

Place = tuple[str, int]
"""A log, and an index in it or a size of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The two books of one node, as far as they are at hand.

    Attributes:
        trail: Its audit logs.
        whole: Below which size nothing of each of them was lost, in the same order.
        exchanges: Its exchange logs, by origin.
        others: Exchange logs of the other node, by origin.
    """

    trail: Trail
    whole: Sequence[int]
    exchanges: Mapping[str, HeldLog]
    others: Mapping[str, HeldLog]

    def number(self, audit: HeldLog) -> int:
        """Return which of the audit logs this one is."""
        return next(at for at, log in enumerate(self.trail.logs) if log is audit)

    def bundle_after(self, number: int, index: int, count: int = 0, *, within: bool = False) -> Place | None:
        """Return where the own exchange log ended with a bundle that was made after an event, or None.

        Args:
            number: Which audit log holds the event.
            index: Its entry.
            count: Bundles in between.
            within: Only as that audit log itself says it, and not its successors.
        """
        last = number + 1 if within else len(self.trail.logs)
        for at in range(number, last):
            anchored = self.trail.logs[at].contents.anchored
            for origin in sorted(anchored.keys() & self.exchanges.keys(), key=number_of):
                claims = anchored[origin]
                first = bisect_right(claims.said_at, index) if at == number else 0
                there = bisect_left(claims.said_at, self.whole[at]) - first
                if count < there:
                    return origin, claims.sizes[first + count]
                count -= max(0, there)
        return None

    def reach(self, place: Place | None) -> bool:
        """Return whether all that the node had written of its exchange logs by then is at hand."""
        if place is None:
            return False
        origin, size = place
        log = self.exchanges.get(origin)
        while log is not None and log.checkpoint.size >= size:
            if not log.contents.is_successor:
                return True
            cited = log.contents.citation
            if cited is None:
                return False
            log, size = self.exchanges.get(cited.stored.origin), cited.stored.size
        return False

    def held_before(self, number: int, index: int, place: Place) -> bool:
        """Return whether the node had written or mirrored an entry before an event."""
        origin, at = place
        for which, log in enumerate(self.trail.logs[: number + 1]):
            claims = log.contents.anchored.get(origin)
            if claims is None:
                continue
            said = bisect_left(claims.said_at, index if which == number else self.whole[which])
            if said and claims.sizes[said - 1] > at:
                return True
        return False

    def tells_erased(self) -> Iterator[tuple[str, int, Place]]:
        """Yield each erasure that the exchange logs tell: log, entry, and the place of the message."""
        for origin, log in self.exchanges.items():
            for of, claims in log.contents.erasures.items():
                for at, size in zip(claims.said_at, claims.sizes, strict=True):
                    yield origin, at, (of, size - 1)

    def tag_at(self, place: Place) -> int | None:
        """Return what stands for the id of the message at a place, or None if it is not at hand."""
        origin, index = place
        log = self.exchanges.get(origin) or self.others.get(origin)
        return log.contents.tags[index] if log is not None and 0 <= index < log.contents.size else None
