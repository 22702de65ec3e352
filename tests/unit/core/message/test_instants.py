from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.message.instants import (
    DAY_MS,
    day_of_date,
    day_of_instant,
    day_text,
    deadline_ms,
    instant_ms,
    sortable,
    time_text,
)

INSTANTS = st.integers(min_value=-30_610_224_000_000, max_value=253_402_300_799_999)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-11-02T08:15:00.000Z", 1_793_607_300_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("1000-01-01T00:00:00Z", -30_610_224_000_000),
    ],
)
def test_instants_are_milliseconds_since_1970(text: str, expected: int) -> None:
    assert instant_ms(text) == expected


@pytest.mark.parametrize(
    "text", ["2026-11-02T08:15:00", "2026-11-02", "20261102T081500", "2026-11-02T08:15:00+01:00", "soon", ""]
)
def test_what_is_no_time_in_utc_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"UTC|isoformat"):
        instant_ms(text)


def test_a_deadline_on_a_day_is_the_end_of_that_day() -> None:
    assert deadline_ms("2026-12-01") == instant_ms("2026-12-02T00:00:00Z")
    assert deadline_ms("2026-12-01T12:00:00Z") == instant_ms("2026-12-01T12:00:00Z")


@pytest.mark.parametrize("later", [0, 1, DAY_MS, 100 * 366 * DAY_MS])
def test_what_lies_after_the_year_9999_is_written_as_its_last_instant(later: int) -> None:
    assert time_text(deadline_ms("9999-12-31") - 1 + later) == "9999-12-31T23:59:59.999Z"


@given(INSTANTS)
def test_every_millisecond_is_read_exactly(milliseconds: int) -> None:
    seconds, rest = divmod(milliseconds, 1000)
    whole = date.fromordinal(date(1970, 1, 1).toordinal() + seconds // 86_400)
    clock = seconds % 86_400
    stamp = f"{whole.isoformat()}T{clock // 3600:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}.{rest:03d}Z"

    assert instant_ms(stamp) == milliseconds
    assert time_text(milliseconds) == stamp
    assert day_of_instant(milliseconds) == day_of_date(whole.isoformat())
    assert day_text(milliseconds) == whole.isoformat()


@given(INSTANTS, INSTANTS, st.booleans(), st.booleans())
def test_sortable_texts_come_in_the_order_of_the_instants(
    first: int, second: int, first_is_whole: bool, second_is_whole: bool
) -> None:
    def stamp(milliseconds: int, *, is_whole: bool) -> str:
        text = time_text(milliseconds)
        return text[:-5] + "Z" if is_whole and milliseconds % 1_000 == 0 else text

    # Near one another and on whole seconds more often than chance would have it.
    for other in (second, first, first + 1, first - first % 1_000, second - second % 1_000):
        if other > 253_402_300_799_999:
            continue
        one, two = stamp(first, is_whole=first_is_whole), stamp(other, is_whole=second_is_whole)
        assert (sortable(one) < sortable(two)) == (first < other)
        assert (sortable(one) == sortable(two)) == (first == other)


def test_a_time_without_decimals_equals_the_same_time_with_them() -> None:
    assert sortable("2026-11-02T08:15:00Z") == sortable("2026-11-02T08:15:00.000Z")
    assert sortable("2026-11-02T08:15:00Z") < sortable("2026-11-02T08:15:00.001Z")
    assert sortable("2026-11-02") == "2026-11-02"


def test_days_count_in_utc_and_also_before_1970() -> None:
    assert day_of_instant(DAY_MS - 1) == 0
    assert day_of_instant(DAY_MS) == 1
    assert day_of_instant(-1) == -1
    assert day_of_date("1969-12-31") == -1


@pytest.mark.parametrize("text", ["", "2026-02-30T00:00:00Z", "yesterday"])
def test_a_text_that_no_schema_accepts_raises(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever datetime says
        instant_ms(text)
