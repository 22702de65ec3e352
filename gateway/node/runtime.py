"""A running node: the life of its parts, and the tasks that own them.

Start-up order matters. The peer port serves `view` and `entries` first, because the peer
may need them to recover. Then, before the first signature, our database, the high-water
file and the peer's view of our log are compared; until that is settled the node accepts
messages but signs nothing.

Spec: docs/spec/exchange.md, "Start".
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from gateway.core.message.reference_lists import ReferenceLists
from gateway.core.message.registry import Catalogue
from gateway.core.signature import SigningAwayError
from gateway.errors import OperatorError
from gateway.node.deliveries import RollbackError
from gateway.node.forks import FROZEN, GIVEN_UP
from gateway.node.health import Health, Phase, obstacles_of, read_vitals, troubles_of
from gateway.node.parts import Parts
from gateway.node.patience import Breaker
from gateway.node.signing_keys import newest_statement
from gateway.node.waiting import wait_for
from gateway.ports import Incident, Step

log = structlog.get_logger(__name__)

WATCH_S: Final = 1.0
"""Seconds between two looks at disk, quotas and maintenance."""

AWAY_S: Final = 1.0
"""Seconds between two tries of a start whose keys cannot be reached."""

SHIPPING_S: Final = 5.0
"""Seconds that an orderly stop gives the last bundles to reach the peer."""


class Node(Parts):
    """One node. `run` owns every task of it."""

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
                trust_ended=self.trust_has_ended,
                reachable=reachable,
                peer_frozen=self._courier.breaker is Breaker.FROZEN,
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
        self._courier.due.notify()

    async def close_books(self) -> None:
        """Record that the node stops, and sign the audit log up to and with that event.

        For the end of an orderly stop, after the ports have drained: without it the last
        events would stay unsigned until the next start. What our log has signed is given the time
        to reach the peer, and to be cosigned: of an entry that is signed and nowhere else, an
        older copy of this database could not be refilled. Nothing if the log is not open yet.
        """
        if not self.own_events.are_open:
            return
        end_s = self._clock.monotonic_s() + SHIPPING_S
        while self._courier.reachable and self._clock.monotonic_s() < end_s:
            own = await self._store.read(lambda tx: tx.logs.head(self.pair.exchange_origin))
            if own is None or (own.size <= self._courier.peer_size and not self._courier.is_owed):
                break
            await wait_for(self._clock, 0.05)
        await self.access.round(closing=True)
        await self.own_events.record("node.stopped")
        with suppress(SigningAwayError):  # the next start signs it
            await self._housekeeping.sign_audit()

    async def _watch(self) -> None:
        """Look once a second at what may close the front door, and forget old keys."""
        while True:
            stats = self._store.stats()
            if stats.failed:
                # Whoever wanted to write was told. A node that has nothing to write itself would go on
                # for as long, with a store that takes nothing: it asks, and is told as well.
                await self._store.write(Step.SETUP, lambda _: None)
            self._writer.look(stats, now_s=self._clock.monotonic_s())
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
        await self._beginning.open()
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
            await self._beginning.settle()
            # Before anything leaves: what was here before the start was not ended until now.
            await self._housekeeping.expire()
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
        self._admission.paused = False
        self.phase = Phase.FROZEN if self._intake.frozen else Phase.RUNNING
        self.started.set()
        self.tracking.moved()
        log.info("node.running", node=self.pair.node, peer=self.pair.peer_node)

    def _recovering(self) -> None:
        """Sign, cosign and accept nothing until our log is whole again."""
        self._intake.suspend()
        self._beginning.is_settled = False
        self._admission.paused = True
        self.phase = Phase.RECOVERING
