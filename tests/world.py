"""Two nodes in memory: a clock that tests move, faults that tests switch on.

Everything of a node is real (pipelines, cryptography, SQLite on disk, threads) but for
three things: the peer link hands bytes over in this process, keys are test keys that
never touch a file, and the clock can jump. Each node can be crashed and restarted on what
it left on disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson

from gateway.catalogue import read_catalogue, read_lists
from gateway.core.entries import Entry, EventEntry, Kind, MessageEntry, decode_entry, kind_of
from gateway.core.envelope import decode_header
from gateway.core.generation import base_of, origin_of
from gateway.core.merkle import Hash, hash_leaf, root_of
from gateway.core.message.schedule import Schedule
from gateway.core.states import State
from gateway.errors import GatewayError, PeerError, StoreError, UnavailableError
from gateway.node.attestations import ThirdParties
from gateway.node.courier import CourierConfig
from gateway.node.crew import CrewConfig
from gateway.node.health import Phase
from gateway.node.parts import NodeConfig
from gateway.node.posts import Principal, Submission, agency_actor
from gateway.node.quotas import Quota
from gateway.node.resumption import in_stored_generation
from gateway.node.runtime import Node
from gateway.node.second_stage import Acceptance, Outcome
from gateway.ports import BundleAnswer, Incident, PeerView, Standing, Step, Transaction
from gateway.storage.highwater import FileHighWater
from gateway.storage.orders import FileOrders
from gateway.storage.store import SqlStore
from tests.databases import put_database
from tests.world_parts import (
    AGENCIES,
    NATIONS,
    NODES,
    CrashError,
    Faults,
    FaultyOrders,
    FaultyStore,
    WorldClock,
    WorldDisk,
    WorldEntropy,
    WorldKeyring,
    _signer,
    make_draft,
    message_uuid,
    other,
    pair_of,
)

T = TypeVar("T")

DEADLINE_S = 60.0


class WorldLink:
    """The peer link of one node: hands bytes to the other node of the world."""

    def __init__(self, world: World, nation: str) -> None:
        self._world = world
        self._nation = nation

    @property
    def peer_ahead_s(self) -> float | None:
        return self._world.sides[self._nation].faults.peer_ahead_s

    async def post_bundle(self, bundle: bytes) -> BundleAnswer:
        faults = self._world.sides[self._nation].faults
        if faults.keep_posted:
            faults.posted.append(bundle)
        faults.in_flight += 1
        faults.most_in_flight = max(faults.most_in_flight, faults.in_flight)
        try:
            if faults.refuse is not None and (error := faults.refuse(bundle)) is not None:
                raise error
            if faults.gate is not None:
                await faults.gate.wait()
            if faults.tamper is not None:
                bundle = faults.tamper(bundle)
            answer = await self._call(lambda node: node.peer_service.receive(bundle))
        finally:
            faults.in_flight -= 1
        if faults.lose_answers:
            msg = "the answer got lost"
            raise UnavailableError(msg)
        if faults.alter_cosigned is not None and answer.note is not None:
            answer = replace(answer, note=faults.alter_cosigned(answer.note))
        return answer

    async def view(self) -> PeerView:
        return await self._ask("view", lambda node: node.peer_service.view())

    async def standing(self) -> Standing:
        if self._world.sides[self._nation].faults.impostor is not None:
            return Standing()
        return await self._ask("standing", lambda node: node.peer_service.standing())

    async def entries(self, log: str, start: int, end: int) -> Sequence[bytes]:
        return await self._ask("entries", lambda node: node.peer_service.entries(log, start, end))

    async def add_checkpoint(self, body: bytes) -> bytes:
        return await self._ask("add_checkpoint", lambda node: node.peer_service.add_checkpoint(body))

    async def _ask(self, question: str, call: Callable[[Node], Awaitable[T]]) -> T:
        faults = self._world.sides[self._nation].faults
        faults.asked.append(question)
        if faults.refuse_question is not None and (error := faults.refuse_question(question)) is not None:
            raise error
        if faults.impostor is not None:
            forged: T = faults.impostor(question)
            return forged
        answer = await self._call(call)
        return answer if faults.alter_answer is None else faults.alter_answer(question, answer)

    async def _call(self, call: Callable[[Node], Awaitable[T]]) -> T:
        faults = self._world.sides[self._nation].faults
        peer = self._world.sides[other(self._nation)]
        if faults.unreachable or peer.faults.unreachable or peer.node is None:
            msg = "the peer cannot be reached"
            raise UnavailableError(msg)
        answering = asyncio.ensure_future(call(peer.node))
        peer.answering.add(answering)
        try:
            await asyncio.wait([answering])
        finally:
            # A caller that goes away takes its call along.
            answering.cancel()
            await asyncio.wait([answering])
            peer.answering.discard(answering)
        # The other process died or was stopped while it worked: the caller sees a closed connection.
        msg = "the connection broke"
        if answering.cancelled():
            raise UnavailableError(msg)
        try:
            return answering.result()
        except StoreError as error:
            raise UnavailableError(msg) from error


@dataclass(slots=True)
class Side:
    """One nation's node and what it stands on."""

    nation: str
    folder: Path
    keyring: WorldKeyring
    faults: Faults = field(default_factory=Faults)
    disk: WorldDisk = field(default_factory=WorldDisk)
    quota: Quota = field(default_factory=Quota)
    fingerprint: bytes = b""
    node: Node | None = None
    store: SqlStore | None = None
    high_water: FileHighWater | None = None
    task: asyncio.Task[None] | None = None
    # Calls of the other node in work here: they end with this one's process.
    answering: set[asyncio.Future[Any]] = field(default_factory=set)

    @property
    def orders(self) -> Path:
        """Return the file of orders, which lies beside the high-water file."""
        return self.folder / "orders"

    @property
    def database(self) -> Path:
        """Return the file that holds everything but keys and high-water marks."""
        return self.folder / "gateway.db"


