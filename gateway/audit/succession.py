"""Successors: does a log that follows another one cite it truly, and what was lost in between?

A log that was rolled back or forked is closed, and its successor opens (`gateway.core.generation`).
Its first entry cites where the one before it stood. A copy of the closed log that an auditor
holds from earlier days may reach beyond the end that is stored: it has to lie on the history
that the successor cites as signed.

Spec: docs/spec/log.md, "Successors"; docs/auditing.md, "Logs that follow one another".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.audit.claims import Claims
from gateway.audit.log import AuditedLog
from gateway.audit.reader import LogReader
from gateway.audit.report import Check, Outcome
from gateway.core.entries import AnchorEntry, Entry, EventEntry
from gateway.core.generation import first_of, generation_of, origin_of
from gateway.core.merkle import HASH_BYTES, Hash, edge_at
from gateway.errors import GatewayError

AUDIT_SUCCEEDED: Final = "audit.succeeded"
"""Event that opens the successor of an audit log."""

_DETAILS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """A state of an earlier generation that a successor cites.

    Attributes:
        origin: Which log.
        size: Its size.
        root: Its root at that size.
    """

    origin: str
    size: int
    root: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """What the first entry of a successor says.

    Attributes:
        stored: Where the database held the log when it was closed.
        signed: The largest state that had been signed: the same, or one that was lost.
    """

    stored: Cited
    signed: Cited

    @property
    def is_loss(self) -> bool:
        """Return whether entries that were signed are not stored any more."""
        return self.stored != self.signed


def read_citation(origin: str, entry: Entry) -> Citation | None:
    """Return what the first entry of a successor cites, or None if it is not such an entry."""
    first = first_of(origin)
    if isinstance(entry, AnchorEntry):
        # Of the newest generation that the node held, which need not be the one before this.
        cited_generation = generation_of(first, entry.origin)
        if cited_generation is None or cited_generation >= (generation_of(first, origin) or 1):
            return None
        cited = Cited(origin=entry.origin, size=entry.size, root=Hash(entry.root))
        return Citation(stored=cited, signed=cited)
    if not isinstance(entry, EventEntry) or entry.event != AUDIT_SUCCEEDED or len(entry.details) != _DETAILS:
        return None
    stored, signed = _cited(first, entry.details[:3]), _cited(first, entry.details[3:])
    generation = generation_of(first, origin) or 1
    if stored is None or signed is None:
        return None
    newest = max(generation_of(first, cited.origin) or 1 for cited in (stored, signed))
    return Citation(stored=stored, signed=signed) if newest == generation - 1 else None


def succession_check(
    origin: str, citation: Citation, known: Mapping[str, tuple[AuditedLog, int]], *, held: int = 0
) -> Check:
    """Compare what a successor cites with the copies at hand.

    Args:
        origin: The successor.
        citation: What its first entry says.
        known: Verified logs with their signed sizes, by origin.
        held: Up to where the other node says that it held the closed log when it closed it as well. What is
            below that was not signed on: a database that had lost it was given up.
    """
    name = f"succession of {origin}"
    for cited in (citation.stored, citation.signed):
        if cited.origin not in known:
            continue
        log, size = known[cited.origin]
        if cited.size > size:
            continue  # the copy ends before
        try:
            root = edge_at(cited.size, reader=LogReader(log, size)).root()
        except GatewayError as error:
            return Check.failed(name, f"cannot be compared: {error}")
        if root != cited.root and not (citation.is_loss and cited is citation.stored):
            detail = f"it cites another root than {cited.origin} had at size {cited.size}"
            return Check.failed(name, detail)
    beyond = _beyond(citation, known)
    size = known[citation.stored.origin][1] if citation.stored.origin in known else 0
    if beyond and (citation.is_loss or size > held):
        return Check.failed(name, beyond)
    if beyond:
        closed = f"given up: {citation.stored.origin} was closed at {citation.stored.size} entries"
        detail = f"{closed}, the other node held {held}"
        return Check.not_checked(name, detail)
    stored, signed = citation.stored, citation.signed
    if citation.is_loss:
        of_log = f" of {signed.origin}" if signed.origin != stored.origin else ""
        closed = f"rolled back: {stored.origin} was closed at {stored.size} entries"
        detail = f"{closed}, {signed.size}{of_log} were signed"
        return Check.not_checked(name, detail)
    detail = f"follows {citation.stored.origin}, closed at {citation.stored.size} entries"
    at_hand = "" if citation.stored.origin in known else "; that log is not at hand"
    outcome = Outcome.HELD if not at_hand else Outcome.NOT_CHECKED
    return Check(name=name, outcome=outcome, detail=detail + at_hand)


def told_forks(origin: str, told: Mapping[str, Claims]) -> list[Check]:
    """Return that a successor names a fork, which no entry proves: two signed notes do.

    Args:
        origin: The successor.
        told: Which logs it calls forked.
    """
    checks = []
    for forked, claims in sorted(told.items()):
        where = ", ".join(f"entry {index}, size {size}" for index, size, _ in claims)
        said = forked if forked.isascii() and forked.isprintable() else ascii(forked)
        detail = f"{where}: its word for a fork of {said}; two notes prove one (audit notes)"
        checks.append(Check.not_checked(f"forks told in {origin}", detail))
    return checks


def _beyond(citation: Citation, known: Mapping[str, tuple[AuditedLog, int]]) -> str:
    """Return what is wrong with a copy that goes on behind all that the successor cites."""
    for origin in {citation.stored.origin, citation.signed.origin}:
        ends = [c.size for c in (citation.stored, citation.signed) if c.origin == origin]
        if origin in known and known[origin][1] > max(ends):
            return f"{origin} was signed up to {known[origin][1]}, behind where it was closed"
    return ""


def _cited(first: str, details: tuple[int | bytes, ...]) -> Cited | None:
    generation, size, root = details
    if not isinstance(generation, int) or not isinstance(size, int) or not isinstance(root, bytes):
        return None
    if generation < 1 or len(root) != HASH_BYTES:
        return None
    return Cited(origin=origin_of(first, generation), size=size, root=Hash(root))
