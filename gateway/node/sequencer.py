"""The sequencer: the only writer of this node's exchange log.

A message enters the log only when it is about to be sent. One transaction takes what is
due (control entries, receipts, collections, waiting messages in order of precedence),
seals the content keys in one box, appends the entries, moves the head and makes the
messages *sent*. Then the new head is signed and marked in the high-water file, and only
then may the bundle leave. The note is stored with the next commit.

What a crash leaves behind: before the transaction, nothing; after it, entries without a
note, whether or not their bundle has left, which the next start signs: the same tree gives
the same checkpoint, and the mark lets no other tree have its size. With the note stored, a
bundle that is sent again from the database.

Spec: docs/spec/exchange.md, "Sending"; docs/adr/0053-a-mark-is-enough-to-leave.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.bundle import MAX_BUNDLE_ENTRIES, Bundle
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import KemKeyEntry, Kind, kind_of
from gateway.core.generation import base_of
from gateway.core.keybox import KemPublicKey
from gateway.core.message.schedule import Schedule
from gateway.core.signature import HybridSigner
from gateway.core.states import Precedence, State
from gateway.node.announcements import Announcements
from gateway.node.answers import Answers
from gateway.node.audit_log import AuditLog
from gateway.node.log_writer import ensure_log, extend_log, note_time_s, put_controls
from gateway.node.message_entries import PeerKey, Sealable, erased_anew, seal, sealable
from gateway.node.pair import Pair
from gateway.node.signing_keys import SigningKeys
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import (
    Clock,
    Entropy,
    HighWater,
    Keyring,
    LogKind,
    SentBundle,
    Step,
    Store,
    StoredNote,
    Transaction,
    Waiting,
)

MAX_MESSAGE_BYTES: Final = 12 * 1024 * 1024
"""Ciphertext bytes in one bundle: 16 MiB less the entries, the box and the note."""

NOTE_LINGERS_S: Final = 0.02
"""How long a note may wait for another write to share the commit with."""

URGENT_BUNDLE: Final = 16
"""Messages that a bundle is closed at if something urgent waits, unless more are urgent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """A signed bundle, ready to leave.

    Attributes:
        bundle: What is posted.
        messages: Message entries in it.
        sequenced_ms: When its entries were appended, UTC milliseconds.
        waiting: Messages that still waited outside the log when it was made; 0 if it was reloaded.
        more: Whether something was left that it had no room for.
    """

    bundle: Bundle
    messages: int
    sequenced_ms: int
    waiting: int = 0
    more: bool = False

    @property
    def states_keys(self) -> bool:
        """Return whether it closes with a key statement: what follows is signed by other keys."""
        return kind_of(self.bundle.entries[-1]) == Kind.KEY_STATEMENT


