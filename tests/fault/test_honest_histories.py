"""Histories of two honest nodes, drawn at random: auditors find nothing wrong in any of them.

A false alarm is as bad as a lie that nobody finds: who was called a liar once, wrongly, does not believe
the tool again. So messages of several kinds are sent, collected, withdrawn, refused, left to expire and
erased while keys change, lines and machines fail, old databases are put back, clocks leap and generations
follow each other. Then both nations export what they hold, and every tool has to say VERIFIED.

Each seed draws the same steps in every run; what falls between them depends on the machine.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.audit.crosscheck import compare_logs
from gateway.audit.evidence import verify_evidence
from gateway.audit.exports import exported_logs
from gateway.audit.reconcile import NamedLog, reconcile
from gateway.audit.verify import verify_log
from gateway.core.generation import first_of, generation_of
from gateway.core.message.schedule import Schedule
from gateway.core.signature import HybridVerifier
from gateway.errors import GatewayError
from gateway.node.health import Phase
from gateway.ports import LogKind, Step, Transaction
from tests.catalogues import changed_catalogue
from tests.fault.test_generations_and_keys import trust_of
from tests.fault.test_resumption import OPERATOR, freeze_both, resume, until_generation
from tests.fault.test_signing_keys import rotate
from tests.independent_checker import NotAcceptedError, check_log
from tests.messages import INVESTIGATORS, PERSONAL, intelligence
from tests.unit.audit.making import MadeLog
from tests.world import AGENCIES, NATIONS, World, other

STEPS = 12
SEEDS = [int(seed) for seed in os.environ.get("HISTORIES", "0,1,4,34,41").split(",")]
"""Restores, other keys, new generations, erasures, crashes: `HISTORIES=34,41` draws others."""

SAMPLE = 6
"""Messages of which both nodes make evidence."""

MINUTE_S, DAY_S = 60, 86_400
CRASH_S = 3.0
"""How long a write at which a node is to die is waited for."""

CRASHES = (Step.SEQUENCED, Step.SIGNED, Step.MIRRORED, Step.DELIVERED, Step.AUDITED)


@dataclass(slots=True)
class Sent:
    """A message of the history: who sent it."""

    nation: str
    agency: str
    message_id: bytes

    @property
    def addressee(self) -> str:
        """Return which agency of the other nation is to collect it."""
        codes = AGENCIES if self.agency == AGENCIES[self.nation] else INVESTIGATORS
        return codes[other(self.nation)]


@dataclass(slots=True)
class History:
    """Two honest nodes to which things happen."""

    world: World
    chance: random.Random
    sent: list[Sent] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def live(self, steps: int) -> None:
        """Let things happen, one after another."""
        happenings: list[tuple[int, Callable[[str], Awaitable[None]]]] = [
            (6, self.send),
            (2, self.send_to_investigators),
            (2, self.send_personal),
            (4, self.collect),
            (2, self.withdraw),
            (2, self.let_expire),
            (2, self.erase),
            (2, self.rotate),
            (1, self.restart),
            (2, self.crash),
            (2, self.lose_answers),
            (2, self.restore),
            (1, self.restore_long_after),
            (1, self.change_types),
            (1, self.next_generation),
            (2, self.pass_time),
            (1, self.set_clock_back),
        ]
        weights = [weight for weight, _ in happenings]
        for happens in self.chance.choices([what for _, what in happenings], weights, k=steps):
            nation = self.chance.choice(NATIONS)
            self.told.append(f"{happens.__name__} {nation}")
            await happens(nation)
            if self.chance.random() < 0.5:
                await self.world.settle()

    # --- agencies ------------------------------------------------------------------

    async def send(self, nation: str) -> None:
        for _ in range(self.chance.randint(1, 4)):
            precedence = self.chance.choice(["FLASH", "IMMEDIATE"])
            await self._post(nation, AGENCIES[nation], self.world.draft(nation, precedence=precedence))

    async def send_to_investigators(self, nation: str) -> None:
        await self._post(nation, INVESTIGATORS[nation], intelligence(nation))

    async def send_personal(self, nation: str) -> None:
        await self._post(nation, AGENCIES[nation], self.world.draft(nation, data_protection=PERSONAL))

    async def collect(self, nation: str) -> None:
        await self.world.settle()
        for sent in self._some(other(nation), 3):
            with suppress(GatewayError):  # refused, erased or not there: then there is nothing to collect
                principal = self.world.principal(nation, sent.addressee)
                await self.world.node(nation).inbox.acknowledge(principal, sent.message_id)

    async def withdraw(self, nation: str) -> None:
        self.world.sides[nation].faults.unreachable = True
        await self.send(nation)
        for sent in self._some(nation, 2):
            with suppress(GatewayError):  # too late
                principal = self.world.principal(nation, sent.agency)
                await self.world.node(nation).tracking.withdraw(principal, sent.message_id)
        self.world.reconnect(nation)

    async def let_expire(self, nation: str) -> None:
        await self.world.settle()
        await self.world.cut_off(nation)
        await self.send(nation)
        self.world.clock.advance(31 * DAY_S)
        await self.world.node(nation)._housekeeping.expire()
        self.world.reconnect(nation)

    # --- operators -----------------------------------------------------------------

    async def erase(self, nation: str) -> None:
        for sent in self._some(self.chance.choice(NATIONS), 1):
            with suppress(GatewayError):  # erased already, or not known here
                await self.world.node(nation).custody.erase(OPERATOR, sent.message_id, "Court order")

    async def rotate(self, nation: str) -> None:
        await rotate(self.world, nation)

    async def change_types(self, nation: str) -> None:
        """Let one node go ahead, so that what it sends, or what is sent to it, may be refused."""
        await self.world.settle()
        held = self.world.schedules.get(nation)
        has_changed = held is not None and held.catalogue is not self.world.catalogue
        catalogue = self.world.catalogue if has_changed else changed_catalogue()
        for turned in (nation, other(nation)):
            self.world.schedules[turned] = Schedule(catalogue=catalogue)
            await self._restart(turned)
            await self.send(nation)

    async def next_generation(self, _nation: str) -> None:
        """Freeze the pair as a fork does, with messages on their way, and let both sign off."""
        await self.world.settle()
        generation = self.world.node("FR").pair.generation + 1
        for nation in NATIONS:
            await self.send(nation)
        await freeze_both(self.world)
        for nation in NATIONS:
            await resume(self.world, nation)
        await until_generation(self.world, generation)

    async def pass_time(self, _nation: str) -> None:
        self.world.clock.advance(self.chance.choice([MINUTE_S + 1, 3_600, DAY_S, 8 * DAY_S]))

    async def set_clock_back(self, _nation: str) -> None:
        self.world.clock.set_back(self.chance.choice([2, MINUTE_S, 3_600]))

    # --- failures ------------------------------------------------------------------

    async def restart(self, nation: str) -> None:
        await self._restart(nation)

    async def crash(self, nation: str) -> None:
        step = self.chance.choice(CRASHES)
        self.world.break_write(nation, step, persisted=self.chance.random() < 0.5)
        for sender in NATIONS:
            await self.send(sender)
        self.world.clock.advance(2)
        # Not every step has to come: then the node is stopped between two of them.
        await asyncio.to_thread(self.world.sides[nation].faults.crashed.wait, CRASH_S)
        self.world.sides[nation].faults.crash_step = None
        await self._restart(nation)

    async def lose_answers(self, nation: str) -> None:
        faults = self.world.sides[nation].faults
        faults.lose_answers = True
        await self.send(nation)
        await self.send(other(nation))
        faults.lose_answers = False

    async def restore(self, nation: str) -> None:
        """Put back a copy that lacks what was exchanged since."""
        await self._restore(nation, [self.send, self.collect])

    async def restore_long_after(self, nation: str) -> None:
        await self._restore(nation, [self.send, self.collect, self.erase, self.rotate, self.pass_time])

    async def _restore(self, nation: str, meanwhile: list[Callable[[str], Awaitable[None]]]) -> None:
        await self.world.settle()
        copy = self.world.backup(nation)
        for happens in meanwhile:
            for whose in NATIONS:
                await happens(whose)
        await self.world.settle()
        await signed(self.world)
        # What was signed and did not leave before the old copy came back would stop the node.
        await self.world.settle()
        await self.world.restore(nation, copy)
        await self.world.start(nation)
        await self.world.until_phase(nation, Phase.RUNNING)

    async def _restart(self, nation: str) -> None:
        await self.world.restart(nation)
        await self.world.until_phase(nation, Phase.RUNNING)

    async def _post(self, nation: str, agency: str, document: dict[str, object]) -> None:
        try:
            accepted = await self.world.post(nation, document, agency=agency)
        except GatewayError as error:
            self.told.append(f"  {error.code}")
            return
        self.sent.append(Sent(nation=nation, agency=agency, message_id=accepted.message_id))

    def _some(self, nation: str, count: int) -> list[Sent]:
        theirs = [sent for sent in self.sent if sent.nation == nation]
        return self.chance.sample(theirs, min(count, len(theirs)))

    # --- auditors ------------------------------------------------------------------

    async def export(self, folder: Path) -> dict[str, Path]:
        """Return a folder for each nation with all logs that its node holds."""
        found = {}
        for nation in NATIONS:
            store = self.world.sides[nation].store
            assert store is not None
            found[nation] = folder / nation
            for number, copy in enumerate(await store.read(_copies)):
                copy.export(found[nation] / str(number))
        return found


async def signed(world: World) -> None:
    """Wait until both nodes have signed the newest generation of their audit logs to its end."""

    async def unsigned() -> list[str]:
        world.clock.advance(1)
        found = []
        for nation in NATIONS:
            store = world.sides[nation].store
            assert store is not None
            found += await store.read(_unsigned)
        return found

    await world.until(unsigned, lambda origins: not origins)


def _unsigned(tx: Transaction) -> list[str]:
    own = [head for head in tx.logs.heads() if head.kind is LogKind.AUDIT]
    newest = max(own, key=lambda head: generation_of(first_of(head.origin), head.origin) or 1)
    note = tx.logs.newest_note(newest.origin)
    return [] if note is not None and note.size == newest.edge.size else [newest.origin]


def _copies(tx: Transaction) -> list[MadeLog]:
    """Return what a node would export now of each log of which it holds entries."""
    found = []
    for head in tx.logs.heads():
        note = tx.logs.newest_note(head.origin)
        if head.kind is LogKind.WITNESSED or note is None or note.note is None:
            continue
        entries = tuple(tx.logs.entries(head.origin, 0, note.size))
        found.append(MadeLog(origin=head.origin, stored=entries, signed=note.note))
    return found


def verified_alone(world: World, folders: dict[str, Path]) -> list[str]:
    """Return what `audit verify` has against the logs that each nation brings."""
    wrong, trust = [], trust_of(world)
    for nation, folder in folders.items():
        found = [verify_log(log, title=title, trust=trust) for title, log in exported_logs(folder)]
        report = compare_logs(found, title=nation, trust=trust)
        if not report.is_verified:
            wrong.append(report.headline)
    return wrong


def verified_side_by_side(world: World, folders: dict[str, Path]) -> list[str]:
    """Return what `audit reconcile` has against what both bring, in whatever order its folders are read."""
    wrong: list[str] = []
    for turned in (1, -1):
        sides = [
            [NamedLog(title=title, log=log) for title, log in exported_logs(folder)[::turned]]
            for folder in folders.values()
        ]
        found = reconcile(*sides, trust=trust_of(world), progress=lambda _title: lambda _done, _all: None)
        wrong += found.differences
        # What a generation left open when it was frozen stays open. The newest one was settled.
        newest = world.exchange_origin("FR"), world.exchange_origin("US")
        wrong += [line for line in found.open_ends if line.partition(": ")[0] in newest]
    return wrong


def refused_by_another_program(world: World, folders: dict[str, Path]) -> list[str]:
    """Return which logs `tests/independent_checker.py` accepts under no key that their node ever had."""
    refused = []
    for path in sorted(path for folder in folders.values() for path in folder.iterdir()):
        origin = (path / "checkpoint").read_text(encoding="utf-8").partition("\n")[0]
        keyring = world.sides[origin[:2].upper()].keyring
        if not any(_accepts(path, verifier) for verifier in keyring.own_verifiers(origin)):
            refused.append(f"{path.parent.name}: {origin}")
    return refused


def _accepts(path: Path, verifier: HybridVerifier) -> bool:
    try:
        check_log(path, [key.encode() for key in verifier.verifier_keys(cosigner=False)])
    except NotAcceptedError:
        return False
    return True


async def proven(history: History) -> list[str]:
    """Return which evidence of a sample of messages that were received is not VERIFIED."""
    wrong: list[str] = []
    trust = trust_of(history.world)
    for sent in history.chance.sample(history.sent, min(SAMPLE, len(history.sent))):
        for nation, agency in ((sent.nation, sent.agency), (other(sent.nation), sent.addressee)):
            principal = history.world.principal(nation, agency)
            try:
                data = await history.world.node(nation).evidence.prove(
                    principal, sent.message_id, disclose=False
                )
            except GatewayError as error:
                history.told.append(f"no evidence at {nation}: {error.code}")
                continue
            report = verify_evidence(data, trust=trust)
            if not report.is_verified:
                wrong.append(f"{nation}: {report.headline}")
    return wrong


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
async def test_auditors_find_nothing_wrong_with_what_honest_nodes_did(
    world: World, tmp_path: Path, seed: int
) -> None:
    history = History(world=world, chance=random.Random(seed))  # noqa: S311 - what happens, nothing secret
    await history.live(STEPS)
    await world.settle()
    await world.cosigned(*NATIONS)
    assert await proven(history) == [], history.told
    await signed(world)
    # Time passed until then, and with it came whatever was due.
    await world.settle()
    folders = await history.export(tmp_path)

    assert verified_alone(world, folders) == [], history.told
    assert verified_side_by_side(world, folders) == [], history.told
    assert refused_by_another_program(world, folders) == [], history.told
