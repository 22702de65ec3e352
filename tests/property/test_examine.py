"""Laws of examining: whatever stands in a message, there is a verdict and no echo of a value."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.draft import Sender, complete
from gateway.core.message.examine import examine_document
from gateway.core.message.instants import instant_ms
from gateway.core.message.strict_json import MAX_INTEGER
from tests.unit.core.message.rules.samples import own_schema

CATALOGUE = read_catalogue()
EXAMPLES: list[dict[str, Any]] = [
    orjson.loads(path.read_bytes()) for path in sorted(catalogue_folder().glob("*/examples/valid-*.json"))
]
NOW = instant_ms("2026-11-05T12:00:00Z")
NEW_ID = UUID("0190f3c2-7a00-7c11-8f00-000000000001").bytes

# No text of schema or rule holds this, so it can only come from a message.
SECRET = "zqxj-specimen-value"
KEYS = st.just(SECRET) | st.sampled_from(["type", "header", "payload", "id", "kind", "ref", "contacts"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.just(SECRET)
    | st.sampled_from(["", "FR", "0000", "FLASH", "H3"])
    | st.sampled_from(["9999-12-31", "9999-12-31T23:59:59Z", "1000-01-01", "2026-11-05T12:00:00"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(KEYS, children, max_size=3),
    max_leaves=6,
)


def places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value below ``node``."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, child in children:
        yield (*path, step)
        yield from places(child, (*path, step))


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid example with one to three values replaced, removed or added."""
    document: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(list(places(document))))
        target: Any = document
        for step in way:
            target = target[step]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "remove":
            del target[last]
        elif action == "add" and isinstance(target, dict):
            target[draw(KEYS)] = draw(VALUES)
        else:
            target[last] = draw(VALUES)
        if not document:
            break
    return document


@given(damaged())
def test_every_document_has_a_verdict_that_repeats_nothing(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)

    violations = examine_document(document, catalogue=CATALOGUE, now_ms=NOW)

    assert document == before
    for violation in violations:
        assert SECRET not in repr(violation)
        assert violation.pointer.startswith("/")
        assert violation.text("en")
        assert violation.text("fr")


@given(damaged())
def test_the_schema_of_all_types_accepts_what_that_of_the_type_accepts(document: dict[str, Any]) -> None:
    message_type = CATALOGUE.find(document.get("type"))
    assume(message_type is not None)
    assert message_type is not None

    accepted = CATALOGUE.shared.accepts(message_type.id, document)

    # It would refuse floats, of which there are none here.
    assert accepted == own_schema(message_type.id).is_valid(document)


@given(damaged())
def test_the_schema_of_all_types_finds_what_that_of_the_type_finds(document: dict[str, Any]) -> None:
    message_type = CATALOGUE.find(document.get("type"))
    assume(message_type is not None)
    assert message_type is not None

    first = CATALOGUE.shared.first_departure(message_type.id, document)
    found = list(CATALOGUE.shared.departures(message_type.id, document))

    # Where a value may be of several kinds, an integer is a choice of its own.
    keyword = {"anyOf": "type"}
    assert sorted(
        (repr(departure.path), keyword.get(departure.kind.name, departure.kind.name)) for departure in found
    ) == sorted(
        (repr(error.instance_path), error.kind.name)
        for error in own_schema(message_type.id).iter_errors(document)
    )
    assert (first is None) == (not found)
    assert first is None or (first.path, first.kind.name) in [(d.path, d.kind.name) for d in found]


@given(damaged())
def test_every_draft_is_completed_without_changing_what_it_says(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)

    completed = complete(
        document,
        catalogue=CATALOGUE,
        sender=Sender(nation="FR", agency="FR.DGDDI.SARC", unit=None),
        peer_nation="US",
        now_ms=NOW,
        new_id=lambda: NEW_ID,
        parent=None,
    )

    assert document == before
    _assert_kept(before, completed.document)
    examine_document(completed.document, catalogue=CATALOGUE, now_ms=NOW)


def _assert_kept(given_value: Any, filled: Any) -> None:
    """Everything that was given is still there, at its place."""
    if isinstance(given_value, dict):
        for name, value in given_value.items():
            _assert_kept(value, filled[name])
    elif isinstance(given_value, list):
        assert len(given_value) == len(filled)
        for one, other in zip(given_value, filled, strict=True):
            _assert_kept(one, other)
    else:
        assert given_value == filled


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda d: str(d["type"]))
def test_the_examples_are_good_when_they_are_created(example: dict[str, Any]) -> None:
    now_ms = instant_ms(example["header"]["created_at"])

    assert examine_document(example, catalogue=CATALOGUE, now_ms=now_ms) == ()
