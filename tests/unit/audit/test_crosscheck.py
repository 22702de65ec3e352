"""Two logs that speak of each other: who rewrites one contradicts the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.crosscheck import check_cosigned_note, compare_logs, cosigner_periods
from gateway.audit.folder import LogFolder
from gateway.audit.report import Check, Outcome, SetReport
from gateway.audit.trust import Trust, parse_trust
from gateway.audit.verify import verify_log
from gateway.core.entries import Entry, IncidentEntry, IncidentKind, KemKeyEntry, KeyStatementEntry
from gateway.core.keybox import KemPrivateKey
from gateway.core.merkle import Hash
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    US,
    US_FR,
    MadeLog,
    anchor,
    audit_log,
    collected,
    full_trust,
    make_log,
    message,
    opening,
    receipt,
    statement,
    vkeys,
)

PEER_SIZE = 600


def peer_log(count: int = PEER_SIZE) -> MadeLog:
    """The American log: its opening, then messages, each in a box of its own."""
    return make_log(US_FR, [*opening(US), *(message(US, n, bundle=n) for n in range(count - 3))])


def compare(tmp_path: Path, *logs: MadeLog) -> SetReport:
    found = []
    for number, log in enumerate(logs):
        folder = LogFolder(log.export(tmp_path / str(number)))
        found.append(verify_log(folder, title="log", trust=full_trust()))
        assert found[-1].report.is_verified
    return compare_logs(found, title="both", trust=full_trust())


def own_log(*entries: Entry) -> MadeLog:
    return make_log(FR_US, [*opening(FR), *entries])


def failed(report: SetReport) -> Sequence[str]:
    return [check.detail for check in report.checks if check.outcome is Outcome.FAILED]


def test_logs_that_agree_are_verified_together(tmp_path: Path) -> None:
    peer = peer_log()
    own = own_log(
        receipt(peer, 3, 256, refused=[4, 255]),
        receipt(peer, 256, 300),
        receipt(peer, 300, 600),
        collected(peer, 3, 5, 299),
        anchor(peer, 257),
        anchor(peer, 600),
    )
    report = compare(tmp_path, own, peer, audit_log(3))
    assert report.is_verified
    assert report.headline == "VERIFIED both: 3 logs, 612 entries"
    details = [check.detail for check in report.checks]
    assert details == [
        f"3 agree with {US_FR}",
        f"2 agree with {US_FR}",
        f"what was received of {US_FR} is sealed for keys that are announced there",
        f"what is at hand of {FR_AUDIT} does not hold all of that time",
        f"2 exceptions and 3 collections name messages of {US_FR}",
        f"every message of {US_FR} below 600 has a receipt",
        "it holds no anchor of fr.gateway.test/exchange/us",
        f"it holds no anchor of {US_FR}",
        "1, each version the same in 2 logs",
    ]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 600])
def test_a_receipt_with_another_root_is_found(tmp_path: Path, size: int) -> None:
    peer = peer_log()
    own = own_log(receipt(peer, 0, size, root=Hash(bytes(32))))
    report = compare(tmp_path, own, peer)
    assert not report.is_verified
    assert failed(report) == [f"entry 3 names another root than {US_FR} had at size {size}"]


def test_an_anchor_with_another_root_is_found(tmp_path: Path) -> None:
    peer = peer_log()
    report = compare(tmp_path, own_log(anchor(peer, 400, root=Hash(bytes(32)))), peer)
    assert failed(report) == [f"entry 3 names another root than {US_FR} had at size 400"]


def test_a_rewritten_log_contradicts_the_receipts_of_the_other(tmp_path: Path) -> None:
    # The American node rewrites its whole log with its true key; the French one holds receipts.
    peer = peer_log()
    own = own_log(receipt(peer, 3, 600))
    rewritten = make_log(US_FR, [*opening(US), *(message(US, n + 1, bundle=n) for n in range(597))])
    report = compare(tmp_path, own, rewritten)
    assert not report.is_verified
    assert report.headline.startswith("NOT VERIFIED both: receipts in fr.gateway.test/exchange/us: entry 3")


def test_what_lies_beyond_the_copy_at_hand_is_counted(tmp_path: Path) -> None:
    peer = peer_log()
    own = own_log(receipt(peer, 3, 300), receipt(peer, 300, 600, refused=[301]), collected(peer, 299, 599))
    report = compare(tmp_path, own, peer_log(300))
    assert report.is_verified
    assert [check.detail for check in report.checks] == [
        f"1 agrees with {US_FR}; 1 lies beyond the copy at hand",
        f"what was received of {US_FR} is sealed for keys that are announced there",
        f"1 exception and 2 collections name messages of {US_FR}; 2 lie beyond the copy at hand",
        f"every message of {US_FR} below 300 has a receipt",
    ]


def test_a_log_that_is_not_at_hand_is_said(tmp_path: Path) -> None:
    report = compare(tmp_path, own_log(anchor(peer_log(), 400)))
    assert report.is_verified
    assert report.checks[0].outcome is Outcome.NOT_CHECKED


def test_an_exception_for_an_entry_that_is_no_message_is_found(tmp_path: Path) -> None:
    peer = peer_log()
    report = compare(tmp_path, own_log(receipt(peer, 0, 300, refused=[2])), peer)
    assert failed(report) == ["entry 2 has an exception but is no message"]


def test_a_collection_of_an_entry_that_is_no_message_is_found(tmp_path: Path) -> None:
    peer = peer_log()
    report = compare(tmp_path, own_log(receipt(peer, 0, 300), collected(peer, 1)), peer)
    assert failed(report) == ["entry 1 was collected but is no message"]


def test_a_collection_by_an_agency_that_was_not_addressed_is_found(tmp_path: Path) -> None:
    peer = peer_log()
    report = compare(tmp_path, own_log(receipt(peer, 0, 300), collected(peer, 9, agency="FR.OTHER")), peer)
    assert failed(report) == ["entry 9 was collected by an agency that it is not addressed to"]


def test_a_collection_of_a_refused_message_is_found(tmp_path: Path) -> None:
    peer = peer_log()
    report = compare(tmp_path, own_log(receipt(peer, 0, 300, refused=[9]), collected(peer, 9)), peer)
    assert failed(report) == ["entry 9 was collected although its receipt refuses it"]


def test_two_copies_of_a_log_lie_on_one_history(tmp_path: Path) -> None:
    report = compare(tmp_path, peer_log(300), peer_log(600), peer_log(511))
    assert report.is_verified
    assert report.checks[0].detail == "sizes 300, 600, 511 lie on one history"


@pytest.mark.parametrize("size", [300, 600])
def test_two_copies_with_two_histories_are_a_fork(tmp_path: Path, size: int) -> None:
    other = make_log(US_FR, [*opening(US), *(message(US, n + 1, bundle=n) for n in range(size - 3))])
    report = compare(tmp_path, peer_log(600), other)
    assert not report.is_verified
    assert "has signed two histories" in (report.reason or "")


def test_a_log_that_is_not_verified_makes_the_whole_not_verified(tmp_path: Path) -> None:
    folder = peer_log().export(tmp_path / "peer")
    (folder / "tile/0/000").write_bytes(bytes(8_192))
    own = LogFolder(own_log(receipt(peer_log(), 3, 600)).export(tmp_path / "own"))
    found = [verify_log(log, title="x", trust=full_trust()) for log in (own, LogFolder(folder))]
    report = compare_logs(found, title="both", trust=full_trust())
    assert not report.is_verified
    assert report.headline.startswith(f"NOT VERIFIED both: {US_FR}: tiles: ")


def test_no_log_at_all_is_not_verified() -> None:
    report = compare_logs([], title="nothing", trust=full_trust())
    assert not report.is_verified
    assert report.headline == "NOT VERIFIED nothing: there is no signed log"


def test_files_that_vanish_meanwhile_are_said(tmp_path: Path) -> None:
    peer = peer_log()
    folder = peer.export(tmp_path / "peer")
    own = own_log(receipt(peer, 3, 300, refused=[5])).export(tmp_path / "own")
    found = [verify_log(LogFolder(path), title="x", trust=full_trust()) for path in (own, folder)]
    for path in folder.rglob("0*"):
        if path.is_file():
            path.unlink()
    report = compare_logs(found, title="both", trust=full_trust())
    assert not report.is_verified
    assert all("cannot be compared" in detail for detail in failed(report))


def test_a_message_that_was_received_under_a_key_that_nobody_announced_is_found(tmp_path: Path) -> None:
    strange = replace(message(US, 2, bundle=2), kem_key_id=b"no such!")
    peer = make_log(US_FR, [*opening(US), message(US, 1, bundle=1), strange, message(US, 3, bundle=3)])
    for refused, verdict in (((4,), True), ((), False), ((5,), False)):
        report = compare(tmp_path / str(refused), own_log(receipt(peer, 3, 6, refused=refused)), peer)
        assert report.is_verified is verdict
        if not verdict:
            why = f"message 4 of {US_FR} was received under a KEM key that is announced nowhere"
            assert why in str(report.reason)


def test_a_message_that_was_received_under_a_key_before_it_was_announced_is_found(tmp_path: Path) -> None:
    """Sealed for a key that its receiver got from somewhere else, and announced once it was asked."""
    other = KemPrivateKey.from_seed(b"1" * 32).public_key
    announced = KemKeyEntry(
        key_id=other.key_id, suite=1, public_key=other.data, not_before_ms=1, not_after_ms=2
    )
    sealed = replace(message(US, 2, bundle=2), kem_key_id=other.key_id)
    peer = make_log(US_FR, [*opening(US), message(US, 1, bundle=1), sealed, message(US, 3, bundle=3)])
    before = own_log(receipt(peer, 3, 4), announced, receipt(peer, 4, 6))
    after = own_log(receipt(peer, 3, 5), announced, receipt(peer, 5, 6))
    assert compare(tmp_path / "before", before, peer).is_verified
    found = compare(tmp_path / "after", after, peer)
    why = f"message 4 of {US_FR} was received under a KEM key that is announced after its receipt"
    assert failed(found) == [why]


# --- an earlier note that the other node cosigned ---------------------------------------


def cosigned_check(tmp_path: Path, log: MadeLog, note: bytes, trust: Trust | None = None) -> Check | None:
    found = verify_log(LogFolder(log.export(tmp_path / "log")), title="log", trust=full_trust())
    trust = trust or full_trust()
    return check_cosigned_note(found, note, trust=trust, periods=cosigner_periods([found], trust))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 300, 600])
def test_a_cosigned_note_vouches_for_the_beginning_of_a_log(tmp_path: Path, size: int) -> None:
    earlier = make_log(US_FR, peer_log(600).stored[:size], cosigner=FR)
    check = cosigned_check(tmp_path, peer_log(600), earlier.signed)
    assert check is not None
    assert check.outcome is Outcome.HELD
    assert check.detail == f"{FR} vouches for the first {size} of 600 entries"


def test_a_cosigned_note_of_another_history_is_a_fork(tmp_path: Path) -> None:
    other = make_log(US_FR, [*opening(US), *(message(US, n + 1, bundle=n) for n in range(297))], cosigner=FR)
    check = cosigned_check(tmp_path, peer_log(600), other.signed)
    assert check is not None
    assert check.outcome is Outcome.FAILED
    assert "a fork" in check.detail


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (b"garbage", "a note is"),
        (make_log(US_FR, opening(US)).signed, "no trusted cosigner"),
        (make_log(US_FR, opening(US), cosigner=US).signed, "no trusted cosigner"),
        (make_log(FR_US, opening(FR), cosigner=US).signed, "a required signature"),
        (make_log(US_FR, [*opening(US)] * 300, cosigner=FR).signed, "larger than the log"),
    ],
)
def test_a_note_that_vouches_for_nothing_is_refused(tmp_path: Path, note: bytes, why: str) -> None:
    check = cosigned_check(tmp_path, peer_log(600), note)
    assert check is not None
    assert check.outcome is Outcome.FAILED
    assert why in check.detail


def test_without_the_cosigners_key_its_note_is_not_checked(tmp_path: Path) -> None:
    earlier = make_log(US_FR, opening(US), cosigner=FR).signed
    check = cosigned_check(tmp_path, peer_log(600), earlier, parse_trust(vkeys(US)))
    assert check is not None
    assert check.outcome is Outcome.NOT_CHECKED


def test_a_note_of_a_log_that_is_not_verified_says_nothing(tmp_path: Path) -> None:
    found = verify_log(LogFolder(tmp_path), title="log", trust=full_trust())
    periods = cosigner_periods([found], full_trust())
    assert check_cosigned_note(found, peer_log(300).signed, trust=full_trust(), periods=periods) is None


def test_a_report_is_plain_data_for_machines(tmp_path: Path) -> None:
    peer = peer_log()
    data = compare(tmp_path, own_log(receipt(peer, 3, 300)), peer).as_json()
    assert data["verdict"] == "VERIFIED"
    assert data["logs"][0]["origin"] == FR_US
    assert data["logs"][0]["size"] == 4
    assert {check["outcome"] for check in data["checks"]} == {"held"}


@pytest.mark.parametrize("collected_first", [True, False])
def test_a_refusal_after_a_restore_takes_no_earlier_collection_back(
    tmp_path: Path, *, collected_first: bool
) -> None:
    peer = peer_log(12)
    restored = IncidentEntry(incident=IncidentKind.RECOVERY, origin=US_FR, size=3, root=peer.root(3))
    refusal, collection = receipt(peer, 3, 12, refused=[4]), collected(peer, 4)
    last: list[Entry] = (
        [collection, restored, refusal] if collected_first else [restored, refusal, collection]
    )
    report = compare(tmp_path, own_log(receipt(peer, 3, 12), *last), peer)
    assert report.is_verified is collected_first


def test_a_refusal_before_a_restore_ends_with_the_receipt_that_comes_after_it(tmp_path: Path) -> None:
    peer = peer_log(12)
    restored = IncidentEntry(incident=IncidentKind.RECOVERY, origin=US_FR, size=3, root=peer.root(3))
    own = own_log(receipt(peer, 3, 12, refused=[4]), restored, receipt(peer, 3, 12), collected(peer, 4))
    assert compare(tmp_path, own, peer).is_verified


@pytest.mark.parametrize("size", [2, 5])
def test_an_erasure_of_what_never_was_is_found(tmp_path: Path, size: int) -> None:
    peer = peer_log(12)
    root = peer.root(size) if size == 2 else Hash(bytes(32))
    erased = IncidentEntry(incident=IncidentKind.ERASED, origin=US_FR, size=size, root=root)
    (detail,) = failed(compare(tmp_path, own_log(receipt(peer, 3, 12), erased), peer))
    what = "names another root than" if size == 5 else "names as erased what is no message"
    assert what in detail


def test_an_erasure_of_a_message_names_its_place(tmp_path: Path) -> None:
    peer = peer_log(12)
    erased = IncidentEntry(incident=IncidentKind.ERASED, origin=US_FR, size=5, root=peer.root(5))
    assert compare(tmp_path, own_log(receipt(peer, 3, 12), erased), peer).is_verified


def test_two_key_statements_of_one_version_are_found(tmp_path: Path) -> None:
    """One for the partner, who mirrors the exchange log, and another one in the audit log."""
    exchange = own_log(KeyStatementEntry(statement=statement(FR, 2, 1)))
    audit = make_log(FR_AUDIT, [KeyStatementEntry(statement=statement(FR, 2, 1, cosigner_keys=2))])
    report = compare(tmp_path, exchange, audit)
    assert failed(report) == [f"{FR_AUDIT} and {FR_US} hold two statements of version 2"]


def test_one_key_statement_in_both_logs_of_a_node_holds(tmp_path: Path) -> None:
    note = statement(FR, 2, 1)
    audit = make_log(FR_AUDIT, [KeyStatementEntry(statement=note)])
    report = compare(tmp_path, own_log(KeyStatementEntry(statement=note)), audit)
    assert report.is_verified
    assert f"key statements of {FR}" in [check.name for check in report.checks]
