"""Rows of messages become values by position, so columns and fields stand in one order."""

from __future__ import annotations

from dataclasses import fields

from gateway.ports import MessageRow
from gateway.storage.rows import MESSAGE


def test_the_columns_that_are_read_stand_in_the_order_of_the_fields() -> None:
    assert [column.name for column in MESSAGE] == [field.name for field in fields(MessageRow)]
