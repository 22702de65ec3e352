"""Statements that are compiled once and then run as plain text.

A statement is described with SQLAlchemy Core when its module is imported, compiled for
SQLite or PostgreSQL at its first use, and from then on handed to the driver with a tuple
of values. A small statement costs 3 µs this way, and 16 µs through a
`sqlalchemy.Connection`; a row of a large insert 5 µs in place of 13. The values need no
conversion: the columns hold integers, text and bytes only.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

LIST_SIZES: Final = (1, 4, 16, 64, 256)
"""Lengths of IN lists that exist as text; shorter ones repeat their last value. So a
statement has five forms, and the driver's own cache of prepared statements holds them."""

_INSERT: Final = re.compile(r"(INSERT INTO .* VALUES )(\((?:\?|%s)(?:, (?:\?|%s))*\))(.*)", re.DOTALL)

Compiled = tuple[str, tuple[str, ...], dict[str, Any]]
"""Text, the names of its parameters in order, and those that are always the same."""

Build = Callable[[str], sa.Executable]
"""From the name of the dialect to the statement, where the two differ."""


class Statement:
    """One statement; parameters are named, or a row in a fixed order for `Session.many`.

    Attributes:
        decided_by: Name of the table that decides whether a look finds anything, or None.
        changes: Name of the table whose rows it writes, once it is compiled; None if it reads.
    """

    def __init__(
        self,
        statement: sa.Executable | Build,
        *,
        row: Sequence[str] = (),
        decided_by: sa.Table | None = None,
    ) -> None:
        """Describe it.

        Args:
            statement: Core construct, or a function of the dialect's name.
            row: For `Session.many`: names of the values of a row. Checked against the
                compiled text, so that a row can never land in the wrong columns. An insert
                leaves the other columns of its table out.
            decided_by: For a look that mostly finds nothing: the table whose rows alone decide
                whether it finds anything, whatever its parameters are. The session that writes
                does not look again before something has been written to that table.
        """
        self._statement = statement
        self._row = tuple(row)
        self.decided_by = None if decided_by is None else decided_by.name
        self.changes: str | None = None
        self._compiled: dict[str, Compiled] = {}
        self._inserts: dict[tuple[str, int], str | None] = {}

    def compiled(self, dialect: sa.Dialect) -> Compiled:
        """Return text and names of the parameters in a dialect."""
        found = self._compiled.get(dialect.name)
        if found is None:
            statement = self._statement
            if callable(statement):
                statement = statement(dialect.name)
            found = _compile(statement, dialect, columns=self._row)
            if self._row and (found[1] != self._row or found[2]):
                msg = f"a row is {self._row}, the statement wants {found[1]}"
                raise TypeError(msg)
            self.changes = _changed(statement)
            self._compiled[dialect.name] = found
        return found

    def insert_of(self, dialect: sa.Dialect, count: int) -> str | None:
        """Return the text of an insert that takes the values of ``count`` rows, one after another.

        None for a statement that is no insert of one row of parameters.
        """
        key = (dialect.name, count)
        if key not in self._inserts:
            match = _INSERT.fullmatch(self.compiled(dialect)[0])
            self._inserts[key] = (
                None if match is None else match[1] + ", ".join([match[2]] * count) + match[3]
            )
        return self._inserts[key]


class CompiledList(NamedTuple):
    """A statement with a list of a certain length.

    Attributes:
        text: For the driver.
        before: Names of the parameters that stand before the list.
        after: Names of those behind it.
        constants: Parameters that are always the same.
        changes: Name of the table whose rows it writes, or None if it reads.
    """

    text: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    constants: dict[str, Any]
    changes: str | None


class ListStatement:
    """A statement with one list: of values for ``column IN (…)``, or of rows for ``VALUES (…), (…)``.

    Attributes:
        width: Values in an item of the list; items of more than one are tuples.
    """

    def __init__(self, build: Callable[[Sequence[Any]], sa.Executable], *, width: int = 1) -> None:
        """Describe it as a function of the parameters that stand in the list.

        Args:
            build: From the items, each a parameter, or a tuple of ``width`` of them.
            width: Values in an item.
        """
        self._build = build
        self.width = width
        self._compiled: dict[tuple[str, int], CompiledList] = {}

    def compiled(self, dialect: sa.Dialect, size: int) -> CompiledList:
        """Return the statement for a list of ``size`` items."""
        key = (dialect.name, size)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = self._compile(dialect, size)
        return found

    def _compile(self, dialect: sa.Dialect, size: int) -> CompiledList:
        items = [f"item_{index}" for index in range(size * self.width)]
        # The type comes from the column that the list is compared with.
        binds: list[sa.BindParameter[Any]] = [sa.bindparam(item, required=True) for item in items]
        rows = [tuple(binds[at : at + self.width]) for at in range(0, len(binds), self.width)]
        statement = self._build(binds if self.width == 1 else rows)
        text, names, constants = _compile(statement, dialect)
        at = names.index(items[0])
        before, after = names[:at], names[at + len(items) :]
        if names != (*before, *items, *after):
            msg = "the values of a list do not stand together"
            raise TypeError(msg)
        return CompiledList(text, before, after, constants, _changed(statement))


def padded(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values with the last one repeated up to the next size of a list."""
    count = len(values)
    if count == 1:
        return values
    size = LIST_SIZES[bisect_left(LIST_SIZES, count)]
    return values + values[-1:] * (size - count)


def _changed(statement: sa.Executable) -> str | None:
    return statement.entity_description["name"] if isinstance(statement, sa.UpdateBase) else None


def _compile(statement: sa.Executable, dialect: sa.Dialect, columns: tuple[str, ...] = ()) -> Compiled:
    options = {"render_postcompile": True}
    compiler = cast(
        "SQLCompiler",
        cast("sa.ClauseElement", statement).compile(
            dialect=dialect,
            column_keys=list(columns) if columns and isinstance(statement, sa.Insert) else None,
            compile_kwargs=options,
        ),
    )
    constants = {
        name: bind.value
        for name, bind in compiler.binds.items()
        if bind.value is not None and not bind.required
    }
    return str(compiler), tuple(compiler.positiontup or ()), constants