class Sequencer:
    """Forms, signs and reloads bundles of the own exchange log."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        store: Store,
        keyring: Keyring,
        vault: Vault,
        audit: AuditLog,
        high_water: HighWater,
        clock: Clock,
        entropy: Entropy,
        workers: Workers,
    ) -> None:
        """Wire the sequencer; it starts nothing by itself."""
        self._pair = pair
        self._origin = pair.exchange_origin
        # Entries are counted within the generation, rows of the database by their places.
        self._base = base_of(self._origin)
        self._store = store
        self._keyring = keyring
        self._vault = vault
        self._audit = audit
        self._high_water = high_water
        self._clock = clock
        self._entropy = entropy
        self._workers = workers
        self._announcements = Announcements(
            origin=self._origin, schedule=schedule, keyring=keyring, audit=audit, clock=clock
        )
        self._answers = Answers(pair=pair, audit=audit)
        self._keys = SigningKeys(origin=self._origin, keyring=keyring)
        self._last_note_s = 0
        self._peer_key: PeerKey | None = None
        self._pending: list[bytes] = []
        # True when the keyring has a newer key statement than the log.
        self.statement_due = False

    @property
    def peer_key(self) -> PeerKey | None:
        """Return the key that messages are sealed for, or None before the peer announced one."""
        return self._peer_key

    def use_peer_key(self, entry: KemKeyEntry) -> None:
        """Seal for this key from now on; senders never return to an older one."""
        self._peer_key = PeerKey(key_id=entry.key_id, public_key=KemPublicKey.from_bytes(entry.public_key))

    async def open(self) -> None:
        """Create the log with its first entries if it is empty; sign what a crash left unsigned.

        The log opens with the key statement, which closes its bundle, then the first KEM
        key and the agreement.
        """
        newest = await self._store.write(Step.SETUP, self._announcements.open)
        self.statement_due = False
        await self._store.read(self._keys.load)
        if newest is not None:
            verifiers = self._keyring.own_verifiers(self._origin)
            self._last_note_s = max(self._last_note_s, note_time_s(newest, verifiers))
        while True:
            unsigned = await self._store.read(self._first_unsigned)
            if unsigned is None:
                return
            await self._sign(unsigned)

    def rotate_kem(self) -> bool:
        """Let a new KEM key ride in the next bundle if one is due; return whether it is."""
        entry = self._announcements.next_kem_key()
        if entry is None:
            return False
        # While the peer is away one key after the other waits to be announced: the newest will do.
        self._pending = [data for data in self._pending if kind_of(data) != Kind.KEM_KEY]
        self._pending.append(entry)
        return True

    async def destroy_old_keys(self) -> None:
        """Destroy KEM keys whose time is over."""
        await self._announcements.destroy_old_keys(self._store)

    def peer_holds(self, size: int) -> None:
        """Note that the peer is recorded to hold our log up to a size, and with it the keys stated there."""
        self._keys.peer_holds(size)

    async def peer_took(self, size: int) -> None:
        """Note that the peer says that it holds our log up to a size, before anything behind that leaves.

        If another cosigner comes into use by that, it is durable when this returns: a restart must not
        go back to the one before.
        """
        if self._keys.changes_with(size):
            await self._store.write(Step.DELIVERED, lambda tx: self._keys.remember(tx, size))
            self._keys.peer_holds(size)

    def not_before(self, time_s: int) -> None:
        """Let no note name an earlier time than one of ours that the peer shows: ours may be lost."""
        self._last_note_s = max(self._last_note_s, time_s)

    async def next_statement(self) -> Shipment | None:
        """Append, sign and return the bundle of a key statement that is due, or None.

        Nothing else is in flight: what was sent before is signed by the keys before.
        """
        start = await self._store.write(Step.SEQUENCED, self._announcements.state)
        self.statement_due = False
        await self._store.read(self._keys.load)
        return None if start is None else await self.reload(start)

    async def next_shipment(self, *, max_messages: int, urgent: bool = False) -> Shipment | None:
        """Append, sign and return the next bundle, or None if nothing is due.

        Args:
            max_messages: Messages to take at most; 0 while the peer has no KEM key yet.
            urgent: Take what is urgent, with a little of the rest: both nodes get it done sooner.
        """
        pending, self._pending = self._pending, []
        entropy = self._entropy.bytes(16)
        try:
            formed = await self._store.write(
                Step.SEQUENCED, lambda tx: self._form(tx, pending, entropy, max_messages, urgent=urgent)
            )
        except BaseException:
            self._pending = pending + self._pending
            raise
        if formed is None:
            return None
        stored, shipment = formed
        note = await self._sign(stored, waited_for=True)
        return replace(shipment, bundle=replace(shipment.bundle, note=note))

    async def reload(self, start: int) -> Shipment | None:
        """Return the stored bundle that holds index ``start``, or None at the end of the log.

        Notes of bundles that the peer cosigned are not kept: the same tree is signed again.
        """

        def load(tx: Transaction) -> tuple[SentBundle, Bundle] | None:
            for stored in tx.outbox.bundles_from(self._base + start, limit=1):
                first, end = stored.start - self._base, stored.end - self._base
                return stored, Bundle(
                    start=first,
                    entries=tuple(tx.logs.entries(self._origin, first, end)),
                    boxes=() if stored.box is None else (stored.box,),
                    ciphertexts=tuple(tx.outbox.ciphertexts(stored.start, stored.end)),
                    note=stored.note or b"",
                )
            return None

        loaded = await self._store.read(load)
        if loaded is not None and loaded[0].note is None and self.statement_due:
            # Perhaps the one that the old key can sign no more: the statement joins it, if it may.
            joined = await self._store.write(Step.SEQUENCED, lambda tx: self._announcements.join(tx, start))
            if joined:
                self.statement_due = False
                await self._store.read(self._keys.load)
                loaded = await self._store.read(load)
        if loaded is None:
            return None
        stored, bundle = loaded
        if not bundle.note:
            bundle = replace(bundle, note=await self._sign(stored))
        return Shipment(bundle=bundle, messages=stored.messages, sequenced_ms=stored.sequenced_ms)

    # --- inside the transaction ------------------------------------------------------

    def _form(
        self,
        tx: Transaction,
        pending: Sequence[bytes],
        bundle_id: bytes,
        max_messages: int,
        *,
        urgent: bool,
    ) -> tuple[SentBundle, Shipment] | None:
        """Append the next bundle; return what is stored of it, and it as it will leave, yet unsigned."""
        now_ms = self._clock.now_ms()
        head = ensure_log(tx, self._origin, LogKind.EXCHANGE)
        entries = list(pending)
        answers, answers_left = self._answers.take(tx, head.size + len(entries))
        entries += answers
        # Besides two anchors, a key statement may have to join it before it is signed.
        room = min(max_messages, MAX_BUNDLE_ENTRIES - len(entries) - 3)
        asked: Sequence[Sealable] = ()
        waiting: Sequence[Waiting] = ()
        peer_key = self._peer_key
        if room > 0 and peer_key is not None:
            asked = erased_anew(tx, self._pair, limit=room)
            if len(asked) < room:
                waiting = _take(tx, room - len(asked), urgent=urgent)
        if not entries and not asked and not waiting:
            return None
        # Anchors ride along with bundles that are sent anyway.
        entries += self._answers.anchors(tx)
        put_controls(tx, self._origin, head.size, entries)
        box: bytes | None = None
        if (asked or waiting) and peer_key is not None:
            first = self._base + head.size + len(entries)
            items = [*asked, *sealable(waiting, self._vault)]
            box, messages = seal(items, self._pair, bundle_id=bundle_id, peer=peer_key)
            entries += messages
            tx.outbox.mark_asked(
                [(item.number, place) for place, item in enumerate(asked, first)], at_ms=now_ms
            )
            first += len(asked)
            tx.outbox.mark_sent(
                [(item.number, place) for place, item in enumerate(waiting, first)], at_ms=now_ms
            )
        grown = extend_log(tx, head, entries)
        stored = SentBundle(
            start=self._base + head.size,
            count=len(entries),
            root=grown.edge.root(),
            box=box,
            note=None,
            sequenced_ms=now_ms,
            messages=len(asked) + len(waiting),
        )
        tx.outbox.put_bundle(stored)
        self._audit.anchor(tx, grown)
        self._announcements.record(tx, pending)
        bundle = Bundle(
            start=head.size,
            entries=tuple(entries),
            boxes=() if box is None else (box,),
            ciphertexts=(*(None for _ in asked), *(item.ciphertext for item in waiting)),
            note=b"",
        )
        left = tx.outbox.count(State.ACCEPTED)
        shipment = Shipment(
            bundle=bundle,
            messages=stored.messages,
            sequenced_ms=now_ms,
            waiting=left,
            more=answers_left or left > 0 or 0 < room == len(asked),
        )
        return stored, shipment

    def _first_unsigned(self, tx: Transaction) -> SentBundle | None:
        head = tx.logs.head(self._origin)
        if head is None or head.size == 0:
            return None
        newest = tx.logs.newest_note(self._origin)
        signed = 0 if newest is None else newest.size
        bundles = tx.outbox.bundles_from(self._base + signed, limit=1)
        return bundles[0] if bundles and bundles[0].note is None else None

    # --- signing ---------------------------------------------------------------------

    async def _sign(self, stored: SentBundle, *, waited_for: bool = False) -> bytes:
        """Sign the head behind a stored bundle; return the note once it may leave.

        Args:
            stored: The bundle.
            waited_for: Whether somebody waits for it to leave: then the note is stored with the next commit.
        """
        end = stored.end - self._base
        checkpoint = Checkpoint(origin=self._origin, size=end, root=stored.root)
        # Note times never go back, whatever the clock does.
        self._last_note_s = max(self._clock.now_ms() // 1_000, self._last_note_s)
        return await self._workers.sign(
            self._publish,
            stored,
            checkpoint,
            signer=self._keys.signer(end),
            time_s=self._last_note_s,
            waited_for=waited_for,
        )

    def _publish(
        self,
        stored: SentBundle,
        checkpoint: Checkpoint,
        *,
        signer: HybridSigner,
        time_s: int,
        waited_for: bool,
    ) -> bytes:
        """Sign a head and mark it; return the note once it may leave. Blocks.

        Each step waits for the one before it, and for nothing else: to wake the loop in between would cost
        more than the mark does, and wait behind all that the loop has to do.
        """
        note = sign_checkpoint(checkpoint, signer=signer, time_s=time_s)

        def keep(tx: Transaction) -> None:
            tx.outbox.set_note(stored.start, note)
            tx.logs.put_note(
                StoredNote(
                    origin=checkpoint.origin,
                    size=checkpoint.size,
                    root=checkpoint.root,
                    at_ms=self._clock.now_ms(),
                    note=note,
                )
            )

        if not waited_for:
            self._store.write_now(Step.SIGNED, keep)
        self._high_water.record_now({checkpoint.origin: (checkpoint.size, checkpoint.root)})
        if waited_for:
            # Before the bundle leaves: whatever is written of its answer finds the note.
            self._store.write_soon(Step.SIGNED, keep, linger_s=NOTE_LINGERS_S)
        return note


def _take(tx: Transaction, room: int, *, urgent: bool) -> Sequence[Waiting]:
    """Return the messages that enter the log next.

    When something urgent waits: all that is, as far as there is room, or that and a few others.
    """
    if not urgent:
        return tx.outbox.waiting(limit=room, max_bytes=MAX_MESSAGE_BYTES)
    few = tx.outbox.waiting(limit=min(room, URGENT_BUNDLE), max_bytes=MAX_MESSAGE_BYTES)
    if len(few) < URGENT_BUNDLE or few[-1].rank > Precedence.IMMEDIATE:
        return few
    many = tx.outbox.waiting(limit=room, max_bytes=MAX_MESSAGE_BYTES)
    return [item for item in many if item.rank <= Precedence.IMMEDIATE]
