"""What was left out is named, although everything that is there is as it was signed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.audit.crosscheck import compare_logs
from gateway.audit.folder import LogFolder
from gateway.audit.report import Check, LogReport, Outcome, SetReport
from gateway.audit.verify import verify_log
from gateway.core.entries import (
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    MessageEntry,
    Role,
    VoidEntry,
    encode_entry,
)
from tests.unit.audit.making import (
    AGENCY,
    FR,
    FR_AUDIT,
    FR_US,
    TIME_S,
    US,
    US_FR,
    MadeLog,
    accepted,
    anchor,
    event,
    full_trust,
    header,
    make_log,
    message,
    opening,
    receipt,
)

CONVERSATION = b"one conversation"


def compare(tmp_path: Path, *logs: MadeLog) -> SetReport:
    found = []
    for number, log in enumerate(logs):
        folder = LogFolder(log.export(tmp_path / str(number)))
        found.append(verify_log(folder, title="log", trust=full_trust()))
        assert found[-1].report.is_verified, found[-1].report.reason
    return compare_logs(found, title="both", trust=full_trust())


def only(checks: Sequence[Check], name: str) -> Check:
    (check,) = [check for check in checks if check.name.startswith(name)]
    return check


# --- numbers in a conversation ----------------------------------------------------------


def numbered(number: int, *, attachments: int = 0, conversation: bytes = CONVERSATION) -> MessageEntry:
    """A message of one conversation; of what follows the conversation's id there are several lengths."""
    made = header(FR, number)
    made = type(made)(
        **{name: getattr(made, name) for name in made.__slots__}  # type: ignore[attr-defined]
        | {"conversation_id": conversation, "attachments_bytes": attachments}
    )
    entry = message(FR, number, bundle=number)
    return MessageEntry(
        header=made.encode(),
        kem_key_id=entry.kem_key_id,
        bundle_id=entry.bundle_id,
        slot=0,
        box_digest=entry.box_digest,
        ciphertext_digest=entry.ciphertext_digest,
        ciphertext_bytes=entry.ciphertext_bytes,
    )


def void(*numbers: int, agency: str = AGENCY[FR]) -> VoidEntry:
    return VoidEntry(conversation_id=CONVERSATION, agency=agency, numbers=numbers)


def verify(tmp_path: Path, *entries: Entry) -> LogReport:
    log = make_log(FR_US, [*opening(FR), *entries])
    return verify_log(LogFolder(log.export(tmp_path)), title="log", trust=full_trust()).report


@pytest.mark.parametrize("attachments", [0, 127, 128, 255, 256, 65_536, 2**32, 2**53])
def test_a_log_that_shows_every_number_below_a_void_one_is_complete(tmp_path: Path, attachments: int) -> None:
    entries = [numbered(n, attachments=attachments) for n in (1, 2)]
    report = verify(tmp_path, *entries, void(3, 4), numbered(9, attachments=attachments), void(6))
    check = only(report.checks, "numbers")
    assert (check.outcome, check.detail) == (
        Outcome.HELD,
        "3 are void, and as many are shown as there are below them",
    )


def test_the_first_number_that_is_not_accounted_for_is_named(tmp_path: Path) -> None:
    # Message 2 was accepted before number 3 could be withdrawn; this log does not hold it.
    report = verify(tmp_path, numbered(1), void(3), numbered(7), void(6, agency="FR.DGDDI.OTHER"))
    check = only(report.checks, "numbers")
    assert report.is_verified, "the message may still wait at the sender"
    assert check.outcome is Outcome.NOT_CHECKED
    assert check.detail.startswith("entry 6 declares number 6 void, but 5 of the numbers below it")


def test_a_number_may_wait_until_its_message_is_sent(tmp_path: Path) -> None:
    before = verify(tmp_path / "before", numbered(1), void(3))
    after = verify(tmp_path / "after", numbered(1), void(3), numbered(2))
    assert only(before.checks, "numbers").outcome is Outcome.NOT_CHECKED
    assert only(after.checks, "numbers").outcome is Outcome.HELD


