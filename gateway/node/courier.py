"""The courier: ships the own exchange log to the peer, bundle by bundle, in order.

One loop with a cursor. What the log already holds behind the cursor is sent again from
the database; at the end of the log the sequencer is asked for the next bundle. At most
four bundles are in flight. When anything goes wrong the courier stops, waits
(`gateway.node.patience`), asks the peer how much it holds, and goes on from there (go back N).
Nothing is given up: while the peer is away messages wait in the outbox, on disk, and do not
enter the log.

One bundle leaves each 10 ms at most, so that a medium load is not spent on signatures; FLASH and
IMMEDIATE do not wait, and neither does a full one (`gateway.node.pace`). How much is under way follows
what the peer gets done (`gateway.node.window`), so that a FLASH behind a backlog finds a short queue.

Spec: docs/spec/exchange.md, "Sending".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.core.checkpoint import parse_checkpoint
from gateway.core.generation import base_of, generation_of
from gateway.core.note import parse_note
from gateway.errors import (
    GatewayError,
    PairFrozenError,
    PeerConflictError,
    PeerError,
    SignatureInvalidError,
    UnavailableError,
)
from gateway.node.deliveries import Deliveries, RollbackError
from gateway.node.due import Due
from gateway.node.owing import Owing
from gateway.node.pair import Pair
from gateway.node.patience import Breaker, Patience
from gateway.node.recovery import UNPROVEN_CLAIM
from gateway.node.sequencer import Sequencer, Shipment
from gateway.node.waiting import wait_for
from gateway.node.window import MAX_IN_FLIGHT, Window
from gateway.node.workers import Workers
from gateway.ports import (
    BundleAnswer,
    Clock,
    Keyring,
    PeerLink,
    PeerView,
    Store,
    Transaction,
)

COSIGN_EVERY_S: Final = 60.0

DELIVERED_S: Final = 1.0
"""How long the cosignature of a message whose receipt is here is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierConfig:
    """How the courier paces and retries.

    Attributes:
        pace_ms: Least time between a bundle with messages and the next one, 0 to 100.
        first_wait_s: Upper bound of the wait after a first failure; doubles each time.
        longest_wait_s: Upper bound of any wait between two tries.
    """

    pace_ms: int = 10
    first_wait_s: float = 0.2
    longest_wait_s: float = 30.0


