"""Erasures and collections: what one book of a node says, held against the other.

Both are events when they happen, and entries of the exchange log with the bundles that follow: so a copy of
that log binds once enough bundles have followed.

Spec: docs/spec/log.md, "Two books"; docs/spec/erasure.md, "What says so".
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from gateway.audit.books import Books, Place
from gateway.audit.contents import tag_of
from gateway.audit.cosigners import HeldLog
from gateway.audit.reader import LogReader, read_header
from gateway.audit.report import Check
from gateway.audit.trail import absent_tag
from gateway.core.message.wording import counted
from gateway.core.receipt import SEND_AGAIN

ERASURES_A_BUNDLE: Final = 64
"""Erasures that a bundle tells of at least while there are more: nodes tell of 128."""

COLLECTIONS_A_BUNDLE: Final = 1_000
"""Likewise collections: nodes tell of 4,000."""

RECEIPTS_A_BUNDLE: Final = 64
"""Likewise receipts: nodes take 128, and no collections before that is all."""

_ASK_AGAIN: Final = frozenset(map(int, SEND_AGAIN))


def told_erasures(speaker: HeldLog, books: Books) -> Check | None:
    """Check that the audit log records each erasure that an exchange log tells on its node's word."""
    origin = speaker.contents.origin
    told = sum(map(len, speaker.contents.erasures.values()))
    if not told:
        return None
    name, erasures = f"erasures told in {origin}", counted(told, "erasure", "erasures")
    recorded = [log.contents.acts.erased for log in books.trail.logs]
    if any(item.is_full for item in recorded):
        return Check.not_checked(name, f"{books.trail.name} records too many")
    tags = {tag_of(message_id) for item in recorded for message_id in item.events}
    # A later generation repeats what an earlier one has told: what came back with that has lost its event.
    lost = {place for _, at, place in books.tells_erased() if books.trail.is_refilled(at)}
    covered = books.trail.reach(origin) if books.trail.is_whole else 0
    unknown = 0
    for by, at, place in books.tells_erased():
        if by != origin or (tag := books.tag_at(place)) in tags:
            continue
        if tag is not None and at < covered and place not in lost:
            what = f"entry {at} tells that message {place[1]} of {place[0]} was erased"
            return Check.failed(name, f"{what}, of which {books.trail.name} has no event message.erased")
        unknown += 1
    if unknown:
        return Check.not_checked(name, f"{erasures}, {unknown} of them in no audit log at hand")
    return Check.held(name, f"{erasures}, each an event of {books.trail.name}")


def recorded_erasures(audit: HeldLog, number: int, books: Books) -> Check | None:
    """Check that the exchange log tells each erasure that the other nation could not foresee.

    Raises:
        GatewayError: A log cannot be read any more.
    """
    erased = audit.contents.acts.erased
    if not erased.events:
        return None
    name = f"erasures recorded in {audit.contents.origin}"
    erasures = counted(len(erased.events), "erasure", "erasures")
    logs = [log.contents.acts.erased for log in books.trail.logs]
    tags = [books.tag_at(place) for _, _, place in books.tells_erased()] if not erased.is_full else []
    if None in tags or any(item.is_full for item in logs):
        return Check.not_checked(name, f"{erasures}: not all that was erased is at hand")
    told = set(tags)
    untold = {
        message_id: at
        for message_id, (_, at) in erased.events.items()
        if tag_of(message_id) not in told and at < books.whole[number]
    }
    most = sum(len(item.events) for item in logs) // ERASURES_A_BUNDLE + 1
    places = _places(books, untold)
    unknown = 0
    for message_id, at in untold.items():
        sent = places.get(message_id, ())
        if sent and _is_bound(books, number, at, sent) and books.reach(books.bundle_after(number, at, most)):
            origin, index = sent[-1]
            what = f"message {UUID(bytes=message_id)}, entry {index} of {origin}"
            return Check.failed(name, f"entry {at} (message.erased) is of {what}: no incident tells of that")
        unknown += bool(sent)
    if unknown:
        return Check.not_checked(name, f"{erasures}, {unknown} of them in no exchange log at hand")
    return Check.held(
        name, f"{erasures} that the other nation could not foresee, each told if it was of a sent message"
    )


