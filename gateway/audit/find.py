"""Answers from logs: who read this message, what an agency sent, what an operator changed.

One pass over the entries, in bounded memory: an entry either matches or is forgotten. The same
pass recomputes the tree, so an answer is worth what the log is worth, and that is said with it.

Times are those that entries state: when an event happened, a message was created, a receipt
was decided, a message was collected.

Spec: docs/auditing.md, "Questions to a log".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.audit.describe import describe_entry
from gateway.audit.log import AuditedLog
from gateway.audit.report import LogReport
from gateway.audit.trust import Trust
from gateway.audit.verify import Progress, verify_tree
from gateway.core.entries import (
    CollectedEntry,
    Entry,
    EventEntry,
    KemKeyEntry,
    MessageEntry,
    ReceiptEntry,
    Role,
    decode_entry,
)
from gateway.core.envelope import Header, decode_header
from gateway.errors import MalformedError

_KEM_EVENTS: Final = frozenset({"kem.announced", "kem.destroyed"})

_SPKI_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an entry has to be, to be an answer; everything that is given has to hold.

    Attributes:
        message_id: Is about this message (16 bytes).
        agency: Was sent, or collected, by this agency.
        actor: Is an event of who holds this key, or was turned away with it: beginning of the SHA-256
            of its SPKI.
        role: Is an event of this role: node, agency, operator, auditor, peer.
        event: Is an event whose name begins so: ``message.read``, ``evidence.``.
        kem_key: Is a message sealed for this KEM key, or tells of its life (8 bytes).
        from_ms: Not before, UTC milliseconds.
        until_ms: Before, UTC milliseconds.
    """

    message_id: bytes | None = None
    agency: str | None = None
    actor: bytes | None = None
    role: str | None = None
    event: str | None = None
    kem_key: bytes | None = None
    from_ms: int | None = None
    until_ms: int | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is asked."""
        return self == Question()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An entry that answers.

    Attributes:
        origin: Log.
        index: Position in it.
        kind: Name of the entry's kind.
        text: What it says, in one line.
        at_ms: When, as the entry states it; UTC milliseconds.
    """

    origin: str
    index: int
    kind: str
    text: str
    at_ms: int

    def as_json(self) -> dict[str, Any]:
        """Return the answer for ``--json``."""
        return {
            "origin": self.origin,
            "index": self.index,
            "kind": self.kind,
            "text": self.text,
            "at_ms": self.at_ms,
        }


def find_entries(
    log: AuditedLog,
    question: Question,
    *,
    title: str,
    trust: Trust,
    report_answer: Callable[[Answer], None],
    places: dict[tuple[str, int], bytes],
    progress: Progress = lambda _done, _all: None,
) -> LogReport:
    """Tell every entry of a log that answers a question, in order, and what the log is worth.

    Args:
        log: The log.
        question: What is asked.
        title: What to call the log as long as its origin is not believed.
        trust: Keys that the auditor trusts.
        report_answer: Told each answer as it is found.
        places: Where the message that is asked for was found so far, by log and index. Receipts
            and collections name messages by place, so the log that holds the message is read first.
        progress: Told now and then how far the work is.
    """

    def reader(origin: str) -> _Finder:
        return _Finder(origin, question, report_answer, places)

    return verify_tree(log, title=title, trust=trust, reader=reader, progress=progress).report


