"""What a restore excuses, and what it does not: neither what was kept, nor a restore that never was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit import trail
from gateway.audit.crosscheck import compare_logs
from gateway.audit.folder import LogFolder
from gateway.audit.report import Check, Outcome, SetReport
from gateway.audit.succession import AUDIT_SUCCEEDED
from gateway.audit.verify import verify_log
from gateway.core.entries import AgreementEntry, Entry, EventEntry, IncidentEntry, IncidentKind, KemKeyEntry
from gateway.core.keybox import KemPrivateKey
from gateway.core.receipt import ExceptionCode
from tests.unit.audit.making import (
    FR_AUDIT,
    FR_US,
    TIME_S,
    US_AUDIT,
    US_FR,
    MadeLog,
    accepted,
    anchor,
    announcements,
    collected,
    event,
    exchange_log,
    full_trust,
    make_log,
    message,
    opening,
    receipt,
    successor_signer,
)
from tests.unit.audit.making import US as US_NODE
from tests.unit.audit.test_reconcile import answering, excepting, recovered
from tests.unit.audit.test_reconcile import compare as side_by_side
from tests.unit.audit.test_reconcile_absent import generations

LOG = exchange_log(12)


def compare(folder: Path, *logs: MadeLog) -> SetReport:
    found = [
        verify_log(LogFolder(log.export(folder / str(number))), title="log", trust=full_trust())
        for number, log in enumerate(logs)
    ]
    return compare_logs(found, title="all", trust=full_trust())


def only(report: SetReport, name: str) -> Check:
    (check,) = [check for check in report.checks if check.name.startswith(name)]
    return check


def event_of(name: str, *details: int, objects: Sequence[bytes] = ()) -> EventEntry:
    return EventEntry(
        at_ms=TIME_S * 1_000,
        role=0,
        actor=b"",
        event=name,
        objects=tuple(objects),
        outcome="ok",
        details=details,
    )


def audit_of(node: str, *entries: Entry) -> MadeLog:
    return make_log(f"{node}/audit", [event(900), *announcements(node), *entries])


# --- what may be repeated -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([recovered(LOG, 8), receipt(LOG, 8, 12)], None),
        ([recovered(LOG, 8), receipt(LOG, 6, 12)], "entry 5 is a second receipt"),
        ([recovered(LOG, 8), receipt(LOG, 8, 12), receipt(LOG, 8, 12)], "entry 6 is a second receipt"),
        ([recovered(LOG, 4), recovered(LOG, 8), receipt(LOG, 4, 12)], None),
    ],
)
def test_receipts_are_repeated_from_where_the_copy_was_put_back_to(
    tmp_path: Path, entries: list[Entry], why: str | None
) -> None:
    report = compare(tmp_path, LOG, answering(LOG, receipt(LOG, 3, 12), *entries))
    assert report.is_verified is (why is None), report.reason
    assert why is None or why in str(report.reason)


def test_a_node_that_lost_entries_of_its_own_log_repeats_no_receipt_that_stands_before_them(
    tmp_path: Path,
) -> None:
    """Its database held the receipt of entries 3 to 7, and with it its copy of them."""
    first = [receipt(LOG, 3, 8), receipt(LOG, 8, 10), receipt(LOG, 10, 12)]

    def restored(*later: Entry) -> SetReport:
        own = answering(LOG, *first)
        incident = IncidentEntry(incident=IncidentKind.RECOVERY, origin=US_FR, size=4, root=own.root(4))
        return compare(tmp_path / str(len(later)), LOG, answering(LOG, *first, incident, *later))

    assert restored(receipt(LOG, 8, 12)).is_verified
    assert "entry 8 is a second receipt" in str(restored(receipt(LOG, 8, 9), receipt(LOG, 7, 9)).reason)


@pytest.mark.parametrize(
    "incident",
    [
        IncidentEntry(incident=IncidentKind.PEER_ROLLBACK, origin=FR_US, size=3, root=LOG.root(3)),
        IncidentEntry(incident=IncidentKind.RECOVERY, origin=f"{FR_US}/2", size=3, root=LOG.root(3)),
        IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_AUDIT, size=3, root=LOG.root(3)),
    ],
)
def test_a_restore_of_another_log_is_reported(tmp_path: Path, incident: IncidentEntry) -> None:
    report = compare(tmp_path, LOG, answering(LOG, receipt(LOG, 3, 12), incident))
    assert "entry 4 tells of a restore that is not its node's" in str(report.reason)


def test_a_rollback_of_the_peer_lets_nothing_be_repeated(tmp_path: Path) -> None:
    own = answering(LOG, receipt(LOG, 3, 12))
    incident = IncidentEntry(incident=IncidentKind.PEER_ROLLBACK, origin=US_FR, size=3, root=own.root(3))
    report = compare(tmp_path, LOG, answering(LOG, receipt(LOG, 3, 12), incident, receipt(LOG, 3, 12)))
    assert "entry 5 is a second receipt" in str(report.reason)


def test_a_restore_names_a_state_that_there_was(tmp_path: Path) -> None:
    untrue = replace(recovered(LOG, 8), root=bytes(32))
    report = compare(tmp_path, LOG, answering(LOG, receipt(LOG, 3, 12), untrue))
    assert report.reason == f"restores in {US_FR}: entry 4 names another root than {FR_US} had at size 8"


# --- what is taken back -----------------------------------------------------------------


def test_a_collected_message_that_is_taken_back_is_a_difference_as_well(tmp_path: Path) -> None:
    last = excepting(receipt(LOG, 3, 12), ExceptionCode.EXPIRED, 4)
    answers = answering(LOG, receipt(LOG, 3, 12), collected(LOG, 4), recovered(LOG, 3), last)
    found = side_by_side(tmp_path, [LOG, answers], [answers, LOG])
    (difference,) = found.differences
    assert difference.startswith(f"{FR_US} entry 4: {US_FR} has received it, and says later: expired")
    assert found.directions[0].collected == 1


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_message_that_was_received_and_is_refused_in_the_next_generation_is_a_difference(
    tmp_path: Path, *, is_restored: bool
) -> None:
    """Sent anew, because its sender had not read the receipt; its receiver holds it, and said so."""
    first = make_log(FR_US, [*opening("fr.gateway.test"), message("fr.gateway.test", 1)])
    answers = answering(first, receipt(first, 3, 4), *([recovered(first, 3)] if is_restored else []))
    sends = [replace(message("fr.gateway.test", 1), bundle_id=bytes(15) + b"9")]
    later = generations(first, answers, sends=sends)[2]
    refusal = excepting(receipt(later, 4, 5), ExceptionCode.EXPIRED, 4)
    logs = generations(first, answers, refusal, sends=sends)
    found = side_by_side(tmp_path, logs, logs)
    if is_restored:  # then its receiver may have lost it before it came again
        assert found.is_reconciled, found.differences
        return
    (difference,) = found.differences
    assert difference.startswith(f"{FR_US}/2 entry 4: expired, though it was received as entry 3 of {FR_US}")


# --- what the audit log knows -------------------------------------------------------------


@pytest.mark.parametrize(
    ("audit", "outcome"),
    [
        ([event_of("mirror.rolled_back", 8, 12)], Outcome.HELD),
        ([event_of("mirror.rolled_back", 7, 12)], Outcome.FAILED),
        ([event_of("log.recovered", 8, 12)], Outcome.FAILED),
        ([], Outcome.FAILED),
    ],
)
def test_a_restore_that_the_audit_log_does_not_know_is_found(
    tmp_path: Path, audit: list[Entry], outcome: Outcome
) -> None:
    answers = answering(LOG, receipt(LOG, 3, 12), recovered(LOG, 8), receipt(LOG, 8, 12))
    own = audit_of(US_NODE, anchor(answers, 4), *audit, anchor(answers, answers.size))
    check = only(compare(tmp_path, LOG, answers, own), "restores told in")
    assert check.outcome is outcome
    if outcome is Outcome.FAILED:
        assert check.detail == (
            f"entry 4 tells of a restore of which {US_AUDIT} has no event mirror.rolled_back"
        )


def test_one_event_is_of_one_restore(tmp_path: Path) -> None:
    twice: list[Entry] = [recovered(LOG, 8), receipt(LOG, 8, 12)] * 2
    answers = answering(LOG, receipt(LOG, 3, 12), *twice)
    own = audit_of(US_NODE, event_of("mirror.rolled_back", 8, 12), anchor(answers, answers.size))
    check = only(compare(tmp_path, LOG, answers, own), "restores told in")
    assert check.detail.startswith("entry 6 tells of a restore")


def test_what_an_audit_log_has_lost_is_held_against_nobody(tmp_path: Path) -> None:
    answers = answering(LOG, receipt(LOG, 3, 12), recovered(LOG, 8), receipt(LOG, 8, 12))
    late = anchor(answers, answers.size)
    first = audit_of(US_NODE)
    cites = EventEntry(
        at_ms=1,
        role=0,
        actor=b"",
        event=AUDIT_SUCCEEDED,
        objects=(),
        outcome="rolled-back",
        details=(1, 1, first.root(1), 1, 9, bytes(32)),
    )
    second = make_log(f"{US_AUDIT}/2", [cites, late], by=successor_signer(US_AUDIT, 2))
    for number, (audit, why) in enumerate(
        [
            ([], "1 restore: the audit log of its node is not at hand"),
            ([audit_of(US_NODE)], "1 restore, 1 of them in no audit log at hand"),
            ([first, second], "1 restore, 1 of them in no audit log at hand"),
            ([second], "1 restore, 1 of them in no audit log at hand"),
        ]
    ):
        check = only(compare(tmp_path / str(number), LOG, answers, *audit), "restores told in")
        assert (check.outcome, check.detail) == (Outcome.NOT_CHECKED, why)


# --- messages that are called erased --------------------------------------------------------


def erased(*numbers: int) -> EventEntry:
    return event_of("message.erased", 1, objects=[number.to_bytes(16, "big") for number in numbers])


def called_erased(
    tmp_path: Path, *audit: Entry, own: Sequence[Entry] = (), later: bool = True, before: bool = False
) -> Check:
    """Return what is said of a receipt that calls message 2, entry 5, erased.

    Args:
        audit: What the sender's audit log says.
        own: What the sender's log says behind its messages.
        later: Whether that audit log goes on behind the receipt.
        before: Whether it had heard of the receipt before all that.
    """
    log = make_log(FR_US, [*LOG.stored, *own])
    answers = answering(log, excepting(receipt(log, 3, 12), ExceptionCode.ERASED, 5))
    heard = anchor(answers, answers.size)
    entries = [*([heard] if before else []), *audit, *([heard] if later else [])]
    return only(compare(tmp_path, log, answers, audit_of("fr.gateway.test", *entries)), "called erased in")


def test_a_message_is_called_erased_that_its_sender_has_erased(tmp_path: Path) -> None:
    check = called_erased(tmp_path / "event", erased(7, 2))
    assert (check.outcome, check.detail) == (
        Outcome.HELD,
        f"1 message, as the sender's logs say of {FR_US}",
    )
    told = IncidentEntry(incident=IncidentKind.ERASED, origin=FR_US, size=6, root=LOG.root(6))
    assert called_erased(tmp_path / "incident", own=[told]).outcome is Outcome.HELD


def test_a_message_that_is_called_erased_without_an_erasure_on_record_is_found(tmp_path: Path) -> None:
    check = called_erased(tmp_path, erased(3))
    assert (check.outcome, check.detail) == (
        Outcome.FAILED,
        f"entry 3 calls message 5 of {FR_US} erased, of which {FR_AUDIT} has no event message.erased",
    )


def test_an_erasure_that_may_be_on_record_elsewhere_is_held_against_nobody(tmp_path: Path) -> None:
    # The copy of the audit log ends before the receipt came.
    assert called_erased(tmp_path / "early", later=False).outcome is Outcome.NOT_CHECKED
    # A database that was put back does not know the message, and ships nothing for its content.
    restored = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=5, root=LOG.root(5))
    found = called_erased(tmp_path / "restored", event_of("log.recovered", 5, 12), own=[restored])
    assert found.outcome is Outcome.NOT_CHECKED
    held_then = replace(restored, size=6, root=LOG.root(6))
    # One that knows it may have lost the event of its erasure, but not if it held the receipt as well.
    restores: list[Entry] = [event_of("log.recovered", 6, 12)]
    found = called_erased(tmp_path / "lost", *restores, own=[held_then])
    assert found.outcome is Outcome.NOT_CHECKED
    found = called_erased(tmp_path / "held", *restores, own=[held_then], before=True)
    assert found.outcome is Outcome.FAILED
    answers = answering(LOG, excepting(receipt(LOG, 3, 12), ExceptionCode.ERASED, 5))
    check = only(compare(tmp_path / "none", LOG, answers), "called erased in")
    assert check.outcome is Outcome.NOT_CHECKED


# --- messages that nobody has posted ------------------------------------------------------------


def acts(tmp_path: Path, *audit: Entry, covered: int = 0) -> Check:
    """Return what is said of a French log of two messages that tells of a collection of message 7."""
    peer = make_log(US_FR, [*opening(US_NODE), message(US_NODE, 7)])
    sent = [message("fr.gateway.test", 1), message("fr.gateway.test", 2, slot=1)]
    log = make_log(FR_US, [*opening("fr.gateway.test"), *sent, receipt(peer, 3, 4), collected(peer, 3)])
    own = audit_of("fr.gateway.test", *audit, anchor(log, covered or log.size))
    return only(compare(tmp_path, log, peer, own), "events of what is in")


def test_a_message_that_no_agency_has_posted_is_found(tmp_path: Path) -> None:
    """Whoever has the node's keys can send it; the audit log has no acceptance of it."""
    posted, taken = accepted(1, 2), accepted(7, name="message.collected")
    for number, (audit, outcome, detail) in enumerate(
        [
            ([posted, taken], Outcome.HELD, f"2 messages and 1 collection, each an event of {FR_AUDIT}"),
            (
                [accepted(1), taken],
                Outcome.FAILED,
                f"entry 4 is a message of which {FR_AUDIT} has no event message.accepted",
            ),
            (
                [posted, accepted(2, name="message.collected")],
                Outcome.FAILED,
                (
                    f"tells that entry 3 of {US_FR} was collected, of which {FR_AUDIT} "
                    "has no event message.collected"
                ),
            ),
        ]
    ):
        check = acts(tmp_path / str(number), *audit)
        assert (check.outcome, check.detail) == (outcome, detail)


