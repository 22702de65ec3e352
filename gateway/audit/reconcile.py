"""Two nations' exports side by side: what became of each message, and where they differ.

Each nation brings its own exchange log and its mirror of the other's, and its audit log if it
likes. The fullest copy of a log is verified with every check, its other copies by comparing them with
it, or with signatures, keys, tree and tiles: wherever two roots agree, all entries below agree and
need not be read twice; where they do not, halving finds the first entry that differs. What the logs
say of each other's sizes and roots is recomputed. Receipts and collections in one direction's log
then say what became of the messages of the other.

Three bytes of memory are kept for each entry, and a few numbers for each answer, so months of
traffic fit.

Spec: docs/auditing.md, "Two nations side by side".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from gateway.audit.contents import Answers
from gateway.audit.crosscheck import compare_claims, cosigner_periods
from gateway.audit.folder import LogFolder
from gateway.audit.log import AuditedLog
from gateway.audit.reader import LogReader
from gateway.audit.report import LogReport, Outcome, verdict
from gateway.audit.scan import Scan, Unread
from gateway.audit.trust import Trust
from gateway.audit.twins import verify_twin
from gateway.audit.verify import Progress, Verification, verify_log, verify_tree
from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.entries import Kind, MessageEntry, decode_entry
from gateway.core.envelope import decode_header
from gateway.core.merkle import edge_at
from gateway.core.note import parse_note
from gateway.core.receipt import exception_label
from gateway.errors import GatewayError, MalformedError

MAX_NAMED: Final = 20
"""Differences of one sort that are named one by one; the rest is counted."""

_MESSAGE: Final = int(Kind.MESSAGE)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """A verified copy of a log; the fullest one was read."""

    title: str
    log: AuditedLog
    size: int

    def reader(self) -> LogReader:
        return LogReader(self.log, self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The fullest copy of a log, and what its entries say."""

    copy: _Copy
    scan: Scan


