"""What an accepted message does to an earlier one, as a number that is stored.

Stored, because the states of a conversation must not depend on contents that may be erased
one day. Which messages have which effect is decided in `gateway.core.message.threads.effects`.

Spec: docs/spec/rules.md, "States of a request".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Effect(IntEnum):
    """What an accepted message does to an earlier one, its *subject*; the numbers are stored."""

    # On a request, by a message that answers it.
    ACKNOWLEDGES = 1
    ASKS_BACK = 2
    """The one who was asked waits for the one who asks: the clock stops."""
    ANSWERS_PARTLY = 3
    POSTPONES = 4
    ANSWERS = 5
    REFUSES = 6
    # On a request, by the one who made it.
    CANCELS = 7
    CANCELS_AND_DELETES = 8
    INFORMS = 9
    """A message linked to the request by the nation that asked: the clock runs again."""
    # On any message.
    CORRECTS = 10
    RETRACTS = 11
    RETRACTS_AND_DELETES = 12
    CHANGES_USE = 13
    ASKS_CONSENT = 14
    GIVES_FEEDBACK = 15
    CERTIFIES_DELETION = 16
    # On a room, by its id.
    OPENS_ROOM = 17
    ENDS_ROOM = 18
    # On the quota of an agency for a type and a day, by an id derived of these.
    COUNTS = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEffect:
    """An effect of a message that is being accepted.

    Attributes:
        subject: Id of the message, the room or the quota that it concerns, 16 bytes.
        effect: What is done to it.
        at_ms: A time that goes with it, milliseconds since 1970, or None.
    """

    subject: bytes
    effect: Effect
    at_ms: int | None = None


CLOSING: Final = frozenset({Effect.ANSWERS, Effect.REFUSES, Effect.CANCELS, Effect.CANCELS_AND_DELETES})
"""Effects after which a request is closed."""
