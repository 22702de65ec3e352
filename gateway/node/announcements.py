"""What a node's exchange log says about the node itself.

The key statement, KEM keys and the agreement: announced when the log begins, and again
whenever one of them has changed. The peer can seal messages for this node only after it
has mirrored a KEM key.

Spec: docs/spec/log.md, "Entries"; docs/spec/exchange.md, "Start".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from gateway.core.bundle import MAX_BUNDLE_ENTRIES
from gateway.core.digest import digest_of
from gateway.core.entries import (
    AgreementEntry,
    KemKeyEntry,
    KeyStatementEntry,
    Kind,
    decode_entry,
    encode_entry,
)
from gateway.core.envelope import SUITE
from gateway.core.generation import base_of, index_of
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Announced, Schedule, digests_of
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.log_writer import append_bundle, ensure_log, extend_log, put_controls
from gateway.ports import Clock, Keyring, LogHead, LogKind, SentBundle, Step, Store, StoredNote, Transaction

log = structlog.get_logger(__name__)

KEM_LIFETIME_MS: Final = 7 * 86_400_000
KEM_ROTATION_MS: Final = 86_400_000

MAX_AGREEMENTS: Final = 16
"""Newest agreement entries of a log that are read: plans older than these are over."""


class Announcements:
    """Announces statement, KEM keys and agreement in one log."""

    def __init__(
        self, *, origin: str, schedule: Schedule, keyring: Keyring, audit: AuditLog, clock: Clock
    ) -> None:
        """Announce what ``keyring`` and ``schedule`` hold in the log ``origin``."""
        self._origin = origin
        self._schedule = schedule
        self._keyring = keyring
        self._audit = audit
        self._clock = clock
        # The KEM key that the log announced last, or that is on its way into the log.
        self._kem_key_id = b""

    def next_kem_key(self) -> bytes | None:
        """Return the entry of a KEM key if one is due, else None.

        One is due when the key that was announced last is a day old, or its private half is
        gone. A key that was made and never announced, because a crash came between, is
        announced before another one is made.
        """
        now_ms = self._clock.now_ms()
        keys = self._keyring.kem_keys()
        fresh = {key_id: made for key_id, made in keys.items() if now_ms - made < KEM_ROTATION_MS}
        if self._kem_key_id in fresh:
            return None
        newest = max(fresh, key=lambda key_id: fresh[key_id], default=None)
        private_key = None if newest is None else self._keyring.kem_private(newest)
        if newest is None or private_key is None:
            return self._new_kem_key(now_ms)
        return self._kem_key(newest, private_key.public_key.to_bytes(), fresh[newest])

    async def destroy_old_keys(self, store: Store) -> None:
        """Destroy keys of seven days, even if the peer has not begun to use a newer one.

        The event first: a key that is gone without one would be a gap in the log, and one that a
        crash has left is destroyed, and recorded, once more.
        """
        now_ms = self._clock.now_ms()
        over = [
            key_id
            for key_id, created_ms in self._keyring.kem_keys().items()
            if now_ms - created_ms >= KEM_LIFETIME_MS and key_id != self._kem_key_id
        ]
        if not over:
            return
        event = self._audit.event(at_ms=now_ms, actor=NODE, event="kem.destroyed", details=over)
        await store.write(Step.AUDITED, lambda tx: self._audit.append(tx, event))
        for key_id in over:
            self._keyring.destroy_kem_key(key_id)
            log.info("kem.destroyed", key_id=key_id.hex())

    def record(self, tx: Transaction, entries: Sequence[bytes]) -> None:
        """Write events about what the transaction announces of keys and catalogues."""
        now_ms = self._clock.now_ms()
        for data in entries:
            details: Sequence[int | bytes]
            match decode_entry(data):
                case KemKeyEntry() as key:
                    name, details = "kem.announced", (key.key_id,)
                case AgreementEntry() as stated:
                    name, details = "agreement.stated", (digest_of(data), stated.effective_ms)
                case _:
                    continue
            self._audit.append(tx, self._audit.event(at_ms=now_ms, actor=NODE, event=name, details=details))

    def open(self, tx: Transaction) -> StoredNote | None:
        """Append what the log does not say yet; return its newest signed note.

        An empty log begins with the statement, which closes its bundle, then the first KEM
        key and the agreement.
        """
        self.state(tx)
        now_ms = self._clock.now_ms()
        due: list[bytes] = []
        announced = tx.logs.newest_control(self._origin, Kind.KEM_KEY)
        if announced is None:
            due.append(self._new_kem_key(now_ms))
        else:
            self._kem_key_id = _kem_key_id_of(announced[1])
        due += map(encode_entry, self._agreements(tx, now_ms))
        if due:
            append_bundle(tx, self._origin, due, at_ms=now_ms)
            self.record(tx, due)
        return tx.logs.newest_note(self._origin)

    def state(self, tx: Transaction) -> int | None:
        """Append the key statement if the log does not end with it; return where it stands, or None.

        One is due at the first start, and after each rotation. It closes its bundle: one of its
        own, or the one at the end of the log if no note of that is stored. The place is where the
        bundle begins.
        """
        head = ensure_log(tx, self._origin, LogKind.EXCHANGE)
        statement = encode_entry(KeyStatementEntry(statement=self._keyring.statement))
        stated = tx.logs.newest_control(self._origin, Kind.KEY_STATEMENT)
        if stated is not None and stated[1] == statement:
            return None
        bundle = _unsigned_end(tx, self._origin, head)
        if bundle is None:
            append_bundle(tx, self._origin, [statement], at_ms=self._clock.now_ms())
            return head.size
        # The key for its size may be lost, with a token: closed by the statement, it is the
        # first one under the new keys. If it left and its note was lost in a crash, the peer takes
        # the statement alone, which is new to it.
        grown = extend_log(tx, head, [statement])
        put_controls(tx, self._origin, head.size, [statement])
        tx.outbox.grow_bundle(bundle.start, end=bundle.end + 1, root=grown.edge.root())
        return index_of(bundle.start)

    def join(self, tx: Transaction, start: int) -> bool:
        """Let a statement that is due close the unsigned bundle that begins at an index; return whether."""
        head = ensure_log(tx, self._origin, LogKind.EXCHANGE)
        bundle = _unsigned_end(tx, self._origin, head)
        return bundle is not None and index_of(bundle.start) == start and self.state(tx) is not None

    def _agreements(self, tx: Transaction, now_ms: int) -> list[AgreementEntry]:
        """Return what the log does not say yet of the catalogue in force and of a planned one.

        One is due at the first start, at the first one with another catalogue, and when a
        change was planned, moved or given up.
        """
        said = announced_in(tx, self._origin)
        present = digests_of(self._schedule.at(now_ms))
        planned = self._schedule.planned(now_ms)
        plans = [] if planned is None else [(self._schedule.change_ms, digests_of(planned))]
        if said.at(now_ms) == present and said.plans(now_ms) == plans:
            return []
        due: list[AgreementEntry] = []
        if said.at(now_ms) != present or said.plans(now_ms):
            # Also to take back what was planned before.
            due.append(_agreement(self._schedule.at(now_ms), now_ms))
        if planned is not None:
            due.append(_agreement(planned, self._schedule.change_ms))
        return due

    def _new_kem_key(self, now_ms: int) -> bytes:
        # The key file is durable before the log can announce it. A crash in between leaves
        # a key that nobody was told of; the next rotation announces it.
        key_id, public_key = self._keyring.create_kem_key(now_ms)
        return self._kem_key(key_id, public_key, now_ms)

    def _kem_key(self, key_id: bytes, public_key: bytes, created_ms: int) -> bytes:
        self._kem_key_id = key_id
        return encode_entry(
            KemKeyEntry(
                key_id=key_id,
                suite=SUITE,
                public_key=public_key,
                not_before_ms=created_ms,
                not_after_ms=created_ms + KEM_LIFETIME_MS,
            )
        )


def _unsigned_end(tx: Transaction, origin: str, head: LogHead) -> SentBundle | None:
    """Return the bundle with which a log ends if no note of its end was ever kept, or None."""
    newest = tx.logs.newest_note(origin)
    signed = 0 if newest is None else newest.size
    if signed >= head.size:
        return None
    last = tx.outbox.bundles_from(base_of(origin) + head.size - 1, limit=1)
    is_open = bool(last) and last[0].note is None and last[0].count < MAX_BUNDLE_ENTRIES
    return last[0] if is_open and not _states_keys(tx, origin, head) else None


def _states_keys(tx: Transaction, origin: str, head: LogHead) -> bool:
    """Return whether a log ends with a key statement: no other one follows it in the same bundle."""
    stated = tx.logs.newest_control(origin, Kind.KEY_STATEMENT)
    return stated is not None and stated[0] == head.size - 1


def _kem_key_id_of(entry: bytes) -> bytes:
    """Return the id of the key that a KEM entry of our own log announces."""
    announced = decode_entry(entry)
    return announced.key_id if isinstance(announced, KemKeyEntry) else b""


def announced_in(tx: Transaction, origin: str) -> Announced:
    """Return what a log has announced of its node's catalogue."""
    entries = map(decode_entry, tx.logs.controls(origin, Kind.AGREEMENT, limit=MAX_AGREEMENTS))
    return Announced(entries=tuple(entry for entry in entries if isinstance(entry, AgreementEntry)))


def _agreement(catalogue: Catalogue, effective_ms: int) -> AgreementEntry:
    return AgreementEntry(types=tuple(digests_of(catalogue).items()), effective_ms=effective_ms)
