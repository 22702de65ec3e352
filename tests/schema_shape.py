"""What a schema demands, place by place, in a form that can be kept and compared.

A minor version of the schemas may add optional fields and nothing else: a message of the
version before stays valid and means the same. So of each release the demands of every place
are kept, as digests, and what a later tree has at these places must be the same. What is new
may only stand at new places; that a new field is optional follows from its parent, whose list
of required fields is among the demands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

FOLDERS_LEFT_OUT = frozenset({"examples", "tables"})
DIGEST_CHARS = 12

Shape = dict[str, dict[str, str]]
"""Digest of the demands by file and place, a JSON Pointer into the file."""

_CHILDREN = frozenset({"properties", "items"})
_WORDS = frozenset({"$schema", "$id", "$comment", "title", "description", "examples", "default"})


def shape_of(files: Mapping[str, bytes]) -> Shape:
    """Return what the schemas among the files of a catalogue demand."""
    shape: Shape = {}
    for path, content in sorted(files.items()):
        document = orjson.loads(content)
        if "$id" in document and not path.endswith(".terms.json"):
            shape[path] = dict(_places(document, ""))
    return shape


def read_schemas(folder: Path) -> dict[str, bytes]:
    """Return the files below ``schemas/`` that may hold a schema of a message."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.glob("*/**/*.json")
        if path.parent.name not in FOLDERS_LEFT_OUT
    }


def breaks(released: Shape, present: Shape) -> list[str]:
    """Return every place at which the present schemas demand something else than the released ones."""
    found: list[str] = []
    for path, places in released.items():
        now = present.get(path)
        if now is None:
            found.append(f"{path} is gone")
            continue
        found += [
            f"{path}#{place} demands something else" if place in now else f"{path}#{place} is gone"
            for place, digest in places.items()
            if now.get(place) != digest
        ]
    return found


def _places(schema: Any, place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(schema, dict):
        return
    demands = {
        name: sorted(value) if name == "required" else value
        for name, value in schema.items()
        if name not in _CHILDREN | _WORDS and not name.startswith("x-")
    }
    text = orjson.dumps(demands, option=orjson.OPT_SORT_KEYS)
    yield place, hashlib.sha256(text).hexdigest()[:DIGEST_CHARS]
    for name, field in schema.get("properties", {}).items():
        yield from _places(field, f"{place}/properties/{name}")
    if "items" in schema:
        yield from _places(schema["items"], f"{place}/items")
