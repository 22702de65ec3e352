"""Times of messages as whole numbers, so that rules compare instants and not text.

A schema has already asserted the form: RFC 3339 in UTC ending in Z, with no decimals or
three. Two things are right there and unknown to Python's datetime: the year 0000 and a
leap second. They are read here as what they are, because a message that a schema accepts
must never stop a node.

Spec: RFC 3339, Section 5.6 and Appendix D; docs/spec/messages.md.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# The Gregorian calendar repeats after 400 years.
_CYCLE_DAYS: Final = 146_097


def instant_ms(text: str) -> int:
    """Return the milliseconds from 1970-01-01T00:00:00Z to a time stamp that a schema accepted.

    A leap second counts as the first second of the next minute.

    Raises:
        ValueError: The text is no RFC 3339 time stamp in UTC.
    """
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        if text[17:19] == "60":
            return instant_ms(text[:17] + "59" + text[19:]) + SECOND_MS
        if text.startswith("0000"):
            return instant_ms("0400" + text[4:]) - _CYCLE_DAYS * DAY_MS
        raise


def day_of_date(text: str) -> int:
    """Return the number of days from 1970-01-01 to a calendar date that a schema accepted.

    Raises:
        ValueError: The text is no date of the form ``YYYY-MM-DD``.
    """
    if text.startswith("0000"):
        return day_of_date("0400" + text[4:]) - _CYCLE_DAYS
    return date.fromisoformat(text).toordinal() - _EPOCH_DAY


def day_of_instant(milliseconds: int) -> int:
    """Return the UTC day of an instant, as the number of days from 1970-01-01."""
    return milliseconds // DAY_MS
