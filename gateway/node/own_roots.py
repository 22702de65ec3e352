"""Roots of our exchange log at sizes that the peer names, in receipts and anchors.

Nearly always such a size is where a bundle of ours ended, whose root is stored. Any other one is computed
from the entries before it, which takes a millisecond: those of a bundle that names many are computed by a
reader before the transaction, for the thread that writes is everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from gateway.core.entries import AnchorEntry, Entry, ReceiptEntry
from gateway.core.generation import first_place
from gateway.core.merkle import Hash, edge_at
from gateway.node.log_writer import LogHashes
from gateway.node.pair import Pair
from gateway.ports import Store, Transaction

AT_ONCE: Final = 8
"""Roots that one transaction computes at most, or one turn of a reader."""

Roots = Mapping[int, Hash | None]
"""By size; None where our log never had that size."""

NO_ROOTS: Final[Roots] = MappingProxyType({})


class OwnRoots:
    """Finds the roots of one generation of our exchange log."""

    def __init__(self, pair: Pair) -> None:
        """Wire it."""
        self._origin = pair.exchange_origin
        self._base = first_place(pair.generation)

    async def computed(self, store: Store, entries: Sequence[tuple[int, Entry]]) -> Roots:
        """Return the roots that the entries of a bundle name, if they are more than a transaction computes.

        What the peer can speak of is in our log by now: it knows nothing of what is appended meanwhile.
        """
        sizes = sorted({size for _, entry in entries if (size := self._named(entry)) is not None})
        if len(sizes) <= AT_ONCE:
            return NO_ROOTS
        roots: dict[int, Hash | None] = {}
        for first in range(0, len(sizes), AT_ONCE):
            roots |= await store.read(partial(self._at_sizes, sizes=sizes[first : first + AT_ONCE]))
        return roots

    def at(self, tx: Transaction, size: int, known: Roots = NO_ROOTS) -> Hash | None:
        """Return the root that our log had at a size, or None if it never had that size.

        Args:
            tx: The running transaction.
            size: What the peer names.
            known: Roots that were computed before.
        """
        if size in known:
            return known[size]
        head = tx.logs.head(self._origin)
        if head is None or size > head.size:
            return None
        # What the peer speaks of nearly always ends with a bundle, whose root is stored.
        for bundle in tx.outbox.bundles_from(self._base + max(size - 1, 0), limit=1):
            if bundle.end == self._base + size:
                return Hash(bundle.root)
        return edge_at(size, reader=LogHashes(tx.logs, self._origin)).root()

    def _at_sizes(self, tx: Transaction, sizes: Sequence[int]) -> dict[int, Hash | None]:
        return {size: self.at(tx, size) for size in sizes}

    def _named(self, entry: Entry) -> int | None:
        match entry:
            case ReceiptEntry() if entry.origin == self._origin:
                return entry.start + entry.count
            case AnchorEntry() if entry.origin == self._origin:
                return entry.size
            case _:
                return None
