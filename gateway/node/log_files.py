"""The logs of a running node as the files that any C2SP tlog-tiles reader asks for.

Nothing is kept as files: every tile and bundle is cut from the stored entries and hashes
when it is asked for. Whatever has been signed is served, at every width up to the signed
size, because a partial tile is a prefix of all its later versions: a reader that holds an
older checkpoint still finds all that it names while the log grows.

Spec: C2SP tlog-tiles; docs/spec/log.md, "Files".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.tiles import CHECKPOINT_PATH, TileFile, encode_bundle, parse_tile_path
from gateway.errors import MalformedError
from gateway.node.log_names import name_of, origin_of
from gateway.node.log_writer import LogHashes
from gateway.node.pair import Pair
from gateway.ports import Attestation, LogKind, Store, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedLog:
    """A log that can be read, and how far it is signed.

    Attributes:
        name: ``audit``, ``exchange/us``, ``mirror/us`` or a successor of these.
        origin: As its checkpoints call it.
        size: Entries under its newest signed note.
    """

    name: str
    origin: str
    size: int


class LogFiles:
    """Answers reads of the logs whose entries this node holds."""

    def __init__(self, pair: Pair, store: Store) -> None:
        """Read from this store."""
        self._pair = pair
        self._store = store

    async def logs(self) -> Sequence[ServedLog]:
        """Return every log that has been signed, in order of origin."""

        def load(tx: Transaction) -> list[ServedLog]:
            found = []
            for head in tx.logs.heads():
                note = None if head.kind is LogKind.WITNESSED else tx.logs.newest_note(head.origin)
                if note is not None:
                    name = name_of(head.origin, self._pair)
                    found.append(ServedLog(name=name, origin=head.origin, size=note.size))
            return found

        return await self._store.read(load)

    async def attestations(self, name: str) -> Sequence[Attestation] | None:
        """Return what third parties said of a log, or None if there is no such log."""
        origin = origin_of(name, self._pair)
        if origin is None:
            return None

        def load(tx: Transaction) -> Sequence[Attestation] | None:
            return None if tx.logs.head(origin) is None else tx.facts.attestations(origin)

        return await self._store.read(load)

    async def file(self, name: str, path: str) -> bytes | None:
        """Return the content of one file of a log, or None if the log has no such file.

        Args:
            name: Name of the log.
            path: ``checkpoint``, or the path of a tile or entry bundle in its one form.
        """
        origin = origin_of(name, self._pair)
        if origin is None:
            return None
        if path == CHECKPOINT_PATH:
            note = await self._store.read(lambda tx: tx.logs.newest_note(origin))
            return None if note is None else note.note
        try:
            file = parse_tile_path(path)
        except MalformedError:
            return None
        return await self._store.read(lambda tx: _cut(tx, origin, file))


def _cut(tx: Transaction, origin: str, file: TileFile) -> bytes | None:
    """Return a tile or bundle, unless it reaches beyond what is signed."""
    note = tx.logs.newest_note(origin)
    level = file.level or 0
    if note is None or file.end > note.size >> 8 * level:
        return None
    if file.level is None:
        return encode_bundle(tx.logs.entries(origin, file.start, file.end))
    return b"".join(LogHashes(tx.logs, origin).hashes(level, file.start, file.end))