def test_a_message_that_is_sent_again_counts_once(tmp_path: Path) -> None:
    check = only(verify(tmp_path, numbered(1), numbered(1), void(3)).checks, "numbers")
    assert "1 of the numbers below it are neither sent nor void" in check.detail


def test_messages_of_other_conversations_do_not_count(tmp_path: Path) -> None:
    other = numbered(1, conversation=b"other discussion")
    check = only(verify(tmp_path, other, void(2)).checks, "numbers")
    assert check.outcome is Outcome.NOT_CHECKED


def test_a_number_that_is_declared_void_twice_is_reported(tmp_path: Path) -> None:
    report = verify(tmp_path, void(1), void(1, 2))
    assert report.reason == "numbers: entry 4 declares a number void a second time"


def test_after_a_recovery_a_number_may_be_declared_void_again(tmp_path: Path) -> None:
    def after(size: int) -> LogReport:
        incident = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=size, root=bytes(32))
        return verify(tmp_path / str(size), void(1), void(2), incident, void(2), void(1))

    assert after(3).is_verified
    # Entry 3 stood in the database that was put back.
    assert after(4).reason == "numbers: entry 7 declares a number void a second time"


def test_a_restore_excuses_one_repetition_of_a_void_number(tmp_path: Path) -> None:
    incident = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=3, root=bytes(32))
    report = verify(tmp_path, void(1), incident, void(1), void(1))
    assert report.reason == "numbers: entry 6 declares a number void a second time"


# --- receipts --------------------------------------------------------------------------


def peer_log() -> MadeLog:
    """Bundles of two messages, then one entry that needs no receipt: sizes 5, 8, 11, …"""
    entries: list[Entry] = list(opening(US))
    for bundle in range(100):
        entries += [message(US, 2 * bundle + slot, bundle=bundle, slot=slot) for slot in (0, 1)]
        entries.append(VoidEntry(conversation_id=bytes(16), agency="US.CBP.NTC", numbers=(bundle + 1,)))
    return make_log(US_FR, entries)


ENDS = [5 + 3 * bundle for bundle in range(100)]


def test_receipts_need_not_cover_what_is_no_message(tmp_path: Path) -> None:
    peer = peer_log()
    receipts = [receipt(peer, end - 2, end) for end in ENDS]
    report = compare(tmp_path, make_log(FR_US, [*opening(FR), *receipts]), peer)
    check = only(report.checks, "messages answered in")
    assert check.outcome is Outcome.HELD
    assert check.detail == f"every message of {US_FR} below 302 has a receipt"


def test_a_message_that_receipts_skip_is_named(tmp_path: Path) -> None:
    peer = peer_log()
    receipts = [receipt(peer, end - 2, end) for end in ENDS if end not in {20, 290}]
    report = compare(tmp_path, make_log(FR_US, [*opening(FR), *receipts]), peer)
    assert not report.is_verified
    assert only(report.checks, "messages answered in").detail == (
        f"message 18 of {US_FR} was skipped by receipts (and 3 more)"
    )


# --- anchors ---------------------------------------------------------------------------


def audit_of(peer: MadeLog, sizes: Sequence[int], *before: Entry) -> MadeLog:
    return make_log(FR_AUDIT, [event(0), *before, *(anchor(peer, size) for size in sizes)])


def test_an_audit_log_anchors_every_bundle(tmp_path: Path) -> None:
    peer = peer_log()
    report = compare(tmp_path, audit_of(peer, ENDS), peer)
    check = only(report.checks, "bundles anchored in")
    assert check.outcome is Outcome.HELD
    assert check.detail == f"each of 100 bundles of {US_FR} since size 5"


def test_a_bundle_that_is_not_anchored_is_named(tmp_path: Path) -> None:
    peer = peer_log()
    report = compare(tmp_path, audit_of(peer, [end for end in ENDS if end != 14]), peer)
    assert not report.is_verified
    assert only(report.checks, "bundles anchored in").detail == (
        f"the bundle that ends {US_FR} at size 14 is not anchored, the next anchor is at 17: entry 4"
    )


