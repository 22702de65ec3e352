"""The example conversations, made current, are as good at any time as on their own day."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.examine import examine_document
from scripts._traffic import Traffic, example_messages


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 11, 28, 15, 51, 16, 818_000, tzinfo=UTC),
        datetime(2027, 3, 1, tzinfo=UTC),
        datetime(2028, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC),
    ],
    ids=str,
)
def test_examples_made_current_break_no_rule(now: datetime) -> None:
    traffic = Traffic()
    now_ms = round(now.timestamp() * 1_000)

    for example in example_messages():
        message = traffic.current(example, now)

        assert examine_document(message, catalogue=read_catalogue(), now_ms=now_ms) == (), message["type"]
