"""Reception: decides with the database about messages that opened.

The last checks of the receiving side need to know what came before: a message id that was
received or refused once, and the conversation that a message belongs to. They run in the
transaction that mirrors the entries, so that the decision, the inbox and the receipt that
is due are durable together or not at all.

Spec: docs/spec/exchange.md, "Receiving", checks 9 and 10, and "Conversations".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from gateway.core.entries import MessageEntry, ReceiptException, decode_entry
from gateway.core.generation import base_of, first_of, located
from gateway.core.message.rule import rule_number
from gateway.core.message.threads import effects_of, endings_of, examine_thread
from gateway.core.receipt import SEND_AGAIN, ExceptionCode
from gateway.node.defects import UnexaminedError, contained
from gateway.node.earlier import NO_WORDS, Words, lost_messages
from gateway.node.message_rows import new_message
from gateway.node.opening import Opened, Refused
from gateway.node.thread_memory import ThreadMemory
from gateway.node.vault import Vault
from gateway.ports import LostMessage, NewMessage, Transaction


class Reception:
    """Decides which messages of a bundle are received. It keeps nothing between calls."""

    def __init__(self, *, vault: Vault, origin: str) -> None:
        """Wire it.

        Args:
            vault: Opens answered messages for the rules.
            origin: Of the mirror.
        """
        self._vault = vault
        self._origin = origin
        self._base = base_of(origin)

    def receive(
        self, tx: Transaction, messages: Sequence[Opened | Refused], now_ms: int, *, words: Words = NO_WORDS
    ) -> tuple[list[NewMessage], list[ReceiptException]]:
        """Return the rows to store and the exceptions for the receipt, both in order of the log.

        What was refused for good is remembered in the same transaction, so that a repeat of
        it is a duplicate.

        Args:
            tx: The transaction that mirrors the entries.
            messages: What opening made of the message entries.
            now_ms: When this node decides, UTC milliseconds.
            words: What was said of them before this node was restored.
        """
        memory = ThreadMemory(tx, open_content=self._vault.document)
        opened = [message for message in messages if isinstance(message, Opened)]
        ids = [message.message_id for message in messages]
        named = [message_id for message_id in ids if message_id is not None]
        memory.fetch(
            message_ids=named,
            answered=[m.derived.in_reply_to for m in opened if m.derived.in_reply_to is not None],
            numbered=[(m.derived.header.conversation_id, m.derived.header.from_agency) for m in opened],
            subjects=[subject for message in opened for subject in message.derived.subjects],
        )
        known = tx.inbox.refused(named)
        known.update(filter(memory.holds, named))
        again = self._arrived_again(tx, messages, known)
        lost = tx.inbox.lost(named)
        rows: list[NewMessage] = []
        exceptions: list[ReceiptException] = []
        refused: list[bytes] = []
        for message, message_id in zip(messages, ids, strict=True):
            code: ExceptionCode | None = None
            rule: int | None = None
            if message_id is not None and message_id in known:
                code = None if message.index in again else ExceptionCode.DUPLICATE
            else:
                was_received = _was_received(message, words, lost)
                decided = self._judged(message, memory, now_ms, was_received=was_received)
                if isinstance(decided, NewMessage):
                    memory.add(decided)
                    rows.append(decided)
                elif not (was_received and decided[0] is ExceptionCode.ERASED):
                    # Its sender may hold the content no more of what was received before.
                    code, rule = decided
            if message_id is not None:
                known.add(message_id)
            if code is not None:
                exceptions.append(ReceiptException(index=message.index, code=int(code), rule=rule))
                if message_id is not None and code not in SEND_AGAIN:
                    refused.append(message_id)
        if refused:
            tx.inbox.put_refused(list(dict.fromkeys(refused)))
        if words:
            tx.inbox.put_lost(lost_messages(messages, words, base=self._base))
        return rows, exceptions

    def _judged(
        self, message: Opened | Refused, memory: ThreadMemory, now_ms: int, *, was_received: bool
    ) -> NewMessage | tuple[ExceptionCode, int | None]:
        """Return the row of a message, or why it is refused, with the number of the broken rule."""
        if isinstance(message, Refused):
            return message.code, message.rule
        decide = partial(self._decided, message, memory, now_ms, was_received=was_received)
        try:
            decided = contained(message.message_id, decide)
        except UnexaminedError:
            return ExceptionCode.UNEXAMINED, None
        return (ExceptionCode.RULE, rule_number(decided)) if isinstance(decided, str) else decided

    def found_again(self, tx: Transaction, rows: Sequence[NewMessage]) -> None:
        """Give messages that were lost, and are stored now, what is known of them."""
        places = {row.message_id: row.log_index for row in rows if row.log_index is not None}
        lost = tx.inbox.lost(places)
        if lost:
            tx.inbox.found_again([(item, places[item.message_id]) for item in lost.values()])

    def _arrived_again(
        self, tx: Transaction, messages: Sequence[Opened | Refused], known: set[bytes]
    ) -> set[int]:
        """Let messages of an earlier generation that were sequenced anew stand at their new places.

        Whatever a check says of them now: their time may be over, or their content erased at the sender. They
        passed when they arrived, and were shown to their addressees.

        Returns:
            The indexes of their entries: of these messages nothing is new but the place.
        """
        if self._base == 0:
            return set()
        by_id = {m.message_id: m.index for m in reversed(messages) if m.message_id is not None}
        again: list[tuple[bytes, int, int]] = []
        for message_id, row in tx.threads.rows(by_id.keys() & known).items():
            index = by_id[message_id]
            if row.outgoing or row.log_index is None or row.log_index >= self._base:
                continue
            if self._is_same(tx, row.log_index, self._base + index):
                again.append((message_id, row.log_index, self._base + index))
        tx.inbox.arrived_again(again)
        return {place - self._base for _, _, place in again}

    def _is_same(self, tx: Transaction, *places: int) -> bool:
        """Return whether entries of the mirror are of the same header and ciphertext."""
        found = set()
        for place in places:
            origin, index = located(first_of(self._origin), place)
            entry = decode_entry(tx.logs.entries(origin, index, index + 1)[0])
            if not isinstance(entry, MessageEntry):
                return False
            found.add((entry.header, entry.ciphertext_digest, entry.ciphertext_bytes))
        return len(found) == 1

    def _decided(
        self, message: Opened, memory: ThreadMemory, now_ms: int, *, was_received: bool
    ) -> NewMessage | str:
        """Return the row of a message that its conversation accepts, else the id of the first broken rule.

        One that was received before is accepted again: what it is about may be among what was lost.
        """
        verdict = examine_thread(
            message.document, catalogue=message.catalogue, threads=memory, side="receiver"
        )
        if verdict.violations and not was_received:
            return verdict.violations[0].rule
        return self._row(message, memory, verdict.flags, now_ms)

    def _row(self, message: Opened, memory: ThreadMemory, flags: frozenset[str], now_ms: int) -> NewMessage:
        document, derived = message.document, message.derived
        effects = effects_of(document, catalogue=message.catalogue, threads=memory)
        return new_message(
            derived,
            seq=document["header"]["conversation"]["seq"],
            effects=effects,
            arrived_ms=now_ms,
            log_index=self._base + message.index,
            flags=" ".join(sorted(flags)),
            ciphertext=message.ciphertext,
            wrapped_key=message.wrapped_key,
            endings=endings_of(
                document, derived.ending, catalogue=message.catalogue, threads=memory, effects=effects
            ),
        )


def _was_received(message: Opened | Refused, words: Words, lost: Mapping[bytes, LostMessage]) -> bool:
    """Return whether a receipt of this node received a message before it was restored."""
    word = words.get(message.index)
    known = None if message.message_id is None else lost.get(message.message_id)
    return (word is not None and word.is_received) or (known is not None and known.decided_ms is not None)
