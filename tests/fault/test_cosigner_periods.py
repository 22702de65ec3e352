"""Over changes of keys no cosignature of an honest node is taken for one under a stolen key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.crosscheck import cosigner_periods
from gateway.audit.folder import LogFolder
from gateway.audit.report import LogReport, Outcome
from gateway.audit.trust import Trust
from gateway.audit.verify import Verification, verify_log
from gateway.core.cosignature import verify_cosignature
from gateway.errors import PeerError, SignatureInvalidError
from gateway.node.signing_keys import SigningKeys
from gateway.ports import Step, Transaction
from tests.fault.test_generations_and_keys import trust_of
from tests.fault.test_recovery import deliver
from tests.fault.test_resumption import fork, resume, until_generation
from tests.fault.test_signing_keys import FR_LOG, US_LOG, newest_note, rotate, stated
from tests.unit.audit.making import MadeLog
from tests.world import World, _signer


class Auditor:
    """Takes copies of all logs again and again, and judges all of them together in the end."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder
        self._copies: dict[tuple[str, bytes], MadeLog] = {}

    async def take(self) -> None:
        """Take what both nodes hold: each log as it is signed, and as it was cosigned last."""
        for nation in ("FR", "US"):
            store = self._world.sides[nation].store
            assert store is not None
            for copy in await store.read(self._load):
                self._copies[copy.origin, copy.signed] = copy

    def judge(self, trust: Trust) -> list[LogReport]:
        """Return the reports on all copies, judged by the fullest ones."""
        found: list[Verification] = []
        for number, copy in enumerate(self._copies.values()):
            path = copy.export(self._folder / str(number))
            found.append(verify_log(LogFolder(path), title=copy.origin, trust=trust))
        periods = cosigner_periods(found, trust)
        return [periods.judged(item.report) for item in found]

    def _load(self, tx: Transaction) -> list[MadeLog]:
        found = []
        for head in tx.logs.heads():
            notes = [tx.logs.newest_note(head.origin, cosigned=cosigned) for cosigned in (True, False)]
            for note in notes:
                if note is None or note.note is None or head.edge.size < note.size:
                    continue
                entries = tuple(tx.logs.entries(head.origin, 0, note.size))
                if len(entries) == note.size:  # not of the other node's audit log, of which it has none
                    found.append(MadeLog(origin=head.origin, stored=entries, signed=note.note))
        return found


def cosignatures(reports: list[LogReport]) -> dict[Outcome, int]:
    found = [check.outcome for report in reports for check in report.checks if check.name == "cosignature"]
    return {outcome: found.count(outcome) for outcome in Outcome}


async def traffic(world: World, auditor: Auditor) -> None:
    """Send both ways, and let the auditor look before and after the minute in which all is cosigned."""
    for nation in ("FR", "US"):
        await deliver(world, nation, 2)
        await auditor.take()
    await world.settle()
    await auditor.take()
    world.clock.advance(61)
    await world.settle()
    await auditor.take()


async def test_honest_logs_stay_verified_at_every_moment_of_many_changes(
    world: World, tmp_path: Path
) -> None:
    auditor = Auditor(world, tmp_path)
    await traffic(world, auditor)
    for nation in ("US", "FR", "US", "FR"):
        await rotate(world, nation)
        await auditor.take()
        await deliver(world, "US" if nation == "FR" else "FR")
        await auditor.take()
        await traffic(world, auditor)
        if nation == "FR":
            await world.restart("US")
            await traffic(world, auditor)
    reports = auditor.judge(trust_of(world))
    assert all(report.is_verified for report in reports), [r.reason for r in reports if not r.is_verified]
    found = cosignatures(reports)
    assert found[Outcome.FAILED] == 0
    assert found[Outcome.HELD] > 20
    newest = {report.title: report for report in sorted(reports, key=lambda item: len(item.cosigned))}
    assert all(newest[origin].cosigned for origin in (FR_LOG, US_LOG))


