"""Two nations' exports side by side: what became of each message, and where they differ.

Each nation brings its own exchange log and its mirror of the other's, and its audit log if it
likes. The fullest copy of a log is verified with every check, its other copies by comparing them with
it, or with signatures, keys, tree and tiles: wherever two roots agree, all entries below agree and
need not be read twice; where they do not, halving finds the first entry that differs. What the logs
say of each other's sizes and roots is recomputed. Receipts and collections in one direction's log
then say what became of the messages of the other.

A message that was sent again, or anew in the next generation of the logs, is one message: the entry
that stands for it is counted, the others as sendings (`gateway.audit.again`).

Seven bytes of memory are kept for each entry, four for each acceptance and each collection of an audit
log, and a few numbers for each answer, so months of traffic fit.

Spec: docs/auditing.md, "Two nations side by side".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from gateway.audit.again import Sent, find_sendings
from gateway.audit.crosscheck import compare_claims, cosigner_periods
from gateway.audit.fates import MAX_NAMED, Copy, Direction, Fates, ReadLog
from gateway.audit.folder import LogFolder
from gateway.audit.log import AuditedLog
from gateway.audit.reader import LogReader
from gateway.audit.report import LogReport, Outcome, verdict
from gateway.audit.scan import Scan, Unread
from gateway.audit.trust import Trust
from gateway.audit.twins import verify_twin
from gateway.audit.verify import Progress, Verification, verify_log, verify_tree
from gateway.core.checkpoint import Checkpoint, is_origin, parse_checkpoint
from gateway.core.generation import first_of, number_of, origin_of
from gateway.core.merkle import edge_at
from gateway.core.message.wording import counted
from gateway.core.note import parse_note
from gateway.errors import GatewayError


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedLog:
    """A log with what to call it while nobody believes it."""

    title: str
    log: AuditedLog


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
            found = counted(len(self.differences), "difference", "differences")
            return f"NOT RECONCILED: {found}, first: {self.differences[0]}"
        messages = sum(direction.messages for direction in self.directions)
        entries = sum(direction.entries for direction in self.directions)
        found = f"{counted(messages, 'message', 'messages')} in {counted(entries, 'entry', 'entries')}"
        return f"RECONCILED: {found}, both nations tell the same"

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


@dataclass(slots=True)
class _Reconciling:
    """The work on one pair of exports."""

    trust: Trust
    progress: Callable[[str], Progress]
    reports: list[LogReport] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    open_ends: list[str] = field(default_factory=list)
    _read: dict[str, ReadLog] = field(default_factory=dict)
    _fullest: dict[str, Verification] = field(default_factory=dict)

    def run(self, first: Sequence[NamedLog], second: Sequence[NamedLog]) -> Reconciliation:
        claimed = [_claimed_origins(logs) for logs in (first, second)]
        reports = self._reports([*first, *second])
        sides = [self._verified(first, reports), self._verified(second, reports)]
        for check in compare_claims(list(self._fullest.values())):
            if check.outcome is Outcome.FAILED:
                self.differences.append(f"{check.name}: {check.detail}")
            elif check.outcome is Outcome.NOT_CHECKED:
                self.open_ends.append(f"{check.name}: {check.detail}")
        mirrored: dict[str, int] = {}
        for origin in sorted({*sides[0], *sides[1]}):
            held = [side[origin] for side in sides if origin in side]
            if not _is_exchange(origin):
                if len(held) > 1:  # an audit log is its own nation's; who else has one got it from there
                    self._compare(origin, held)
                continue
            mirrored[origin] = self._compare(origin, held)
            if not all(origin in side for side in claimed):
                self.differences.append(f"only one nation brings {origin}")
        directions = self._directions(mirrored)
        self._name_absent(directions, brought=claimed[0] | claimed[1])
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
        if report.is_as_signed and report.checkpoint is not None and isinstance(scan, Scan):
            copy = Copy(title=named.title, log=named.log, size=report.checkpoint.size)
            self._read[scan.origin] = ReadLog(copy=copy, scan=scan)
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

    def _verified(self, logs: Sequence[NamedLog], reports: Mapping[int, LogReport]) -> dict[str, Copy]:
        """Return the copies that a nation brings; one that is not verified is a difference."""
        found: dict[str, Copy] = {}
        for named in logs:
            report = reports[id(named)]
            self.reports.append(report)
            if not report.is_verified or report.checkpoint is None:
                self.differences.append(f"{named.title} is not verified: {report.reason}")
            if not report.is_as_signed or report.checkpoint is None:
                continue
            origin = report.checkpoint.origin
            if origin in found:
                self.differences.append(f"{named.title} is a second copy of {origin} from the same nation")
            found[origin] = Copy(title=named.title, log=named.log, size=report.checkpoint.size)
        return found

    def _name_absent(self, directions: Sequence[Direction], *, brought: AbstractSet[str]) -> None:
        """Name exchange logs that there have to be, and that neither nation brings."""
        for origin in sorted(self._read):
            for spoken in sorted(self._spoken_of(origin) - brought):
                self.differences.append(f"neither nation brings {spoken}, of which {origin} speaks")
        numbers = {(found.partition("/")[0], number_of(found)) for found in brought if _is_exchange(found)}
        for direction in directions:
            node, number = direction.origin.partition("/")[0], number_of(direction.origin)
            if direction.messages and not any(other != node and of == number for other, of in numbers):
                self.differences.append(f"neither nation brings a log that answers {direction.origin}")

    def _spoken_of(self, origin: str) -> set[str]:
        """Return the exchange logs of which a log says that they were signed."""
        contents = self._read[origin].scan
        said = {*contents.receipted, *contents.anchored}
        if contents.is_audit:
            # It anchors what its node appends, and that may not be signed yet.
            said = {other for other in said if other.partition("/")[0] != contents.node}
        return {other for other in said if _is_exchange(other) and is_origin(other)}

    def _compare(self, origin: str, copies: Sequence[Copy]) -> int:
        """Compare both nations' copies of one log; return how many entries both hold alike."""
        if len(copies) < 2:
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

    def _name_differing(self, origin: str, start: int, small: Copy, large: Copy) -> None:
        readers = (small.reader(), large.reader())
        count = 0
        for index in range(start + 1, small.size):
            if readers[0].entry(index) != readers[1].entry(index):
                count += 1
                if count < MAX_NAMED:
                    self.differences.append(f"{origin} entry {index}: the two copies differ")
        if count >= MAX_NAMED:
            self.differences.append(f"{origin}: {count - MAX_NAMED + 1} further entries differ")

    def _directions(self, mirrored: Mapping[str, int]) -> list[Direction]:
        """Return what became of the messages of each exchange log that was read."""
        fates: dict[str, Fates] = {}
        newest = max(map(number_of, mirrored), default=1)
        for origin in mirrored:
            if origin in self._read:
                said = {speaker: other.scan for speaker, other in self._read.items()}
                answers = {at: scan.answers[origin] for at, scan in said.items() if origin in scan.answers}
                is_closed = number_of(origin) < newest
                held_below = min((said[speaker].kept_below for speaker in answers), default=0)
                fates[origin] = Fates(self._read[origin], answers, is_closed=is_closed, held_below=held_below)
        _find_sendings(fates)
        directions = [fate.direction(mirrored[origin]) for origin, fate in fates.items()]
        for fate in fates.values():
            self.differences += fate.differences
            self.open_ends += fate.open_ends
        return directions