def test_bundles_after_the_last_anchor_are_counted(tmp_path: Path) -> None:
    peer = peer_log()
    report = compare(tmp_path, audit_of(peer, ENDS[:40]), peer)
    assert only(report.checks, "bundles anchored in").detail == (
        f"each of 40 bundles of {US_FR} since size 5; 60 lie behind the last anchor, at 122: "
        "this copy of the audit log is older, or it has anchored no more"
    )


def test_an_audit_log_that_anchors_no_more_is_found_where_the_exchange_log_shows_how_far_it_was(
    tmp_path: Path,
) -> None:
    """It is signed on, so that no copy of it looks old, and says no more of what was sent and received."""
    peer = peer_log()
    sent: list[Entry] = [*opening(FR), *(message(FR, n, bundle=n) for n in range(6))]
    sizes, ends = [4, 5, 6, 7, 8], ENDS[:5]

    def logs(anchored: int, *, answered: int = 14) -> tuple[MadeLog, ...]:
        """Return an audit log with so many anchors, and the two exchange logs, one of which anchors it."""
        first = make_log(FR_US, sent)
        anchors: list[Entry] = []
        for size, end in zip(sizes, ends, strict=True):
            anchors += [anchor(first, size), anchor(peer, end)]
        audit = make_log(FR_AUDIT, [event(0), *anchors[:anchored], *(event(n) for n in range(20))])
        said: list[Entry] = [receipt(peer, 3, answered), anchor(audit, audit.size), message(FR, 6, bundle=6)]
        return make_log(FR_US, [*sent, *said]), audit, peer

    for anchored, silent in ((10, ""), (8, FR_US), (9, US_FR)):
        report = compare(tmp_path / str(anchored), *logs(anchored, answered=17 if anchored == 9 else 14))
        failed = [check.detail for check in report.checks if check.outcome is Outcome.FAILED]
        assert bool(failed) is bool(silent), failed
        assert all(f"when {silent} had" in detail for detail in failed)


def test_an_audit_log_without_anchors_is_said(tmp_path: Path) -> None:
    check = only(compare(tmp_path, audit_of(peer_log(), []), peer_log()).checks, "bundles anchored in")
    assert (check.outcome, check.detail) == (Outcome.NOT_CHECKED, f"it holds no anchor of {US_FR}")


def test_what_was_refilled_from_the_peer_has_one_anchor(tmp_path: Path) -> None:
    sent = make_log(FR_US, [*opening(FR), *(message(FR, n, bundle=n) for n in range(100))])
    told = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=20, root=sent.root(20))
    own = make_log(FR_US, [*sent.stored, told])
    recovered = EventEntry(
        at_ms=TIME_S * 1_000,
        role=Role.NODE,
        actor=b"",
        event="log.recovered",
        objects=(),
        outcome="ok",
        details=(20, 60),
    )
    sizes = [*range(4, 20), *range(60, 104)]
    assert compare(tmp_path / "said", audit_of(own, sizes, accepted(*range(100)), recovered), own).is_verified
    assert not compare(tmp_path / "hidden", audit_of(own, sizes), own).is_verified


def test_anchors_in_an_audit_log_never_go_back(tmp_path: Path) -> None:
    """It lies in one database with what it anchors: an older copy of one is an older copy of both."""
    peer = peer_log()
    rollback = EventEntry(
        at_ms=TIME_S * 1_000,
        role=Role.NODE,
        actor=b"",
        event="mirror.rolled_back",
        objects=(),
        outcome="ok",
        details=(5, 8),
    )
    entries: list[Entry] = [
        *(anchor(peer, end) for end in ENDS),
        rollback,
        *(anchor(peer, end) for end in ENDS),
    ]
    log = make_log(FR_AUDIT, [encode_entry(entry) for entry in entries])
    report = verify_log(LogFolder(log.export(tmp_path)), title="log", trust=full_trust()).report
    assert "names a smaller size" in (report.reason or "")
