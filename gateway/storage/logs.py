"""Logs and mirrors: entries, right edge, tile hashes, notes.

The head of a log is the only row that moves. It moves by compare-and-swap on size, root
and epoch in the transaction that appends the entries: a second writer, or one whose lease
has gone, changes no row and must not sign anything.

Spec: docs/spec/log.md, "Append" and "Notes"; docs/storage.md, "What a crash leaves behind".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from gateway.core.merkle import MAX_TREE_SIZE, Hash, RightEdge, TileHash
from gateway.errors import StoreError
from gateway.ports import LogHead, LogKind, StoredNote
from gateway.storage.runs import cut_runs, pack, unpack
from gateway.storage.session import Row, Session
from gateway.storage.statements import Statement
from gateway.storage.tables import Big, controls, logs, notes, runs, tile_hashes, whole_notes

T = TypeVar("T")

_HOUR_MS: Final = 3_600_000

_bind: Final = sa.bindparam
_holding: Final = runs.alias("holding")

_HEAD_COLUMNS: Final = (logs.c.origin, logs.c.kind, logs.c.size, logs.c.edge)
_HEAD: Final = Statement(sa.select(*_HEAD_COLUMNS).where(logs.c.origin == _bind("of")))
_HEADS: Final = Statement(sa.select(*_HEAD_COLUMNS).order_by(logs.c.origin))
_LAST_ID: Final = Statement(sa.select(sa.func.max(logs.c.id)))
_CREATE: Final = Statement(sa.insert(logs), row=[column.name for column in logs.columns])
_MOVE: Final = Statement(
    sa.update(logs)
    .where(
        logs.c.id == _bind("log"),
        logs.c.size == _bind("old_size"),
        logs.c.root == _bind("old_root"),
        logs.c.epoch == _bind("holder"),
    )
    .values(size=_bind("new_size"), root=_bind("new_root"), edge=_bind("new_edge"))
)
_APPEND: Final = Statement(sa.insert(runs), row=("log_id", "start", "entries", "packed"))
_APPEND_HASH: Final = Statement(sa.insert(tile_hashes), row=("log_id", "level", "subtree_index", "hash"))
_RUNS: Final = Statement(
    # From the run that holds the first entry, which begins at it or before.
    sa.select(runs.c.start, runs.c.entries, runs.c.packed)
    .where(
        runs.c.log_id == _bind("log"),
        runs.c.start
        >= sa.select(sa.func.max(_holding.c.start))
        .where(_holding.c.log_id == _bind("log"), _holding.c.start <= _bind("first"))
        .scalar_subquery(),
        runs.c.start < _bind("stop"),
    )
    .order_by(runs.c.start)
)
_LAST_RUN: Final = Statement(
    sa.select(runs.c.start, runs.c.entries)
    .where(runs.c.log_id == _bind("log"))
    .order_by(runs.c.start.desc())
    .limit(1)
)
_HASHES: Final = Statement(
    sa.select(tile_hashes.c.hash)
    .where(
        tile_hashes.c.log_id == _bind("log"),
        tile_hashes.c.level == _bind("at"),
        tile_hashes.c.subtree_index >= _bind("first"),
        tile_hashes.c.subtree_index < _bind("stop"),
    )
    .order_by(tile_hashes.c.subtree_index)
)

_INSERT_NOTE: Final = Statement(sa.insert(notes), row=[column.name for column in notes.columns])
_INSERT_WHOLE: Final = Statement(sa.insert(whole_notes), row=[column.name for column in whole_notes.columns])
_FORGET_NOTE: Final = Statement(sa.delete(whole_notes).where(whole_notes.c.number == _bind("of")))


def _newest(*columns: sa.Column[Any], cosigned: bool) -> Statement:
    """Return the statement for the newest note that is kept whole."""
    return Statement(
        sa.select(*columns)
        .select_from(whole_notes.join(notes, notes.c.number == whole_notes.c.number))
        .where(
            whole_notes.c.log_id == _bind("log"),
            whole_notes.c.size <= _bind("most"),
            whole_notes.c.cosigned.is_(cosigned),
        )
        .order_by(whole_notes.c.size.desc(), whole_notes.c.number.desc())
        .limit(1)
    )


_NEWEST: Final = {
    cosigned: _newest(
        notes.c.number, notes.c.size, notes.c.root, notes.c.at_ms, whole_notes.c.note, cosigned=cosigned
    )
    for cosigned in (True, False)
}
_REPLACED: Final = {
    cosigned: _newest(notes.c.number, notes.c.size, notes.c.at_ms, notes.c.hourly, cosigned=cosigned)
    for cosigned in (True, False)
}
"""What a further note has to know of the newest one: not its bytes."""

_INSERT_CONTROL: Final = Statement(sa.insert(controls), row=("log_id", "kind", "leaf_index", "entry"))
_CONTROLS: Final = Statement(
    sa.select(controls.c.leaf_index, controls.c.entry)
    .where(
        controls.c.log_id == _bind("log"),
        controls.c.kind == _bind("which"),
    )
    .order_by(controls.c.leaf_index.desc())
    .limit(_bind("most", type_=Big))
)
_NEWEST_CONTROL: Final = Statement(
    sa.select(controls.c.leaf_index, controls.c.entry)
    .where(
        controls.c.log_id == _bind("log"),
        controls.c.kind == _bind("which"),
    )
    .order_by(controls.c.leaf_index.desc())
    .limit(1)
)


class SqlLogs:
    """Implements `gateway.ports.Logs` on a session."""

    def __init__(self, session: Session) -> None:
        """Work on this session."""
        self._session = session

    def head(self, origin: str) -> LogHead | None:
        """Return where a log ends, or None if there is no such log."""
        known = self._session.known_head(origin)
        if known is not None:
            return known
        row = self._session.first(_HEAD, of=origin)
        return None if row is None else self._session.know_head(_head(row))

    def heads(self) -> list[LogHead]:
        """Return every log, in order of origin."""
        return [_head(row) for row in self._session.all(_HEADS)]

    def create(self, origin: str, kind: LogKind) -> LogHead:
        """Create an empty log. It must not exist."""
        last = self._session.first(_LAST_ID)
        number = 1 + (last[0] or 0 if last else 0)
        edge = RightEdge.empty()
        row = (number, origin, str(kind), 0, edge.root(), edge.encode(), self._session.epoch)
        self._session.many(_CREATE, [row])
        return LogHead(origin=origin, kind=kind, edge=edge)

    def extend(
        self,
        old: LogHead,
        *,
        entries: Sequence[bytes],
        edge: RightEdge,
        tile_hashes: Sequence[TileHash],
    ) -> LogHead:
        """Append entries and move the head, if ``old`` is still the head and the lease is ours.

        Raises:
            StoreError: Another writer came first. The caller must not sign anything.
            ValueError: The edge does not stand behind these entries.
        """
        if edge.size != old.size + len(entries):
            msg = "the new edge does not stand behind the appended entries"
            raise ValueError(msg)
        log = self._log_id(old.origin)
        moved = self._session.change(
            _MOVE,
            log=log,
            old_size=old.size,
            old_root=old.edge.root(),
            holder=self._session.epoch,
            new_size=edge.size,
            new_root=edge.root(),
            new_edge=edge.encode(),
        )
        if moved != 1:
            msg = "the head of the log has moved: another writer came first"
            raise StoreError(msg)
        self._session.many(
            _APPEND, [(log, start, len(run), pack(run)) for start, run in cut_runs(old.size, entries)]
        )
        self._session.many(_APPEND_HASH, [(log, item.level, item.index, item.hash) for item in tile_hashes])
        return self._session.know_head(LogHead(origin=old.origin, kind=old.kind, edge=edge))

    def entries(self, origin: str, start: int, end: int) -> list[bytes]:
        """Return the entries from ``start`` up to ``end``; all of them must exist."""
        found: list[bytes] = []
        for first, count, packed in self._session.all(_RUNS, log=self._log_id(origin), first=start, stop=end):
            at = start + len(found)
            if not first <= at < first + count:
                break
            found += unpack(packed, count)[at - first : end - first]
        return _whole(found, end - start)

    def tile_hashes(self, origin: str, level: int, start: int, end: int) -> list[Hash]:
        """Return stored roots of complete subtrees of height ``8 * level``, level 1 or more."""
        rows = self._session.all(_HASHES, log=self._log_id(origin), at=level, first=start, stop=end)
        return [Hash(row[0]) for row in _whole(rows, end - start)]

    def reaches_beyond(self, origin: str, size: int) -> bool:
        """Return whether entries are stored at ``size`` or above, where none may be."""
        last = self._session.first(_LAST_RUN, log=self._log_id(origin))
        return last is not None and last[0] + last[1] > size

    def put_note(self, note: StoredNote) -> None:
        """Keep a note: the newest a log whole, one an hour whole, else size, root and time.

        Signed notes and cosigned ones are counted apart: the newest cosigned note is often
        of a smaller size than the newest signed one, and it is what evidence needs.
        """
        log = self._log_id(note.origin)
        before = self._replaced(log, cosigned=note.cosigned)
        newest = note.note is not None and (before is None or note.size >= before[1])
        hourly = newest and (before is None or before[2] // _HOUR_MS != note.at_ms // _HOUR_MS)
        number = self._session.take_note_number()
        row: Row = (
            number,
            log,
            note.size,
            note.root,
            note.at_ms,
            note.cosigned,
            hourly,
        )
        self._session.many(_INSERT_NOTE, [row])
        if newest and before is not None and not before[3]:
            # First: then the new note takes the pages of the old one, which are written anyway.
            self._session.change(_FORGET_NOTE, of=before[0])
        if newest:
            self._session.many(_INSERT_WHOLE, [(number, log, note.cosigned, note.size, note.note)])
            self._session.newest_notes[log, note.cosigned] = (number, note.size, note.at_ms, hourly)

    def newest_note(
        self, origin: str, *, cosigned: bool = False, at_most: int = MAX_TREE_SIZE
    ) -> StoredNote | None:
        """Return the note of the largest size, the newest of them, with its bytes.

        Args:
            origin: Log.
            cosigned: Only a note that carries the peer's cosignature.
            at_most: Only notes of at most this size.
        """
        log = self._session.log_id(origin)
        if log is None:
            return None
        found = [
            (note, is_cosigned)
            for is_cosigned, statement in _NEWEST.items()
            if (is_cosigned or not cosigned)
            and (note := self._session.first(statement, log=log, most=at_most)) is not None
        ]
        if not found:
            return None
        (_, size, root, at_ms, note), is_cosigned = max(found, key=lambda f: (f[0][1], f[0][0]))
        return StoredNote(
            origin=origin, size=size, root=Hash(root), at_ms=at_ms, note=note, cosigned=is_cosigned
        )

    def put_control(self, origin: str, kind: int, index: int, entry: bytes) -> None:
        """Remember where an entry that changes how a log is read stands (kinds 4, 5, 7, 10)."""
        self._session.many(_INSERT_CONTROL, [(self._log_id(origin), kind, index, entry)])

    def controls(self, origin: str, kind: int, *, limit: int) -> list[bytes]:
        """Return the newest entries of a kind, at most so many, in the order of the log."""
        return [entry for _, entry in self.placed_controls(origin, kind, limit=limit)]

    def placed_controls(self, origin: str, kind: int, *, limit: int) -> list[tuple[int, bytes]]:
        """Return index and bytes of the newest entries of a kind, as `controls` does."""
        log = self._session.log_id(origin)
        rows = [] if log is None else self._session.all(_CONTROLS, log=log, which=kind, most=limit)
        return [(row[0], row[1]) for row in reversed(rows)]

    def newest_control(self, origin: str, kind: int) -> tuple[int, bytes] | None:
        """Return index and bytes of the newest entry of a kind, or None."""
        log = self._session.log_id(origin)
        row = None if log is None else self._session.first(_NEWEST_CONTROL, log=log, which=kind)
        return None if row is None else (row[0], row[1])

    def _replaced(self, log: int, *, cosigned: bool) -> Row | None:
        """Return number, size, time and whether it stays of the newest note that is kept whole."""
        known = self._session.newest_notes
        if (log, cosigned) not in known:
            known[log, cosigned] = self._session.first(_REPLACED[cosigned], log=log, most=MAX_TREE_SIZE)
        return known[log, cosigned]

    def _log_id(self, origin: str) -> int:
        number = self._session.log_id(origin)
        if number is None:
            msg = "there is no such log"
            raise StoreError(msg)
        return number


def _head(row: Row) -> LogHead:
    origin, kind, size, edge = row
    return LogHead(origin=origin, kind=LogKind(kind), edge=RightEdge.decode(size, edge))


def _whole(found: list[T], count: int) -> list[T]:
    if len(found) != count:
        msg = "the log does not hold every entry of the range that was asked for"
        raise StoreError(msg)
    return found
