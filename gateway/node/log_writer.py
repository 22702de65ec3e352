"""Appending to an own log or a mirror inside a transaction.

The one place that turns entries into leaf hashes, a new right edge and rows, so that
every log of the node grows the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.cosignature import signing_key, verify_log_note
from gateway.core.entries import Kind, kind_of
from gateway.core.generation import base_of, generation_of
from gateway.core.merkle import Appended, Hash, append, hash_leaf
from gateway.core.signature import HybridVerifier
from gateway.errors import PeerError
from gateway.ports import LogHead, LogKind, Logs, SentBundle, StoredNote, Transaction


def ensure_log(tx: Transaction, origin: str, kind: LogKind) -> LogHead:
    """Return the head of a log, creating the log if it does not exist yet."""
    return tx.logs.head(origin) or tx.logs.create(origin, kind)


def newest_generation(tx: Transaction, first: str, kind: LogKind) -> int:
    """Return the newest generation that is stored of the log whose first origin is ``first``."""
    found = [generation_of(first, head.origin) for head in tx.logs.heads() if head.kind is kind]
    return max((generation for generation in found if generation is not None), default=1)


def extend_log(
    tx: Transaction, head: LogHead, entries: Sequence[bytes], *, grown: Appended | None = None
) -> LogHead:
    """Append entries to the log whose head is ``head`` and return the new head.

    Args:
        tx: The running transaction.
        head: Where the log ends.
        entries: In the order of the log.
        grown: What appending them to ``head`` gives, from who has computed it already.

    Raises:
        StoreError: The head has moved, so the caller's view of the log is stale.
    """
    if grown is None:
        grown = append(head.edge, [hash_leaf(entry) for entry in entries])
    return tx.logs.extend(head, entries=entries, edge=grown.edge, tile_hashes=grown.tile_hashes)


def append_bundle(tx: Transaction, origin: str, entries: Sequence[bytes], *, at_ms: int) -> LogHead:
    """Append entries without messages to the own exchange log, as a bundle; return the new head.

    The bundle is signed when it leaves, or at the next start.
    """
    head = ensure_log(tx, origin, LogKind.EXCHANGE)
    grown = extend_log(tx, head, entries)
    put_controls(tx, origin, head.size, entries)
    tx.outbox.put_bundle(
        SentBundle(
            start=base_of(origin) + head.size,
            count=len(entries),
            root=grown.edge.root(),
            box=None,
            note=None,
            sequenced_ms=at_ms,
            messages=0,
        )
    )
    return grown


def put_controls(tx: Transaction, origin: str, start: int, entries: Sequence[bytes]) -> None:
    """Remember those entries of a run, beginning at ``start``, that change how a log is read."""
    for index, entry in enumerate(entries, start):
        if kind_of(entry) in _CONTROL_KINDS:
            tx.logs.put_control(origin, kind_of(entry), index, entry)


_CONTROL_KINDS: Final = frozenset({Kind.KEM_KEY, Kind.KEY_STATEMENT, Kind.AGREEMENT})


def note_time_s(note: StoredNote, verifiers: Sequence[HybridVerifier]) -> int:
    """Return the time that an own note names, seconds: the next one may not name an earlier one."""
    if note.note is None:
        return 0
    try:
        return verify_log_note(note.note, verifier=signing_key(note.note, verifiers)).time_s
    except PeerError:
        # Signed by a key that is not in the home any more: when it was stored is as good.
        return note.at_ms // 1_000


class LogHashes:
    """Hashes of a stored log, for proofs and for roots at earlier sizes.

    Satisfies `gateway.core.merkle.HashReader`.
    """

    def __init__(self, logs: Logs, origin: str) -> None:
        """Read from ``origin`` through the repository of a running transaction."""
        self._logs = logs
        self._origin = origin

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        """Return leaf hashes (level 0) or roots of ``256**level`` leaves."""
        if level == 0:
            return [hash_leaf(entry) for entry in self._logs.entries(self._origin, start, end)]
        return self._logs.tile_hashes(self._origin, level, start, end)
