"""The same work in bare building blocks, measured in the same run: what it has to cost.

Each block is one step of a message's or a bundle's way, called directly, in one thread,
without network, tasks or queues. Their sum, times how often a message or bundle needs
them, is the *limit*: what both nodes would need if everything around these steps were
free. It moves with the machine as the nodes do, so the ratio of the two says something on
any machine, on any day.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.catalogue import read_catalogue, read_lists
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import cosign, sign_checkpoint, verify_cosignature, verify_log_note
from gateway.core.entries import MessageEntry, decode_entry, encode_entry
from gateway.core.envelope import SUITE, decode_header, header_of
from gateway.core.keybox import BoxBinding, KemPrivateKey, open_box, seal_box
from gateway.core.merkle import EMPTY_ROOT, RightEdge, append, hash_leaf
from gateway.core.message.compiled import compile_schema
from gateway.core.message.draft import Sender, complete
from gateway.core.message.examine import examine_document
from gateway.core.message.instants import moment_ms
from gateway.core.message.strict_json import begin_json, parse_json
from gateway.core.message.warning import warnings_of
from gateway.core.sealing import ContentKey, KeyWrap, StorageKey, open_content, seal_content
from gateway.core.signature import SoftwareSigner
from scripts._bench.apart import apart_blocks, apart_us
from scripts._bench.messages import make_templates, stamped
from scripts._bench.timing import Block, measure

BATCH: Final = 100
"""Messages of a bundle and rows of a commit, where a block works on many."""

CORES: Final = 2
_FILLED_IN: Final = frozenset(
    {
        *("schema_version", "message_id", "created_at", "expires_at", "reply_by", "from", "conversation"),
        *("marking", "handling", "use", "legal_basis", "data_protection"),
    }
)
"""Header fields that a draft leaves out."""

_NODES: Final = {"FR": "fr.gateway.test", "US": "us.gateway.test"}


def run_blocks(*, folder: Path, slice_s: float = 0.04, slices: int = 5) -> dict[str, Any]:
    """Return every block's time, the limit they give, and the comparisons drawn from them.

    Args:
        folder: On the disk whose commits are measured.
        slice_s: About how long a slice runs.
        slices: Slices of each block.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name, closing(_database(Path(name))) as connection:
        own = [*_message_blocks(), *_bundle_blocks(), _commit_block(connection)]
        times = measure([*own, *apart_blocks()], slice_s=slice_s, slices=slices)
    return {"us": times, **sums(own, {block: item["cpu_us"] for block, item in times.items()})}


def sums(blocks: Sequence[Block], cpu_us: dict[str, float]) -> dict[str, Any]:
    """Return what the blocks cost together.

    Args:
        blocks: Those of the exchange.
        cpu_us: Time of each block, and of those that `scripts._bench.apart` adds.
    """
    return {
        "per_message_us": sum(block.per_message * cpu_us[block.name] for block in blocks),
        "per_bundle_us": sum(block.per_bundle * cpu_us[block.name] for block in blocks),
        # What nobody who validates JSON in Python can avoid, at both nodes.
        "parsing_us": 2 * (cpu_us["json_decode"] + cpu_us["schema"]),
        # What the checks of this project cost over the bare libraries below them.
        "over_libraries": {
            "schema_and_rules": cpu_us["schema_and_rules"] / (cpu_us["json_decode"] + cpu_us["schema"]),
            "strict_json": cpu_us["strict_json"] / cpu_us["json_decode"],
        },
        "apart": {
            name: {"us_per_message": value, "per_s_on_2_cores": CORES * 1e6 / value}
            for name, value in apart_us(cpu_us).items()
        },
    }


def limit_us(blocks: dict[str, Any], bundle_messages: float) -> float:
    """Return the CPU microseconds that both nodes need for a message at least.

    Args:
        blocks: Result of `run_blocks`.
        bundle_messages: Messages a bundle, which share its signatures and box.
    """
    return float(blocks["per_message_us"]) + float(blocks["per_bundle_us"]) / max(bundle_messages, 1.0)


