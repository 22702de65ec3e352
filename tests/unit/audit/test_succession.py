"""A log that follows another one cites it truly, and what was lost between them is named."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from gateway.audit.crosscheck import compare_logs
from gateway.audit.folder import LogFolder
from gateway.audit.report import Outcome, SetReport
from gateway.audit.verify import Verification, verify_log
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import (
    AnchorEntry,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KeyStatementEntry,
    encode_entry,
)
from gateway.core.merkle import Hash, hash_leaf, root_of
from gateway.core.signature import SoftwareSigner
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    TIME_S,
    US,
    US_FR,
    MadeLog,
    anchor,
    audit_log,
    event,
    exchange_log,
    full_trust,
    make_log,
    opening,
    statement,
)


def successor(origin: str, entries: list[Entry], *, generation: int = 2) -> MadeLog:
    """Return a successor, signed with the key of the first generation under its own name."""
    first = SoftwareSigner(
        name=f"{origin}/{generation}",
        ed25519_seed=_seed(f"ed25519 {origin}"),
        mldsa87_seed=_seed(f"mldsa87 {origin}"),
    )
    stored = tuple(encode_entry(entry) for entry in entries)
    root = root_of([hash_leaf(entry) for entry in stored])
    checkpoint = Checkpoint(origin=first.name, size=len(stored), root=root)
    note = sign_checkpoint(checkpoint, signer=first, time_s=TIME_S)
    return MadeLog(origin=first.name, stored=stored, signed=note)


def _seed(text: str) -> bytes:

    return sha256(text.encode()).digest()


def rolled_back(stored: tuple[int, Hash], signed: tuple[int, Hash], *, generation: int = 1) -> EventEntry:
    return EventEntry(
        at_ms=TIME_S * 1_000,
        role=0,
        actor=b"",
        event="audit.succeeded",
        objects=(),
        outcome="rolled-back",
        details=(1, *stored, generation, *signed),
    )


def verified(tmp_path: Path, *logs: MadeLog) -> list[Verification]:
    return [
        verify_log(LogFolder(log.export(tmp_path / str(number))), title=f"log {number}", trust=full_trust())
        for number, log in enumerate(logs)
    ]


def compared(tmp_path: Path, *logs: MadeLog) -> SetReport:
    return compare_logs(verified(tmp_path, *logs), title="all", trust=full_trust())


def after_loss(old: MadeLog, stored: int, signed: int) -> MadeLog:
    cited = rolled_back((stored, old.root(stored)), (signed, old.root(signed)))
    return successor(FR_AUDIT, [cited, KeyStatementEntry(statement=statement(FR)), event(1)])


@pytest.mark.parametrize("at_hand", [40, 57, 80])
def test_what_was_lost_is_named_whatever_copy_of_the_closed_log_is_at_hand(
    tmp_path: Path, at_hand: int
) -> None:
    report = compared(tmp_path, audit_log(at_hand), after_loss(audit_log(80), 57, 80))

    assert report.is_verified
    (check,) = [check for check in report.checks if check.name == f"succession of {FR_AUDIT}/2"]
    assert check.outcome is Outcome.NOT_CHECKED
    assert check.detail == f"rolled back: {FR_AUDIT} was closed at 57 entries, 80 were signed"


def test_a_successor_that_cites_another_signed_history_is_found(tmp_path: Path) -> None:
    old = audit_log(80)
    lying = successor(FR_AUDIT, [rolled_back((57, old.root(57)), (80, Hash(bytes(32))))])
    report = compared(tmp_path, old, lying)
    assert not report.is_verified
    assert f"cites another root than {FR_AUDIT} had at size 80" in report.headline


def test_a_log_that_was_signed_on_after_it_was_closed_is_found(tmp_path: Path) -> None:
    report = compared(tmp_path, audit_log(90), after_loss(audit_log(80), 57, 80))
    assert not report.is_verified
    assert f"{FR_AUDIT} was signed up to 90, behind where it was closed" in report.headline


def test_a_successor_alone_says_what_it_follows(tmp_path: Path) -> None:
    (found,) = verified(tmp_path, after_loss(audit_log(80), 57, 80))
    assert found.report.is_verified
    assert f"entry 0 cites {FR_AUDIT} at 57 entries" in [check.detail for check in found.report.checks]


@pytest.mark.parametrize(
    "first",
    [
        event(0),
        KeyStatementEntry(statement=statement(FR)),
        AnchorEntry(origin=FR_US, size=3, root=bytes(32)),
        rolled_back((1, Hash(bytes(32))), (2, Hash(bytes(32))), generation=2),
    ],
)
def test_a_successor_that_does_not_begin_with_what_it_follows_is_refused(
    tmp_path: Path, first: Entry
) -> None:
    (found,) = verified(tmp_path, successor(FR_AUDIT, [first, KeyStatementEntry(statement=statement(FR))]))
    assert not found.report.is_verified
    assert "does not cite the log that this one follows" in (found.report.reason or "")


def test_an_exchange_log_follows_the_one_that_it_cites(tmp_path: Path) -> None:
    old = exchange_log(8)
    new = successor(FR_US, [AnchorEntry(origin=FR_US, size=8, root=old.root(8)), *opening(FR)])
    report = compared(tmp_path, old, new)
    assert report.is_verified
    assert f"follows {FR_US}, closed at 8 entries" in [check.detail for check in report.checks]

    lying = successor(FR_US, [AnchorEntry(origin=FR_US, size=8, root=bytes(32)), *opening(FR)])
    assert not compared(tmp_path / "lying", old, lying).is_verified


def test_a_successor_of_an_exchange_log_needs_a_key_statement(tmp_path: Path) -> None:
    old = exchange_log(8)
    cite = AnchorEntry(origin=FR_US, size=8, root=old.root(8))
    (found,) = verified(tmp_path, successor(FR_US, [cite, *opening(FR)[1:]]))
    assert "no key statement stands in it" in (found.report.reason or "")


@pytest.mark.parametrize(
    ("before", "after", "holds"), [(1, 1, True), (1, 2, True), (2, 2, True), (2, 1, False)]
)
def test_a_successor_under_older_keys_than_the_log_before_it_is_found(
    tmp_path: Path, before: int, after: int, *, holds: bool
) -> None:
    stated = [KeyStatementEntry(statement=statement(FR, version)) for version in (before, after)]
    old = make_log(FR_US, [stated[0], *opening(FR)[1:]])
    cite = AnchorEntry(origin=FR_US, size=old.size, root=old.root(old.size))

    report = compared(tmp_path, old, successor(FR_US, [cite, stated[1], *opening(FR)[1:]]))

    (check,) = [check for check in report.checks if check.name == f"keys of {FR_US}/2"]
    assert (check.outcome is Outcome.HELD) is holds
    assert report.is_verified is holds


# --- given up, and forked -------------------------------------------------------------------


def test_an_exchange_log_that_was_given_up_was_not_signed_on(tmp_path: Path) -> None:
    """Its node had lost what the other one still held when it closed the log; no lie is told."""
    closed = exchange_log(8)
    short = successor(FR_US, [anchor(closed, 5), *opening(FR)])
    for held, outcome in ((8, Outcome.NOT_CHECKED), (7, Outcome.FAILED), (None, Outcome.FAILED)):
        other = successor(
            US_FR,
            [AnchorEntry(origin=US_FR, size=4, root=Hash(bytes(32)))]
            + ([anchor(closed, held)] if held else [])
            + opening(US),
        )
        report = compared(tmp_path / str(held), closed, short, other)
        (check,) = [check for check in report.checks if check.name == f"succession of {FR_US}/2"]
        assert check.outcome is outcome
        if outcome is Outcome.NOT_CHECKED:
            assert check.detail == f"given up: {FR_US} was closed at 5 entries, the other node held 8"


def test_a_fork_is_told_where_a_successor_opens_and_proven_by_nothing_there(tmp_path: Path) -> None:
    first, peer = exchange_log(5), make_log(US_FR, opening(US))
    told = IncidentEntry(incident=IncidentKind.FORK, origin=US_FR, size=3, root=bytes(32))
    made = successor(FR_US, [anchor(first, 5), anchor(peer, 3), told, *opening(FR)])
    report = compared(tmp_path / "opening", first, peer, made)
    assert report.is_verified, report.reason
    (check,) = [check for check in report.checks if check.name == f"forks told in {FR_US}/2"]
    assert (check.outcome, check.detail) == (
        Outcome.NOT_CHECKED,
        f"entry 2, size 3: its word for a fork of {US_FR}; two notes prove one (audit notes)",
    )
    for number, log in enumerate(
        [
            make_log(FR_US, [*opening(FR), told]),
            successor(FR_US, [anchor(first, 5), anchor(peer, 3), *opening(FR), told]),
        ]
    ):
        (found,) = verified(tmp_path / str(number), log)
        assert "tells of a fork where no log opens that follows another one" in str(found.report.reason)
