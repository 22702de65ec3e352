"""Query parameters."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.exchange import Query
from gateway.web.refusals import ParameterError

NAMES = frozenset({"limit", "wait", "mode", "after"})


def test_absent_parameters_have_their_defaults() -> None:
    query = Query("", NAMES)

    assert query.integer("limit", default=5, low=1, high=9) == 5
    assert query.seconds("wait", default=1.5, low=0, high=9) == 1.5
    assert query.choice("mode", default="a", choices=("a", "b")) == "a"
    assert query.text("after", pattern=re.compile(".*")) is None
    query.done()


def test_good_parameters_have_their_values() -> None:
    query = Query("limit=9&wait=0.25&mode=b&after=%61b", NAMES)

    assert query.integer("limit", default=5, low=1, high=9) == 9
    assert query.seconds("wait", default=1.5, low=0, high=9) == 0.25
    assert query.choice("mode", default="a", choices=("a", "b")) == "b"
    assert query.text("after", pattern=re.compile("[a-z]+")) == "ab"
    query.done()


@pytest.mark.parametrize(
    "text",
    [
        "limit=0",
        "limit=10",
        "limit=-1",
        "limit=1.0",
        "limit=%20",
        "limit=",
        "limit=" + "9" * 30,
        "limit=٣",
        "limit=1_0",
    ],
)
def test_an_integer_is_a_plain_number_within_its_bounds(text: str) -> None:
    query = Query(text, NAMES)
    query.integer("limit", default=5, low=1, high=9)

    with pytest.raises(ParameterError):
        query.done()


@pytest.mark.parametrize(
    "text", ["wait=-1", "wait=61", "wait=nan", "wait=inf", "wait=1e1", "wait=.5", "wait=1.2345"]
)
def test_seconds_are_plain_too(text: str) -> None:
    query = Query(text, NAMES)
    query.seconds("wait", default=0, low=0, high=60)

    with pytest.raises(ParameterError):
        query.done()


@pytest.mark.parametrize(
    "text",
    [
        "other=1",
        "limit=1&limit=1",
        "limit=1&",
        "&",
        "limit=1;wait=2",
        "limit=<",
        "limit=" + "a" * 1_100,
        "&".join(["limit=1"] * 20),
    ],
)
def test_unknown_repeated_and_unreadable_parameters_are_refused(text: str) -> None:
    query = Query(text, NAMES)
    query.integer("limit", default=1, low=1, high=9)
    with pytest.raises(ParameterError):
        query.done()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (NAMES, f"no such parameter here; this call takes {', '.join(sorted(NAMES))}"),
        (frozenset(), "this call takes no parameter"),
    ],
)
def test_an_unknown_parameter_is_told_with_those_that_there_are(names: frozenset[str], told: str) -> None:
    with pytest.raises(ParameterError) as raised:
        Query("other=1", names).done()
    assert [bad.expected.en for bad in raised.value.parameters] == [told]


def test_everything_wrong_is_told_at_once() -> None:
    query = Query("limit=0&mode=z&x=1", NAMES)
    query.integer("limit", default=5, low=1, high=9)
    query.choice("mode", default="a", choices=("a", "b"))

    with pytest.raises(ParameterError) as raised:
        query.done()
    assert [bad.name for bad in raised.value.parameters] == ["", "limit", "mode"]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    query = Query(text, NAMES)
    number = query.integer("limit", default=5, low=1, high=9)
    assert 1 <= number <= 9
