"""Schema documents that refer to each other, without any network.

Every file of the catalogue that is a JSON Schema has an ``$id`` below one base, and refers
to others by relative paths. Here such references are followed and documents are put
together into one. Only what the catalogue uses is understood: relative paths, and
fragments that are JSON Pointers.

Spec: JSON Schema Core 2020-12, sections 8.2 and 9.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

SCHEMA_BASE: Final = "https://entente.example/schemas/"
"""Base of every ``$id``. A name, not an address: nothing is ever read from there."""

HEADER_ID: Final = SCHEMA_BASE + "common/header.json"
"""``$id`` of the header that every message has."""

Schema = Mapping[str, Any]
"""A schema document, or a part of one."""


def references(node: object) -> Iterator[str]:
    """Yield every ``$ref`` below ``node``."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def resolve(identifier: str, reference: str) -> tuple[str, str]:
    """Return the ``$id`` and the fragment that ``reference`` means in the document ``identifier``.

    Args:
        identifier: ``$id`` of the document that holds the reference.
        reference: A relative path, a fragment, or both: ``../codes/area.json``, ``#/$defs/x``.
    """
    path, _, fragment = reference.partition("#")
    if not path:
        return identifier, fragment
    if "://" in path:
        return path, fragment
    folders = identifier.split("/")[:-1]
    for step in path.split("/"):
        if step == "..":
            folders.pop()
        elif step != ".":
            folders.append(step)
    return "/".join(folders), fragment


def follow(documents: Mapping[str, Schema], identifier: str, reference: str) -> tuple[str, Schema]:
    """Return the part that ``reference`` means, with the ``$id`` of its document.

    Args:
        documents: Documents by ``$id``; the reference leads into one of them.
        identifier: ``$id`` of the document that holds the reference.
        reference: The reference.
    """
    target, fragment = resolve(identifier, reference)
    node = documents[target]
    for step in fragment.split("/")[1:]:
        node = node[step.replace("~1", "/").replace("~0", "~")]
    return target, node


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a schema says about one place of a document.

    Attributes:
        identifier: ``$id`` of the document that ``parts`` ends in.
        parts: The schema of the place and what it refers to, nearest first.
    """

    identifier: str
    parts: tuple[Schema, ...]

    def fact(self, keyword: str) -> Any:
        """Return the nearest value of a keyword, or None."""
        return next((part[keyword] for part in self.parts if keyword in part), None)


def place_of(documents: Mapping[str, Schema], identifier: str, node: Schema) -> Place:
    """Return what a part of a schema says, through its references.

    Args:
        documents: Documents by ``$id``; every reference leads into one of them.
        identifier: ``$id`` of the document that holds the part.
        node: The part.
    """
    parts = [node]
    while "$ref" in parts[-1]:
        identifier, target = follow(documents, identifier, parts[-1]["$ref"])
        parts.append(target)
    return Place(identifier=identifier, parts=tuple(parts))


class Held(NamedTuple):
    """What a field holds: objects of a building block, values of a format, or neither.

    Attributes:
        identifier: ``$id`` of the document that describes it.
        schema: The description.
        in_list: Whether the field holds a list of it.
        block: Name of the building block, of its file in ``common/``; None if it is none.
        format: Name of the format, of its file in ``formats/``; None if it has none.
    """

    identifier: str
    schema: Schema
    in_list: bool
    block: str | None
    format: str | None


def held_by(documents: Mapping[str, Schema], identifier: str, schema: Schema) -> Held:
    """Return what a field holds, through references and lists.

    Args:
        documents: Documents by ``$id``; every reference leads into one of them.
        identifier: ``$id`` of the document that describes the field.
        schema: The description.
    """
    block: str | None = None
    in_list = False
    while True:
        if "$ref" in schema:
            identifier, schema = follow(documents, identifier, schema["$ref"])
            folder, _, file = identifier.removeprefix(SCHEMA_BASE).removesuffix(".json").rpartition("/")
            if folder == "formats":
                return Held(identifier, schema, in_list, None, file)
            block = file if folder == "common" else None
        elif "items" in schema:
            schema = schema["items"]
            in_list, block = True, None
        else:
            return Held(identifier, schema, in_list, block, None)


def bundle(schema: Schema, documents: Mapping[str, Schema]) -> dict[str, Any]:
    """Return ``schema`` with every document it refers to embedded under ``$defs``.

    The embedded documents keep their ``$id``, so references need no rewriting and any tool
    for JSON Schema 2020-12 can use the result alone.

    Args:
        schema: The document to start from.
        documents: Every document it needs, by ``$id``; itself may be among them.

    Spec: JSON Schema Core 2020-12, section 9.3, "Compound Documents".
    """
    embedded = {
        identifier.removeprefix(SCHEMA_BASE): {
            keyword: value for keyword, value in document.items() if keyword != "$schema"
        }
        for identifier, document in sorted(documents.items())
        if identifier != schema["$id"]
    }
    whole = dict(schema)
    if embedded:
        whole["$defs"] = {**whole.get("$defs", {}), **embedded}
    return whole
