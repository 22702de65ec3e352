"""Compiled schemas: one for each document, and one for all message types together.

The schema of a type says what is wrong with a message, and where. Compiled, sixty of them do
not fit into a processor's cache: of mixed messages each waits for memory. But they have most
in common, the header and the building blocks of payloads. Compiled together these exist
once, and mixed messages take half the time (docs/performance.md). So that one is asked
first, and says of nearly every message that it is good.

Spec: docs/spec/messages.md, "Schema".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from gateway.core.message.schema_documents import HEADER_ID, SCHEMA_BASE, Schema, resolve

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_MASK: Final = "[hidden]"
_MEMBERS: Final = frozenset({"type", "header", "payload"})
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
        payloads = {
            type_id: {"$ref": f"{schema['$id']}#/properties/payload"}
            for type_id, schema in types.items()
            if _is_header_and_payload(type_id, schema)
        }
        self._validator = compile_schema(
            {
                "$schema": DIALECT,
                "$id": f"{SCHEMA_BASE}shared",
                "properties": {"header": {"$ref": HEADER_ID}, **payloads},
                "additionalProperties": False,
                "$defs": {
                    identifier: {
                        keyword: value for keyword, value in document.items() if keyword != "$schema"
                    }
                    for identifier, document in documents.items()
                },
            }
        )

    def accepts(self, type_id: str, document: Mapping[str, Any]) -> bool:
        """Return whether a message is known to be what the schema of its type accepts.

        False says nothing: that schema has then to be asked itself.

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


def _assertions(schema: Schema) -> dict[str, Any]:
    return {keyword: value for keyword, value in schema.items() if keyword not in _ASSERT_NOTHING}