class World:
    """Two nodes that know each other. Use it as an async context manager."""

    def __init__(
        self, folder: Path, *, config: CourierConfig | None = None, crew: CrewConfig | None = None
    ) -> None:
        self.clock = WorldClock()
        self.entropy = WorldEntropy()
        self.catalogue = read_catalogue()
        # Of a nation whose node has another catalogue, or is to change it; read at its start.
        self.schedules: dict[str, Schedule] = {}
        # Whom a nation's node shows its checkpoints to; read at its start.
        self.third_parties: dict[str, tuple[ThirdParties, ...]] = {}
        self.config = config or CourierConfig(pace_ms=0, first_wait_s=0.02, longest_wait_s=0.2)
        self.crew = crew or CrewConfig()
        self.sides = {
            nation: Side(nation=nation, folder=folder / nation, keyring=WorldKeyring(nation))
            for nation in NATIONS
        }

    async def __aenter__(self) -> Self:
        for nation in NATIONS:
            await self.start(nation)
        return self

    async def __aexit__(self, *_: object) -> None:
        for nation in NATIONS:
            await self.stop(nation)

    # --- life of a node ------------------------------------------------------------

    async def start(self, nation: str) -> None:
        """Start a node on what its folder holds."""
        side = self.sides[nation]
        side.folder.mkdir(parents=True, exist_ok=True)
        side.faults.crashed.clear()
        if not side.database.exists():
            put_database(side.database)
        side.store = SqlStore.open(f"sqlite:///{side.database}")
        side.high_water = FileHighWater(side.folder / "high-water")
        side.node = await self._make(side)
        side.task = asyncio.create_task(self._live(side), name=f"node {nation}")

    async def _make(self, side: Side) -> Node:
        """Return a node on what its side holds, in the generation that the database is in."""
        nation = side.nation
        assert side.store is not None
        assert side.high_water is not None
        return Node(
            pair=await in_stored_generation(side.store, side.keyring.pair),
            schedule=self.schedules.get(nation, Schedule(catalogue=self.catalogue)),
            store=FaultyStore(side.store, side.faults),
            keyring=side.keyring,
            high_water=side.high_water,
            orders=FaultyOrders(FileOrders(side.orders), side.faults),
            link=WorldLink(self, nation),
            clock=self.clock,
            entropy=self.entropy,
            disk=side.disk,
            config=NodeConfig(
                courier=self.config,
                lists=read_lists(),
                third_parties=self.third_parties.get(nation, ()),
                quota=side.quota,
                crew=self.crew,
                fingerprint=side.fingerprint,
            ),
        )

    async def _live(self, side: Side) -> None:
        """Run a node, and the one that follows it when the pair is resumed, as the program does."""
        while True:
            assert side.node is not None
            running = asyncio.create_task(side.node.run())
            opened = asyncio.create_task(side.node.resumption.opened.wait())
            try:
                await asyncio.wait({running, opened}, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    await running
                    return
            finally:
                opened.cancel()
                running.cancel()
                await asyncio.gather(running, opened, return_exceptions=True)
            side.node = await self._make(side)

    async def stop(self, nation: str) -> None:
        """Stop a node, however it is."""
        side = self.sides[nation]
        if side.task is not None:
            side.task.cancel()
            with suppress(asyncio.CancelledError, GatewayError):
                await side.task
        side.node = None
        for answering in side.answering:
            answering.cancel()
        if side.answering:
            await asyncio.wait(side.answering)
        if side.store is not None:
            await side.store.close()
        if side.high_water is not None:
            side.high_water.close()
        side.store = side.high_water = side.task = None

    async def restart(self, nation: str) -> None:
        """Stop a node and start it again."""
        await self.stop(nation)
        await self.start(nation)

    async def cut_off(self, nation: str) -> None:
        """Cut the line and wait until a node has noticed: from then on nothing enters its log."""
        self.sides[nation].faults.unreachable = True

        async def is_reachable() -> bool:
            # A courier that has nothing to do asks once a minute.
            self.clock.advance(61)
            await asyncio.sleep(0.02)
            return (await self.node(nation).health()).reachable

        await self.until(is_reachable, lambda reachable: not reachable)

    def reconnect(self, nation: str) -> None:
        """Mend the line."""
        self.sides[nation].faults.unreachable = False

    def backup(self, nation: str) -> Path:
        """Return a copy of a node's database as it is now; the node may be running."""
        side = self.sides[nation]
        copy = side.folder / f"backup-{time.monotonic_ns()}.db"
        with closing(sqlite3.connect(side.database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy

    async def restore(self, nation: str, copy: Path | None, *, marks: bool = True) -> None:
        """Stop a node and put an old copy of its database back, or none at all.

        Args:
            nation: Whose node.
            copy: What `backup` returned; None for an empty disk.
            marks: Whether the high-water file, which lies elsewhere, has survived.
        """
        await self.stop(nation)
        side = self.sides[nation]
        for suffix in ("", "-wal", "-shm"):
            side.database.with_name(side.database.name + suffix).unlink(missing_ok=True)
        if copy is not None:
            shutil.copy(copy, side.database)
        if not marks:
            (side.folder / "high-water").unlink(missing_ok=True)
            side.orders.unlink(missing_ok=True)

    def break_write(self, nation: str, step: Step, *, persisted: bool, skip: int = 0) -> None:
        """Let a node die at its next write of a kind, before or after it is durable."""
        faults = self.sides[nation].faults
        faults.crash_step, faults.crash_persisted, faults.crash_skip = step, persisted, skip

    async def until_crashed(self, nation: str) -> None:
        """Wait until a broken write has killed a node."""

        async def is_dead() -> bool:
            return self.sides[nation].faults.crashed.is_set()

        await self.until(is_dead, bool)

    async def until_phase(self, nation: str, phase: Phase) -> None:
        """Wait until a node is in a phase of its life."""

        async def ask() -> Phase:
            return self.node(nation).phase

        await self.until(ask, lambda found: found is phase)

    def node(self, nation: str) -> Node:
        """Return a running node."""
        node = self.sides[nation].node
        assert node is not None, f"the node of {nation} is not running"
        return node

    # --- agencies ------------------------------------------------------------------

    def principal(self, nation: str, agency: str | None = None) -> Principal:
        """Return an agency as its certificate identifies it."""
        name = agency or AGENCIES[nation]
        return Principal(
            nation=nation, agency=name, actor=agency_actor(hashlib.sha256(name.encode()).digest())
        )

    def draft(self, nation: str, **header: Any) -> dict[str, Any]:
        """Return a draft that this nation's targeting centre may send."""
        return make_draft(nation, self.clock.now_ms(), **header)

    async def send(self, nation: str, **header: Any) -> bytes:
        """Post a draft and return its message id."""
        return (await self.post(nation, self.draft(nation, **header))).message_id

    async def post(
        self, nation: str, document: dict[str, Any], *, agency: str | None = None, key: str | None = None
    ) -> Acceptance:
        """Post a document; an error is raised as the agency would get it."""
        submission = Submission(body=orjson.dumps(document), key=key)
        principal = self.principal(nation, agency)
        (outcome,) = await self._decided(nation, principal, [submission])
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome

    async def _decided(
        self, nation: str, principal: Principal, submissions: Sequence[Submission]
    ) -> list[Outcome]:
        """Post to a node; if it dies meanwhile, nobody answers any more, as with a closed connection."""
        deciding = asyncio.ensure_future(self.node(nation).admission.submit(principal, submissions))
        task = self.sides[nation].task
        waits = [deciding] if task is None else [deciding, task]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A caller that goes away takes its call along.
            died = not deciding.done()
            deciding.cancel()
            await asyncio.wait([deciding])
        if died:
            msg = "the node died before it answered"
            raise CrashError(msg)
        return await deciding

    async def send_many(self, nation: str, count: int, **header: Any) -> list[bytes]:
        """Post many drafts at once and return their ids, in order."""
        return await self.submit(nation, [self.draft(nation, **header) for _ in range(count)])

    async def submit(
        self, nation: str, documents: Sequence[dict[str, Any]], *, principal: Principal | None = None
    ) -> list[bytes]:
        """Post documents in one call and return their ids; the first error is raised."""
        bodies = [Submission(body=orjson.dumps(document)) for document in documents]
        caller = principal or self.principal(nation)
        outcomes = await self._decided(nation, caller, bodies)
        ids: list[bytes] = []
        for outcome in outcomes:
            if isinstance(outcome, GatewayError):
                raise outcome
            ids.append(outcome.message_id)
        return ids

    async def received(self, nation: str, agency: str | None = None) -> list[bytes]:
        """Return ids in an agency's inbox, acknowledged or not, in the order of arrival."""
        principal = self.principal(nation, agency)
        found = []
        for collected in (False, True):
            after = (-1, 0)
            while page := await self.node(nation).inbox.page(
                principal, after=after, limit=1_000, collected=collected
            ):
                found += [(item.row.number, item.row.message_id) for item in page]
                after = (page[-1].row.rank, page[-1].row.number)
        return [message_id for _, message_id in sorted(found)]

    async def state(self, nation: str, message_id: bytes, agency: str | None = None) -> str:
        """Return the state label of an own message."""
        tracked = await self.node(nation).tracking.status(self.principal(nation, agency), message_id)
        return tracked.row.state.label

    async def until_state(
        self, nation: str, message_id: bytes, *labels: str, agency: str | None = None
    ) -> str:
        """Wait until an own message is in one of these states."""
        return await self.until(lambda: self.state(nation, message_id, agency), lambda label: label in labels)

    def exchange_origin(self, nation: str) -> str:
        """Return the origin of the exchange log that a node writes now."""
        side = self.sides[nation]
        pair = side.keyring.pair if side.node is None else side.node.pair
        return pair.exchange_origin

    # --- what the logs say -----------------------------------------------------------

    async def log(self, nation: str, origin: str | None = None) -> list[Entry]:
        """Return the entries of a node's log, of its own exchange log if none is named."""
        side = self.sides[nation]
        assert side.store is not None
        name = origin or side.keyring.pair.exchange_origin

        def load(tx: Transaction) -> list[bytes]:
            head = tx.logs.head(name)
            return [] if head is None else tx.logs.entries(name, 0, head.size)

        return [decode_entry(data) for data in await side.store.read(load)]

    async def events(self, nation: str) -> list[EventEntry]:
        """Return the events of a node's audit log, and of all that succeeded it.

        A restored node goes on in a successor if the log had been signed since the backup, which it
        is a second after it has grown: a test that does not wait for this does not know.
        """
        first = self.sides[nation].keyring.pair.audit_origin
        found: list[EventEntry] = []
        for generation in itertools.count(1):
            entries = await self.log(nation, origin_of(first, generation))
            if not entries:
                break
            found += [entry for entry in entries if isinstance(entry, EventEntry)]
        return found

    async def incidents(self, nation: str) -> list[Incident]:
        """Return what a node keeps for its operators, oldest first."""
        store = self.sides[nation].store
        assert store is not None
        return (await store.read(lambda tx: tx.facts.incidents(limit=1_000)))[::-1]

    # --- waiting -------------------------------------------------------------------

    async def until(
        self, ask: Callable[[], Awaitable[T]], enough: Callable[[T], bool], *, within_s: float = DEADLINE_S
    ) -> T:
        """Ask until the answer is enough; fail after a deadline with the last answer."""
        end = time.monotonic() + within_s
        while True:
            answer = await ask()
            if enough(answer):
                return answer
            self._raise_dead()
            assert time.monotonic() < end, f"still {answer!r} after {within_s} s"
            await asyncio.sleep(0.005)

    def _raise_dead(self) -> None:
        """Fail with the error of a node that stopped though no fault was switched on."""
        for side in self.sides.values():
            if side.task is not None and side.task.done() and not side.faults.crashed.is_set():
                side.task.result()

    async def settle(self) -> None:
        """Wait until both logs are known to be whole and mirrored whole, and nothing is due any more.

        One look reads the nodes one after the other, and something may happen in between. So
        it counts only if the look before it found nothing either, and every log where it is
        now: then all was quiet at the moment when the second began.
        """
        before: list[int] | None = None

        async def look() -> list[str]:
            nonlocal before
            reasons, sizes = await self._unsettled()
            quiet = None if reasons else sizes
            if quiet is not None and quiet != before:
                reasons = [f"quiet with logs of {quiet}, but before of {before}"]
            before = quiet
            return reasons

        await self.until(look, lambda reasons: not reasons)

    async def cosigned(self, *nations: str) -> None:
        """Wait until what the peers of these nations took is cosigned, which may come a moment later."""

        async def owed() -> list[int]:
            return [self.node(nation)._courier._owing.size for nation in nations]

        await self.until(owed, lambda sizes: not any(sizes))

    async def _unsettled(self) -> tuple[list[str], list[int]]:
        """Return what is not quiet, and the sizes of both exchange logs."""
        reasons: list[str] = []
        found: list[int] = []
        for nation in NATIONS:
            side = self.sides[nation]
            # Between two pages that a node refills, its log may be as long as the mirror.
            phase = self.node(nation).phase
            if phase in {Phase.STARTING, Phase.RECOVERING}:
                reasons.append(f"the node of {nation} is {phase}")
            peer = self.sides[other(nation)]
            assert side.store is not None
            assert peer.store is not None
            origin = self.exchange_origin(nation)
            # Size and what is due belong together: an entry takes from the one what it adds to
            # the other.
            own, noted, due = await side.store.read(
                lambda tx, o=origin: (_size(tx, o), _noted(tx, o), _due(tx))  # type: ignore[misc]
            )
            mirror = await peer.store.read(lambda tx, o=origin: _size(tx, o))  # type: ignore[misc]
            if own == 0 or own != mirror:
                reasons.append(f"{origin}: log and mirror {(own, mirror)}")
            if noted != own and not side.faults.forgets_soon:
                reasons.append(f"{origin}: the note of its end is not stored yet")
            if self.node(nation)._courier._deliveries.is_recording:
                reasons.append(f"{origin}: a delivery is not recorded yet")
            reasons += due
            found.append(own)
        return reasons, found

    # --- what must be true at any time -----------------------------------------------

    async def check(self) -> None:
        """Check both logs and both mirrors against each other and against what was delivered."""
        for nation in NATIONS:
            own, mirror = self.sides[nation].store, self.sides[other(nation)].store
            assert own is not None
            assert mirror is not None
            origin = self.exchange_origin(nation)
            ours, our_root = await own.read(lambda tx, o=origin: _whole(tx, o))  # type: ignore[misc]
            theirs, their_root = await mirror.read(lambda tx, o=origin: _whole(tx, o))  # type: ignore[misc]
            assert ours[: len(theirs)] == theirs, f"{origin}: the mirror is not a prefix of the log"
            assert root_of([hash_leaf(entry) for entry in ours]) == our_root
            assert root_of([hash_leaf(entry) for entry in theirs]) == their_root
            await self._check_messages(nation, theirs)

    async def _check_messages(self, nation: str, mirrored: Sequence[bytes]) -> None:
        """Every stored incoming message stands in the log, and none is there twice."""
        base = base_of(self.exchange_origin(nation))
        store = self.sides[other(nation)].store
        assert store is not None
        logged: dict[bytes, list[int]] = {}
        for index, data in enumerate(mirrored):
            if kind_of(data) == Kind.MESSAGE:
                entry = decode_entry(data)
                assert isinstance(entry, MessageEntry)
                logged.setdefault(decode_header(entry.header).message_id, []).append(index)
        rows = await store.read(lambda tx: tx.threads.rows(list(logged)))
        for message_id, row in rows.items():
            assert row.log_index is not None
            assert row.log_index - base in logged[message_id]


def _size(tx: Transaction, origin: str) -> int:
    head = tx.logs.head(origin)
    return 0 if head is None else head.size


def _noted(tx: Transaction, origin: str) -> int:
    note = tx.logs.newest_note(origin)
    return 0 if note is None else note.size


def _due(tx: Transaction) -> list[str]:
    reasons = []
    if tx.inbox.due_receipts(limit=1):
        reasons.append("a receipt is due")
    if tx.inbox.due_collections(limit=1):
        reasons.append("a collection is due")
    if tx.outbox.count(State.ACCEPTED):
        reasons.append("a message waits")
    if tx.removal.due_entries(limit=1):
        reasons.append("the log has to name an erasure")
    return reasons


def _whole(tx: Transaction, origin: str) -> tuple[list[bytes], Hash]:
    head = tx.logs.head(origin)
    assert head is not None
    return tx.logs.entries(origin, 0, head.size), head.edge.root()


__all__ = [
    "AGENCIES",
    "NATIONS",
    "NODES",
    "CrashError",
    "PeerError",
    "World",
    "WorldClock",
    "WorldEntropy",
    "WorldKeyring",
    "_signer",
    "make_draft",
    "message_uuid",
    "other",
    "pair_of",
]
