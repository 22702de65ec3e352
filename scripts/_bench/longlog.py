"""Logs of millions of entries, made quickly: what two nodes find that have exchanged for years.

Two homes whose nodes have exchanged a little and stopped get what the next ten million
message entries would have left in the *logs*, in both databases and written by the product's
own functions in large transactions: entries, tile hashes and heads of the sender's log and of
its mirror, a bundle and the facts of its notes for each thousand entries, the acceptances in the
sender's audit log and the anchors in both, the receiver's receipts in its own log and their
mirror. At the end both logs are signed, the sender's is cosigned, and the high-water files say
so. `gateway.audit.verify` finds nothing wrong with any of it, and the nodes go on from there.

What is *not* there are the rows of those messages: the sender's database is like one that lost
them and was refilled from the peer (`gateway.node.refill`), which keeps the entries and the
places of messages that it does not know. Headers, ids, sizes and structure of the entries are
those of real messages; their digests are random.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from time import time
from typing import Final

from gateway.catalogue import read_catalogue
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import cosign, sign_checkpoint
from gateway.core.entries import MessageEntry, ReceiptEntry, encode_entry
from gateway.core.envelope import header_of
from gateway.core.merkle import Appended, append, hash_leaf
from gateway.core.message.strict_json import parse_json
from gateway.keyring.registry import Role, read_registry
from gateway.node.log_writer import append_bundle
from gateway.node.pair import Pair
from gateway.node.posts import agency_actor
from gateway.ports import LogHead, ReceiptDue, SentBundle, Step, StoredNote, Transaction
from scripts._bench.messages import make_templates
from scripts._bench.sides import Side, open_side

BUNDLE_ENTRIES: Final = 1_000
GROUP_BUNDLES: Final = 20
"""Bundles of one transaction, which share one receipt, as neighbouring ranges do."""

_CIPHERTEXT_BYTES: Final = 2_232


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The entries of one bundle, with the tree behind them."""

    entries: Sequence[bytes]
    ids: Sequence[bytes]
    grown: Appended


def grow_logs(sender: Path, receiver: Path, count: int) -> int:
    """Append ``count`` message entries to a node's exchange log and to its mirror.

    Args:
        sender: Home of the node that is to have sent them; it is not running.
        receiver: Home of its peer; not running either. Both have exchanged a message before.
        count: Message entries, in whole thousands.

    Returns:
        The size of the log afterwards.
    """
    return asyncio.run(_grow(sender, receiver, count))


