"""Check a document against the schema of its type, and say how to mend it.

The compiled schemas decide. Only when they refuse, what they found is turned into texts: each
names the field by its title in the reader's language and says what is expected there, as
the schema has it. What stood there instead is not repeated, and neither is the name of a
field that the schema does not know.

Spec: docs/spec/messages.md, "Schema".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from jsonschema_rs import ValidationErrorKind

from gateway.core.message.compiled import Departure
from gateway.core.message.registry import Agreement, Catalogue, MessageType
from gateway.core.message.schema_documents import Place, Schema, place_of
from gateway.core.message.strict_json import has_more_values
from gateway.core.message.violation import MAX_VIOLATIONS, RULE_SCHEMA, Violation, pointer_to
from gateway.core.message.wording import Wording

MAX_VALUES: Final = 500
"""Values of a message in which violations are looked for, beside the first one.

The validator looks for all of them or for one, and a message can hold 50,000 wrong values: half a second.
"""

MAX_GUESSES: Final = 5
"""Unknown fields of one object for which the field that was meant is guessed; each takes 20 microseconds."""

WHOLE_MESSAGE: Final = "/"
"""Pointer of a field that the message itself lacks or holds, as the table of rules writes it."""

_UNKNOWN_TYPE: Final = Wording(
    en="Type (type): expected a type of the catalogue with its version, one of {types}.",
    fr="Type (type) : attendu un type du catalogue avec sa version, parmi {types}.",
)
_MISSING: Final = Wording(
    en="The field {name} is missing: {title}. {description}",
    fr="Le champ {name} manque : {title}. {description}",
)
_UNKNOWN_FIELD: Final = Wording(
    en="{count:unknown field|unknown fields} in this object. Known fields: {fields}.",
    fr="{count:champ inconnu|champs inconnus} dans cet objet. Champs connus : {fields}.",
)
_CLOSE: Final = Wording(en=" Did you mean {fields}?", fr=" Vouliez-vous dire {fields} ?")
_LEFT_OUT: Final = Wording(
    en=" A field that says nothing is left out.", fr=" Un champ qui ne dit rien est omis."
)
_EXPECTED: Final = Wording(
    en="{title} ({name}): expected {expectation}.",
    fr="{title} ({name}) : attendu {expectation}.",
)
_REPEATED: Final = Wording(
    en="{title} ({name}): expected a list that holds nothing twice.",
    fr="{title} ({name}) : attendu une liste sans répétition.",
)
_NOT_A_DAY: Final = Wording(
    en="{title} ({name}): expected a day that the calendar has; {expectation}.",
    fr="{title} ({name}) : attendu un jour qui existe au calendrier ; {expectation}.",
)


def schema_violations(
    document: Mapping[str, Any],
    message_type: MessageType,
    catalogue: Catalogue,
    *,
    most: int = MAX_VIOLATIONS,
) -> tuple[Violation, ...]:
    """Return in what ``document`` departs from the schema of its type.

    Empty means that the schema accepts it. Beside the very first violation, those in the first
    `MAX_VALUES` values are found.

    Unknown fields are let through only if the message says a later minor version that the
    agreement has announced.

    Args:
        document: A message, as ``parse_json`` gives it.
        message_type: The type that ``document`` names.
        catalogue: The catalogue that the type is of.
        most: Most violations that are returned; one costs what a good message costs.

    Spec: docs/spec/messages.md, "Schema".
    """
    first = catalogue.shared.first_departure(message_type.id, document)
    if first is None:
        return ()
    lenient = _is_announced(document, catalogue.agreement)
    if most == 1 and not (lenient and first.kind.name == "additionalProperties"):
        return (_describe(first, message_type, document),)
    head = _Head(document)
    found = [
        first,
        # A list that was cut may be too short for its schema: that is no fault of the message.
        *(
            departure
            for departure in catalogue.shared.departures(message_type.id, head.document)
            if not (head.is_cut and departure.kind.name == "minItems")
        ),
    ]
    del found[most + 1 :]
    malformed = {tuple(departure.path) for departure in found if departure.kind.name == "pattern"}
    violations = [
        _describe(departure, message_type, document)
        for departure in found
        # What has not the form of a date is told so, and not that it is no day as well.
        if not (departure.kind.name == "format" and tuple(departure.path) in malformed)
        and not (departure.kind.name == "additionalProperties" and lenient)
    ]
    # A text may be too long and hold forbidden characters: what is expected is told once.
    return tuple(dict.fromkeys(violations))[:most]


class _Head:
    """A document of which only the first `MAX_VALUES` values are kept, in lists that are cut there.

    Attributes:
        document: The document itself if it has no more.
        is_cut: Whether something is missing.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._left = MAX_VALUES
        self.is_cut = False
        self.document = document
        if has_more_values(document, MAX_VALUES):
            self.document = self._copy(document)

    def _copy(self, value: Any) -> Any:
        self._left -= 1
        if isinstance(value, dict):
            return {name: self._copy(member) for name, member in value.items()}
        if isinstance(value, list):
            kept: list[Any] = []
            for item in value:
                if self._left <= 0:
                    self.is_cut = True
                    break
                kept.append(self._copy(item))
            return kept
        return value


