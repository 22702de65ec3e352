"""Who may send a type to whom, on what basis, and what is owed in return.

The JSON Schema of a type says how a message looks; its terms say when such a message may
be sent at all. They stand beside the schema as ``<type>/<version>.terms.json`` and are
data, so that both nations sign the same words and a new type needs no code.

Spec: docs/spec/messages.md, "Terms of a type".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.core.message.wording import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyDeadline:
    """When the human answer is due if the agency names no ``reply_by``.

    Attributes:
        field: JSON Pointer of the code that sets the delay.
        minutes: Delay after ``created_at`` by that code.
        not_after: JSON Pointer of a time that caps it, or None.
        margin_minutes: How long before that time the answer is needed.
    """

    field: str
    minutes: Mapping[str, int]
    not_after: str | None
    margin_minutes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavesOpen:
    """With which of its codes an answer leaves what it answers open.

    Attributes:
        field: Field of the payload that holds the code.
        codes: Values with which the answer does not close; any other does.
    """

    field: str
    codes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackDue:
    """When feedback is due.

    Attributes:
        days: Days after ``created_at``.
        owed: False for what is asked for and not owed.
    """

    days: int
    owed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeTerms:
    """The terms of one message type.

    Attributes:
        pattern: Pattern of a conversation that this type opens.
        agencies: Agencies that may send it, and be addressed by it, by nation. A message
            goes from one of the sender's list to some of the other nation's list.
        reply_to: Type ids this type answers; empty for one that only opens.
        replies: Deadline in words by id of the type that may answer this one.
        awaits: The sender waits for an answer, so ``reply_by`` is required.
        reply_by: How a draft gets its ``reply_by``; None for a type that awaits nothing.
        purposes: Purposes allowed. ``*`` is any, ``=`` that of the message it answers.
        legal_bases: At least one of these is demanded; empty demands no special one.
        personal_data: Categories usually found in it; ``=`` is those of the message it is
            about. Information, not a limit.
        keep_days: Longest retention of personal data in days.
        evaluation: A grade of source and information is required.
        no_personal_data: Personal data is forbidden.
        flash: FLASH is allowed.
        threads: ``in_reply_to`` is allowed on it as a mere link.
        leaves_open: Of a type that answers: what does not close; None if every answer closes.
        feedback: When feedback is due; None if the terms name no time.
        daily_limit: Messages of it that an agency may send on one UTC day; None is no limit.
    """

    pattern: str
    agencies: Mapping[str, frozenset[str]]
    reply_to: frozenset[str]
    replies: Mapping[str, Wording]
    awaits: bool
    reply_by: ReplyDeadline | None
    purposes: frozenset[str]
    legal_bases: tuple[str, ...]
    personal_data: frozenset[str]
    keep_days: int
    evaluation: bool
    no_personal_data: bool
    flash: bool
    threads: bool
    leaves_open: LeavesOpen | None = None
    feedback: FeedbackDue | None = None
    daily_limit: int | None = None


def build_terms(document: Mapping[str, Any]) -> TypeTerms:
    """Return the terms that a terms file states.

    Args:
        document: The parsed file, already accepted by ``terms.schema.json``.
    """
    reply_by = document.get("reply_by")
    leaves_open = document.get("leaves_open")
    feedback = document.get("feedback")
    return TypeTerms(
        pattern=document["pattern"],
        agencies=MappingProxyType(
            {nation: frozenset(agencies) for nation, agencies in document["agencies"].items()}
        ),
        reply_to=frozenset(document["reply_to"]),
        replies=MappingProxyType(
            {reply["type"]: Wording(**reply["deadline"]) for reply in document["replies"]}
        ),
        awaits=document["awaits"],
        reply_by=None
        if reply_by is None
        else ReplyDeadline(
            field=reply_by["field"],
            minutes=MappingProxyType(dict(reply_by["minutes"])),
            not_after=reply_by.get("not_after"),
            margin_minutes=reply_by.get("margin_minutes", 0),
        ),
        purposes=frozenset(document["purposes"]),
        legal_bases=tuple(document["legal_bases"]),
        personal_data=frozenset(document["personal_data"]),
        keep_days=document["keep_days"],
        evaluation=document["evaluation"],
        no_personal_data=document["no_personal_data"],
        flash=document["flash"],
        threads=document["threads"],
        leaves_open=None
        if leaves_open is None
        else LeavesOpen(field=leaves_open["field"], codes=frozenset(leaves_open["codes"])),
        feedback=None if feedback is None else FeedbackDue(days=feedback["days"], owed=feedback["owed"]),
        daily_limit=document.get("daily_limit"),
    )
