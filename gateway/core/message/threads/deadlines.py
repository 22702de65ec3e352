"""Every time in a conversation that somebody has to keep.

Deadlines of answers follow from the states of requests. The others stand in messages:
when a handler promised an answer, when the next part comes, when feedback is due, when
content goes, when a room ends. A deadline that was met, or that binds nobody any more, is
not listed.

Spec: docs/spec/rules.md, "Deadlines".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gateway.core.message.effect import Effect
from gateway.core.message.instants import DAY_MS, day_of_date
from gateway.core.message.terms import FeedbackDue
from gateway.core.message.threads.progress import Progress
from gateway.core.message.threads.rooms import Room
from gateway.core.message.threads.use_changes import terms_in_force
from gateway.core.message.threads.view import AppliedEffect, ThreadView


class DeadlineKind(StrEnum):
    """What is due."""

    REPLY_BY = "reply_by"
    EXPECTED_BY = "expected_by"
    NEXT_PART_BY = "next_part_by"
    MORE_BY = "more_by"
    POSTPONED_UNTIL = "postponed_until"
    FOLLOW_UP_BY = "follow_up_by"
    CERTIFICATE_BY = "certificate_by"
    FEEDBACK_BY = "feedback_by"
    DELETE_BY = "delete_by"
    ROOM_ENDS_AT = "room_ends_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """A time that somebody has to keep.

    Attributes:
        kind: What is due.
        at_ms: When, milliseconds since 1970.
        message_id: The message that it concerns, 16 bytes.
        agencies: Who has to keep it; empty if both nodes do it by themselves.
        owed: False for what is asked for and not owed.
        overdue: Whether it is over.
    """

    kind: DeadlineKind
    at_ms: int
    message_id: bytes
    agencies: tuple[str, ...]
    owed: bool
    overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A message of a conversation, as its deadlines need it.

    Attributes:
        message_id: 16 bytes.
        type: Type id, with the version.
        from_agency: Its sender.
        to_agencies: Its addressees.
        created_ms: When it was created.
        progress: Where it stands, if an answer to it is expected or came; else None.
        feedback: When the terms of its type want feedback, or None.
    """

    message_id: bytes
    type: str
    from_agency: str
    to_agencies: tuple[str, ...]
    created_ms: int
    progress: Progress | None
    feedback: FeedbackDue | None = None


CERTIFICATE_DAYS: Final = 7
"""Days in which a request that was cancelled with its data is certified as deleted."""

FEEDBACK_DAYS: Final[Mapping[str, tuple[int, bool]]] = MappingProxyType(
    {
        "intel.spontaneous/1": (30, False),
        "assist.reply/1": (30, True),
        "target.disposition/1": (30, True),
        "target.risk_rule/1": (90, True),
        "fin.cash_movement/1": (30, True),
        "fin.flow_report/1": (30, True),
        "ecom.seller_alert/1": (30, True),
        "practice.share/1": (90, True),
        "gov.correction/1": (7, True),
    }
)
"""Days until feedback, and whether it is owed or only asked for, by type: what terms say in words alone."""

_JUDGED: Final = frozenset({Effect.GIVES_FEEDBACK, Effect.RETRACTS, Effect.RETRACTS_AND_DELETES})
"""Effects after which no feedback about a message is due."""

_PROMISED: Final[Mapping[str, DeadlineKind]] = MappingProxyType(
    {
        "assist.ack/1": DeadlineKind.EXPECTED_BY,
        "assist.reply/1": DeadlineKind.NEXT_PART_BY,
        "alert.response/1": DeadlineKind.MORE_BY,
        "assist.refusal/1": DeadlineKind.POSTPONED_UNTIL,
    }
)
"""What the time that goes with an answer is, by the type of the answer."""


