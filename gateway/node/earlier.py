"""What this node said of the peer's messages before it was restored from a backup and lost them.

Its own log, refilled from the peer's copy, holds the receipts. They bind it: a message that it received
is received again, as of then, although its time is over by now, and one that it refused is refused for the
same reason. Whatever else its mirror held (the high-water mark says how far it went) may have been shown to
its addressees, so it came in time.

Where the content has to be asked for once more (its box was forgotten, or a KEM key is gone), the message
comes in another entry. It is known by its id then (`LostMessage`).

What a crash leaves behind: nothing; all of it is in the database, and changes with the mirror.

Spec: docs/spec/exchange.md, "Recovery"; docs/adr/0052-received-is-received.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from gateway.core.bundle import Bundle
from gateway.core.generation import base_of
from gateway.core.receipt import SEND_AGAIN, ExceptionCode
from gateway.node.bundle_opening import BundleOpening
from gateway.node.opening import IN_TIME, Contents, Opened, Refused
from gateway.ports import Clock, LostMessage, ReceiptDue, Store, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What was said of one message before.

    Attributes:
        decided_ms: When it was received; None if no receipt says that it was.
        refusal: Exception of the last receipt with the number of the broken rule, or None.
    """

    decided_ms: int | None = None
    refusal: tuple[ExceptionCode, int | None] | None = None

    @property
    def is_received(self) -> bool:
        """Return whether a receipt received it."""
        return self.decided_ms is not None

    @property
    def may_have_arrived(self) -> bool:
        """Return whether an addressee may have seen it."""
        return self.is_received or self.refusal is None


Words = Mapping[int, Word]
"""What was said of messages, by the indexes of their entries."""

NO_WORDS: Final[Words] = MappingProxyType({})


class Earlier:
    """Knows what was said before a restore. Kept by the intake."""

    def __init__(
        self, *, origin: str, store: Store, opening: BundleOpening, marked: Callable[[], int], clock: Clock
    ) -> None:
        """Wire it.

        Args:
            origin: Of the mirror.
            store: Holds receipts of the recovered log.
            opening: Opens messages once more, as of then.
            marked: Says how far the mirror went once.
            clock: Time.
        """
        self._base = base_of(origin)
        self._store = store
        self._opening = opening
        self._marked = marked
        self._clock = clock
        # Index behind the last entry of which something was said; None while that is to be read.
        self._end: int | None = None
        self._has_lost = True

    def forget(self) -> None:
        """Read anew what was said: the own log has been refilled."""
        self._end = None

    def is_about(self, index: int) -> bool:
        """Return whether something may have been said of entries from an index on."""
        return self._end is None or index < self._end

    async def words(self, bundle: Bundle, contents: Contents, *, skip: int) -> Words:
        """Return what was said of the messages of a bundle.

        Args:
            bundle: As received.
            contents: What is in it behind what the mirror holds.
            skip: Entries at its beginning that the mirror holds.
        """
        if self._end is None:
            said = await self._store.read(lambda tx: tx.inbox.last_early_receipt())
            self._end = max(said - self._base, self._marked())
        start = bundle.start + skip
        if start < self._end:
            self._has_lost = True
        elif not self._has_lost or not any(map(_is_final, contents.messages)):
            return NO_WORDS
        return await self._store.read(lambda tx: self._read(tx, contents.messages, start, bundle.end))

    async def settled(self, bundle: Bundle, contents: Contents, words: Words, *, skip: int) -> Contents:
        """Return the contents of a bundle as what was said demands it."""
        if not words:
            return contents
        late = {
            m.index: words[m.index].decided_ms or IN_TIME
            for m in contents.messages
            if m.index in words and _is_late(m, words[m.index])
        }
        again: Mapping[int, Opened | Refused] = {}
        if late:
            again = await self._opening.open_late(
                bundle, skip=skip, judged_ms=late, now_ms=self._clock.now_ms()
            )
        messages = [_said(again.get(m.index, m), words.get(m.index)) for m in contents.messages]
        return replace(contents, messages=tuple(messages))

    def _read(
        self, tx: Transaction, messages: Sequence[Opened | Refused], start: int, end: int
    ) -> dict[int, Word]:
        self._has_lost = tx.inbox.has_lost() or self.is_about(start)
        receipts = tx.inbox.early_receipts(self._base + start, self._base + end)
        lost = tx.inbox.lost([m.message_id for m in messages if m.message_id is not None])
        words: dict[int, Word] = {}
        marked = self._marked()
        for message in messages:
            word = _word(receipts, self._base, message.index)
            known = None if message.message_id is None else lost.get(message.message_id)
            if known is not None and (word is None or not word.is_received):
                word = Word(decided_ms=known.decided_ms)
            if word is None and message.index < marked:
                word = Word()
            if word is not None:
                words[message.index] = word
        return words


def lost_messages(messages: Sequence[Opened | Refused], words: Words, *, base: int) -> list[LostMessage]:
    """Return messages that this node had and has to ask for once more.

    Args:
        messages: What became of the messages of a bundle.
        words: What was said of them before.
        base: Place of index 0 of the mirror.
    """
    return [
        LostMessage(message_id=m.message_id, place=base + m.index, decided_ms=words[m.index].decided_ms)
        for m in messages
        if isinstance(m, Refused)
        and m.code in SEND_AGAIN
        and m.message_id is not None
        and m.index in words
        and words[m.index].may_have_arrived
    ]


def _word(receipts: Sequence[ReceiptDue], base: int, index: int) -> Word | None:
    """Return what receipts, in the order of their log, say of an entry; None if they say nothing."""
    word: Word | None = None
    for receipt in receipts:
        if not receipt.start <= base + index < receipt.start + receipt.count:
            continue
        found = next((item for item in receipt.exceptions if item.index == index), None)
        decided_ms = None if word is None else word.decided_ms
        if found is None:
            word = Word(decided_ms=decided_ms if decided_ms is not None else receipt.decided_ms)
        else:
            word = Word(decided_ms=decided_ms, refusal=(_code(found.code), found.rule))
    return word


def _code(number: int) -> ExceptionCode:
    try:
        return ExceptionCode(number)
    except ValueError:
        return ExceptionCode.UNEXAMINED  # said by a later version of this program


def _is_final(message: Opened | Refused) -> bool:
    return isinstance(message, Refused) and message.code not in SEND_AGAIN


def _is_late(message: Opened | Refused, word: Word) -> bool:
    """Return whether a check may have failed for the time that has passed."""
    return word.refusal is None and _is_final(message)


def _said(message: Opened | Refused, word: Word | None) -> Opened | Refused:
    """Return a message with the reason for which it was refused before, if it was."""
    if word is None or word.refusal is None:
        return message
    code, rule = word.refusal
    return Refused(index=message.index, message_id=message.message_id, code=code, rule=rule)
