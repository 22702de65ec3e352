"""Replies that were due: which came in time, which late, and which not at all.

When an answer is due stands in the content of a request, which no log holds. What logs do show
is the type of a request, its precedence, when it was made, and every message of the other
nation in the same conversation. The catalogue says how long an answer to such a request may
take if its sender names no other time. So these are the times of the agreement, not
those that an agency may have asked for; where the agreement's time depends on the content, the
longest counts.

A request that the receiver refused is owed nothing, nor is one whose conversation its own
sender cancelled.

Spec: docs/auditing.md, "A report for people".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.core.entries import ReceiptEntry
from gateway.core.envelope import Header
from gateway.core.message.registry import Catalogue

MAX_REQUESTS: Final = 100_000
"""Requests of a period that are followed, and messages that may answer them."""

_BY_PRECEDENCE: Final = "/header/precedence"
_CANCEL: Final = "assist.cancel/1"
_ACKNOWLEDGEMENT: Final = "assist.ack/1"
"""Says that somebody takes care of a request; the answer itself is still owed."""


class Fate(StrEnum):
    """What became of a reply that was due."""

    IN_TIME = "in-time"
    LATE = "late"
    ABSENT = "absent"
    NOT_DUE = "not-due"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTerms:
    """What is owed to a request of one type.

    Attributes:
        digest: SHA-384 of schema and rules of the type; a request under other ones may have other terms.
        minutes: Time for the answer by name of a precedence, or the longest for every other name.
        longest: The longest of all.
        answers: Types that answer it.
    """

    digest: bytes
    minutes: Mapping[str, int]
    longest: int
    answers: frozenset[str]


def reply_terms(catalogue: Catalogue) -> dict[str, ReplyTerms]:
    """Return what the catalogue says of each type whose sender awaits an answer."""
    answers: dict[str, set[str]] = {}
    for item in catalogue.types.values():
        for asked in item.terms.reply_to:
            answers.setdefault(asked, set()).add(item.id)
    found: dict[str, ReplyTerms] = {}
    for item in catalogue.types.values():
        deadline = item.terms.reply_by
        if not item.terms.awaits or deadline is None:
            continue
        found[item.id] = ReplyTerms(
            digest=item.digest,
            minutes=deadline.minutes if deadline.field == _BY_PRECEDENCE else {},
            longest=max(deadline.minutes.values()),
            answers=frozenset(answers.get(item.id, set()) - {_ACKNOWLEDGEMENT}),
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One request and what became of its reply.

    Attributes:
        origin: Log of the request.
        index: Its place there.
        type: Its type.
        agency: Who asked.
        due_ms: When the agreement wants the answer, UTC milliseconds; None if its terms are unknown.
        answered_ms: When the first answer was made, or None.
        fate: What became of it.
    """

    origin: str
    index: int
    type: str
    agency: str
    due_ms: int | None
    answered_ms: int | None
    fate: Fate


@dataclass(frozen=True, slots=True)
class _Request:
    origin: str
    index: int
    header: Header


@dataclass(slots=True, kw_only=True)
class Replies:
    """Follows requests of a period and what the other nation said in their conversations.

    Attributes:
        terms: What is owed, by type.
        unfollowed: Requests and answers that were too many to follow.
    """

    terms: Mapping[str, ReplyTerms]
    unfollowed: int = 0
    _requests: list[_Request] = field(default_factory=list)
    _said: dict[bytes, list[tuple[str, str, int]]] = field(default_factory=dict)
    _said_count: int = 0
    _refused: set[tuple[str, int]] = field(default_factory=set)
    _signed: dict[str, int] = field(default_factory=dict)
    _types: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Find out which types answer anything."""
        self._types = frozenset(answer for item in self.terms.values() for answer in item.answers) | {_CANCEL}

    def message(self, origin: str, index: int, header: Header, *, in_period: bool) -> None:
        """Keep a message that awaits an answer or may be one."""
        if header.type in self.terms and in_period:
            if len(self._requests) == MAX_REQUESTS:
                self.unfollowed += 1
            else:
                self._requests.append(_Request(origin, index, header))
        if header.type in self._types:
            if self._said_count == MAX_REQUESTS:
                self.unfollowed += 1
                return
            self._said_count += 1
            said = self._said.setdefault(header.conversation_id, [])
            said.append((header.from_node, header.type, header.created_ms))

    def receipt(self, entry: ReceiptEntry) -> None:
        """Keep what was refused: it is owed no answer."""
        self._refused.update((entry.origin, item.index) for item in entry.exceptions)

    def signed(self, origin: str, signed_s: int | None) -> None:
        """Keep up to when a log was seen, seconds: what is not in it until then was not said."""
        if signed_s is not None:
            self._signed[origin] = max(signed_s, self._signed.get(origin, 0))

    def conclude(self) -> list[Due]:
        """Return what became of every request that was received, in order of time."""
        return sorted(self._fates(), key=lambda due: (due.due_ms or 0, due.origin, due.index))

    def counts(self) -> Counter[Fate]:
        """Return how many requests have which fate."""
        return Counter(due.fate for due in self._fates())

    def _fates(self) -> Iterator[Due]:
        seen: set[bytes] = set()
        for request in self._requests:
            header = request.header
            # One that was sent again has two entries, and the refused one counts for nothing.
            if (request.origin, request.index) in self._refused or header.message_id in seen:
                continue
            seen.add(header.message_id)
            terms = self.terms[header.type]
            said = self._said.get(header.conversation_id, [])
            minutes = terms.minutes.get(header.precedence.name, terms.longest)
            due_ms = header.created_ms + minutes * 60_000
            answered_ms = min(
                (
                    at_ms
                    for node, kind, at_ms in said
                    if node != header.from_node and kind in terms.answers and at_ms >= header.created_ms
                ),
                default=None,
            )
            cancelled = any(node == header.from_node and kind == _CANCEL for node, kind, _ in said)
            if terms.digest != header.type_digest:
                fate = Fate.UNKNOWN
            elif answered_ms is not None:
                fate = Fate.IN_TIME if answered_ms <= due_ms else Fate.LATE
            elif cancelled:
                fate = Fate.CANCELLED
            else:
                fate = self._unanswered(header, due_ms)
            yield Due(
                origin=request.origin,
                index=request.index,
                type=header.type,
                agency=header.from_agency,
                due_ms=None if fate is Fate.UNKNOWN else due_ms,
                answered_ms=answered_ms,
                fate=fate,
            )

    def _unanswered(self, header: Header, due_ms: int) -> Fate:
        """Return whether an answer is missing, not due yet, or may stand in a log that is not at hand."""
        seen_s = max(
            (
                at_s
                for origin, at_s in self._signed.items()
                if origin.startswith(f"{header.to_node}/exchange/")
            ),
            default=None,
        )
        if seen_s is None:
            return Fate.UNKNOWN
        return Fate.ABSENT if due_ms < seen_s * 1_000 else Fate.NOT_DUE
