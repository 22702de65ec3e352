"""The two books of a node: what one of them tells and the other does not, as far as both are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit import acts, restores
from gateway.audit.report import Check, Outcome
from gateway.core.entries import Entry, EventEntry, IncidentEntry, IncidentKind
from gateway.core.message.retention import Ground
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    US,
    US_AUDIT,
    US_FR,
    MadeLog,
    anchor,
    exchange_log,
    make_log,
    message,
    opening,
    receipt,
    successor_signer,
)
from tests.unit.audit.test_reconcile import answering, recovered
from tests.unit.audit.test_restores import audit_of, compare, event_of, only

LOG = exchange_log(12)
HELD, FAILED, UNKNOWN = Outcome.HELD, Outcome.FAILED, Outcome.NOT_CHECKED


def incident(kind: IncidentKind, log: MadeLog, size: int) -> IncidentEntry:
    return IncidentEntry(incident=kind, origin=log.origin, size=size, root=log.root(size))


# --- restores -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "anchored", "outcome"),
    [
        ([recovered(LOG, 8)], 5, HELD),
        ([], 4, FAILED),
        # The copy at hand ends before the next bundle: it may tell there.
        ([], None, UNKNOWN),
        ([recovered(LOG, 7)], 5, FAILED),
    ],
)
def test_a_restore_that_only_the_audit_log_tells_is_found(
    tmp_path: Path, told: Sequence[Entry], anchored: int | None, outcome: Outcome
) -> None:
    answers = answering(LOG, receipt(LOG, 3, 12), *told)
    longer = answering(LOG, receipt(LOG, 3, 12), *told, receipt(LOG, 11, 12))
    last = anchor(longer, longer.size) if anchored is None else anchor(answers, anchored)
    own = audit_of(US, anchor(answers, 4), event_of("mirror.rolled_back", 8, 12), last)
    check = only(compare(tmp_path, LOG, answers, own), "restores recorded in")
    assert check.outcome is outcome
    if outcome is FAILED:
        assert check.detail == (
            f"entry 4 (mirror.rolled_back) records a restore of which {US_FR} has no incident"
        )


def test_two_restores_have_two_incidents(tmp_path: Path) -> None:
    answers = answering(LOG, receipt(LOG, 3, 12), recovered(LOG, 8))
    twice = [event_of("mirror.rolled_back", 8, 12)] * 2
    check = only(
        compare(tmp_path, LOG, answers, audit_of(US, *twice, anchor(answers, 5))), "restores recorded in"
    )
    assert check.outcome is FAILED
    assert check.detail.startswith("entry 4 ")


def test_more_restores_than_are_remembered_are_held_against_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (acts, restores):
        monkeypatch.setattr(module, "MAX_RESTORES", 2)
    answers = answering(LOG, receipt(LOG, 3, 12))
    rollbacks = [event_of("peer.rolled_back", size, 12) for size in (3, 4, 5)]
    own = audit_of(US, *rollbacks, anchor(answers, 4))
    check = only(compare(tmp_path, LOG, answers, own), "restores recorded in")
    assert (check.outcome, check.detail) == (UNKNOWN, "2 restores and more")


def succeeding(first: MadeLog, stored: int, *entries: Entry) -> MadeLog:
    """Return the successor of an American audit log of which the end was lost."""
    details = (1, stored, first.root(stored), 1, first.size, first.root(first.size))
    opened = replace(event_of("audit.succeeded"), outcome="rolled-back", details=details)
    return make_log(f"{US_AUDIT}/2", [opened, *entries], by=successor_signer(US_AUDIT, 2))


def test_what_an_audit_log_had_lost_binds_nobody(tmp_path: Path) -> None:
    """A copy that somebody kept holds an event behind the state at which its successor closed it."""
    answers = answering(LOG, receipt(LOG, 3, 12))
    first = audit_of(US, anchor(answers, 3), event_of("mirror.rolled_back", 8, 12))
    for stored, outcome in ((4, UNKNOWN), (5, FAILED)):
        lost = incident(IncidentKind.RECOVERY, first, first.size)
        told = answering(LOG, receipt(LOG, 3, 12), lost)
        second = succeeding(first, stored, anchor(told, told.size))
        found = compare(tmp_path / str(stored), LOG, told, first, second)
        assert only(found, f"restores recorded in {US_AUDIT}").outcome is outcome


# --- losses of the audit log ----------------------------------------------------------------


def test_a_loss_of_the_audit_log_is_told_to_both_nations(tmp_path: Path) -> None:
    first = audit_of(US, anchor(answering(LOG), 3))
    silent = answering(LOG, receipt(LOG, 3, 12), receipt(LOG, 11, 12))
    told = answering(LOG, receipt(LOG, 3, 12), incident(IncidentKind.RECOVERY, first, first.size))
    overridden = event_of("recovery.overridden", 4)

    def recorded(log: MadeLog, *entries: Entry) -> Check:
        folder = tmp_path / str(len(list(tmp_path.iterdir())) if tmp_path.exists() else 0)
        report = compare(folder, LOG, log, first, succeeding(first, 2, *entries))
        return only(report, "loss recorded in")

    assert recorded(told, anchor(told, 5)).outcome is HELD
    check = recorded(silent, anchor(silent, 5))
    detail = f"4 entries of {US_AUDIT} were signed: {US_FR} tells nobody of that"
    assert (check.outcome, check.detail) == (FAILED, detail.replace("4", str(first.size), 1))
    # No bundle was made since, or an operator let the node sign before its peer had answered.
    assert recorded(silent).outcome is UNKNOWN
    assert recorded(silent, overridden, anchor(silent, 5)).outcome is UNKNOWN


def test_a_loss_that_never_was_hides_nothing(tmp_path: Path) -> None:
    """Else nothing could be held against a node any more that tells of one."""
    said = IncidentEntry(incident=IncidentKind.RECOVERY, origin=US_AUDIT, size=9, root=bytes(32))
    answers = answering(LOG, receipt(LOG, 3, 12), said, receipt(LOG, 11, 12))
    found = f"entry 4 tells of a loss of {US_AUDIT}, and {US_AUDIT} goes on behind that"
    unknown = "1 loss, 1 of them cited by no successor at hand"
    for size, outcome, detail in ((4, UNKNOWN, unknown), (6, FAILED, found)):
        own = audit_of(US, anchor(answers, 4), anchor(answers, size))
        check = only(compare(tmp_path / str(size), LOG, answers, own), "losses told in")
        assert (check.outcome, check.detail) == (outcome, detail)


# --- erasures -------------------------------------------------------------------------------


def erased(number: int, ground: Ground) -> EventEntry:
    return event_of("message.erased", int(ground), objects=[number.to_bytes(16, "big")])


ERASURES: Sequence[tuple[str, Sequence[Entry], bool, Outcome]] = [
    ("told", [erased(2, Ground.ORDER)], True, HELD),
    ("not told", [erased(2, Ground.ORDER)], False, FAILED),
    ("foreseen by both", [erased(2, Ground.RETENTION)], False, HELD),
    ("of a message that was never sent", [erased(99, Ground.ORDER)], False, HELD),
]


@pytest.mark.parametrize(("audit", "is_told", "outcome"), [item[1:] for item in ERASURES])
def test_an_erasure_that_only_the_audit_log_tells_is_found(
    tmp_path: Path, audit: Sequence[Entry], outcome: Outcome, *, is_told: bool
) -> None:
    told = [incident(IncidentKind.ERASED, LOG, 6)] if is_told else []
    answers = answering(LOG, receipt(LOG, 3, 12), *told, *[recovered(LOG, 12)] * 3)
    later = [anchor(answers, size) for size in range(answers.size - 2, answers.size + 1)]
    rolled_back = [event_of("mirror.rolled_back", 12, 12)] * 3
    own = audit_of(US, anchor(LOG, 12), *audit, *later, *rolled_back)
    report = compare(tmp_path, LOG, answers, own)
    found = [check for check in report.checks if check.name == f"erasures recorded in {US_AUDIT}"]
    assert [check.outcome for check in found] in ([outcome], [])
    if outcome is FAILED:
        assert found[0].detail == (
            "entry 4 (message.erased) is of message 00000000-0000-0000-0000-000000000002, "
            f"entry 5 of {FR_US}: no incident tells of that"
        )


@pytest.mark.parametrize(("anchored", "outcome"), [(12, FAILED), (5, UNKNOWN)])
def test_an_erasure_binds_who_held_the_message(tmp_path: Path, anchored: int, outcome: Outcome) -> None:
    """What a node knows from a log alone that it got back it cannot name."""
    answers = answering(LOG, receipt(LOG, 3, 12), *[receipt(LOG, 11, 12)] * 2)
    later = [anchor(answers, size) for size in range(3, answers.size + 1)]
    own = audit_of(US, anchor(LOG, anchored), erased(2, Ground.ORDER), *later)
    found = only(compare(tmp_path, LOG, answers, own), "erasures recorded in")
    assert found.outcome is outcome


def test_an_erasure_of_what_is_to_be_sent_again_is_told_nowhere(tmp_path: Path) -> None:
    """It has no entry then, as far as its sender is concerned."""
    log = make_log(FR_US, [*LOG.stored, *(message(FR, number, bundle=number) for number in (50, 51, 52))])
    for code, outcome in ((3, UNKNOWN), (12, FAILED)):
        said = receipt(LOG, 3, 12, refused=[5])
        answers = answering(
            LOG, replace(said, exceptions=tuple(replace(item, code=code) for item in said.exceptions))
        )
        later = [anchor(log, size) for size in range(13, 16)]
        own = audit_of(FR, anchor(log, 12), erased(2, Ground.ORDER), *later)
        found = only(compare(tmp_path / str(code), log, answers, own), "erasures recorded in")
        assert found.outcome is outcome


def test_an_erasure_that_only_the_exchange_log_tells_is_found(tmp_path: Path) -> None:
    answers = answering(LOG, receipt(LOG, 3, 12), incident(IncidentKind.ERASED, LOG, 6))
    cases: list[tuple[list[Entry], Outcome]] = [
        ([erased(2, Ground.ORDER), anchor(answers, 5)], HELD),
        ([erased(3, Ground.ORDER), anchor(answers, 5)], FAILED),
        ([anchor(answers, 4)], UNKNOWN),
        # It came back with the log: its event was lost.
        ([event_of("log.recovered", 4, 5), anchor(answers, 5)], UNKNOWN),
    ]
    for number, (entries, outcome) in enumerate(cases):
        check = only(
            compare(tmp_path / str(number), LOG, answers, audit_of(US, *entries)), "erasures told in"
        )
        assert check.outcome is outcome


# --- generations ----------------------------------------------------------------------------


def opened(first: MadeLog, mirror: MadeLog) -> MadeLog:
    ends = [anchor(first, first.size), anchor(mirror, mirror.size)]
    return make_log(f"{US_FR}/2", [*ends, *opening(US)], by=successor_signer(US_FR, 2))


@pytest.mark.parametrize(
    ("sizes", "is_signed_off", "why"),
    [
        ((4, 12), True, None),
        ((4, 12), False, "entry 4 of {} (pair.resumed) stands behind no sign-off of an operator"),
        ((3, 12), True, "entry 4 of {} (pair.resumed) names another end of {} than entry 0"),
        ((4, 11), True, "entry 4 of {} (pair.resumed) names another end of the mirror than entry 1"),
        (None, True, "{} has no event pair.resumed of it"),
    ],
)
def test_a_generation_that_opened_otherwise_is_found(
    tmp_path: Path, sizes: tuple[int, int] | None, why: str | None, *, is_signed_off: bool
) -> None:
    answers = answering(LOG, receipt(LOG, 3, 12))
    second = opened(answers, LOG)
    word = event_of("pair.signed_off", 2) if is_signed_off else event_of("node.stopped")
    entries: list[Entry] = [word]
    if sizes is not None:
        details = (2, sizes[0], answers.root(sizes[0]), sizes[1], LOG.root(sizes[1]))
        entries.append(replace(event_of("pair.resumed"), details=details))
    report = compare(tmp_path, LOG, answers, second, audit_of(US, *entries, anchor(second, second.size)))
    check = only(report, "opening of")
    if why is None:
        assert (check.outcome, check.detail) == (
            HELD,
            f"entry 4 of {US_AUDIT}, behind a sign-off of an operator",
        )
    else:
        assert (check.outcome, check.detail) == (FAILED, why.format(US_AUDIT, US_FR))


def test_a_generation_behind_what_is_at_hand_is_held_against_nobody(tmp_path: Path) -> None:
    answers = answering(LOG, receipt(LOG, 3, 12))
    check = only(compare(tmp_path, LOG, answers, opened(answers, LOG), audit_of(US)), "opening of")
    assert (check.outcome, check.detail) == (UNKNOWN, "no audit log at hand records it")


def test_without_the_other_book_nothing_is_said(tmp_path: Path) -> None:
    own = audit_of(FR, event_of("mirror.rolled_back", 8, 12))
    names = {check.name for check in compare(tmp_path, LOG, own).checks}
    assert f"restores recorded in {FR_AUDIT}" in names
    alone = compare(tmp_path / "alone", answering(LOG, receipt(LOG, 3, 12)), own)
    assert not any("recorded" in check.name for check in alone.checks)
