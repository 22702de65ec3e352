"""One connection as the repositories see it.

A session runs statements, keeps what has to be undone together with a closure (numbers
that moved between states), and turns errors of the driver into `StoreError`. A session
belongs to one thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import LogHead
from gateway.storage import tables
from gateway.storage.engine import Database
from gateway.storage.recent import Recent
from gateway.storage.statements import LIST_SIZES, ListStatement, Statement, padded

Row = tuple[Any, ...]

_MAX_NUMBER: Final = Statement(sa.select(sa.func.max(tables.messages.c.number)))
_MAX_NOTE_NUMBER: Final = Statement(sa.select(sa.func.max(tables.notes.c.number)))
_COUNT: Final = Statement(
    sa.select(tables.counts.c.messages).where(tables.counts.c.state == sa.bindparam("of"))
)
_LOG_ID: Final = Statement(sa.select(tables.logs.c.id).where(tables.logs.c.origin == sa.bindparam("of")))
_COUNT_MOVED: Final = Statement(
    sa.update(tables.counts)
    .where(tables.counts.c.state == sa.bindparam("of"))
    .values(messages=tables.counts.c.messages + sa.bindparam("moved", type_=tables.Big)),
    row=("moved", "of"),
)


class Session:
    """Runs statements on one connection.

    Attributes:
        broken: The error after which nothing can be trusted any more, or None.
        epoch: Fencing epoch of the lease, for a session that writes.
        recent: What this session has stored a moment ago and will soon be asked for.
        frame_numbers: Numbers of frames of headers that this session has asked for or given out.
        newest_notes: What a further note of a log, cosigned or not, has to know of the one before it;
            as this transaction has it.
    """

    def __init__(self, database: Database, *, writable: bool, epoch: int = 0) -> None:
        """Open a connection.

        Raises:
            StoreError: The database does not answer.
        """
        self.epoch = epoch
        self.broken: StoreError | None = None
        self._database = database
        self._dialect = database.dialect
        self._error = database.error
        self._connection = database.connect(writable=writable)
        self._cursor = self._connection.cursor()
        self._next_number: int | None = None
        self._next_note: int | None = None
        # Outgoing messages by state: of the running closure, and of those before it in
        # this transaction. Written once, right before the commit.
        self._moved: Counter[State] = Counter()
        self._group_moved: Counter[State] = Counter()
        # A savepoint is set before the first change that a closure makes: one that only
        # looks costs none. `_marked`: one stands; `_mark_due`: one has to be set first.
        self._marked = False
        self._mark_due = False
        self._log_ids: dict[str, int] = {}
        self.recent = Recent()
        # Of frames (`gateway.storage.frames`); forgotten with a closure that may have stored them.
        self.frame_numbers: dict[bytes, int] = {}
        # Heads of logs as this transaction has them. Only who writes may remember them: nobody
        # else moves them, and should that be so all the same, the next move finds another head.
        self._heads: dict[str, LogHead] | None = {} if writable else None
        # Likewise looks that found nothing, by the table that has to change before they may find
        # something, and how many messages are in a state as the row says it.
        self._nothing: dict[str, set[Statement]] | None = {} if writable else None
        self._counts: dict[State, int] | None = {} if writable else None
        self.newest_notes: dict[tuple[int, bool], Row | None] = {}

    # --- statements ------------------------------------------------------------------

    def all(self, statement: Statement, **values: Any) -> list[Row]:
        """Return every row."""
        return self._run(statement, values)

    def first(self, statement: Statement, **values: Any) -> Row | None:
        """Return the first row, or None. The statement limits itself to one."""
        rows = self._run(statement, values)
        return rows[0] if rows else None

    def change(self, statement: Statement, **values: Any) -> int:
        """Run a change and return how many rows it touched."""
        text, names, constants = statement.compiled(self._dialect)
        self._before_change(statement.changes)
        values |= constants
        return self._execute(text, tuple([values[name] for name in names]))

    def many(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Run a change once a row and return how many rows it touched in all."""
        if not rows:
            return 0
        text = statement.compiled(self._dialect)[0]
        self._before_change(statement.changes)
        if len(rows) == 1:
            return self._execute(text, rows[0])
        if statement.insert_of(self._dialect, 1) is not None:
            return self._insert(statement, rows)
        try:
            self._cursor.executemany(text, rows)
        except self._error as error:
            raise self._failure(error) from error
        touched: int = self._cursor.rowcount
        return touched

    def _insert(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Insert many rows in few steps: each step gives the interpreter lock away and waits for it."""
        touched = at = 0
        for size in reversed(LIST_SIZES):
            text = statement.insert_of(self._dialect, size) or ""
            while len(rows) - at >= size:
                touched += self._execute(text, tuple(chain.from_iterable(rows[at : at + size])))
                at += size
        return touched

    def listed(self, statement: ListStatement, items: Iterable[Any], **values: Any) -> list[Row]:
        """Return the rows for a list of any length."""
        rows: list[Row] = []
        for chunk in _chunks(items):
            text, values_in_order, _ = self._with_list(statement, chunk, values)
            self._execute(text, values_in_order)
            rows += self._fetched()
        return rows

    def change_listed(self, statement: ListStatement, items: Iterable[Any], **values: Any) -> int:
        """Run a change for a list of any length; return how many rows it touched."""
        touched = 0
        for chunk in _chunks(items):
            text, values_in_order, changes = self._with_list(statement, chunk, values)
            self._before_change(changes)
            touched += self._execute(text, values_in_order)
        return touched

    def _run(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        nothing: set[Statement] | None = None
        if self._nothing is not None and statement.decided_by is not None:
            nothing = self._nothing.setdefault(statement.decided_by, set())
            if statement in nothing:
                return []
        text, names, constants = statement.compiled(self._dialect)
        values |= constants
        self._execute(text, tuple([values[name] for name in names]))
        rows = self._fetched()
        if nothing is not None and not rows:
            nothing.add(statement)
        return rows

    def _fetched(self) -> list[Row]:
        """Return the rows of the last statement; reading them can fail as the statement can."""
        try:
            rows: list[Row] = self._cursor.fetchall()
        except self._error as error:
            raise self._failure(error) from error
        return rows

    def _with_list(
        self, statement: ListStatement, chunk: Row, values: dict[str, Any]
    ) -> tuple[str, Row, str | None]:
        text, before, after, constants, changes = statement.compiled(self._dialect, len(chunk))
        values |= constants
        items = chunk if statement.width == 1 else chain.from_iterable(chunk)
        in_order = (*[values[name] for name in before], *items, *[values[name] for name in after])
        return text, in_order, changes

    def _execute(self, text: str, values: Row) -> int:
        try:
            self._cursor.execute(text, values)
        except self._error as error:
            raise self._failure(error) from error
        touched: int = self._cursor.rowcount
        return touched

    def _failure(self, error: Exception) -> StoreError:
        """Return what a closure sees; remember it if the whole store is in doubt."""
        failure = StoreError(self._database.explain(error))
        if self._database.is_fatal(error):
            self.broken = failure
        return failure

    # --- numbers ---------------------------------------------------------------------

    def take_numbers(self, count: int) -> int:
        """Return the first of ``count`` fresh message numbers.

        Only one process writes, so the highest number is read once. A closure that is
        undone leaves a gap.
        """
        if self._next_number is None:
            found = self.first(_MAX_NUMBER)
            self._next_number = 1 + (found[0] or 0 if found else 0)
        first = self._next_number
        self._next_number += count
        return first

    def take_note_number(self) -> int:
        """Return a fresh number of a note, as `take_numbers` does of messages."""
        if self._next_note is None:
            found = self.first(_MAX_NOTE_NUMBER)
            self._next_note = 1 + (found[0] or 0 if found else 0)
        self._next_note += 1
        return self._next_note - 1

    def move(self, source: State | None, target: State, count: int) -> None:
        """Note that outgoing messages went from one state to another."""
        if count:
            self._moved[target] += count
            if source is not None:
                self._moved[source] -= count

    def log_id(self, origin: str) -> int | None:
        """Return the number of a log, or None if there is no such log.

        A log never goes, so a number is asked for once; one that a closure created and
        then undid is forgotten with the closure.
        """
        found = self._log_ids.get(origin)
        if found is None:
            row = self.first(_LOG_ID, of=origin)
            if row is None:
                return None
            found = self._log_ids[origin] = row[0]
        return found

    def known_head(self, origin: str) -> LogHead | None:
        """Return the head of a log if this session has read or moved it and nothing was undone since."""
        return None if self._heads is None else self._heads.get(origin)

    def know_head(self, head: LogHead) -> LogHead:
        """Remember where a log ends; return that."""
        if self._heads is not None:
            self._heads[head.origin] = head
        return head

    def count(self, state: State) -> int:
        """Return how many outgoing messages are in a state, as this transaction sees it."""
        counted = None if self._counts is None else self._counts.get(state)
        if counted is None:
            found = self.first(_COUNT, of=int(state))
            counted = found[0] if found else 0
            if self._counts is not None:
                self._counts[state] = counted
        return counted + self._moved[state] + self._group_moved[state]

    # --- transactions ----------------------------------------------------------------

    def begin(self) -> None:
        """Begin a transaction that will write; the lease is checked with it."""
        self._command(self._database.begin, self._cursor, self.epoch)
        self._marked = self._mark_due = False
        self._moved.clear()
        self._group_moved.clear()

    def begin_unfenced(self) -> None:
        """Begin the transaction that takes the lease: nobody's epoch is this session's yet."""
        self._command(self._cursor.execute, "BEGIN")

    def mark(self) -> None:
        """Keep what the closures so far have done, whatever happens to the next one."""
        self._settle()
        self._mark_due = True

    def back(self) -> None:
        """Undo everything since the mark."""
        self._moved.clear()
        self._forget()
        if self._mark_due:
            # Nothing was changed since.
            return
        self._command(self._cursor.execute, "ROLLBACK TO SAVEPOINT closure")

    def rollback(self) -> None:
        """Undo the transaction."""
        self._moved.clear()
        self._group_moved.clear()
        self._forget()
        self._command(self._cursor.execute, "ROLLBACK")

    def _before_change(self, table: str | None) -> None:
        if self._nothing is not None and table is not None:
            self._nothing.pop(table, None)
        if not self._mark_due:
            return
        self._mark_due = False
        if self._marked:
            self._command(self._database.next_mark, self._cursor)
        else:
            self._command(self._cursor.execute, "SAVEPOINT closure")
        self._marked = True

    def commit(self) -> None:
        """Make the transaction durable.

        Raises:
            StoreError: It is not, or nobody can know.
        """
        self._settle()
        self._mark_due = False
        moved = [(count, int(state)) for state, count in self._group_moved.items() if count]
        self.many(_COUNT_MOVED, moved)
        if self._counts is not None:
            for state in self._counts:
                self._counts[state] += self._group_moved[state]
        self._group_moved.clear()
        self._command(self._database.commit, self._connection, self._cursor)

    def begin_read(self) -> None:
        """Begin a transaction that reads one snapshot."""
        self._command(self._cursor.execute, self._database.begin_read_text)

    def end_read(self) -> None:
        """End a transaction that only read."""
        self._command(self._cursor.execute, "COMMIT")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _forget(self) -> None:
        """Forget what may just have been undone."""
        self._log_ids.clear()
        self.frame_numbers.clear()
        self.recent.clear()
        self.newest_notes.clear()
        for remembered in (self._heads, self._nothing, self._counts):
            if remembered is not None:
                remembered.clear()

    def _settle(self) -> None:
        for state, count in self._moved.items():
            self._group_moved[state] += count
        self._moved.clear()

    def _command(self, run: Callable[..., object], *args: object) -> None:
        """Run something that begins, marks or ends a transaction."""
        try:
            run(*args)
        except self._error as error:
            raise self._failure(error) from error


def _chunks(items: Iterable[Any]) -> list[tuple[Any, ...]]:
    unique = tuple(dict.fromkeys(items))
    most = LIST_SIZES[-1]
    return [padded(unique[at : at + most]) for at in range(0, len(unique), most)]
