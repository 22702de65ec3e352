"""What a log says of other logs, and of messages: kept while it is read, compared by others.

Spec: docs/spec/log.md, "Entries"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter, le
from typing import Final

from gateway.core.entries import EventEntry, ReceiptEntry, ReceiptException
from gateway.core.merkle import HASH_BYTES, Hash
from gateway.core.receipt import SEND_AGAIN, ExceptionCode

MAX_ENDED: Final = 200_000
"""Messages that ended before they were sent; more are not looked for."""


@dataclass(slots=True)
class Claims:
    """What a log says about the size and root of another one: 48 bytes each.

    Attributes:
        said_at: Which entries say so.
        sizes: Sizes of the other log.
        roots: Its roots there, one after another.
        least: Smallest size that the next one may name.
        put_back: Entries that tell of a restore, each followed by what `least` was from there on.
    """

    said_at: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("Q"))
    roots: bytearray = field(default_factory=bytearray)
    least: int = 0
    put_back: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, index: int, size: int, root: bytes) -> None:
        """Keep a claim of the entry at ``index``."""
        self.said_at.append(index)
        self.sizes.append(size)
        self.roots += root
        self.least = max(self.least, size)

    def put_back_to(self, index: int, size: int) -> None:
        """Let claims name sizes from ``size`` on once more: the entry at ``index`` tells of a restore."""
        if size < self.least:
            self.least = size
            self.put_back.extend((index, size))

    def put_back_before(self, index: int, lost_from: int) -> None:
        """Let claims be repeated that stand at ``lost_from`` or behind, as the entry at ``index`` tells.

        Whoever lost those entries of its own log went on from what the last one before them had said.
        """
        said, told = bisect_left(self.said_at, lost_from), bisect_left(self.put_back[::2], lost_from)
        size = self.sizes[said - 1] if said else 0
        if told and (not said or self.put_back[2 * told - 2] > self.said_at[said - 1]):
            size = self.put_back[2 * told - 1]
        self.put_back_to(index, size)

    def sizes_before(self, index: int) -> int:
        """Return the largest size that entries before this one name, or 0."""
        return max(self.sizes[: bisect_left(self.said_at, index)], default=0)

    def first_above(self, size: int) -> int | None:
        """Return the first entry that names a size above this one, or None."""
        above = zip(self.said_at, self.sizes, strict=True)
        return next((index for index, named in above if named > size), None)

    def by_size(self) -> Iterable[tuple[int, int, Hash]]:
        """Return (index of the entry that says so, size, root) in ascending order of size."""
        sizes = self.sizes
        if all(map(le, sizes, islice(sizes, 1, None))):
            return self  # the usual case, and nothing has to be sorted
        return sorted(self, key=itemgetter(1))

    def __len__(self) -> int:
        """Return the number of claims."""
        return len(self.sizes)

    def __iter__(self) -> Iterator[tuple[int, int, Hash]]:
        """Yield (index of the entry that says so, size, root)."""
        for number, (index, size) in enumerate(zip(self.said_at, self.sizes, strict=True)):
            at = number * HASH_BYTES
            yield index, size, Hash(bytes(self.roots[at : at + HASH_BYTES]))


@dataclass(slots=True)
class Answers:
    """What a log says about single entries of another one.

    Attributes:
        last_end: Where the last receipt's range ends.
        ranges: Starts and ends of receipted ranges, neighbours merged.
        excepted: Indexes of messages that were not received, by the last receipt for each; ascending.
        codes: Why not, one for each of `excepted`.
        said_at: Which entry says so, one for each of `excepted`.
        taken_back: Indexes of messages that one receipt received and a later one ends otherwise: the first
            one counts.
        taken_codes: How, one for each of `taken_back`.
        kept: Those of `taken_back` that an addressee had collected before.
        asked_again: Indexes of messages that one receipt received and a later one asks for once more.
        clock_ms: The latest time at which a receipt so far says that it was decided.
        expired: Of each message that a receipt calls expired: its index, the receipt, and `clock_ms` there.
        collected: Indexes of messages that an addressee acknowledged.
        collectors: Which agency, as a position in `agencies`, one for each of `collected`.
        agencies: Agency codes.
    """

    last_end: int = 0
    ranges: array[int] = field(default_factory=lambda: array("Q"))
    excepted: array[int] = field(default_factory=lambda: array("Q"))
    codes: array[int] = field(default_factory=lambda: array("Q"))
    said_at: array[int] = field(default_factory=lambda: array("Q"))
    taken_back: array[int] = field(default_factory=lambda: array("Q"))
    kept: set[int] = field(default_factory=set)
    taken_codes: array[int] = field(default_factory=lambda: array("Q"))
    asked_again: array[int] = field(default_factory=lambda: array("Q"))
    clock_ms: int = 0
    expired: array[int] = field(default_factory=lambda: array("Q"))
    collected: array[int] = field(default_factory=lambda: array("Q"))
    collectors: array[int] = field(default_factory=lambda: array("I"))
    agencies: dict[str, int] = field(default_factory=dict)

    def is_received(self, index: int) -> bool:
        """Return whether receipts say of a message that it was received, and that is all they say."""
        at = bisect_left(self.excepted, index)
        if at < len(self.excepted) and self.excepted[at] == index:
            return False
        ranges = zip(self.ranges[::2], self.ranges[1::2], strict=True)
        return any(start <= index < end for start, end in ranges)

    def decide(self, at: int, entry: ReceiptEntry) -> None:
        """Take what a receipt says of its range; it replaces what an earlier one has said, but *received*.

        What was received may have to be sent again, and its sender may have erased it by then. What was
        collected stays collected all the same.

        Args:
            at: Index of the receipt in its log.
            entry: The receipt.
        """
        self.clock_ms = max(self.clock_ms, entry.decided_ms)
        first = bisect_left(self.excepted, entry.start)
        last = bisect_left(self.excepted, entry.start + entry.count)
        if first == last and not entry.exceptions:
            return
        is_repeated = entry.start < self.last_end
        collected = frozenset(self.collected) if is_repeated else frozenset[int]()
        before = frozenset(self.excepted[first:last])
        now: list[ReceiptException] = []
        for item in entry.exceptions:
            is_first = item.index >= self.last_end or item.index in before
            if is_first:
                now.append(item)
            elif item.code in SEND_AGAIN:
                self.asked_again.append(item.index)
                if item.index not in collected:
                    now.append(item)
            elif item.code != ExceptionCode.ERASED:
                self.taken_back.append(item.index)
                self.taken_codes.append(item.code)
                if item.index in collected:
                    self.kept.add(item.index)
        for item in now:
            if item.code == ExceptionCode.EXPIRED:
                self.expired.extend((item.index, at, self.clock_ms))
        self.excepted[first:last] = array("Q", (item.index for item in now))
        self.codes[first:last] = array("Q", (item.code for item in now))
        self.said_at[first:last] = array("Q", [at] * len(now))


@dataclass(slots=True)
class Ended:
    """Messages that an audit log calls ended before they were sent.

    Attributes:
        events: By id: which event says so first, and the index of its entry.
        is_full: Whether there are more than are kept.
    """

    events: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    is_full: bool = False

    def add(self, index: int, entry: EventEntry) -> None:
        """Keep what the event at ``index`` says."""
        for message_id in entry.objects:
            if len(self.events) < MAX_ENDED:
                self.events.setdefault(message_id, (entry.event, index))
            else:
                self.is_full = True
