"""Sample traffic: the example conversations of the catalogue, made current.

Each message is created now, its other times keep their distance to its creation, and ids,
sequence numbers and references are rewritten together, so that answers still answer.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from gateway.core.message.instants import moment_ms

EXAMPLES = Path(__file__).resolve().parent.parent / "schemas"

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_KEY_OF_THE_DAY = re.compile(r"mk-(\d{8})-[a-z]{2}")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_FIXED = frozenset({"dob", "valid_until", "mrz"})
"""Fields that belong to a person or a paper and do not move with the message; a time among them does."""


def example_messages() -> list[dict[str, Any]]:
    """Return the valid example of every type, in the order in which they were created."""
    files = EXAMPLES.glob("*/examples/valid-*.json")
    messages: list[dict[str, Any]] = [json.loads(path.read_bytes()) for path in files]
    return sorted(messages, key=lambda message: str(message["header"]["created_at"]))


class Traffic:
    """Makes one run of the example conversations current, message by message."""

    def __init__(self) -> None:
        """Start with no ids used."""
        self._ids: dict[str, str] = {}
        self._numbers: dict[tuple[str, str], int] = {}

    def current(self, message: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Return ``message`` as if it were created at ``now``.

        Args:
            message: An example; those it refers to were made current before.
            now: Aware time; milliseconds are kept.
        """
        created = _parse_time(message["header"]["created_at"])
        moment = now.astimezone(UTC)
        moment = moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
        made: dict[str, Any] = self._moved(copy.deepcopy(dict(message)), moment - created, moment)
        header = made["header"]
        key = (header["conversation"]["id"], header["from"]["agency"])
        self._numbers[key] = self._numbers.get(key, 0) + 1
        header["conversation"]["seq"] = self._numbers[key]
        return made

    def _moved(self, value: Any, by: timedelta, now: datetime) -> Any:
        if isinstance(value, dict):
            return {
                key: item if key in _FIXED and not _is_time(item) else self._moved(item, by, now)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._moved(item, by, now) for item in value]
        if not isinstance(value, str):
            return value
        if _TIME.fullmatch(value):
            return _format_time(_parse_time(value) + by, milliseconds="." in value)
        if _DATE.fullmatch(value):
            return (date.fromisoformat(value) + _days(by, now)).isoformat()
        key = _KEY_OF_THE_DAY.fullmatch(value)
        if key is not None:
            return value.replace(key[1], f"{date.fromisoformat(key[1]) + _days(by, now):%Y%m%d}")
        if _ID.fullmatch(value):
            return self._ids.setdefault(value, new_id(now))
        return value


def conversations(messages: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the messages of one conversation at a time, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        found.setdefault(message["header"]["conversation"]["id"], []).append(message)
    yield from found.values()


def new_id(now: datetime) -> str:
    """Return a UUIDv7 for a time."""
    milliseconds = moment_ms(now)
    data = bytearray(milliseconds.to_bytes(6, "big") + os.urandom(10))
    data[6] = data[6] & 0x0F | 0x70
    data[8] = data[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(data)))


def _days(by: timedelta, now: datetime) -> timedelta:
    """Return whole days by which dates move, so that they keep their distance to the creation's date."""
    return timedelta(days=(now.date() - (now - by).date()).days)


def _is_time(value: Any) -> bool:
    """Tell a time from the days that papers carry: a consent is valid until a time."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _format_time(moment: datetime, *, milliseconds: bool) -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment.microsecond // 1_000:03d}Z" if milliseconds else f"{text}Z"
