"""Small things: idempotency keys, incidents, settings of the pair.

Spec: docs/storage.md, "Tables".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from gateway.core.merkle import Hash
from gateway.ports import Attestation, AttestationKind, Incident, PostName
from gateway.storage.engine import replace_row
from gateway.storage.session import Session
from gateway.storage.statements import ListStatement, Statement
from gateway.storage.tables import Big, attestations, contents, idempotency, incidents, messages, settings

_bind: Final = sa.bindparam

_USED: Final = ListStatement(
    lambda items: sa.select(idempotency.c.key, idempotency.c.body_digest, idempotency.c.message_id).where(
        idempotency.c.agency == _bind("by"), idempotency.c.key.in_(items)
    )
)
_POSTED: Final = ListStatement(
    lambda items: (
        # By id alone: with the agency in it SQLite would rather walk all that the agency ever posted.
        sa.select(
            messages.c.from_agency,
            messages.c.message_id,
            messages.c.outgoing,
            contents.c.number,
            contents.c.post_digest,
        )
        .select_from(messages.outerjoin(contents, contents.c.number == messages.c.number))
        .where(messages.c.message_id.in_(items))
    )
)
_USE: Final = Statement(sa.insert(idempotency), row=("agency", "key", "body_digest", "message_id", "at_ms"))
_AGES: Final = Statement(
    # Along the primary key: an index by age would be one more write for each message.
    sa.select(idempotency.c.agency, idempotency.c.key, idempotency.c.at_ms)
    .where(sa.tuple_(idempotency.c.agency, idempotency.c.key) > sa.tuple_(_bind("by"), _bind("above")))
    .order_by(idempotency.c.agency, idempotency.c.key)
    .limit(_bind("most", type_=Big))
)
_FORGET: Final = Statement(
    sa.delete(idempotency).where(idempotency.c.agency == _bind("by"), idempotency.c.key == _bind("which")),
    row=("by", "which"),
)
_INCIDENT_COLUMNS: Final = tuple(c for c in incidents.columns if c is not incidents.c.number)
_LAST_INCIDENT: Final = Statement(sa.select(sa.func.max(incidents.c.number)))
_PUT_INCIDENT: Final = Statement(sa.insert(incidents), row=[column.name for column in incidents.columns])
_INCIDENTS: Final = Statement(
    sa.select(*_INCIDENT_COLUMNS).order_by(incidents.c.number.desc()).limit(_bind("most", type_=Big))
)
_ATTESTED: Final = Statement(replace_row(attestations), row=[column.name for column in attestations.columns])
_ATTESTATIONS: Final = Statement(
    sa.select(*attestations.columns)
    .where(attestations.c.origin == _bind("of"))
    .order_by(attestations.c.kind, attestations.c.name, attestations.c.size)
)
_ATTESTED_SIZE: Final = Statement(
    sa.select(sa.func.max(attestations.c.size)).where(
        attestations.c.origin == _bind("of"),
        attestations.c.kind == _bind("how"),
        attestations.c.name == _bind("by"),
    )
)
_GET: Final = Statement(sa.select(settings.c.value).where(settings.c.key == _bind("name")))
_PUT: Final = Statement(replace_row(settings), row=("key", "value"))
_REMOVE: Final = Statement(sa.delete(settings).where(settings.c.key == _bind("name")))


class SqlFacts:
    """Implements `gateway.ports.Facts` on a session."""

    def __init__(self, session: Session) -> None:
        """Work on this session."""
        self._session = session

    def idempotent(self, names: Iterable[PostName]) -> dict[PostName, tuple[bytes, bytes]]:
        """Return (body digest, message id) by name for the names of posts that were used.

        The digest is empty once the message is erased.
        """
        keys: defaultdict[str, list[str]] = defaultdict(list)
        ids: set[tuple[str, bytes]] = set()
        for agency, name in names:
            if isinstance(name, bytes):
                ids.add((agency, name))
            else:
                keys[agency].append(name)
        found: dict[PostName, tuple[bytes, bytes]] = {
            (agency, key): (digest, message_id)
            for agency, wanted in keys.items()
            for key, digest, message_id in self._session.listed(_USED, wanted, by=agency)
        }
        for agency, message_id, outgoing, content, digest in self._session.listed(
            _POSTED, [message_id for _, message_id in ids]
        ):
            if not outgoing or (agency, message_id) not in ids:
                continue
            if content is None:
                found[agency, message_id] = b"", message_id
            elif digest is not None:
                found[agency, message_id] = digest, message_id
        return found

    def put_idempotent(self, rows: Sequence[tuple[str, str, bytes, bytes, int]]) -> None:
        """Store (agency, key, body digest, message id, time) rows of posts that gave a key."""
        self._session.many(_USE, rows)

    def forget_idempotent(
        self, *, after: tuple[str, str], before_ms: int, limit: int
    ) -> tuple[tuple[str, str] | None, int]:
        """Forget used keys older than a time, at most ``limit`` looked at; return where to go on."""
        rows = self._session.all(_AGES, by=after[0], above=after[1], most=limit)
        old = [(agency, key) for agency, key, at_ms in rows if at_ms < before_ms]
        self._session.many(_FORGET, old)
        return (rows[-1][0], rows[-1][1]) if len(rows) == limit else None, len(old)

    def put_incident(self, incident: Incident) -> None:
        """Keep an incident."""
        last = self._session.first(_LAST_INCIDENT)
        row = (
            1 + (last[0] or 0 if last else 0),
            incident.kind,
            incident.origin,
            incident.size,
            incident.root,
            incident.at_ms,
            incident.note_a,
            incident.note_b,
        )
        self._session.many(_PUT_INCIDENT, [row])

    def incidents(self, *, limit: int) -> list[Incident]:
        """Return incidents, newest first."""
        return [
            Incident(
                kind=kind, origin=origin, size=size, root=root, at_ms=at_ms, note_a=note_a, note_b=note_b
            )
            for kind, origin, size, root, at_ms, note_a, note_b in self._session.all(_INCIDENTS, most=limit)
        ]

    def put_attestation(self, attestation: Attestation) -> None:
        """Keep what a third party says of a checkpoint; a newer word on the same size replaces it."""
        row = (
            attestation.origin,
            str(attestation.kind),
            attestation.name,
            attestation.size,
            attestation.root,
            attestation.at_ms,
            attestation.evidence,
        )
        self._session.many(_ATTESTED, [row])

    def attestations(self, origin: str) -> list[Attestation]:
        """Return everything that third parties said of a log, by kind, name and size."""
        return [
            Attestation(
                origin=log,
                kind=AttestationKind(kind),
                name=name,
                size=size,
                root=Hash(root),
                at_ms=at_ms,
                evidence=evidence,
            )
            for log, kind, name, size, root, at_ms, evidence in self._session.all(_ATTESTATIONS, of=origin)
        ]

    def attested_size(self, origin: str, kind: AttestationKind, name: str) -> int:
        """Return the largest size of a log that a third party has vouched for, or 0."""
        row = self._session.first(_ATTESTED_SIZE, of=origin, how=str(kind), by=name)
        return 0 if row is None or row[0] is None else int(row[0])

    def get(self, key: str) -> str | None:
        """Return a setting."""
        row = self._session.first(_GET, name=key)
        return None if row is None else row[0]

    def put(self, key: str, value: str | None) -> None:
        """Store a setting, or remove it with None."""
        if value is None:
            self._session.change(_REMOVE, name=key)
        else:
            self._session.many(_PUT, [(key, value)])