class _Named:
    """Entries of one log that do not fit: the first few named, the rest counted."""

    def __init__(self, origin: str, copy: _Copy) -> None:
        self._origin = origin
        self._copy = copy
        self._lines: list[str] = []
        self._more = 0

    def add(self, index: int, what: str) -> None:
        if len(self._lines) == MAX_NAMED:
            self._more += 1
            return
        self._lines.append(f"{self._origin} entry {index}: {what}{self._message(index)}")

    def lines(self) -> list[str]:
        more = f"{self._origin}: {self._more} further entries of this sort"
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
    _read: dict[str, _Read] = field(default_factory=dict)
    _fullest: dict[str, Verification] = field(default_factory=dict)

    def run(self, first: Sequence[NamedLog], second: Sequence[NamedLog]) -> Reconciliation:
        reports = self._reports([*first, *second])
        sides = [self._verified(first, reports), self._verified(second, reports)]
        for check in compare_claims(list(self._fullest.values())):
            if check.outcome is Outcome.FAILED:
                self.differences.append(f"{check.name}: {check.detail}")
        directions = []
        for origin in sorted({*sides[0], *sides[1]}):
            held = [side[origin] for side in sides if origin in side]
            if not _is_exchange(origin):
                if len(held) > 1:  # an audit log is its own nation's; who else has one got it from there
                    self._compare(origin, held)
                continue
            mirrored = self._compare(origin, held)
            if origin in self._read:
                directions.append(self._direction(self._read[origin], mirrored))
        if not directions and not self.differences:
            self.differences.append("neither export holds an exchange log")
        return Reconciliation(
            logs=tuple(self.reports),
            directions=tuple(directions),
            differences=tuple(self.differences),
            open_ends=tuple(self.open_ends),
        )

    def _reports(self, logs: Sequence[NamedLog]) -> dict[int, LogReport]:
        """Verify all logs, the fullest copy of each first; return the reports by identity of the log."""
        fullest = _fullest(logs)
        found = {id(named): self._read_fully(named) for named in fullest}
        for named in logs:
            if id(named) not in found:
                found[id(named)] = self._verify_copy(named)
        periods = cosigner_periods(list(self._fullest.values()), self.trust)
        return {key: periods.judged(report) for key, report in found.items()}

    def _read_fully(self, named: NamedLog) -> LogReport:
        """Verify with every check a copy that answers for all of its log."""
        verification = verify_log(
            named.log, title=named.title, trust=self.trust, reader=Scan, progress=self.progress(named.title)
        )
        report, scan = verification.report, verification.contents
        if report.is_verified and report.checkpoint is not None and isinstance(scan, Scan):
            copy = _Copy(title=named.title, log=named.log, size=report.checkpoint.size)
            self._read[scan.origin] = _Read(copy=copy, scan=scan)
            self._fullest[scan.origin] = verification
        return report

    def _verify_copy(self, named: NamedLog) -> LogReport:
        """Verify another copy; what it holds that the fullest one does not is a fork, found by its root."""
        progress = self.progress(named.title)
        claimed = _claimed(named.log)
        verified = self._fullest.get(claimed.origin) if claimed is not None else None
        if verified is not None and isinstance(named.log, LogFolder):
            report = verify_twin(named.log, trust=self.trust, verified=verified, progress=progress)
            if report is not None:
                return report
        return verify_tree(
            named.log, title=named.title, trust=self.trust, reader=Unread, progress=progress
        ).report

    def _verified(self, logs: Sequence[NamedLog], reports: Mapping[int, LogReport]) -> dict[str, _Copy]:
        """Return the copies that a nation brings; one that is not verified is a difference."""
        found: dict[str, _Copy] = {}
        for named in logs:
            report = reports[id(named)]
            self.reports.append(report)
            if not report.is_verified or report.checkpoint is None:
                self.differences.append(f"{named.title} is not verified: {report.reason}")
                continue
            origin = report.checkpoint.origin
            if origin in found:
                self.differences.append(f"{named.title} is a second copy of {origin} from the same nation")
            found[origin] = _Copy(title=named.title, log=named.log, size=report.checkpoint.size)
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

    def _direction(self, read: _Read, mirrored: int) -> Direction:
        origin, size = read.scan.origin, read.copy.size
        states = bytearray(size)
        refused: Counter[str] = Counter()
        for speaker, other in self._read.items():
            if origin in other.scan.answers:
                self._apply(read, speaker, other.scan.answers[origin], states, refused)
        counted = Counter(zip(read.scan.entry_kinds, states, strict=True))
        messages = {state: counted[_MESSAGE, state] for state in range(4)}
        unanswered = messages[_NOTHING]
        if unanswered:
            self._name_unanswered(read, states)
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

    def _apply(
        self, read: _Read, speaker: str, answers: Answers, states: bytearray, refused: Counter[str]
    ) -> None:
        """Write what another log says of the messages of this one into their states."""
        origin, size, kinds = read.scan.origin, read.copy.size, read.scan.entry_kinds
        beyond = 0
        for first, last in zip(answers.ranges[::2], answers.ranges[1::2], strict=True):
            end = min(last, size)
            beyond += last > size
            if first < end:
                states[first:end] = bytes((_RECEIVED,)) * (end - first)
        wrong = _Named(origin, read.copy)
        for index, code in zip(answers.excepted, answers.codes, strict=True):
            if index >= size:
                continue
            if kinds[index] != _MESSAGE:
                wrong.add(index, f"{speaker} refuses it, but it is no message")
            states[index] = _REFUSED
            refused[exception_label(code)] += 1
        beyond += self._collect(read, answers, states, wrong)
        self.differences += wrong.lines()
        if beyond:
            self.open_ends.append(f"{speaker}: {beyond} answers are about entries of {origin} beyond {size}")

    def _collect(self, read: _Read, answers: Answers, states: bytearray, wrong: _Named) -> int:
        """Write collections into the states of messages; return how many lie beyond the copy."""
        size, kinds = read.copy.size, read.scan.entry_kinds
        addressees, reader = read.scan.addressees(), read.copy.reader()
        agencies = list(answers.agencies)
        beyond = 0
        for index, collector in zip(answers.collected, answers.collectors, strict=True):
            if index >= size:
                beyond += 1
            elif kinds[index] != _MESSAGE:
                wrong.add(index, "collected, but it is no message")
            elif states[index] == _REFUSED:
                wrong.add(index, "collected although it was refused")
            elif states[index] == _NOTHING:
                wrong.add(index, "collected without a receipt")
            elif not addressees.include(agencies[collector], index, reader):
                wrong.add(index, "collected by an agency that it is not addressed to")
            else:
                states[index] = _COLLECTED
        return beyond

    def _name_unanswered(self, read: _Read, states: bytearray) -> None:
        """Messages before the last answered one should have an answer; those behind wait for it."""
        origin, kinds = read.scan.origin, read.scan.entry_kinds
        last = max(states.rfind(bytes((state,))) for state in (_RECEIVED, _REFUSED, _COLLECTED))
        skipped, waiting = _Named(origin, read.copy), 0
        for index, (kind, state) in enumerate(zip(kinds, states, strict=True)):
            if kind == _MESSAGE and state == _NOTHING:
                if index < last:
                    skipped.add(index, "no receipt, though later ones exist")
                else:
                    waiting += 1
        self.differences += skipped.lines()
        if waiting:
            self.open_ends.append(f"{origin}: {waiting} messages at its end wait for their receipts")


def _fullest(logs: Sequence[NamedLog]) -> list[NamedLog]:
    """Return the copy of each log that claims the most entries; nothing is believed yet.

    A copy that claims more than it can prove is not verified, which is a difference by itself.
    """
    found: dict[str, tuple[int, NamedLog]] = {}
    for named in logs:
        checkpoint = _claimed(named.log)
        if checkpoint is None:
            continue
        size, _ = found.get(checkpoint.origin, (-1, named))
        if checkpoint.size > size:
            found[checkpoint.origin] = (checkpoint.size, named)
    return [named for _, named in found.values()]


def _claimed(log: AuditedLog) -> Checkpoint | None:
    try:
        return parse_checkpoint(parse_note(log.note()).text)
    except GatewayError:
        return None


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
