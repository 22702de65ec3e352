"""Restores, losses of the audit log, and generations: what one book of a node says, held against the other.

`gateway.audit.trail` holds restores that the exchange log tells against the audit log; here is the other
direction, and losses and generations both ways.

Spec: docs/spec/log.md, "Two books", "Successors"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from gateway.audit.acts import MAX_RESTORES
from gateway.audit.books import Books
from gateway.audit.cosigners import HeldLog
from gateway.audit.report import Check
from gateway.audit.succession import Cited
from gateway.core.generation import number_of
from gateway.core.message.wording import counted

_MIRROR_AT: Final = 1
"""Where the successor of an exchange log says how far the mirror went: behind what it says of its own."""


def recorded_restores(audit: HeldLog, number: int, books: Books) -> Check | None:
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
        return Check.not_checked(name, f"{restores} and more")
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
            return Check.failed(
                name, f"entry {at} ({event}) records a restore of which {told_by} has no incident"
            )
        else:
            unknown += 1
    if unknown:
        return Check.not_checked(name, f"{restores}, {unknown} of them in no exchange log at hand")
    return Check.held(name, f"{restores}, each an incident of the exchange log")


def recorded_loss(audit: HeldLog, number: int, books: Books) -> Check | None:
    """Check that the exchange log tells both nations what a successor of the audit log says was lost."""
    citation = audit.contents.citation
    if citation is None or not citation.is_loss:
        return None
    name, lost = f"loss recorded in {audit.contents.origin}", citation.signed
    for origin, log in books.exchanges.items():
        claims = log.contents.restores.get(lost.origin)
        if claims is not None and any((size, root) == (lost.size, lost.root) for _, size, root in claims):
            return Check.held(name, f"{origin} tells of it")
    place = books.bundle_after(number, -1, within=True)
    # Who signs without the peer's answer tells later; a log that opened later than that could not tell.
    announced = {} if place is None else books.exchanges[place[0]].contents.announced
    is_later = not audit.contents.acts.announced.isdisjoint(list(announced)[:1])
    if books.reach(place) and not is_later and not audit.contents.acts.is_overridden:
        told_by = "" if place is None else place[0]
        return Check.failed(
            name, f"{lost.size} entries of {lost.origin} were signed: {told_by} tells nobody of that"
        )
    return Check.not_checked(name, "no exchange log at hand tells of it")


def told_losses(speaker: HeldLog, books: Books) -> Check | None:
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
    citations = [log.contents.citation for log in books.trail.logs]
    cited = {citation.signed for citation in citations if citation is not None}
    ends = {
        log.contents.origin: max(log.contents.anchored[contents.origin].sizes)
        for log in books.trail.logs
        if contents.origin in log.contents.anchored
    }
    unknown = 0
    for origin, said in claims.items():
        closed = [(end, of) for of, end in ends.items() if number_of(of) <= number_of(origin)]
        end, on = max(closed, default=(0, ""))
        for at, size, root in said:
            if Cited(origin=origin, size=size, root=root) in cited:
                continue
            if at < end and not books.trail.is_refilled(at):
                return Check.failed(
                    name, f"entry {at} tells of a loss of {origin}, and {on} goes on behind that"
                )
            unknown += 1
    losses = counted(sum(map(len, claims.values())), "loss", "losses")
    if unknown:
        return Check.not_checked(name, f"{losses}, {unknown} of them cited by no successor at hand")
    return Check.held(name, f"{losses} of the audit log, each cited by its successor")


def opening_check(speaker: HeldLog, books: Books) -> Check | None:
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
            return Check.failed(
                name, f"{where} (pair.resumed) names another end of {cited.origin} than entry 0"
            )
        ends = [said for of, said in contents.anchored.items() if not of.startswith(f"{contents.node}/")]
        mirrored = [end for said in ends for at, *end in said if at == _MIRROR_AT]
        if mirrored and tuple(mirrored[0]) != resumed.mirror:
            return Check.failed(name, f"{where} (pair.resumed) names another end of the mirror than entry 1")
        if not trail.is_whole:
            return Check.not_checked(name, f"{where} records it; what was signed off before that may be lost")
        before = [item.index for item in log.contents.acts.resumed.values() if item.index < resumed.index]
        since = max(before, default=-1)
        if not any(since < at < resumed.index for at in log.contents.acts.signed_off):
            return Check.failed(name, f"{where} (pair.resumed) stands behind no sign-off of an operator")
        return Check.held(name, f"{where}, behind a sign-off of an operator")
    if (
        trail.is_whole
        and trail.covers(contents.origin, 0)
        and not any(log.contents.acts.refilled for log in trail.logs)
    ):
        return Check.failed(name, f"{trail.name} has no event pair.resumed of it")
    return Check.not_checked(name, "no audit log at hand records it")
