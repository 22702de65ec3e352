"""What one nation could have written otherwise, with its own keys, from the first entry on.

A history of two honest nodes is taken, and one entry of one node is changed as if it had lied when it
wrote it. Both nations then hold the changed logs alike: whatever an entry says of the root of a log is
computed anew where it was true before, and all notes are signed anew. So nothing but what the entries say
can give the liar away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    KeyStatementEntry,
    MessageEntry,
    ReceiptEntry,
    ReceiptException,
    decode_entry,
    encode_entry,
)
from gateway.core.merkle import Hash, RightEdge, append, hash_leaf
from gateway.node.health import Phase
from tests.fault.test_honest_histories import _copies, signed, verified_alone, verified_side_by_side
from tests.fault.test_recovery import collect, deliver
from tests.fault.test_resumption import OPERATOR, freeze_both, resume, until_generation
from tests.unit.audit.making import TIME_S, MadeLog
from tests.world import NATIONS, World

FR, US = "fr.gateway.test/exchange/us", "us.gateway.test/exchange/fr"
US_AUDIT = "us.gateway.test/audit"
SILENT = AgreementEntry(types=(), effective_ms=1)
"""Says nothing that an auditor compares: it stands where another entry was left out."""


class Told:
    """The logs of a history, as they would stand if one entry were another one."""

    def __init__(
        self, world: World, logs: Mapping[str, Sequence[bytes]], lie: tuple[str, int, Entry] | None
    ) -> None:
        self._world = world
        self._logs = logs
        self._lie = lie
        self._edges = {origin: [RightEdge.EMPTY] for origin in logs}
        self._entries: dict[str, list[bytes]] = {origin: [] for origin in logs}
        self._true: dict[str, list[Hash]] = {}
        for origin, entries in logs.items():
            edge, roots = RightEdge.EMPTY, [RightEdge.EMPTY.root()]
            for entry in entries:
                edge = append(edge, [hash_leaf(entry)]).edge
                roots.append(edge.root())
            self._true[origin] = roots

    def root(self, origin: str, size: int) -> Hash:
        """Return the root that a log has now; its entries name only what there was before them."""
        edges = self._edges[origin]
        while len(edges) <= size:
            index = len(edges) - 1
            entry = self._told(origin, index)
            if len(edges) == index + 1:  # else one that it names has brought this one along
                self._entries[origin].append(entry)
                edges.append(append(edges[-1], [hash_leaf(entry)]).edge)
        return edges[size].root()

    def made(self, copy: MadeLog) -> MadeLog:
        """Return a copy as it stands now, signed anew."""
        origin, size = copy.origin, copy.size
        root = self.root(origin, size)
        stored = tuple(self._entries[origin][:size])
        found = [entry for entry in map(decode_entry, stored) if isinstance(entry, KeyStatementEntry)]
        signer = self._world.sides[origin[:2].upper()].keyring.log_signer(origin, found[-1].statement)
        note = sign_checkpoint(Checkpoint(origin=origin, size=size, root=root), signer=signer, time_s=TIME_S)
        return MadeLog(origin=origin, stored=stored, signed=note)

    def _told(self, origin: str, index: int) -> bytes:
        entry = decode_entry(self._logs[origin][index])
        if self._lie is not None and self._lie[:2] == (origin, index):
            entry = self._lie[2]
        if isinstance(entry, ReceiptEntry):
            entry = replace(entry, root=self._new(entry.origin, entry.start + entry.count, entry.root))
        elif isinstance(entry, AnchorEntry | IncidentEntry):
            entry = replace(entry, root=self._new(entry.origin, entry.size, entry.root))
        return encode_entry(entry)

    def _new(self, origin: str, size: int, root: bytes) -> Hash:
        roots = self._true.get(origin, ())
        return self.root(origin, size) if size < len(roots) and roots[size] == root else Hash(root)


Lie = Callable[[Mapping[str, Sequence[Entry]]], tuple[str, int, Entry]]
"""Returns, for the entries of all logs, what stands where instead of what."""


def place(
    logs: Mapping[str, Sequence[Entry]], origin: str, is_meant: Callable[[Entry], bool]
) -> tuple[int, Entry]:
    """Return the first entry of a log that is meant."""
    return next((index, entry) for index, entry in enumerate(logs[origin]) if is_meant(entry))


def silent(origin: str, kind: type[Entry]) -> Lie:
    """Leave out the first entry of a kind."""
    return lambda logs: (origin, place(logs, origin, lambda entry: isinstance(entry, kind))[0], SILENT)


def without(event: str, number: int = 0) -> Lie:
    """Leave an event out of the American audit log: the first of that name, or one behind it."""

    def lie(logs: Mapping[str, Sequence[Entry]]) -> tuple[str, int, Entry]:
        named = [
            (index, entry)
            for index, entry in enumerate(logs[US_AUDIT])
            if isinstance(entry, EventEntry) and entry.event == event
        ]
        index, entry = named[number]
        return US_AUDIT, index, replace(entry, event="node.started", objects=())

    return lie


def refusing(code: int, number: int, *, later_ms: int = 0) -> Lie:
    """Refuse the French message with a number that was received, and say that this was decided later."""

    def lie(logs: Mapping[str, Sequence[Entry]]) -> tuple[str, int, Entry]:
        sent = [index for index, entry in enumerate(logs[FR]) if isinstance(entry, MessageEntry)][number]
        index, entry = place(
            logs, US, lambda e: isinstance(e, ReceiptEntry) and e.start <= sent < e.start + e.count
        )
        assert isinstance(entry, ReceiptEntry)
        said = ReceiptException(index=sent, code=code, rule=None)
        return US, index, replace(entry, exceptions=(said,), decided_ms=entry.decided_ms + later_ms)

    return lie


def collecting_another(logs: Mapping[str, Sequence[Entry]]) -> tuple[str, int, Entry]:
    """Tell of a collection that no agency has made."""
    sent = [index for index, entry in enumerate(logs[FR]) if isinstance(entry, MessageEntry)]
    index, entry = place(logs, US, lambda item: isinstance(item, CollectedEntry))
    assert isinstance(entry, CollectedEntry)
    return US, index, replace(entry, collections=(replace(entry.collections[0], index=sent[1]),))


def restoring(logs: Mapping[str, Sequence[Entry]]) -> tuple[str, int, Entry]:
    """Tell of a restore that never was, instead of a collection."""
    index, _ = place(logs, US, lambda item: isinstance(item, CollectedEntry))
    nothing = RightEdge.EMPTY.root()
    return US, index, IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR, size=0, root=nothing)


def naming_another(logs: Mapping[str, Sequence[Entry]]) -> tuple[str, int, Entry]:
    """Send under the header of a message of the other nation."""
    _, theirs = place(logs, FR, lambda item: isinstance(item, MessageEntry))
    index, entry = place(logs, US, lambda item: isinstance(item, MessageEntry))
    assert isinstance(entry, MessageEntry)
    assert isinstance(theirs, MessageEntry)
    return US, index, replace(entry, header=theirs.header)


def untold(incident: IncidentKind, origin: str) -> Lie:
    """Tell nothing of an incident in the American exchange log."""

    def lie(logs: Mapping[str, Sequence[Entry]]) -> tuple[str, int, Entry]:
        index, _ = place(
            logs, US, lambda e: isinstance(e, IncidentEntry) and (e.incident, e.origin) == (incident, origin)
        )
        return US, index, SILENT

    return lie


def losing(logs: Mapping[str, Sequence[Entry]]) -> tuple[str, int, Entry]:
    """Tell of a loss of the audit log that never was: then nothing would be held against it."""
    index, _ = place(logs, US, lambda item: isinstance(item, CollectedEntry))
    said = IncidentEntry(incident=IncidentKind.RECOVERY, origin=US_AUDIT, size=9, root=bytes(32))
    return US, index, said


def resuming_elsewhere(logs: Mapping[str, Sequence[Entry]]) -> tuple[str, int, Entry]:
    """Name another end of the own exchange log where a generation opened."""
    index, entry = place(
        logs, US_AUDIT, lambda item: isinstance(item, EventEntry) and item.event == "pair.resumed"
    )
    assert isinstance(entry, EventEntry)
    number, size, *rest = entry.details
    assert isinstance(size, int)
    return US_AUDIT, index, replace(entry, details=(number, size - 1, *rest))


LIES: Mapping[str, tuple[Lie, str]] = {
    "a receipt left out": (silent(US, ReceiptEntry), "was skipped by receipts"),
    "a KEM key left out": (silent(US, KemKeyEntry), "is announced nowhere"),
    "a collected message refused": (refusing(12, 0), "was collected although its receipt refuses it"),
    "a received message called erased": (refusing(16, 1), "has no event message.erased"),
    "a received message called a duplicate": (refusing(5, 1), "no entry before it has its id"),
    "a received message called expired": (refusing(4, 1), "expired before its time is over"),
    "the same, decided in times to come": (
        refusing(4, 1, later_ms=90 * 86_400_000),
        "expired before its time is over",
    ),
    "a message called somebody else's": (refusing(1, 1), "addressed to somebody else, and it is not"),
    "a message called unreadable": (refusing(2, 1), "of an unknown suite, and its header is of this one"),
    "a collection kept from the sender": (silent(US, CollectedEntry), "no entry tells the sender of that"),
    "a collection that nobody made": (collecting_another, "has no event message.collected"),
    "a message that nobody posted": (without("message.accepted"), "has no event message.accepted"),
    "a restore that never was": (restoring, "has no event mirror.rolled_back"),
    "an erasure told in one book": (untold(IncidentKind.ERASED, US), "no incident tells of that"),
    "an erasure that never was": (without("message.erased"), "has no event message.erased"),
    "a KEM key that no event knows": (without("kem.announced", 1), "has no event kem.announced"),
    "a loss that never was": (losing, "us.gateway.test/audit goes on behind that"),
    "a header of the other nation": (naming_another, "did not send"),
}


async def audited(world: World, folder: Path, lie: Lie | None) -> list[str]:
    """Return what auditors find in the logs of both nations, as they would stand with a lie in them."""
    world.clock.advance(61)  # what is cosigned without messages is cosigned after a minute
    await world.cosigned(*NATIONS)
    await signed(world)
    await world.settle()
    copies: dict[str, list[MadeLog]] = {}
    for nation in NATIONS:
        store = world.sides[nation].store
        assert store is not None
        copies[nation] = await store.read(_copies)
    fullest: dict[str, MadeLog] = {}
    for copy in sorted((copy for some in copies.values() for copy in some), key=lambda copy: copy.size):
        fullest[copy.origin] = copy
    logs = {origin: copy.stored for origin, copy in fullest.items()}
    decoded = {origin: [decode_entry(entry) for entry in entries] for origin, entries in logs.items()}
    told = Told(world, logs, None if lie is None else lie(decoded))
    folders = {}
    for nation, some in copies.items():
        folders[nation] = folder / nation
        for number, copy in enumerate(some):
            told.made(copy).export(folders[nation] / str(number))
    return verified_alone(world, folders) + verified_side_by_side(world, folders)


def is_found(found: list[str], why: str | None) -> bool:
    """Return whether a lie is found for its reason; the truth has none, and nothing is found."""
    return not found if why is None else any(why in line for line in found)


@pytest.mark.parametrize("name", [None, *LIES])
async def test_a_lie_that_both_nations_hold_alike_is_found(
    world: World, tmp_path: Path, name: str | None
) -> None:
    for _ in range(3):
        await collect(world, "US", *(await deliver(world, "FR")))
        await deliver(world, "FR")
        (sent,) = await deliver(world, "US")
        await world.node("US").custody.erase(OPERATOR, sent, "Court order")
        await world.settle()
        world.clock.advance(86_401)  # each node announces another KEM key
    await deliver(world, "US")
    lie, why = (None, None) if name is None else LIES[name]
    found = await audited(world, tmp_path, lie)
    assert is_found(found, why), found


async def restored(world: World) -> None:
    """Restore the American node, and then the French one."""
    await deliver(world, "US")
    copies = {nation: world.backup(nation) for nation in NATIONS}
    for nation in reversed(NATIONS):
        await deliver(world, "US")
        await deliver(world, "FR")
        await signed(world)
        await world.settle()
        await world.restore(nation, copies[nation])
        await world.start(nation)
        await world.until_phase(nation, Phase.RUNNING)
        await deliver(world, "FR")
        await deliver(world, "US")


async def resumed(world: World) -> None:
    """Let both nodes open the next generation of their logs."""
    await deliver(world, "US")
    await freeze_both(world)
    for nation in NATIONS:
        await resume(world, nation)
    await until_generation(world, 2)
    await deliver(world, "US")


Lived = Callable[[World], Awaitable[None]]

LATER_LIES: Mapping[str, tuple[Lived, Lie | None, str | None]] = {
    "nothing but the truth of restores": (restored, None, None),
    "nothing but the truth of a generation": (resumed, None, None),
    "a rollback of the peer told in one book": (
        restored,
        untold(IncidentKind.PEER_ROLLBACK, US),
        "records a restore of which us.gateway.test/exchange/fr has no incident",
    ),
    "a refill told in one book": (
        restored,
        untold(IncidentKind.RECOVERY, US),
        "(log.recovered) records a restore of which us.gateway.test/exchange/fr has no incident",
    ),
    "a loss of the audit log told in one book": (
        restored,
        untold(IncidentKind.RECOVERY, US_AUDIT),
        "tells nobody of that",
    ),
    "a generation that no operator has signed off": (
        resumed,
        without("pair.signed_off"),
        "stands behind no sign-off of an operator",
    ),
    "a generation that opened without a word": (
        resumed,
        without("pair.resumed"),
        "us.gateway.test/audit has no event pair.resumed of it",
    ),
    "another end of the log before": (resumed, resuming_elsewhere, "names another end of"),
}


@pytest.mark.parametrize("name", LATER_LIES)
async def test_a_lie_about_restores_and_generations_is_found(world: World, tmp_path: Path, name: str) -> None:
    lived, lie, why = LATER_LIES[name]
    await lived(world)
    found = await audited(world, tmp_path, lie)
    assert is_found(found, why), found
