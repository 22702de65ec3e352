"""A running node: its parts, wired once, and the tasks that own them.

Start-up order matters. The peer port serves `view` and `entries` first, because the peer
may need them to recover. Then, before the first signature, our database, the high-water
file and the peer's view of our log are compared; until that is settled the node accepts
messages but signs nothing.

Spec: docs/spec/exchange.md, "Start".
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway.core.message.reference_lists import NO_LISTS, ReferenceLists
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Schedule
from gateway.core.signature import SigningAwayError
from gateway.errors import OperatorError
from gateway.node.access import AccessBook
from gateway.node.admission import Admission
from gateway.node.agreements import AgreementState, agreement_state
from gateway.node.approvals import ApprovalDesk, ApprovalRules
from gateway.node.attestations import Attestations, ThirdParties
from gateway.node.audit_log import AuditLog
from gateway.node.clock_watch import ClockWatch
from gateway.node.conversations import Conversations
from gateway.node.courier import Breaker, Courier, CourierConfig
from gateway.node.crew import Crew, CrewConfig
from gateway.node.custody import Custody
from gateway.node.deliveries import RollbackError
from gateway.node.eraser import Eraser
from gateway.node.evidence import EvidenceRoom
from gateway.node.forks import FROZEN, GIVEN_UP
from gateway.node.front_door import FrontDoor
from gateway.node.gate import Gate
from gateway.node.hand import Outfit
from gateway.node.health import Health, Phase, WriterWatch, obstacles_of, read_vitals, troubles_of
from gateway.node.housekeeping import Housekeeping
from gateway.node.inbox import Inbox
from gateway.node.inspection import Inspection
from gateway.node.intake import Arrival, Intake
from gateway.node.key_memory import KeyMemory
from gateway.node.log_files import LogFiles
from gateway.node.maintenance import Maintenance
from gateway.node.mirror import MirrorReader
from gateway.node.own_events import OwnEvents
from gateway.node.pair import Pair
from gateway.node.peer_service import PeerService
from gateway.node.queue import Line, QueueDesk
from gateway.node.quotas import Quota, Quotas
from gateway.node.recovery import Recovery
from gateway.node.resumption import Resumption
from gateway.node.room import RESERVE_BYTES, Room
from gateway.node.sequencer import Sequencer
from gateway.node.signing_keys import newest_statement
from gateway.node.succession import Succession
from gateway.node.tracking import Tracking
from gateway.node.vault import Vault
from gateway.node.waiting import wait_for
from gateway.node.workers import Workers
from gateway.ports import (
    Clock,
    Disk,
    Entropy,
    HighWater,
    Incident,
    Keyring,
    OrderBook,
    PeerLink,
    Step,
    Store,
)

log = structlog.get_logger(__name__)

WATCH_S: Final = 1.0
"""Seconds between two looks at disk, quotas and maintenance."""

AWAY_S: Final = 1.0
"""Seconds between two tries of a start whose keys cannot be reached."""

SHIPPING_S: Final = 5.0
"""Seconds that an orderly stop gives the last bundles to reach the peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What an operator can set of a node's behaviour.

    Attributes:
        courier: How it paces and retries.
        max_waiting: Messages in admission at once.
        reserve_bytes: Room on the disk below which it takes nothing new on.
        quota: How much an agency may send that has no quota of its own.
        idempotency_days: Days for which an idempotency key is remembered.
        approvals: Whether changes of the registry and of quotas need two operators.
        crew: Processes that examine and open messages for the node.
        fingerprint: SHA-384 of the configuration in effect, for the audit log; empty for none.
    """

    courier: CourierConfig = field(default_factory=CourierConfig)
    third_parties: tuple[ThirdParties, ...] = ()
    max_waiting: int = 20_000
    lists: ReferenceLists = field(default_factory=lambda: NO_LISTS)
    reserve_bytes: int = RESERVE_BYTES
    quota: Quota = field(default_factory=Quota)
    idempotency_days: int = 30
    approvals: ApprovalRules = field(default_factory=ApprovalRules)
    crew: CrewConfig = field(default_factory=CrewConfig)
    fingerprint: bytes = b""


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
        disk: Disk,
        config: NodeConfig,
    ) -> None:
        """Wire the parts; nothing runs before `run`."""
        self.pair = pair
        self._schedule = schedule
        self.phase = Phase.STARTING
        self._store = store
        self._clock = clock
        self._workers = Workers()
        self._crew = Crew(
            config.crew,
            outfit=Outfit.of(
                pair, schedule, storage_key=keyring.storage_key, log_level=config.crew.log_level
            ),
            seen=lambda: (self._admission.lists, self._reader.announced),
            clock=clock,
        )
        self.started = asyncio.Event()
        self._shipping: asyncio.Task[None] | None = None
        self.log_files = LogFiles(pair, store)
        self._audit = AuditLog(pair)
        self.own_events = OwnEvents(store=store, audit=self._audit, clock=clock)
        self._fingerprint = config.fingerprint
        self.access = AccessBook(store=store, audit=self._audit, clock=clock)
        self._clock_watch = ClockWatch(pair=pair, store=store, audit=self._audit, link=link, clock=clock)
        gate = Gate()
        self._keyring = keyring
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
            audit=self._audit,
            clock=clock,
            workers=self._workers,
            crew=self._crew,
            on_taking=self._courier.notify,
            on_arrival=self._arrived,
            on_frozen=self._frozen,
            on_kem_key_gone=self._kem_key_gone,
        )
        self._admission = Admission(
            pair=pair,
            schedule=schedule,
            store=store,
            vault=vault,
            audit=self._audit,
            clock=clock,
            entropy=entropy,
            workers=self._workers,
            gate=gate,
            crew=self._crew,
            peer=lambda: self._reader.announced,
            lists=config.lists,
            max_waiting=config.max_waiting,
            on_deciding=self._courier.notify,
        )
        self._writer = WriterWatch()
        self._room = Room(disk, reserve_bytes=config.reserve_bytes)
        self.maintenance = Maintenance(
            store=store, audit=self._audit, clock=clock, admitting=lambda: self._admission.waiting
        )
        self.quotas = Quotas(store=store, audit=self._audit, clock=clock, default=config.quota)
        self.approvals = ApprovalDesk(
            store=store,
            audit=self._audit,
            clock=clock,
            entropy=entropy,
            quotas=self.quotas,
            rules=config.approvals,
        )
        self.admission = FrontDoor(
            admission=self._admission,
            gate=gate,
            room=self._room,
            maintenance=self.maintenance,
            quotas=self.quotas,
        )
        self._key_memory = KeyMemory(store=store, clock=clock, keep_days=config.idempotency_days)
        self.queue = QueueDesk(
            store=store,
            audit=self._audit,
            clock=clock,
            line=self._line,
            on_retry=self._courier.hasten,
            on_cancelled=self._ended,
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
            on_collected=self._courier.notify_later,
        )
        self.peer_service = PeerService(
            pair=pair,
            intake=self._intake,
            store=store,
            keyring=keyring,
            high_water=high_water,
            clock=clock,
            workers=self._workers,
            room=self._room,
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
            on_can_sign=self._courier.hasten,
        )
        # Each third party is asked by a task of its own, so that none waits for another.
        self._attestations = tuple(
            Attestations(
                pair=pair,
                audit=self._audit,
                store=store,
                keyring=keyring,
                clock=clock,
                parties=parties,
                may_show=lambda: self._housekeeping.may_sign,
            )
            for parties in config.third_parties
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
                tasks.create_task(self._crew.run(), name="crew")
                tasks.create_task(self._admission.run(), name="admission")
                tasks.create_task(self._watch(), name="watch")
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
        now_ms = self._clock.now_ms()
        vitals = await self._store.read(
            lambda tx: read_vitals(tx, self.pair, audit_origin=self._audit.origin, now_ms=now_ms)
        )
        draining = await self.maintenance.draining()
        # Until the peer has answered once, nothing is known of it.
        reachable = self.phase is not Phase.STARTING and self._courier.reachable
        not_agreed = self.agreement().not_agreed
        return Health(
            phase=self.phase,
            obstacles=obstacles_of(
                self.phase,
                can_sign=self._housekeeping.can_sign,
                store_stalled=self._writer.is_stalled,
                disk_low=self._room.is_low,
                maintenance=draining.since is not None,
            ),
            troubles=troubles_of(
                self.phase,
                reachable=reachable,
                damaged=bool(self._inspection.damaged),
                not_agreed=bool(not_agreed),
                clock_wrong=self._clock_watch.is_wrong,
            ),
            peer=self._courier.breaker,
            reachable=reachable,
            admission=self._admission.waiting,
            turned_away=dict(self.admission.turned_away),
            scrubbed=self._eraser.is_scrubbed,
            room=self._room.left,
            draining=draining,
            vitals=vitals,
            store=self._store.stats(),
            now_ms=now_ms,
            not_agreed=not_agreed,
            damaged=self._inspection.damaged,
            peer_ahead_s=self._clock_watch.peer_ahead_s,
        )

    async def incidents(self, *, limit: int) -> list[Incident]:
        """Return what operators and auditors have to know, the newest first."""
        return await self._store.read(lambda tx: tx.facts.incidents(limit=limit))

    @property
    def catalogue(self) -> Catalogue:
        """Return the catalogue in force."""
        return self._schedule.at(self._clock.now_ms())

    def own_agencies(self) -> frozenset[str]:
        """Return the agencies of this nation that the catalogue in force has."""
        nations = self.catalogue.agreement.agency_nation
        return frozenset(code for code, nation in nations.items() if nation == self.pair.nation)

    def agreement(self) -> AgreementState:
        """Return type by type whether both nodes hold the same, and what is planned."""
        return agreement_state(self._schedule, self._reader.announced, now_ms=self._clock.now_ms())

    def use_lists(self, lists: ReferenceLists) -> None:
        """Warn by these reference lists from the next message on."""
        self._admission.use_lists(lists)

    async def look_at_enrolment(self) -> None:
        """Take out whom the registry file names no more, and end proposals whose time is over."""
        await self.own_events.opened()
        await self.approvals.look()

    async def restate(self) -> None:
        """Put a newer key statement of the keyring into both logs; from there on its keys sign.

        The audit log at once, the exchange log with its own bundle, behind what is in flight.
        """
        await self.own_events.opened()
        statement = self._keyring.statement
        await self._store.write(Step.AUDITED, lambda tx: self._audit.open(tx, statement))
        await self.own_events.record("keys.changed")
        self._sequencer.statement_due = True
        self._courier.notify()

    async def close_books(self) -> None:
        """Record that the node stops, and sign the audit log up to and with that event.

        For the end of an orderly stop, after the ports have drained: without it the last
        events would stay unsigned until the next start. What our log has signed is given the time
        to reach the peer: of an entry that is signed and nowhere else, an older copy of this
        database could not be refilled. Nothing if the log is not open yet.
        """
        if not self.own_events.are_open:
            return
        end_s = self._clock.monotonic_s() + SHIPPING_S
        while self._courier.reachable and self._clock.monotonic_s() < end_s:
            own = await self._store.read(lambda tx: tx.logs.head(self.pair.exchange_origin))
            if own is None or own.size <= self._courier.peer_size:
                break
            await wait_for(self._clock, 0.05)
        await self.access.round(closing=True)
        await self.own_events.record("node.stopped")
        with suppress(SigningAwayError):  # the next start signs it
            await self._housekeeping.sign_audit()

    async def _watch(self) -> None:
        """Look once a second at what may close the front door, and forget old keys."""
        while True:
            self._writer.look(self._store.stats(), now_s=self._clock.monotonic_s())
            await self._room.look()
            await self.quotas.look()
            if self.own_events.are_open:
                await self._clock_watch.look()
            if self.maintenance.since is not None:
                await self.maintenance.draining()
            await self._key_memory.round()
            await self._clock.sleep(WATCH_S)

    async def _exchange(self) -> None:
        """Open the logs, settle what happened before, then ship. House is kept all along."""
        await self._inspection.check_ends()
        await self._succession.open()
        self.own_events.open()
        await self.own_events.record("node.started")
        if self._fingerprint:
            await self.own_events.record_once("config.changed", self._fingerprint)
        await self._clock_watch.open()
        await self.maintenance.open()
        await self.quotas.open()
        # This opens the gate: from here on messages are accepted and shown.
        await self._eraser.open()
        await self._intake.open()
        await self._reader.open(self._store)
        self._say_agreement()
        if self._intake.frozen:
            self._frozen()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._housekeeping.run(), name="housekeeping")
            tasks.create_task(self.access.run(), name="access")
            tasks.create_task(self._inspection.run(), name="inspection")
            self._shipping = tasks.create_task(self._ship(), name="courier")
            tasks.create_task(self.resumption.run(), name="resumption")
            for number, attestations in enumerate(self._attestations):
                tasks.create_task(attestations.run(), name=f"attestations {number}")

    async def _ship(self) -> None:
        """Settle where our log is, then ship it; again when the peer turns out to hold more of it."""
        if await self._is_given_up():
            # What it signed cannot be proven, and both operators have to sign off: until the next
            # generation opens, nothing of this one is signed, compared or shipped.
            self.started.set()
            return
        while True:
            await self._recovery.settle(self._recovering)
            await self._take_up_keys()
            await self._open_log()
            self._settled()
            try:
                await self._courier.run()
            except RollbackError:
                self._recovering()

    async def _open_log(self) -> None:
        """Open our log; while a key that it needs cannot be reached, wait for it."""
        while True:
            try:
                await self._sequencer.open()
            except SigningAwayError:
                self._housekeeping.can_sign = False
                await self._clock.sleep(AWAY_S)
            else:
                return

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
        # The mirror ends here for good: what it has of ours is proven by this note from now on.
        await self._housekeeping.keep_mirror_note()

    def _signed_off(self) -> None:
        self._intake.freeze()
        self._frozen()

    async def _take_up_keys(self) -> None:
        """Go on with the keys that our log states last, if the home has only an older statement."""
        origin = self.pair.exchange_origin
        stated = await self._store.read(lambda tx: newest_statement(tx, origin))
        if stated is not None and self._keyring.take_up_own(stated):
            await self._store.write(Step.AUDITED, lambda tx: self._audit.open(tx, stated))
            await self.own_events.record("keys.changed")
            log.warning("keys.taken_up", origin=origin)

    def _settled(self) -> None:
        """Let everything run that signs: our log is known to be whole."""
        self._intake.admit()
        self._housekeeping.may_sign = True
        self._admission.paused = False
        self.phase = Phase.FROZEN if self._intake.frozen else Phase.RUNNING
        self.started.set()
        self.tracking.moved()
        log.info("node.running", node=self.pair.node, peer=self.pair.peer_node)

    def _recovering(self) -> None:
        """Sign, cosign and accept nothing until our log is whole again."""
        self._intake.suspend()
        self._housekeeping.may_sign = False
        self._admission.paused = True
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

    def _ended(self) -> None:
        """A waiting message has ended: the log has to say so, and whoever watches it learns it."""
        self._due()
        self.tracking.moved()

    def _line(self) -> Line:
        """Return how the way to the peer is, for operators."""
        return Line(
            trouble=self._courier.trouble,
            frozen=self._courier.breaker is Breaker.FROZEN,
            recovering=self.phase in {Phase.STARTING, Phase.RECOVERING},
            peer_key=self._sequencer.peer_key is not None,
        )

    def _arrived(self, arrival: Arrival) -> None:
        effects = arrival.effects
        if effects.peer_recovered:
            self._courier.doubt()
        if effects.sending_due or effects.kem_key is not None:
            self._courier.notify()
        self.inbox.arrived(arrival.agencies)
        if effects.messages_moved:
            self.tracking.moved()
        if effects.agreements:
            self._say_agreement()

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
