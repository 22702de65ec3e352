"""Two nations' exports side by side: what became of each message, and where they differ.

Each nation brings its own exchange log and its mirror of the other's. Both copies of a log are
verified, so wherever their roots agree, all entries below agree and need not be compared; where
they do not, halving finds the first entry that differs. Receipts and collections in one
direction's log then say what became of the messages of the other.

One byte of memory is kept for each entry, so months of traffic fit.

Spec: docs/auditing.md, "Two nations side by side".
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from gateway.audit.log import AuditedLog
from gateway.audit.reader import LogReader
from gateway.audit.report import LogReport, verdict
from gateway.audit.trust import Trust
from gateway.audit.verify import Progress, verify_tree
from gateway.core.entries import (
    CollectedEntry,
    IncidentEntry,
    IncidentKind,
    Kind,
    MessageEntry,
    ReceiptEntry,
    decode_entry,
    kind_of,
)
from gateway.core.envelope import decode_header
from gateway.core.merkle import edge_at
from gateway.core.receipt import exception_label
from gateway.errors import MalformedError

MAX_NAMED: Final = 20
"""Differences of one sort that are named one by one; the rest is counted."""

_MESSAGE: Final = int(Kind.MESSAGE)
_ANSWERS: Final = frozenset(map(int, (Kind.RECEIPT, Kind.COLLECTED, Kind.INCIDENT)))
_REWINDING: Final = frozenset({IncidentKind.RECOVERY, IncidentKind.PEER_ROLLBACK})
_NOTHING, _RECEIVED, _REFUSED, _COLLECTED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedLog:
    """A log with what to call it while nobody believes it."""

    title: str
    log: AuditedLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """What became of the messages of one exchange log.

    Attributes:
        origin: The log.
        entries: Its entries.
        mirrored: How many of them the other nation's copy holds.
        messages: Message entries.
        received: Messages that the receiver took, the collected ones among them.
        refused: Messages that it did not, by code.
        unanswered: Messages without a receipt in the logs at hand.
        collected: Messages that at least one addressee acknowledged.
    """

    origin: str
    entries: int
    mirrored: int
    messages: int
    received: int
    refused: Mapping[str, int]
    unanswered: int
    collected: int

    def as_json(self) -> dict[str, Any]:
        """Return the direction for ``--json``."""
        return {
            "origin": self.origin,
            "entries": self.entries,
            "mirrored": self.mirrored,
            "messages": self.messages,
            "received": self.received,
            "refused": dict(self.refused),
            "unanswered": self.unanswered,
            "collected": self.collected,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What two nations' exports say together.

    Attributes:
        logs: A report for each log of both.
        directions: What became of the messages, a direction each.
        differences: What does not fit, named to the entry.
        open_ends: What is not known yet because one copy is older than the other.
    """

    logs: tuple[LogReport, ...]
    directions: tuple[Direction, ...]
    differences: tuple[str, ...]
    open_ends: tuple[str, ...]

    @property
    def is_reconciled(self) -> bool:
        """Return whether both exports tell one story."""
        return not self.differences

    @property
    def headline(self) -> str:
        """Return the verdict in one line."""
        if self.differences:
            return f"NOT RECONCILED: {len(self.differences)} differences, first: {self.differences[0]}"
        messages = sum(direction.messages for direction in self.directions)
        entries = sum(direction.entries for direction in self.directions)
        return f"RECONCILED: {messages} messages in {entries} entries, both nations tell the same"

    def as_json(self) -> dict[str, Any]:
        """Return the reconciliation for ``--json``."""
        return {
            "verdict": "RECONCILED" if self.is_reconciled else "NOT RECONCILED",
            "directions": [direction.as_json() for direction in self.directions],
            "differences": list(self.differences),
            "open_ends": list(self.open_ends),
            "logs": [
                {"log": log.title, "verdict": verdict(is_verified=log.is_verified), "reason": log.reason}
                for log in self.logs
            ],
        }


def reconcile(
    first: Sequence[NamedLog],
    second: Sequence[NamedLog],
    *,
    trust: Trust,
    progress: Callable[[str], Progress],
) -> Reconciliation:
    """Compare the exports of two nations.

    Args:
        first: Logs that one nation brings: its exchange log, its mirror of the other's.
        second: The same from the other nation.
        trust: Keys that the auditor trusts.
        progress: Gives, for the title of a log, what is told how far the work is.
    """
    return _Reconciling(trust, progress).run(first, second)


