"""The states of a request, as data, and until when its answer is due.

One table says what each effect makes of each state; nothing else decides about states. A
request that waits for its own nation has no deadline: the clock stands, and what it stood
is added. OVERDUE is never stored and no message says it: it follows from the deadline.

::

    OPEN ─► ACKNOWLEDGED ─► PARTLY_ANSWERED ─► ANSWERED
     │           │ ▲               │
     │           ▼ │               ├─► REFUSED     by the one who was asked
     │      WAITING_INFO           └─► CANCELLED   by the one who asked
     └─► POSTPONED ─► …

Both nodes hold the same messages and count by the times in them, so both see the same.

Spec: docs/spec/rules.md, "States of a request".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from gateway.core.message.effect import Effect
from gateway.core.message.registry import Catalogue
from gateway.core.message.threads.view import AppliedEffect


class RequestState(StrEnum):
    """Where a request stands."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    WAITING_INFO = "WAITING_INFO"
    """The one who was asked needs something from the one who asks."""
    PARTLY_ANSWERED = "PARTLY_ANSWERED"
    POSTPONED = "POSTPONED"
    ANSWERED = "ANSWERED"
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"
    OVERDUE = "OVERDUE"
    """Computed: open, and the deadline is over."""
    FOR_INFORMATION = "FOR_INFORMATION"
    """Of a conversation in which nothing awaits an answer."""


CLOSED_STATES: Final = frozenset({RequestState.ANSWERED, RequestState.REFUSED, RequestState.CANCELLED})
"""States that nothing follows."""

_FROM_OPEN: Final[Mapping[Effect, RequestState]] = {
    Effect.ACKNOWLEDGES: RequestState.ACKNOWLEDGED,
    Effect.ASKS_BACK: RequestState.WAITING_INFO,
    Effect.ANSWERS_PARTLY: RequestState.PARTLY_ANSWERED,
    Effect.POSTPONES: RequestState.POSTPONED,
    Effect.ANSWERS: RequestState.ANSWERED,
    Effect.REFUSES: RequestState.REFUSED,
    Effect.CANCELS: RequestState.CANCELLED,
    Effect.CANCELS_AND_DELETES: RequestState.CANCELLED,
    # What was retracted is to be forgotten, not to be answered.
    Effect.RETRACTS: RequestState.CANCELLED,
    Effect.RETRACTS_AND_DELETES: RequestState.CANCELLED,
}

TRANSITIONS: Final[Mapping[RequestState, Mapping[Effect, RequestState]]] = MappingProxyType(
    {
        RequestState.OPEN: _FROM_OPEN,
        RequestState.ACKNOWLEDGED: _FROM_OPEN,
        RequestState.POSTPONED: _FROM_OPEN,
        # Work goes on once the nation that asked has sent more, or corrected its request.
        RequestState.WAITING_INFO: {
            **_FROM_OPEN,
            Effect.INFORMS: RequestState.ACKNOWLEDGED,
            Effect.CORRECTS: RequestState.ACKNOWLEDGED,
        },
        # A part that came stays there: nothing but more, a question or an end follows.
        RequestState.PARTLY_ANSWERED: {**_FROM_OPEN, Effect.ACKNOWLEDGES: RequestState.PARTLY_ANSWERED},
        RequestState.ANSWERED: {},
        RequestState.REFUSED: {},
        RequestState.CANCELLED: {},
    }
)
"""State after an effect, by the state before it; an effect that is not named changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a request stands at a certain time.

    Attributes:
        state: OVERDUE if it is open and its deadline is over; else `step`.
        step: What the messages have made of it.
        due_ms: Until when its answer is due, milliseconds since 1970; None if it is closed,
            waits for the nation that asked, or has no deadline.
        last: The effect that led to `step`, or None while it is open and untouched.
    """

    state: RequestState
    step: RequestState
    due_ms: int | None
    last: AppliedEffect | None

    @property
    def is_closed(self) -> bool:
        """Tell whether nothing more is expected."""
        return self.step in CLOSED_STATES


def awaits(document: Mapping[str, Any], catalogue: Catalogue) -> bool:
    """Tell whether the sender of a message waits for an answer to it."""
    return is_awaiting(
        document["type"], catalogue, is_linked="in_reply_to" in document["header"]["conversation"]
    )


def is_awaiting(type_id: str, catalogue: Catalogue, *, is_linked: bool) -> bool:
    """Tell whether a message of this type waits for an answer.

    Args:
        type_id: Type with its version.
        catalogue: Types and agreement.
        is_linked: Whether the message has ``in_reply_to``: on a reply type it answers then,
            and asks nothing.
    """
    message_type = catalogue.find(type_id)
    if message_type is None:
        return False
    terms = message_type.terms
    return terms.awaits and not (is_linked and terms.reply_to)


def progress(reply_by_ms: int | None, effects: Iterable[AppliedEffect], *, now_ms: int) -> Progress:
    """Return where a request stands.

    Args:
        reply_by_ms: The deadline that it names, or None.
        effects: What was done to it.
        now_ms: The clock, milliseconds since 1970.
    """
    state = RequestState.OPEN
    due_ms = reply_by_ms
    last: AppliedEffect | None = None
    partly = False
    stopped_ms = 0
    # By the times in the messages: on the way they may have crossed.
    for applied in sorted(effects, key=lambda item: (item.created_ms, item.message_id)):
        following = TRANSITIONS[state].get(applied.effect)
        if following is None:
            continue
        if following is RequestState.ACKNOWLEDGED and partly:
            following = RequestState.PARTLY_ANSWERED
        if state is RequestState.WAITING_INFO and due_ms is not None:
            due_ms += applied.created_ms - stopped_ms
        if following is RequestState.WAITING_INFO:
            stopped_ms = applied.created_ms
        if applied.effect is Effect.POSTPONES and due_ms is not None and applied.at_ms is not None:
            due_ms = max(due_ms, applied.at_ms)
        partly = partly or following is RequestState.PARTLY_ANSWERED
        state, last = following, applied
    if state in CLOSED_STATES or state is RequestState.WAITING_INFO:
        due_ms = None
    overdue = due_ms is not None and due_ms < now_ms
    return Progress(state=RequestState.OVERDUE if overdue else state, step=state, due_ms=due_ms, last=last)
