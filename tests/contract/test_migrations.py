"""A database of the first release, on either server, becomes one of this version with all that it holds."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from gateway.core.envelope import Header
from gateway.core.merkle import Hash
from gateway.core.states import Precedence
from gateway.ports import CollectionRow, SentBundle, Step, Transaction
from gateway.storage.engine import Database
from gateway.storage.schema import MIGRATIONS
from gateway.storage.store import SqlStore
from tests.contract.builders import BOSTON, LYON, NEWARK, OWN, identifier

RELEASED = "0005"
DIGEST = bytes(range(48))
ID = identifier("a message")
HEADER = Header(
    message_id=ID,
    created_ms=1_795_937_832_622,
    expires_ms=1_795_947_832_622,
    from_node="fr.gateway.test",
    to_node="us.gateway.test",
    from_agency=LYON,
    to_agencies=(NEWARK, BOSTON),
    type="assist.request/1",
    type_digest=DIGEST,
    precedence=Precedence.ROUTINE,
    marking_level=2,
    conversation_id=ID,
    attachments_bytes=0,
)
ENTRIES = [b"entry %d" % number for number in range(700)]
ROWS: dict[str, list[dict[str, Any]]] = {
    "logs": [{"id": 1, "origin": OWN, "kind": "exchange", "size": 700, "root": b"", "edge": b"", "epoch": 0}],
    "entries": [{"log_id": 1, "leaf_index": index, "entry": entry} for index, entry in enumerate(ENTRIES)],
    "notes": [
        {"number": 1, "size": 3, "cosigned": False, "note": None},
        {"number": 2, "size": 600, "cosigned": True, "note": b"cosigned"},
        {"number": 3, "size": 700, "cosigned": False, "note": b"signed"},
    ],
    "messages": [
        {
            "number": 1,
            "outgoing": True,
            "state": 2,
            "message_id": ID,
            "header": HEADER.encode(),
            "type": HEADER.type,
            "from_agency": LYON,
            "to_agencies": f"{NEWARK} {BOSTON}",
            "conversation_id": ID,
            "seq": 1,
            "purpose": "CUSTOMS_ENFORCEMENT",
            "reply_by_ms": 40,
            "closes": False,
            "rank": 3,
            "created_ms": HEADER.created_ms,
            "expires_ms": HEADER.expires_ms,
            "arrived_ms": 5,
            "log_index": 3,
            "sendings": 1,
            "flags": "",
        }
    ],
    "addressees": [
        {"number": 1, "position": 0, "agency": NEWARK, "collected_ms": None, "log_index": None},
        {"number": 1, "position": 1, "agency": BOSTON, "collected_ms": 50, "log_index": 9},
    ],
    "contents": [{"number": 1, "ciphertext": b"ciphertext", "wrapped_key": b"key"}],
    "open_requests": [{"number": 1, "agency": LYON, "due_ms": 40, "conversation_id": ID}],
    "voids": [{"conversation_id": ID, "agency": NEWARK, "seq": seq, "due": False} for seq in (2, 3, 7)],
    "idempotency": [
        {"agency": LYON, "key": str(UUID(bytes=ID)), "body_digest": DIGEST, "message_id": ID, "at_ms": 5},
        {"agency": LYON, "key": "k", "body_digest": DIGEST, "message_id": identifier("b"), "at_ms": 5},
    ],
    "bundles": [
        {"start": 0, "stop": 600, "box": None, "note": None, "delivered": True},
        {"start": 600, "stop": 700, "box": b"box", "note": b"signed", "delivered": False},
    ],
}
COMMON: dict[str, dict[str, Any]] = {
    "notes": {"log_id": 1, "root": bytes(32), "at_ms": 5, "hourly": False},
    "bundles": {"root": bytes(32), "sequenced_ms": 5, "messages": 1},
}


def _bundle(start: int, count: int, box: bytes | None, note: bytes | None) -> SentBundle:
    return SentBundle(
        start=start, count=count, root=Hash(bytes(32)), box=box, note=note, sequenced_ms=5, messages=1
    )


def _make_released(url: str) -> None:
    """Make a database as the first release left it."""
    database = Database.at(url, read_only=False)
    database.acquire(wait_s=0)
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, RELEASED)
        for name, rows in ROWS.items():
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            connection.execute(sa.insert(table), [COMMON.get(name, {}) | row for row in rows])
    database.release()


async def test_what_the_first_release_stored_is_read_by_this_one(empty_url: str) -> None:
    _make_released(empty_url)

    store = SqlStore.open(empty_url)

    def look(tx: Transaction) -> None:
        assert tx.logs.entries(OWN, 0, 700) == ENTRIES
        newest, cosigned = tx.logs.newest_note(OWN), tx.logs.newest_note(OWN, cosigned=True)
        assert newest is not None
        assert cosigned is not None
        assert [(note.size, note.note) for note in (newest, cosigned)] == [
            (700, b"signed"),
            (600, b"cosigned"),
        ]
        assert tx.outbox.bundles_from(0, limit=9) == [
            _bundle(0, 600, None, None),
            _bundle(600, 100, b"box", b"signed"),
        ]
        assert tx.threads.content(ID) == (HEADER.encode(), b"ciphertext", b"key")
        assert tx.outbox.addressees(ID) == [
            CollectionRow(agency=NEWARK, collected_ms=None, log_index=None),
            CollectionRow(agency=BOSTON, collected_ms=50, log_index=9),
        ]
        (request,) = tx.threads.open_requests(LYON, after=(-1, 0), limit=9)
        assert (request.conversation_id, request.due_ms, request.number) == (ID, 40, 1)
        assert tx.threads.missing_numbers(ID) == {NEWARK: [1, 4, 5, 6]}
        assert tx.threads.last_numbers([(ID, NEWARK)]) == {(ID, NEWARK): 7}
        assert tx.facts.idempotent([(LYON, ID), (LYON, "k"), (LYON, str(UUID(bytes=ID)))]) == {
            (LYON, ID): (DIGEST[:16], ID),
            (LYON, "k"): (DIGEST, identifier("b")),
        }

    await store.read(look)
    # What is declared void from now on stands beside what was declared before.
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_void(ID, NEWARK, [3, 4, 7]))
    assert await store.read(lambda tx: tx.threads.missing_numbers(ID)) == {NEWARK: [1, 5, 6]}
    await store.close()
