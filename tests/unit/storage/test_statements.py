"""Statements: their text, their parameters, and how the database would run them."""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

import gateway.storage
from gateway.core.states import State
from gateway.storage import tables
from gateway.storage.outbox_sql import RECEIVED
from gateway.storage.statements import LIST_SIZES, ListStatement, Statement, padded

SQLITE = sqlite.dialect(paramstyle="qmark")
POSTGRESQL: Any = postgresql.psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]

# Walks of an index from its beginning, which a limit ends, and tables of a few rows.
FIRST_ROWS = {
    "SCAN messages USING INDEX ix_messages_waiting",
    "SCAN messages USING INDEX ix_messages_expiring",
    "SCAN inbox USING INDEX ix_inbox_due",
    "SCAN receipts USING INDEX ix_receipts_due",
    "SCAN logs USING INDEX ix_logs_origin",
    "SCAN messages USING INDEX ix_messages_held",
    "SCAN erasures USING INDEX ix_erasures_due",
    "SCAN erasures USING INDEX ix_erasures_unanswered",
    "SCAN early_collections",
    "SCAN early_receipts",
    "SCAN lost_messages",
    "SCAN endings",
    "SCAN holds",
    "SCAN incidents",
    "SCAN logs",
    "SCAN alembic_version",
    # What is asked for.
    "SCAN asked",
    "SCAN CONSTANT ROW",
    *(f"SCAN {size} CONSTANT ROWS" for size in LIST_SIZES),
}

WIDE = {
    "SEARCH inbox USING PRIMARY KEY (agency=?)",
    "SEARCH messages USING INDEX ix_messages_waiting (rank>?)",
    "SEARCH messages USING COVERING INDEX ix_messages_waiting (rank>?)",
    "SEARCH idempotency USING PRIMARY KEY (agency=?)",
}

ENDED_BY_LIMIT = {"outbox_sql.LESS_URGENT[0]"}
"""Statements whose limit ends such a search: all that they ask for stands in the index, in order."""


def _all() -> Iterator[tuple[str, Statement | ListStatement]]:
    for module in pkgutil.iter_modules(gateway.storage.__path__):
        if module.ispkg:
            continue
        namespace = vars(importlib.import_module(f"gateway.storage.{module.name}"))
        for name, value in namespace.items():
            found = value.values() if isinstance(value, dict) else (value,)
            for number, statement in enumerate(found):
                if isinstance(statement, Statement | ListStatement):
                    yield f"{module.name}.{name}[{number}]", statement


ALL = dict(_all())


def _compiled(
    statement: Statement | ListStatement, dialect: Any, size: int = 4
) -> tuple[str, tuple[str, ...]]:
    if isinstance(statement, Statement):
        return statement.compiled(dialect)[:2]
    text, before, after, *_ = statement.compiled(dialect, size)
    return text, (*before, *(f"item {n}" for n in range(size * statement.width)), *after)


def test_there_are_statements_to_look_at() -> None:
    assert len(ALL) > 60


@pytest.mark.parametrize("name", ALL)
def test_a_statement_takes_the_same_parameters_in_both_dialects(name: str) -> None:
    # SQLite spells LIMIT with an offset, which is a constant: it has a name of its own.
    ours, theirs = (
        [key for key in _compiled(ALL[name], dialect)[1] if not key.startswith("param_")]
        for dialect in (SQLITE, POSTGRESQL)
    )
    assert ours == theirs


REMEMBERED = [
    name for name, item in ALL.items() if isinstance(item, Statement) and item.decided_by is not None
]


@pytest.mark.parametrize("name", REMEMBERED)
def test_a_look_that_is_not_repeated_finds_the_same_whatever_it_is_given(name: str) -> None:
    statement = ALL[name]
    assert isinstance(statement, Statement)
    assert set(_compiled(statement, POSTGRESQL)[1]) <= {"most", "param_1"}
    assert f"FROM {statement.decided_by}" in " ".join(_compiled(statement, SQLITE)[0].split())


def test_a_statement_knows_which_table_it_changes() -> None:
    for statement in ALL.values():
        text = _compiled(statement, SQLITE)[0]
        changes = (
            statement.changes if isinstance(statement, Statement) else statement.compiled(SQLITE, 4).changes
        )
        words = text.replace("INSERT INTO ", "UPDATE ").replace("DELETE FROM ", "UPDATE ").split()
        assert changes == (words[1] if words[0] == "UPDATE" else None)


@pytest.mark.parametrize("name", ALL)
def test_no_statement_walks_a_table_that_grows(name: str, path: Path) -> None:
    statement = ALL[name]
    connection = sqlite3.connect(path)
    # SQLite may run a long list otherwise than a short one.
    for size in LIST_SIZES if isinstance(statement, ListStatement) else (1,):
        text, names = _compiled(statement, SQLITE, size)
        if text.startswith("INSERT"):
            continue
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", [1] * len(names))]
        walks = [step for step in plan if step.startswith("SCAN") and "SUBQUERY" not in step]
        assert set(walks) <= FIRST_ROWS, plan
        # So is a search that uses too little of an index.
        assert not WIDE & set(plan) or name in ENDED_BY_LIMIT, plan
        assert not any("TEMP B-TREE" in step for step in plan) or name not in ENDED_BY_LIMIT, plan
    connection.close()


@pytest.mark.parametrize("source", sorted(RECEIVED))
def test_a_receipt_looks_at_messages_that_wait_for_one_and_not_at_its_whole_range(
    source: State, path: Path
) -> None:
    text, names = _compiled(RECEIVED[source], SQLITE)
    connection = sqlite3.connect(path)

    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", [1] * len(names))]
    connection.close()

    index = {State.SENT: "ix_messages_in_flight", State.DELIVERED: "ix_messages_delivered"}[source]
    assert plan == [f"SEARCH messages USING INDEX {index} (log_index>? AND log_index<?)"]


def test_a_row_that_does_not_fit_its_statement_is_noticed_at_the_first_use() -> None:
    wrong = Statement(sa.insert(tables.settings), row=("value", "key"))
    with pytest.raises(TypeError):
        wrong.compiled(SQLITE)


def test_a_list_whose_values_stand_apart_is_noticed_at_the_first_use() -> None:
    column = tables.settings.c.key
    wrong = ListStatement(
        lambda items: sa.select(column).where(
            sa.or_(column == items[0], column == sa.bindparam("other"), column.in_(items[1:]))
        )
    )
    with pytest.raises(TypeError):
        wrong.compiled(SQLITE, 4)


def test_rows_of_a_list_stand_one_behind_the_other() -> None:
    columns = (tables.settings.c.key, tables.settings.c.value)
    rows = ListStatement(lambda items: sa.select(sa.values(*columns, name="v").data(items).cte()), width=2)
    assert "(VALUES (?, ?), (?, ?), (?, ?), (?, ?))" in rows.compiled(SQLITE, 4).text


@pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17, 64, 65, 256])
def test_a_list_is_padded_with_its_last_value_to_the_next_size(count: int) -> None:
    values = tuple(range(count))
    filled = padded(values)
    assert len(filled) in LIST_SIZES
    assert filled[:count] == values
    assert set(filled) == set(values)
    assert len(filled) == min(size for size in LIST_SIZES if size >= count)
