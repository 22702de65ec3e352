"""Saved checkpoints: one history, or two that are named."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from gateway.audit.crosscheck import cosigner_periods
from gateway.audit.folder import LogFolder
from gateway.audit.notes import SavedNote, check_notes, check_since
from gateway.audit.report import Check, Outcome, SetReport
from gateway.audit.trust import parse_trust
from gateway.audit.verify import Verification, verify_log
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import Entry, KeyStatementEntry
from gateway.core.note import parse_note
from gateway.core.signature import SoftwareSigner
from gateway.keyring.statement import parse_statement, root_name, sign_statement
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    TIME_S,
    US_AUDIT,
    MadeLog,
    audit_log,
    event,
    events,
    exchange_log,
    full_trust,
    make_log,
    root_vkeys,
    signer,
    statement,
    vkeys,
)


def saved(made: MadeLog, label: str = "kept") -> SavedNote:
    return SavedNote(label=label, note=made.signed)


def forked(size: int) -> MadeLog:
    """Return the French audit log with another first entry, signed with the true key."""
    return make_log(FR_AUDIT, [event(1_000_000), *events(size)[1:]])


def verified(made: MadeLog, folder: Path) -> Verification:
    return verify_log(LogFolder(made.export(folder)), title="log", trust=full_trust())


def since(log: Verification, note: SavedNote) -> Check:
    return check_since(log, note, trust=full_trust(), periods=cosigner_periods([log], full_trust()))


def judge(notes: list[SavedNote], *logs: Verification) -> SetReport:
    return check_notes(notes, logs, trust=full_trust())


def outcome(report: SetReport, name: str) -> tuple[Outcome, str]:
    return next((check.outcome, check.detail) for check in report.checks if check.name == name)


def test_notes_that_a_log_has_grown_through_lie_on_one_history(tmp_path: Path) -> None:
    notes = [saved(audit_log(size), f"n{size}") for size in (0, 1, 255, 300)]
    report = judge(notes, verified(audit_log(600), tmp_path))
    assert report.headline == "VERIFIED 4 saved checkpoints: 1 log, 600 entries"
    assert outcome(report, f"history of {FR_AUDIT}") == (
        Outcome.HELD,
        "4 checkpoints, sizes 0, 1, 255, 300, lie on one history",
    )


def test_two_roots_for_one_size_are_named_without_any_log() -> None:
    report = judge([saved(audit_log(7), "monday"), saved(forked(7), "tuesday")])
    assert not report.is_verified
    assert "monday and tuesday name two roots for size 7: a fork" in str(report.reason)


def test_a_note_of_another_history_is_named_with_the_log_at_hand(tmp_path: Path) -> None:
    notes = [saved(audit_log(5), "good"), saved(forked(6), "bad")]
    report = judge(notes, verified(audit_log(300), tmp_path))
    assert not report.is_verified
    assert "bad (size 6) and the checkpoint of the log at hand (size 300)" in str(report.reason)


def test_notes_of_two_sizes_need_a_copy_of_the_log(tmp_path: Path) -> None:
    notes = [saved(audit_log(5), "a"), saved(forked(6), "b")]
    report = judge(notes)
    # These two do lie on two histories: "verified" would be an answer that nobody has.
    assert report.headline == (
        f"NOT VERIFIED 2 saved checkpoints: history of {FR_AUDIT}: "
        "sizes 5, 6 cannot all be compared: no copy of the log is at hand"
    )
    what, detail = outcome(report, f"history of {FR_AUDIT}")
    assert what is Outcome.NOT_CHECKED
    assert detail == "sizes 5, 6 cannot all be compared: no copy of the log is at hand"
    short = judge(notes, verified(audit_log(5), tmp_path))
    assert outcome(short, f"history of {FR_AUDIT}")[1].endswith("the copies at hand end at 5")
    assert not short.is_verified
    one_history = [saved(audit_log(5), "a"), saved(audit_log(6), "b")]
    assert judge(one_history, verified(audit_log(6), tmp_path / "whole")).is_verified


def test_notes_of_several_logs_are_told_apart(tmp_path: Path) -> None:
    notes = [saved(audit_log(5)), saved(exchange_log(8)), saved(make_log(US_AUDIT, events(3)))]
    report = judge(notes, verified(exchange_log(9), tmp_path))
    assert report.is_verified
    names = [check.name for check in report.checks if check.name.startswith("history")]
    assert names == [f"history of {origin}" for origin in (FR_AUDIT, FR_US, US_AUDIT)]


def test_a_note_that_its_log_did_not_sign_is_refused() -> None:
    good = audit_log(5).signed
    for note, why in (
        (b"no note", "a note is a text"),
        (good.replace(b"\n5\n", b"\n6\n"), "a required signature"),
        (good.replace(b"fr.gateway.test/audit", b"fr.gateway.test/other"), "no trusted keys"),
    ):
        report = judge([SavedNote(label="x", note=note)])
        assert not report.is_verified
        assert why in str(report.reason)


def test_a_log_that_is_not_verified_is_no_witness(tmp_path: Path) -> None:
    folder = audit_log(300).export(tmp_path)
    (folder / "tile/0/000").write_bytes(bytes(8_192))
    broken = verify_log(LogFolder(folder), title="log", trust=full_trust())
    report = judge([saved(audit_log(5))], broken)
    assert not report.is_verified


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 entries of kept; 300 were"),
        (1, "1 entry of kept; 299 were"),
        (256, "256 entries of kept; 44 were"),
        (299, "299 entries of kept; 1 was"),
        (300, "300 entries of kept; 0 were"),
    ],
)
def test_a_log_begins_with_what_a_saved_checkpoint_of_it_says(tmp_path: Path, size: int, said: str) -> None:
    check = since(verified(audit_log(300), tmp_path), saved(audit_log(size)))
    assert check.outcome is Outcome.HELD
    assert check.detail == f"begins with the {said} added"


def test_a_log_that_was_rewritten_or_shortened_since_is_found(tmp_path: Path) -> None:
    log = verified(audit_log(300), tmp_path)
    for made, why in (
        (forked(200), "signed for two histories: a fork"),
        (audit_log(301), "the log at hand only 300: the rest is withheld"),
        (exchange_log(8), "another log"),
    ):
        check = since(log, saved(made))
        assert check.outcome is Outcome.FAILED
        assert why in check.detail


SECOND = SoftwareSigner(name=FR_AUDIT, ed25519_seed=b"\x21" * 32, mldsa87_seed=b"\x22" * 32)


def changed(size: int, *, by: SoftwareSigner, states: bool = True) -> MadeLog:
    """Return an audit log of which the entries from 20 on stand under a second key."""
    first, second = (KeyStatementEntry(statement=note) for note in (statement(FR), _second_statement()))
    stated: list[Entry | bytes] = [first, *events(19), second, *events(60)]
    log = make_log(FR_AUDIT, stated[:size] if states else events(size))
    checkpoint = Checkpoint(origin=FR_AUDIT, size=log.size, root=log.root(log.size))
    return replace(log, signed=sign_checkpoint(checkpoint, signer=by, time_s=TIME_S))


@cache
def _second_statement() -> bytes:
    first = parse_statement(parse_note(statement(FR)).text)
    logs = tuple(SECOND.verifier if log.name == FR_AUDIT else log for log in first.logs)
    return sign_statement(replace(first, version=2, logs=logs), root=signer(root_name("FR")))


BOTH = parse_trust(
    [*vkeys(FR), *(key.encode() for key in SECOND.verifier.verifier_keys(cosigner=False)), *root_vkeys(FR)]
)


@pytest.mark.parametrize(
    ("size", "by", "holds"),
    [
        (20, signer(FR_AUDIT), True),
        (21, SECOND, True),
        (20, SECOND, False),
        (21, signer(FR_AUDIT), False),
        (50, signer(FR_AUDIT), False),
    ],
)
def test_a_saved_note_bears_the_key_of_its_size(
    tmp_path: Path, size: int, by: SoftwareSigner, *, holds: bool
) -> None:
    folder = LogFolder(changed(60, by=SECOND).export(tmp_path))
    log = verify_log(folder, title="log", trust=BOTH)
    assert log.report.is_verified
    report = check_notes([saved(changed(size, by=by))], [log], trust=BOTH)
    assert report.is_verified is holds
    if not holds:
        assert "keys that are not those of its size" in report.headline


def test_a_log_that_states_no_keys_is_refused_where_several_are_trusted(tmp_path: Path) -> None:
    log = LogFolder(changed(30, by=signer(FR_AUDIT), states=False).export(tmp_path))
    assert verify_log(log, title="log", trust=full_trust()).report.is_verified
    report = verify_log(log, title="log", trust=BOTH).report
    assert not report.is_verified
    assert "no key statement below its size says which" in (report.reason or "")


@pytest.mark.parametrize("line", [3, 4])
def test_a_cosignature_of_a_known_key_that_does_not_verify_refuses_the_note(line: int) -> None:
    # Lines 1 and 2 from the end of the text on are the log's, 3 and 4 those of the other node.
    lines = exchange_log(8).signed.split(b"\n")
    place = lines.index(b"") + line
    middle = len(lines[place]) - 60
    other = b"A" if lines[place][middle : middle + 1] != b"A" else b"B"
    lines[place] = lines[place][:middle] + other + lines[place][middle + 1 :]
    report = judge([SavedNote(label="kept", note=b"\n".join(lines))])
    assert not report.is_verified
    assert outcome(report, "note kept")[0] is Outcome.FAILED
