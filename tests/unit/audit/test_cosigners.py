"""A cosignature counts under the key that was the cosigner's when it was made, as far as logs show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.audit.crosscheck import check_cosigned_note, compare_logs, cosigner_periods
from gateway.audit.folder import LogFolder
from gateway.audit.notes import SavedNote, check_notes
from gateway.audit.reconcile import NamedLog, Reconciliation, reconcile
from gateway.audit.report import LogReport, Outcome, SetReport
from gateway.audit.trust import Trust, parse_trust
from gateway.audit.verify import Verification, verify_log
from gateway.core.cosignature import cosign
from gateway.core.entries import AnchorEntry, Entry, IncidentEntry, IncidentKind, KeyStatementEntry
from gateway.core.merkle import Hash
from gateway.core.signature import SoftwareSigner
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    TIME_S,
    US,
    US_AUDIT,
    US_FR,
    MadeLog,
    anchor,
    event,
    make_log,
    message,
    opening,
    receipt,
    root_vkeys,
    signer,
    statement,
    successor_signer,
    vkeys,
)

OLD, NEW = signer(US), signer(US, 2)
NEW_COSIGNER = KeyStatementEntry(statement=statement(US, 2, cosigner_keys=2))
TRUST = parse_trust([*vkeys(FR), *vkeys(US), *vkeys(US, 2), *root_vkeys(FR), *root_vkeys(US)])
"""Both keys of the American node; those of its logs that are called its second are never used here."""

CHANGED_AT = 4
"""Where the American log states the new cosigner: behind its opening and one message."""


def american(*entries: Entry, stated: Entry | None = NEW_COSIGNER) -> MadeLog:
    """Return the American log, in which its node's cosigner key changes."""
    change = [] if stated is None else [stated]
    return make_log(US_FR, [*opening(US), message(US, 11, bundle=9), *change, *entries], cosigner=FR)


THERE = american(message(US, 2), message(US, 3, bundle=1), message(US, 4, bundle=2))


def french(*entries: Entry, by: SoftwareSigner | None = OLD) -> MadeLog:
    """Return the French log, cosigned by the American node's old key unless another is named."""
    made = [*opening(FR), message(FR, 1), *entries, message(FR, 2, bundle=1)]
    return make_log(FR_US, made, cosigned_by=by)


def verified(tmp_path: Path, *logs: MadeLog, trust: Trust = TRUST) -> list[Verification]:
    return [
        verify_log(LogFolder(log.export(tmp_path / str(number))), title=f"log {number}", trust=trust)
        for number, log in enumerate(logs)
    ]


def together(tmp_path: Path, *logs: MadeLog, trust: Trust = TRUST) -> SetReport:
    return compare_logs(verified(tmp_path, *logs, trust=trust), title="all", trust=trust)


def cosignature(report: LogReport) -> tuple[Outcome, str]:
    return next((check.outcome, check.detail) for check in report.checks if check.name == "cosignature")


def is_late(report: SetReport, entry: int) -> bool:
    found = cosignature(report.logs[0])
    return not report.is_verified and found == (
        Outcome.FAILED,
        f"of {US}, under a key that had been replaced when entry {entry} was written",
    )


def does_not_count(report: LogReport) -> bool:
    outcome, detail = cosignature(report)
    replaced = detail.startswith(f"of {US}, under a key that was replaced; no log at hand shows")
    return report.is_verified and outcome is Outcome.NOT_CHECKED and replaced and not report.cosigned


def counts(report: LogReport) -> bool:
    outcome, _ = cosignature(report)
    return report.is_verified and outcome is Outcome.HELD and [item.name for item in report.cosigned] == [US]


# --- one log alone ------------------------------------------------------------------------


def test_the_newest_trusted_key_counts_in_a_log_alone(tmp_path: Path) -> None:
    assert counts(verified(tmp_path / "new", french(by=NEW))[0].report)
    only = parse_trust([*vkeys(FR), *vkeys(US)])
    assert counts(verified(tmp_path / "only", french(), trust=only)[0].report)


def test_a_key_that_was_replaced_does_not_count_in_a_log_alone(tmp_path: Path) -> None:
    report = verified(tmp_path, french(anchor(THERE, 8)))[0].report
    assert does_not_count(report)
    assert report.headline.endswith(", not cosigned")
    assert report.as_json()["cosigned"] == []


# --- shown to be late -----------------------------------------------------------------------