class Courier:
    """Ships one exchange log to one peer. One task of the node runs it."""

    def __init__(
        self,
        *,
        pair: Pair,
        sequencer: Sequencer,
        store: Store,
        keyring: Keyring,
        link: PeerLink,
        clock: Clock,
        workers: Workers,
        patience: Patience,
        pace_ms: int,
        on_moved: Callable[[], None],
        on_peer_rollback: Callable[[int, int], Awaitable[None]],
    ) -> None:
        """Wire the courier.

        Args:
            pair: Names of the two nodes.
            sequencer: Makes bundles.
            store: Holds states and notes.
            keyring: Verifies cosignatures.
            link: The peer.
            clock: Time.
            workers: Threads for verification.
            patience: Says when to try again, and what is thought of the peer.
            pace_ms: Least time between a bundle with messages and the next one.
            on_moved: Told when messages have moved on.
            on_peer_rollback: Given (size now, size that the peer had cosigned), makes what the
                peer lost *sent* again.
        """
        self._pair = pair
        self._sequencer = sequencer
        self._store = store
        self._link = link
        self._clock = clock
        self._on_moved = on_moved
        self._on_peer_rollback = on_peer_rollback
        self._cursor = 0
        # True while the cursor is known to stand at the end of the log, which grows here only.
        self._at_end = False
        self._patience = patience
        self._window = Window(clock=clock)
        self._landed = asyncio.Event()
        self._due = Due(
            clock=clock,
            pace_ms=pace_ms,
            patience=patience,
            window=self._window,
            on_hurry=self._landed.set,
        )
        self._deliveries = Deliveries(
            pair=pair,
            store=store,
            keyring=keyring,
            clock=clock,
            workers=workers,
            on_recorded=self._recorded,
            on_failed=self._fail,
        )
        self._owing = Owing(
            clock=clock, link=link, deliveries=self._deliveries, on_doubt=self.doubt, on_failed=self._fail
        )
        self._peer_size = 0
        self._flights: set[asyncio.Task[None]] = set()
        self._failure: GatewayError | None = None
        self._cosigned_at_s = 0.0
        self._flying = 0
        self._in_doubt = False
        self._may_ship = asyncio.Event()
        self._may_ship.set()

    @property
    def due(self) -> Due:
        """Return where to say that something is due for the peer."""
        return self._due

    @property
    def breaker(self) -> Breaker:
        """Return what the courier thinks of the peer."""
        return self._patience.breaker

    @property
    def trouble(self) -> str:
        """Return the code of the error that the last try ended with; empty while the peer works."""
        return self._patience.trouble

    @property
    def reachable(self) -> bool:
        """Return whether the last exchange with the peer worked, or only our own keys were out of reach."""
        return self._patience.reachable

    @property
    def is_owed(self) -> bool:
        """Return whether messages that the peer took are not recorded as cosigned yet."""
        return bool(self._owing.size) or self._deliveries.is_recording

    @property
    def peer_size(self) -> int:
        """Return how much of our log the peer has said that it holds."""
        return self._peer_size

    async def delivered(self, place: int) -> None:
        """Return once the entry at a place of our log is recorded as cosigned, or soon in any case.

        For who knows by its receipt that the peer holds it: the cosignature comes soon after that.
        """
        size = place - base_of(self._pair.exchange_origin) + 1
        await self._deliveries.until(size, most_s=DELIVERED_S)

    def freeze(self) -> None:
        """Ship nothing any more: this node has proof of a fork, and people have to decide."""
        self._may_ship.clear()
        self._patience.freeze()
        self._failure = PairFrozenError("the pair is frozen")
        self._due.hurry()

    def doubt(self) -> None:
        """Ask anew what the peer holds: it says that it was restored from a backup."""
        self._in_doubt = True
        self._due.look.set()

    async def run(self) -> None:
        """Ship until cancelled."""
        try:
            while True:
                await self._may_ship.wait()
                try:
                    await self._agree()
                    await self._ship()
                except (UnavailableError, PeerError, PairFrozenError) as error:
                    await self._land(cancel=True)
                    await self._patience.wait(error)
        finally:
            self._due.close()
            self._owing.close()
            await self._land(cancel=True)

    # --- agreeing on where the peer is -------------------------------------------------

    async def _agree(self) -> None:
        """Ask what the peer holds and put the cursor there."""
        # An answer from before would be recorded over what this one says.
        self._owing.close()
        await self._deliveries.settle()
        view = await self._link.view()
        if view.mirrored is not None and self._is_of_another_generation(view.mirrored):
            msg = "the peer mirrors another generation of our log"
            raise UnavailableError(msg)
        head_size, cosigned = await self._store.read(self._own_sizes)
        if view.mirrored_size > head_size:
            await self._check_claim(view, head_size)
            msg = "the peer mirrors more of our log than our database holds"
            raise RollbackError(msg)
        known = self._deliveries.size
        if known is None:
            self._deliveries.size = known = cosigned
        if view.mirrored_size < known:
            await self._on_peer_rollback(view.mirrored_size, known)
            self._deliveries.size = view.mirrored_size
        if self._may_ship.is_set():
            # Not so if the pair was frozen while the peer was asked: that failure is to be raised.
            self._failure = None
        self._in_doubt = False
        self._cursor = view.mirrored_size
        self._at_end = False
        self._due.set()
        self._peer_size = view.mirrored_size
        await self._sequencer.peer_took(view.mirrored_size)
        await self._take_view(view)

    async def _check_claim(self, view: PeerView, size: int) -> None:
        """Refuse a peer that claims more of our log than we hold and shows nothing that we signed for it.

        This node has found its log whole before: a bare number would have it turn its agencies away.
        """
        proof = None if view.mirrored is None else await self._deliveries.verify(view.mirrored)
        if proof is None or proof.checkpoint.size <= size:
            raise SignatureInvalidError(UNPROVEN_CLAIM)

    def _is_of_another_generation(self, note: bytes) -> bool:
        """Return whether a note names our log of an earlier or later generation: sizes say nothing then."""
        origin = parse_checkpoint(parse_note(note).text).origin
        own = self._pair.exchange_origin
        return origin != own and generation_of(self._pair.first_exchange_origin, origin) is not None

    async def _take_view(self, view: PeerView) -> None:
        """Take a cosignature that the peer gives when asked."""
        if view.mirrored is not None and view.mirrored_size > 0:
            await self._deliveries.record(await self._deliveries.verify(view.mirrored))
        self._cosigned_at_s = self._clock.monotonic_s()
        self._owing.restart(view.mirrored_size)

    def _own_size(self, tx: Transaction) -> int:
        head = tx.logs.head(self._pair.exchange_origin)
        return 0 if head is None else head.size

    def _own_sizes(self, tx: Transaction) -> tuple[int, int]:
        """Return the size of our log, and the largest one that the peer has cosigned."""
        newest = tx.logs.newest_note(self._pair.exchange_origin, cosigned=True)
        return self._own_size(tx), 0 if newest is None else newest.size

    # --- shipping ----------------------------------------------------------------------

    async def _ship(self) -> None:
        """Ship bundle after bundle until something fails."""
        while True:
            while not self._has_room():
                await self._land_one()
            self._raise_failure()
            if self._in_doubt:
                await self._land(cancel=True)
                await self._agree()
            shipment = await self._next()
            if shipment is None:
                await self._idle()
                continue
            self._cursor = shipment.bundle.end
            alone = not self._flights
            self._flying += shipment.messages
            flight = asyncio.create_task(self._fly(shipment, flying=self._flying, alone=alone))
            self._flights.add(flight)
            # Counted where it ends, however it does: one that is cancelled before its first
            # step runs no line of its own.
            flight.add_done_callback(partial(self._done, shipment.messages))
            self._due.left()
            if shipment.states_keys or self.breaker is not Breaker.CLOSED:
                # What follows is signed by keys that the peer knows once it holds this bundle. And a
                # peer that refused what it got is tried with one bundle: until it takes that,
                # nothing more enters the log.
                await self._land(cancel=False)

    def _has_room(self) -> bool:
        """Return whether another bundle may be made: something urgent waits for none that is full."""
        if len(self._flights) >= MAX_IN_FLIGHT:
            return False
        return self._due.is_urgent or self._window.admits(self._flying)

    async def _next(self) -> Shipment | None:
        """Return the bundle behind the cursor, from the log or newly made."""
        self._due.look.clear()
        stored = await self._stored()
        if stored is not None:
            return stored
        urgent = await self._due.until_time(lambda: (len(self._flights), self._flying))
        if self._sequencer.statement_due:
            await self._land(cancel=False)
            self._raise_failure()
            return await self._sequencer.next_statement()
        self._raise_failure()
        if not self._due.is_due:
            return None
        limit = 0 if self._sequencer.peer_key is None else self._window.bundle
        with self._due.making():
            shipment = await self._sequencer.next_shipment(max_messages=limit, urgent=urgent)
        if shipment is not None:
            self._window.waits(shipment.waiting)
            self._due.made(messages=bool(shipment.messages), more=shipment.more)
            if shipment.messages:
                self._on_moved()
        return shipment

    async def _stored(self) -> Shipment | None:
        if self._at_end:
            return None
        if self._cursor >= await self._store.read(self._own_size):
            self._at_end = True
            return None
        return await self._sequencer.reload(self._cursor)

    async def _idle(self) -> None:
        """Wait for work, a failure, or the time to ask for a cosignature."""
        if self._failure is not None:
            return
        if not self._flights:
            self._patience.reached(self._peer_size)
        left = self._cosigned_at_s + COSIGN_EVERY_S - self._clock.monotonic_s()
        uncosigned = self._cursor > (self._deliveries.size or 0)
        if left <= 0 and not self._flights:
            # Gets the cosignature of bundles without messages, and notices a peer that was
            # restored from a backup and does not say so.
            await self._agree()
            return
        await wait_for(self._clock, max(left, 0.05) if uncosigned else COSIGN_EVERY_S, self._due.look)

    async def _fly(self, shipment: Shipment, *, flying: int, alone: bool) -> None:
        began_s = self._clock.monotonic_s()
        encoded = shipment.bundle.encode()
        try:
            answer = await self._link.post_bundle(encoded)
            await self._answered(shipment, answer)
        except GatewayError as error:
            # Bundles behind this one will fail as well.
            self._fail(error)
            return
        self._window.landed(
            self._clock.monotonic_s() - began_s, messages=shipment.messages, flying=flying, alone=alone
        )

    async def _answered(self, shipment: Shipment, answer: BundleAnswer) -> None:
        if answer.size < shipment.bundle.end:
            raise PeerConflictError(answer.size)
        self._peer_size = max(self._peer_size, answer.size)
        self._patience.reached(self._peer_size)
        await self._sequencer.peer_took(shipment.bundle.end)
        if answer.note is not None:
            proof = await self._deliveries.verify(answer.note, signed=shipment.bundle.note)
            self._deliveries.record_soon(proof)
            self._cosigned_at_s = self._clock.monotonic_s()
            self._owing.proven(proof.checkpoint.size)
        elif shipment.messages:
            self._owing.took(shipment.bundle.end)

    def _recorded(self, size: int, messages: int) -> None:
        """The peer is recorded to hold our log up to a size, and so many messages with it."""
        self._sequencer.peer_holds(size)
        if messages:
            self._on_moved()

    # --- flights -----------------------------------------------------------------------

    def _done(self, messages: int, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._flying -= messages
        self._landed.set()
        self._due.landed()
        if not flight.cancelled() and (error := flight.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Let the loop decide what follows an error of whatever runs beside it."""
        if not isinstance(error, GatewayError):
            # Not an error of the exchange: a defect. The loop raises it, the node stops.
            self._defect = error
        elif self._failure is None or isinstance(error, PairFrozenError):
            self._failure = error
        self._due.hurry()

    _defect: BaseException | None = None

    async def _land_one(self) -> None:
        """Wait until a flight has ended, or something urgent has come."""
        self._landed.clear()
        if self._flights:
            await self._landed.wait()

    async def _land(self, *, cancel: bool) -> None:
        """Wait until nothing is in flight and what was delivered is recorded."""
        if cancel:
            for flight in self._flights:
                flight.cancel()
        while self._flights:
            await asyncio.wait(self._flights)
            await asyncio.sleep(0)
        await self._deliveries.settle(cancel=cancel)

    def _raise_failure(self) -> None:
        if self._defect is not None:
            raise self._defect
        if self._failure is not None:
            error, self._failure = self._failure, None
            raise error
