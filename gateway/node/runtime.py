"""A running node: its parts, wired once, and the tasks that own them.

Start-up order matters. The peer port serves `view` and `entries` first, because the peer
may need them to recover. Then, before the first signature, our database, the high-water
file and the peer's view of our log are compared; until that is settled the node accepts
messages but signs nothing.

Spec: docs/spec/exchange.md, "Start".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import structlog

from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Schedule
from gateway.core.states import State
from gateway.errors import OperatorError
from gateway.node.admission import Admission
from gateway.node.agreements import AgreementState, agreement_state
from gateway.node.audit_log import NODE, AuditLog
from gateway.node.conversations import Conversations
from gateway.node.courier import Breaker, Courier, CourierConfig, RollbackError
from gateway.node.custody import Custody
from gateway.node.eraser import Eraser
from gateway.node.evidence import EvidenceRoom
from gateway.node.forks import FROZEN, GIVEN_UP
from gateway.node.gate import Gate
from gateway.node.housekeeping import Housekeeping
from gateway.node.inbox import Inbox
from gateway.node.inspection import Inspection
from gateway.node.intake import Arrival, Intake
from gateway.node.log_files import LogFiles
from gateway.node.mirror import MirrorReader
from gateway.node.pair import Pair
from gateway.node.peer_service import PeerService
from gateway.node.recovery import Recovery
from gateway.node.resumption import Resumption
from gateway.node.sequencer import Sequencer
from gateway.node.succession import Succession
from gateway.node.tracking import Tracking
from gateway.node.vault import Vault
from gateway.node.waiting import wait_for
from gateway.node.workers import Workers
from gateway.ports import (
    Clock,
    Entropy,
    HighWater,
    Keyring,
    LogHead,
    OrderBook,
    PeerLink,
    Step,
    Store,
    Transaction,
)

log = structlog.get_logger(__name__)


SHIPPING_S: Final = 5.0
"""Seconds that an orderly stop gives the last bundles to reach the peer."""


class Phase(StrEnum):
    """Where a node is in its life."""

    STARTING = "starting"
    RECOVERING = "recovering"
    RUNNING = "running"
    FROZEN = "frozen"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What an operator can set of a node's behaviour."""

    courier: CourierConfig = field(default_factory=CourierConfig)
    max_waiting: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What readiness and metrics report.

    Attributes:
        phase: Where the node is.
        ready: True if it accepts, signs and writes.
        peer: State of the circuit breaker towards the peer.
        reachable: True if the last exchange with the peer worked.
        waiting: Accepted messages that were not sent yet.
        admission: Messages being decided right now.
        held: Messages that a legal hold keeps.
        scrubbed: True if nothing that was erased is left in the files of the database.
        own: Head of the own exchange log, or None before it exists.
        mirror: Head of the peer's log, or None.
        not_agreed: Types of which the two nodes hold different versions; empty while the peer
            has announced none.
        damaged: Logs that the database does not hold as they were appended.
    """

    phase: Phase
    ready: bool
    peer: Breaker
    reachable: bool
    waiting: int
    admission: int
    held: int
    scrubbed: bool
    own: LogHead | None
    mirror: LogHead | None
    not_agreed: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


class Node:
    """All parts of one node. `run` owns every task of it."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        store: Store,
        keyring: Keyring,
        high_water: HighWater,
        orders: OrderBook,
        link: PeerLink,
        clock: Clock,
        entropy: Entropy,
        config: NodeConfig,
    ) -> None:
        """Wire the parts; nothing runs before `run`."""
        self.pair = pair
        self._schedule = schedule
        self.phase = Phase.STARTING
        self._store = store
        self._clock = clock
        self._workers = Workers()
        self.started = asyncio.Event()
        self._shipping: asyncio.Task[None] | None = None
        self.log_files = LogFiles(pair, store)
        self._audit = AuditLog(pair)
        gate = Gate()
        vault = Vault(keyring.storage_key)
        self._sequencer = Sequencer(
            pair=pair,
            schedule=schedule,
            store=store,
            keyring=keyring,
            vault=vault,
            audit=self._audit,
            high_water=high_water,
            clock=clock,
            entropy=entropy,
            workers=self._workers,
        )
        self._succession = Succession(
            pair=pair,
            store=store,
            keyring=keyring,
            high_water=high_water,
            audit=self._audit,
            clock=clock,
            workers=self._workers,
        )
        self._reader = MirrorReader(pair=pair, keyring=keyring, on_kem_key=self._sequencer.use_peer_key)
        self.tracking = Tracking(
            pair=pair,
            store=store,
            audit=self._audit,
            clock=clock,
            on_void=self._due,
        )
        self.conversations = Conversations(
            schedule=schedule, store=store, vault=vault, clock=clock, gate=gate
        )
        self._courier = Courier(
            pair=pair,
            sequencer=self._sequencer,
            store=store,
            keyring=keyring,
            link=link,
            clock=clock,
            entropy=entropy,
            workers=self._workers,
            config=config.courier,
            on_moved=self.tracking.moved,
            on_peer_rollback=self._peer_rolled_back,
        )
        self._intake = Intake(
            pair=pair,
            schedule=schedule,
            store=store,
            keyring=keyring,
            vault=vault,
            high_water=high_water,
            reader=self._reader,
            clock=clock,
            workers=self._workers,
            on_arrival=self._arrived,
            on_frozen=self._frozen,
            on_kem_key_gone=self._kem_key_gone,
        )
        self.admission = Admission(
            pair=pair,
            schedule=schedule,
            store=store,
            vault=vault,
            audit=self._audit,
            clock=clock,
            entropy=entropy,
            workers=self._workers,
            gate=gate,
            peer=lambda: self._reader.announced,
            max_waiting=config.max_waiting,
            on_accepted=self._courier.notify,
        )
        self.evidence = EvidenceRoom(
            pair=pair,
            schedule=schedule,
            store=store,
            vault=vault,
            audit=self._audit,
            clock=clock,
            workers=self._workers,
            gate=gate,
            view=self._intake.view,
        )
        self.inbox = Inbox(
            pair=pair,
            store=store,
            vault=vault,
            audit=self._audit,
            clock=clock,
            workers=self._workers,
            gate=gate,
            on_collected=self._due,
        )
        self.peer_service = PeerService(
            pair=pair,
            intake=self._intake,
            store=store,
            keyring=keyring,
            high_water=high_water,
            clock=clock,
            workers=self._workers,
            on_contact=self._courier.thaw,
        )
        self._eraser = Eraser(
            store=store,
            orders=orders,
            audit=self._audit,
            clock=clock,
            gate=gate,
            on_due=self._due,
            on_erased=self.tracking.moved,
        )
        self.custody = Custody(
            store=store, orders=orders, audit=self._audit, eraser=self._eraser, clock=clock
        )
        self._housekeeping = Housekeeping(
            store=store,
            keyring=keyring,
            sequencer=self._sequencer,
            audit=self._audit,
            high_water=high_water,
            link=link,
            intake=self._intake,
            eraser=self._eraser,
            clock=clock,
            workers=self._workers,
            on_due=self._due,
            on_expired=self.tracking.moved,
        )
        self.resumption = Resumption(
            pair=pair,
            store=store,
            keyring=keyring,
            high_water=high_water,
            audit=self._audit,
            link=link,
            clock=clock,
            is_frozen=lambda: self._intake.frozen or self._courier.breaker is Breaker.FROZEN,
            on_signed_off=self._signed_off,
            quiet=self._quiet,
        )
        self._inspection = Inspection(store=store, audit=self._audit, clock=clock)
        self.recovery = self._recovery = Recovery(
            pair=pair,
            store=store,
            keyring=keyring,
            high_water=high_water,
            audit=self._audit,
            succession=self._succession,
            link=link,
            clock=clock,
            entropy=entropy,
            workers=self._workers,
        )

    async def run(self) -> None:
        """Run the node until cancelled or until something only an operator can mend happens.

        Raises:
            OperatorError: The store failed, or the log was rolled back and cannot be refilled.
        """
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.admission.run(), name="admission")
                tasks.create_task(self._exchange(), name="exchange")
        except* OperatorError as group:
            failure = group.exceptions[0]
            while isinstance(failure, BaseExceptionGroup):
                failure = failure.exceptions[0]
        finally:
            self.phase = Phase.STOPPING
            self._workers.close()
        if failure is not None:
            # Raised here and not above: what leaves an `except*` is wrapped in a group again.
            log.critical("node.failed", code=getattr(failure, "code", "internal"))
            raise failure

    async def health(self) -> Health:
        """Return what readiness and metrics report."""

        def load(tx: Transaction) -> tuple[int, int, LogHead | None, LogHead | None]:
            return (
                tx.outbox.count(State.ACCEPTED),
                tx.removal.held(),
                tx.logs.head(self.pair.exchange_origin),
                tx.logs.head(self.pair.peer_origin),
            )

        waiting, held, own, mirror = await self._store.read(load)
        return Health(
            phase=self.phase,
            ready=self.phase is Phase.RUNNING,
            peer=self._courier.breaker,
            # Until the peer has answered once, nothing is known of it.
            reachable=self.phase is not Phase.STARTING and self._courier.reachable,
            waiting=waiting,
            admission=self.admission.waiting,
            held=held,
            scrubbed=self._eraser.is_scrubbed,
            own=own,
            mirror=mirror,
            not_agreed=self.agreement().not_agreed,
            damaged=self._inspection.damaged,
        )

    @property
    def catalogue(self) -> Catalogue:
        """Return the catalogue in force."""
        return self._schedule.at(self._clock.now_ms())

    def agreement(self) -> AgreementState:
        """Return type by type whether both nodes hold the same, and what is planned."""
        return agreement_state(self._schedule, self._reader.announced, now_ms=self._clock.now_ms())

    async def record(self, event: str, *, outcome: str = "ok") -> None:
        """Write an event of the node itself to the audit log."""
        entries = self._audit.event(at_ms=self._clock.now_ms(), actor=NODE, event=event, outcome=outcome)
        await self._store.write(Step.AUDITED, lambda tx: self._audit.append(tx, entries))

    async def close_books(self) -> None:
        """Record that the node stops, and sign the audit log up to and with that event.

        For the end of an orderly stop, after the ports have drained: without it the last
        events would stay unsigned until the next start. What our log has signed is given the time
        to reach the peer: of an entry that is signed and nowhere else, an older copy of this
        database could not be refilled.
        """
        end_s = self._clock.monotonic_s() + SHIPPING_S
        while self._courier.reachable and self._clock.monotonic_s() < end_s:
            own = await self._store.read(lambda tx: tx.logs.head(self.pair.exchange_origin))
            if own is None or own.size <= self._courier.peer_size:
                break
            await wait_for(self._clock, 0.05)
        await self.record("node.stopped")
        await self._housekeeping.sign_audit()

    async def _exchange(self) -> None:
        """Open the logs, settle what happened before, then ship. House is kept all along."""
        await self._inspection.check_ends()
        await self._succession.open()
        await self.record("node.started")
        await self._eraser.open()
        await self._intake.open()
        await self._reader.open(self._store)
        self._say_agreement()
        if self._intake.frozen:
            self._frozen()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._housekeeping.run(), name="housekeeping")
            tasks.create_task(self._inspection.run(), name="inspection")
            self._shipping = tasks.create_task(self._ship(), name="courier")
            tasks.create_task(self.resumption.run(), name="resumption")

    async def _ship(self) -> None:
        """Settle where our log is, then ship it; again when the peer turns out to hold more of it."""
        if await self._is_given_up():
            # What it signed cannot be proven, and both operators have to sign off: until the next
            # generation opens, nothing of this one is signed, compared or shipped.
            self.started.set()
            return
        while True:
            await self._recovery.settle(self._recovering)
            await self._sequencer.open()
            self._settled()
            try:
                await self._courier.run()
            except RollbackError:
                self._recovering()

    async def _is_given_up(self) -> bool:
        """Return whether operators have given this generation up while the node was stopped."""
        frozen = await self._store.read(lambda tx: tx.facts.get(FROZEN))
        return frozen is not None and frozen.startswith(f"{GIVEN_UP} ")

    async def _quiet(self) -> None:
        """Return once nothing appends to our log or to the mirror any more."""
        if self._shipping is not None:
            self._shipping.cancel()
            await asyncio.wait([self._shipping])
        await self._intake.quiet()

    def _signed_off(self) -> None:
        self._intake.freeze()
        self._frozen()

    def _settled(self) -> None:
        """Let everything run that signs: our log is known to be whole."""
        self._intake.admit()
        self._housekeeping.may_sign = True
        self.admission.paused = False
        self.phase = Phase.FROZEN if self._intake.frozen else Phase.RUNNING
        self.started.set()
        self.tracking.moved()
        log.info("node.running", node=self.pair.node, peer=self.pair.peer_node)

    def _recovering(self) -> None:
        """Sign, cosign and accept nothing until our log is whole again."""
        self._intake.suspend()
        self._housekeeping.may_sign = False
        self.admission.paused = True
        self.phase = Phase.RECOVERING

    def _say_agreement(self) -> None:
        """Tell the operator which types do not flow, by name."""
        types = self.agreement().not_agreed
        if types:
            log.warning("agreement.differs", peer=self.pair.peer_node, types=list(types))
        else:
            log.info("agreement.same", peer=self.pair.peer_node)

    def _due(self) -> None:
        self._courier.notify()

    def _arrived(self, arrival: Arrival) -> None:
        self.inbox.arrived(arrival.agencies)
        if arrival.effects.messages_moved:
            self.tracking.moved()
        effects = arrival.effects
        if effects.agreements:
            self._say_agreement()
        if effects.peer_recovered:
            self._courier.doubt()
        if arrival.receipts_due or effects.sending_due or effects.kem_key is not None:
            self._courier.notify(arrival.rank)

    def _frozen(self) -> None:
        self.phase = Phase.FROZEN
        self._courier.freeze()

    async def _peer_rolled_back(self, size: int, cosigned: int) -> None:
        await self._recovery.peer_rolled_back(size, cosigned)
        self.tracking.moved()

    def _kem_key_gone(self) -> None:
        """Announce another KEM key before the receipt that says so leaves, if one is due."""
        if self._sequencer.rotate_kem():
            self._due()
