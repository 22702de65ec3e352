"""Bundles of the American log for the French node, made without the node that would make them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core.bundle import Bundle
from gateway.core.entries import MessageEntry, encode_entry
from gateway.core.envelope import SUITE, Header, header_of
from gateway.core.keybox import BoxBinding, KemPublicKey, seal_box
from gateway.core.message.draft import Sender, complete
from gateway.core.message.registry import Catalogue
from gateway.core.sealing import ContentKey, seal_content
from gateway.node.identifiers import new_uuid7
from tests.world import AGENCIES, NODES, WorldEntropy, make_draft, pair_of

ORIGIN = pair_of("US").exchange_origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message in pieces."""

    document: dict[str, Any]
    header: Header
    ciphertext: bytes
    content_key: ContentKey


def message(
    catalogue: Catalogue,
    now_ms: int,
    *,
    draft: dict[str, Any] | None = None,
    agency: str = AGENCIES["US"],
    change: Callable[[dict[str, Any]], None] | None = None,
    header: Callable[[Header], Header] | None = None,
    body: bytes | None = None,
) -> Message:
    """Return a good message, but for what the arguments change."""
    document = complete(
        draft or make_draft("US", now_ms),
        catalogue=catalogue,
        sender=Sender(nation="US", agency=agency, unit=None),
        peer_nation="FR",
        now_ms=now_ms,
        new_id=lambda: new_uuid7(now_ms, WorldEntropy()),
        parent=None,
    ).document
    if change is not None:
        change(document)
    made = header_of(
        document,
        from_node=NODES["US"],
        to_node=NODES["FR"],
        type_digest=catalogue.type(document["type"]).digest,
    )
    if header is not None:
        made = header(made)
    key = ContentKey(os.urandom(32))
    content = orjson.dumps(document) if body is None else body
    ciphertext = seal_content(content, content_key=key, header=made.encode())
    return Message(document=document, header=made, ciphertext=ciphertext, content_key=key)


def bundle(
    messages: Sequence[Message],
    *,
    public_key: bytes,
    start: int = 3,
    slots: Sequence[int] | None = None,
    extra: Sequence[bytes] = (),
) -> Bundle:
    """Return a bundle of these messages, unsigned; ``extra`` entries stand behind them."""
    bundle_id = os.urandom(16)
    key = KemPublicKey.from_bytes(public_key)
    binding = BoxBinding(
        suite=SUITE,
        sender_origin=ORIGIN,
        receiver_node=NODES["FR"],
        kem_key_id=key.key_id,
        bundle_id=bundle_id,
        count=len(messages),
    )
    box = seal_box([item.content_key for item in messages], public_key=key, binding=binding)
    entries = [
        encode_entry(
            MessageEntry(
                header=item.header.encode(),
                kem_key_id=key.key_id,
                bundle_id=bundle_id,
                slot=slot,
                box_digest=hashlib.sha384(box).digest(),
                ciphertext_digest=hashlib.sha384(item.ciphertext).digest(),
                ciphertext_bytes=len(item.ciphertext),
            )
        )
        for item, slot in zip(messages, slots or range(len(messages)), strict=True)
    ]
    return Bundle(
        start=start,
        entries=(*entries, *extra),
        boxes=(box,),
        ciphertexts=tuple(item.ciphertext for item in messages),
        note=b"",
    )
