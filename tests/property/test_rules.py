"""Laws of the rules: asking first whether a message is good changes no verdict."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.instants import instant_ms
from gateway.core.message.rule import all_violations, stateless_violations
from tests.unit.core.message.rules.samples import own_schema

CATALOGUE = read_catalogue()
EXAMPLES: list[dict[str, Any]] = [
    orjson.loads(path.read_bytes()) for path in sorted(catalogue_folder().glob("*/examples/*valid-*.json"))
]
MESSAGES = [example.get("message", example) for example in EXAMPLES]


def fields(node: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every field below ``node``, as the object that holds it and its name."""
    if isinstance(node, dict):
        for name in node:
            yield node, name
            yield from fields(node[name])
    elif isinstance(node, list):
        for entry in node:
            yield from fields(entry)


def values_by_name() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for message in MESSAGES:
        for holder, name in fields(message):
            if holder[name] not in found[name]:
                found[name].append(holder[name])
    return found


# What stands in a field of one message stands as well in the field of this name of another one: the
# schema accepts it there, and the rules often do not.
VALUES = values_by_name()


@st.composite
def mixed(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an example in which up to four fields are taken from others, or left out."""
    message: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(MESSAGES)))
    for _ in range(draw(st.integers(0, 4))):
        part = draw(st.sampled_from(["header", "payload"]))
        places = list(fields(message[part]))
        if not places:
            continue
        holder, name = draw(st.sampled_from(places))
        if draw(st.integers(0, 4)) == 0:
            del holder[name]
        else:
            holder[name] = copy.deepcopy(draw(st.sampled_from(VALUES[name])))
    return message


@given(mixed(), st.sampled_from([0, 1, 40 * 86_400_000]))
def test_a_message_is_called_good_only_if_nothing_can_be_found(
    message: dict[str, Any], later_ms: int
) -> None:
    message_type = CATALOGUE.find(message["type"])
    assume(message_type is not None and own_schema(message_type.id).is_valid(message))
    assert message_type is not None
    now_ms = instant_ms(message["header"]["created_at"]) + later_ms

    found = stateless_violations(message, message_type, CATALOGUE.agreement, now_ms)

    assert found == all_violations(message, message_type, CATALOGUE.agreement, now_ms)
    # And once more, with a verdict on its frame that was kept.
    assert found == stateless_violations(message, message_type, CATALOGUE.agreement, now_ms)
