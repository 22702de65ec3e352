"""Outgoing messages, as a closure finds and changes them inside a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.core.entries import Collection, ReceiptException
from gateway.core.merkle import Hash
from gateway.core.states import State
from gateway.ports.rows import (
    CollectionRow,
    MessageRow,
    NewMessage,
    SentBundle,
    Waiting,
)


class Outbox(Protocol):
    """Messages that this node's agencies posted, and the bundles they travel in."""

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store accepted messages with their content, in this order."""
        ...

    def raise_ranks(self, ranks: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
        """Let waiting predecessors inherit a precedence, by conversation; return each with its new one.

        Of all agencies of the nation: one agency's answer may rest on another's, as after a
        request was transferred.
        """
        ...

    def waiting(self, *, limit: int, max_bytes: int) -> list[Waiting]:
        """Return accepted messages by rank, then age, until a limit is reached.

        At least one message is returned if any waits, whatever its size.
        """
        ...

    def count(self, state: State) -> int:
        """Return how many outgoing messages are in a state."""
        ...

    def mark_sent(self, sent: Sequence[tuple[int, int]], *, at_ms: int) -> None:
        """Move messages (number, log index) from *accepted* to *sent*.

        Raises:
            StoreError: One of them was not *accepted* any more.
        """
        ...

    def put_bundle(self, bundle: SentBundle) -> None:
        """Store the run of entries that was just appended."""
        ...

    def grow_bundle(self, start: int, *, end: int, root: Hash) -> None:
        """Let the unsigned bundle that begins at ``start`` take in what was just appended behind it.

        Raises:
            StoreError: It is signed, or there is none.
        """
        ...

    def set_note(self, start: int, note: bytes) -> None:
        """Store the signed note of the bundle that begins at ``start``."""
        ...

    def bundles_from(self, index: int, *, limit: int) -> list[SentBundle]:
        """Return bundles that end behind ``index``, in order."""
        ...

    def ciphertexts(self, start: int, end: int) -> list[bytes | None]:
        """Return the ciphertext of each message entry in a range of the own log, in order."""
        ...

    def delivered(self, up_to: int, *, at_ms: int) -> int:
        """Move sent messages below an index to *delivered*; return how many.

        Boxes and notes of the bundles below it are forgotten: a bundle that has to be sent
        once more is signed once more, which says the same.
        """
        ...

    def received(
        self,
        *,
        start: int,
        end: int,
        decided_ms: int,
        receipt_index: int,
        exceptions: Sequence[ReceiptException],
    ) -> bool:
        """Apply a receipt: *received* for the range, but what `state_after` says for exceptions.

        The numbers of messages that end here are void, and the log has to say so.

        A message that was received before stays so, unless it is asked for once more: `taken_back`.

        Returns:
            True if something is due to be sent: a message once more, or a void.
        """
        ...

    def taken_back(self, exceptions: Sequence[ReceiptException]) -> list[tuple[int, int]]:
        """Return (number, place of the earlier receipt) of messages that exceptions would end once received.

        Those that are asked for once more are none of them.
        """
        ...

    def stay_received(self, number: int, *, start: int, end: int) -> None:
        """Let a message be *received* as an earlier receipt says, at its entry in the range of that.

        Raises:
            StoreError: No entry of the message stands there.
        """
        ...

    def start_anew(self, first: int, *, in_doubt: int = 0) -> int:
        """Move messages from place ``first`` on that no receipt speaks of back to *accepted*.

        Their log is closed. They may have arrived, so none of them ends before a receipt says so. Those that
        were erased meanwhile are named by `erased_anew` from now on.

        Args:
            first: Place of index 0 of that log.
            in_doubt: Messages up to this number that wait may have been sent as well.

        Returns:
            How many messages are sent once more.
        """
        ...

    def erased_anew(self, first: int, *, limit: int) -> list[tuple[int, int]]:
        """Return (number, place) of messages below place ``first`` that were erased and have no receipt.

        The peer can be asked about them by their entries, without content.
        """
        ...

    def mark_asked(self, asked: Sequence[tuple[int, int]], *, at_ms: int) -> None:
        """Let erased messages (number, log index) stand at a new entry, whose receipt will speak of them."""
        ...

    def settle_erased(self) -> int:
        """Declare void what was erased before it was known whether it was sent, and was not.

        For when the own log has become whole: what was sent is in it.

        Returns:
            How many messages that are.
        """
        ...

    def rolled_back(self, size: int) -> int:
        """Move messages from index ``size`` on back to *sent*, as far as they are not collected.

        For a peer that was restored from a backup and holds no entry from there on. What was known of their
        arrival stays. Those that are collected stay so until the peer asks for them, as often as for
        any other.

        Returns:
            How many messages that are.
        """
        ...

    def collected(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that addressees acknowledged; *collected* once all of them have."""
        ...

    def newest_number(self) -> int:
        """Return the number of the newest message of either direction, 0 for none."""
        ...

    def has_expired(self, now_ms: int, *, above: int = 0) -> bool:
        """Return whether the delivery time of a waiting message with a higher number is over."""
        ...

    def expire(self, now_ms: int, *, limit: int, above: int = 0) -> list[MessageRow]:
        """Move waiting messages whose delivery time is over to *expired* and return them.

        Not those that may have arrived in an earlier generation, or before the peer was restored
        (`MessageRow.is_unanswered`).

        Args:
            now_ms: UTC milliseconds.
            limit: At most so many, those first whose time was over first.
            above: Only messages with a higher number.
        """
        ...

    def withdraw(self, message_id: bytes, agency: str, *, at_ms: int | None = None) -> MessageRow | None:
        """Move an *accepted* message of an agency to *withdrawn*; None if it is not there.

        The row is returned as it was before; the caller looks at its state.
        """
        ...

    def find(self, message_id: bytes, agency: str) -> MessageRow | None:
        """Return a message that this agency posted, or None."""
        ...

    def listing(self, agency: str, *, after: int, limit: int) -> list[MessageRow]:
        """Return messages that an agency posted, newest first, with a number below ``after``.

        ``after`` 0 means from the newest.
        """
        ...

    def addressees(self, message_id: bytes) -> list[CollectionRow]:
        """Return the addressees of a message in the order of the message."""
        ...

    def recovered(self, messages: Sequence[tuple[int, bytes]], *, at_ms: int) -> None:
        """Move messages (log index, message id) that a recovered log holds to *delivered*.

        Those that were erased meanwhile stay so; their numbers are not void. Ids that this database does
        not know are ignored: they were accepted after the backup.
        """
        ...

    def put_void(self, conversation_id: bytes, agency: str, seq: int) -> None:
        """Remember that a number will never be used and that the log has to say so."""
        ...

    def waiting_under(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> list[bytes]:
        """Return the ids of *accepted* messages of an agency with these numbers in a conversation."""
        ...

    def voids_recovered(self, conversation_id: bytes, agency: str, numbers: Sequence[int]) -> None:
        """Remember numbers that a recovered log declares void: it does not have to say so again."""
        ...

    def take_voids(self, *, limit: int) -> list[tuple[bytes, str, int]]:
        """Return voids that the log does not hold yet, and mark them as logged now."""
        ...