def test_what_was_cosigned_after_the_change_under_the_old_key_is_refused(tmp_path: Path) -> None:
    for said in (anchor(THERE, 6), receipt(THERE, 3, 6), anchor(THERE, 8)):
        for number, other in enumerate((THERE, american(message(US, 2), message(US, 3, bundle=1)))):
            if said == anchor(THERE, 8) and other is not THERE:
                continue
            folder = tmp_path / f"{type(said).__name__}{getattr(said, 'size', 0)}{number}"
            assert is_late(together(folder, french(said), other), 4)


def test_who_has_the_old_key_cannot_make_a_rewritten_log_cosigned(tmp_path: Path) -> None:
    true = french(anchor(THERE, 6), by=NEW)
    added = IncidentEntry(incident=IncidentKind.CLOCK, origin=FR_US, size=0, root=bytes(32))
    forged = make_log(FR_US, [*true.stored, added], cosigned_by=OLD)
    assert is_late(together(tmp_path / "verify", forged, THERE), 4)
    found = reconciled(tmp_path / "reconcile", [forged, THERE], [THERE, true])
    assert found.differences[0].startswith(f"fr0 is not verified: cosignature: of {US}, under a key that")


def test_the_old_key_beside_the_new_one_is_refused_if_it_came_too_late(tmp_path: Path) -> None:
    log = french(anchor(THERE, 6), by=NEW)
    both = MadeLog(
        origin=log.origin, stored=log.stored, signed=cosign(log.signed, cosigner=OLD, time_s=TIME_S)
    )
    assert is_late(together(tmp_path / "late", both, THERE), 4)
    # A node that cosigns the same state once more, under its new key, adds lines and takes none away.
    log = french(anchor(THERE, 5), by=NEW)
    both = MadeLog(
        origin=log.origin, stored=log.stored, signed=cosign(log.signed, cosigner=OLD, time_s=TIME_S)
    )
    assert counts(together(tmp_path / "again", both, THERE).logs[0])


def test_an_audit_log_that_was_cosigned_after_the_change_under_the_old_key_is_refused(tmp_path: Path) -> None:
    audit = make_log(FR_AUDIT, [event(0), anchor(THERE, 5), anchor(THERE, 6), event(1)], cosigned_by=OLD)
    assert is_late(together(tmp_path / "late", audit, THERE), 2)
    before = make_log(FR_AUDIT, audit.stored[:2], cosigned_by=OLD)
    assert does_not_count(together(tmp_path / "before", before, THERE).logs[0])


def test_a_saved_checkpoint_that_was_cosigned_too_late_is_refused(tmp_path: Path) -> None:
    late, true = french(anchor(THERE, 6)), french(anchor(THERE, 6), by=NEW)
    logs = verified(tmp_path, true, THERE)
    report = check_notes([SavedNote(label="kept", note=late.signed)], logs, trust=TRUST)
    assert "had been replaced when entry 4 was written" in str(report.reason)
    assert check_notes([SavedNote(label="kept", note=true.signed)], logs, trust=TRUST).is_verified


def test_the_cosigned_part_of_a_log_is_judged_alike(tmp_path: Path) -> None:
    late, true, early = french(anchor(THERE, 6)), french(anchor(THERE, 6), by=NEW), french()
    logs = verified(tmp_path, true, THERE)
    periods = cosigner_periods(logs, TRUST)
    for note, outcome in (
        (late.signed, Outcome.FAILED),
        (true.signed, Outcome.HELD),
        (make_log(FR_US, early.stored[:4], cosigned_by=OLD).signed, Outcome.NOT_CHECKED),
    ):
        check = check_cosigned_note(logs[0], note, trust=TRUST, periods=periods)
        assert check is not None
        assert check.outcome is outcome, check


# --- not shown to be late -------------------------------------------------------------------


def test_what_was_cosigned_before_the_other_node_had_more_than_the_statement_is_not_refused(
    tmp_path: Path,
) -> None:
    for size in (4, 5):
        assert does_not_count(together(tmp_path / str(size), french(anchor(THERE, size)), THERE).logs[0])
    assert does_not_count(together(tmp_path / "nothing said", french(), THERE).logs[0])
    behind = [*opening(FR), message(FR, 1), anchor(THERE, 6)]
    below = make_log(FR_US, behind[:4], cosigned_by=OLD)
    longer = make_log(FR_US, behind)
    assert does_not_count(together(tmp_path / "below", below, longer, THERE).logs[0])


def test_what_a_log_says_untruly_of_the_other_one_makes_no_cosignature_late(tmp_path: Path) -> None:
    said = AnchorEntry(origin=US_FR, size=7, root=Hash(bytes(32)))
    report = together(tmp_path / "another root", french(said), THERE)
    assert does_not_count(report.logs[0])
    assert "another root" in str(report.reason)
    beyond = AnchorEntry(origin=US_FR, size=70, root=Hash(bytes(32)))
    assert together(tmp_path / "beyond", french(beyond), THERE).is_verified


