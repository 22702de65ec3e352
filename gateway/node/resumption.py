"""Resumption: how people let a pair go on whose logs cannot.

A pair is frozen when one of the two logs has two signed histories, or when a node cannot prove what
it signed. Nothing heals by itself: the operators of both nodes look, talk, and sign off, each at
their own node with a reason. A node that has a sign-off asks the other for its own; once both
are there, each closes both exchange logs as it holds them and opens the next generation of them
(`gateway.core.generation`), whose first entry cites the old head.

In one transaction: the new logs with their first bundle, what the old log still had to say to the
peer, and every message back to *accepted* that no receipt speaks of, so that it is sequenced
anew. The receiver knows by the message's id what it has already, and only its answer ends such a
message: also one whose time is over, and one whose content is gone.

What a crash leaves behind: before that transaction a frozen pair with its sign-offs, and the
next start asks again; after it the new generation, and the peer that has not opened it yet
finds it by asking.

Spec: docs/spec/exchange.md, "Frozen pair".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from gateway.core.digest import digest_of
from gateway.core.entries import (
    AnchorEntry,
    CollectedEntry,
    Entry,
    IncidentEntry,
    IncidentKind,
    KeyStatementEntry,
    VoidEntry,
    decode_entry,
    encode_entry,
)
from gateway.core.generation import first_place, generation_of
from gateway.core.merkle import Hash
from gateway.errors import MalformedError, PeerError, RejectedError, UnavailableError
from gateway.node.audit_log import NODE, Actor, AuditLog
from gateway.node.beginning import Beginning
from gateway.node.forks import FROZEN
from gateway.node.inspection import UNREADABLE, LogDamagedError
from gateway.node.log_writer import append_bundle, ensure_log, newest_generation
from gateway.node.pair import Pair
from gateway.node.waiting import wait_for
from gateway.ports import (
    Clock,
    HighWater,
    Incident,
    Keyring,
    LogKind,
    PeerLink,
    Standing,
    Step,
    Store,
    Transaction,
)

log = structlog.get_logger(__name__)

BY_PEER: Final = "peer"
"""Instead of a reason for freezing: the peer says that the pair is frozen, and this node knows of none."""

RESUMES: Final = "resumes"
"""Setting: the generation that this node's operators have signed off for; absent while none."""

POLL_S: Final = 2.0

MOST_AHEAD: Final = 64
"""Generations that the peer may name beyond those that this node knows. It is further ahead only of a
database that is as many resumptions old; without a bound one answer of it would use up all the numbers."""

CARRIED_AT_ONCE: Final = 512
"""Entries of the old log that one bundle of the new one repeats."""


class NotFrozenError(RejectedError):
    """The pair is not frozen, and the peer does not ask for a new generation either."""

    code = "pair-not-frozen"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairState:
    """What operators see of a pair.

    Attributes:
        generation: Of the exchange logs.
        frozen: Why the pair is frozen here, or None.
        signed_off: Generation that was signed off for here; 0 for none.
        peer: What the peer says, or None if it does not answer.
        leaps: Whether the generation that the peer names is refused: it is too far ahead.
        forks: Proven forks with both notes, the newest first.
    """

    generation: int
    frozen: str | None
    signed_off: int
    peer: Standing | None
    leaps: bool
    forks: tuple[Incident, ...]