def _message_blocks() -> list[Block]:
    """Return the steps of a message, with the number of times both nodes do them."""
    now = datetime.now(UTC)
    now_ms = moment_ms(now)
    catalogue, lists = read_catalogue(), read_lists()
    bodies = [body for _, _, body in stamped(make_templates("FR", now=now), BATCH)]
    documents = [parse_json(body) for body in bodies]
    types = [catalogue.type(document["type"]) for document in documents]
    # Each by itself, as anybody would validate them.
    compiled = {kind.id: compile_schema(kind.bundled) for kind in types}
    alone = [compiled[kind.id] for kind in types]
    headers = [
        header_of(document, from_node=_NODES["FR"], to_node=_NODES["US"], type_digest=kind.digest)
        for document, kind in zip(documents, types, strict=True)
    ]
    encoded = [header.encode() for header in headers]
    key, key_wrap = ContentKey(os.urandom(32)), KeyWrap(StorageKey(os.urandom(32)))
    ciphertexts = [
        seal_content(body, content_key=key, header=header)
        for body, header in zip(bodies, encoded, strict=True)
    ]
    entries = [
        MessageEntry(
            header=header,
            kem_key_id=bytes(8),
            bundle_id=os.urandom(16),
            slot=slot,
            box_digest=os.urandom(48),
            ciphertext_digest=os.urandom(48),
            ciphertext_bytes=len(ciphertexts[slot]),
        )
        for slot, header in enumerate(encoded)
    ]
    encoded_entries = [encode_entry(entry) for entry in entries]
    ids = [header.message_id for header in headers]
    wrapped = [key_wrap.wrap(key, message_id=message_id) for message_id in ids]
    drafts = [_draft_of(document) for document in documents]
    senders = [
        Sender(nation="FR", agency=document["header"]["from"]["agency"], unit=None) for document in documents
    ]

    def finish(n: int) -> Any:
        return complete(
            drafts[n % BATCH],
            catalogue=catalogue,
            sender=senders[n % BATCH],
            peer_nation="US",
            now_ms=now_ms,
            new_id=lambda: ids[0],
            parent=None,
        )

    def check_schema(n: int) -> Any:
        return alone[n % BATCH].is_valid(documents[n % BATCH])

    def check_all(n: int) -> Any:
        found = examine_document(documents[n % BATCH], catalogue=catalogue, now_ms=now_ms)
        return found or warnings_of(documents[n % BATCH], types[n % BATCH], lists)

    return [
        Block(name="json_decode", call=lambda n: orjson.loads(bodies[n % BATCH])),
        Block(name="schema", call=check_schema),
        # By itself, for the comparison; in the exchange the schema tells what `begin_json` leaves open.
        Block(name="strict_json", call=lambda n: parse_json(bodies[n % BATCH])),
        Block(name="begin_json", call=lambda n: begin_json(bodies[n % BATCH]), per_message=2),
        Block(
            name="schema_and_rules",
            call=check_all,
            per_message=2,
        ),
        Block(name="complete_draft", call=finish, per_message=1),
        Block(name="json_encode", call=lambda n: orjson.dumps(documents[n % BATCH]), per_message=1),
        # The body for idempotency; the ciphertext at both nodes, for the entry and against it.
        Block(name="sha384", call=lambda n: hashlib.sha384(bodies[n % BATCH]).digest(), per_message=3),
        Block(
            name="header",
            call=lambda n: header_of(
                documents[n % BATCH],
                from_node=_NODES["FR"],
                to_node=_NODES["US"],
                type_digest=types[n % BATCH].digest,
            ).encode(),
            per_message=2,
        ),
        Block(name="write_entry", call=lambda n: encode_entry(entries[n % BATCH]), per_message=1),
        Block(
            name="read_entry",
            # Both layers: the entry, and the header inside it.
            call=lambda n: (decode_entry(encoded_entries[n % BATCH]), decode_header(encoded[n % BATCH])),
            per_message=1,
        ),
        Block(
            name="seal_content",
            call=lambda n: seal_content(bodies[n % BATCH], content_key=key, header=encoded[n % BATCH]),
            per_message=1,
        ),
        Block(
            name="open_content",
            call=lambda n: open_content(ciphertexts[n % BATCH], content_key=key, header=encoded[n % BATCH]),
            per_message=1,
        ),
        Block(
            name="wrap_key",
            call=lambda n: key_wrap.wrap(key, message_id=ids[n % BATCH]),
            per_message=2,
        ),
        Block(
            name="unwrap_key",
            call=lambda n: key_wrap.unwrap(wrapped[n % BATCH], message_id=ids[n % BATCH]),
            per_message=1,
        ),
    ]


