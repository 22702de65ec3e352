"""The end of content, as a closure works with it inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.core.message.retention import Ending
from gateway.ports.rows import Erasure, Hold, MessageRow


class Removal(Protocol):
    """When content ends, its destruction, and the holds that stop it."""

    def has_due(self, now_ms: int) -> bool:
        """Return whether content is there whose time is over and that nothing holds."""
        ...

    def due(self, now_ms: int, *, limit: int) -> list[MessageRow]:
        """Return the messages of such content, the longest overdue first."""
        ...

    def erase(
        self,
        rows: Sequence[MessageRow],
        *,
        at_ms: int,
        audit_index: int,
        logged: bool,
        certain_above: int = 0,
    ) -> None:
        """Destroy ciphertext, wrapped key and box copy of messages; they become *erased*.

        What waited and was certainly not sent is void, and the log has to say so. Of what may have been
        sent a refilled log or a receipt has to speak first (`Outbox.recovered`, `Outbox.erased_anew`).
        A box that was not yet cosigned goes with the content, so that the other messages of its bundle
        are sent again. What a repeated post is recognised by goes as well.

        Args:
            rows: As `due` returned them in this transaction.
            at_ms: Now, UTC milliseconds.
            audit_index: Place of the event that records it.
            logged: Whether the exchange log has to say it.
            certain_above: Messages up to this number that wait may have been sent.
        """
        ...

    def put_ending(self, ending: Ending, *, by_id: bytes = b"") -> None:
        """Remember what is ordered about the content of a message.

        Args:
            ending: Which message, when and why.
            by_id: Id of the message that orders it; none for an order that holds at once, and
                for as long as the message has not come (back).
        """
        ...

    def has_endings(self) -> bool:
        """Return whether `settle_endings` would settle anything."""
        ...

    def settle_endings(self, *, limit: int) -> int:
        """Apply what is ordered by messages that were received; return how many were settled.

        What a message orders that was refused, expired or withdrawn is dropped, and so is what
        one orders about a message of the other nation.
        """
        ...

    def message_at(self, log_index: int, *, outgoing: bool) -> bytes | None:
        """Return the id of the message at an index of the own log, or of the mirror, or None."""
        ...

    def find(self, message_id: bytes) -> tuple[MessageRow, Erasure | None] | None:
        """Return a message of whichever agency and direction, and where its erasure is on record."""
        ...

    def due_entries(self, *, limit: int) -> list[tuple[int, bool, int]]:
        """Return (number, outgoing, log index) of erasures that the exchange log has to name."""
        ...

    def entries_logged(self, numbers: Sequence[int], *, log_index: int) -> None:
        """Record that the exchange log names erasures, one an entry from ``log_index`` on."""
        ...

    def hold(self, hold: Hold) -> int:
        """Let a hold stand, or stand again; return how many messages with content it keeps."""
        ...

    def lift(self, subject: bytes, *, conversation: bool) -> bool:
        """End a hold; return whether there was one. Other holds on the same messages stay."""
        ...

    def holds(self) -> list[Hold]:
        """Return every hold, the oldest first."""
        ...

    def held(self) -> int:
        """Return how many messages are held."""
        ...
