"""The private audit log: what happened at this node, in the transaction that made it happen.

An event is appended inside the same transaction as what it records; if it cannot be
written, the thing does not happen. Events hold fixed names, identifiers, codes and rule
numbers, never content and never text from input.

Spec: docs/spec/log.md, "Audit log".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.audit_events import EVENTS
from gateway.core.entries import AnchorEntry, EventEntry, KeyStatementEntry, Kind, Role, encode_entry
from gateway.core.generation import first_place, located, origin_of
from gateway.node.log_writer import ensure_log, extend_log
from gateway.node.pair import Pair
from gateway.ports import LogHead, LogKind, Transaction

MAX_OBJECTS = 500
"""Ids in one event; longer lists are split over several events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, as far as the log names anybody.

    Attributes:
        role: Node, agency, operator, auditor, peer, or unknown for who was turned away.
        spki: SHA-256 of the certificate's SPKI, or empty for the node itself.
    """

    role: Role
    spki: bytes = b""


NODE = Actor(role=Role.NODE)
PEER = Actor(role=Role.PEER)


class AuditLog:
    """Writes events of one node, into the newest generation of its audit log.

    Attributes:
        generation: Which one that is. It changes in the transaction that opens a successor,
            so an event stands before the change or behind it, never in a closed log.
    """

    def __init__(self, pair: Pair) -> None:
        """Write to the audit log of ``pair``."""
        self.first_origin = pair.audit_origin
        self.generation = 1

    @property
    def origin(self) -> str:
        """Return the origin of the log that events go to now."""
        return origin_of(self.first_origin, self.generation)

    def located(self, place: int) -> tuple[str, int]:
        """Return origin and index of an event's place."""
        return located(self.first_origin, place)

    def event(
        self,
        *,
        at_ms: int,
        actor: Actor,
        event: str,
        outcome: str = "ok",
        objects: Sequence[bytes] = (),
        details: Sequence[int | bytes] = (),
    ) -> list[bytes]:
        """Return the encoded entries of an event; more than one only for long lists of ids.

        Raises:
            ValueError: The specification has no event of this name.
        """
        if event not in EVENTS:
            msg = f"{event} is no event of the audit log"
            raise ValueError(msg)
        chunks = [objects[at : at + MAX_OBJECTS] for at in range(0, len(objects), MAX_OBJECTS)]
        return [
            encode_entry(
                EventEntry(
                    at_ms=at_ms,
                    role=actor.role,
                    actor=actor.spki,
                    event=event,
                    objects=tuple(chunk),
                    outcome=outcome,
                    details=tuple(details),
                )
            )
            for chunk in chunks or [()]
        ]

    def open(self, tx: Transaction, statement: bytes) -> None:
        """Append the node's key statement unless it is the newest one that the log holds.

        Every log of a node begins with one; after a rotation the checkpoints above it are signed
        by the keys that it names.
        """
        head = ensure_log(tx, self.origin, LogKind.AUDIT)
        entry = encode_entry(KeyStatementEntry(statement=statement))
        stated = tx.logs.newest_control(self.origin, Kind.KEY_STATEMENT)
        if stated is None or stated[1] != entry:
            extend_log(tx, head, [entry])
            tx.logs.put_control(self.origin, Kind.KEY_STATEMENT, head.size, entry)

    def anchor(self, tx: Transaction, head: LogHead) -> None:
        """Record where an exchange log or a mirror ends, in the transaction that made it so.

        Between the anchors of two bundles nothing can be put in later, and none can be left
        out: whoever rewrites the exchange log has to rewrite this log too.
        """
        entry = AnchorEntry(origin=head.origin, size=head.size, root=head.edge.root())
        self.append(tx, [encode_entry(entry)])

    def next_place(self, tx: Transaction) -> int:
        """Return the place that the next event of this transaction will have."""
        return first_place(self.generation) + ensure_log(tx, self.origin, LogKind.AUDIT).size

    def append(self, tx: Transaction, entries: Sequence[bytes]) -> int:
        """Append encoded events and return the place of the first."""
        head = ensure_log(tx, self.origin, LogKind.AUDIT)
        extend_log(tx, head, entries)
        return first_place(self.generation) + head.size
