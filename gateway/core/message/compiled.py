"""The schemas of all message types, compiled together.

Compiled one by one, sixty of them take 65 MB and do not fit into a processor's cache: of mixed
messages each waits for memory. But they have most in common, the header and the building blocks
of payloads. Compiled together these exist once: that takes 10 MB, and mixed messages take half
the time (docs/performance-changes.md). So a message is taken apart into its header and the payload
of its type, and these are judged; what stands around them is the same for all types.

Integers are read more strictly here. To JSON Schema 1.0 is an integer, and to strict JSON it is
none; looking for floats value by value costs as much as parsing. So here an integer is what
it was to draft 4 of JSON Schema, a number written without a fraction, and what is accepted
holds no float. That is so because these schemas leave no place where anything may stand,
which is verified once. A type of which that cannot be said has its schema compiled by itself.

Spec: docs/spec/messages.md, "Schema"; docs/adr/0058-schemas-compiled-together.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import jsonschema_rs

from gateway.core.message.schema_documents import HEADER_ID, SCHEMA_BASE, Schema, bundle, place_of, resolve
from gateway.core.message.strict_json import MAX_DEPTH

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_MASK: Final = "[hidden]"
_MEMBERS: Final = frozenset({"type", "header", "payload"})
_INTEGER: Final = f"{SCHEMA_BASE}shared/integer"
_STRICT_INTEGER: Final = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "id": _INTEGER,
    "type": "integer",
}
_CONSTANTS: Final = frozenset({"const", "enum", "examples"})
_TEXTS: Final = frozenset({"title", "description", "x-title-fr", "x-description-fr", "$comment"})
"""Keywords for people. A validator keeps them, and they are a third of it."""

_SCALARS: Final = frozenset({"string", "integer", "boolean", "null"})
_ASSERT_NOTHING: Final = _TEXTS | {"$id", "$schema", "$defs", "examples"}
_ENVELOPE: Final = {
    "$schema": DIALECT,
    "type": "object",
    "properties": dict.fromkeys(sorted(_MEMBERS), True),
    "required": sorted(_MEMBERS),
    "additionalProperties": False,
}
"""What all types that are compiled together ask of a message, apart from its members."""


def compile_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """Return a validator that reads nothing from outside and repeats no value.

    Patterns run on an engine that takes linear time, whatever the text.
    """
    return jsonschema_rs.Draft202012Validator(
        dict(schema),
        validate_formats=True,
        ignore_unknown_formats=False,
        offline=True,
        mask=_MASK,
        pattern_options=jsonschema_rs.RegexOptions(),
    )


class Departure(NamedTuple):
    """Where a message departs from its schema, and from which keyword.

    Attributes:
        path: Names and places in lists that lead there from the message.
        kind: The keyword, with what it says; no value of the message.
    """

    path: Sequence[str | int]
    kind: jsonschema_rs.ValidationErrorKind


class SharedSchema:
    """The schemas of all types in one."""

    def __init__(self, types: Mapping[str, Schema], documents: Mapping[str, Schema]) -> None:
        """Compile the schemas of types.

        Args:
            types: The schema of each type, by its id. Each can be compiled by itself.
            documents: Every schema document that they need, themselves included, by ``$id``.
        """
        parts: dict[str, Schema] = {"header": {"$ref": HEADER_ID}}
        self._alone: dict[str, jsonschema_rs.Draft202012Validator] = {}
        known_header = _is_closed(documents, HEADER_ID, documents[HEADER_ID])
        for type_id, schema in types.items():
            if (
                known_header
                and _is_header_and_payload(type_id, schema)
                and _is_closed(documents, schema["$id"], schema["properties"]["payload"])
            ):
                parts[type_id] = {"$ref": f"{schema['$id']}#/properties/payload"}
            else:
                self._alone[type_id] = compile_schema(bundle(schema, documents))
        self._envelope = compile_schema(_ENVELOPE)
        self._parts = compile_schema(
            {
                "$schema": DIALECT,
                "$id": f"{SCHEMA_BASE}shared",
                "properties": parts,
                "$defs": {
                    _INTEGER: _STRICT_INTEGER,
                    **{
                        identifier: _strict({name: document[name] for name in document if name != "$schema"})
                        for identifier, document in documents.items()
                    },
                },
            }
        )

    def accepts(self, type_id: str, document: Mapping[str, Any]) -> bool:
        """Return whether a message is known to be what the schema of its type accepts.

        Then it also holds no float, and is nested no deeper than strict JSON allows. False says
        nothing: it has then to be asked for departures.

        Args:
            type_id: A type of the catalogue, which the message names as its own.
            document: The message.
        """
        return (
            document.keys() == _MEMBERS
            and type_id not in self._alone
            and self._parts.is_valid({"header": document["header"], type_id: document["payload"]})
        )

    def first_departure(self, type_id: str, document: Mapping[str, Any]) -> Departure | None:
        """Return one place where a message departs from the schema of its type; None if it does not.

        Args:
            type_id: A type of the catalogue, which the message names as its own.
            document: The message, which holds no float.
        """
        for validator, instance in self._judged(type_id, document):
            try:
                validator.validate(instance)
            except jsonschema_rs.ValidationError as error:
                return self._departure(type_id, error)
        return None

    def departures(self, type_id: str, document: Mapping[str, Any]) -> Iterator[Departure]:
        """Yield every place where a message departs from the schema of its type.

        Args:
            type_id: A type of the catalogue, which the message names as its own.
            document: The message, which holds no float.
        """
        for validator, instance in self._judged(type_id, document):
            for error in validator.iter_errors(instance):
                yield self._departure(type_id, error)

    def _judged(
        self, type_id: str, document: Mapping[str, Any]
    ) -> Iterator[tuple[jsonschema_rs.Draft202012Validator, Mapping[str, Any]]]:
        """Yield the validators of a type, each with what it has to see of a message."""
        if type_id in self._alone:
            yield self._alone[type_id], document
            return
        yield self._envelope, dict.fromkeys(document)
        names = {"header": "header", "payload": type_id}
        yield self._parts, {part: document[name] for name, part in names.items() if name in document}

    def _departure(self, type_id: str, error: jsonschema_rs.ValidationError) -> Departure:
        path = error.instance_path
        if path[:1] == [type_id] and type_id not in self._alone:
            path = ["payload", *path[1:]]
        return Departure(path, error.kind)


def _is_header_and_payload(type_id: str, schema: Schema) -> bool:
    """Return whether a schema asks for its type, the common header, a payload and nothing else."""
    says = _assertions(schema)
    members = says.pop("properties", {})
    return (
        members.keys() == _MEMBERS
        and says.keys() == {"type", "required", "additionalProperties"}
        and says["type"] == "object"
        and set(says["required"]) == _MEMBERS
        and says["additionalProperties"] is False
        and _assertions(members["type"]) == {"const": type_id}
        and _assertions(members["header"]).keys() == {"$ref"}
        and resolve(schema["$id"], members["header"]["$ref"]) == (HEADER_ID, "")
    )


def _is_closed(
    documents: Mapping[str, Schema], identifier: str, schema: Schema, levels: int = MAX_DEPTH - 1
) -> bool:
    """Return whether a schema says of every value below it what kind of value it is.

    Args:
        documents: Documents by ``$id``; every reference leads into one of them.
        identifier: ``$id`` of the document that holds the schema.
        schema: The schema.
        levels: Objects and lists that may stand in one another there.
    """
    place = place_of(documents, identifier, schema)
    if any("const" in part or "enum" in part for part in place.parts):
        constants = [place.fact("const"), *(place.fact("enum") or ())]
        return all(value is None or type(value) in {str, bool} for value in constants)
    kind = place.fact("type")
    if _SCALARS.issuperset([kind] if isinstance(kind, str) else kind or ["any"]):
        return True
    form = place.parts[-1]
    if levels == 0 or not {"patternProperties", "prefixItems"}.isdisjoint(form):
        return False
    if kind == "array":
        return "items" in form and _is_closed(documents, place.identifier, form["items"], levels - 1)
    return (
        kind == "object"
        and form.get("additionalProperties") is False
        and all(
            _is_closed(documents, place.identifier, member, levels - 1)
            for member in form.get("properties", {}).values()
        )
    )


def _strict(node: Any) -> Any:
    """Return a schema document without texts for people, in which integers are written without a fraction."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    strict = {
        name: value if name in _CONSTANTS else _strict(value)
        for name, value in node.items()
        # A property may be called so: then its value is a schema, and no text.
        if not (name in _TEXTS and isinstance(value, str))
    }
    kinds = ["integer"] if strict.get("type") == "integer" else strict.get("type")
    # A property may be called so: then it is a schema, and neither text nor list.
    if isinstance(kinds, list) and "integer" in kinds:
        del strict["type"]
        choices = [{"$ref": _INTEGER} if kind == "integer" else {"type": kind} for kind in kinds]
        strict["allOf"] = [*strict.get("allOf", ()), {"anyOf": choices} if len(choices) > 1 else choices[0]]
    return strict


def _assertions(schema: Schema) -> dict[str, Any]:
    return {keyword: value for keyword, value in schema.items() if keyword not in _ASSERT_NOTHING}
