"""Run every stateless rule on a message.

Spec: docs/spec/rules.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.core.message.violation import Violation

if TYPE_CHECKING:
    from gateway.core.message.registry import Agreement, MessageType


def stateless_violations(
    document: dict[str, Any], message_type: MessageType, agreement: Agreement, now_ms: int
) -> list[Violation]:
    """Return everything about a message that breaks a stateless rule."""
    return []
