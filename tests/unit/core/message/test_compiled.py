"""All types compiled together: a yes is the yes of a type's own schema, anything else is no answer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.compiled import SharedSchema
from tests.unit.core.message.rules.samples import changed, example

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


def test_what_a_schema_says_to_people_makes_no_difference() -> None:
    assert shared(lambda schema: schema["properties"]["header"].update(title="Head")).accepts(TYPE, MESSAGE)