async def _grow(sender: Path, receiver: Path, count: int) -> int:
    async with open_side(sender) as own, open_side(receiver) as peer:
        head = await _common_head(own, peer, own.pair.exchange_origin)
        await _common_head(own, peer, own.pair.peer_origin)
        runs = _runs(head, own, peer, count // BUNDLE_ENTRIES)
        while group := list(islice(runs, GROUP_BUNDLES)):
            await asyncio.gather(
                own.store.write(Step.SEQUENCED, partial(_send, own=own, group=group)),
                peer.store.write(Step.MIRRORED, partial(_mirror, peer=peer, group=group)),
            )
            await _mirror_receipt(own, peer)
        return await _sign(own, peer)


async def _common_head(own: Side, peer: Side, origin: str) -> LogHead:
    """Return where a log ends at both nodes.

    Raises:
        LookupError: One of them has less of it: something was on its way when they stopped.
    """
    heads = [await side.store.read(lambda tx: tx.logs.head(origin)) for side in (own, peer)]
    found = heads[0]
    if found is None or heads[1] is None or heads[1].edge != found.edge:
        msg = "log and mirror have to be equal before both can be made longer"
        raise LookupError(msg)
    return found


# --- entries -------------------------------------------------------------------------


def _runs(head: LogHead, own: Side, peer: Side, bundles: int) -> Iterator[_Run]:
    """Yield bundles of message entries, each with the tree that it leads to."""
    edge = head.edge
    kem_key_id = next(iter(peer.keyring.kem_keys()))
    made_ms = int(time() * 1_000)
    pieces = _pieces(own.pair, kem_key_id)
    for number in range(bundles):
        bundle_id, box_digest = os.urandom(16), os.urandom(48)
        noise = os.urandom(48 * BUNDLE_ENTRIES)
        # UUIDv7: the same millisecond, then a counter that ascends over all bundles.
        ids = [
            made_ms.to_bytes(6, "big")
            + (0x7000 | item >> 26 & 0xFFF).to_bytes(2, "big")
            + (0x8000_0000 | item & 0x3FFFFFF).to_bytes(4, "big")
            + noise[4 * slot : 4 * slot + 4]
            for slot, item in enumerate(range(number * BUNDLE_ENTRIES, (number + 1) * BUNDLE_ENTRIES))
        ]
        entries = [
            b"".join((a, i, b, i, c, bundle_id, d, box_digest, e, noise[48 * slot : 48 * slot + 48], f))
            for slot, (i, (a, b, c, d, e, f)) in enumerate(zip(ids, pieces, strict=True))
        ]
        grown = append(edge, [hash_leaf(entry) for entry in entries])
        edge = grown.edge
        yield _Run(entries=entries, ids=ids, grown=grown)


def _pieces(pair: Pair, kem_key_id: bytes) -> list[list[bytes]]:
    """Return the encoded entry of each slot, cut at what differs from bundle to bundle."""
    now = datetime.now(UTC)
    catalogue = read_catalogue()
    documents = [parse_json(template.body) for template in make_templates(pair.nation, now=now)]
    bundle_id, box_digest, digest = os.urandom(16), os.urandom(48), os.urandom(48)
    pieces: list[list[bytes]] = []
    for slot in range(BUNDLE_ENTRIES):
        document = documents[slot % len(documents)]
        header = header_of(
            document,
            from_node=pair.node,
            to_node=pair.peer_node,
            type_digest=catalogue.type(document["type"]).digest,
        )
        entry = encode_entry(
            MessageEntry(
                header=header.encode(),
                kem_key_id=kem_key_id,
                bundle_id=bundle_id,
                slot=slot,
                box_digest=box_digest,
                ciphertext_digest=digest,
                ciphertext_bytes=_CIPHERTEXT_BYTES,
            )
        )
        # Of a message that opens a conversation the id stands twice.
        start, middle, rest = entry.split(header.message_id)
        cut = [start, middle]
        for mark in (bundle_id, box_digest, digest):
            before, rest = rest.split(mark)
            cut.append(before)
        pieces.append([*cut, rest])
    return pieces


# --- transactions --------------------------------------------------------------------


def _head(tx: Transaction, origin: str) -> LogHead:
    head = tx.logs.head(origin)
    if head is None:
        msg = "there is no such log"
        raise LookupError(msg)
    return head


def _send(tx: Transaction, own: Side, group: Sequence[_Run]) -> None:
    """Do what admission, the sequencer and the courier leave in the sender's logs."""
    origin, at_ms = own.pair.exchange_origin, int(time() * 1_000)
    head = _head(tx, origin)
    holders = read_registry(own.keyring.home.registry).holders
    actor = agency_actor(next(holder.spki for holder in holders if holder.role is Role.AGENCY))
    for run in group:
        accepted = own.audit.event(at_ms=at_ms, actor=actor, event="message.accepted", objects=run.ids)
        own.audit.append(tx, accepted)
        start = head.size
        head = _extend(tx, own, head, run, at_ms, cosigned=True)
        tx.outbox.recovered(list(enumerate(run.ids, start)), at_ms=at_ms)
        tx.outbox.put_bundle(
            SentBundle(
                start=start,
                count=len(run.entries),
                root=head.edge.root(),
                box=None,
                note=None,
                sequenced_ms=at_ms,
                messages=len(run.ids),
            )
        )
    tx.outbox.delivered(head.size, at_ms=at_ms)


def _mirror(tx: Transaction, peer: Side, group: Sequence[_Run]) -> None:
    """Do what intake leaves in the receiver's logs; then what the sequencer says of it: one receipt."""
    origin, at_ms = peer.pair.peer_origin, int(time() * 1_000)
    head = _head(tx, origin)
    first = head.size
    starts: list[int] = []
    for run in group:
        starts.append(head.size)
        head = _extend(tx, peer, head, run, at_ms)
        tx.inbox.put_receipt_due(
            ReceiptDue(
                start=starts[-1],
                count=len(run.entries),
                root=head.edge.root(),
                decided_ms=at_ms,
                exceptions=(),
            )
        )
    receipt = ReceiptEntry(
        origin=origin,
        start=first,
        count=head.size - first,
        root=head.edge.root(),
        decided_ms=at_ms,
        exceptions=(),
    )
    answers = peer.pair.exchange_origin
    grown = append_bundle(tx, answers, [encode_entry(receipt)], at_ms=at_ms)
    peer.audit.anchor(tx, grown)
    _note(tx, grown, at_ms)
    tx.inbox.receipts_logged(starts, log_index=grown.size - 1)
    tx.outbox.delivered(grown.size, at_ms=at_ms)


async def _mirror_receipt(own: Side, peer: Side) -> None:
    """Let the sender mirror what the receiver's log has grown by."""
    origin = own.pair.peer_origin
    mirrored = await own.store.read(lambda tx: _head(tx, origin))
    entries = await peer.store.read(lambda tx: tx.logs.entries(origin, mirrored.size, _head(tx, origin).size))
    grown = append(mirrored.edge, [hash_leaf(entry) for entry in entries])
    run = _Run(entries=entries, ids=(), grown=grown)
    await own.store.write(Step.MIRRORED, lambda tx: _extend(tx, own, mirrored, run, int(time() * 1_000)))


def _extend(
    tx: Transaction, side: Side, head: LogHead, run: _Run, at_ms: int, *, cosigned: bool = False
) -> LogHead:
    """Append a bundle with the facts of its notes and the anchor in the audit log."""
    grown = tx.logs.extend(head, entries=run.entries, edge=run.grown.edge, tile_hashes=run.grown.tile_hashes)
    _note(tx, grown, at_ms)
    if cosigned:
        _note(tx, grown, at_ms, cosigned=True)
    side.audit.anchor(tx, grown)
    return grown


def _note(
    tx: Transaction, head: LogHead, at_ms: int, note: bytes | None = None, *, cosigned: bool = False
) -> None:
    """Keep a note; without bytes as every note is kept that newer ones have followed."""
    tx.logs.put_note(
        StoredNote(
            origin=head.origin,
            size=head.size,
            root=head.edge.root(),
            at_ms=at_ms,
            note=note,
            cosigned=cosigned,
        )
    )


# --- signatures ----------------------------------------------------------------------


async def _sign(own: Side, peer: Side) -> int:
    """Sign the ends of both exchange logs, cosign the sender's, and record both; return its size."""
    at_ms = int(time() * 1_000)
    sent = await own.store.read(lambda tx: _head(tx, own.pair.exchange_origin))
    answered = await peer.store.read(lambda tx: _head(tx, peer.pair.exchange_origin))
    note, answers = _signed(own, sent, at_ms), _signed(peer, answered, at_ms)
    cosigned = cosign(note, cosigner=peer.keyring.cosigner, time_s=at_ms // 1_000)

    def keep_sent(tx: Transaction) -> None:
        _note(tx, sent, at_ms, note)
        _note(tx, sent, at_ms, cosigned, cosigned=True)
        _note(tx, answered, at_ms, answers)

    def keep_mirrored(tx: Transaction) -> None:
        _note(tx, sent, at_ms, note)
        _note(tx, answered, at_ms, answers)

    await own.store.write(Step.SIGNED, keep_sent)
    await peer.store.write(Step.SIGNED, keep_mirrored)
    marks = {head.origin: (head.size, head.edge.root()) for head in (sent, answered)}
    for side in (own, peer):
        await side.high_water.record(marks)
    return sent.size


def _signed(side: Side, head: LogHead, at_ms: int) -> bytes:
    checkpoint = Checkpoint(origin=head.origin, size=head.size, root=head.edge.root())
    signer = side.keyring.log_signer(head.origin, side.keyring.statement)
    return sign_checkpoint(checkpoint, signer=signer, time_s=at_ms // 1_000)
