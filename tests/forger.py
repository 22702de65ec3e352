"""A sender that holds the American node's keys and keeps to no rule.

It forges the next bundle for the French node from parts that a test has damaged, signed
as the American log would sign them, so that a test sees which check refuses what.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gateway.core.bundle import Bundle
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import (
    MessageEntry,
    ReceiptEntry,
    ReceiptException,
    decode_entry,
    encode_entry,
)
from gateway.core.envelope import SUITE, Header, header_of
from gateway.core.keybox import BoxBinding, KemPublicKey, seal_box
from gateway.core.merkle import append, hash_leaf
from gateway.core.message.draft import Sender, complete
from gateway.core.sealing import ContentKey, seal_content
from gateway.core.signature import HybridSigner
from gateway.node.identifiers import new_uuid7
from gateway.ports import BundleAnswer, Transaction
from tests.world import AGENCIES, NODES, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One message of a forged bundle, in the pieces that a test may exchange."""

    document: dict[str, Any]
    header: Header
    ciphertext: bytes | None
    content_key: ContentKey
    entry: MessageEntry | None = None


class Forger:
    """Forges bundles of the American log for the French node."""

    def __init__(self, world: World, *, size: int, edge: Any, key_id: bytes, public: bytes) -> None:
        self._world = world
        self._edge = edge
        self.size = size
        self._key_id = key_id
        self._public = KemPublicKey.from_bytes(public)
        keyring = world.sides["US"].keyring
        self._signer = keyring.log_signer(self.origin, keyring.statement)

    @property
    def origin(self) -> str:
        return self._world.sides["US"].keyring.pair.exchange_origin

    @classmethod
    async def take_over(cls, world: World) -> Forger:
        """Stop the real American node and go on in its name."""
        await world.settle()
        await world.stop("US")
        side = world.sides["FR"]
        store = side.store
        assert store is not None
        head = await store.read(lambda tx: tx.logs.head(side.keyring.pair.peer_origin))
        assert head is not None
        (key_id,) = side.keyring.kem_keys()
        key = side.keyring.kem_private(key_id)
        assert key is not None
        return cls(world, size=head.size, edge=head.edge, key_id=key_id, public=key.public_key.to_bytes())

    def message(
        self,
        *,
        change: Callable[[dict[str, Any]], None] | None = None,
        header: Callable[[Header], Header] | None = None,
        body: bytes | None = None,
    ) -> Parts:
        """Return the parts of a good message, but for what the arguments change."""
        now_ms = self._world.clock.now_ms()
        document = complete(
            self._world.draft("US"),
            catalogue=self._world.catalogue,
            sender=Sender(nation="US", agency=AGENCIES["US"], unit=None),
            peer_nation="FR",
            now_ms=now_ms,
            new_id=lambda: new_uuid7(now_ms, self._world.entropy),
            parent=None,
        ).document
        if change is not None:
            change(document)
        made = header_of(
            document,
            from_node=NODES["US"],
            to_node=NODES["FR"],
            type_digest=self._world.catalogue.type(document["type"]).digest,
        )
        if header is not None:
            made = header(made)
        key = ContentKey(os.urandom(32))
        content = orjson.dumps(document) if body is None else body
        ciphertext = seal_content(content, content_key=key, header=made.encode())
        return Parts(document=document, header=made, ciphertext=ciphertext, content_key=key)

    def bundle(
        self,
        messages: Sequence[Parts],
        *,
        entries: Callable[[list[bytes]], list[bytes]] | None = None,
        keys: Callable[[list[ContentKey]], list[ContentKey]] | None = None,
        ciphertexts: Callable[[list[bytes | None]], list[bytes | None]] | None = None,
        receiver: str = NODES["FR"],
        extra: Sequence[bytes] = (),
    ) -> Bundle:
        """Return a signed bundle of these messages; the functions damage it before it is signed."""
        bundle_id = os.urandom(16)
        content_keys = [part.content_key for part in messages]
        if keys is not None:
            content_keys = keys(content_keys)
        box = seal_box(
            content_keys,
            public_key=self._public,
            binding=BoxBinding(
                suite=SUITE,
                sender_origin=self.origin,
                receiver_node=receiver,
                kem_key_id=self._key_id,
                bundle_id=bundle_id,
                count=len(content_keys),
            ),
        )
        made = [
            encode_entry(
                MessageEntry(
                    header=part.header.encode(),
                    kem_key_id=self._key_id,
                    bundle_id=bundle_id,
                    slot=slot,
                    box_digest=hashlib.sha384(box).digest(),
                    ciphertext_digest=hashlib.sha384(part.ciphertext or b"").digest(),
                    ciphertext_bytes=len(part.ciphertext or b""),
                )
            )
            for slot, part in enumerate(messages)
        ]
        made += extra
        if entries is not None:
            made = entries(made)
        carried = [part.ciphertext for part in messages]
        if ciphertexts is not None:
            carried = ciphertexts(carried)
        return self.signed(
            Bundle(
                start=self.size,
                entries=tuple(made),
                boxes=(box,),
                ciphertexts=tuple(carried),
                note=b"",
            )
        )

    def use_key(self, signer: HybridSigner) -> None:
        """Sign with another key from now on, such as a stolen one that was replaced."""
        self._signer = signer

    def signed(self, bundle: Bundle) -> Bundle:
        """Return the bundle with the note that the log would sign for its entries."""
        edge = append(self._edge, [hash_leaf(entry) for entry in bundle.entries]).edge
        checkpoint = Checkpoint(origin=self.origin, size=edge.size, root=edge.root())
        return replace(bundle, note=self.note(checkpoint))

    def note(self, checkpoint: Checkpoint) -> bytes:
        """Return a note with both signatures of the log."""
        time_s = self._world.clock.now_ms() // 1_000
        return sign_checkpoint(checkpoint, signer=self._signer, time_s=time_s)

    async def post(self, bundle: Bundle | bytes) -> BundleAnswer:
        """Hand a bundle to the French node; go on from its end if it is taken."""
        data = bundle if isinstance(bundle, bytes) else bundle.encode()
        answer = await self._world.node("FR").peer_service.receive(data)
        if isinstance(bundle, Bundle) and bundle.end > self.size:
            self._edge = append(self._edge, [hash_leaf(entry) for entry in bundle.entries]).edge
            self.size = bundle.end
        return answer

    async def exceptions(self) -> list[ReceiptException]:
        """Return the exceptions of all receipts that the French node has logged or owes."""
        side = self._world.sides["FR"]
        store = side.store
        assert store is not None

        def load(tx: Transaction) -> list[ReceiptException]:
            head = tx.logs.head(side.keyring.pair.exchange_origin)
            assert head is not None
            logged = [decode_entry(data) for data in tx.logs.entries(head.origin, 0, head.size)]
            receipts = [entry for entry in logged if isinstance(entry, ReceiptEntry)]
            found = [item for entry in receipts for item in entry.exceptions]
            for due in tx.inbox.due_receipts(limit=100):
                found += due.exceptions
            return found

        return await store.read(load)
