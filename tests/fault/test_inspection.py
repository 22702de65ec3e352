"""Whoever edits the file of a database is found: at the next start, within a day, or by the peer.

Rows are changed as somebody with access to the file can, the triggers that guard them removed
first, and entries unpacked and packed again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import EventEntry, IncidentKind, decode_entry
from gateway.core.merkle import RightEdge, append, hash_leaf
from gateway.node import inspection
from gateway.node.health import Phase
from gateway.node.inspection import LogDamagedError
from gateway.node.recovery import UnprovenHistoryError
from tests.databases import tampering
from tests.fault.test_recovery import deliver, head, stopped_with
from tests.world import World

OF = "log_id = (SELECT id FROM logs WHERE origin = '{origin}')"


def change(world: World, nation: str, origin: str, *statements: str) -> None:
    """Change the database of a stopped node; each statement has to change something."""
    with tampering(world.sides[nation].database) as database:
        for statement in statements:
            done = database.execute(statement.replace("OF_LOG", OF.format(origin=origin)))
            assert done.rowcount > 0, statement


AT_THE_END = {
    "edited": ["UPDATE entries SET entry = randomblob(length(entry)) WHERE OF_LOG AND leaf_index = 3"],
    "a text": ["UPDATE runs SET packed = 'text' WHERE OF_LOG AND start <= 3"],
    "not packed": ["UPDATE runs SET packed = randomblob(length(packed)) WHERE OF_LOG AND start <= 3"],
    "cut short": ["UPDATE runs SET packed = substr(packed, 1, length(packed) - 1) WHERE OF_LOG"],
    "lengthened": ["UPDATE runs SET packed = CAST(packed || x'00' AS BLOB) WHERE OF_LOG"],
    "counted otherwise": ["UPDATE runs SET entries = entries + 1 WHERE OF_LOG AND start > 0"],
    "moved": ["UPDATE runs SET start = start + 1000 WHERE OF_LOG AND start > 2"],
    "no text": ["UPDATE runs SET packed = packed || x'00' WHERE OF_LOG AND start <= 3"],
    "deleted": ["DELETE FROM entries WHERE OF_LOG AND leaf_index = 3"],
    "inserted": ["INSERT INTO entries SELECT log_id, max(leaf_index) + 1, entry FROM entries WHERE OF_LOG"],
    "inserted between": [
        "UPDATE entries SET leaf_index = -leaf_index WHERE OF_LOG AND leaf_index >= 3",
        "UPDATE entries SET leaf_index = 1 - leaf_index WHERE OF_LOG AND leaf_index < 0",
        "INSERT INTO entries SELECT log_id, 3, entry FROM entries WHERE OF_LOG AND leaf_index = 2",
    ],
    "reordered": [
        "UPDATE entries SET leaf_index = -1 WHERE OF_LOG AND leaf_index = 2",
        "UPDATE entries SET leaf_index = 2 WHERE OF_LOG AND leaf_index = 3",
        "UPDATE entries SET leaf_index = 3 WHERE OF_LOG AND leaf_index = -1",
    ],
    "root": ["UPDATE logs SET root = randomblob(32), edge = randomblob(length(edge)) WHERE origin = '{o}'"],
    "edge of another size": ["UPDATE logs SET size = 4, edge = randomblob(32) WHERE origin = '{o}'"],
    "cut": [
        "DELETE FROM entries WHERE OF_LOG AND leaf_index >= 2",
        "UPDATE logs SET size = 2 WHERE origin = '{o}'",
    ],
    "signed otherwise": ["UPDATE notes SET root = randomblob(32) WHERE OF_LOG"],
}


@pytest.mark.parametrize("how", AT_THE_END)
@pytest.mark.parametrize("whose", ["own", "mirror"])
async def test_a_database_that_was_changed_near_its_end_is_found_before_anything_is_signed(
    world: World, whose: str, how: str
) -> None:
    await deliver(world, "US", 2)
    await deliver(world, "FR")
    pair = world.sides["US"].keyring.pair
    origin = pair.exchange_origin if whose == "own" else pair.peer_origin
    await world.stop("US")
    change(world, "US", origin, *(line.replace("{o}", origin) for line in AT_THE_END[how]))
    before = await _notes(world)
    error = await started_with(world, "US")

    assert isinstance(error, LogDamagedError)
    assert await _notes(world) == before, "nothing was signed"
    # An edge that cannot be read does not say any more whose it is.
    assert origin in str(error) or how == "cut"


async def started_with(world: World, nation: str) -> BaseException | None:
    """Start a node that cannot run, and return why."""
    try:
        await world.start(nation)
    except LogDamagedError as error:
        return error
    return await stopped_with(world, nation)


async def long_log(world: World, nation: str) -> str:
    """Let the audit log of a node have more than one tile, and return its origin."""
    node = world.node(nation)
    digests = [number.to_bytes(48, "big") for number in range(600)]
    await asyncio.gather(*(node.own_events.record("backup.made", details=(digest,)) for digest in digests))
    await world.settle()
    return world.sides[nation].keyring.pair.audit_origin


FURTHER_BACK = {
    "edited": ["UPDATE entries SET entry = zeroblob(length(entry)) WHERE OF_LOG AND leaf_index = 300"],
    "no text": ["UPDATE runs SET packed = packed || x'00' WHERE OF_LOG AND start = 300"],
    "deleted": ["DELETE FROM entries WHERE OF_LOG AND leaf_index = 300"],
    "reordered": [
        "UPDATE entries SET leaf_index = -1 WHERE OF_LOG AND leaf_index = 300",
        "UPDATE entries SET leaf_index = 300 WHERE OF_LOG AND leaf_index = 301",
        "UPDATE entries SET leaf_index = 301 WHERE OF_LOG AND leaf_index = -1",
    ],
    "stored hash": [
        "UPDATE tile_hashes SET hash = randomblob(32) WHERE OF_LOG AND level = 1 AND subtree_index = 1"
    ],
}


@pytest.mark.parametrize("how", FURTHER_BACK)
async def test_a_database_that_was_changed_further_back_is_found_within_a_day(
    world: World, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "RUN", 256)
    monkeypatch.setattr(inspection, "REST_S", 0.0)
    origin = await long_log(world, "US")
    await world.stop("US")
    change(world, "US", origin, *FURTHER_BACK[how])
    await world.start("US")
    if how == "stored hash":
        # It is below the right edge: what is signed next would rest on it.
        assert isinstance(await stopped_with(world, "US"), LogDamagedError)
        return
    await world.until_phase("US", Phase.RUNNING)

    world.clock.advance(inspection.FIRST_S + 1)
    kept = await world.until(
        lambda: world.incidents("US"),
        lambda found: any(item.kind == IncidentKind.DAMAGED for item in found),
    )

    (incident,) = [item for item in kept if item.kind == IncidentKind.DAMAGED]
    assert (incident.origin, incident.size) == (origin, 512)
    (event,) = [event for event in await _newest(world, "US", origin) if event.event == "log.damaged"]
    assert event.details == (256, 512)
    assert (await world.node("US").health()).damaged == (origin,)
    # The exchange goes on: what was damaged lies behind, and other copies of it exist.
    await deliver(world, "US")
    # It is not reported a second time, and every day it is looked for anew.
    world.clock.advance(inspection.EVERY_S + 1)
    await world.node("US")._inspection.inspect()
    assert len([i for i in await world.incidents("US") if i.kind == IncidentKind.DAMAGED]) == 1


async def test_logs_that_are_whole_are_inspected_without_a_word(world: World) -> None:
    await long_log(world, "FR")
    await deliver(world, "US", 3)
    for nation in ("FR", "US"):
        assert await world.node(nation)._inspection.inspect() == ()
        assert (await world.node(nation).health()).damaged == ()
        assert await world.incidents(nation) == []


def rebuild(world: World, nation: str, index: int) -> None:
    """Alter an entry of a node's exchange log and build all the rest anew, signed with the true key."""
    side = world.sides[nation]
    origin = side.keyring.pair.exchange_origin
    with tampering(side.database) as database:
        (log,) = database.execute("SELECT id FROM logs WHERE origin = ?", (origin,)).fetchone()
        rows = database.execute("SELECT entry FROM entries WHERE log_id = ? ORDER BY leaf_index", (log,))
        entries = [row[0] for row in rows]
        entries[index] = entries[index][:-1] + bytes([entries[index][-1] ^ 1])
        database.execute(
            "UPDATE entries SET entry = ? WHERE log_id = ? AND leaf_index = ?", (entries[index], log, index)
        )
        edges = [RightEdge.EMPTY]
        for entry in entries:
            edges.append(append(edges[-1], [hash_leaf(entry)]).edge)
        database.execute(
            "UPDATE logs SET root = ?, edge = ? WHERE id = ?", (edges[-1].root(), edges[-1].encode(), log)
        )
        for start, stop in database.execute("SELECT start, stop FROM bundles").fetchall():
            database.execute("UPDATE bundles SET root = ? WHERE start = ?", (edges[stop].root(), start))
        notes = database.execute("SELECT number, size FROM notes WHERE log_id = ?", (log,)).fetchall()
        for number, size in notes:
            note = sign_checkpoint(
                Checkpoint(origin=origin, size=size, root=edges[size].root()),
                signer=side.keyring.log_signer(origin, side.keyring.statement),
                time_s=1_800_000_000,
            )
            database.execute(
                "UPDATE notes SET root = ?, cosigned = 0 WHERE number = ?", (edges[size].root(), number)
            )
            database.execute("DELETE FROM whole_notes WHERE number = ?", (number,))
            database.execute("INSERT INTO whole_notes VALUES (?, ?, 0, ?, ?)", (number, log, size, note))


