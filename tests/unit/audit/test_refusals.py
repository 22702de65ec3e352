"""Refusals that the header of the refused message contradicts, and those that it bears out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.report import Outcome
from gateway.core.entries import IncidentEntry, IncidentKind, ReceiptEntry
from gateway.core.receipt import ExceptionCode
from tests.unit.audit.making import (
    FR,
    FR_US,
    TIME_S,
    US_FR,
    exchange_log,
    header,
    make_log,
    message,
    opening,
    receipt,
)
from tests.unit.audit.test_reconcile import answering, excepting
from tests.unit.audit.test_restores import compare, only

LOG = exchange_log(12)
SECONDS = 1_000
EXPIRES_MS = header(FR, 0).expires_ms


def expired(index: int, decided_ms: int) -> ReceiptEntry:
    """Return a receipt that calls a message expired."""
    return replace(excepting(receipt(LOG, 3, 12), ExceptionCode.EXPIRED, index), decided_ms=decided_ms)


@pytest.mark.parametrize(
    ("decided_ms", "outcome"),
    [
        (EXPIRES_MS - 301 * SECONDS, Outcome.FAILED),
        # Clocks may differ by five minutes.
        (EXPIRES_MS - 300 * SECONDS, Outcome.HELD),
        (EXPIRES_MS + 1, Outcome.HELD),
    ],
)
def test_what_is_called_expired_before_its_time_is_over_is_found(
    tmp_path: Path, decided_ms: int, outcome: Outcome
) -> None:
    check = only(compare(tmp_path, LOG, answering(LOG, expired(5, decided_ms))), "refusals in")
    assert check.outcome is outcome
    if outcome is Outcome.FAILED:
        assert check.detail == f"entry 3 calls message 5 of {FR_US} expired before its time is over"


def test_a_time_behind_the_signature_makes_nothing_expire(tmp_path: Path) -> None:
    late = replace(header(FR, 1), expires_ms=TIME_S * SECONDS + 3_600 * SECONDS)
    log = make_log(FR_US, [*opening(FR), replace(message(FR, 1), header=late.encode())])
    said = excepting(receipt(log, 3, 4), ExceptionCode.EXPIRED, 3)
    answers = answering(log, replace(said, decided_ms=late.expires_ms + 1))
    check = only(compare(tmp_path, log, answers), "refusals in")
    assert check.outcome is Outcome.FAILED


def test_a_receiver_whose_clock_was_set_back_may_repeat_that_a_message_was_expired(tmp_path: Path) -> None:
    """It says after a restore what it said before, and its receipts show that its time was over then."""
    first, again = expired(5, EXPIRES_MS + 1), expired(5, EXPIRES_MS - 3_600 * SECONDS)
    restored = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=3, root=LOG.root(3))
    report = compare(tmp_path, LOG, answering(LOG, first, restored, again))
    assert only(report, "refusals in").outcome is Outcome.HELD


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (ExceptionCode.WRONG_RECIPIENT, "addressed to somebody else, and it is not"),
        (ExceptionCode.UNKNOWN_SUITE, "of an unknown suite, and its header is of this one"),
    ],
)
def test_what_a_header_contradicts_is_found(tmp_path: Path, code: ExceptionCode, what: str) -> None:
    check = only(
        compare(tmp_path, LOG, answering(LOG, excepting(receipt(LOG, 3, 12), code, 4))), "refusals in"
    )
    assert (check.outcome, check.detail) == (Outcome.FAILED, f"entry 3 calls message 4 of {FR_US} {what}")


def test_what_is_addressed_to_somebody_else_may_be_refused(tmp_path: Path) -> None:
    foreign = replace(header(FR, 1), to_agencies=("DE.ZOLL.ZKA",))
    log = make_log(FR_US, [*opening(FR), replace(message(FR, 1), header=foreign.encode())])
    answers = answering(log, excepting(receipt(log, 3, 4), ExceptionCode.WRONG_RECIPIENT, 3))
    report = compare(tmp_path, log, answers)
    check = only(report, f"refusals in {US_FR}")
    assert (check.outcome, check.detail) == (Outcome.HELD, f"1 refusal fits the headers in {FR_US}")
    assert "not from an agency of one nation to agencies of the other" in str(report.reason)
