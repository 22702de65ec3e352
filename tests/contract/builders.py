"""Values for tests of the store: messages, entries, bundles. Nothing in them is random."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import count
from typing import Any

from gateway.core.merkle import Appended, Hash, RightEdge, append, hash_leaf
from gateway.core.states import State
from gateway.ports import LogKind, NewMessage, SentBundle, Transaction

OWN = "fr.gateway.test/exchange/us"
PEER = "us.gateway.test/exchange/fr"
AUDIT = "fr.gateway.test/audit"
LYON = "FR.DGDDI.DNRED"
NICE = "FR.DGDDI.SARC"
NEWARK = "US.CBP.NTC"
BOSTON = "US.ICE.HSI"

_numbers = count(1)


def digest(word: object) -> bytes:
    return hashlib.sha256(str(word).encode()).digest()


def identifier(word: object) -> bytes:
    return digest(word)[:16]


def outgoing(word: object | None = None, **changes: Any) -> NewMessage:
    """Return an accepted message; ``word`` names it, and its conversation unless one is given."""
    number = next(_numbers)
    name = f"message {number}" if word is None else word
    message = NewMessage(
        outgoing=True,
        state=State.ACCEPTED,
        message_id=identifier(name),
        header=b"header of " + str(name).encode(),
        type="target.cargo_referral/1",
        from_agency=LYON,
        to_agencies=(NEWARK,),
        conversation_id=identifier(("conversation", name)),
        seq=1,
        in_reply_to=None,
        purpose="CUSTOMS_ENFORCEMENT",
        reply_by_ms=None,
        closes=False,
        rank=3,
        created_ms=1_000,
        expires_ms=1_000_000,
        arrived_ms=2_000,
        log_index=None,
        audit_index=number,
        flags="",
        ciphertext=b"ciphertext of " + str(name).encode(),
        wrapped_key=b"key of " + str(name).encode(),
    )
    return replace(message, **changes)


def incoming(word: object | None = None, *, log_index: int, **changes: Any) -> NewMessage:
    """Return a received message at an index of the mirror."""
    values: dict[str, Any] = {
        "outgoing": False,
        "state": State.RECEIVED,
        "from_agency": NEWARK,
        "to_agencies": (LYON,),
        "log_index": log_index,
        "audit_index": None,
    }
    return outgoing(f"incoming {log_index}" if word is None else word, **(values | changes))


def grow(tx: Transaction, origin: str, entries: list[bytes]) -> Appended:
    """Append entries to a log, which is created if need be."""
    kind = LogKind.MIRROR if origin == PEER else LogKind.AUDIT if origin == AUDIT else LogKind.EXCHANGE
    head = tx.logs.head(origin) or tx.logs.create(origin, kind)
    grown = append(head.edge, [hash_leaf(entry) for entry in entries])
    tx.logs.extend(head, entries=entries, edge=grown.edge, tile_hashes=grown.tile_hashes)
    return grown


def edge_behind(entries: list[bytes]) -> RightEdge:
    return append(RightEdge.empty(), [hash_leaf(entry) for entry in entries]).edge


def bundle(start: int, count_: int, **changes: Any) -> SentBundle:
    value = SentBundle(
        start=start,
        count=count_,
        root=Hash(digest((start, count_))),
        box=b"box",
        note=None,
        sequenced_ms=3_000,
        messages=count_,
    )
    return replace(value, **changes)


def send(tx: Transaction, start: int, *, limit: int = 100, at_ms: int = 3_000) -> list[int]:
    """Send what waits from index ``start`` on; return the numbers."""
    numbers = [item.number for item in tx.outbox.waiting(limit=limit, max_bytes=1 << 24)]
    tx.outbox.mark_sent([(number, start + slot) for slot, number in enumerate(numbers)], at_ms=at_ms)
    if numbers:
        tx.outbox.put_bundle(bundle(start, len(numbers)))
    return numbers
