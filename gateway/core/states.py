"""The life of a message, as data.

One table says which state may follow which; storage, API and console read it, and the
documentation is generated from it. Nothing else decides about states.

::

    accepted ─► sent ─► delivered ─► received ─► collected
        │         │          │           │           │
        │         └──────────┴─► refused │           │
        ├─► expired (before sent: the sender decides; later: the receipt does)
        ├─► withdrawn (only before sent)
        └─────────────────────────────── any ────────┴─► erased

Delivered and received go back to sent when the peer was restored from a backup and lost
the message; all three, and collected, go back to accepted when a receipt asks for it once
more. What was received once ends *received*, whatever later receipts say.

Spec: docs/spec/exchange.md, "States".
"""

from __future__ import annotations

from enum import IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import Final


class State(IntEnum):
    """State of a message at the node that holds it; the numbers are stored."""

    ACCEPTED = 1
    SENT = 2
    DELIVERED = 3
    RECEIVED = 4
    COLLECTED = 5
    REFUSED = 6
    EXPIRED = 7
    WITHDRAWN = 8
    ERASED = 9

    # Asked of every message, so it is made once.
    @cached_property
    def label(self) -> str:
        """Return the word that the API and the documentation use."""
        return self.name.lower()


class Precedence(IntEnum):
    """Order of sending, most urgent first; the numbers travel in the header."""

    FLASH = 0
    IMMEDIATE = 1
    PRIORITY = 2
    ROUTINE = 3


TRANSITIONS: Final = MappingProxyType(
    {
        State.ACCEPTED: frozenset({State.SENT, State.EXPIRED, State.WITHDRAWN, State.ERASED}),
        # Back to accepted: the three exceptions after which a message is sent again.
        # A receipt can be mirrored before the cosignature of the same bundle is read, so
        # `sent` may be followed by everything that may follow `delivered`.
        State.SENT: frozenset(
            {
                State.DELIVERED,
                State.RECEIVED,
                State.COLLECTED,
                State.REFUSED,
                State.EXPIRED,
                State.ACCEPTED,
                State.ERASED,
            }
        ),
        State.DELIVERED: frozenset(
            {
                State.RECEIVED,
                State.COLLECTED,
                State.REFUSED,
                State.EXPIRED,
                State.ACCEPTED,
                # Back to sent: the peer was restored from a backup and lost the message.
                State.SENT,
                State.ERASED,
            }
        ),
        State.RECEIVED: frozenset({State.COLLECTED, State.SENT, State.ACCEPTED, State.ERASED}),
        State.COLLECTED: frozenset({State.ACCEPTED, State.ERASED}),
        State.REFUSED: frozenset({State.ERASED}),
        State.EXPIRED: frozenset({State.ERASED}),
        State.WITHDRAWN: frozenset({State.ERASED}),
        State.ERASED: frozenset(),
    }
)

VOID_STATES: Final = frozenset({State.REFUSED, State.EXPIRED, State.WITHDRAWN})
"""States in which a message counts for nothing in its conversation but its number."""

UNSEEN_STATES: Final = VOID_STATES | {State.ACCEPTED}
"""States that the other side never had a message in; erased in one of them, it is void."""


def is_void(state: State, was: State | None) -> bool:
    """Return whether a message counts for nothing in its conversation but its number.

    An erased message counts as it did before: its conversation goes on without its content.

    Args:
        state: State of the message.
        was: State in which it was erased, or None.
    """
    return state in VOID_STATES if was is None else was in UNSEEN_STATES


def sources_of(target: State) -> tuple[State, ...]:
    """Return the states that ``target`` may follow, in ascending order."""
    return tuple(sorted(state for state, after in TRANSITIONS.items() if target in after))
