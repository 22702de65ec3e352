"""A minor version of the schemas adds optional fields and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalogue import catalogue_folder
from tests.schema_shape import breaks, read_schemas, shape_of

RELEASED = Path(__file__).parents[3] / "vectors" / "released_schemas.json"
PATH = "a.b/1.json"


def test_the_schemas_demand_nothing_else_than_those_of_the_last_release() -> None:
    """A failure means: make it a new major version of the type, or take the change back."""
    released = json.loads(RELEASED.read_bytes())["files"]
    assert len(released) > 100
    assert breaks(released, shape_of(read_schemas(catalogue_folder()))) == []


def schema() -> dict[str, Any]:
    return {
        "$id": "https://entente.example/schemas/a.b/1.json",
        "title": "A type",
        "type": "object",
        "properties": {
            "code": {"enum": ["A", "B"], "title": "Code"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"maximum": 5}}}},
        },
        "required": ["code"],
        "additionalProperties": False,
    }


def changed(change: Callable[[dict[str, Any]], None]) -> list[str]:
    after = schema()
    change(after)
    return breaks(
        shape_of({PATH: orjson.dumps(schema())}),
        shape_of({PATH: orjson.dumps(after), "c.d/1.json": orjson.dumps(schema())}),
    )


def _add_optional(document: dict[str, Any]) -> None:
    document["properties"]["more"] = {"type": "string"}
    document["properties"]["list"]["items"]["properties"]["more"] = {"type": "string"}


def _reword(document: dict[str, Any]) -> None:
    document["title"] = "Another title"
    document["properties"]["code"]["examples"] = ["A"]
    document["properties"]["code"]["x-title-fr"] = "Code"


@pytest.mark.parametrize("change", [_add_optional, _reword])
def test_optional_fields_words_and_new_files_may_be_added(change: Callable[[dict[str, Any]], None]) -> None:
    assert changed(change) == []


def _add_required(document: dict[str, Any]) -> None:
    document["properties"]["more"] = {"type": "string"}
    document["required"].append("more")


def _require(document: dict[str, Any]) -> None:
    document["required"].append("list")


def _drop(document: dict[str, Any]) -> None:
    del document["properties"]["list"]["items"]["properties"]["n"]


def _tighten(document: dict[str, Any]) -> None:
    document["properties"]["list"]["items"]["properties"]["n"]["maximum"] = 4


def _loosen(document: dict[str, Any]) -> None:
    document["properties"]["list"]["items"]["properties"]["n"]["maximum"] = 6


def _add_code(document: dict[str, Any]) -> None:
    document["properties"]["code"]["enum"].append("C")


def _open(document: dict[str, Any]) -> None:
    document["additionalProperties"] = True


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_add_required, ""),
        (_require, ""),
        (_open, ""),
        (_drop, "/properties/list/items/properties/n"),
        (_tighten, "/properties/list/items/properties/n"),
        (_loosen, "/properties/list/items/properties/n"),
        (_add_code, "/properties/code"),
    ],
)
def test_every_other_change_is_named_with_its_place(
    change: Callable[[dict[str, Any]], None], place: str
) -> None:
    (found,) = changed(change)
    assert found.startswith(f"{PATH}#{place} ")


def test_a_file_that_is_gone_is_named() -> None:
    assert breaks(shape_of({PATH: orjson.dumps(schema())}), {}) == [f"{PATH} is gone"]
