"""What one of a node's two books tells and the other one does not: its audit log, and its exchange logs.

A node writes both in one transaction: a restore is an event and an incident, an erasure that the other
nation cannot foresee an event and, with the next bundles, an incident, a new generation an event and the
first entries of a log. Whoever tells only one of them hides the other half from who reads the other book.
`gateway.audit.trail` holds the audit log against what exchange logs say of restores; here the exchange logs
are held against what the audit log says, and of erasures, losses of the audit log and generations both ways.

An event binds as far as nothing behind it was lost: what stood in an audit log behind the state at which its
successor closed it did not happen for the node that goes on. And an exchange log binds as far as its copy
goes: each bundle is anchored in the audit log, and that says up to where the copy has to reach.

Spec: docs/spec/log.md, "Two books"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.audit.acts import MAX_RESTORES
from gateway.audit.contents import tag_of
from gateway.audit.cosigners import HeldLog
from gateway.audit.reader import LogReader, read_header
from gateway.audit.report import Check, Outcome
from gateway.audit.trail import Trail, trail_of, whole_below
from gateway.core.generation import number_of
from gateway.core.message.wording import counted
from gateway.core.receipt import SEND_AGAIN
from gateway.errors import GatewayError

ERASURES_A_BUNDLE: Final = 64
"""Erasures that a bundle tells of at least while there are more: nodes tell of 128."""

_MIRROR_AT: Final = 1
"""Where the successor of an exchange log says how far the mirror went: behind what it says of its own."""

_ASK_AGAIN: Final = frozenset(map(int, SEND_AGAIN))

Place = tuple[str, int]
"""A log, and an index in it or a size of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The two books of one node, as far as they are at hand.

    Attributes:
        trail: Its audit logs.
        whole: Below which size nothing of each of them was lost, in the same order.
        exchanges: Its exchange logs, by origin.
        others: Exchange logs of the other node, by origin.
    """

    trail: Trail
    whole: Sequence[int]
    exchanges: Mapping[str, HeldLog]
    others: Mapping[str, HeldLog]

    def number(self, audit: HeldLog) -> int:
        """Return which of the audit logs this one is."""
        return next(at for at, log in enumerate(self.trail.logs) if log is audit)

    def bundle_after(self, number: int, index: int, count: int = 0, *, within: bool = False) -> Place | None:
        """Return where the own exchange log ended with a bundle that was made after an event, or None.

        Args:
            number: Which audit log holds the event.
            index: Its entry.
            count: Bundles in between.
            within: Only as that audit log itself says it, and not its successors.
        """
        last = number + 1 if within else len(self.trail.logs)
        for at in range(number, last):
            anchored = self.trail.logs[at].contents.anchored
            for origin in sorted(anchored.keys() & self.exchanges.keys(), key=number_of):
                claims = anchored[origin]
                first = bisect_right(claims.said_at, index) if at == number else 0
                there = bisect_left(claims.said_at, self.whole[at]) - first
                if count < there:
                    return origin, claims.sizes[first + count]
                count -= max(0, there)
        return None

    def reach(self, place: Place | None) -> bool:
        """Return whether all that the node had written of its exchange logs by then is at hand."""
        if place is None:
            return False
        origin, size = place
        log = self.exchanges.get(origin)
        while log is not None and log.checkpoint.size >= size:
            if not log.contents.is_successor:
                return True
            cited = log.contents.citation
            if cited is None:
                return False
            log, size = self.exchanges.get(cited.stored.origin), cited.stored.size
        return False

    def held_before(self, number: int, index: int, place: Place) -> bool:
        """Return whether the node had written or mirrored an entry before an event."""
        origin, at = place
        for which, log in enumerate(self.trail.logs[: number + 1]):
            claims = log.contents.anchored.get(origin)
            if claims is None:
                continue
            said = bisect_left(claims.said_at, index if which == number else self.whole[which])
            if said and claims.sizes[said - 1] > at:
                return True
        return False

    def tells_erased(self) -> Iterator[tuple[str, int, Place]]:
        """Yield each erasure that the exchange logs tell: log, entry, and the place of the message."""
        for origin, log in self.exchanges.items():
            for of, claims in log.contents.erasures.items():
                for at, size in zip(claims.said_at, claims.sizes, strict=True):
                    yield origin, at, (of, size - 1)

    def tag_at(self, place: Place) -> int | None:
        """Return four bytes of the id of the message at a place, or None if it is not at hand."""
        origin, index = place
        log = self.exchanges.get(origin) or self.others.get(origin)
        return log.contents.tags[index] if log is not None and 0 <= index < log.contents.size else None


def book_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
    """Hold a log of a node against the other book of that node, if it is at hand.

    Args:
        speaker: The log.
        known: The fullest copy of each log at hand, by origin.
    """
    trail = trail_of(speaker.contents.node, known)
    if trail is None:
        return []
    node = speaker.contents.node
    exchanges = {origin: log for origin, log in sorted(known.items()) if log.contents.is_exchange}
    own = [log.contents for log in known.values() if log.contents.node == node]
    books = Books(
        trail=trail,
        whole=[whole_below(log.contents, own) or 0 for log in trail.logs],
        exchanges={origin: log for origin, log in exchanges.items() if log.contents.node == node},
        others={origin: log for origin, log in exchanges.items() if log.contents.node != node},
    )
    if speaker.contents.is_exchange:
        found = [_told_losses(speaker, books), _told_erasures(speaker, books), _opening(speaker, books)]
    elif speaker.contents.is_audit and books.exchanges:
        number = books.number(speaker)
        found = [
            _recorded_restores(speaker, number, books),
            _recorded_loss(speaker, number, books),
            _recorded_erasures(speaker, number, books),
        ]
    else:
        found = []
    return [check for check in found if check is not None]


# --- restores and losses ------------------------------------------------------------------


def _recorded_restores(audit: HeldLog, number: int, books: Books) -> Check | None:
    """Check that the exchange logs tell each restore that an audit log records."""
    restored = audit.contents.acts.restored
    if not restored:
        return None
    name, restores = (
        f"restores recorded in {audit.contents.origin}",
        counted(len(restored), "restore", "restores"),
    )
    told = [log.contents.told for log in books.exchanges.values()]
    if MAX_RESTORES in {len(restored), *map(len, told)}:
        return _not_checked(name, f"{restores} and more")
    left = Counter((event, size) for some in told for _, event, size in some)
    # What earlier audit logs record takes its incidents first.
    for which, log in enumerate(books.trail.logs[:number]):
        left.subtract(
            (event, size) for at, event, size in log.contents.acts.restored if at < books.whole[which]
        )
    unknown = 0
    for at, event, size in restored:
        if at >= books.whole[number]:
            unknown += 1
        elif left[event, size] > 0:
            left[event, size] -= 1
        elif books.reach(place := books.bundle_after(number, at)):
            told_by = "" if place is None else place[0]
            return _failed(name, f"entry {at} ({event}) records a restore of which {told_by} has no incident")
        else:
            unknown += 1
    if unknown:
        return _not_checked(name, f"{restores}, {unknown} of them in no exchange log at hand")
    return _held(name, f"{restores}, each an incident of the exchange log")


def _recorded_loss(audit: HeldLog, number: int, books: Books) -> Check | None:
    """Check that the exchange log tells both nations what a successor of the audit log says was lost."""
    citation = audit.contents.citation
    if citation is None or not citation.is_loss:
        return None
    name, lost = f"loss recorded in {audit.contents.origin}", citation.signed
    for origin, log in books.exchanges.items():
        claims = log.contents.restores.get(lost.origin)
        if claims is not None and any((size, root) == (lost.size, lost.root) for _, size, root in claims):
            return _held(name, f"{origin} tells of it")
    place = books.bundle_after(number, -1, within=True)
    # Who signs without the peer's answer tells later; a log that opened later than that could not tell.
    announced = {} if place is None else books.exchanges[place[0]].contents.announced
    is_later = not audit.contents.acts.announced.isdisjoint(list(announced)[:1])
    if books.reach(place) and not is_later and not audit.contents.acts.is_overridden:
        told_by = "" if place is None else place[0]
        return _failed(
            name, f"{lost.size} entries of {lost.origin} were signed: {told_by} tells nobody of that"
        )
    return _not_checked(name, "no exchange log at hand tells of it")


def _told_losses(speaker: HeldLog, books: Books) -> Check | None:
    """Check that an audit log did not go on of which its exchange log tells that it lost entries."""
    contents = speaker.contents
    claims = {
        origin: said
        for origin, said in contents.restores.items()
        if origin.startswith(f"{contents.node}/audit")
    }
    if not claims:
        return None
    name = f"losses told in {contents.origin}"
    cited = {
        (
            log.contents.citation.signed.origin,
            log.contents.citation.signed.size,
            log.contents.citation.signed.root,
        )
        for log in books.trail.logs
        if log.contents.citation is not None
    }
    unknown = 0
    for origin, said in claims.items():
        for at, size, root in said:
            if (origin, size, root) in cited:
                continue
            on = next(
                (
                    log
                    for log in books.trail.logs
                    if number_of(log.contents.origin) <= number_of(origin)
                    and _anchors(log, contents.origin, at)
                ),
                None,
            )
            if on is not None and not books.trail.is_refilled(at):
                detail = (
                    f"entry {at} tells of a loss of {origin}, and {on.contents.origin} goes on behind that"
                )
                return _failed(name, detail)
            unknown += 1
    losses = counted(sum(map(len, claims.values())), "loss", "losses")
    if unknown:
        return _not_checked(name, f"{losses}, {unknown} of them cited by no successor at hand")
    return _held(name, f"{losses} of the audit log, each cited by its successor")


def _anchors(audit: HeldLog, origin: str, index: int) -> bool:
    """Return whether an audit log goes on beyond an entry of another log."""
    claims = audit.contents.anchored.get(origin)
    return claims is not None and max(claims.sizes) > index


# --- erasures -------------------------------------------------------------------------------


def _told_erasures(speaker: HeldLog, books: Books) -> Check | None:
    """Check that the audit log records each erasure that an exchange log tells on its node's word."""
    origin = speaker.contents.origin
    told = sum(map(len, speaker.contents.erasures.values()))
    if not told:
        return None
    name, erasures = f"erasures told in {origin}", counted(told, "erasure", "erasures")
    recorded = [log.contents.acts.erased for log in books.trail.logs]
    if any(item.is_full for item in recorded):
        return _not_checked(name, f"{books.trail.name} records too many")
    tags = {tag_of(message_id) for item in recorded for message_id in item.events}
    # A later generation repeats what an earlier one has told: what came back with that has lost its event.
    lost = {place for _, at, place in books.tells_erased() if books.trail.is_refilled(at)}
    unknown = 0
    for by, at, place in books.tells_erased():
        if by != origin or (tag := books.tag_at(place)) in tags:
            continue
        if tag is not None and books.trail.is_whole and books.trail.covers(origin, at) and place not in lost:
            what = f"entry {at} tells that message {place[1]} of {place[0]} was erased"
            return _failed(name, f"{what}, of which {books.trail.name} has no event message.erased")
        unknown += 1
    if unknown:
        return _not_checked(name, f"{erasures}, {unknown} of them in no audit log at hand")
    return _held(name, f"{erasures}, each an event of {books.trail.name}")


