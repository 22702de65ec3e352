"""What a node answers, from the rows that are due."""

from __future__ import annotations

from pathlib import Path

from gateway.core.entries import ReceiptEntry, decode_entry
from gateway.core.merkle import Hash
from gateway.node.answers import Answers
from gateway.node.audit_log import AuditLog
from gateway.ports import ReceiptDue, Step, Transaction
from gateway.storage.store import SqlStore
from tests.databases import put_database
from tests.world_parts import pair_of


async def test_a_receipt_for_several_ranges_names_the_latest_time_at_which_one_was_decided(
    tmp_path: Path,
) -> None:
    """A clock that was set back in between would else let a message seem to have expired early."""
    put_database(tmp_path / "gateway.db")
    store = SqlStore.open(f"sqlite:///{tmp_path / 'gateway.db'}")
    pair = pair_of("US")

    def receipts(tx: Transaction) -> list[bytes]:
        for start, decided_ms in ((0, 9_000), (4, 5_000)):
            due = ReceiptDue(start=start, count=4, root=Hash(bytes(32)), decided_ms=decided_ms, exceptions=())
            tx.inbox.put_receipt_due(due)
        return Answers(pair=pair, audit=AuditLog(pair)).take(tx, 0)[0]

    (entry,) = map(decode_entry, await store.write(Step.SEQUENCED, receipts))
    await store.close()

    assert isinstance(entry, ReceiptEntry)
    assert (entry.start, entry.count, entry.decided_ms) == (0, 8, 9_000)
