"""Messages that stand in several entries: sent again after some exceptions, or anew in the next generation.

A message is its id, whatever it takes to deliver it. One entry stands for it, and says what became of
it: the last one, but none that was refused as a duplicate of another. The others are sendings of the
same message. An id is of one message in both directions: who sends under the id of what it got has
another message, which its receiver cannot tell from its own.

Two entries of one id are found without keeping ids: a hash of four bytes of each is compared first, and
the few entries in which those are alike are read once more.

Spec: docs/spec/exchange.md, "Exceptions", "Frozen pair"; docs/auditing.md, "Two nations side by side".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import compress
from typing import Final

from gateway.audit.reader import LogReader, read_header, read_message
from gateway.audit.scan import Scan
from gateway.core.entries import Kind, MessageEntry
from gateway.core.generation import first_of
from gateway.core.receipt import SEND_AGAIN, ExceptionCode

_MESSAGE: Final = int(Kind.MESSAGE)
_DUPLICATE: Final = int(ExceptionCode.DUPLICATE)
_FINAL: Final = frozenset(map(int, ExceptionCode)) - {
    *map(int, SEND_AGAIN),
    int(ExceptionCode.ERASED),
    _DUPLICATE,
}
"""Exceptions that end a message that its receiver had received: its sender may have erased it by then."""

_LEAST_BITS: Final = 1 << 16

Place = tuple[int, int]
"""Which of the generations, and an index in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One generation of a log.

    Attributes:
        scan: What was kept of its entries.
        reader: Reads single ones.
        codes: Exceptions that they got, by index.
        asked_again: Entries that were received, and asked for once more by a later receipt.
        is_received: Tells whether an entry was received, and is held by its receiver still: no restore
            is told that may have lost it.
    """

    scan: Scan
    reader: LogReader
    codes: Mapping[int, int]
    asked_again: AbstractSet[int]
    is_received: Callable[[int], bool]

    @property
    def direction(self) -> str:
        """Return the log of the first generation."""
        return first_of(self.scan.origin)

    def tags(self) -> Iterator[int]:
        """Yield what stands for the id of each message, four bytes."""
        return compress(self.scan.tags, (kind == _MESSAGE for kind in self.scan.entry_kinds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sendings:
    """Entries that share their id with others, for each log.

    Attributes:
        earlier: Message entries for which another entry stands.
        others: Those that are not the message of which they have the id: index, and where that stands.
        unfounded: Those that were refused as duplicates although no entry before them has their id.
        taken_back: Those that refuse for good what was received in an earlier entry: index, and where.
    """

    earlier: list[set[int]]
    others: list[dict[int, str]]
    unfounded: list[set[int]]
    taken_back: list[dict[int, str]]


def find_sendings(generations: Sequence[Sent]) -> Sendings:
    """Return which entries are sendings of one message.

    Args:
        generations: The logs of both directions, of each the oldest first.
    """
    earlier: list[set[int]] = [set() for _ in generations]
    others: list[dict[int, str]] = [{} for _ in generations]
    unfounded = [{index for index, code in sent.codes.items() if code == _DUPLICATE} for sent in generations]
    taken_back: list[dict[int, str]] = [{} for _ in generations]
    for places in _alike(generations):
        by_id: dict[tuple[str, bytes], list[Place]] = {}
        first: dict[bytes, tuple[Place, MessageEntry]] = {}
        for number, index in places:
            data = generations[number].reader.entry(index)
            entry, header = read_message(data), read_header(data)
            if entry is None or header is None:
                continue
            by_id.setdefault((generations[number].direction, header.message_id), []).append((number, index))
            place, sent_first = first.setdefault(header.message_id, ((number, index), entry))
            if not _is_same(entry, sent_first):
                others[number][index] = _named(generations, place)
            if place != (number, index):
                unfounded[number].discard(index)
        directions = Counter(message_id for _, message_id in by_id)
        for (_, message_id), sendings in by_id.items():
            if directions[message_id] > 1:
                for number, index in sendings:
                    unfounded[number].discard(index)
            taken = [at for at in sendings if generations[at[0]].codes.get(at[1]) != _DUPLICATE]
            stands = (taken or sendings)[-1]
            for number, index in sendings:
                if (number, index) != stands:
                    earlier[number].add(index)
            had = [at for at in sendings if at < stands and _was_received(generations[at[0]], at[1])]
            if had and generations[stands[0]].codes.get(stands[1]) in _FINAL:
                taken_back[stands[0]][stands[1]] = _named(generations, had[0])
    return Sendings(earlier=earlier, others=others, unfounded=unfounded, taken_back=taken_back)


def _was_received(sent: Sent, index: int) -> bool:
    return index in sent.asked_again or sent.is_received(index)


def _named(generations: Sequence[Sent], place: Place) -> str:
    return f"entry {place[1]} of {generations[place[0]].scan.origin}"


def _is_same(one: MessageEntry, other: MessageEntry) -> bool:
    """Return whether two entries of one id are sendings of one message: same header, same ciphertext."""
    return (one.header, one.ciphertext_digest, one.ciphertext_bytes) == (
        other.header,
        other.ciphertext_digest,
        other.ciphertext_bytes,
    )


def _alike(generations: Sequence[Sent]) -> Iterator[list[Place]]:
    """Return the places of messages whose ids have the same tag, in order."""
    alike: dict[int, list[Place]] = {tag: [] for tag in _repeated(generations)}
    for number, sent in enumerate(generations) if alike else ():
        for index, (tag, kind) in enumerate(zip(sent.scan.tags, sent.scan.entry_kinds, strict=True)):
            if kind == _MESSAGE and tag in alike:
                alike[tag].append((number, index))
    return (places for places in alike.values() if len(places) > 1)


def _repeated(generations: Sequence[Sent]) -> set[int]:
    """Return the tags that may be there more than once, and few of the others: two to four bytes an entry."""
    bits = max(_LEAST_BITS, 1 << (16 * sum(len(sent.scan.tags) for sent in generations)).bit_length())
    seen, mask = bytearray(bits // 8), bits - 1
    marks: set[int] = set()
    for sent in generations:
        for tag in sent.tags():
            at, bit = (tag & mask) >> 3, 1 << (tag & 7)
            if seen[at] & bit:
                marks.add(tag & mask)
            else:
                seen[at] |= bit
    if not marks:
        return set()
    return {tag for sent in generations for tag in sent.tags() if tag & mask in marks}
