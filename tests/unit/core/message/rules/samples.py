"""Good messages to change, and what the rules say about them.

Each rule is tried on a real message: an example of its type, changed in one place. The
verdict holds everything the node would report, so a test that expects one violation also
proves that nothing else is.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

from gateway.catalogue import read_catalogue
from gateway.core.message.compiled import compile_schema
from gateway.core.message.examine import examine_document
from gateway.core.message.instants import instant_ms

ROOT: Final = Path(__file__).resolve().parents[5]
ABSENT: Final = object()
"""As a value in `changed`: remove the field."""


@cache
def own_schema(type_id: str) -> jsonschema_rs.Draft202012Validator:
    """Return the schema of a type of the catalogue, compiled by itself, as anybody may compile it."""
    return compile_schema(read_catalogue().type(type_id).bundled)


@cache
def _example_text(type_name: str, number: int) -> str:
    files = sorted((ROOT / "schemas" / type_name / "examples").glob("valid-*.json"))
    return files[number].read_text(encoding="utf-8")


def example(type_name: str, *, number: int = 0) -> dict[str, Any]:
    """Return a good message of a type, made anew."""
    document: dict[str, Any] = json.loads(_example_text(type_name, number))
    return document


def changed(type_name: str, changes: Mapping[str, Any] | None = None, *, number: int = 0) -> dict[str, Any]:
    """Return a good message with some fields, by JSON Pointer, set or removed.

    ``-`` as the last step appends to a list.
    """
    document = example(type_name, number=number)
    for pointer, value in (changes or {}).items():
        *steps, last = pointer.split("/")[1:]
        holder: Any = document
        for step in steps:
            holder = holder[int(step)] if isinstance(holder, list) else holder[step]
        new = value if value is ABSENT else copy.deepcopy(value)
        if isinstance(holder, list):
            if last == "-":
                holder.append(new)
            else:
                holder[int(last)] = new
        elif value is ABSENT:
            del holder[last]
        else:
            holder[last] = new
    return document


def created_ms(document: Mapping[str, Any]) -> int:
    """Return when a message was created."""
    return instant_ms(document["header"]["created_at"])


def stamp(milliseconds: int) -> str:
    """Return the time stamp of an instant."""
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def verdict(document: dict[str, Any], *, now_ms: int | None = None) -> set[tuple[str, str]]:
    """Return rule and pointer of everything wrong with a message when it was created, or later."""
    now = created_ms(document) if now_ms is None else now_ms
    violations = examine_document(document, catalogue=read_catalogue(ROOT / "schemas"), now_ms=now)
    return {(violation.rule, violation.pointer) for violation in violations}