class Resumption:
    """Takes sign-offs, and opens the next generation once both are there. One task runs it."""

    def __init__(
        self,
        *,
        pair: Pair,
        store: Store,
        keyring: Keyring,
        high_water: HighWater,
        audit: AuditLog,
        link: PeerLink,
        clock: Clock,
        beginning: Beginning,
        is_frozen: Callable[[], bool],
        on_signed_off: Callable[[], None],
        quiet: Callable[[], Awaitable[None]],
    ) -> None:
        """Wire it.

        Args:
            pair: Names of the two nodes.
            store: Where logs and messages are kept.
            keyring: Holds the key statement.
            high_water: Knows of generations that a restored database may have forgotten.
            audit: Writes events.
            link: The peer.
            clock: Time.
            beginning: Says which waiting messages may have been sent all the same.
            is_frozen: Whether this node has frozen the pair, or the peer has.
            on_signed_off: Told that nothing may be exchanged any more in this generation.
            quiet: Returns once nothing appends to either exchange log any more.
        """
        self._pair = pair
        self._store = store
        self._keyring = keyring
        self._high_water = high_water
        self._audit = audit
        self._link = link
        self._clock = clock
        self._beginning = beginning
        self._is_frozen = is_frozen
        self._on_signed_off = on_signed_off
        self._quiet = quiet
        self._signed_off = asyncio.Event()
        self._leap_told = False
        self.opened = asyncio.Event()

    async def state(self) -> PairState:
        """Return how the pair stands; the peer is asked."""

        def load(tx: Transaction) -> tuple[str | None, int, tuple[Incident, ...]]:
            return tx.facts.get(FROZEN), int(tx.facts.get(RESUMES) or 0), tuple(_proven_forks(tx))

        frozen, signed_off, forks = await self._store.read(load)
        if frozen is None and self._is_frozen():
            frozen = BY_PEER
        standing = await self._standing()
        return PairState(
            generation=self._pair.generation,
            frozen=frozen,
            signed_off=signed_off,
            peer=standing,
            leaps=standing is not None and self._leaps(standing),
            forks=forks,
        )

    async def sign_off(self, actor: Actor, reason: str) -> PairState:
        """Record that this node's operators want the pair to go on in a new generation.

        A repeat changes nothing.

        Raises:
            NotFrozenError: There is nothing to resume.
        """
        standing = await self._claimed()
        own = self._pair.generation
        asked = standing is not None and (standing.frozen or max(standing.resumes, standing.generation) > own)
        if not self._is_frozen() and not asked:
            msg = "the pair is not frozen"
            raise NotFrozenError(msg)
        known = [self._known()]
        if standing is not None:
            known += [standing.generation, standing.resumes - 1]
        now_ms = self._clock.now_ms()
        await self._store.write(
            Step.RECOVERED,
            lambda tx: put_sign_off(tx, self._audit, actor, reason, target=max(known) + 1, now_ms=now_ms),
        )
        log.warning("pair.signed_off", peer=self._pair.peer_node)
        self._on_signed_off()
        self._signed_off.set()
        return await self.state()

    async def run(self) -> None:
        """Wait for both sign-offs, open the next generation, and tell so; until cancelled."""
        target = await self._store.read(lambda tx: int(tx.facts.get(RESUMES) or 0))
        while target == 0:
            await self._signed_off.wait()
            target = await self._store.read(lambda tx: int(tx.facts.get(RESUMES) or 0))
        while not self.opened.is_set():
            standing = await self._claimed()
            if standing is not None:
                # Whoever knows of a later generation is followed: a number is never used twice.
                wanted = max(target, standing.resumes, standing.generation)
                if wanted > target:
                    target = wanted
                    await self._store.write(Step.RECOVERED, lambda tx: tx.facts.put(RESUMES, str(wanted)))  # noqa: B023 - done before it changes
                if target in {standing.resumes, standing.generation}:
                    await self._open(target)
                    return
            await wait_for(self._clock, POLL_S)

    async def _standing(self) -> Standing | None:
        try:
            return await self._link.standing()
        except (UnavailableError, PeerError) as error:
            log.info("pair.waiting", peer=self._pair.peer_node, code=error.code)
            return None

    async def _claimed(self) -> Standing | None:
        """Return what the peer says; None if it does not answer, or names a generation too far ahead."""
        standing = await self._standing()
        if standing is None or not self._leaps(standing):
            return standing
        if not self._leap_told:
            self._leap_told = True
            log.error("pair.leap_refused", peer=self._pair.peer_node)
        return None

    def _leaps(self, standing: Standing) -> bool:
        return max(standing.generation, standing.resumes) > self._known() + MOST_AHEAD

    def _known(self) -> int:
        """Return the newest generation that the database or the high-water file of this node knows."""
        return max([self._pair.generation, *remembered_generations(self._high_water.read(), self._pair)])

    async def _open(self, generation: int) -> None:
        # What was handed to the store before this is done before the opening, and nothing after.
        await self._quiet()
        moved = await self._store.write(Step.RECOVERED, lambda tx: self._open_next(tx, generation))
        log.warning("pair.resumed", peer=self._pair.peer_node, generation=generation, messages=moved)
        self.opened.set()

    def _open_next(self, tx: Transaction, generation: int) -> int:
        """Close both logs and open the next; return how many messages are sequenced anew."""
        now_ms = self._clock.now_ms()
        following = replace(self._pair, generation=generation)
        old = ensure_log(tx, self._pair.exchange_origin, LogKind.EXCHANGE)
        mirror = ensure_log(tx, self._pair.peer_origin, LogKind.MIRROR)
        newest = tx.logs.newest_note(old.origin, cosigned=True)
        held = 0 if newest is None else min(newest.size, old.size)
        ensure_log(tx, following.peer_origin, LogKind.MIRROR)
        opening: list[Entry] = [
            AnchorEntry(origin=old.origin, size=old.size, root=old.edge.root()),
            AnchorEntry(origin=mirror.origin, size=mirror.size, root=mirror.edge.root()),
            *_fork_entries(tx),
            # It closes its bundle.
            KeyStatementEntry(statement=self._keyring.statement),
        ]
        append_bundle(tx, following.exchange_origin, list(map(encode_entry, opening)), at_ms=now_ms)
        carried = self._unheard(tx, old.origin, held, old.size)
        for at in range(0, len(carried), CARRIED_AT_ONCE):
            append_bundle(tx, following.exchange_origin, carried[at : at + CARRIED_AT_ONCE], at_ms=now_ms)
        moved = tx.outbox.start_anew(
            first_place(self._pair.generation), in_doubt=self._beginning.certain_above
        )
        tx.inbox.start_anew()
        tx.facts.put(FROZEN, None)
        tx.facts.put(RESUMES, None)
        event = self._audit.event(
            at_ms=now_ms,
            actor=NODE,
            event="pair.resumed",
            details=(generation, old.size, old.edge.root(), mirror.size, mirror.edge.root()),
        )
        self._audit.append(tx, event)
        return moved

    def _unheard(self, tx: Transaction, origin: str, start: int, end: int) -> list[bytes]:
        """Return what the old log said that the peer may never have read, and still needs.

        Not its receipts: of those messages the sender knows nothing, and sends them anew.
        """
        found: list[bytes] = []
        for at in range(start, end, CARRIED_AT_ONCE):
            for data in tx.logs.entries(origin, at, min(at + CARRIED_AT_ONCE, end)):
                try:
                    entry = decode_entry(data)
                except MalformedError:
                    continue  # of a later version: ours, without effect here
                is_erasure = isinstance(entry, IncidentEntry) and entry.incident == IncidentKind.ERASED
                if is_erasure or isinstance(entry, CollectedEntry | VoidEntry):
                    found.append(data)
        return found