def _find_sendings(fates: Mapping[str, Fates]) -> None:
    """Find the entries of messages for which another one stands, over all generations of each log."""
    logs = [
        fates[origin] for origin in sorted(fates, key=lambda origin: (first_of(origin), number_of(origin)))
    ]
    sendings = find_sendings(
        [
            Sent(
                scan=item.read.scan,
                reader=item.read.copy.reader(),
                codes=item.codes,
                asked_again=item.asked_again,
                is_received=item.is_held,
            )
            for item in logs
        ]
    )
    found = zip(sendings.earlier, sendings.others, sendings.unfounded, sendings.taken_back, strict=True)
    # Where generations before these are not at hand, they may hold what a duplicate repeats.
    origins = {item.read.scan.origin for item in logs}
    is_whole = all(
        origin_of(first_of(origin), number) in origins
        for origin in origins
        for number in range(1, number_of(origin))
    )
    for item, (earlier, others, unfounded, taken_back) in zip(logs, found, strict=True):
        item.take_sendings(earlier, others, unfounded if is_whole else frozenset())
        item.name_taken_back(taken_back)


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


def _claimed_origins(logs: Sequence[NamedLog]) -> set[str]:
    found = (_claimed(named.log) for named in logs)
    return {checkpoint.origin for checkpoint in found if checkpoint is not None}


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
