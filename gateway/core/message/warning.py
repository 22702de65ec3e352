"""Warn of values that are well formed and in no list: a place, a goods code, a bank, a flag.

A rule refuses what cannot be right; arithmetic does not age. A warning only asks the sender
to look again, because a list does. It stands beside an acceptance, is never sent to the
peer and is no part of a verdict. Like a violation it holds no value of the message.

The schema says which fields hold such values, by their format; so a new type has its
warnings by the files it is made of. A message costs one look-up for each such value.

Spec: docs/reference-lists.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gateway.core.message.reference_lists import ReferenceLists
from gateway.core.message.registry import MessageType
from gateway.core.message.schema_documents import Schema, held_by
from gateway.core.message.wording import Language, Wording

Json = dict[str, Any]

Places = Callable[[str, Json], tuple[str, str] | None]
"""Takes a value and the object that holds it; returns group and member to look up, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningKind:
    """What one list warns of.

    Attributes:
        id: Name that answers show, such as ``W-LOCODE``.
        list: Name of the list.
        format: Name of the format of the values: of its file in ``schemas/formats/``.
        places: Where in the list a value should be.
        wording: What to do, with a place for the edition.
    """

    id: str
    list: str
    format: str
    places: Places
    wording: Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueWarning:
    """One value of a message that is in no list.

    Attributes:
        warning: Id of its kind.
        pointer: RFC 6901 JSON Pointer of the value.
        wording: What to do, in both languages.
    """

    warning: str
    pointer: str
    wording: Wording

    def text(self, language: Language) -> str:
        """Return what to do, in the language of the reader."""
        return self.wording.text(language)


def _place_of_flag(mmsi: str, conveyance: Json) -> tuple[str, str] | None:
    flag = conveyance.get("flag")
    return None if flag is None else (mmsi[:3], flag)


KINDS: Final[tuple[WarningKind, ...]] = (
    WarningKind(
        id="W-LOCODE",
        list="unlocode",
        format="unlocode",
        places=lambda value, _: (value[:2], value[2:]),
        wording=Wording(
            en="This place is not in UN/LOCODE, edition {edition}. Look it up; if the place is newer than "
            "that edition, leave it.",
            fr="Ce lieu ne figure pas au LOCODE/ONU, édition {edition}. Recherchez-le ; s'il est plus récent "
            "que cette édition, laissez-le.",
        ),
    ),
    WarningKind(
        id="W-HS",
        list="hs",
        format="hs_code",
        # What follows the subheading is national.
        places=lambda value, _: (value[:2], value[2:6]),
        wording=Wording(
            en="The first six digits are no subheading of the Harmonized System, edition {edition}. Look the "
            "goods up in the tariff; if the code is of another edition, leave it.",
            fr="Les six premiers chiffres ne sont pas une sous-position du Système harmonisé, édition "
            "{edition}. Recherchez la marchandise au tarif ; si le code est d'une autre édition, laissez-le.",
        ),
    ),
    WarningKind(
        id="W-BIC",
        list="bic",
        format="bic",
        # The last three characters name a branch.
        places=lambda value, _: (value[4:6], value[:8]),
        wording=Wording(
            en="No bank of this country has this BIC in the directory, edition {edition}. Compare it with "
            "the bank's paper; if it is right, leave it.",
            fr="Aucune banque de ce pays n'a ce BIC dans l'annuaire, édition {edition}. Comparez-le au "
            "relevé de la banque ; s'il est juste, laissez-le.",
        ),
    ),
    WarningKind(
        id="W-MMSI",
        list="mid",
        format="mmsi",
        places=_place_of_flag,
        wording=Wording(
            en="The first three digits of this MMSI do not belong to the flag beside it, by the table of "
            "edition {edition}. Look again at both; a false flag is reported as it is flown.",
            fr="Les trois premiers chiffres de ce MMSI ne sont pas ceux du pavillon indiqué, d'après la "
            "table, édition {edition}. Vérifiez les deux ; un faux pavillon se signale tel qu'il est arboré.",
        ),
    ),
)
"""Every kind of warning, by the order in which answers give them."""

LISTS: Final = tuple(kind.list for kind in KINDS)
"""Names of the lists that a node looks up."""

_KIND_BY_FORMAT: Final[Mapping[str, WarningKind]] = MappingProxyType({kind.format: kind for kind in KINDS})


def warnings_of(document: Json, message_type: MessageType, lists: ReferenceLists) -> tuple[ValueWarning, ...]:
    """Return a warning for each value of a good message that is in no list.

    Args:
        document: A message that schema and rules accept.
        message_type: Its type.
        lists: Lists of this node, by name; of a list that is not there nothing is said.

    Spec: docs/reference-lists.md, "Warnings".
    """
    found: list[tuple[WarningKind, str]] = []
    _walk(_plan_of(message_type), document["payload"], "/payload", lists, found)
    return tuple(
        ValueWarning(
            warning=kind.id,
            pointer=pointer,
            wording=kind.wording.fill(edition=lists[kind.list].edition.name),
        )
        for kind, pointer in found
    )


# --- Once per type --------------------------------------------------------------------


class _Part(NamedTuple):
    """Where an object of a payload holds values of lists.

    Attributes:
        values: Field, whether it holds a list, and what warns of its value or entries.
        children: Field, whether it holds a list, and the same of the objects in it.
    """

    values: tuple[tuple[str, bool, WarningKind], ...]
    children: tuple[tuple[str, bool, _Part], ...]


# More than a catalogue has types; a node has one catalogue, tests have many.
@lru_cache(maxsize=1_024)
def _plan_of(message_type: MessageType) -> _Part:
    schema = message_type.schema
    return _part(message_type.documents, schema["$id"], schema["properties"]["payload"])


def _part(documents: Mapping[str, Schema], identifier: str, schema: Schema) -> _Part:
    values: list[tuple[str, bool, WarningKind]] = []
    children: list[tuple[str, bool, _Part]] = []
    for name, field in schema.get("properties", {}).items():
        held = held_by(documents, identifier, field)
        kind = None if held.format is None else _KIND_BY_FORMAT.get(held.format)
        if kind is not None:
            values.append((name, held.in_list, kind))
        elif held.format is None:
            child = _part(documents, held.identifier, held.schema)
            if child.values or child.children:
                children.append((name, held.in_list, child))
    return _Part(values=tuple(values), children=tuple(children))


# --- For each message -----------------------------------------------------------------


def _walk(
    part: _Part, holder: Json, at: str, lists: ReferenceLists, found: list[tuple[WarningKind, str]]
) -> None:
    """Look up the listed values of an object of a payload and of the objects in it."""
    for name, in_list, kind in part.values:
        value = holder.get(name)
        known = lists.get(kind.list)
        if value is None or known is None:
            continue
        for place, entry in enumerate(value) if in_list else ((None, value),):
            looked_up = kind.places(entry, holder)
            if looked_up is not None and known.lacks(*looked_up):
                pointer = f"{at}/{name}" if place is None else f"{at}/{name}/{place}"
                found.append((kind, pointer))
    for name, in_list, child in part.children:
        inner = holder.get(name)
        if inner is None:
            continue
        if in_list:
            for i, entry in enumerate(inner):
                _walk(child, entry, f"{at}/{name}/{i}", lists, found)
        else:
            _walk(child, inner, f"{at}/{name}", lists, found)
