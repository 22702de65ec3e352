"""What a node's exchange log says about the node itself.

The key statement, KEM keys and the agreement: announced when the log begins, and again
whenever one of them has changed. The peer can seal messages for this node only after it
has mirrored a KEM key.

Spec: docs/spec/log.md, "Entries"; docs/spec/exchange.md, "Start".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.entries import (
    AgreementEntry,
    KemKeyEntry,
    KeyStatementEntry,
    Kind,
    decode_entry,
    encode_entry,
    kind_of,
)
from gateway.core.envelope import SUITE
from gateway.core.message.registry import Catalogue
from gateway.node.log_writer import ensure_log, extend_log
from gateway.ports import Clock, Keyring, LogKind, SentBundle, StoredNote, Transaction

KEM_LIFETIME_MS: Final = 7 * 86_400_000
KEM_ROTATION_MS: Final = 86_400_000


class Announcements:
    """Announces statement, KEM keys and agreement in one log."""

    def __init__(self, *, origin: str, catalogue: Catalogue, keyring: Keyring, clock: Clock) -> None:
        """Announce what ``keyring`` and ``catalogue`` hold in the log ``origin``."""
        self._origin = origin
        self._catalogue = catalogue
        self._keyring = keyring
        self._clock = clock

    def next_kem_key(self) -> bytes | None:
        """Return the entry of a new KEM key if the newest is a day old, else None."""
        now_ms = self._clock.now_ms()
        keys = self._keyring.kem_keys()
        if keys and now_ms - max(keys.values()) < KEM_ROTATION_MS:
            return None
        return self._new_kem_key(now_ms)

    def open(self, tx: Transaction) -> StoredNote | None:
        """Append what the log does not say yet; return its newest signed note.

        An empty log begins with the statement, which closes its bundle, then the first KEM
        key and the agreement.
        """
        ensure_log(tx, self._origin, LogKind.EXCHANGE)
        statement = encode_entry(KeyStatementEntry(statement=self._keyring.statement))
        stated = tx.logs.newest_control(self._origin, Kind.KEY_STATEMENT)
        if stated is None or stated[1] != statement:
            # The first start, or the first one after a rotation. It closes its bundle.
            self._append(tx, [statement])
        now_ms = self._clock.now_ms()
        due: list[bytes] = []
        if tx.logs.newest_control(self._origin, Kind.KEM_KEY) is None:
            due.append(self._new_kem_key(now_ms))
        digests = tuple(sorted((t, self._catalogue.type(t).digest) for t in self._catalogue.types))
        agreed = tx.logs.newest_control(self._origin, Kind.AGREEMENT)
        if agreed is None or _types_of(agreed[1]) != digests:
            # The first start, or the first one with another catalogue.
            due.append(encode_entry(AgreementEntry(types=digests, effective_ms=now_ms)))
        if due:
            self._append(tx, due)
        return tx.logs.newest_note(self._origin)

    def _append(self, tx: Transaction, entries: Sequence[bytes]) -> None:
        head = ensure_log(tx, self._origin, LogKind.EXCHANGE)
        grown = extend_log(tx, head, entries)
        for offset, entry in enumerate(entries):
            tx.logs.put_control(self._origin, kind_of(entry), head.size + offset, entry)
        tx.outbox.put_bundle(
            SentBundle(
                start=head.size,
                count=len(entries),
                root=grown.edge.root(),
                box=None,
                note=None,
                sequenced_ms=self._clock.now_ms(),
                messages=0,
            )
        )

    def _new_kem_key(self, now_ms: int) -> bytes:
        # The key file is durable before the log can announce it. A crash in between leaves
        # a key that nobody was told of; it is destroyed with the next rotation.
        key_id, public_key = self._keyring.create_kem_key(now_ms)
        return encode_entry(
            KemKeyEntry(
                key_id=key_id,
                suite=SUITE,
                public_key=public_key,
                not_before_ms=now_ms,
                not_after_ms=now_ms + KEM_LIFETIME_MS,
            )
        )


def _types_of(entry: bytes) -> tuple[tuple[str, bytes], ...] | None:
    """Return the types that an agreement entry of our own log lists."""
    agreement = decode_entry(entry)
    return agreement.types if isinstance(agreement, AgreementEntry) else None
