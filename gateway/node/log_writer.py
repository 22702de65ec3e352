"""Appending to an own log or a mirror inside a transaction.

The one place that turns entries into leaf hashes, a new right edge and rows, so that
every log of the node grows the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.merkle import Hash, append, hash_leaf
from gateway.ports import LogHead, LogKind, Logs, Transaction


def ensure_log(tx: Transaction, origin: str, kind: LogKind) -> LogHead:
    """Return the head of a log, creating the log if it does not exist yet."""
    return tx.logs.head(origin) or tx.logs.create(origin, kind)


def extend_log(tx: Transaction, head: LogHead, entries: Sequence[bytes]) -> LogHead:
    """Append entries to the log whose head is ``head`` and return the new head.

    Raises:
        StoreError: The head has moved, so the caller's view of the log is stale.
    """
    grown = append(head.edge, [hash_leaf(entry) for entry in entries])
    return tx.logs.extend(head, entries=entries, edge=grown.edge, tile_hashes=grown.tile_hashes)


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