def _draft_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return a message as an agency would write it that leaves to the node what the node can fill in."""
    header = {name: value for name, value in document["header"].items() if name not in _FILLED_IN}
    return {**document, "header": header}


def _bundle_blocks() -> list[Block]:
    """Return the steps of a bundle: its entries' tree, box, signatures and their verification."""
    log = SoftwareSigner(
        name=f"{_NODES['FR']}/exchange/us", ed25519_seed=os.urandom(32), mldsa87_seed=os.urandom(32)
    )
    peer = SoftwareSigner(name=_NODES["US"], ed25519_seed=os.urandom(32), mldsa87_seed=os.urandom(32))
    entries = [os.urandom(450) for _ in range(BATCH)]
    leaves = [hash_leaf(entry) for entry in entries]
    edge = append(RightEdge.empty(), [EMPTY_ROOT] * 1_001).edge
    checkpoint = Checkpoint(origin=log.name, size=edge.size, root=edge.root())
    note = sign_checkpoint(checkpoint, signer=log, time_s=1)
    cosigned = cosign(note, cosigner=peer, time_s=1)
    private = KemPrivateKey.from_seed(os.urandom(32))
    binding = BoxBinding(
        suite=SUITE,
        sender_origin=log.name,
        receiver_node=_NODES["US"],
        kem_key_id=private.key_id,
        bundle_id=os.urandom(16),
        count=BATCH,
    )
    keys = [ContentKey(os.urandom(32)) for _ in range(BATCH)]
    box = seal_box(keys, public_key=private.public_key, binding=binding)
    return [
        Block(name="hash_leaf", call=lambda n: hash_leaf(entries[n % BATCH]), per_message=2),
        Block(name="tree_leaf", call=lambda _: append(edge, leaves).edge.root(), per_message=2, each=BATCH),
        Block(
            name="seal_box",
            call=lambda _: seal_box(keys, public_key=private.public_key, binding=binding),
            per_bundle=1,
        ),
        Block(
            name="open_box", call=lambda _: open_box(box, private_key=private, binding=binding), per_bundle=1
        ),
        # The sender's bundle and the receiver's, which carries the receipt.
        Block(
            name="sign_note", call=lambda _: sign_checkpoint(checkpoint, signer=log, time_s=1), per_bundle=2
        ),
        Block(
            name="verify_note",
            # And the sender's own lines in the note that comes back cosigned.
            call=lambda _: verify_log_note(note, verifier=log.verifier),
            per_bundle=3,
        ),
        Block(name="cosign", call=lambda _: cosign(note, cosigner=peer, time_s=1), per_bundle=1),
        Block(
            name="verify_cosignature",
            call=lambda _: verify_cosignature(cosigned, cosigner=peer.verifier),
            per_bundle=1,
        ),
    ]


def _database(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "block.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE contents (number INTEGER PRIMARY KEY, ciphertext BLOB, wrapped_key BLOB)"
    )
    return connection


def _commit_block(connection: sqlite3.Connection) -> Block:
    """Return the bare durable commit of a batch of ciphertexts, per row."""
    rows = [(os.urandom(2_232), os.urandom(48)) for _ in range(BATCH)]

    def commit(_: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO contents (ciphertext, wrapped_key) VALUES (?, ?)", rows)
        connection.execute("COMMIT")

    return Block(name="commit_row", call=commit, per_message=2, each=BATCH)
