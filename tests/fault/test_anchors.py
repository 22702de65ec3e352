"""Every bundle that a node sends or mirrors is anchored in its audit log, and a gap is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gateway.audit.completeness import check_anchored
from gateway.audit.contents import LogContents
from gateway.audit.report import Outcome
from gateway.core.entries import AnchorEntry, MessageEntry, encode_entry
from gateway.ports import Transaction
from tests.forger import Forger
from tests.unit.audit.homes import signed_audit_logs
from tests.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The logs that the French node holds."""

    audit: str
    own: str
    mirror: str


def sides(world: World) -> Sides:
    pair = world.sides["FR"].keyring.pair
    return Sides(audit=pair.audit_origin, own=pair.exchange_origin, mirror=pair.peer_origin)


async def entries_of(world: World, origin: str) -> list[bytes]:
    store = world.sides["FR"].store
    assert store is not None

    def load(tx: Transaction) -> list[bytes]:
        head = tx.logs.head(origin)
        assert head is not None
        return tx.logs.entries(origin, 0, head.size)

    return await store.read(load)


def contents(origin: str, entries: Sequence[bytes]) -> LogContents:
    found = LogContents(origin)
    found.read(entries)
    assert not found.malformed.count
    return found


async def test_both_directions_are_anchored_bundle_by_bundle(world: World) -> None:
    for _ in range(3):
        await world.send("FR")
        await world.send("US")
        await world.settle()
    at = sides(world)
    audit = contents(at.audit, await entries_of(world, at.audit))
    assert not audit.anchors.count
    for origin in (at.own, at.mirror):
        entries = await entries_of(world, origin)
        check = check_anchored("anchored", audit, contents(origin, entries))
        assert check.outcome is Outcome.HELD
        assert check.detail.startswith(f"each of 3 bundles of {origin}"), check.detail
        anchored = [entry for entry in await world.log("FR", at.audit) if isinstance(entry, AnchorEntry)]
        assert max(entry.size for entry in anchored if entry.origin == origin) == len(entries)


async def test_a_bundle_whose_anchor_was_left_out_of_the_audit_log_is_named(world: World) -> None:
    forger = await Forger.take_over(world)
    for _ in range(4):
        await forger.post(forger.bundle([forger.message(), forger.message()]))
    at = sides(world)
    mirror = await entries_of(world, at.mirror)
    audit = await world.log("FR", at.audit)
    ends = [entry.size for entry in audit if isinstance(entry, AnchorEntry) and entry.origin == at.mirror]
    hidden = ends[-2]
    rewritten = [
        encode_entry(entry)
        for entry in audit
        if not (isinstance(entry, AnchorEntry) and entry.origin == at.mirror and entry.size == hidden)
    ]

    whole = check_anchored(
        "anchored", contents(at.audit, [encode_entry(entry) for entry in audit]), contents(at.mirror, mirror)
    )
    gap = check_anchored("anchored", contents(at.audit, rewritten), contents(at.mirror, mirror))

    assert whole.outcome is Outcome.HELD
    assert gap.outcome is Outcome.FAILED
    assert f"the bundle that ends {at.mirror} at size {hidden} is not anchored" in gap.detail
    assert isinstance((await world.log("FR", at.mirror))[hidden - 1], MessageEntry)


@pytest.mark.parametrize("signed", [True, False])
async def test_bundles_are_anchored_after_a_restored_backup_too(world: World, *, signed: bool) -> None:
    await world.send("FR")
    await world.settle()
    copy = world.backup("FR")
    await world.send("FR")
    await world.send("US")
    await world.settle()
    if signed:
        # What was signed is lost, so the audit log is closed and a successor opens.
        await signed_audit_logs(world)
    await world.restore("FR", copy)
    await world.start("FR")
    await world.settle()
    at = sides(world)
    before = len(await entries_of(world, at.audit))
    for _ in range(2):
        await world.send("FR")
        await world.send("US")
        await world.settle()

    newest = f"{at.audit}/2" if await is_closed(world, at.audit) else at.audit
    audit = contents(newest, await entries_of(world, newest))
    for origin in (at.own, at.mirror):
        entries = await entries_of(world, origin)
        assert max(audit.anchored[origin].sizes) == len(entries)
        check = check_anchored("anchored", audit, contents(origin, entries))
        assert check.outcome is Outcome.HELD, check.detail
    if signed:
        assert newest != at.audit
        assert len(await entries_of(world, at.audit)) == before, "the closed log grows no more"


async def is_closed(world: World, origin: str) -> bool:
    store = world.sides["FR"].store
    assert store is not None
    return await store.read(lambda tx: tx.logs.head(f"{origin}/2")) is not None
