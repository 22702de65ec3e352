"""Incoming messages and what is due to be said of them, as a closure works with them inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.core.entries import Collection
from gateway.ports.rows import (
    InboxRow,
    LostMessage,
    NewMessage,
    ReceiptDue,
)


class Inbox(Protocol):
    """Messages that arrived for this node's agencies, and the answers that are due."""

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store received messages with content and addressees, in this order."""
        ...

    def refused(self, message_ids: Iterable[bytes]) -> set[bytes]:
        """Return which of these ids are of messages that were refused for good."""
        ...

    def listing(self, agency: str, *, after: tuple[int, int], limit: int, collected: bool) -> list[InboxRow]:
        """Return messages for an agency by (rank, number) greater than ``after``.

        Args:
            agency: Addressee.
            after: (rank, number) of the last row seen; (-1, 0) for the beginning.
            limit: At most so many rows.
            collected: False for what is not acknowledged yet, True for what is.
        """
        ...

    def find(self, message_id: bytes, agency: str) -> InboxRow | None:
        """Return one message for an agency, or None if it is not an addressee."""
        ...

    def acknowledge(
        self, message_ids: Iterable[bytes], agency: str, *, at_ms: int
    ) -> dict[bytes, tuple[int, bool]]:
        """Record collections, due to be logged; return (when, whether only now) by message id.

        What was collected before keeps its time. Ids that are not this agency's are not in
        the result.
        """
        ...

    def due_collections(self, *, limit: int) -> list[Collection]:
        """Return acknowledgements that the exchange log does not hold yet."""
        ...

    def collections_logged(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that these are in the exchange log now.

        Args:
            collections: What `due_collections` returned in this transaction, or neighbours among it.
            log_index: Index of the entry that names them.

        Raises:
            StoreError: Others are due between the first and the last of them.
        """
        ...

    def put_refused(self, message_ids: Sequence[bytes]) -> None:
        """Remember ids of messages that were refused for good, so that `refused` reports them."""
        ...

    def put_receipt_due(self, receipt: ReceiptDue) -> None:
        """Remember that a receipt is due."""
        ...

    def due_receipts(self, *, limit: int) -> list[ReceiptDue]:
        """Return due receipts in order of the mirror."""
        ...

    def receipts_logged(self, starts: Sequence[int], *, log_index: int) -> None:
        """Record that receipts are in the exchange log now; they are due no more."""
        ...

    def receipts_recovered(self, start: int, end: int, *, log_index: int) -> None:
        """Forget receipts that are due for a range: a recovered log already holds them."""
        ...

    def put_early_receipt(self, receipt: ReceiptDue, *, log_index: int) -> None:
        """Remember a receipt of a recovered log whose entries are yet to be mirrored again."""
        ...

    def early_receipts(self, start: int, end: int) -> list[ReceiptDue]:
        """Return such receipts that speak of places from ``start`` to ``end``, in the order of the log."""
        ...

    def last_early_receipt(self) -> int:
        """Return the place behind the last entry that such a receipt speaks of, 0 for none."""
        ...

    def forget_early_receipts(self, below: int) -> None:
        """Forget such receipts about entries below a place: they are mirrored again."""
        ...

    def put_lost(self, messages: Sequence[LostMessage]) -> None:
        """Remember messages that this node had and asks for once more; the first word on each stays."""
        ...

    def lost(self, message_ids: Iterable[bytes]) -> dict[bytes, LostMessage]:
        """Return those of these ids that are of such messages."""
        ...

    def has_lost(self) -> bool:
        """Return whether there is any such message."""
        ...

    def found_again(self, messages: Sequence[tuple[LostMessage, int]]) -> None:
        """Forget such messages: each has come again, and stands at another place of the mirror.

        What was collected of one is collected, and due to be logged again.
        """
        ...

    def start_anew(self) -> None:
        """Forget what is due and what was refused: the sender may know of neither, and sends it anew."""
        ...

    def arrived_again(self, messages: Sequence[tuple[bytes, int, int]]) -> None:
        """Let messages (id, old place, new place) stand elsewhere in the mirror.

        What was collected is due to be logged again.
        """
        ...

    def collections_recovered(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record acknowledgements that a recovered log already holds."""
        ...

    def put_void(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> None:
        """Remember ascending numbers that an entry of the peer declares void."""
        ...