async def test_honest_logs_stay_verified_over_changes_and_another_generation(
    world: World, tmp_path: Path
) -> None:
    auditor = Auditor(world, tmp_path)
    await traffic(world, auditor)
    await rotate(world, "US")
    await world.settle()
    await auditor.take()
    # Before anything of it was cosigned: by the answers alone it is known that the statement is held.
    await fork(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    await auditor.take()
    await traffic(world, auditor)
    await rotate(world, "FR")
    await traffic(world, auditor)
    reports = auditor.judge(trust_of(world))
    assert cosignatures(reports)[Outcome.FAILED] == 0


async def cosigned_by(world: World, nation: str, origin: str) -> int:
    """Return which key of a node's peer has cosigned the newest note of its log that is cosigned."""
    store = world.sides[nation].store
    assert store is not None
    note = await store.read(lambda tx: tx.logs.newest_note(origin, cosigned=True))
    assert note is not None
    assert note.note is not None
    node = world.sides[nation].keyring.pair.peer_node
    for version in (1, 2):
        try:
            verify_cosignature(note.note, cosigner=_signer(node, version).verifier)
        except SignatureInvalidError:
            continue
        return version
    return 0


async def test_a_node_goes_over_to_a_new_cosigner_when_it_hears_that_its_statement_is_held(
    world: World,
) -> None:
    await deliver(world, "FR")
    await world.settle()
    await rotate(world, "FR")
    await world.settle()
    # The statement is not cosigned yet, for its bundle holds no messages: its size was answered.
    (index,) = await _uncosigned_statements(world)
    assert index > 0

    await deliver(world, "US")
    await world.settle()
    assert await cosigned_by(world, "US", US_LOG) == 2


async def test_a_restart_does_not_go_back_to_the_cosigner_before(world: World) -> None:
    await deliver(world, "FR")
    await rotate(world, "FR")
    await world.settle()
    assert await _uncosigned_statements(world)
    side = world.sides["FR"]
    assert side.store is not None
    newest = side.keyring.statement
    keys = SigningKeys(origin=FR_LOG, keyring=side.keyring)

    await side.store.read(keys.load)

    assert side.keyring.cosigner.verifier == _signer("fr.gateway.test", 2).verifier
    assert not keys.changes_with(10**6)
    assert side.keyring.statement == newest


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_when_the_statement_is_answered_for_loses_nothing(
    world: World, *, persisted: bool
) -> None:
    await deliver(world, "FR")
    await world.settle()
    world.clock.advance(61)
    await world.settle()
    world.break_write("FR", Step.DELIVERED, persisted=persisted)
    await rotate(world, "FR")
    await world.until_crashed("FR")
    await world.restart("FR")
    await deliver(world, "FR")
    await deliver(world, "US")
    await world.settle()
    await world.check()
    assert await cosigned_by(world, "US", US_LOG) == 2


async def test_until_the_statement_arrives_the_old_cosigner_goes_on(world: World, tmp_path: Path) -> None:
    auditor = Auditor(world, tmp_path)
    await deliver(world, "FR")
    await world.settle()
    world.sides["FR"].faults.refuse = lambda _: PeerError("away")
    await rotate(world, "FR")
    ids = await world.send_many("US", 2)
    store = world.sides["US"].store
    assert store is not None
    await world.until_state("US", ids[-1], "delivered")
    assert await cosigned_by(world, "US", US_LOG) == 1
    await auditor.take()
    world.sides["FR"].faults.refuse = None
    await world.until_state("US", ids[-1], "received")
    await traffic(world, auditor)
    assert cosignatures(auditor.judge(trust_of(world)))[Outcome.FAILED] == 0


async def _uncosigned_statements(world: World) -> list[int]:
    """Return where the French log states keys beyond what the other node has cosigned."""
    store = world.sides["FR"].store
    assert store is not None
    cosigned = await store.read(lambda tx: tx.logs.newest_note(FR_LOG, cosigned=True))
    assert (await newest_note(world, "US", FR_LOG)).size > 0
    size = 0 if cosigned is None else cosigned.size
    return [index for index in await stated(world) if index >= size]