def put_sign_off(
    tx: Transaction,
    audit: AuditLog,
    actor: Actor,
    reason: str,
    *,
    target: int,
    now_ms: int,
    why: str = "signed-off",
) -> None:
    """Record a sign-off and freeze the pair; a later one for the same generation changes nothing.

    Args:
        tx: The running transaction.
        audit: Writes the event.
        actor: Who signs off.
        reason: Why; its digest goes into the audit log.
        target: Generation that is to open.
        now_ms: UTC milliseconds.
        why: Word for the reason of freezing, unless the pair is frozen already.
    """
    if int(tx.facts.get(RESUMES) or 0) >= target:
        return
    tx.facts.put(RESUMES, str(target))
    if tx.facts.get(FROZEN) is None or why != "signed-off":
        tx.facts.put(FROZEN, f"{why} {now_ms}")
    event = audit.event(
        at_ms=now_ms, actor=actor, event="pair.signed_off", details=(target, digest_of(reason.encode()))
    )
    audit.append(tx, event)


def remembered_generations(marks: Mapping[str, tuple[int, Hash]], pair: Pair) -> Sequence[int]:
    """Return the generations of the exchange logs that the high-water file knows."""
    firsts = (pair.first_exchange_origin, pair.first_peer_origin)
    found = (generation_of(first, origin) for origin in marks for first in firsts)
    return [generation for generation in found if generation is not None]


def stored_generation(tx: Transaction, pair: Pair) -> int:
    """Return the generation of the exchange logs that a database holds."""
    return newest_generation(tx, pair.first_exchange_origin, LogKind.EXCHANGE)


async def in_stored_generation(store: Store, pair: Pair) -> Pair:
    """Return a pair in the generation of its logs that a database holds.

    Raises:
        LogDamagedError: The database does not even hold what every log has.
    """
    try:
        return replace(pair, generation=await store.read(lambda tx: stored_generation(tx, pair)))
    except MalformedError as error:
        raise LogDamagedError(UNREADABLE) from error


def _fork_entries(tx: Transaction) -> list[IncidentEntry]:
    """Return the newest proven fork as an entry, for the auditors of both nations."""
    kind = IncidentKind.FORK
    return [
        IncidentEntry(incident=kind, origin=fork.origin, size=fork.size, root=fork.root)
        for fork in _proven_forks(tx)[:1]
    ]


def _proven_forks(tx: Transaction) -> list[Incident]:
    """Return the forks that signed notes prove, the newest first, and none that the peer merely states."""
    return [
        item
        for item in tx.facts.incidents(limit=1_000)
        if item.kind == IncidentKind.FORK and not item.is_stated
    ]