def unknown_type(catalogue: Catalogue, named: object = None) -> Violation:
    """Return the violation of a message whose type the catalogue does not have.

    Args:
        catalogue: The catalogue.
        named: What the message says its type is; the type that was meant is guessed.
    """
    wording = _UNKNOWN_TYPE.fill(types=", ".join(sorted(catalogue.types)))
    close = get_close_matches(named[:100], catalogue.types, n=1) if isinstance(named, str) else []
    return Violation(rule=RULE_SCHEMA, pointer="/type", wording=_with_guess(wording, close))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place(Place):
    """What the schema says about one place of a message, and what people call it.

    Attributes:
        name: Name of the nearest field.
        title: Its title.
    """

    name: str
    title: Wording


def _is_announced(document: Mapping[str, Any], agreement: Agreement) -> bool:
    header = document.get("header")
    version = header.get("schema_version") if isinstance(header, dict) else None
    return isinstance(version, str) and version in agreement.announced_versions


def _describe(departure: Departure, message_type: MessageType, document: Mapping[str, Any]) -> Violation:
    """Turn a departure into a violation."""
    path = departure.path
    wording = _wording(departure.kind, _find(message_type, path), message_type)
    if path and _is_empty(document, path) and _is_optional(message_type, path):
        wording = Wording(en=wording.en + _LEFT_OUT.en, fr=wording.fr + _LEFT_OUT.fr)
    return Violation(rule=RULE_SCHEMA, pointer=pointer_to(*path) or WHOLE_MESSAGE, wording=wording)


def _is_empty(document: Any, path: Sequence[str | int]) -> bool:
    """Tell whether null or an empty text stands at a place of a message."""
    for step in path:
        document = document[step]
    return document is None or document == ""


def _is_optional(message_type: MessageType, path: Sequence[str | int]) -> bool:
    """Tell whether a place is a field that its object may do without."""
    *above, last = path
    return isinstance(last, str) and last not in (_find(message_type, above).fact("required") or ())


def _wording(kind: ValidationErrorKind, place: _Place, message_type: MessageType) -> Wording:
    facts = kind.as_dict()
    if kind.name == "required":
        return _describe_missing(facts["property"], place, message_type)
    if kind.name == "additionalProperties":
        return _describe_unknown(facts["unexpected"], place)
    template = _EXPECTED
    if kind.name == "uniqueItems":
        template = _REPEATED
    elif kind.name == "format":
        template = _NOT_A_DAY
    expectation = _expectation(place)
    return Wording(
        en=template.en.format(title=place.title.en, name=place.name, expectation=expectation.en),
        fr=template.fr.format(title=place.title.fr, name=place.name, expectation=expectation.fr),
    )


def _describe_missing(name: str, place: _Place, message_type: MessageType) -> Wording:
    field = _step(message_type, place, name)
    return Wording(
        en=_MISSING.en.format(name=name, title=field.title.en, description=field.fact("description")),
        fr=_MISSING.fr.format(name=name, title=field.title.fr, description=field.fact("x-description-fr")),
    )


def _describe_unknown(unexpected: Sequence[str], place: _Place) -> Wording:
    """List the fields the object may have; guess which one was meant, and name only that."""
    known = list(place.fact("properties") or ())
    close = dict.fromkeys(
        match for name in unexpected[:MAX_GUESSES] for match in get_close_matches(name[:100], known, n=1)
    )
    wording = _UNKNOWN_FIELD.fill(count=len(unexpected), fields=", ".join(known))
    return _with_guess(wording, list(close))


def _with_guess(wording: Wording, close: Sequence[str]) -> Wording:
    """Add the names that were probably meant."""
    if not close:
        return wording
    guess = _CLOSE.fill(fields=", ".join(close))
    return Wording(en=wording.en + guess.en, fr=wording.fr + guess.fr)


