"""What became of the messages of one exchange log, as receipts and collections in other logs say.

Spec: docs/auditing.md, "Two nations side by side".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from gateway.audit.claims import Answers
from gateway.audit.log import AuditedLog
from gateway.audit.reader import LogReader
from gateway.audit.scan import Scan
from gateway.core.entries import Kind, MessageEntry, decode_entry
from gateway.core.envelope import decode_header
from gateway.core.message.wording import counted
from gateway.core.receipt import exception_label
from gateway.errors import MalformedError

MAX_NAMED: Final = 20
"""Differences of one sort that are named one by one; the rest is counted."""

_MESSAGE: Final = int(Kind.MESSAGE)
_NOTHING, _RECEIVED, _REFUSED, _COLLECTED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """What became of the messages of one exchange log.

    Attributes:
        origin: The log.
        entries: Its entries.
        mirrored: How many of them the other nation's copy holds.
        messages: Messages, each once however often it was sent.
        sent_again: Further entries of messages that were sent more than once.
        received: Messages that the receiver took, the collected ones among them.
        refused: Messages that it did not, by code.
        unanswered: Messages without a receipt in the logs at hand.
        collected: Messages that at least one addressee acknowledged.
    """

    origin: str
    entries: int
    mirrored: int
    messages: int
    sent_again: int
    received: int
    refused: Mapping[str, int]
    unanswered: int
    collected: int

    def as_json(self) -> dict[str, Any]:
        """Return the direction for ``--json``."""
        return {
            "origin": self.origin,
            "entries": self.entries,
            "mirrored": self.mirrored,
            "messages": self.messages,
            "sent_again": self.sent_again,
            "received": self.received,
            "refused": dict(self.refused),
            "unanswered": self.unanswered,
            "collected": self.collected,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A verified copy of a log; the fullest one was read."""

    title: str
    log: AuditedLog
    size: int

    def reader(self) -> LogReader:
        """Return what reads it where it lies."""
        return LogReader(self.log, self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog:
    """The fullest copy of a log, and what its entries say."""

    copy: Copy
    scan: Scan


class Fates:
    """What became of the entries of a log.

    Attributes:
        read: The log.
        codes: Why messages were not received, by index.
        asked_again: Messages that were received and asked for once more, by index.
        earlier: Entries of messages for which another one stands (`gateway.audit.again`).
        differences: What does not fit, named to the entry.
        open_ends: What is not known yet because one copy is older than another.
    """

    def __init__(
        self, read: ReadLog, answers: Mapping[str, Answers], *, is_closed: bool, held_below: int
    ) -> None:
        """Learn what other logs say.

        Args:
            read: The log.
            answers: What others say of it, by their origins.
            is_closed: Whether a later generation is at hand: then no receipt comes any more.
            held_below: Size below which the receiver tells of no restore that lost any of its messages.
        """
        self.read = read
        self._is_closed = is_closed
        self._held_below = held_below
        self.codes: dict[int, int] = {}
        self.asked_again: set[int] = set()
        self.earlier: AbstractSet[int] = frozenset()
        self.differences: list[str] = []
        self.open_ends: list[str] = []
        self._states = bytearray(read.copy.size)
        # A later generation tells collections of what was received in this one: receipts come first.
        for speaker, said in answers.items():
            self._decide(speaker, said)
        for speaker, said in answers.items():
            self._collect(speaker, said)

    def is_held(self, index: int) -> bool:
        """Return whether a message was received, and its receiver tells of no restore that lost it."""
        return self._states[index] in {_RECEIVED, _COLLECTED} and index < self._held_below

    def direction(self, mirrored: int) -> Direction:
        """Return the figures, and name what has no answer.

        Args:
            mirrored: How many entries the other nation's copy holds alike.
        """
        read, earlier = self.read, self.earlier
        counted = Counter(zip(read.scan.entry_kinds, self._states, strict=True))
        again = Counter(self._states[index] for index in earlier)
        messages = {state: counted[_MESSAGE, state] - again[state] for state in range(4)}
        refused = Counter(exception_label(code) for index, code in self.codes.items() if index not in earlier)
        if counted[_MESSAGE, _NOTHING]:
            self._name_unanswered()
        return Direction(
            origin=read.scan.origin,
            entries=read.copy.size,
            mirrored=mirrored,
            messages=sum(messages.values()),
            sent_again=len(earlier),
            received=messages[_RECEIVED] + messages[_COLLECTED],
            refused=dict(sorted(refused.items())),
            unanswered=messages[_NOTHING],
            collected=messages[_COLLECTED],
        )

    def _decide(self, speaker: str, answers: Answers) -> None:
        """Write what the receipts in another log say of the messages of this one into their states."""
        read, states = self.read, self._states
        origin, size, kinds = read.scan.origin, read.copy.size, read.scan.entry_kinds
        beyond = 0
        for first, last in zip(answers.ranges[::2], answers.ranges[1::2], strict=True):
            end = min(last, size)
            beyond += last > size
            if first < end:
                states[first:end] = bytes((_RECEIVED,)) * (end - first)
        wrong = Named(origin, read.copy)
        for index, code in zip(answers.excepted, answers.codes, strict=True):
            if index >= size:
                continue
            if kinds[index] != _MESSAGE:
                wrong.add(index, f"{speaker} refuses it, but it is no message")
            states[index] = _REFUSED
            self.codes[index] = code
        self.asked_again.update(answers.asked_again)
        for index, code in zip(answers.taken_back, answers.taken_codes, strict=True):
            if index < size:
                wrong.add(index, f"{speaker} has received it, and says later: {exception_label(code)}")
        self.differences += wrong.lines()
        self._note_beyond(speaker, beyond)

    def _collect(self, speaker: str, answers: Answers) -> None:
        """Write the collections in another log into the states of messages."""
        read, states = self.read, self._states
        size, kinds = read.copy.size, read.scan.entry_kinds
        wrong = Named(read.scan.origin, read.copy)
        addressees, reader = read.scan.addressees(), read.copy.reader()
        agencies = list(answers.agencies)
        beyond = 0
        for index, collector in zip(answers.collected, answers.collectors, strict=True):
            if index >= size:
                beyond += 1
            elif kinds[index] != _MESSAGE:
                wrong.add(index, "collected, but it is no message")
            elif states[index] == _REFUSED:
                wrong.add(index, "collected although it was refused")
            elif states[index] == _NOTHING:
                wrong.add(index, "collected without a receipt")
            elif not addressees.include(agencies[collector], index, reader):
                wrong.add(index, "collected by an agency that it is not addressed to")
            else:
                states[index] = _COLLECTED
        self.differences += wrong.lines()
        self._note_beyond(speaker, beyond)

    def _note_beyond(self, speaker: str, count: int) -> None:
        read = self.read
        if count:
            answers = counted(count, "answer is", "answers are")
            self.open_ends.append(
                f"{speaker}: {answers} about entries of {read.scan.origin} beyond {read.copy.size}"
            )

    def take_sendings(
        self, earlier: AbstractSet[int], others: Mapping[int, str], unfounded: AbstractSet[int]
    ) -> None:
        """Take which entries are sendings of one message, and name what cannot be (`Sendings`)."""
        self.earlier = earlier
        wrong = Named(self.read.scan.origin, self.read.copy)
        for index, place in others.items():
            wrong.add(index, f"has the id of {place}, and is another message")
        self.differences += wrong.lines()
        wrong = Named(self.read.scan.origin, self.read.copy)
        for index in sorted(unfounded):
            wrong.add(index, "refused as a duplicate, but no entry before it has its id")
        self.differences += wrong.lines()

    def name_taken_back(self, received: Mapping[int, str]) -> None:
        """Name entries in which a message is refused for good that was received in an earlier one.

        Args:
            received: Where it was received, by their indexes.
        """
        wrong = Named(self.read.scan.origin, self.read.copy)
        for index, place in received.items():
            wrong.add(index, f"{exception_label(self.codes[index])}, though it was received as {place}")
        self.differences += wrong.lines()

    def _name_unanswered(self) -> None:
        """Messages before the last answered one should have an answer; those behind wait for it."""
        read, states = self.read, self._states
        origin, kinds = read.scan.origin, read.scan.entry_kinds
        last = max(states.rfind(bytes((state,))) for state in (_RECEIVED, _REFUSED, _COLLECTED))
        skipped, waiting = Named(origin, read.copy), 0
        for index, (kind, state) in enumerate(zip(kinds, states, strict=True)):
            if kind == _MESSAGE and state == _NOTHING:
                if index < last:
                    skipped.add(index, "no receipt, though later ones exist")
                elif index not in self.earlier:
                    waiting += 1
        self.differences += skipped.lines()
        if waiting and self._is_closed:
            what = counted(
                waiting, "message has no receipt and gets none", "messages have no receipt and get none"
            )
            self.open_ends.append(f"{origin}: {what}, for it is closed; no later log at hand sends it anew")
        elif waiting:
            what = counted(waiting, "message at its end waits", "messages at its end wait")
            self.open_ends.append(f"{origin}: {what} for a receipt")


class Named:
    """Entries of one log that do not fit: the first few named, the rest counted."""

    def __init__(self, origin: str, copy: Copy) -> None:
        """Begin with none."""
        self._origin = origin
        self._copy = copy
        self._lines: list[str] = []
        self._more = 0

    def add(self, index: int, what: str) -> None:
        """Note what is wrong with an entry."""
        if len(self._lines) == MAX_NAMED:
            self._more += 1
            return
        self._lines.append(f"{self._origin} entry {index}: {what}{self._message(index)}")

    def lines(self) -> list[str]:
        """Return a line for each that is named, and one for the rest."""
        more = f"{self._origin}: {counted(self._more, 'further entry', 'further entries')} of this sort"
        return [*self._lines, more] if self._more else self._lines

    def _message(self, index: int) -> str:
        try:
            entry = decode_entry(self._copy.reader().entry(index))
            if isinstance(entry, MessageEntry):
                return f" (message {UUID(bytes=decode_header(entry.header).message_id)})"
        except MalformedError:
            return " (its entry cannot be read)"
        return ""