def _recorded_erasures(audit: HeldLog, number: int, books: Books) -> Check | None:
    """Check that the exchange log tells each erasure that the other nation could not foresee."""
    erased = audit.contents.acts.erased
    if not erased.events:
        return None
    name = f"erasures recorded in {audit.contents.origin}"
    erasures = counted(len(erased.events), "erasure", "erasures")
    logs = [log.contents.acts.erased for log in books.trail.logs]
    tags = [books.tag_at(place) for _, _, place in books.tells_erased()] if not erased.is_full else []
    if None in tags or any(item.is_full for item in logs):
        return _not_checked(name, f"{erasures}: not all that was erased is at hand")
    told = set(tags)
    untold = {
        message_id: at
        for message_id, (_, at) in erased.events.items()
        if tag_of(message_id) not in told and at < books.whole[number]
    }
    most = sum(len(item.events) for item in logs) // ERASURES_A_BUNDLE + 1
    try:
        places = _places(books, untold)
    except GatewayError as error:
        return _failed(name, f"cannot be compared: {error}")
    unknown = 0
    for message_id, at in untold.items():
        sent = places.get(message_id, ())
        if sent and _is_bound(books, number, at, sent) and books.reach(books.bundle_after(number, at, most)):
            origin, index = sent[-1]
            what = f"message {UUID(bytes=message_id)}, entry {index} of {origin}"
            return _failed(name, f"entry {at} (message.erased) is of {what}: no incident tells of that")
        unknown += bool(sent)
    if unknown:
        return _not_checked(name, f"{erasures}, {unknown} of them in no exchange log at hand")
    return _held(
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


# --- generations ----------------------------------------------------------------------------


def _opening(speaker: HeldLog, books: Books) -> Check | None:
    """Check that the audit log records how a generation of the exchange log opened, and who let it."""
    contents, trail = speaker.contents, books.trail
    if not contents.is_successor or contents.citation is None:
        return None
    name, number = f"opening of {contents.origin}", number_of(contents.origin)
    cited = contents.citation.stored
    for log in trail.logs:
        resumed = log.contents.acts.resumed.get(number)
        if resumed is None:
            continue
        where = f"entry {resumed.index} of {log.contents.origin}"
        if resumed.own != (cited.size, cited.root):
            return _failed(name, f"{where} (pair.resumed) names another end of {cited.origin} than entry 0")
        ends = [said for of, said in contents.anchored.items() if not of.startswith(f"{contents.node}/")]
        mirrored = [end for said in ends for at, *end in said if at == _MIRROR_AT]
        if mirrored and tuple(mirrored[0]) != resumed.mirror:
            return _failed(name, f"{where} (pair.resumed) names another end of the mirror than entry 1")
        if not trail.is_whole:
            return _not_checked(name, f"{where} records it; what was signed off before that may be lost")
        before = [item.index for item in log.contents.acts.resumed.values() if item.index < resumed.index]
        since = max(before, default=-1)
        if not any(since < at < resumed.index for at in log.contents.acts.signed_off):
            return _failed(name, f"{where} (pair.resumed) stands behind no sign-off of an operator")
        return _held(name, f"{where}, behind a sign-off of an operator")
    if (
        trail.is_whole
        and trail.covers(contents.origin, 0)
        and not any(log.contents.acts.refilled for log in trail.logs)
    ):
        return _failed(name, f"{trail.name} has no event pair.resumed of it")
    return _not_checked(name, "no audit log at hand records it")


def _held(name: str, detail: str) -> Check:
    return Check(name=name, outcome=Outcome.HELD, detail=detail)


def _failed(name: str, detail: str) -> Check:
    return Check(name=name, outcome=Outcome.FAILED, detail=detail)


def _not_checked(name: str, detail: str) -> Check:
    return Check(name=name, outcome=Outcome.NOT_CHECKED, detail=detail)
