"""Why a post is refused, and how much of it one call is told.

A short message can break its schema a thousand times, and a batch may hold 5,000 of them. Each
message is examined until its first violation is known, which costs what a good message costs.
What else is wrong with it is looked for afterwards, in the order of the call, until the call
has been told `MAX_TOLD` violations (`Preparation.tell`). Who is told the first one only hears that,
and asks again. What breaks rules by itself is held against its conversation as well, once the
messages of its call that may be accepted are (`FirstStage.ask_conversations`).

Spec: docs/api.md, "Problems".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from gateway.core.message.violation import MAX_VIOLATIONS, Violation
from gateway.errors import RejectedError

MAX_TOLD: Final = 1_000
"""Violations that one call is told before its further messages hear of their first one only."""

Cut = Literal["message", "call"]
"""Whose limit left violations out: that of one message, or that of the call."""


class RefusedError(RejectedError):
    """The message does not satisfy JSON, schema, rules or agreement.

    Attributes:
        violations: What it breaks.
        truncated: Why it may break more than that, or None if that is all.
    """

    code = "message-refused"

    def __init__(self, violations: Sequence[Violation], truncated: Cut | None = None) -> None:
        """Keep the violations for whoever puts them into words."""
        super().__init__(f"{len(violations)} violations")
        self.violations = tuple(violations)
        is_full = len(self.violations) >= MAX_VIOLATIONS
        self.truncated: Cut | None = truncated or ("message" if is_full else None)

    @property
    def may_leave_out(self) -> bool:
        """Return whether there may be more to tell than the first violation."""
        return self.truncated == "call" or len(self.violations) > 1

    def first(self) -> RefusedError:
        """Return the same with the first violation alone, for a call that is told no more."""
        return RefusedError(self.violations[:1], "call")


class UnreadableError(RefusedError):
    """The body is not strict JSON, so nothing else was checked."""

    code = "message-unreadable"


class TypeNotAgreedError(RejectedError):
    """The two nodes do not hold the same version of this type: their operators have to act.

    Attributes:
        type: Type id, one of this node's catalogue.
    """

    code = "type-not-agreed"

    def __init__(self, type_id: str) -> None:
        """Keep the type for whoever puts it into words."""
        super().__init__("the two nodes do not hold the same version of this message type")
        self.type = type_id


class NotAllowedError(RejectedError):
    """The message names a sender that the caller is not."""

    code = "wrong-sender"
