"""The rules across the fields of a message: what a schema cannot say.

Each module holds the rules of one concern. `RULES` is all of them in the order of their
numbers; `gateway.core.message.rule` runs those that need nothing but the message and the
clock, `gateway.core.message.threads` those that need its conversation.

A rule's number stands in receipts of both nations and never changes: a rule that goes
leaves its number behind, and a new rule gets the next one after the last.

Spec: docs/spec/rules.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.core.message.rules import (
    accounts,
    assistance,
    conversation,
    craft,
    data_protection,
    dates,
    deliveries,
    events,
    goods,
    governance,
    handling,
    header,
    identifiers,
    intelligence,
    marking,
    matching,
    money,
    operations,
    organisations,
    places,
    purpose,
    references,
    substances,
    targeting,
)
from gateway.core.message.rules.definition import Rule, Stage
from gateway.core.message.wording import Wording

_FORM: Final[tuple[Rule, ...]] = (
    Rule(
        id="JSON",
        number=1,
        pointer="/ (the whole message)",
        wording=Wording(
            en="The body is one strict JSON object. Write it with a JSON library, in UTF-8, without "
            "repeated names and without fractions.",
            fr="Le corps est un seul objet JSON strict. Écrivez-le avec une bibliothèque JSON, en UTF-8, "
            "sans nom répété ni nombre à virgule.",
        ),
    ),
    Rule(
        id="SCHEMA",
        number=2,
        pointer="/type for an unknown type; else the value, or the object that lacks or holds a field",
        wording=Wording(
            en="The message satisfies the schema of its type. Compare it with the schema that the node "
            "publishes.",
            fr="Le message satisfait au schéma de son type. Comparez-le au schéma que le nœud publie.",
        ),
    ),
)
"""Checked before all others, by `gateway.core.message.examine`; they stand here for their numbers."""

RULES: Final[tuple[Rule, ...]] = tuple(
    sorted(
        _FORM
        + header.RULES
        + marking.RULES
        + handling.RULES
        + purpose.RULES
        + data_protection.RULES
        + identifiers.RULES
        + organisations.RULES
        + dates.RULES
        + goods.RULES
        + references.RULES
        + accounts.RULES
        + places.RULES
        + intelligence.RULES
        + events.RULES
        + governance.RULES
        + assistance.RULES
        + targeting.RULES
        + matching.RULES
        + substances.RULES
        + deliveries.RULES
        + operations.RULES
        + craft.RULES
        + money.RULES
        + conversation.RULES,
        key=lambda rule: rule.number,
    )
)
"""Every rule that this node knows, by number."""

RESERVED: Final[Mapping[int, str]] = {}
"""Numbers that belong to rules of message types that have no schema yet: none."""

__all__ = ["RESERVED", "RULES", "Rule", "Stage"]