def _is_bound(books: Books, number: int, at: int, sent: Sequence[Place]) -> bool:
    """Return whether a node knew where a message stood when it erased it, and so has to tell of it.

    It does not of what waits to be sent again, nor of what it knows from its refilled log alone.
    """
    if not any(books.held_before(number, at, place) for place in sent):
        return False
    return all(origin in books.others or _is_settled(books, origin, index) for origin, index in sent)


def _is_settled(books: Books, origin: str, index: int) -> bool:
    """Return whether the receiver has answered for an entry of the own log, and never asks for it again."""
    if any(log.contents.acts.refilled for log in books.trail.logs):
        return False
    for log in books.others.values():
        answers = log.contents.answers.get(origin)
        if answers is None or index >= min(answers.last_end, log.contents.kept_below):
            continue
        at = bisect_left(answers.excepted, index)
        if at < len(answers.excepted) and answers.excepted[at] == index:
            return answers.codes[at] not in _ASK_AGAIN
        return index not in answers.asked_again
    return False


def _places(books: Books, ids: Collection[bytes]) -> dict[bytes, list[Place]]:
    """Return where messages with these ids stand in the exchange logs at hand.

    Raises:
        GatewayError: A log cannot be read any more.
    """
    found: dict[bytes, list[Place]] = {}
    tags = set(map(tag_of, ids))
    for origin, log in (*books.exchanges.items(), *books.others.items()) if tags else ():
        reader = LogReader(log.log, log.checkpoint.size)
        for index, tag in enumerate(log.contents.tags):
            if tag in tags and (header := read_header(reader.entry(index))) and header.message_id in ids:
                found.setdefault(header.message_id, []).append((origin, index))
    return found


# --- collections ----------------------------------------------------------------------------


def recorded_collections(audit: HeldLog, number: int, books: Books) -> Check | None:
    """Check that the exchange log tells the sender's nation of each collection that an audit log records.

    Raises:
        GatewayError: A log cannot be read any more.
    """
    contents = audit.contents
    if not contents.collected:
        return None
    name = f"collections recorded in {contents.origin}"
    due = _due_collections(audit, number, books)
    collections = counted(len(contents.collected), "collection", "collections")
    if not due:
        return Check.not_checked(name, f"{collections}: the copy of the exchange log at hand ends before")
    told = array("I")
    for log in books.exchanges.values():
        for of, answers in log.contents.answers.items():
            if not answers.collected:
                continue
            subject = books.others.get(of)
            if subject is None or max(answers.collected) >= subject.contents.size:
                return Check.not_checked(name, f"{collections}: not all that was collected is at hand")
            tags = subject.contents.tags
            told.extend(tags[index] for index in answers.collected)
    absent = absent_tag([contents.collected[:due]], [told])
    if absent is None:
        return Check.held(name, f"{due} of {collections} had to be told, and each was")
    for origin, log in books.others.items():
        if absent in log.contents.tags:
            what = f"{contents.origin} records that entry {log.contents.tags.index(absent)} of {origin}"
            return Check.failed(name, f"{what} was collected: no entry tells the sender of that")
    return Check.not_checked(name, f"{collections}, one of a message that is not at hand")


def _due_collections(audit: HeldLog, number: int, books: Books) -> int:
    """Return how many collections have to be told by now, as far as the copies at hand go.

    A bundle takes thousands of them, and none while it has not room for all receipts. So enough bundles have
    to follow for all collections, and for as many receipts as bundles were mirrored.
    """
    anchored = audit.contents.anchored
    mirrored = sum(len(anchored[origin]) for origin in anchored.keys() & books.others.keys())
    most = len(audit.contents.collected) // COLLECTIONS_A_BUNDLE + mirrored // RECEIPTS_A_BUNDLE + 1
    due = 0
    for origin, recorded in audit.contents.collected_at.items():
        if origin not in books.exchanges:
            continue
        said_at = anchored[origin].said_at
        first, last = 0, len(said_at)
        while first < last:
            middle = (first + last) // 2
            is_reached = said_at[middle] < books.whole[number] and books.reach(
                books.bundle_after(number, said_at[middle], most)
            )
            first, last = (middle + 1, last) if is_reached else (first, middle)
        due = max(due, recorded[first - 1] if first else 0)
    return due
