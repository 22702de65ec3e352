"""Examine a message in the order that both nations keep: JSON, schema, rules.

If a body is not strict JSON, or departs from its schema, only that is reported, because
nothing behind it can be trusted to mean anything. Otherwise every rule that needs no more
than the message and a clock is run, and every violation is reported at once.

Spec: docs/spec/messages.md, "Verdicts".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import stateless_violations
from gateway.core.message.schema_check import schema_violations, unknown_type
from gateway.core.message.strict_json import JsonRefusedError, parse_json
from gateway.core.message.violation import MAX_VIOLATIONS, RULE_SCHEMA, Violation
from gateway.core.quick import quick_value


@quick_value
class Examination:
    """What came of examining a body.

    Attributes:
        document: The JSON object; None only if the body is not strict JSON.
        violations: Everything wrong with it; empty if the message is good so far.
    """

    document: dict[str, Any] | None
    violations: tuple[Violation, ...]


def examine(body: bytes, *, catalogue: Catalogue, now_ms: int) -> Examination:
    """Read a body and run every check that needs no earlier message.

    Args:
        body: The message as received.
        catalogue: The catalogue to judge by.
        now_ms: The examining node's clock, milliseconds since 1970 in UTC.

    Raises:
        MessageTooLargeError: The body is longer than a message may be.
    """
    try:
        document = parse_json(body)
    except JsonRefusedError as error:
        return Examination(document=None, violations=(error.violation,))
    return Examination(
        document=document,
        violations=examine_document(document, catalogue=catalogue, now_ms=now_ms),
    )


def examine_document(document: dict[str, Any], *, catalogue: Catalogue, now_ms: int) -> tuple[Violation, ...]:
    """Return everything wrong with a document: its schema, or else the stateless rules.

    Args:
        document: A message as ``parse_json`` gives it, or a completed draft.
        catalogue: The catalogue to judge by.
        now_ms: The examining node's clock, milliseconds since 1970 in UTC.
    """
    return departures(document, catalogue=catalogue) or broken_rules(
        document, catalogue=catalogue, now_ms=now_ms
    )


def is_accepted(document: dict[str, Any], *, catalogue: Catalogue) -> bool:
    """Return whether a document is known to have no `departures`, no float, and no deep nesting.

    It spares nearly every message `finish_json`. False says nothing.

    Args:
        document: A message as ``begin_json`` gives it, whose body is that document written down.
        catalogue: The catalogue to judge by.
    """
    message_type = catalogue.find(document.get("type"))
    return message_type is not None and catalogue.shared.accepts(message_type.id, document)


def departures(
    document: dict[str, Any], *, catalogue: Catalogue, most: int = MAX_VIOLATIONS
) -> tuple[Violation, ...]:
    """Return where a document departs from the schema of its type, or that it has no such type.

    Args:
        document: A message as ``parse_json`` gives it, or a completed draft.
        catalogue: The catalogue to judge by.
        most: Most violations that are returned.
    """
    message_type = catalogue.find(document.get("type"))
    if message_type is None:
        return (unknown_type(catalogue, document.get("type")),)
    if catalogue.shared.accepts(message_type.id, document):
        return ()
    return schema_violations(document, message_type, catalogue, most=most)


def broken_rules(document: dict[str, Any], *, catalogue: Catalogue, now_ms: int) -> tuple[Violation, ...]:
    """Return the stateless rules that a document breaks.

    Args:
        document: A message that has no `departures`.
        catalogue: The catalogue to judge by.
        now_ms: The examining node's clock, milliseconds since 1970 in UTC.
    """
    message_type = catalogue.type(document["type"])
    return tuple(stateless_violations(document, message_type, catalogue.agreement, now_ms))


def departs_from_schema(violations: Sequence[Violation]) -> bool:
    """Tell whether a document with these violations is no message yet.

    It may be a draft then, which its sender's node completes. What its schema accepts is a
    message, and is judged as it stands.
    """
    return any(violation.rule == RULE_SCHEMA for violation in violations)
