"""Inspection: does the database still hold the logs as they were appended?

Whoever can write the file of a database can edit, remove, insert and reorder rows, and the
head of a log with them. What was signed stands in the right edge and in the notes; so
everything is computed from the entries once more and compared.

At the start, before anything is appended or signed: the right edge of each log from its last
tile and the stored hashes, the newest note at its size, and that nothing stands behind the
end. What does not fit there would be signed with the next bundle, so the node stops.

Once a day, in the background: every entry and every stored hash of each log. Damage further
back does not reach what is signed from now on, and the peer holds the entries as well; so it is
reported (incident, event of the audit log, alarm, health) and the exchange goes on.

Spec: docs/spec/log.md, "Start" and "Daily".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from gateway.core.entries import IncidentKind
from gateway.core.merkle import Hash, RightEdge, append, edge_at, hash_leaf
from gateway.core.tiles import TILE_WIDTH
from gateway.errors import MalformedError, OperatorError, StoreError
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.log_writer import LogHashes
from gateway.node.waiting import wait_for
from gateway.ports import Clock, Incident, LogHead, LogKind, Step, Store, Transaction

log = structlog.get_logger(__name__)

FIRST_S: Final = 600.0
"""Seconds after the start until the first whole inspection: not while a node catches up."""

EVERY_S: Final = 86_400.0

RUN: Final = 4 * TILE_WIDTH
"""Entries that one look at the database reads."""

REST_S: Final = 0.05
"""Pause between two looks, so that an inspection of millions of entries stays in the background."""


UNREADABLE: Final = "the database holds a right edge that belongs to no log of its size"


class LogDamagedError(OperatorError):
    """The database does not hold a log as it was appended; signing on would sign the damage."""

    code = "log-damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Where a stored log is not what was appended.

    Attributes:
        origin: The log.
        start: First entry of the run in which it was found.
        end: One behind the last.
        what: What does not fit.
    """

    origin: str
    start: int
    end: int
    what: str

    def text(self) -> str:
        """Return the finding in one sentence."""
        place = f"entries {self.start} to {self.end - 1}" if self.end > self.start else "its end"
        return f"the database does not hold {self.origin} as it was appended ({place}): {self.what}"


class Inspection:
    """Looks at every log of the store. One task of the node runs it."""

    def __init__(self, *, store: Store, audit: AuditLog, clock: Clock) -> None:
        """Wire it."""
        self._store = store
        self._audit = audit
        self._clock = clock
        self._damaged: tuple[str, ...] = ()

    @property
    def damaged(self) -> tuple[str, ...]:
        """Return the origins of the logs that the last whole inspection found damaged."""
        return self._damaged

    async def check_ends(self) -> None:
        """Compare head, last tile and newest note of every log.

        Raises:
            LogDamagedError: They do not fit together. Nothing was appended or signed.
        """
        try:
            found = await self._store.read(_check_ends)
        except MalformedError as error:
            raise LogDamagedError(UNREADABLE) from error
        if found is not None:
            raise LogDamagedError(found.text())

    async def run(self) -> None:
        """Inspect every log once a day, until cancelled."""
        await wait_for(self._clock, FIRST_S)
        while True:
            await self.inspect()
            await wait_for(self._clock, EVERY_S)

    async def inspect(self) -> tuple[Damage, ...]:
        """Compute every log from its entries, report what does not fit, and return it."""
        heads = await self._store.read(lambda tx: [h for h in tx.logs.heads() if _is_held(h)])
        found = [damage for head in heads if (damage := await self._inspect(head)) is not None]
        self._damaged = tuple(damage.origin for damage in found)
        for damage in found:
            await self._report(damage)
        log.info("logs.inspected", logs=len(heads), damaged=len(found))
        return tuple(found)

    async def _inspect(self, head: LogHead) -> Damage | None:
        edge = RightEdge.EMPTY
        while edge.size < head.size:
            start, end = edge.size, min(edge.size + RUN, head.size)
            grown = await self._store.read(partial(_grow, origin=head.origin, edge=edge, end=end))
            if grown is None:
                what = "an entry is missing, or stored hashes do not follow from the entries"
                return Damage(origin=head.origin, start=start, end=end, what=what)
            edge = grown
            await wait_for(self._clock, REST_S)
        if edge != head.edge:
            return Damage(
                origin=head.origin, start=0, end=head.size, what="the entries do not lead to the stored root"
            )
        return None

    async def _report(self, damage: Damage) -> None:
        """Keep an incident, an event and an alarm; the incident once for each place."""
        now_ms = self._clock.now_ms()
        incident = Incident(
            kind=IncidentKind.DAMAGED,
            origin=damage.origin,
            size=damage.end,
            root=Hash(bytes(32)),
            at_ms=now_ms,
        )

        def keep(tx: Transaction) -> None:
            known = {(item.kind, item.origin, item.size) for item in tx.facts.incidents(limit=1_000)}
            if (incident.kind, incident.origin, incident.size) in known:
                return
            tx.facts.put_incident(incident)
            event = self._audit.event(
                at_ms=now_ms, actor=NODE, event="log.damaged", details=(damage.start, damage.end)
            )
            self._audit.append(tx, event)

        await self._store.write(Step.AUDITED, keep)
        log.critical(
            "log.damaged", origin=damage.origin, start=damage.start, end=damage.end, what=damage.what
        )


def _is_held(head: LogHead) -> bool:
    """Return whether this node holds the entries of a log: not those of the peer's audit log."""
    return head.kind is not LogKind.WITNESSED


def _check_ends(tx: Transaction) -> Damage | None:
    for head in tx.logs.heads():
        if _is_held(head) and (what := _end_damage(tx, head)) is not None:
            start = max(head.size - 1, 0) // TILE_WIDTH * TILE_WIDTH
            return Damage(origin=head.origin, start=start, end=head.size, what=what)
    return None


def _end_damage(tx: Transaction, head: LogHead) -> str | None:
    """Return what does not fit at the end of a log, or None."""
    last_tile = max(head.size - 1, 0) // TILE_WIDTH * TILE_WIDTH
    try:
        # From the last tile's entries upwards, so a full last tile is computed as well.
        before = edge_at(last_tile, reader=LogHashes(tx.logs, head.origin))
        edge = _grow(tx, head.origin, before, head.size)
    except StoreError:
        edge = None
    if edge is None:
        return "an entry of the last tile is missing, or stored hashes do not follow from the entries"
    if edge != head.edge:
        return "the entries do not lead to the stored root"
    if tx.logs.reaches_beyond(head.origin, head.size):
        return "entries stand behind its end"
    newest = tx.logs.newest_note(head.origin)
    if newest is None:
        return None
    if newest.size > head.size:
        return f"{newest.size} entries were signed"
    if edge_at(newest.size, reader=LogHashes(tx.logs, head.origin)).root() != newest.root:
        return f"another root was signed for size {newest.size}"
    return None


def _grow(tx: Transaction, origin: str, edge: RightEdge, end: int) -> RightEdge | None:
    """Return the edge behind the entries up to ``end``; None if what is stored does not follow from them."""
    try:
        entries = tx.logs.entries(origin, edge.size, end)
        if any(type(entry) is not bytes for entry in entries):
            return None  # SQLite keeps texts and numbers in any column
        grown = append(edge, [hash_leaf(entry) for entry in entries])
        for item in grown.tile_hashes:
            if tx.logs.tile_hashes(origin, item.level, item.index, item.index + 1) != [item.hash]:
                return None
    except StoreError:
        return None
    return grown.edge