def deadlines(
    subjects: Sequence[Subject],
    room: Room | None,
    threads: ThreadView,
    *,
    erasures_of: Collection[bytes],
    now_ms: int,
) -> tuple[Deadline, ...]:
    """Return the deadlines of a conversation, the earliest first.

    Args:
        subjects: Its messages.
        room: The operation room that it is, or None.
        threads: What this node has sent and accepted.
        erasures_of: Ids of the messages for which it is told when their content goes: for each one of them
            its content is opened.
        now_ms: The clock, milliseconds since 1970.
    """
    types = {subject.type for subject in subjects}
    found: list[Deadline] = []
    for subject in subjects:
        effects = threads.effects(subject.message_id)
        found += _of_answers(subject, effects, now_ms)
        found += _of_follow_up(subject, types, now_ms)
        found += _of_certificate(effects, threads, now_ms)
        found += _of_feedback(subject, effects, now_ms)
        if subject.message_id in erasures_of:
            found += _of_deletion(subject, threads, now_ms)
    if room is not None and room.ended_by is None:
        members = tuple(member.agency for member in room.members)
        found.append(_deadline(DeadlineKind.ROOM_ENDS_AT, room.ends_ms, room.opened_by, members, now_ms))
    return tuple(sorted(found, key=lambda item: (item.at_ms, item.kind, item.message_id)))


def _of_answers(subject: Subject, effects: Sequence[AppliedEffect], now_ms: int) -> list[Deadline]:
    """Return when the answer is due, and what the one who was asked has promised last."""
    progress = subject.progress
    if progress is None or progress.is_closed:
        return []
    found: list[Deadline] = []
    if progress.due_ms is not None:
        found.append(
            _deadline(DeadlineKind.REPLY_BY, progress.due_ms, subject.message_id, subject.to_agencies, now_ms)
        )
    promises = [applied for applied in effects if applied.type in _PROMISED]
    if promises and promises[-1].at_ms is not None:
        last = promises[-1]
        found.append(
            _deadline(_PROMISED[last.type], promises[-1].at_ms, last.message_id, (last.from_agency,), now_ms)
        )
    return found


def _of_follow_up(subject: Subject, types: set[str], now_ms: int) -> list[Deadline]:
    """Return until when a hit may be followed up; afterwards both sides forget it."""
    last = None if subject.progress is None else subject.progress.last
    if last is None or last.type != "match.result/1" or last.at_ms is None or last.at_ms < now_ms:
        return []
    if "assist.request/1" in types:
        return []
    return [_deadline(DeadlineKind.FOLLOW_UP_BY, last.at_ms, last.message_id, (subject.from_agency,), now_ms)]


def _of_certificate(effects: Sequence[AppliedEffect], threads: ThreadView, now_ms: int) -> list[Deadline]:
    """Return when the data of a request is certified as deleted that was cancelled with it."""
    if any(applied.effect is Effect.CERTIFIES_DELETION for applied in effects):
        return []
    return [
        _deadline(
            DeadlineKind.CERTIFICATE_BY,
            applied.created_ms + CERTIFICATE_DAYS * DAY_MS,
            applied.message_id,
            applied.to_agencies,
            now_ms,
        )
        for applied in effects
        if applied.effect is Effect.CANCELS_AND_DELETES
        and not any(answer.effect is Effect.ANSWERS for answer in threads.effects(applied.message_id))
    ]


def _of_feedback(subject: Subject, effects: Sequence[AppliedEffect], now_ms: int) -> list[Deadline]:
    """Return when feedback is due; what was only asked for is forgotten when its time is over.

    Nobody owes any about what was retracted.
    """
    terms = subject.feedback
    days, owed = FEEDBACK_DAYS.get(subject.type, (0, False)) if terms is None else (terms.days, terms.owed)
    if days == 0 or any(applied.effect in _JUDGED for applied in effects):
        return []
    at_ms = subject.created_ms + days * DAY_MS
    if not owed and at_ms < now_ms:
        return []
    kind = DeadlineKind.FEEDBACK_BY
    return [_deadline(kind, at_ms, subject.message_id, subject.to_agencies, now_ms, owed=owed)]


def _of_deletion(subject: Subject, threads: ThreadView, now_ms: int) -> list[Deadline]:
    """Return when the content goes: at the end of the day that its terms name."""
    terms = terms_in_force(subject.message_id, threads, now_ms=now_ms)
    if terms is None or terms.delete_by is None:
        return []
    at_ms = (day_of_date(terms.delete_by) + 1) * DAY_MS
    return [_deadline(DeadlineKind.DELETE_BY, at_ms, subject.message_id, (), now_ms)]


def _deadline(
    kind: DeadlineKind,
    at_ms: int,
    message_id: bytes,
    agencies: tuple[str, ...],
    now_ms: int,
    *,
    owed: bool = True,
) -> Deadline:
    return Deadline(
        kind=kind,
        at_ms=at_ms,
        message_id=message_id,
        agencies=agencies,
        owed=owed,
        overdue=at_ms < now_ms,
    )