@pytest.mark.parametrize("marks", [True, False], ids=["marks kept", "marks removed"])
async def test_a_log_that_was_rebuilt_and_signed_with_the_true_key_is_found_before_it_is_shown(
    world: World, *, marks: bool
) -> None:
    await deliver(world, "US", 2)
    own = await head(world, "US")
    await world.stop("US")
    rebuild(world, "US", 3)
    if not marks:
        (world.sides["US"].folder / "high-water").unlink()
    faults = world.sides["US"].faults
    faults.posted.clear()
    await world.start("US")

    # With the file of marks by that file, without it by the peer's copy.
    error = await stopped_with(world, "US")

    assert isinstance(error, UnprovenHistoryError)
    assert "another history" in str(error)
    assert faults.posted == []
    assert (await head(world, "FR", own.origin)).edge == own.edge


async def test_while_the_peer_is_away_a_rebuilt_log_without_marks_is_not_signed_on(world: World) -> None:
    await deliver(world, "US", 2)
    await world.stop("US")
    rebuild(world, "US", 3)
    (world.sides["US"].folder / "high-water").unlink()
    faults = world.sides["US"].faults
    faults.unreachable = True
    before = await _notes(world)
    await world.start("US")
    await world.send("US")

    await world.until(lambda: _asked(world), lambda asked: asked >= 2)

    assert world.node("US").phase is Phase.STARTING
    assert await _notes(world) == before


async def _newest(world: World, nation: str, origin: str) -> list[EventEntry]:
    """Return the events behind the damage; those before it cannot all be read any more."""
    store = world.sides[nation].store
    assert store is not None
    size = (await head(world, nation, origin)).size
    entries = [decode_entry(data) for data in await store.read(lambda tx: tx.logs.entries(origin, 512, size))]
    return [entry for entry in entries if isinstance(entry, EventEntry)]


async def _asked(world: World) -> int:
    return world.sides["US"].faults.asked.count("standing")


async def _notes(world: World) -> int:
    with closing(sqlite3.connect(f"file:{world.sides['US'].database}?mode=ro", uri=True)) as database:
        (count,) = database.execute("SELECT count(*) FROM notes").fetchone()
    return int(count)
