"""Times of messages as whole numbers, so that rules compare instants and not text.

Every message that gets here has passed its schema, which asserts the form: RFC 3339 in UTC
ending in Z, with no decimals or three, and a year from 1000.

Spec: RFC 3339, Section 5.6; docs/spec/messages.md.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

_DATE: Final = len("1970-01-01")
_WITHOUT_DECIMALS: Final = len("1970-01-01T00:00:00Z")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_LAST_MS: Final = (date.max.toordinal() - _EPOCH_DAY + 1) * DAY_MS - 1
# Made once: five times are written down for each message, and a format takes longer than all the rest.
_AFTER_SECONDS: Final = tuple([f".{milliseconds:03d}Z" for milliseconds in range(1_000)])


# Rules, header and row each ask for the times of the same message, while it and some sixty others
# are on their way through these steps.
@lru_cache(maxsize=1_024)
def instant_ms(text: str) -> int:
    """Return the milliseconds from 1970-01-01T00:00:00Z to a time stamp that a schema accepted.

    Raises:
        ValueError: The text is no RFC 3339 time stamp in UTC. A draft may hold one without a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not UTC:
        msg = "a time stamp is in UTC"
        raise ValueError(msg)
    return moment_ms(moment)


def moment_ms(moment: datetime) -> int:
    """Return the milliseconds from 1970-01-01T00:00:00Z to a time with a zone, without a float between."""
    since = moment - _EPOCH
    return since.days * DAY_MS + since.seconds * SECOND_MS + since.microseconds // 1_000


def time_text(milliseconds: int) -> str:
    """Return UTC milliseconds as RFC 3339 text with three decimals and Z.

    A deadline that was computed may lie after the year 9999, which no time stamp can say: it is
    written as the last instant that one can.
    """
    seconds, rest = divmod(min(milliseconds, _LAST_MS), SECOND_MS)
    return _second_text(seconds) + _AFTER_SECONDS[rest]


@lru_cache(maxsize=256)
def _second_text(seconds: int) -> str:
    """Return the part that all times of one second share: what is handled at once is often of one."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}"


def day_text(milliseconds: int) -> str:
    """Return the UTC day of an instant as ``YYYY-MM-DD``."""
    return date.fromordinal(_EPOCH_DAY + milliseconds // DAY_MS).isoformat()


def sortable(text: str) -> str:
    """Return a time stamp that a schema accepted so that texts come in the order of the instants.

    A calendar date stays as it is, and comes in order among dates.
    """
    return f"{text[:-1]}.000Z" if len(text) == _WITHOUT_DECIMALS else text


def day_of_date(text: str) -> int:
    """Return the days from 1970-01-01 to a calendar date that a schema accepted.

    Raises:
        ValueError: The text is no date of the form ``YYYY-MM-DD``.
    """
    return date.fromisoformat(text).toordinal() - _EPOCH_DAY


def deadline_ms(text: str) -> int:
    """Return the instant of a deadline that a schema accepted: a day counts until it is over.

    Args:
        text: A time stamp, or a calendar date, which begins and ends in UTC.
    """
    return (day_of_date(text) + 1) * DAY_MS if len(text) == _DATE else instant_ms(text)


def day_of_instant(milliseconds: int) -> int:
    """Return the UTC day of an instant, as days from 1970-01-01."""
    return milliseconds // DAY_MS
