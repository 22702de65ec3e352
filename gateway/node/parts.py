"""The parts of a node, wired once, and what one of them tells another.

Wiring says which part knows which. What it cannot say, because it is about the node as a whole,
stands below it: what follows from a bundle that has arrived, from a fork, from a message that
has ended. `gateway.node.runtime` gives the parts their tasks.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from gateway.core.message.instants import time_text
from gateway.core.message.reference_lists import NO_LISTS, ReferenceLists
from gateway.core.message.schedule import Schedule
from gateway.node.access import AccessBook
from gateway.node.admission import Admission
from gateway.node.agreements import AgreementState, agreement_state
from gateway.node.approvals import ApprovalDesk, ApprovalRules
from gateway.node.attestations import Attestations, ThirdParties
from gateway.node.audit_log import AuditLog
from gateway.node.beginning import Beginning
from gateway.node.clock_watch import ClockWatch
from gateway.node.conversations import Conversations
from gateway.node.courier import Courier, CourierConfig
from gateway.node.crew import Crew, CrewConfig
from gateway.node.custody import Custody
from gateway.node.eraser import Eraser
from gateway.node.evidence import EvidenceRoom
from gateway.node.front_door import FrontDoor
from gateway.node.gate import Gate
from gateway.node.hand import Outfit
from gateway.node.health import Phase, WriterWatch
from gateway.node.housekeeping import Housekeeping
from gateway.node.inbox import Inbox
from gateway.node.inspection import Inspection
from gateway.node.intake import Intake
from gateway.node.key_memory import KeyMemory
from gateway.node.log_files import LogFiles
from gateway.node.maintenance import Maintenance
from gateway.node.mirror import Effects, MirrorReader
from gateway.node.own_events import OwnEvents
from gateway.node.pair import Pair
from gateway.node.patience import Breaker, Patience
from gateway.node.peer_service import PeerService
from gateway.node.queue import Line, QueueDesk
from gateway.node.quotas import Quota, Quotas
from gateway.node.recovery import Recovery
from gateway.node.resumption import Resumption
from gateway.node.room import RESERVE_BYTES, Room
from gateway.node.sequencer import Sequencer
from gateway.node.succession import Succession
from gateway.node.tracking import Tracking
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import Clock, Disk, Entropy, HighWater, Keyring, OrderBook, PeerLink, Store

log = structlog.get_logger(__name__)


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


class Parts:
    """All parts of one node, none of which runs yet."""

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
        """Wire the parts; nothing runs before `gateway.node.runtime.Node.run`."""
        self.pair = pair
        self._schedule = schedule
        self.phase = Phase.STARTING
        # A certificate or revocation list has: said by whoever looks at the files of trust, told by health.
        self.trust_has_ended = False
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
        self._beginning = Beginning(store)
        self.tracking = Tracking(
            pair=pair,
            store=store,
            audit=self._audit,
            clock=clock,
            beginning=self._beginning,
            on_void=self._due,
        )
        self.conversations = Conversations(
            schedule=schedule, store=store, vault=vault, clock=clock, gate=gate
        )
        self._patience = Patience(
            peer=pair.peer_node,
            clock=clock,
            entropy=entropy,
            first_wait_s=config.courier.first_wait_s,
            longest_wait_s=config.courier.longest_wait_s,
        )
        self._courier = Courier(
            pair=pair,
            sequencer=self._sequencer,
            store=store,
            keyring=keyring,
            link=link,
            clock=clock,
            workers=self._workers,
            patience=self._patience,
            pace_ms=config.courier.pace_ms,
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
            on_urgent=self._courier.due.expect,
            on_taking=self._courier.due.receipt,
            receipt_made=self._courier.due.caught_up,
            urgent_answered=self._courier.due.urgent_left,
            on_arrival=self._arrived,
            on_messages=self._let_see,
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
            on_deciding=self._courier.due.accepting,
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
            beginning=self._beginning,
            on_retry=self._patience.hasten,
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
            delivered=self._courier.delivered,
        )
        self.inbox = Inbox(
            pair=pair,
            store=store,
            vault=vault,
            audit=self._audit,
            clock=clock,
            workers=self._workers,
            gate=gate,
            on_collected=self._courier.due.notify_later,
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
            on_contact=self._patience.called,
        )
        self._eraser = Eraser(
            store=store,
            orders=orders,
            audit=self._audit,
            clock=clock,
            gate=gate,
            beginning=self._beginning,
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
            beginning=self._beginning,
            clock=clock,
            workers=self._workers,
            on_due=self._due,
            on_expired=self.tracking.moved,
            on_can_sign=self._patience.hasten,
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
                may_show=lambda: self._beginning.is_settled,
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
            beginning=self._beginning,
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
            workers=self._workers,
            patience=self._patience,
            on_shown=self._sequencer.not_before,
        )

    def agreement(self) -> AgreementState:
        """Return type by type whether both nodes hold the same, and what is planned."""
        return agreement_state(self._schedule, self._reader.announced, now_ms=self._clock.now_ms())

    def _due(self) -> None:
        self._courier.due.notify()

    def _ended(self) -> None:
        """A waiting message has ended: the log has to say so, and whoever watches it learns it."""
        self._due()
        self.tracking.moved()

    def _line(self) -> Line:
        """Return how the way to the peer is, for operators."""
        return Line(
            trouble=self._courier.trouble,
            frozen=self._intake.frozen,
            recovering=self.phase in {Phase.STARTING, Phase.RECOVERING},
            peer_key=self._sequencer.peer_key is not None,
        )

    def _arrived(self, effects: Effects) -> None:
        if effects.peer_recovered:
            self._courier.doubt()
        if effects.sending_due or effects.kem_key is not None:
            self._courier.due.notify()
        if effects.messages_moved:
            self.tracking.moved()
        if effects.agreements:
            self._say_agreement()

    def _let_see(self, agencies: frozenset[str]) -> None:
        self.inbox.arrived(agencies)

    def _say_agreement(self) -> None:
        """Tell the operator which types do not flow, and which will not after a planned change, by name."""
        state = self.agreement()
        if state.not_agreed:
            log.warning("agreement.differs", peer=self.pair.peer_node, types=list(state.not_agreed))
        else:
            log.info("agreement.same", peer=self.pair.peer_node)
        if state.difference is not None:
            time_ms, types = state.difference
            effective = time_text(time_ms)
            log.warning(
                "agreement.will_differ", peer=self.pair.peer_node, effective=effective, types=list(types)
            )

    def _frozen(self) -> None:
        self.phase = Phase.FROZEN
        self._courier.freeze()

    def _signed_off(self) -> None:
        self._intake.freeze()
        self._frozen()

    async def _quiet(self) -> None:
        """Return once nothing appends to our log or to the mirror any more."""
        if self._shipping is not None:
            self._shipping.cancel()
            await asyncio.wait([self._shipping])
        await self._intake.quiet()
        # The mirror ends here for good: what it has of ours is proven by this note from now on.
        await self._housekeeping.keep_mirror_note()

    async def _peer_rolled_back(self, size: int, cosigned: int) -> None:
        await self._recovery.peer_rolled_back(size, cosigned)
        self.tracking.moved()

    def _kem_key_gone(self) -> None:
        """Announce another KEM key before the receipt that says so leaves, if one is due."""
        if self._sequencer.rotate_kem():
            self._due()
