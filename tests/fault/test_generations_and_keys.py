"""Keys change, and logs are succeeded: whichever comes first, every checkpoint has the key of its size.

A key that was replaced does not come back by opening another generation: neither the other
node nor an auditor takes it.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from gateway.audit.crosscheck import compare_logs
from gateway.audit.folder import LogFolder
from gateway.audit.report import Outcome, SetReport
from gateway.audit.trust import Trust, parse_trust
from gateway.audit.verify import verify_log
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint, verify_cosignature, verify_log_note
from gateway.core.entries import AnchorEntry, Entry, KeyStatementEntry, encode_entry
from gateway.core.merkle import Hash, hash_leaf, root_of
from gateway.errors import PeerError, SignatureInvalidError, UnavailableError
from gateway.keyring.statement import root_name
from gateway.node.audit_log import AuditLog
from gateway.node.forks import GIVEN_UP
from gateway.node.health import Phase
from gateway.node.mirror import MirrorReader
from gateway.node.peer_service import PeerService
from gateway.node.recovery import GenerationBehindError
from gateway.node.resumption import put_sign_off
from gateway.node.signing_keys import statements_in
from gateway.ports import Step, StoredNote, Transaction
from tests.fault.test_recovery import deliver, head, is_whole, stopped_with
from tests.fault.test_resumption import OPERATOR, fork, freeze_both, resume, until_generation
from tests.fault.test_signing_keys import rotate
from tests.fault.test_succession import note_of, until_cosigned
from tests.unit.audit.making import MadeLog
from tests.world import World, _signer

US_AUDIT, FR_LOG, US_LOG = (
    "us.gateway.test/audit",
    "fr.gateway.test/exchange/us",
    "us.gateway.test/exchange/fr",
)


def trust_of(world: World) -> Trust:
    """Return what an auditor trusts: every key that either node ever had, in order, and both roots."""
    lines: list[str] = []
    for nation in ("FR", "US"):
        keyring, pair = world.sides[nation].keyring, world.sides[nation].keyring.pair
        versions = range(1, len(keyring.own_verifiers(pair.audit_origin)) + 1)
        for name in (pair.audit_origin, pair.exchange_origin, pair.node):
            for version in versions:
                keys = _signer(name, version).verifier.verifier_keys(cosigner=name == pair.node)
                lines += [key.encode() for key in keys]
        lines += [key.encode() for key in _signer(root_name(nation)).verifier.statement_keys()]
    return parse_trust(lines)


async def copy_of(world: World, nation: str, origin: str) -> MadeLog:
    """Return what a node would export of a log now: the newest note, and the entries below its size."""
    store = world.sides[nation].store
    assert store is not None

    def load(tx: Transaction) -> MadeLog:
        note = tx.logs.newest_note(origin)
        assert note is not None
        assert note.note is not None
        entries = tuple(tx.logs.entries(origin, 0, note.size))
        return MadeLog(origin=origin, stored=entries, signed=note.note)

    return await store.read(load)


def audited(folder: Path, trust: Trust, *logs: MadeLog) -> SetReport:
    """Return what an auditor finds in exported copies."""
    found = [
        verify_log(LogFolder(log.export(folder / str(number))), title=log.origin, trust=trust)
        for number, log in enumerate(logs)
    ]
    return compare_logs(found, title="copies", trust=trust)


def outcome(report: SetReport, name: str) -> Outcome:
    (check,) = [check for check in report.checks if check.name == name]
    return check.outcome


async def stated(world: World, origin: str, nation: str = "US") -> list[tuple[int, bytes]]:
    store = world.sides[nation].store
    assert store is not None
    return await store.read(partial(statements_in, origin=origin))


def signed_by(note: StoredNote, version: int) -> None:
    """Fail unless a note bears both signatures of the key that a statement of this version names."""
    assert note.note is not None
    verify_log_note(note.note, verifier=_signer(note.origin, version).verifier)


async def roll_back(world: World, copy: Path) -> None:
    """Put an old database back and wait until the node runs, with a successor of its audit log."""
    await world.restore("US", copy)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)


def old_key_of_successor() -> bytes:
    """Return a request of a thief of the first audit key: to cosign a successor of the log."""
    forged = sign_checkpoint(
        Checkpoint(origin=f"{US_AUDIT}/9", size=3, root=Hash(b"\x05" * 32)),
        signer=_signer(f"{US_AUDIT}/9", 1),
        time_s=2_000_000_000,
    )
    return b"old 0\n\n" + forged


async def test_an_audit_log_whose_key_was_changed_is_succeeded_under_the_new_key(
    world: World, tmp_path: Path
) -> None:
    await deliver(world, "US")
    backup = world.backup("US")
    await rotate(world, "US")
    await deliver(world, "US")
    size = (await stated(world, US_AUDIT))[1][0] + 1
    signed_by(await until_cosigned(world, US_AUDIT, size), 2)
    closed = await copy_of(world, "US", US_AUDIT)
    await world.settle()

    # The copy is from before the change: the database does not know the statement, the home does.
    await roll_back(world, backup)

    successor = f"{US_AUDIT}/2"
    ((index, statement),) = await stated(world, successor)
    assert (index, statement) == (1, world.sides["US"].keyring.statement)
    signed_by(await until_cosigned(world, successor, 3), 2)
    with pytest.raises(SignatureInvalidError):
        await _service(world).add_checkpoint(old_key_of_successor())
    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")
    note = await until_cosigned(world, successor, (await head(world, "US", successor)).size)
    signed_by(note, 2)
    assert [place for place, _ in await stated(world, successor)] == [1]
    report = audited(tmp_path, trust_of(world), closed, await copy_of(world, "US", successor))
    assert report.is_verified, report.headline
    assert outcome(report, f"keys of {successor}") is Outcome.HELD
    await is_whole(world)


async def test_a_successor_of_an_audit_log_changes_its_key(world: World, tmp_path: Path) -> None:
    await deliver(world, "US")
    backup = world.backup("US")
    await deliver(world, "US")
    await until_cosigned(world, US_AUDIT, (await head(world, "US", US_AUDIT)).size)
    closed = await copy_of(world, "US", US_AUDIT)
    await world.settle()
    await roll_back(world, backup)
    successor = f"{US_AUDIT}/2"
    signed_by(await until_cosigned(world, successor, 3), 1)

    await rotate(world, "US")
    await deliver(world, "US")

    (first, _), (second, _) = await stated(world, successor)
    assert first == 1
    signed_by(await until_cosigned(world, successor, second + 1), 2)
    assert [place for place, _ in await stated(world, US_AUDIT)] == [0], "the closed log grows no more"
    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")
    signed_by(await until_cosigned(world, successor, (await head(world, "US", successor)).size), 2)
    with pytest.raises(SignatureInvalidError):
        await _service(world).add_checkpoint(old_key_of_successor())
    report = audited(tmp_path, trust_of(world), closed, await copy_of(world, "US", successor))
    assert report.is_verified, report.headline
    await is_whole(world)


async def test_auditors_refuse_a_successor_that_an_old_key_has_signed(world: World, tmp_path: Path) -> None:
    await deliver(world, "US")
    backup = world.backup("US")
    await deliver(world, "US")
    await until_cosigned(world, US_AUDIT, (await head(world, "US", US_AUDIT)).size)
    await world.settle()
    await roll_back(world, backup)
    await until_cosigned(world, f"{US_AUDIT}/2", 3)
    # The successor that a thief of the first key would sign, beside a log that went on to the second.
    old = await copy_of(world, "US", f"{US_AUDIT}/2")
    await rotate(world, "US")
    size = (await stated(world, f"{US_AUDIT}/2"))[1][0] + 1
    await until_cosigned(world, f"{US_AUDIT}/2", size)
    newest = await copy_of(world, "US", f"{US_AUDIT}/2")
    renamed = _renamed(old, f"{US_AUDIT}/3", newest)

    report = audited(tmp_path, trust_of(world), newest, renamed)

    assert outcome(report, f"keys of {US_AUDIT}/3") is Outcome.FAILED
    assert not report.is_verified


def _renamed(log: MadeLog, origin: str, cited: MadeLog) -> MadeLog:
    """Return a log under another origin, signed by the first key, that cites another one."""
    cite = AnchorEntry(origin=cited.origin, size=cited.size, root=cited.root(cited.size))
    stored = (encode_entry(cite), *log.stored[1:])
    root = root_of([hash_leaf(entry) for entry in stored])
    checkpoint = Checkpoint(origin=origin, size=len(stored), root=root)
    note = sign_checkpoint(checkpoint, signer=_signer(origin, 1), time_s=2_000_000_000)
    return MadeLog(origin=origin, stored=stored, signed=note)


async def test_exchange_logs_whose_keys_were_changed_are_resumed_under_the_new_ones(
    world: World, tmp_path: Path
) -> None:
    await deliver(world, "US")
    await rotate(world, "US")
    await deliver(world, "US")
    closed = await copy_of(world, "FR", US_LOG)
    await fork(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    await deliver(world, "US")

    successor = f"{US_LOG}/2"
    assert [statement for _, statement in await stated(world, successor)] == [
        world.sides["US"].keyring.statement
    ]
    for nation in ("US", "FR"):
        await world.restart(nation)
        await world.until_phase(nation, Phase.RUNNING)
    ids = await deliver(world, "US") + await deliver(world, "FR")
    assert len(ids) == 2
    note = await note_of(world, "US", successor)
    assert note is not None
    signed_by(note, 2)
    report = audited(tmp_path, trust_of(world), closed, await copy_of(world, "FR", successor))
    assert outcome(report, f"keys of {successor}") is Outcome.HELD
    assert all(log.is_verified for log in report.logs)
    await is_whole(world)


async def test_keys_that_change_after_a_resumption_sign_the_sizes_above_their_statement(
    world: World, tmp_path: Path
) -> None:
    await fork(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    await deliver(world, "US")
    backup = world.backup("FR")
    ids = await deliver(world, "US", 3)
    await rotate(world, "US")
    ids += await deliver(world, "US", 2)

    successor = f"{US_LOG}/2"
    (_, first), (index, second) = await stated(world, successor)
    assert first != second
    note = await note_of(world, "US", successor)
    assert note is not None
    assert note.size > index
    signed_by(note, 2)
    # A peer that lost its mirror gets each bundle under the key of its size.
    await world.restore("FR", backup)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)
    await world.settle()
    assert [place for place, _ in await stated(world, successor, "FR")] == [
        place for place, _ in await stated(world, successor)
    ]
    assert set(ids) <= set(await world.received("FR"))
    report = audited(tmp_path, trust_of(world), await copy_of(world, "FR", successor))
    assert all(log.is_verified for log in report.logs)
    await is_whole(world)


async def test_keys_that_change_while_a_pair_is_frozen_are_stated_by_the_generation_that_follows(
    world: World,
) -> None:
    await deliver(world, "US")
    await deliver(world, "FR")
    await freeze_both(world)
    await rotate(world, "US")
    # Until the other node holds the statement it is cosigned for under the key that it knows.
    world.sides["US"].faults.refuse = lambda _: UnavailableError("one-way")
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    message_id = await world.send("FR")

    async def cosigned_by() -> int | None:
        """Return the version of the key that the newest note of the other log is cosigned with."""
        note = (await world.node("US").peer_service.view()).mirrored
        if note is None:
            return None
        for version in (1, 2):
            with suppress(SignatureInvalidError):
                verify_cosignature(note, cosigner=_signer("us.gateway.test", version).verifier)
                return version
        return None

    assert await world.until(cosigned_by, lambda found: found is not None) == 1
    world.sides["US"].faults.refuse = None
    await world.until_state("FR", message_id, "received")
    await deliver(world, "US")
    # What is received is cosigned after that.
    await world.until(cosigned_by, lambda found: found == 2)
    assert [statement for _, statement in await stated(world, f"{US_LOG}/2", "FR")] == [
        world.sides["US"].keyring.statement
    ]
    await is_whole(world)


async def test_a_resumed_log_does_not_go_back_to_a_replaced_key(world: World) -> None:
    old = world.sides["US"].keyring.statement
    await deliver(world, "US")
    await rotate(world, "US")
    await deliver(world, "US")
    await freeze_both(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    side = world.sides["FR"]
    assert side.store is not None
    reader = MirrorReader(pair=world.node("FR").pair, keyring=side.keyring, on_kem_key=lambda _: None)
    await reader.open(side.store)
    closed = await head(world, "FR", US_LOG)
    cite = AnchorEntry(origin=US_LOG, size=closed.size, root=closed.edge.root())

    # What a thief of the first key would open the generation with.
    opening: list[tuple[int, Entry]] = [(0, cite), (1, KeyStatementEntry(statement=old))]
    with pytest.raises(PeerError, match=r"older|lowest"):
        _empty(reader).check_statements(opening, end=2)


def _empty(reader: MirrorReader) -> MirrorReader:
    """Return a reader as it is before the first bundle of its generation."""
    reader._stated.clear()
    return reader


async def test_a_home_with_an_older_statement_takes_up_what_its_log_states(world: World) -> None:
    old = world.sides["US"].keyring.statement
    await deliver(world, "US")
    backup = world.backup("US")
    await rotate(world, "US")
    await deliver(world, "US", 2)
    newest = world.sides["US"].keyring.statement
    await until_cosigned(world, US_AUDIT, (await stated(world, US_AUDIT))[1][0] + 1)
    await world.settle()

    # Database and trust folder are of one backup; the keys are those of today.
    await world.stop("US")
    world.sides["US"].keyring.statement = old
    await roll_back(world, backup)

    assert world.sides["US"].keyring.statement == newest
    assert [statement for _, statement in await stated(world, US_LOG)] == [old, newest]
    successor = f"{US_AUDIT}/2"
    signed_by(await until_cosigned(world, successor, (await stated(world, successor))[-1][0] + 1), 2)
    await deliver(world, "US")
    await is_whole(world)


async def test_a_backup_from_before_a_resumption_goes_on_in_a_third_generation(
    world: World, tmp_path: Path
) -> None:
    await deliver(world, "US")
    backup = world.backup("US")
    await rotate(world, "US")
    await deliver(world, "US")
    await freeze_both(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    await deliver(world, "US")
    await world.settle()
    await world.restore("US", backup)
    await world.start("US")
    assert isinstance(await stopped_with(world, "US"), GenerationBehindError)

    # What `entente pair resume --home` does at the node that has stopped.
    side = world.sides["US"]
    assert side.store is not None
    audit = AuditLog(side.keyring.pair)
    audit.generation = 2
    await side.store.write(
        Step.RECOVERED,
        lambda tx: put_sign_off(tx, audit, OPERATOR, "Case 8", target=3, now_ms=1, why=GIVEN_UP),
    )
    await world.restart("US")
    await resume(world, "FR")
    await until_generation(world, 3)

    await deliver(world, "US")
    await deliver(world, "FR")
    successor = f"{US_LOG}/3"
    assert [statement for _, statement in await stated(world, successor, "FR")] == [side.keyring.statement]
    copies = [await copy_of(world, "FR", origin) for origin in (US_LOG, f"{US_LOG}/2", successor)]
    report = audited(tmp_path, trust_of(world), *copies)
    assert all(log.is_verified for log in report.logs)
    assert outcome(report, f"keys of {successor}") is Outcome.HELD


def _service(world: World) -> PeerService:
    return world.node("FR").peer_service
