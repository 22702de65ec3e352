"""The entries of messages and the key box that they share.

A message that was erased before a receipt spoke of it is put into the next generation of the log without
its content, as it stands in the one before: so the peer is asked what became of it.

Spec: docs/spec/exchange.md, "Sending" and "Frozen pair".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.digest import digest_of
from gateway.core.entries import MessageEntry, decode_entry, encode_entry
from gateway.core.envelope import SUITE
from gateway.core.generation import first_place, located
from gateway.core.keybox import BoxBinding, KemPublicKey, seal_box
from gateway.core.quick import quick_value
from gateway.core.sealing import ContentKey
from gateway.errors import StoreError
from gateway.node.pair import Pair
from gateway.node.vault import Vault
from gateway.ports import Transaction, Waiting

_NO_KEY: Final = ContentKey(bytes(32))
"""In the slot of a message whose key was destroyed with its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerKey:
    """The newest KEM key of the peer that its log announced."""

    key_id: bytes
    public_key: KemPublicKey


@quick_value
class Sealable:
    """What an entry says of a message, and the key that goes into the box."""

    number: int
    header: bytes
    key: ContentKey
    ciphertext_digest: bytes
    ciphertext_bytes: int


def sealable(waiting: Sequence[Waiting], vault: Vault) -> list[Sealable]:
    """Return messages that wait as they enter the log."""
    keys = [vault.unwrap(item.wrapped_key, message_id=item.message_id) for item in waiting]
    # Step after step, not message after message: see `gateway.node.steps`.
    digests = [digest_of(item.ciphertext) for item in waiting]
    return [
        Sealable(
            number=item.number,
            header=item.header,
            key=key,
            ciphertext_digest=digest,
            ciphertext_bytes=len(item.ciphertext),
        )
        for item, key, digest in zip(waiting, keys, digests, strict=True)
    ]


def erased_anew(tx: Transaction, pair: Pair, *, limit: int) -> list[Sealable]:
    """Return messages of earlier generations that were erased before a receipt spoke of them.

    Args:
        tx: The running transaction.
        pair: The two nodes, in the generation that is written.
        limit: At most so many.

    Raises:
        StoreError: The log does not hold such a message at the place that the database names.
    """
    found: list[Sealable] = []
    for number, place in tx.outbox.erased_anew(first_place(pair.generation), limit=limit):
        origin, index = located(pair.first_exchange_origin, place)
        entry = decode_entry(tx.logs.entries(origin, index, index + 1)[0])
        if not isinstance(entry, MessageEntry):
            msg = "an erased message does not stand at its place in the log"
            raise StoreError(msg)
        found.append(
            Sealable(
                number=number,
                header=entry.header,
                key=_NO_KEY,
                ciphertext_digest=entry.ciphertext_digest,
                ciphertext_bytes=entry.ciphertext_bytes,
            )
        )
    return found


def seal(
    items: Sequence[Sealable], pair: Pair, *, bundle_id: bytes, peer: PeerKey
) -> tuple[bytes, list[bytes]]:
    """Return the key box and the message entries of a bundle."""
    binding = BoxBinding(
        suite=SUITE,
        sender_origin=pair.exchange_origin,
        receiver_node=pair.peer_node,
        kem_key_id=peer.key_id,
        bundle_id=bundle_id,
        count=len(items),
    )
    box = seal_box([item.key for item in items], public_key=peer.public_key, binding=binding)
    box_digest = digest_of(box)
    entries = [
        encode_entry(
            MessageEntry(
                header=item.header,
                kem_key_id=peer.key_id,
                bundle_id=bundle_id,
                slot=slot,
                box_digest=box_digest,
                ciphertext_digest=item.ciphertext_digest,
                ciphertext_bytes=item.ciphertext_bytes,
            )
        )
        for slot, item in enumerate(items)
    ]
    return box, entries
