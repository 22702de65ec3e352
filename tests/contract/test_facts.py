"""Idempotency keys, incidents, settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.merkle import Hash
from gateway.errors import StoreError
from gateway.ports import Attestation, AttestationKind, Incident, Step
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, NICE, OWN, digest, identifier, incoming, outgoing


async def test_used_keys_are_found_for_their_agency_only(store: SqlStore) -> None:
    rows = [
        (LYON, "a", b"digest a", identifier("a"), 1),
        (LYON, "b", b"digest b", identifier("b"), 2),
        (NICE, "a", b"digest of nice", identifier("n"), 3),
    ]
    await store.write(Step.ACCEPTED, lambda tx: tx.facts.put_idempotent(rows))
    asked = [(LYON, "a"), (LYON, "c"), (NICE, "a"), (NICE, "b")]
    assert await store.read(lambda tx: tx.facts.idempotent(asked)) == {
        (LYON, "a"): (b"digest a", identifier("a")),
        (NICE, "a"): (b"digest of nice", identifier("n")),
    }
    assert await store.read(lambda tx: tx.facts.idempotent([])) == {}


async def test_a_post_that_gave_no_key_is_known_by_the_id_of_its_message(store: SqlStore) -> None:
    posted = replace(outgoing("a"), post_digest=b"digest a")
    keyed = outgoing("b")
    arrived = replace(incoming("c", log_index=0), post_digest=b"not posted here")
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([posted, keyed]))
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([arrived]))
    sender = posted.from_agency
    asked = [(sender, identifier(name)) for name in "abc"] + [("FR.OTHER", identifier("a"))]
    assert await store.read(lambda tx: tx.facts.idempotent([*asked, (sender, "a")])) == {
        (sender, identifier("a")): (b"digest a", identifier("a"))
    }


async def test_a_key_is_used_once(store: SqlStore) -> None:
    row = (LYON, "a", b"digest", identifier("a"), 1)
    await store.write(Step.ACCEPTED, lambda tx: tx.facts.put_idempotent([row]))
    with pytest.raises(StoreError):
        await store.write(Step.ACCEPTED, lambda tx: tx.facts.put_idempotent([row]))


async def test_incidents_come_newest_first(store: SqlStore) -> None:
    incidents = [
        Incident(kind=1, origin=OWN, size=5, root=digest(1), at_ms=10, note_a=b"a", note_b=b"b"),
        Incident(kind=7, origin=OWN, size=0, root=digest(2), at_ms=5),
        Incident(kind=6, origin=OWN, size=9, root=digest(3), at_ms=20),
    ]
    for incident in incidents:
        await store.write(Step.AUDITED, lambda tx, i=incident: tx.facts.put_incident(i))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.facts.incidents(limit=10)) == incidents[::-1]
    assert await store.read(lambda tx: tx.facts.incidents(limit=1)) == incidents[2:]


async def test_a_setting_is_stored_replaced_and_removed(store: SqlStore) -> None:
    for value in ("frozen", "thawed", None, None):
        await store.write(Step.SETUP, lambda tx, v=value: tx.facts.put("pair", v))  # type: ignore[misc]
        assert await store.read(lambda tx: tx.facts.get("pair")) == value


async def test_what_third_parties_say_is_kept_by_log_kind_name_and_size(store: SqlStore) -> None:
    def said(kind: AttestationKind, size: int, evidence: bytes, *, origin: str = OWN) -> Attestation:
        return Attestation(
            origin=origin,
            size=size,
            root=Hash(digest(size)),
            kind=kind,
            name="x",
            at_ms=size,
            evidence=evidence,
        )

    stamps = [said(AttestationKind.STAMP, size, b"stamp") for size in (7, 9)]
    witness = said(AttestationKind.WITNESS, 8, b"note")
    foreign = said(AttestationKind.STAMP, 99, b"stamp", origin="other.gateway.test/audit")
    for item in (stamps[1], witness, stamps[0], foreign):
        await store.write(Step.ATTESTED, lambda tx, i=item: tx.facts.put_attestation(i))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.facts.attestations(OWN)) == [*stamps, witness]
    assert await store.read(lambda tx: tx.facts.attested_size(OWN, AttestationKind.STAMP, "x")) == 9
    assert await store.read(lambda tx: tx.facts.attested_size(OWN, AttestationKind.WITNESS, "x")) == 8
    assert await store.read(lambda tx: tx.facts.attested_size(OWN, AttestationKind.WITNESS, "y")) == 0

    newer = said(AttestationKind.WITNESS, 8, b"a later note")
    await store.write(Step.ATTESTED, lambda tx: tx.facts.put_attestation(newer))
    assert await store.read(lambda tx: tx.facts.attestations(OWN)) == [*stamps, newer]


async def test_old_keys_are_forgotten_in_a_walk_that_goes_on_where_it_ended(store: SqlStore) -> None:
    rows = [
        (agency, f"key {n}", digest(n), digest((agency, n))[:16], 100 if n % 2 else 900)
        for agency in (LYON, NICE)
        for n in range(4)
    ]
    await store.write(Step.ACCEPTED, lambda tx: tx.facts.put_idempotent(rows))

    place: tuple[str, str] | None = ("", "")
    counts = []
    while place is not None:
        place, count = await store.write(
            Step.FORGOTTEN,
            lambda tx, at=place: tx.facts.forget_idempotent(after=at, before_ms=900, limit=3),  # type: ignore[misc]
        )
        counts.append(count)

    assert counts == [1, 2, 1]
    left = await store.read(lambda tx: tx.facts.idempotent({(row[0], row[1]) for row in rows}))
    assert set(left) == {(agency, key) for agency, key, _, _, at_ms in rows if at_ms == 900}
    ended = await store.write(
        Step.FORGOTTEN, lambda tx: tx.facts.forget_idempotent(after=("", ""), before_ms=0, limit=100)
    )
    assert ended == (None, 0)
