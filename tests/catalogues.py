"""Catalogues that differ from the project's in one type, for tests of the agreement between nodes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson

from gateway.catalogue import catalogue_folder
from gateway.core.message.registry import Catalogue

CHANGED: Final = "alert.urgent/1"


ADDED: Final = "weather"
"""Optional field of `CHANGED` in `minor_catalogue`."""


@lru_cache(maxsize=1)
def changed_catalogue() -> Catalogue:
    """Return a catalogue in which `CHANGED` is kept a day longer; every other type is the same."""
    files = _files()
    terms = orjson.loads(files[f"{CHANGED}.terms.json"])
    terms["keep_days"] += 1
    files[f"{CHANGED}.terms.json"] = orjson.dumps(terms)
    return Catalogue.from_files(files)


@lru_cache(maxsize=1)
def minor_catalogue() -> Catalogue:
    """Return a catalogue of the next minor version, in which `CHANGED` has one more optional field."""
    files = _files()
    schema = orjson.loads(files[f"{CHANGED}.json"])
    schema["properties"]["payload"]["properties"][ADDED] = {
        "title": "Weather",
        "x-title-fr": "Météo",
        "description": "Weather at the place.",
        "x-description-fr": "La météo sur place.",
        "$ref": "../formats/text.json",
        "maxLength": 100,
    }
    files[f"{CHANGED}.json"] = orjson.dumps(schema)
    agreement = orjson.loads(files["agreement.json"])
    agreement["schema_version"] = "1.1"
    files["agreement.json"] = orjson.dumps(agreement)
    return Catalogue.from_files(files)


def _files() -> dict[str, bytes]:
    folder = catalogue_folder()
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.json")
        if path.parent.name != "examples"
    }
