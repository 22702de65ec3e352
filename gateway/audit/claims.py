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
    """What a log says about the size and root of another one: 48 bytes each."""

    said_at: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("Q"))
    roots: bytearray = field(default_factory=bytearray)

    def add(self, index: int, size: int, root: bytes) -> None:
        """Keep a claim of the entry at ``index``."""
        self.said_at.append(index)
        self.sizes.append(size)
        self.roots += root

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
        taken_back: Indexes of messages that one receipt received and a later one ends otherwise: the first
            one counts.
        taken_codes: How, one for each of `taken_back`.
        asked_again: Indexes of messages that one receipt received and a later one asks for once more.
        collected: Indexes of messages that an addressee acknowledged.
        collectors: Which agency, as a position in `agencies`, one for each of `collected`.
        agencies: Agency codes.
    """

    last_end: int = 0
    ranges: array[int] = field(default_factory=lambda: array("Q"))
    excepted: array[int] = field(default_factory=lambda: array("Q"))
    codes: array[int] = field(default_factory=lambda: array("Q"))
    taken_back: array[int] = field(default_factory=lambda: array("Q"))
    taken_codes: array[int] = field(default_factory=lambda: array("Q"))
    asked_again: array[int] = field(default_factory=lambda: array("Q"))
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

    def decide(self, entry: ReceiptEntry, *, rewound: bool) -> None:
        """Take what a receipt says of its range; it replaces what an earlier one has said, but *received*.

        What was received may have to be sent again, and its sender may have erased it by then.

        Args:
            entry: The receipt.
            rewound: Whether the log tells of a restore. Then the sender ships everything once more, and
                what was collected before is not received a second time, and stays collected.
        """
        first = bisect_left(self.excepted, entry.start)
        last = bisect_left(self.excepted, entry.start + entry.count)
        if first == last and not entry.exceptions:
            return
        kept = frozenset(self.collected) if rewound else frozenset[int]()
        before = frozenset(self.excepted[first:last])
        now: list[ReceiptException] = []
        for item in entry.exceptions:
            if item.index in kept:
                continue
            is_first = item.index >= self.last_end or item.index in before
            if is_first or item.code in SEND_AGAIN:
                now.append(item)
                if not is_first:
                    self.asked_again.append(item.index)
            elif item.code != ExceptionCode.ERASED:
                self.taken_back.append(item.index)
                self.taken_codes.append(item.code)
        self.excepted[first:last] = array("Q", (item.index for item in now))
        self.codes[first:last] = array("Q", (item.code for item in now))


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
