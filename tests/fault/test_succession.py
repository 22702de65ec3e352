"""An audit log that was rolled back is closed; its successor says where both heads stood.

The American node is restored. What its audit log held after the backup is lost, for nobody has a
copy; that it was there, and how much, both nations can prove.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.core.checkpoint import parse_checkpoint
from gateway.core.entries import (
    AnchorEntry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KeyStatementEntry,
    decode_entry,
)
from gateway.core.merkle import Hash
from gateway.core.note import parse_note
from gateway.errors import PeerError
from gateway.link.pinning import NotThePeerError
from gateway.node.health import Phase
from gateway.node.peer_service import LogClosedError
from gateway.node.succession import SUCCEEDED
from gateway.ports import LogHead, Standing, Step, StoredNote
from gateway.storage.highwater import FileHighWater
from tests.fault.test_recovery import deliver, head, incident_entries, is_whole
from tests.world import World


def origin_of_audit(world: World, nation: str = "US") -> str:
    return world.sides[nation].keyring.pair.audit_origin


async def note_of(world: World, nation: str, origin: str, *, cosigned: bool = False) -> StoredNote | None:
    store = world.sides[nation].store
    assert store is not None
    return await store.read(lambda tx: tx.logs.newest_note(origin, cosigned=cosigned))


async def until_cosigned(world: World, origin: str, size: int) -> StoredNote:
    """Wait until the French node has cosigned the American audit log up to a size at least."""

    async def ask() -> StoredNote | None:
        world.clock.advance(61)
        return await note_of(world, "US", origin, cosigned=True)

    found = await world.until(ask, lambda note: note is not None and note.size >= size)
    assert found is not None
    return found


def size_of(note: bytes) -> int:
    return parse_checkpoint(parse_note(note).text).size


async def rolled_back(world: World, *, marks: bool) -> tuple[LogHead, StoredNote]:
    """Put an old copy of the American database back; return (audit log there, what was cosigned)."""
    await deliver(world, "US")
    copy = world.backup("US")
    stored = await head(world, "US", origin_of_audit(world))
    await deliver(world, "US", 2)
    size = (await head(world, "US", stored.origin)).size
    cosigned = await until_cosigned(world, stored.origin, size)
    await world.settle()
    await world.restore("US", copy, marks=marks)
    return stored, cosigned


async def first_event(world: World, generation: int) -> EventEntry:
    origin = f"{origin_of_audit(world)}/{generation}"
    entries = await world.log("US", origin)
    first, second = entries[:2]
    assert isinstance(first, EventEntry)
    assert isinstance(second, KeyStatementEntry)
    return first


async def test_the_successor_cites_both_heads_before_anything_else_is_written(world: World) -> None:
    stored, cosigned = await rolled_back(world, marks=True)
    world.sides["US"].faults.unreachable = True
    await world.start("US")
    await world.send("US")

    first = await first_event(world, 2)

    # The marks hold what was signed last, which the peer has cosigned here.
    assert (first.event, first.outcome) == (SUCCEEDED, "rolled-back")
    assert first.details == (1, stored.size, stored.edge.root(), 1, cosigned.size, cosigned.root)
    assert (await head(world, "US", stored.origin)).size == stored.size, "the closed log grows no more"
    world.reconnect("US")
    await world.until_phase("US", Phase.RUNNING)
    await is_whole(world)


async def test_without_marks_the_peer_tells_what_it_cosigned_before_anything_is_signed(world: World) -> None:
    stored, cosigned = await rolled_back(world, marks=False)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)

    first = await first_event(world, 2)

    _, size, _, _, signed_size, signed_root = first.details
    assert (signed_size, signed_root) == (cosigned.size, cosigned.root)
    # What was written while nobody knew stands in the closed log, and is cited with it.
    assert isinstance(size, int)
    assert size >= stored.size
    note = await note_of(world, "US", stored.origin)
    assert note is None or note.size <= stored.size
    await is_whole(world)


@pytest.mark.parametrize("marks", [True, False])
async def test_the_successor_is_signed_and_cosigned_and_the_closed_log_is_not(
    world: World, *, marks: bool
) -> None:
    stored, _ = await rolled_back(world, marks=marks)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")

    successor = f"{stored.origin}/2"
    note = await until_cosigned(world, successor, 3)

    assert note.size <= (await head(world, "US", successor)).size
    closed = await note_of(world, "US", stored.origin)
    assert closed is None or closed.size <= stored.size
    marked = world.sides["FR"].high_water
    assert marked is not None
    assert marked.read()[successor][0] >= note.size
    # The peer's operators hear of it as well.
    kinds = [(item.kind, item.origin) for item in await world.incidents("FR")]
    assert (IncidentKind.RECOVERY, successor) in kinds
    await is_whole(world)


async def test_the_loss_stands_in_the_exchange_log_for_both_nations(world: World) -> None:
    stored, cosigned = await rolled_back(world, marks=True)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await world.settle()

    said = [entry for entry in incident_entries(await world.log("US")) if entry.origin == stored.origin]

    expected = IncidentEntry(
        incident=IncidentKind.RECOVERY, origin=stored.origin, size=cosigned.size, root=cosigned.root
    )
    assert said == [expected]
    mirrored = await world.log("FR", world.sides["US"].keyring.pair.exchange_origin)
    assert expected in mirrored
    # It is said once, however often the node starts.
    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)
    await world.settle()
    assert incident_entries(await world.log("US")).count(expected) == 1


async def test_the_last_state_that_the_peer_cosigned_is_anchored_in_the_successor(world: World) -> None:
    stored, cosigned = await rolled_back(world, marks=True)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)

    entries = await world.log("US", f"{stored.origin}/2")

    anchors = [entry for entry in entries if isinstance(entry, AnchorEntry)]
    assert AnchorEntry(origin=stored.origin, size=cosigned.size, root=cosigned.root) in anchors


async def test_places_of_earlier_events_stay_true(world: World) -> None:
    _, _ = await rolled_back(world, marks=True)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    (old,) = [
        row.message_id
        for row in await world.node("US").tracking.listing(world.principal("US"), after=0, limit=10)
    ]

    new = await world.send("US")

    for message_id, log in ((old, ""), (new, "/2")):
        tracked = await world.node("US").tracking.status(world.principal("US"), message_id)
        accepted = tracked.timeline[0]
        assert accepted.origin == origin_of_audit(world) + log
        assert accepted.index is not None
        store = world.sides["US"].store
        assert store is not None
        origin, index = accepted.origin, accepted.index
        (data,) = await store.read(lambda tx, o=origin, i=index: tx.logs.entries(o, i, i + 1))  # type: ignore[misc]
        entry = decode_entry(data)
        assert isinstance(entry, EventEntry)
        assert message_id in entry.objects


async def test_a_backup_from_before_the_succession_opens_a_third_and_never_the_second_again(
    world: World,
) -> None:
    await deliver(world, "US")
    copy = world.backup("US")
    for generation in (2, 3):
        await deliver(world, "US")
        await until_cosigned(
            world, origin_of_audit(world) + (f"/{generation - 1}" if generation > 2 else ""), 2
        )
        await world.settle()
        await world.restore("US", copy)
        await world.start("US")
        await world.until_phase("US", Phase.RUNNING)

        first = await first_event(world, generation)

        assert first.event == SUCCEEDED
    await is_whole(world)


async def test_a_closed_log_is_not_cosigned_again(world: World) -> None:
    stored, _ = await rolled_back(world, marks=True)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await until_cosigned(world, f"{stored.origin}/2", 2)

    closed = await note_of(world, "FR", stored.origin)
    assert closed is not None
    assert closed.note is not None
    with pytest.raises(LogClosedError):
        await world.node("FR").peer_service.add_checkpoint(b"old 0\n\n" + closed.note)


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_while_the_successor_opens_leaves_one_successor(
    world: World, *, persisted: bool
) -> None:
    stored, _ = await rolled_back(world, marks=True)
    world.break_write("US", Step.RECOVERED, persisted=persisted)
    await world.start("US")
    await world.until_crashed("US")

    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)

    assert (await first_event(world, 2)).details[1] == stored.size
    assert await head_of(world, f"{stored.origin}/3") is None
    await is_whole(world)


async def head_of(world: World, origin: str) -> LogHead | None:
    store = world.sides["US"].store
    assert store is not None
    return await store.read(lambda tx: tx.logs.head(origin))


async def test_a_mark_that_does_not_lie_on_the_log_closes_it(world: World) -> None:
    await deliver(world, "US")
    origin = origin_of_audit(world)
    await until_cosigned(world, origin, 2)
    await world.stop("US")
    path: Path = world.sides["US"].folder / "high-water"
    marks = dict(FileHighWater(path).read())
    path.unlink()
    forged = FileHighWater(path)
    await forged.record({**marks, origin: (marks[origin][0], Hash(b"\x07" * 32))})
    forged.close()

    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)

    first = await first_event(world, 2)
    assert first.details[4:] == (marks[origin][0], b"\x07" * 32)
    await is_whole(world)


async def test_a_note_of_the_peer_that_we_did_not_sign_closes_nothing(world: World) -> None:
    await deliver(world, "US")
    origin = origin_of_audit(world)
    note = await until_cosigned(world, origin, 2)
    assert note.note is not None
    forged = note.note.replace(b"\n%d\n" % note.size, b"\n%d\n" % (note.size + 50), 1)

    def alter(question: str, answer: Any) -> Any:
        return replace(answer, witnessed=forged) if question == "standing" else answer

    world.sides["US"].faults.alter_answer = alter
    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)

    assert await head_of(world, f"{origin}/2") is None
    await is_whole(world)


async def test_a_peer_of_an_earlier_release_does_not_hold_the_node_up(world: World) -> None:
    await deliver(world, "US")
    world.sides["US"].faults.refuse_question = lambda name: (
        PeerError("no such call") if name == "standing" else None
    )
    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)

    await deliver(world, "US")
    await is_whole(world)


async def test_who_is_not_the_peer_is_asked_again_and_told_of_once(world: World) -> None:
    await deliver(world, "US")
    faults = world.sides["US"].faults
    faults.refuse_question = lambda _: NotThePeerError("no pinned key")
    with capture_logs() as said:
        await world.restart("US")
        asked = faults.asked.count("standing")
        await world.until(lambda: count_of(faults.asked, "standing"), lambda count: count > asked + 3)
    faults.refuse_question = lambda _: None

    told = [(line["event"], line["code"]) for line in said if line["event"].startswith("recovery.")]
    assert told == [("recovery.waiting", "peer-identity")]
    await deliver(world, "US")
    await is_whole(world)


async def count_of(asked: list[str], question: str) -> int:
    """Return how often a question was asked."""
    return asked.count(question)


async def test_a_restored_peer_does_not_call_an_earlier_state_the_largest(world: World) -> None:
    await deliver(world, "US")
    await until_cosigned(world, origin_of_audit(world), 2)
    assert (await world.node("FR").peer_service.standing()).witnessed is not None
    copy = world.backup("FR")
    size = (await head(world, "US", origin_of_audit(world))).size
    await deliver(world, "US")
    await until_cosigned(world, origin_of_audit(world), size + 1)
    await world.settle()

    # Restored, it remembers the later size by its marks, and does not call the earlier one the largest.
    await world.restore("FR", copy)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)
    standing = await world.node("FR").peer_service.standing()
    assert replace(standing, witnessed=None) == Standing()
    # The peer may have shown a later state since.
    assert standing.witnessed is None or size_of(standing.witnessed) > size
    await world.restore("FR", None, marks=False)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)