def test_a_message_hides_behind_no_other_whose_id_ends_alike(tmp_path: Path) -> None:
    """Who sends a message draws its id."""
    hidden = 2 + (1 << 64)
    taken = accepted(7, name="message.collected")
    assert acts(tmp_path / "good", accepted(1, 2), taken).outcome is Outcome.HELD
    assert acts(tmp_path / "bad", accepted(1, hidden), taken).outcome is Outcome.FAILED


@pytest.mark.parametrize("what", ["KEM key", "agreement"])
def test_a_key_and_an_agreement_are_events_since_their_node_records_them(tmp_path: Path, what: str) -> None:
    """Nodes of 0.1.0 recorded neither, and anchored nothing."""
    _, key, agreement = opening(US_NODE)
    assert isinstance(key, KemKeyEntry)
    assert isinstance(agreement, AgreementEntry)
    later = KemPrivateKey.from_seed(bytes(31) + b"1").public_key
    added: Entry = replace(agreement, effective_ms=1)
    if what == "KEM key":
        added = replace(key, key_id=later.key_id, public_key=later.data)
    log = make_log(US_FR, [*opening(US_NODE), added])
    before, since = anchor(log, 3), anchor(log, 4)
    for number, (first, others, outcome) in enumerate(
        [
            # Its node anchored nothing when it wrote that, and recorded no other one.
            ([], [since], Outcome.HELD),
            ([], [before, since], Outcome.FAILED),
            (announcements(US_NODE), [since], Outcome.FAILED),
        ]
    ):
        own = make_log(US_AUDIT, [event(900), *first, *others])
        check = only(compare(tmp_path / str(number), log, own), "events of what is in")
        assert check.outcome is outcome
        name = "kem.announced" if what == "KEM key" else "agreement.stated"
        unrecorded = f"entry 3 is a {what} of which {US_AUDIT} has no event {name}"
        assert (check.detail == unrecorded) is (outcome is Outcome.FAILED)


def test_acts_that_an_audit_log_cannot_know_are_held_against_nobody(tmp_path: Path) -> None:
    check = acts(tmp_path, accepted(1), covered=5)
    detail = f"what is at hand of {FR_AUDIT} does not hold all of that time"
    assert (check.outcome, check.detail) == (Outcome.NOT_CHECKED, detail)


def test_messages_are_looked_up_a_part_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "MAX_SET", 1)
    taken = accepted(7, name="message.collected")
    assert acts(tmp_path / "good", accepted(1, 2), accepted(3, 4), taken).outcome is Outcome.HELD
    assert acts(tmp_path / "bad", accepted(1, 3), accepted(4, 5), taken).outcome is Outcome.FAILED
