"""What happened in a period, counted from logs: the figures of the report for people.

Everything is counted from entries, and each log is verified in the same pass, so the figures
are worth what the logs are worth. A message counts in the period in which it was created.

Spec: docs/auditing.md, "A report for people".
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from gateway.audit.log import AuditedLog
from gateway.audit.overdue import Replies, ReplyTerms
from gateway.audit.report import LogReport
from gateway.audit.statement import read_statement
from gateway.audit.trust import Trust
from gateway.audit.verify import Progress, verify_tree
from gateway.core.entries import (
    CollectedEntry,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    KeyStatementEntry,
    MessageEntry,
    ReceiptEntry,
    Role,
    decode_entry,
)
from gateway.core.envelope import decode_header
from gateway.core.message.rule import rule_by_number
from gateway.core.receipt import exception_label
from gateway.errors import MalformedError

MAX_LISTED: Final = 200
"""Operator actions, incidents and key changes that are listed one by one."""

_MAX_KEYS: Final = 2_000
"""Different types, agencies or days that are counted; beyond that something is wrong with the log."""


_KEY_EVENTS: Final = frozenset(
    {
        "kem.announced",
        "kem.destroyed",
        "keys.changed",
        "registry.changed",
        "trust.changed",
        "ceremony.held",
        "peer.imported",
    }
)
_INCIDENT_EVENTS: Final = frozenset({"clock.alarm", "log.damaged", "peer.rolled_back", "mirror.rolled_back"})
_CHANGES: Final = frozenset({"node", "config", "agreement", "backup", "log", "audit", "pair"})
"""First words of the events that tell what changed at the node itself."""

_ROLES: Final = {int(role): role.name.lower() for role in Role}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From when, and before when; UTC milliseconds."""

    from_ms: int
    until_ms: int

    def __contains__(self, at_ms: object) -> bool:
        """Return whether a time lies in it."""
        return isinstance(at_ms, int) and self.from_ms <= at_ms < self.until_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One thing that the report lists with its place.

    Attributes:
        at_ms: When, or None if the entry states no time.
        origin: Log.
        index: Position in it.
        what: Name of the event, incident or key, and codes.
    """

    at_ms: int | None
    origin: str
    index: int
    what: str


@dataclass(slots=True, kw_only=True)
class Figures:
    """What happened in a period.

    Attributes:
        period: Which.
        messages: Messages by log, type, agency, precedence, and day.
        received: Messages that the other nation received, by log.
        refused: Messages refused by the other nation, by code and rule.
        refused_at_home: Posts refused by the own node, by code and rule.
        collected: Collections by agency.
        waits_ms: Milliseconds from creation to the receiver's decision.
        operators: What operators did.
        incidents: Incidents, damage and clock alarms.
        keys: Key statements, KEM keys and what else changed whom a node trusts.
        changes: What changed at the node itself: starts, settings, catalogue, backups, recovery.
        logins: Certificates that were let in, by role.
        denied: Who was turned away, by cause.
        disclosed: Files of evidence that were handed out with their content key.
        erased: Messages whose content was erased.
        unlisted: Things that were counted but not listed.
        replies: What became of replies that were due.
        logs: What was verified.
    """

    period: Period
    by_log: Counter[str] = field(default_factory=Counter)
    by_type: Counter[str] = field(default_factory=Counter)
    by_agency: Counter[str] = field(default_factory=Counter)
    by_precedence: Counter[str] = field(default_factory=Counter)
    by_day: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_at_home: Counter[str] = field(default_factory=Counter)
    collected: Counter[str] = field(default_factory=Counter)
    waits_ms: array[int] = field(default_factory=lambda: array("q"))
    operators: list[Listed] = field(default_factory=list)
    incidents: list[Listed] = field(default_factory=list)
    keys: list[Listed] = field(default_factory=list)
    changes: list[Listed] = field(default_factory=list)
    logins: Counter[str] = field(default_factory=Counter)
    denied: Counter[str] = field(default_factory=Counter)
    disclosed: int = 0
    erased: int = 0
    unlisted: int = 0
    replies: Replies = field(default_factory=lambda: Replies(terms={}))
    logs: list[LogReport] = field(default_factory=list)

    def wait_ms(self, share: float) -> int | None:
        """Return the wait that this share of the messages did not exceed, or None without any."""
        if not self.waits_ms:
            return None
        ordered = sorted(self.waits_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def count_logs(
    logs: Sequence[tuple[str, AuditedLog]],
    period: Period,
    *,
    trust: Trust,
    progress: Callable[[str], Progress],
    terms: Mapping[str, ReplyTerms] | None = None,
) -> Figures:
    """Verify logs and count what they say about a period.

    Args:
        logs: What to call each, and the log. A log that is there twice is counted once.
        period: Which period.
        trust: Keys that the auditor trusts.
        progress: Gives, for the title of a log, what is told how far the work is.
        terms: What the catalogue says of replies; without it none is known to be due.
    """
    figures = Figures(period=period, replies=Replies(terms=terms or {}))
    created: dict[str, array[int]] = {}
    answers: list[ReceiptEntry] = []
    seen: set[str] = set()
    for title, log in logs:

        def reader(origin: str) -> _Counting:
            # A mirror says what the log says: counting both would count everything twice.
            return _Counting(origin, figures, created, answers, counts=origin not in seen)

        found = verify_tree(log, title=title, trust=trust, reader=reader, progress=progress(title))
        figures.logs.append(found.report)
        figures.replies.signed(found.report.title, found.report.signed_s)
        seen.add(found.report.title)
    for receipt in answers:
        _answered(receipt, figures, created.get(receipt.origin, array("q")))
    return figures


def _answered(receipt: ReceiptEntry, figures: Figures, created: array[int]) -> None:
    """Count what a receipt says of the messages of the period."""
    exceptions = {item.index: item for item in receipt.exceptions}
    for index in range(receipt.start, min(receipt.start + receipt.count, len(created))):
        at_ms = created[index]
        if at_ms not in figures.period:
            continue
        figures.waits_ms.append(max(0, receipt.decided_ms - at_ms))
        refused = exceptions.get(index)
        if refused is None:
            figures.received[receipt.origin] += 1
        else:
            rule = "" if refused.rule is None else f" {_rule(refused.rule)}"
            _add(figures.refused, f"{exception_label(refused.code)}{rule}")


class _Counting:
    """Reads the entries of one log into the figures."""

    def __init__(
        self,
        origin: str,
        figures: Figures,
        created: dict[str, array[int]],
        answers: list[ReceiptEntry],
        *,
        counts: bool,
    ) -> None:
        self._origin = origin
        self._figures = figures
        self._created = created.setdefault(origin, array("q")) if counts else array("q")
        self._answers = answers
        self._counts = counts
        self._size = 0

    def read(self, entries: Sequence[bytes]) -> None:
        if self._counts:
            for index, data in enumerate(entries, self._size):
                # Of what is no message the time is one that lies in no period.
                at_ms = -1
                try:
                    entry = decode_entry(data)
                    if isinstance(entry, MessageEntry):
                        at_ms = self._message(index, entry)
                    else:
                        self._other(index, entry)
                except MalformedError:
                    self._figures.unlisted += 1
                self._created.append(at_ms)
        self._size += len(entries)

    def _message(self, index: int, entry: MessageEntry) -> int:
        header = decode_header(entry.header)
        figures = self._figures
        in_period = header.created_ms in figures.period
        figures.replies.message(self._origin, index, header, in_period=in_period)
        if in_period:
            figures.by_log[self._origin] += 1
            _add(figures.by_type, header.type)
            _add(figures.by_agency, header.from_agency)
            figures.by_precedence[header.precedence.name] += 1
            _add(figures.by_day, f"{datetime.fromtimestamp(header.created_ms // 1_000, tz=UTC):%Y-%m-%d}")
        return header.created_ms

    def _other(self, index: int, entry: Entry) -> None:
        figures, period = self._figures, self._figures.period
        match entry:
            case ReceiptEntry():
                self._answers.append(entry)
                figures.replies.receipt(entry)
            case CollectedEntry():
                for item in entry.collections:
                    if item.at_ms in period:
                        _add(figures.collected, item.agency)
            case KemKeyEntry():
                if entry.not_before_ms in period:
                    self._list(figures.keys, entry.not_before_ms, index, f"KEM {entry.key_id.hex()}")
            case KeyStatementEntry():
                statement = read_statement(entry.statement)
                self._list(figures.keys, None, index, f"{statement.node} v{statement.version}")
            case IncidentEntry():
                known = {int(kind): kind.name.lower().replace("_", "-") for kind in IncidentKind}
                name = known.get(entry.incident, f"incident {entry.incident}")
                self._list(figures.incidents, None, index, f"{name} {entry.origin} {entry.size}")
            case EventEntry():
                if entry.at_ms in period:
                    self._event(index, entry)
            case _:
                pass

    def _event(self, index: int, entry: EventEntry) -> None:
        figures = self._figures
        if entry.event == "message.refused":
            rules = [_rule(number) for number in entry.details if isinstance(number, int)] or [""]
            for rule in rules:
                _add(figures.refused_at_home, f"{entry.outcome} {rule}".strip())
        elif entry.event == "message.erased":
            figures.erased += max(1, len(entry.objects))
        elif entry.event == "evidence.disclosed":
            figures.disclosed += 1
        elif entry.event == "access.granted":
            _add(figures.logins, _ROLES.get(entry.role, str(entry.role)))
        elif entry.event == "access.denied":
            _add(figures.denied, entry.outcome, _denied(entry))
        elif (where := self._where(entry.event)) is not None:
            ids = " ".join(item.hex() for item in entry.details if isinstance(item, bytes) and len(item) == 8)
            outcome = "" if entry.outcome == "ok" else entry.outcome
            self._list(where, entry.at_ms, index, " ".join(filter(None, (entry.event, outcome, ids))))
        if entry.role == Role.OPERATOR:
            actor = entry.actor.hex()[:16]
            self._list(figures.operators, entry.at_ms, index, f"{entry.event} {entry.outcome} {actor}")

    def _where(self, event: str) -> list[Listed] | None:
        """Return the list that an event of the node itself belongs into, or None."""
        figures = self._figures
        if event in _KEY_EVENTS:
            return figures.keys
        if event in _INCIDENT_EVENTS:
            return figures.incidents
        return figures.changes if event.partition(".")[0] in _CHANGES else None

    def _list(self, where: list[Listed], at_ms: int | None, index: int, what: str) -> None:
        if len(where) == MAX_LISTED:
            self._figures.unlisted += 1
            return
        where.append(Listed(at_ms=at_ms, origin=self._origin, index=index, what=what))


def _rule(number: int) -> str:
    """Return the id of a rule; one that this version does not know gets its number."""
    return rule_by_number(number) or str(number)


def _denied(entry: EventEntry) -> int:
    """Return how many refusals an event counts: its second detail."""
    count = entry.details[1] if len(entry.details) > 1 else 1
    return count if isinstance(count, int) else 1


def _add(counter: Counter[str], name: str, count: int = 1) -> None:
    if name in counter or len(counter) < _MAX_KEYS:
        counter[name] += count
    else:
        counter["…"] += count
