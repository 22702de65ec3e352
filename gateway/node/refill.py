"""Appending entries of our own log that the database had forgotten.

They come from the peer's mirror and are proven by our own signature before they get here.
What they say about messages, receipts, collections and numbers that this database still
knows is applied; what was accepted after the backup is unknown here and stays in the log
alone.

Spec: docs/spec/exchange.md, "Recovery".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from gateway.core.bundle import MAX_BUNDLE_ENTRIES
from gateway.core.entries import (
    CollectedEntry,
    Collection,
    Entry,
    IncidentEntry,
    IncidentKind,
    KeyStatementEntry,
    MessageEntry,
    ReceiptEntry,
    VoidEntry,
    decode_entry,
)
from gateway.core.envelope import decode_header
from gateway.core.generation import base_of, first_of
from gateway.core.merkle import Hash
from gateway.errors import MalformedError
from gateway.node.eraser import restored
from gateway.node.log_writer import extend_log, put_controls
from gateway.ports import LogHead, ReceiptDue, SentBundle, Transaction

MAX_CIPHERTEXT_BYTES: Final = 12 * 1024 * 1024
"""Of one bundle: the peer may have to be sent these entries once more."""


def append_recovered(tx: Transaction, head: LogHead, entries: Sequence[bytes], *, at_ms: int) -> LogHead:
    """Append entries to the own exchange log, with what follows from them; return the new head.

    Args:
        tx: The running transaction.
        head: Where the log ends.
        entries: The entries behind it, in order.
        at_ms: Now, UTC milliseconds.
    """
    base = base_of(head.origin)
    for run in _runs([(data, _decoded(data)) for data in entries]):
        start, data = head.size, [item[0] for item in run]
        head = extend_log(tx, head, data)
        put_controls(tx, head.origin, start, data)
        messages = [
            (base + index, _message_id(entry))
            for index, (_, entry) in enumerate(run, start)
            if isinstance(entry, MessageEntry)
        ]
        tx.outbox.recovered(messages, at_ms=at_ms)
        for index, (_, entry) in enumerate(run, start):
            _apply(tx, head.origin, base + index, entry, at_ms)
        tx.outbox.put_bundle(
            SentBundle(
                start=base + start,
                count=len(run),
                root=head.edge.root(),
                box=None,
                note=None,
                sequenced_ms=at_ms,
                messages=len(messages),
            )
        )
    return head


def _apply(tx: Transaction, origin: str, place: int, entry: Entry | None, at_ms: int) -> None:
    """Make the effects of an entry that is not a message."""
    match entry:
        case ReceiptEntry():
            start = base_of(entry.origin) + entry.start
            tx.inbox.receipts_recovered(start, start + entry.count, log_index=place)
            _remember(tx, origin, place, entry, start)
        case CollectedEntry():
            tx.inbox.collections_recovered(placed(entry), log_index=place)
        case VoidEntry():
            _end_void(tx, entry, at_ms)
        case IncidentEntry() if entry.incident == IncidentKind.ERASED and entry.size > 0:
            # It was erased after the backup: it is erased again.
            at, is_own = base_of(entry.origin) + entry.size - 1, first_of(entry.origin) == first_of(origin)
            message_id = tx.removal.message_at(at, outgoing=is_own)
            if message_id is not None:
                tx.removal.put_ending(restored(message_id))
        case _:
            return  # announcements were noted; anchors and incidents have no effect here


def _remember(tx: Transaction, origin: str, place: int, entry: ReceiptEntry, start: int) -> None:
    """Keep in mind what was said of entries that the mirror has lost: `gateway.node.earlier`."""
    mirror = tx.logs.head(entry.origin)
    mirrored = base_of(entry.origin) + (0 if mirror is None else mirror.size)
    if base_of(entry.origin) != base_of(origin) or start + entry.count <= mirrored:
        return
    said = ReceiptDue(
        start=start,
        count=entry.count,
        root=Hash(entry.root),
        decided_ms=entry.decided_ms,
        exceptions=entry.exceptions,
    )
    tx.inbox.put_early_receipt(said, log_index=place)


def placed(entry: CollectedEntry) -> list[Collection]:
    """Return the collections of an entry with the places of the messages."""
    base = base_of(entry.origin)
    if base == 0:
        return list(entry.collections)
    return [replace(item, index=base + item.index) for item in entry.collections]


def _end_void(tx: Transaction, entry: VoidEntry, at_ms: int) -> None:
    """End messages that wait in this database, and were withdrawn or expired after the backup."""
    for message_id in tx.outbox.waiting_under(entry.conversation_id, entry.agency, entry.numbers):
        tx.outbox.withdraw(message_id, entry.agency, at_ms=at_ms)
    tx.outbox.voids_recovered(entry.conversation_id, entry.agency, entry.numbers)


def _decoded(data: bytes) -> Entry | None:
    """Return an entry, or None for one of a later version: it is ours, and has no effect here."""
    try:
        return decode_entry(data)
    except MalformedError:
        return None


def _message_id(entry: MessageEntry) -> bytes:
    """Return the id of a message, or none that any message has."""
    try:
        return decode_header(entry.header).message_id
    except MalformedError:
        return b""


def _runs(entries: Sequence[tuple[bytes, Entry | None]]) -> Iterator[list[tuple[bytes, Entry | None]]]:
    """Yield the entries in runs that fit into a bundle with their ciphertexts."""
    run: list[tuple[bytes, Entry | None]] = []
    size = 0
    for data, entry in entries:
        length = len(data) + (entry.ciphertext_bytes if isinstance(entry, MessageEntry) else 0)
        if run and (len(run) == MAX_BUNDLE_ENTRIES or size + length > MAX_CIPHERTEXT_BYTES):
            yield run
            run, size = [], 0
        run.append((data, entry))
        size += length
        if isinstance(entry, KeyStatementEntry):
            yield run  # a statement closes its bundle: what follows is signed by its keys
            run, size = [], 0
    if run:
        yield run
