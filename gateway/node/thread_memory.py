"""What the rules see of conversations while a group of messages is decided.

A group is decided in one transaction, message by message, and written at its end. So a
message has to see those before it in the same group: this memory answers from what was
fetched for the whole group at once, and from what the group itself has added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.core.message.threads import AppliedEffect, Effect, StoredMessage, nation_of
from gateway.ports import EffectRow, MessageRow, NewMessage, Transaction

Open = Callable[[bytes, bytes, bytes], dict[str, Any]]
"""(header, ciphertext, wrapped key) to the message."""

_SAYING: Final = frozenset({Effect.CORRECTS, Effect.CHANGES_USE})
"""Effects of messages that are corrected and retracted themselves."""


class ThreadMemory:
    """Satisfies `gateway.core.message.threads.ThreadView` for one transaction."""

    def __init__(self, tx: Transaction, *, open_content: Open) -> None:
        """Start empty.

        Args:
            tx: The running transaction.
            open_content: Opens stored content; needed by the few rules that look into the
                message that is answered.
        """
        self._tx = tx
        self._open = open_content
        self._rows: dict[bytes, MessageRow | NewMessage | None] = {}
        # Answers that count, oldest first.
        self._replies: dict[bytes, list[MessageRow | NewMessage]] = {}
        self._closed: dict[bytes, str | None] = {}
        # Messages of whose answers one does not count.
        self._have_void: set[bytes] = set()
        self._numbers: dict[tuple[bytes, str], int] = {}
        self._documents: dict[bytes, dict[str, Any]] = {}
        self._effects: dict[bytes, list[AppliedEffect]] = {}
        # Conversations of the messages that had them.
        self._conversations: dict[bytes, set[bytes]] = {}

    def fetch(
        self,
        *,
        message_ids: Iterable[bytes] = (),
        answered: Iterable[bytes] = (),
        numbered: Iterable[tuple[bytes, str]] = (),
        subjects: Iterable[bytes] = (),
    ) -> None:
        """Read what a group will ask for, in as many statements as there are kinds of questions.

        Args:
            message_ids: Messages to find.
            answered: Messages to find with their answers.
            numbered: Conversations, each with the agency whose last number in it is asked.
            subjects: Messages and rooms to find with their answers and what was done to them.
        """
        changed = set(subjects)
        targets = set(answered) | changed
        wanted = set(message_ids) | targets
        if wanted:
            found = self._tx.threads.rows(wanted)
            self._rows.update({message_id: found.get(message_id) for message_id in wanted})
        if targets:
            self._fetch_replies(targets)
        pairs = set(numbered)
        if pairs:
            self._fetch_numbers(pairs)
        if changed:
            self.fetch_effects(changed)

    def fetch_effects(self, subjects: Iterable[bytes]) -> None:
        """Read what was done to messages and in rooms, in one statement."""
        wanted = set(subjects)
        found = self._tx.threads.effects(wanted)
        for subject in wanted:
            effects = found.get(subject, ())
            self._effects[subject] = applied_effects(effects)
            self._conversations[subject] = {
                item.row.conversation_id for item in effects if not item.row.is_void
            }

    def _fetch_replies(self, answered: Iterable[bytes]) -> None:
        wanted = set(answered)
        found = self._tx.threads.replies(wanted)
        for message_id in wanted:
            rows = found.get(message_id, [])
            self._replies[message_id] = [row for row in rows if not row.is_void]
            if len(rows) > len(self._replies[message_id]):
                self._have_void.add(message_id)

    def _fetch_numbers(self, pairs: Iterable[tuple[bytes, str]]) -> None:
        self._numbers.update(dict.fromkeys(pairs, 0))
        self._numbers.update(self._tx.threads.last_numbers(pairs))

    def holds(self, message_id: bytes) -> bool:
        """Return whether the database holds a message, in either direction."""
        return isinstance(self._row(message_id), MessageRow)

    def add(self, message: NewMessage) -> None:
        """Let the following messages of the group see this one."""
        self._rows[message.message_id] = message
        if message.in_reply_to is not None:
            self._replies_to(message.in_reply_to).append(message)
            if message.closes:
                self._closed.pop(message.in_reply_to, None)
        for new in message.effects:
            applied = _applied(new.effect, new.at_ms, message)
            # Read first: what the database holds stands before what the group adds.
            self._effects_on(new.subject).append(applied)
            self._conversations[new.subject].add(message.conversation_id)
        key = (message.conversation_id, message.from_agency)
        self._numbers[key] = max(self.last_seq(*key), message.seq)

    def find(self, message_id: bytes) -> StoredMessage | None:
        """Return what is known of a message, in either direction."""
        row = self._row(message_id)
        if row is None:
            return None
        return StoredMessage(
            message_id=message_id,
            type=row.type,
            conversation_id=row.conversation_id,
            nation=nation_of(row.from_agency),
            from_agency=row.from_agency,
            to_agencies=row.to_agencies,
            purpose=row.purpose,
            reply_by_ms=row.reply_by_ms,
            in_reply_to=row.in_reply_to,
            ground=row.ground if isinstance(row, MessageRow) else None,
        )

    def last_seq(self, conversation_id: bytes, agency: str) -> int:
        """Return the highest number that an agency used in a conversation, 0 for none."""
        key = (conversation_id, agency)
        if key not in self._numbers:
            self._fetch_numbers((key,))
        return self._numbers[key]

    def replies(self, message_id: bytes) -> Sequence[MessageRow | NewMessage]:
        """Return the valid answers to a message, oldest first."""
        return self._replies_to(message_id)

    def has_void_replies(self, message_id: bytes) -> bool:
        """Return whether a message has answers that do not count."""
        self._replies_to(message_id)
        return message_id in self._have_void

    def closed_by(self, message_id: bytes) -> str | None:
        """Return the nation whose message closed this one, or None while it is open."""
        if message_id not in self._closed:
            closer = next((reply for reply in self._replies_to(message_id) if reply.closes), None)
            self._closed[message_id] = None if closer is None else nation_of(closer.from_agency)
        return self._closed[message_id]

    def built_on(self, subject: bytes) -> set[bytes]:
        """Return the conversations of a message, or room, and of what was done to it.

        With what was done to corrections and changes of use of it: what they say now depends on that.
        """
        found: set[bytes] = set()
        seen: set[bytes] = set()
        left = [subject]
        while left:
            item = left.pop()
            if item in seen:
                continue
            seen.add(item)
            row = self._row(item)
            if row is not None:
                found.add(row.conversation_id)
            left += [applied.message_id for applied in self._effects_on(item) if applied.effect in _SAYING]
            found |= self._conversations[item]
        return found

    def content(self, message_id: bytes) -> dict[str, Any] | None:
        """Return a stored message opened, or None if it was erased or is not known."""
        if message_id not in self._documents:
            row = self._rows.get(message_id)
            if isinstance(row, NewMessage):
                # Of the group that is decided, so it is not stored yet.
                self._documents[message_id] = self._open(row.header, row.ciphertext, row.wrapped_key)
            else:
                stored = self._tx.threads.content(message_id)
                if stored is None:
                    return None
                self._documents[message_id] = self._open(*stored)
        return self._documents[message_id]

    def effects(self, subject: bytes) -> Sequence[AppliedEffect]:
        """Return what was done to a message, or in a room, oldest first."""
        return self._effects_on(subject)

    def _effects_on(self, subject: bytes) -> list[AppliedEffect]:
        if subject not in self._effects:
            self.fetch_effects({subject})
        return self._effects[subject]

    def _row(self, message_id: bytes) -> MessageRow | NewMessage | None:
        if message_id not in self._rows:
            self._rows[message_id] = self._tx.threads.rows((message_id,)).get(message_id)
        return self._rows[message_id]

    def _replies_to(self, message_id: bytes) -> list[MessageRow | NewMessage]:
        if message_id not in self._replies:
            self._fetch_replies((message_id,))
        return self._replies[message_id]


class MissingNumbers:
    """The numbers that conversations miss, as one transaction sees them; each conversation is read once."""

    def __init__(self, tx: Transaction) -> None:
        """Start empty."""
        self._tx = tx
        self._missing: dict[bytes, dict[str, list[int]]] = {}

    def of(self, conversation_id: bytes) -> dict[str, list[int]]:
        """Return, by agency, numbers of a conversation that are neither used nor void, the lowest first."""
        if conversation_id not in self._missing:
            self._missing[conversation_id] = self._tx.threads.missing_numbers(conversation_id)
        return self._missing[conversation_id]

    def without_filled_gap(self, row: MessageRow) -> MessageRow:
        """Return a received message without the flag ``gap`` once no number before it is missing.

        A missing message may still arrive, or its sender's node may declare its number void.
        """
        flags = row.flags.split()
        if "gap" not in flags:
            return row
        missing = self.of(row.conversation_id).get(row.from_agency)
        if missing and missing[0] < row.seq:
            return row
        return replace(row, flags=" ".join(flag for flag in flags if flag != "gap"))


def applied_effects(rows: Iterable[EffectRow]) -> list[AppliedEffect]:
    """Return the effects that count: those of messages that were neither refused nor taken back."""
    return [_applied(item.effect, item.at_ms, item.row) for item in rows if not item.row.is_void]


def _applied(effect: Effect, at_ms: int | None, message: MessageRow | NewMessage) -> AppliedEffect:
    return AppliedEffect(
        effect=effect,
        message_id=message.message_id,
        type=message.type,
        from_agency=message.from_agency,
        to_agencies=message.to_agencies,
        created_ms=message.created_ms,
        at_ms=at_ms,
    )