def _find(message_type: MessageType, path: Sequence[str | int]) -> _Place:
    """Return what the schema says about the place at ``path``."""
    place = _place(
        message_type, message_type.schema["$id"], message_type.schema, "message", message_type.wording
    )
    for step in path:
        place = _step(message_type, place, step)
    return place


def _step(message_type: MessageType, place: _Place, step: str | int) -> _Place:
    """Return what the schema says one field or one list entry further down."""
    keyword = "properties" if isinstance(step, str) else "items"
    # The document a part lies in is not kept: only the last part of a chain has children.
    child: Schema = place.fact(keyword) or {}
    if isinstance(step, str):
        child = child.get(step, {})
        title = Wording(en=step, fr=step)
        return _place(message_type, place.identifier, child, step, title)
    if not {"$ref", "description"} & child.keys():
        # A line of an MRZ, say, is told in the words of its list.
        child = {**child, **{word: place.parts[-1][word] for word in ("description", "x-description-fr")}}
    return _place(message_type, place.identifier, child, place.name, place.title, is_entry=True)


def _place(
    message_type: MessageType,
    identifier: str,
    node: Schema,
    name: str,
    title: Wording,
    *,
    is_entry: bool = False,
) -> _Place:
    """Follow the references of a schema and take its title, unless it is an entry of a list."""
    found = place_of(message_type.documents, identifier, node)
    if not is_entry:
        titled = next((part for part in found.parts if "title" in part), None)
        if titled is not None:
            title = Wording(en=titled["title"], fr=titled["x-title-fr"])
    return _Place(name=name, title=title, identifier=found.identifier, parts=found.parts)


def _expectation(place: _Place) -> Wording:
    """Say what a place has to hold."""
    if place.fact("enum") is not None:
        codes = ", ".join(place.fact("enum"))
        return Wording(en=f"one of {codes}", fr=f"l'une des valeurs {codes}")
    if place.fact("const") is not None:
        const = "true" if place.fact("const") is True else str(place.fact("const"))
        return Wording(en=const, fr=const)
    kind = place.fact("type")
    if isinstance(kind, list):
        return _described_form(place.parts[-1])
    describe = {
        "string": _expected_text,
        "integer": _expected_integer,
        "array": _expected_list,
        "object": _expected_object,
    }.get(kind)
    if describe is None:
        return Wording(en="true or false", fr="true ou false")
    return describe(place)


def _expected_text(place: _Place) -> Wording:
    longest = place.fact("maxLength")
    form = place.parts[-1]
    # A length of its own has a form that is no free text: an address, say.
    if longest is not None and "maxLength" not in form:
        return Wording(
            en=f"text of 1 to {longest} characters, without control characters other than tab and line "
            "feed and without characters that hide or turn text around",
            fr=f"un texte de 1 à {longest} caractères, sans caractères de commande autres que tabulation "
            "et saut de ligne, ni caractères qui masquent ou retournent le texte",
        )
    described = _described_form(form)
    if len(place.parts) > 1 or "examples" not in form:
        return described
    # A form that only this field has: its description may say more, or less, than the form.
    example, pattern = form["examples"][0], form["pattern"]
    return Wording(
        en=f"text such as {example}: {described.en.removesuffix('.')} ({pattern})",
        fr=f"un texte tel que {example} : {described.fr.removesuffix('.')} ({pattern})",
    )


def _described_form(form: Schema) -> Wording:
    """Say what a format is in its own words."""
    return Wording(en=_uncapitalised(form["description"]), fr=_uncapitalised(form["x-description-fr"]))


def _expected_integer(place: _Place) -> Wording:
    low, high = place.fact("minimum"), place.fact("maximum")
    return Wording(en=f"an integer from {low} to {high}", fr=f"un entier de {low} à {high}")


def _expected_list(place: _Place) -> Wording:
    low, high = place.fact("minItems") or 0, place.fact("maxItems")
    return Wording(en=f"a list of {low} to {high} entries", fr=f"une liste de {low} à {high} éléments")


def _expected_object(place: _Place) -> Wording:
    fields = ", ".join(place.fact("required") or place.fact("properties"))
    return Wording(en=f"an object with {fields}", fr=f"un objet avec {fields}")


def _uncapitalised(text: str) -> str:
    """Return the text as it stands inside a sentence; abbreviations keep their capitals."""
    return text if text[1:2].isupper() or text[1:2] == "/" else text[:1].lower() + text[1:]
