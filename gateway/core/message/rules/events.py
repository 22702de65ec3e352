"""CX-EVENT: what is sent for a major event names the event."""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import GOOD, Facts, Pointers, Rule, message_rule


@message_rule(
    "CX-EVENT",
    109,
    pointer="/header/event",
    applies_to=("event.bulletin/1", "event.movement_notice/1"),
    en="A bulletin or notice for a major event names the event. Add event to the header.",
    fr="Un bulletin ou un avis pour un grand événement nomme cet événement. Ajoutez event dans l'en-tête.",
)
def _event_is_named(facts: Facts) -> Pointers:
    return GOOD if "event" in facts.header else ("/header/event",)


RULES: Final[tuple[Rule, ...]] = (_event_is_named,)
