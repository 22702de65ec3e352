"""CX-REF: local names such as ``p1`` or ``o2`` lead somewhere.

Parts of a payload refer to one another by local names. While the parts are seen, each
notes the names that it gives and those that it uses; when all were seen, every name that
is used must have been given, in whatever order they came.
"""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import (
    GOOD,
    Facts,
    Json,
    PartCheck,
    PartFunction,
    Pointers,
    Rule,
)
from gateway.core.message.wording import Wording


def _note_given_name(part: Json, _: str, facts: Facts) -> Pointers:
    facts.names.add(part["ref"])
    return GOOD


def _noting(*fields: str) -> PartFunction:
    """Return a function that notes the names which these fields of a part use."""

    def note(part: Json, at: str, facts: Facts) -> Pointers:
        for field in fields:
            name = part.get(field)
            if name is not None:
                facts.used_names.append((name, f"{at}/{field}"))
        return GOOD

    return note


def _note_parties(consignment: Json, at: str, facts: Facts) -> Pointers:
    pointer = f"{at}/parties"
    for name in consignment.get("parties", ()):
        facts.used_names.append((name, pointer))
    return GOOD


def _used_names_were_given(facts: Facts) -> Pointers:
    if not facts.used_names:
        return GOOD
    names = facts.names
    return [pointer for name, pointer in facts.used_names if name not in names]


_names_lead_somewhere = Rule(
    id="CX-REF",
    number=80,
    pointer="pointer of the field that uses the name; for a list (parties) the list, not the entry",
    wording=Wording(
        en="A local name that is used belongs to a person, organisation, conveyance or account of this "
        "message. Add that part, or correct the name.",
        fr="Un nom local utilisé est celui d'une personne, d'une organisation, d'un moyen de transport ou "
        "d'un compte de ce message. Ajoutez cet élément, ou corrigez le nom.",
    ),
    message_check=_used_names_were_given,
    part_checks=(
        PartCheck(part="person", function=_note_given_name),
        PartCheck(part="organisation", function=_note_given_name),
        PartCheck(part="conveyance", function=_note_given_name),
        PartCheck(part="account", function=_note_given_name),
        PartCheck(part="account", function=_noting("holder")),
        PartCheck(part="trace_line", function=_noting("holder")),
        PartCheck(part="flow_tx", function=_noting("from_account", "to_account")),
        PartCheck(part="consignment", function=_note_parties),
    ),
)

RULES: Final[tuple[Rule, ...]] = (_names_lead_somewhere,)
