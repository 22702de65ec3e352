"""Compiled schemas: one for each document, and one for all message types together.

The schema of a type says what is wrong with a message, and where. Compiled, sixty of them do
not fit into a processor's cache: of mixed messages each waits for memory. But they have most
in common, the header and the building blocks of payloads. Compiled together these exist
once, and mixed messages take half the time (docs/performance-changes.md). So that one is asked
first, and says of nearly every message that it is good.

It is also stricter in one thing. To JSON Schema 1.0 is an integer, and to strict JSON it is
none; looking for floats value by value costs as much as parsing. So here an integer is what
it was to draft 4 of JSON Schema, a number written without a fraction, and what is accepted
holds no float. That is so because these schemas leave no place where anything may stand,
which is verified once.

Spec: docs/spec/messages.md, "Schema".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from gateway.core.message.schema_documents import HEADER_ID, SCHEMA_BASE, Schema, place_of, resolve
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
_SCALARS: Final = frozenset({"string", "integer", "boolean", "null"})
_ASSERT_NOTHING: Final = frozenset(
    {
        "$id",
        "$schema",
        "$comment",
        "$defs",
        "title",
        "description",
        "x-title-fr",
        "x-description-fr",
        "examples",
    }
)


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


class SharedSchema:
    """The schemas of all types in one, for the one answer that a message is good."""

    def __init__(self, types: Mapping[str, Schema], documents: Mapping[str, Schema]) -> None:
        """Compile the schemas of types.

        Args:
            types: The schema of each type, by its id.
            documents: Every schema document that they need, themselves included, by ``$id``.
        """
        shared: dict[str, Schema] = {}
        if _is_closed(documents, HEADER_ID, documents[HEADER_ID]):
            shared["header"] = {"$ref": HEADER_ID}
        for type_id, schema in types.items():
            if _is_header_and_payload(type_id, schema) and _is_closed(
                documents, schema["$id"], schema["properties"]["payload"]
            ):
                shared[type_id] = {"$ref": f"{schema['$id']}#/properties/payload"}
        self._validator = compile_schema(
            {
                "$schema": DIALECT,
                "$id": f"{SCHEMA_BASE}shared",
                "properties": shared,
                "additionalProperties": False,
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
        nothing: that schema has then to be asked itself.

        Args:
            type_id: A type of the catalogue, which the message names as its own.
            document: The message.
        """
        return document.keys() == _MEMBERS and self._validator.is_valid(
            {"header": document["header"], type_id: document["payload"]}
        )


def _is_header_and_payload(type_id: str, schema: Schema) -> bool:
    """Return whether a schema asks for its type, the common header, its payload and nothing else."""
    says = _assertions(schema)
    members = says.pop("properties", {})
    return (
        members.keys() == _MEMBERS
        and says.keys() == {"type", "required", "additionalProperties"}
        and says["type"] == "object"
        and _MEMBERS.issuperset(says["required"])
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
    """Return a schema document in which an integer is written without a fraction."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    strict = {name: value if name in _CONSTANTS else _strict(value) for name, value in node.items()}
    kinds = ["integer"] if strict.get("type") == "integer" else strict.get("type")
    # A property may be called so: then it is a schema, and neither text nor list.
    if isinstance(kinds, list) and "integer" in kinds:
        del strict["type"]
        choices = [{"$ref": _INTEGER} if kind == "integer" else {"type": kind} for kind in kinds]
        strict["allOf"] = [*strict.get("allOf", ()), {"anyOf": choices} if len(choices) > 1 else choices[0]]
    return strict


def _assertions(schema: Schema) -> dict[str, Any]:
    return {keyword: value for keyword, value in schema.items() if keyword not in _ASSERT_NOTHING}
