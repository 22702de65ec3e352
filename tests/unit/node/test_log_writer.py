"""Appending: entries, edge and rows together, only behind the head that the caller knows."""

from __future__ import annotations

import pytest

from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import AnchorEntry, KeyStatementEntry, Kind, encode_entry
from gateway.core.merkle import Hash, consistency_proof, hash_leaf, inclusion_proof, root_of, verify_inclusion
from gateway.errors import StoreError
from gateway.node.log_writer import (
    LogHashes,
    append_bundle,
    ensure_log,
    extend_log,
    note_time_s,
    put_controls,
)
from gateway.node.pair import Pair
from gateway.ports import LogKind, Step, StoredNote
from gateway.storage.store import SqlStore
from tests.world import WorldKeyring

ENTRIES = [encode_entry(AnchorEntry(origin="log", size=number, root=bytes(32))) for number in range(600)]


async def test_a_log_is_created_once_and_grows_behind_its_head(store: SqlStore, pair: Pair) -> None:
    origin = pair.exchange_origin
    empty = await store.write(Step.SETUP, lambda tx: ensure_log(tx, origin, LogKind.EXCHANGE))
    head = await store.write(Step.SEQUENCED, lambda tx: extend_log(tx, empty, ENTRIES[:3]))

    assert (empty.size, head.size) == (0, 3)
    assert head.edge.root() == root_of([hash_leaf(entry) for entry in ENTRIES[:3]])
    assert await store.write(Step.SETUP, lambda tx: ensure_log(tx, origin, LogKind.EXCHANGE)) == head
    with pytest.raises(StoreError):
        await store.write(Step.SEQUENCED, lambda tx: extend_log(tx, empty, ENTRIES[3:4]))


async def test_proofs_of_a_stored_log_hold_at_every_size(store: SqlStore, pair: Pair) -> None:
    origin = pair.exchange_origin
    empty = await store.write(Step.SETUP, lambda tx: ensure_log(tx, origin, LogKind.EXCHANGE))
    head = await store.write(Step.SEQUENCED, lambda tx: extend_log(tx, empty, ENTRIES))
    leaves = [hash_leaf(entry) for entry in ENTRIES]

    for index in (0, 255, 256, 511, 599):
        proof = await store.read(
            lambda tx, at=index: inclusion_proof(
                leaf_index=at, tree_size=600, reader=LogHashes(tx.logs, origin)
            )  # type: ignore[misc]
        )
        verify_inclusion(
            leaf_hash=leaves[index],
            leaf_index=index,
            tree_size=600,
            proof=proof,
            root_hash=head.edge.root(),
        )
    await store.read(
        lambda tx: consistency_proof(old_size=300, new_size=600, reader=LogHashes(tx.logs, origin))
    )


async def test_a_bundle_of_control_entries_waits_to_be_signed(store: SqlStore, pair: Pair) -> None:
    origin = pair.exchange_origin
    statement = encode_entry(KeyStatementEntry(statement=b"statement"))

    await store.write(Step.SETUP, lambda tx: append_bundle(tx, origin, ENTRIES[:2], at_ms=1))
    head = await store.write(Step.SETUP, lambda tx: append_bundle(tx, origin, [statement], at_ms=2))

    first, second = await store.read(lambda tx: tx.outbox.bundles_from(0, limit=9))
    assert ((first.start, first.end), (second.start, second.end)) == ((0, 2), (2, 3))
    assert (second.note, second.box, second.messages, second.sequenced_ms) == (None, None, 0, 2)
    assert second.root == head.edge.root()
    found = await store.read(lambda tx: tx.logs.newest_control(origin, Kind.KEY_STATEMENT))
    assert found == (2, statement)


async def test_only_entries_that_change_how_a_log_is_read_are_controls(store: SqlStore, pair: Pair) -> None:
    origin = pair.exchange_origin
    statement = encode_entry(KeyStatementEntry(statement=b"statement"))

    def put(tx: object) -> None:
        ensure_log(tx, origin, LogKind.EXCHANGE)  # type: ignore[arg-type]
        put_controls(tx, origin, 5, [ENTRIES[0], statement, b"nothing"])  # type: ignore[arg-type]

    await store.write(Step.SETUP, put)

    assert await store.read(lambda tx: tx.logs.newest_control(origin, Kind.KEY_STATEMENT)) == (6, statement)
    assert await store.read(lambda tx: tx.logs.newest_control(origin, Kind.ANCHOR)) is None


def test_the_time_of_a_note_is_what_it_says_and_else_when_it_was_stored(
    pair: Pair, keyring: WorldKeyring
) -> None:
    origin = pair.exchange_origin
    checkpoint = Checkpoint(origin=origin, size=1, root=Hash(bytes(32)))
    note = sign_checkpoint(checkpoint, signer=keyring.log_signer(origin, keyring.statement), time_s=77)
    stored = StoredNote(origin=origin, size=1, root=checkpoint.root, at_ms=50_000, note=note)

    assert note_time_s(stored, keyring.own_verifiers(origin)) == 77
    # Signed by a key that was rotated since.
    assert note_time_s(stored, keyring.own_verifiers(pair.audit_origin)) == 50
