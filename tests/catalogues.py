"""Catalogues that differ from the project's in one type, for tests of the agreement between nodes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson

from gateway.catalogue import catalogue_folder
from gateway.core.message.registry import Catalogue

CHANGED: Final = "alert.urgent/1"


@lru_cache(maxsize=1)
def changed_catalogue() -> Catalogue:
    """Return a catalogue in which `CHANGED` is kept a day longer; every other type is the same."""
    folder = catalogue_folder()
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.json")
        if path.parent.name != "examples"
    }
    terms = orjson.loads(files[f"{CHANGED}.terms.json"])
    terms["keep_days"] += 1
    files[f"{CHANGED}.terms.json"] = orjson.dumps(terms)
    return Catalogue.from_files(files)
