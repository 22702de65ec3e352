"""Sequence numbers, as far as a log shows them.

Each agency numbers its messages in a conversation from 1 without a gap. The number is content
and stands in no entry, but a number that will never be used is declared *void* in the log. So
a log in which number 9 is void has to show the other eight, each as a message or as void.
Fewer prove that messages below it are not in the log: they still wait at the sender, or were
kept from it. One copy of one log cannot tell which, so this is said and not failed.

A message that the receiver refused is shown twice, by its entry and by the void of its number,
and nothing in the log says which belong together. So there may be more shown than numbers, and a
refused message may hide a number that is missing; what is reported missing always is.

The log is read a second time, and only if it holds void entries: which conversations matter is
known at its end, and remembering all of them would take memory that grows with the log.

Spec: docs/spec/log.md, "Entries"; docs/auditing.md, "What is checked".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.audit.acts import MAX_RESTORES
from gateway.audit.log import AuditedLog
from gateway.audit.reader import read_header
from gateway.audit.report import Check
from gateway.core.entries import Kind, VoidEntry, kind_of
from gateway.core.tiles import TILE_WIDTH

MAX_VOIDED: Final = 200_000
"""Numbers and messages of such conversations that are remembered; more are not looked at."""

Sender = tuple[bytes, str]
"""Conversation and agency: whoever numbers messages."""

_ID_MARK: Final = b"\xc4\x10"
"""What the encoding puts before 16 bytes."""

_LEAST_BYTES: Final = 64
"""Any message takes more; what is shorter is none."""

_INTEGER_BYTES: Final = (1, 2, 3, 5, 9)


@dataclass(slots=True)
class Voided:
    """Numbers that void entries of a log name.

    Attributes:
        numbers: By who numbers, with the entry that says so.
        count: Numbers in all.
        repeated: Entry that names a number a second time, or None.
    """

    numbers: dict[Sender, dict[int, int]] = field(default_factory=dict)
    count: int = 0
    repeated: int | None = None
    _lost: list[tuple[int, int]] = field(default_factory=list)

    def lost(self, index: int, size: int) -> None:
        """Keep that the entry at ``index`` tells of a restore of a database that ended at ``size``."""
        if len(self._lost) < MAX_RESTORES:
            self._lost.append((size, index))

    def add(self, index: int, entry: VoidEntry) -> None:
        """Keep what the void entry at ``index`` says; what was lost with a restore it may say again."""
        known = self.numbers.setdefault((entry.conversation_id, entry.agency), {})
        for number in entry.numbers:
            if number in known:
                at = known[number]
                if not any(size <= at < told for size, told in self._lost):
                    self.repeated = index if self.repeated is None else self.repeated
                known[number] = index
            if self.count <= MAX_VOIDED and number not in known:
                known[number] = index
                self.count += 1


def check_numbers(log: AuditedLog, size: int, voided: Voided) -> Check:
    """Check that what a log declares void fits to what it shows.

    Args:
        log: A log that was verified up to ``size``.
        size: Its number of entries.
        voided: What its void entries say.

    Raises:
        GatewayError: The log cannot be read any more.
    """
    name = "numbers"
    if voided.repeated is not None:
        detail = f"entry {voided.repeated} declares a number void a second time"
        return Check.failed(name, detail)
    if voided.count > MAX_VOIDED:
        detail = f"more than {MAX_VOIDED} numbers are void"
        return Check.not_checked(name, detail)
    shown = _count_messages(log, size, voided) if voided.count else {}
    if shown is None:
        detail = f"more than {MAX_VOIDED} messages are of conversations with void numbers"
        return Check.not_checked(name, detail)
    gaps: list[tuple[int, int, int]] = []
    for sender, numbers in voided.numbers.items():
        highest = max(numbers)
        missing = highest - len(numbers) - len(shown.get(sender, ()))
        if missing > 0:
            gaps.append((numbers[highest], highest, missing))
    if not gaps:
        detail = f"{voided.count} are void, and as many are shown as there are below them"
        return Check.held(name, detail)
    index, highest, missing = min(gaps)
    more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
    detail = (
        f"entry {index} declares number {highest} void, but {missing} of the numbers below it are neither "
        f"sent nor void: those messages wait at the sender, or were kept from this log{more}"
    )
    return Check.not_checked(name, detail)


def _count_messages(log: AuditedLog, size: int, voided: Voided) -> dict[Sender, set[bytes]] | None:
    """Return the ids of the messages that each sender of a void number has sent, or None if too many."""
    conversations = frozenset(conversation for conversation, _ in voided.numbers)
    shown: dict[Sender, set[bytes]] = {sender: set() for sender in voided.numbers}
    count = 0
    for start in range(0, size, TILE_WIDTH):
        for data in _of(conversations, log.entries(start, min(start + TILE_WIDTH, size))):
            header = read_header(data)
            if header is None:
                continue  # what is no message shows no number
            ids = shown.get((header.conversation_id, header.from_agency))
            if ids is not None and header.message_id not in ids:
                ids.add(header.message_id)
                count += 1
        if count > MAX_VOIDED:
            return None
    return shown


def _of(conversations: frozenset[bytes], entries: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the messages that may be of these conversations: few others, and none is left out.

    A header ends with the conversation's id and an integer, so the id is found without decoding
    what was decoded before.
    """
    for data in entries:
        if kind_of(data) != Kind.MESSAGE:
            continue
        if len(data) < _LEAST_BYTES:
            continue
        # Header: bytes with a length of one byte, or of two.
        end = 4 + data[3] if data[2] == 0xC4 else 5 + int.from_bytes(data[3:5], "big")
        for width in _INTEGER_BYTES:
            at = end - width - 16
            if data[at - 2 : at] == _ID_MARK and data[at : at + 16] in conversations:
                yield data
                break