class _Scan:
    """Keeps of each entry its kind, and of answers what they say."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.kinds = bytearray()
        self.receipts: dict[str, array[int]] = {}
        self.exceptions: dict[str, array[int]] = {}
        self.collections: dict[str, array[int]] = {}
        self.malformed = 0
        self._rewound = False

    def read(self, entries: Sequence[bytes]) -> None:
        start = len(self.kinds)
        kinds = bytes(map(kind_of, entries))
        self.kinds += kinds
        if kinds.count(_MESSAGE) == len(kinds):
            return  # the usual case: nothing here answers anything
        for offset, kind in enumerate(kinds):
            if kind in _ANSWERS:
                self._answer(start + offset, entries[offset])

    def _answer(self, index: int, data: bytes) -> None:
        try:
            entry = decode_entry(data)
        except MalformedError:
            self.malformed += 1
            return
        if isinstance(entry, ReceiptEntry):
            found = self.receipts.setdefault(entry.origin, array("Q"))
            found.extend((index, entry.start, entry.start + entry.count))
            exceptions = self.exceptions.setdefault(entry.origin, array("Q"))
            # What was collected before a restore is shipped once more, not received, and stays collected.
            is_again = self._rewound and entry.exceptions
            kept = frozenset(self.collections.get(entry.origin, ())) if is_again else frozenset[int]()
            for item in entry.exceptions:
                if item.index not in kept:
                    exceptions.extend((item.index, item.code))
        elif isinstance(entry, IncidentEntry):
            self._rewound = self._rewound or entry.incident in _REWINDING
        elif isinstance(entry, CollectedEntry):
            collected = self.collections.setdefault(entry.origin, array("Q"))
            collected.extend(item.index for item in entry.collections)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """A verified copy of a log."""

    title: str
    log: AuditedLog
    size: int
    scan: _Scan

    def reader(self) -> LogReader:
        return LogReader(self.log, self.size)


class _Named:
    """Entries of one log that do not fit: the first few named, the rest counted."""

    def __init__(self, copy: _Copy) -> None:
        self._copy = copy
        self._lines: list[str] = []
        self._more = 0

    def add(self, index: int, what: str) -> None:
        if len(self._lines) == MAX_NAMED:
            self._more += 1
            return
        self._lines.append(f"{self._copy.scan.origin} entry {index}: {what}{self._message(index)}")

    def lines(self) -> list[str]:
        more = f"{self._copy.scan.origin}: {self._more} further entries of this sort"
        return [*self._lines, more] if self._more else self._lines

    def _message(self, index: int) -> str:
        try:
            entry = decode_entry(self._copy.reader().entry(index))
            if isinstance(entry, MessageEntry):
                return f" (message {UUID(bytes=decode_header(entry.header).message_id)})"
        except MalformedError:
            return " (its entry cannot be read)"
        return ""


@dataclass(slots=True)
class _Reconciling:
    """The work on one pair of exports."""

    trust: Trust
    progress: Callable[[str], Progress]
    reports: list[LogReport] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    open_ends: list[str] = field(default_factory=list)

    def run(self, first: Sequence[NamedLog], second: Sequence[NamedLog]) -> Reconciliation:
        sides = [self._verified(first), self._verified(second)]
        directions = []
        largest: dict[str, _Copy] = {}
        for origin in sorted({*sides[0], *sides[1]}):
            copies = [side[origin] for side in sides if origin in side]
            largest[origin] = max(copies, key=lambda copy: copy.size)
        for origin, copy in largest.items():
            if not _is_exchange(origin):
                continue
            held = [side[origin] for side in sides if origin in side]
            mirrored = self._compare(origin, held)
            directions.append(self._direction(copy, mirrored, largest))
        if not directions and not self.differences:
            self.differences.append("neither export holds an exchange log")
        return Reconciliation(
            logs=tuple(self.reports),
            directions=tuple(directions),
            differences=tuple(self.differences),
            open_ends=tuple(self.open_ends),
        )

    def _verified(self, logs: Sequence[NamedLog]) -> dict[str, _Copy]:
        """Verify the logs that a nation brings; what is not verified is a difference."""
        found: dict[str, _Copy] = {}
        for named in logs:
            verification = verify_tree(
                named.log,
                title=named.title,
                trust=self.trust,
                reader=_Scan,
                progress=self.progress(named.title),
            )
            report, scan = verification.report, verification.reader
            self.reports.append(report)
            if not report.is_verified or scan is None or report.checkpoint is None:
                self.differences.append(f"{named.title} is not verified: {report.reason}")
                continue
            origin = report.checkpoint.origin
            if scan.malformed:
                self.differences.append(
                    f"{origin} holds {scan.malformed} receipts or collections that are none"
                )
            if origin in found:
                self.differences.append(f"{named.title} is a second copy of {origin} from the same nation")
            found[origin] = _Copy(title=named.title, log=named.log, size=report.checkpoint.size, scan=scan)
        return found

    def _compare(self, origin: str, copies: Sequence[_Copy]) -> int:
        """Compare both nations' copies of one log; return how many entries both hold alike."""
        if len(copies) < 2:
            self.differences.append(f"only one nation brings {origin}")
            return 0
        small, large = sorted(copies, key=lambda copy: copy.size)
        common = small.size
        readers = (small.reader(), large.reader())
        if not _agree(common, *readers):
            common = _first_difference(common, *readers)
            self.differences.append(
                f"{origin} entry {common}: the two copies differ from here on, both are signed: a fork"
            )
            self._name_differing(origin, common, small, large)
        elif small.size < large.size:
            self.open_ends.append(
                f"{origin}: {small.title} ends at {small.size}, {large.title} at {large.size}"
            )
        return common

    def _name_differing(self, origin: str, start: int, small: _Copy, large: _Copy) -> None:
        readers = (small.reader(), large.reader())
        count = 0
        for index in range(start + 1, small.size):
            if readers[0].entry(index) != readers[1].entry(index):
                count += 1
                if count < MAX_NAMED:
                    self.differences.append(f"{origin} entry {index}: the two copies differ")
        if count >= MAX_NAMED:
            self.differences.append(f"{origin}: {count - MAX_NAMED + 1} further entries differ")

    def _direction(self, copy: _Copy, mirrored: int, largest: Mapping[str, _Copy]) -> Direction:
        origin, size = copy.scan.origin, copy.size
        states = bytearray(size)
        refused: Counter[str] = Counter()
        for answers in largest.values():
            if origin in answers.scan.receipts or origin in answers.scan.collections:
                self._apply(copy, answers, states, refused)
        counted = Counter(zip(copy.scan.kinds, states, strict=True))
        messages = {state: counted[_MESSAGE, state] for state in range(4)}
        unanswered = messages[_NOTHING]
        if unanswered:
            self._name_unanswered(copy, states)
        return Direction(
            origin=origin,
            entries=size,
            mirrored=mirrored,
            messages=sum(messages.values()),
            received=messages[_RECEIVED] + messages[_COLLECTED],
            refused=dict(sorted(refused.items())),
            unanswered=unanswered,
            collected=messages[_COLLECTED],
        )

    def _apply(self, copy: _Copy, answers: _Copy, states: bytearray, refused: Counter[str]) -> None:
        """Write what another log says of the messages of this one into their states."""
        origin, size, kinds = copy.scan.origin, copy.size, copy.scan.kinds
        speaker = answers.scan.origin
        beyond = 0
        ranges = answers.scan.receipts.get(origin, array("Q"))
        for at in range(0, len(ranges), 3):
            start, end = ranges[at + 1], min(ranges[at + 2], size)
            beyond += ranges[at + 2] > size
            if start < end:
                states[start:end] = bytes((_RECEIVED,)) * (end - start)
        wrong = _Named(copy)
        exceptions = answers.scan.exceptions.get(origin, array("Q"))
        for index, code in zip(exceptions[::2], exceptions[1::2], strict=True):
            if index >= size:
                continue
            if kinds[index] != _MESSAGE:
                wrong.add(index, f"{speaker} refuses it, but it is no message")
            states[index] = _REFUSED
            refused[exception_label(code)] += 1
        for index in answers.scan.collections.get(origin, array("Q")):
            if index >= size:
                beyond += 1
            elif kinds[index] != _MESSAGE:
                wrong.add(index, "collected, but it is no message")
            elif states[index] == _REFUSED:
                wrong.add(index, "collected although it was refused")
            elif states[index] == _NOTHING:
                wrong.add(index, "collected without a receipt")
            else:
                states[index] = _COLLECTED
        self.differences += wrong.lines()
        if beyond:
            self.open_ends.append(f"{speaker}: {beyond} answers are about entries of {origin} beyond {size}")

    def _name_unanswered(self, copy: _Copy, states: bytearray) -> None:
        """Messages before the last answered one should have an answer; those behind wait for it."""
        origin, kinds = copy.scan.origin, copy.scan.kinds
        last = max(states.rfind(bytes((state,))) for state in (_RECEIVED, _REFUSED, _COLLECTED))
        skipped, waiting = _Named(copy), 0
        for index, (kind, state) in enumerate(zip(kinds, states, strict=True)):
            if kind == _MESSAGE and state == _NOTHING:
                if index < last:
                    skipped.add(index, "no receipt, though later ones exist")
                else:
                    waiting += 1
        self.differences += skipped.lines()
        if waiting:
            self.open_ends.append(f"{origin}: {waiting} messages at its end wait for their receipts")


def _is_exchange(origin: str) -> bool:
    return origin.partition("/")[2].startswith("exchange/")


def _agree(size: int, first: LogReader, second: LogReader) -> bool:
    return edge_at(size, reader=first).root() == edge_at(size, reader=second).root()


def _first_difference(size: int, first: LogReader, second: LogReader) -> int:
    """Return the first index at which two logs differ that do not agree at ``size``."""
    low, high = 0, size  # they agree at low, and do not at high
    while high - low > 1:
        middle = (low + high) // 2
        if _agree(middle, first, second):
            low = middle
        else:
            high = middle
    return low
