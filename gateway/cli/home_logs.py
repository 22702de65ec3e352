"""The logs of a node home, read from its database, beside a running node or without one.

Commands name logs as a person does: ``audit``, ``exchange/us`` (written by this node),
``mirror/us`` (the peer's log that this node mirrors). Successor generations add their
number: ``exchange/us/2``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.audit.folder import FolderError
from gateway.config import Config, load_config, resolve
from gateway.configured import pair_of, store_url
from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.merkle import Hash, edge_at
from gateway.core.message.wording import counted
from gateway.core.note import parse_note
from gateway.errors import OperatorError
from gateway.node.log_names import name_of, origin_of
from gateway.node.log_writer import LogHashes
from gateway.ports import LogHead, LogKind, StoredNote, Transaction
from gateway.storage.highwater import FileHighWater
from gateway.storage.store import SqlStore

T = TypeVar("T")


class UnknownLogNameError(OperatorError):
    """No log of this node has this name."""

    code = "unknown-log-name"


class UnsignedLogError(OperatorError):
    """The log has not been signed yet, so there is nothing that could be verified."""

    code = "unsigned-log"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """Where a log of the node stands.

    Attributes:
        name: As in ``--log``.
        head: Where it ends.
        newest: Newest signed note, or None.
        cosigned: Newest note that the other node has cosigned, or None; often of a smaller
            size.
    """

    name: str
    head: LogHead
    newest: StoredNote | None
    cosigned: StoredNote | None


class HomeLogs:
    """The logs of one node home, open to read only."""

    def __init__(self, home: Path, config: Config, runner: asyncio.Runner) -> None:
        """Use `open_home`."""
        self.path = home
        self._runner = runner
        self.config = config
        # Read before the database: a mark is never ahead of what was written before it.
        high_water = resolve(home, config.store.high_water_file)
        self.marks: Mapping[str, tuple[int, Hash]] = FileHighWater(high_water).read()
        self._store = runner.run(_open(store_url(home, config)))

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` on one snapshot of the database."""
        return self._runner.run(self._store.read(work))

    def root_at(self, origin: str, size: int) -> Hash:
        """Return the root that a log had at a size that the database holds."""
        return self.read(lambda tx: edge_at(size, reader=LogHashes(tx.logs, origin)).root())

    @property
    def is_newer(self) -> bool:
        """Return whether a newer program made the database: a node of this one does not start on it."""
        return self._store.is_newer

    def close(self) -> None:
        """Close the database."""
        self._runner.run(self._store.close())

    def stored(self) -> list[StoredLog]:
        """Return every log whose entries this node holds, with its newest note, as of one moment."""

        def load(tx: Transaction) -> list[StoredLog]:
            return [
                StoredLog(
                    name=log_name(head.origin, self.config),
                    head=head,
                    newest=tx.logs.newest_note(head.origin),
                    cosigned=tx.logs.newest_note(head.origin, cosigned=True),
                )
                for head in tx.logs.heads()
                if head.kind is not LogKind.WITNESSED
            ]

        return self.read(load)

    def find(self, name: str) -> StoredLog:
        """Return the log that a command names.

        Raises:
            UnknownLogNameError: There is no such log; the text lists those there are.
        """
        logs = self.stored()
        for log in logs:
            if log.name == name:
                return log
        names = ", ".join(log.name for log in logs) or "none yet"
        msg = f"no log of that name; the logs of this node: {names}"
        raise UnknownLogNameError(msg)

    def open(self, log: StoredLog, *, cosigned: bool = False, at_most: int | None = None) -> DatabaseLog:
        """Return a log up to its newest signed note, or up to its newest cosigned one.

        Args:
            log: Which one.
            cosigned: Only up to a note that the other node has cosigned.
            at_most: Only up to a note of at most this size.

        Raises:
            UnsignedLogError: There is no such note.
        """
        note = log.cosigned if cosigned else log.newest
        if at_most is not None:
            origin = log.head.origin
            note = self.read(lambda tx: tx.logs.newest_note(origin, cosigned=cosigned, at_most=at_most))
        if note is None or note.note is None:
            what = "cosigned" if cosigned else "signed"
            msg = f"{log.name} has not been {what} yet"
            if at_most is not None:
                at = counted(at_most, "entry", "entries")
                msg = f"{log.name} has not been {what} at {at} or fewer, as far as notes are kept"
            raise UnsignedLogError(msg)
        return DatabaseLog(self, log.head, note.note)


class DatabaseLog:
    """One log of the database: what an export reads and what a verification recomputes.

    Satisfies `gateway.audit.export.LogSource` and `gateway.audit.log.AuditedLog`.
    """

    stored_from = 1

    def __init__(self, logs: HomeLogs, head: LogHead, note: bytes) -> None:
        """Read the log that ends at ``head`` up to the size that ``note`` signs."""
        self._logs = logs
        self._head = head
        self._note = note

    def note(self) -> bytes:
        """Return the newest signed note."""
        return self._note

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Return the entries from ``start`` up to ``end``."""
        return self._logs.read(lambda tx: tx.logs.entries(self._head.origin, start, end))

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        """Return stored hashes of level 1 or above."""
        return self._logs.read(lambda tx: tx.logs.tile_hashes(self._head.origin, level, start, end))

    def check_names(self, size: int) -> int:
        """Check that head and note belong together; a database has no files to count.

        Raises:
            FolderError: The database holds fewer entries than were signed, another right
                edge, or a mirror with more than the peer has signed.
        """
        signed: Checkpoint = parse_checkpoint(parse_note(self._note).text)
        if self._head.size < size:
            held = counted(self._head.size, "entry", "entries")
            msg = f"the database holds {held}, but {counted(size, 'was', 'were')} signed"
            raise FolderError(msg)
        if self._head.size == size and self._head.edge.root() != signed.root:
            msg = "the stored right edge does not lead to the signed root"
            raise FolderError(msg)
        if self._head.kind is LogKind.MIRROR and self._head.size != size:
            held = counted(self._head.size, "entry", "entries")
            msg = f"the mirror holds {held}, but the peer has signed {size}"
            raise FolderError(msg)
        return 0

    @property
    def unsigned(self) -> int:
        """Return how many entries are not signed yet."""
        return self._head.size - parse_checkpoint(parse_note(self._note).text).size


@contextmanager
def open_home(home: Path) -> Iterator[HomeLogs]:
    """Open the logs of a node home to read only.

    Raises:
        ConfigError: The configuration cannot be used.
        StoreError: There is no database, or it cannot be read.
    """
    config = load_config(home)
    with asyncio.Runner() as runner:
        logs = HomeLogs(home, config, runner)
        try:
            yield logs
        finally:
            logs.close()


def log_name(origin: str, config: Config) -> str:
    """Return the name by which commands call a log of this node, or the origin if it has none."""
    return name_of(origin, pair_of(config))


def log_origin(name: str, config: Config) -> str:
    """Return the origin of the log that a command names, whether or not it exists yet.

    Raises:
        UnknownLogNameError: No log can have this name.
    """
    origin = origin_of(name, pair_of(config))
    if origin is None:
        peer = config.peer_nation.lower()
        msg = f"a log is audit, exchange/{peer} or mirror/{peer}"
        raise UnknownLogNameError(msg)
    return origin


async def _open(url: str) -> SqlStore:
    return SqlStore.open(url, read_only=True, readers=1)
