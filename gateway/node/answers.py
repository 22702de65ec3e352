"""What this node has to say in its exchange log beside its messages.

Voids, erasures, receipts and collections are rows that are due. The transaction that forms a
bundle takes them in this order, writes an entry for each, or for many at once, and records
where that stands; anchors of the other logs ride along.

Spec: docs/spec/exchange.md, "Answers"; docs/spec/log.md, "Entries".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Final

from gateway.core.entries import (
    MAX_COLLECTIONS,
    MAX_EXCEPTIONS,
    AnchorEntry,
    CollectedEntry,
    Collection,
    IncidentEntry,
    IncidentKind,
    ReceiptEntry,
    VoidEntry,
    encode_entry,
)
from gateway.core.generation import base_of, generation_at, index_of, located, origin_of
from gateway.core.merkle import edge_at
from gateway.node.audit_log import AuditLog
from gateway.node.log_writer import LogHashes
from gateway.node.pair import Pair
from gateway.ports import ReceiptDue, Transaction

MAX_ANSWERS: Final = 128
"""Receipts, void numbers and erasures each in one bundle, so that answers never crowd out messages."""

MAX_COLLECTED: Final = 16 * MAX_COLLECTIONS
"""Collections in one bundle."""

ANCHOR_EVERY: Final = 64
"""Entries by which another log has grown before it is anchored again."""


class Answers:
    """Turns what is due into entries."""

    def __init__(self, *, pair: Pair, audit: AuditLog) -> None:
        """Speak in the exchange log of ``pair``, and anchor its audit log."""
        self._pair = pair
        self._audit = audit
        # Entries are counted within the generation, rows of the database by their places.
        self._base = base_of(pair.exchange_origin)
        # Sizes that were read; what the database says is that or more.
        self._anchored: dict[str, int] = {}

    def take(self, tx: Transaction, first: int) -> tuple[list[bytes], bool]:
        """Return the entries of what is due, and whether there may be more of it.

        Args:
            tx: The transaction that appends them.
            first: Index that the first of them will have.
        """
        voids = tx.outbox.take_voids(limit=MAX_ANSWERS)
        entries = [
            encode_entry(
                VoidEntry(conversation_id=talk, agency=agency, numbers=tuple(seq for *_, seq in group))
            )
            for (talk, agency), group in groupby(voids, key=itemgetter(0, 1))
        ]
        erasures = tx.removal.due_entries(limit=MAX_ANSWERS)
        entries += self._erasures(tx, erasures, first + len(entries))
        receipts = tx.inbox.due_receipts(limit=MAX_ANSWERS)
        entries += self._receipts(tx, receipts, first + len(entries))
        # A collection follows its receipt: the sender asks for none of what is collected.
        all_answered = len(receipts) < MAX_ANSWERS
        collections = tx.inbox.due_collections(limit=MAX_COLLECTED) if all_answered else []
        entries += self._collections(tx, collections, first + len(entries))
        may_be_more = len(collections) == MAX_COLLECTED or MAX_ANSWERS in (
            len(voids),
            len(erasures),
            len(receipts),
        )
        return entries, may_be_more

    def _erasures(self, tx: Transaction, due: Sequence[tuple[int, bool, int]], first: int) -> list[bytes]:
        """Return incident entries for erasures that the other nation could not foresee.

        Each names the log of the message and its state right behind the message's entry.
        """
        tx.removal.entries_logged([number for number, _, _ in due], log_index=self._base + first)
        entries: list[bytes] = []
        for _, outgoing, place in due:
            own, peers = self._pair.first_exchange_origin, self._pair.first_peer_origin
            origin, index = located(own if outgoing else peers, place)
            root = edge_at(index + 1, reader=LogHashes(tx.logs, origin)).root()
            entries.append(
                encode_entry(
                    IncidentEntry(incident=IncidentKind.ERASED, origin=origin, size=index + 1, root=root)
                )
            )
        return entries

    def _receipts(self, tx: Transaction, due: Sequence[ReceiptDue], first: int) -> list[bytes]:
        """Return receipt entries for what is due; neighbouring ranges share one."""
        entries: list[bytes] = []
        for run in _runs(due):
            at = self._base + first + len(entries)
            tx.inbox.receipts_logged([item.start for item in run], log_index=at)
            last = run[-1]
            entries.append(
                encode_entry(
                    ReceiptEntry(
                        origin=self._pair.peer_origin,
                        start=index_of(run[0].start),
                        count=last.start + last.count - run[0].start,
                        root=last.root,
                        # Not the last one's: a clock that was set back in between would make an
                        # auditor wonder how what the first ones call expired can have been so.
                        decided_ms=max(item.decided_ms for item in run),
                        exceptions=tuple(e for item in run for e in item.exceptions),
                    )
                )
            )
        return entries

    def _collections(self, tx: Transaction, due: Sequence[Collection], first: int) -> list[bytes]:
        entries: list[bytes] = []
        # In order of their places, so those of an earlier generation stand together.
        for generation, group in groupby(due, key=lambda item: generation_at(item.index)):
            of_log = list(group)
            origin = origin_of(self._pair.first_peer_origin, generation)
            for at in range(0, len(of_log), MAX_COLLECTIONS):
                chunk = of_log[at : at + MAX_COLLECTIONS]
                tx.inbox.collections_logged(chunk, log_index=self._base + first + len(entries))
                said = chunk
                if generation > 1:
                    said = [replace(item, index=index_of(item.index)) for item in chunk]
                entries.append(encode_entry(CollectedEntry(origin=origin, collections=tuple(said))))
        return entries

    def anchors(self, tx: Transaction) -> list[bytes]:
        """Return anchors of the peer's log and of the audit log, as far as they have grown."""
        entries: list[bytes] = []
        for origin in (self._pair.peer_origin, self._audit.origin):
            head = tx.logs.head(origin)
            if head is None or head.size - self._anchored.get(origin, -ANCHOR_EVERY) < ANCHOR_EVERY:
                continue
            key = f"anchored:{origin}"
            anchored = self._anchored[origin] = int(tx.facts.get(key) or 0)
            if head.size - anchored >= ANCHOR_EVERY:
                tx.facts.put(key, str(head.size))
                anchor = AnchorEntry(origin=origin, size=head.size, root=head.edge.root())
                entries.append(encode_entry(anchor))
        return entries


def _runs(due: Sequence[ReceiptDue]) -> list[list[ReceiptDue]]:
    """Return neighbouring ranges together, as far as one entry can hold their exceptions."""
    runs: list[list[ReceiptDue]] = []
    exceptions = 0
    for item in due:
        last = runs[-1][-1] if runs else None
        adjoins = last is not None and last.start + last.count == item.start
        if adjoins and exceptions + len(item.exceptions) <= MAX_EXCEPTIONS:
            runs[-1].append(item)
            exceptions += len(item.exceptions)
        else:
            runs.append([item])
            exceptions = len(item.exceptions)
    return runs
