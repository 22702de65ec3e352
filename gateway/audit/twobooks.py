"""Holding a log of a node against the other book of that node.

Spec: docs/spec/log.md, "Two books"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.audit.books import Books
from gateway.audit.cosigners import HeldLog
from gateway.audit.deeds import recorded_collections, recorded_erasures, told_erasures
from gateway.audit.report import Check
from gateway.audit.restores import opening_check, recorded_loss, recorded_restores, told_losses
from gateway.audit.trail import trail_of, whole_below
from gateway.errors import GatewayError


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
        found = [told_losses(speaker, books), told_erasures(speaker, books), opening_check(speaker, books)]
    elif speaker.contents.is_audit and books.exchanges:
        number = books.number(speaker)
        found = [
            recorded_restores(speaker, number, books),
            recorded_loss(speaker, number, books),
            _guarded("erasures recorded in", speaker, lambda: recorded_erasures(speaker, number, books)),
            _guarded(
                "collections recorded in", speaker, lambda: recorded_collections(speaker, number, books)
            ),
        ]
    else:
        found = []
    return [check for check in found if check is not None]


def _guarded(what: str, speaker: HeldLog, compare: Callable[[], Check | None]) -> Check | None:
    try:
        return compare()
    except GatewayError as error:
        return Check.failed(f"{what} {speaker.contents.origin}", f"cannot be compared: {error}")
