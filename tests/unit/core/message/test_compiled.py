"""All types compiled together: a yes is the yes of a type's own schema, anything else is no answer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.compiled import SharedSchema
from tests.unit.core.message.rules.samples import ROOT, changed, example, own_schema

CATALOGUE = read_catalogue()
TYPE = "assist.request/1"
MESSAGE = example("assist.request")


def shared(change: Callable[[dict[str, Any]], object]) -> SharedSchema:
    """Return the compilation of a type's schema that was changed."""
    message_type = CATALOGUE.type(TYPE)
    schema = copy.deepcopy(dict(message_type.schema))
    change(schema)
    return SharedSchema({TYPE: schema}, {**message_type.documents, schema["$id"]: schema})


def test_a_message_that_its_schema_accepts_is_accepted() -> None:
    assert shared(lambda _: None).accepts(TYPE, MESSAGE)
    assert CATALOGUE.shared.accepts(TYPE, MESSAGE)


def test_every_type_is_compiled_with_the_others() -> None:
    for message_type in CATALOGUE.types.values():
        message = example(message_type.id.partition("/")[0])

        assert CATALOGUE.shared.accepts(message_type.id, message), message_type.id


@pytest.mark.parametrize(
    "changes",
    [
        {"/header/precedence": "SOON"},
        {"/header/nickname": "x"},
        {"/payload/nickname": "x"},
        {"/nickname": "x"},
        {"/payload": []},
        {"/header": None},
    ],
)
def test_a_message_that_departs_from_its_schema_is_not(changes: dict[str, Any]) -> None:
    assert not CATALOGUE.shared.accepts(TYPE, changed("assist.request", changes))


@pytest.mark.parametrize("member", ["type", "header", "payload"])
def test_a_message_that_lacks_a_member_is_not(member: str) -> None:
    message = example("assist.request")
    del message[member]

    assert not CATALOGUE.shared.accepts(TYPE, message)


def test_the_payload_of_another_type_is_not() -> None:
    assert not CATALOGUE.shared.accepts(TYPE, {**MESSAGE, "payload": example("intel.spontaneous")["payload"]})


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema.update(minProperties=3),
        lambda schema: schema.update(additionalProperties=True),
        lambda schema: schema.pop("additionalProperties"),
        lambda schema: schema.update(type=["object", "array"]),
        lambda schema: schema["required"].append("signature"),
        lambda schema: schema["properties"].update(signature={"type": "string"}),
        lambda schema: schema["properties"]["type"].update(const="assist.reply/1"),
        lambda schema: schema["properties"]["type"].update(minLength=100),
        lambda schema: schema["properties"]["header"].update(required=["reply_by"]),
        lambda schema: schema["properties"].update(header={"$ref": "../common/from.json"}),
        lambda schema: schema["properties"].update(header={"type": "object"}),
    ],
)
def test_a_schema_that_asks_for_more_than_header_and_payload_answers_for_itself(
    change: Callable[[dict[str, Any]], object],
) -> None:
    assert not shared(change).accepts(TYPE, MESSAGE)


# --- What is accepted is strict JSON --------------------------------------------------------


def integers(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of an integer below ``node``, as its container and key or index."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in list(children):
        if type(child) is int:
            yield node, key
        yield from integers(child)


@pytest.mark.parametrize("type_id", list(CATALOGUE.types))
def test_no_integer_may_be_a_float(type_id: str) -> None:
    files = (ROOT / "schemas" / type_id.partition("/")[0] / "examples").glob("valid-*.json")
    for number, _ in enumerate(files):
        message = example(type_id.partition("/")[0], number=number)
        assert CATALOGUE.shared.accepts(type_id, message)
        for container, key in integers(message):
            integer = container[key]
            container[key] = float(integer)
            # To JSON Schema 2020-12 that is the same number.
            assert own_schema(type_id).is_valid(message)
            assert not CATALOGUE.shared.accepts(type_id, message), key
            container[key] = integer


def test_a_value_that_may_be_of_several_kinds_is_no_float_either() -> None:
    patched = changed("gov.correction", {"/payload/patches/0/old": 7})
    assert CATALOGUE.shared.accepts("gov.correction/1", patched)

    patched["payload"]["patches"][0]["old"] = 7.0
    assert not CATALOGUE.shared.accepts("gov.correction/1", patched)


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"title": "Anything"},
        {"type": "number"},
        {"type": ["string", "number"]},
        {"enum": ["one", 1]},
        {"const": 1},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "array", "prefixItems": [{"type": "number"}], "items": {"type": "string"}},
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False},
        {"type": ["object", "string"], "properties": {}, "additionalProperties": False},
        {"$ref": "#/properties/payload"},
        {"$ref": "#/properties/payload/properties/place/items", "items": {"type": "number"}},
    ],
)
def test_a_type_with_a_place_for_anything_answers_for_itself(place: dict[str, Any]) -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["properties"]["payload"]["properties"]["place"] = place

    assert not shared(change).accepts(TYPE, MESSAGE)


@pytest.mark.parametrize(
    "place",
    [
        {"type": "string"},
        {"type": ["integer", "null"]},
        {"enum": ["one", None, True]},
        {"type": "array", "items": {"$ref": "../common/person.json"}},
        {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False},
    ],
)
def test_a_type_whose_places_are_all_known_is_compiled_with_the_others(place: dict[str, Any]) -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["properties"]["payload"]["properties"]["place"] = place

    assert shared(change).accepts(TYPE, MESSAGE)


@pytest.mark.parametrize(("levels", "accepted"), [(61, True), (62, True), (63, False)])
def test_what_could_be_nested_too_deep_answers_for_itself(levels: int, accepted: bool) -> None:
    place: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        place = {"type": "array", "items": place}

    def change(schema: dict[str, Any]) -> None:
        schema["properties"]["payload"]["properties"]["place"] = place

    # The message and its payload are two levels more, and 64 is what strict JSON allows.
    assert shared(change).accepts(TYPE, MESSAGE) is accepted


def test_what_a_schema_says_to_people_makes_no_difference() -> None:
    assert shared(lambda schema: schema["properties"]["header"].update(title="Head")).accepts(TYPE, MESSAGE)