def test_a_change_of_other_keys_replaces_no_cosigner(tmp_path: Path) -> None:
    log_keys = KeyStatementEntry(statement=statement(US, 2))
    there = american(message(US, 2), message(US, 3, bundle=1), stated=log_keys)
    only = parse_trust([*vkeys(FR), *vkeys(US), *root_vkeys(FR), *root_vkeys(US)])
    assert counts(together(tmp_path, french(anchor(there, 6)), there, trust=only).logs[0])


def test_a_copy_that_ends_before_the_change_shows_nothing(tmp_path: Path) -> None:
    short = american(stated=None)
    assert does_not_count(together(tmp_path, french(anchor(THERE, 6)), short).logs[0])


def test_statements_say_which_key_is_the_newest_however_files_are_ordered(tmp_path: Path) -> None:
    swapped = parse_trust([*vkeys(FR), *vkeys(US, 2), *vkeys(US), *root_vkeys(FR), *root_vkeys(US)])
    # In that order the keys of the log would be the wrong ones as well: only the cosigner's are swapped.
    trust = Trust(
        logs=TRUST.logs,
        cosigners=swapped.cosigners,
        roots=TRUST.roots,
        earlier={**TRUST.earlier, US: swapped.earlier[US]},
    )
    assert counts(together(tmp_path / "new", french(anchor(THERE, 6), by=NEW), THERE, trust=trust).logs[0])
    assert is_late(together(tmp_path / "old", french(anchor(THERE, 6)), THERE, trust=trust), 4)


def test_a_generation_is_judged_by_what_it_says_of_its_own(tmp_path: Path) -> None:
    # After a loss a node may have forgotten that it went over; in the next generation it begins with the
    # key that the other one holds in any case.
    cite = anchor(french(by=NEW), 4)
    opened = [cite, anchor(THERE, 8), *opening(FR)]
    first = successor_signer(FR_US, 2)
    log = make_log(f"{FR_US}/2", opened, by=first, cosigned_by=OLD)
    there = make_log(
        f"{US_FR}/2",
        [anchor(THERE, 8), NEW_COSIGNER, *opening(US)[1:], message(US, 9)],
        by=successor_signer(US_FR, 2),
        cosigner=FR,
    )
    assert does_not_count(together(tmp_path / "first", log, THERE, there).logs[0])
    later = make_log(f"{FR_US}/2", [*opened, anchor(there, 3)], by=first, cosigned_by=OLD)
    assert is_late(together(tmp_path / "later", later, THERE, there), 5)


# --- borne out by the cosigner's own logs ------------------------------------------------------


def test_what_the_cosigner_says_that_it_held_counts_under_a_key_that_was_replaced_later(
    tmp_path: Path,
) -> None:
    log = french()
    answered = american(receipt(log, 3, 5))
    anchored = american(anchor(log, 5))
    stated = KeyStatementEntry(statement=statement(US))
    audit = make_log(US_AUDIT, [stated, event(0), anchor(log, 5)], cosigner=FR)
    for number, said in enumerate(((answered,), (anchored,), (THERE, audit))):
        report = together(tmp_path / str(number), log, *said)
        assert counts(report.logs[0])
        assert "its own log says the same" in cosignature(report.logs[0])[1]
    # What it says of less, or of another history, is not that.
    less = american(anchor(log, 4))
    assert does_not_count(together(tmp_path / "less", log, less).logs[0])
    other = american(anchor(french(anchor(log, 4)), 5))
    assert does_not_count(together(tmp_path / "other", log, other).logs[0])


def test_honest_logs_over_a_change_of_cosigner_are_reconciled(tmp_path: Path) -> None:
    log = french()
    there = american(receipt(log, 3, 5), message(US, 12, bundle=1))
    found = reconciled(tmp_path, [log, there], [there, log])
    assert found.is_reconciled, found.differences
    assert all(counts(report) for report in found.logs if report.title == FR_US)


def reconciled(folder: Path, first: Sequence[MadeLog], second: Sequence[MadeLog]) -> Reconciliation:
    sides = [
        [
            NamedLog(title=f"{side}{number}", log=LogFolder(made.export(folder / f"{side}{number}")))
            for number, made in enumerate(logs)
        ]
        for side, logs in (("fr", first), ("us", second))
    ]
    return reconcile(*sides, trust=TRUST, progress=lambda _: lambda _done, _all: None)