class _Finder:
    """Reads the entries of one log and reports those that answer."""

    def __init__(
        self,
        origin: str,
        question: Question,
        report_answer: Callable[[Answer], None],
        places: dict[tuple[str, int], bytes],
    ) -> None:
        self._origin = origin
        self._question = question
        self._report = report_answer
        self._places = places
        self._size = 0

    def read(self, entries: Sequence[bytes]) -> None:
        for index, data in enumerate(entries, self._size):
            try:
                at_ms = self._time_of_answer(index, decode_entry(data))
            except MalformedError:
                continue  # an entry that is none states nothing; verifying the log names it
            if at_ms is not None:
                kind, text = describe_entry(data)
                self._report(Answer(origin=self._origin, index=index, kind=kind, text=text, at_ms=at_ms))
        self._size += len(entries)

    def _time_of_answer(self, index: int, entry: Entry) -> int | None:
        """Return when what an entry states happened, or None if it does not answer."""
        match entry:
            case MessageEntry():
                header = decode_header(entry.header)
                if not self._is_message(entry, header):
                    return None
                if self._question.message_id is not None:
                    self._places[self._origin, index] = header.message_id
                return header.created_ms
            case EventEntry():
                return entry.at_ms if self._is_event(entry) else None
            case ReceiptEntry():
                return entry.decided_ms if self._is_receipt(entry) else None
            case CollectedEntry():
                return self._collected(entry)
            case KemKeyEntry():
                asked = self._question
                announced = asked.kem_key == entry.key_id and asked.message_id is None and self._is_plain()
                return entry.not_before_ms if announced and self._is_in_time(entry.not_before_ms) else None
            case _:
                return None

    def _is_message(self, entry: MessageEntry, header: Header) -> bool:
        asked = self._question
        return (
            asked.actor is None
            and asked.role is None
            and asked.event is None
            and asked.message_id in {None, header.message_id}
            and asked.agency in {None, header.from_agency}
            and asked.kem_key in {None, entry.kem_key_id}
            and self._is_in_time(header.created_ms)
        )

    def _is_event(self, entry: EventEntry) -> bool:
        asked = self._question
        roles = {int(role): role.name.lower() for role in Role}
        return (
            asked.agency is None
            and (asked.kem_key is None or (entry.event in _KEM_EVENTS and asked.kem_key in entry.details))
            and (asked.message_id is None or asked.message_id in entry.objects)
            and (asked.actor is None or any(key.startswith(asked.actor) for key in _keys_in(entry)))
            and asked.role in {None, roles.get(entry.role)}
            and (asked.event is None or entry.event.startswith(asked.event))
            and self._is_in_time(entry.at_ms)
        )

    def _is_receipt(self, entry: ReceiptEntry) -> bool:
        end = entry.start + entry.count
        places = self._asked_in(entry.origin)
        return (
            self._is_plain()
            and any(entry.start <= place < end for place in places)
            and self._is_in_time(entry.decided_ms)
        )

    def _collected(self, entry: CollectedEntry) -> int | None:
        """Return when the first collection that answers was made."""
        asked = self._question
        of_events = (asked.actor, asked.role, asked.event, asked.kem_key)
        if any(item is not None for item in of_events) or (asked.message_id is None and asked.agency is None):
            return None
        places = None if asked.message_id is None else set(self._asked_in(entry.origin))
        for item in entry.collections:
            is_asked = (places is None or item.index in places) and asked.agency in {None, item.agency}
            if is_asked and self._is_in_time(item.at_ms):
                return item.at_ms
        return None

    def _is_plain(self) -> bool:
        """Return whether nothing is asked that only an event or an agency's entry answers."""
        asked = self._question
        return asked.actor is None and asked.role is None and asked.event is None and asked.agency is None

    def _asked_in(self, origin: str) -> list[int]:
        return [index for where, index in self._places if where == origin]

    def _is_in_time(self, at_ms: int) -> bool:
        asked = self._question
        return (asked.from_ms is None or asked.from_ms <= at_ms) and (
            asked.until_ms is None or at_ms < asked.until_ms
        )


def _keys_in(entry: EventEntry) -> list[bytes]:
    """Return the digests of the keys that an event names: its actor's, or several that were refused."""
    named = [entry.actor] if entry.actor else []
    if entry.event == "access.denied":
        named += [item for item in entry.details if isinstance(item, bytes) and len(item) == _SPKI_BYTES]
    return named
