"""Logs and mirrors: entries, right edge, tile hashes, notes.

The head of a log is the only row that moves. It moves by compare-and-swap on size, root
and epoch in the transaction that appends the entries: a second writer, or one whose lease
has gone, changes no row and must not sign anything.

Spec: docs/spec/log.md, "Append" and "Notes"; docs/storage.md, "What a crash leaves behind".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.merkle import MAX_TREE_SIZE, Hash, RightEdge, TileHash
from gateway.errors import StoreError
from gateway.ports import LogHead, LogKind, StoredNote
from gateway.storage.session import Row, Session
from gateway.storage.statements import Statement
from gateway.storage.tables import Big, controls, entries, logs, notes, tile_hashes

_HOUR_MS: Final = 3_600_000

_bind: Final = sa.bindparam

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
_APPEND: Final = Statement(sa.insert(entries), row=("log_id", "leaf_index", "entry"))
_APPEND_HASH: Final = Statement(sa.insert(tile_hashes), row=("log_id", "level", "subtree_index", "hash"))
_ENTRIES: Final = Statement(
    sa.select(entries.c.entry)
    .where(
        entries.c.log_id == _bind("log"),
        entries.c.leaf_index >= _bind("first"),
        entries.c.leaf_index < _bind("stop"),
    )
    .order_by(entries.c.leaf_index)
)
_BEYOND: Final = Statement(
    sa.select(entries.c.leaf_index)
    .where(entries.c.log_id == _bind("log"), entries.c.leaf_index >= _bind("first"))
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
_FORGET_NOTE: Final = Statement(sa.update(notes).where(notes.c.number == _bind("of")).values(note=sa.null()))


def _newest(*where: Any) -> Statement:
    return Statement(
        sa.select(notes.c.number, notes.c.size, notes.c.root, notes.c.at_ms, notes.c.hourly, notes.c.note)
        .where(
            notes.c.log_id == _bind("log"),
            notes.c.note.is_not(None),
            notes.c.size <= _bind("most"),
            *where,
        )
        .order_by(notes.c.size.desc(), notes.c.number.desc())
        .limit(1)
    )


_NEWEST_COSIGNED: Final = _newest(notes.c.cosigned.is_(True))
_NEWEST_SIGNED: Final = _newest(notes.c.cosigned.is_(False))

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
        self._session.many(_APPEND, [(log, index, entry) for index, entry in enumerate(entries, old.size)])
        self._session.many(_APPEND_HASH, [(log, item.level, item.index, item.hash) for item in tile_hashes])
        return self._session.know_head(LogHead(origin=old.origin, kind=old.kind, edge=edge))

    def entries(self, origin: str, start: int, end: int) -> list[bytes]:
        """Return the entries from ``start`` up to ``end``; all of them must exist."""
        rows = self._session.all(_ENTRIES, log=self._log_id(origin), first=start, stop=end)
        return [row[0] for row in _whole(rows, end - start)]

    def tile_hashes(self, origin: str, level: int, start: int, end: int) -> list[Hash]:
        """Return stored roots of complete subtrees of height ``8 * level``, level 1 or more."""
        rows = self._session.all(_HASHES, log=self._log_id(origin), at=level, first=start, stop=end)
        return [Hash(row[0]) for row in _whole(rows, end - start)]

    def reaches_beyond(self, origin: str, size: int) -> bool:
        """Return whether entries are stored at ``size`` or above, where none may be."""
        return self._session.first(_BEYOND, log=self._log_id(origin), first=size) is not None

    def put_note(self, note: StoredNote) -> None:
        """Keep a note: the newest a log whole, one an hour whole, else size, root and time.

        Signed notes and cosigned ones are counted apart: the newest cosigned note is often
        of a smaller size than the newest signed one, and it is what evidence needs.
        """
        log = self._log_id(note.origin)
        newest_of = _NEWEST_COSIGNED if note.cosigned else _NEWEST_SIGNED
        before = self._session.first(newest_of, log=log, most=MAX_TREE_SIZE)
        newest = note.note is not None and (before is None or note.size >= before[1])
        hourly = newest and (before is None or before[3] // _HOUR_MS != note.at_ms // _HOUR_MS)
        row: Row = (
            self._session.take_note_number(),
            log,
            note.size,
            note.root,
            note.at_ms,
            note.cosigned,
            hourly,
            note.note if newest else None,
        )
        self._session.many(_INSERT_NOTE, [row])
        if newest and before is not None and not before[4]:
            self._session.change(_FORGET_NOTE, of=before[0])

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
            for statement, is_cosigned in ((_NEWEST_COSIGNED, True), (_NEWEST_SIGNED, False))
            if (is_cosigned or not cosigned)
            and (note := self._session.first(statement, log=log, most=at_most)) is not None
        ]
        if not found:
            return None
        (_, size, root, at_ms, _, note), is_cosigned = max(found, key=lambda f: (f[0][1], f[0][0]))
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

    def _log_id(self, origin: str) -> int:
        number = self._session.log_id(origin)
        if number is None:
            msg = "there is no such log"
            raise StoreError(msg)
        return number


def _head(row: Row) -> LogHead:
    origin, kind, size, edge = row
    return LogHead(origin=origin, kind=LogKind(kind), edge=RightEdge.decode(size, edge))


def _whole(rows: list[Row], count: int) -> list[Row]:
    if len(rows) != count:
        msg = "the log does not hold every entry of the range that was asked for"
        raise StoreError(msg)
    return rows
