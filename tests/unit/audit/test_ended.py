"""What an audit log calls ended before it was sent has not been received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit import claims
from gateway.audit.crosscheck import compare_logs
from gateway.audit.folder import LogFolder
from gateway.audit.reconcile import NamedLog, reconcile
from gateway.audit.report import Outcome, SetReport
from gateway.audit.succession import AUDIT_SUCCEEDED
from gateway.audit.verify import verify_log
from gateway.core.entries import (
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    ReceiptEntry,
    ReceiptException,
)
from gateway.core.receipt import ExceptionCode
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    TIME_S,
    US,
    US_FR,
    MadeLog,
    event,
    exchange_log,
    full_trust,
    header,
    make_log,
    opening,
    receipt,
    successor_signer,
)

ENDING = ("message.withdrawn", "message.expired", "queue.cancelled")
CHECK = f"messages ended in {FR_AUDIT}"


def ended(number: int, name: str = "message.withdrawn", *, more: Sequence[int] = ()) -> EventEntry:
    """Return the event that ends the messages with these numbers."""
    objects = tuple(item.to_bytes(16, "big") for item in (number, *more))
    return EventEntry(
        at_ms=TIME_S * 1_000, role=1, actor=bytes(32), event=name, objects=objects, outcome="ok"
    )


def audit_of(*entries: Entry) -> MadeLog:
    return make_log(FR_AUDIT, [event(900), *entries], cosigner=US)


def answering(*entries: Entry) -> MadeLog:
    return make_log(US_FR, [*opening(US), *entries])


def compare(folder: Path, *logs: MadeLog) -> SetReport:
    found = [
        verify_log(LogFolder(log.export(folder / str(number))), title="log", trust=full_trust())
        for number, log in enumerate(logs)
    ]
    assert [item.report.reason for item in found if not item.report.is_verified] == []
    return compare_logs(found, title="all", trust=full_trust())


def said(report: SetReport) -> list[tuple[Outcome, str]]:
    return [(check.outcome, check.detail) for check in report.checks if check.name == CHECK]


def excepted(entry: ReceiptEntry, code: ExceptionCode, index: int) -> ReceiptEntry:
    return replace(entry, exceptions=(ReceiptException(index=index, code=int(code), rule=None),))


@pytest.mark.parametrize("name", ENDING)
def test_a_message_that_ended_and_was_received_is_named(tmp_path: Path, name: str) -> None:
    log = exchange_log(300)  # message n stands in entry n + 3
    answers = answering(receipt(log, 3, 300))
    audit = audit_of(ended(70, name, more=[1_000, 296]))
    report = compare(tmp_path, log, answers, audit)
    assert report.reason == (
        f"{CHECK}: entry 1 ({name}) is about message 00000000-0000-0000-0000-000000000046, "
        f"which {US_FR} has received as entry 73 of {FR_US} (and 1 more)"
    )


@pytest.mark.parametrize(("before_ms", "is_early"), [(300_001, True), (300_000, False)])
def test_a_message_that_had_time_left_did_not_expire(
    tmp_path: Path, before_ms: int, *, is_early: bool
) -> None:
    """It was to be sent again, so its header stands in the log."""
    log = exchange_log(20)
    asked = excepted(receipt(log, 3, 12), ExceptionCode.KEM_KEY_GONE, 5)
    over = replace(ended(2, "message.expired"), at_ms=header(FR, 2).expires_ms - before_ms)
    report = compare(tmp_path, log, answering(asked), audit_of(over))
    why = (
        f"{CHECK}: entry 1 (message.expired) is about message 00000000-0000-0000-0000-000000000002, "
        f"whose time was not over (entry 5 of {FR_US})"
    )
    assert report.reason == (why if is_early else None)


def test_side_by_side_it_is_a_difference(tmp_path: Path) -> None:
    log = exchange_log(20)
    made = [log, answering(receipt(log, 3, 20)), audit_of(ended(2))]
    named = [
        NamedLog(title=str(n), log=LogFolder(item.export(tmp_path / str(n)))) for n, item in enumerate(made)
    ]
    found = reconcile(named, named[:2], trust=full_trust(), progress=lambda _: lambda _done, _all: None)
    (difference,) = found.differences
    assert difference.startswith(f"{CHECK}: entry 1 (message.withdrawn) is about message ")


def test_what_ended_and_was_never_sent_or_not_received_holds(tmp_path: Path) -> None:
    log = exchange_log(20)
    refused = excepted(receipt(log, 3, 12), ExceptionCode.KEM_KEY_GONE, 5)
    # Of the messages behind the receipt nobody says anything yet.
    audit = audit_of(ended(500), ended(2), ended(14))
    report = compare(tmp_path, log, answering(refused), audit)
    assert said(report) == [
        (Outcome.HELD, f"3 messages withdrawn, expired or cancelled, none received of {FR_US}")
    ]


def test_other_events_end_nothing(tmp_path: Path) -> None:
    log = exchange_log(20)
    report = compare(
        tmp_path, log, answering(receipt(log, 3, 20)), audit_of(ended(2, "message.read"), event(3))
    )
    assert report.is_verified
    assert said(report) == []


def succeeding(audit: MadeLog, stored: int) -> MadeLog:
    """Return the successor of an audit log that was put back to a size."""
    details = (1, stored, bytes(audit.root(stored)), 1, audit.size, bytes(audit.root(audit.size)))
    opened = EventEntry(
        at_ms=TIME_S * 1_000,
        role=0,
        actor=b"",
        event=AUDIT_SUCCEEDED,
        objects=(),
        outcome="rolled-back",
        details=details,
    )
    return make_log(f"{FR_AUDIT}/2", [opened], by=successor_signer(FR_AUDIT, 2))


@pytest.mark.parametrize(("stored", "outcome"), [(1, Outcome.NOT_CHECKED), (2, Outcome.FAILED)])
def test_what_a_node_has_forgotten_with_a_restore_it_may_send(
    tmp_path: Path, stored: int, outcome: Outcome
) -> None:
    log = exchange_log(20)
    audit = audit_of(ended(2), event(3))
    report = compare(tmp_path, log, answering(receipt(log, 3, 20)), audit, succeeding(audit, stored))
    assert [found for found, _ in said(report)] == [outcome]


def test_an_incident_tells_of_the_loss_where_the_successor_is_not_at_hand(tmp_path: Path) -> None:
    log = exchange_log(20)
    audit = audit_of(ended(2))
    lost = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_AUDIT, size=2, root=audit.root(2))
    log = make_log(FR_US, [*log.stored, lost], cosigner=US)
    report = compare(tmp_path, log, answering(receipt(log, 3, 20)), audit)
    assert said(report) == [
        (Outcome.NOT_CHECKED, "1 message, of which 1 was received after the audit log had been put back")
    ]


def test_more_than_is_kept_is_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "MAX_ENDED", 2)
    log = exchange_log(20)
    report = compare(tmp_path, log, answering(receipt(log, 3, 20)), audit_of(ended(1, more=[2, 3])))
    assert said(report) == [(Outcome.NOT_CHECKED, "more than 2 messages")]
