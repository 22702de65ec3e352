"""Replies that were due, as far as logs and the catalogue show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.audit.figures import Figures, Period, count_logs
from gateway.audit.figures_html import render_html
from gateway.audit.folder import LogFolder
from gateway.audit.overdue import Fate, reply_terms
from gateway.catalogue import read_catalogue
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import Entry, MessageEntry
from gateway.core.envelope import Header
from gateway.core.states import Precedence
from tests.unit.audit.making import (
    FR,
    FR_US,
    TIME_S,
    US,
    US_FR,
    MadeLog,
    full_trust,
    header,
    make_log,
    message,
    opening,
    receipt,
    signer,
)

START_MS = TIME_S * 1_000
DAY_MS = 86_400_000
CATALOGUE = read_catalogue()
TERMS = reply_terms(CATALOGUE)
REFERRAL, DISPOSITION = "target.cargo_referral/1", "target.disposition/1"
REFERRAL_MS = TERMS[REFERRAL].minutes["ROUTINE"] * 60_000


def said(
    node: str,
    number: int,
    kind: str,
    at_ms: int,
    *,
    change: Callable[[Header], Header] = lambda made: made,
    thread: int | None = None,
) -> MessageEntry:
    """A message of a type; requests and answers of one ``thread`` are one conversation."""
    made = replace(
        header(node, number),
        type=kind,
        type_digest=CATALOGUE.type(kind).digest,
        created_ms=at_ms,
        conversation_id=(number if thread is None else thread).to_bytes(16, "big"),
    )
    return replace(message(node, number, bundle=number), header=change(made).encode())


def signed_at(log: MadeLog, time_s: int) -> MadeLog:
    checkpoint = Checkpoint(origin=log.origin, size=log.size, root=log.root(log.size))
    return replace(log, signed=sign_checkpoint(checkpoint, signer=signer(log.origin), time_s=time_s))


def count(folder: Path, asked: list[Entry], answered: list[Entry] | None, *, days: int = 90) -> Figures:
    end_s = TIME_S + days * 86_400
    logs = [signed_at(make_log(FR_US, [*opening(FR), *asked]), end_s)]
    if answered is not None:
        logs.append(signed_at(make_log(US_FR, [*opening(US), *answered]), end_s))
    named = [(log.origin, LogFolder(log.export(folder / str(n)))) for n, log in enumerate(logs)]
    figures = count_logs(
        named,
        Period(from_ms=START_MS, until_ms=START_MS + 60 * DAY_MS),
        trust=full_trust(),
        progress=lambda _: lambda _done, _all: None,
        terms=TERMS,
    )
    assert all(log.is_verified for log in figures.logs), [log.reason for log in figures.logs]
    return figures


def test_a_reply_in_time_late_and_absent(tmp_path: Path) -> None:
    figures = count(
        tmp_path,
        [said(FR, number, REFERRAL, START_MS) for number in (1, 2, 3)],
        [
            said(US, 11, DISPOSITION, START_MS + REFERRAL_MS, thread=1),
            said(US, 12, DISPOSITION, START_MS + REFERRAL_MS + 1, thread=2),
        ],
    )
    assert [(due.index, due.fate) for due in figures.replies.conclude()] == [
        (3, Fate.IN_TIME),
        (4, Fate.LATE),
        (5, Fate.ABSENT),
    ]
    assert figures.replies.counts() == {Fate.IN_TIME: 1, Fate.LATE: 1, Fate.ABSENT: 1}
    english, french = (render_html(figures, language=language) for language in ("en", "fr"))
    assert "overdue: no answer in the logs" in english
    assert f"<td>{FR_US} 5</td>" in english
    assert "en retard : aucune réponse dans les journaux" in french


def test_an_acknowledgement_is_no_answer(tmp_path: Path) -> None:
    asked = [said(FR, 1, REFERRAL, START_MS)]
    figures = count(tmp_path, [*asked], [said(US, 11, "assist.ack/1", START_MS + 1, thread=1)])
    assert figures.replies.counts() == {Fate.ABSENT: 1}


def test_an_answer_of_another_conversation_or_of_the_own_nation_is_none(tmp_path: Path) -> None:
    asked = [said(FR, 1, REFERRAL, START_MS), said(FR, 2, DISPOSITION, START_MS + 1, thread=1)]
    figures = count(tmp_path, [*asked], [said(US, 11, DISPOSITION, START_MS + 1, thread=7)])
    assert figures.replies.counts() == {Fate.ABSENT: 1}


def test_a_higher_precedence_is_answered_sooner(tmp_path: Path) -> None:
    terms = TERMS[REFERRAL]
    assert terms.minutes["IMMEDIATE"] < terms.minutes["ROUTINE"]
    urgent = said(
        FR, 1, REFERRAL, START_MS, change=lambda made: replace(made, precedence=Precedence.IMMEDIATE)
    )
    answer = said(US, 11, DISPOSITION, START_MS + REFERRAL_MS, thread=1)
    assert count(tmp_path, [urgent], [answer]).replies.counts() == {Fate.LATE: 1}


def test_where_the_content_decides_the_longest_time_counts(tmp_path: Path) -> None:
    longest_ms = TERMS["assist.request/1"].longest * 60_000
    asked = [said(FR, number, "assist.request/1", START_MS) for number in (1, 2)]
    answers = [
        said(US, 11, "assist.reply/1", START_MS + longest_ms, thread=1),
        said(US, 12, "assist.reply/1", START_MS + longest_ms + 1, thread=2),
    ]
    figures = count(tmp_path, [*asked], [*answers])
    assert [due.fate for due in figures.replies.conclude()] == [Fate.IN_TIME, Fate.LATE]


def test_what_is_not_due_yet_is_not_overdue(tmp_path: Path) -> None:
    asked = said(FR, 1, REFERRAL, START_MS + 59 * DAY_MS)
    figures = count(tmp_path, [asked], [], days=59)
    assert figures.replies.counts() == {Fate.NOT_DUE: 1}


def test_a_refused_request_is_owed_nothing_and_one_sent_again_is_owed_one_answer(tmp_path: Path) -> None:
    asked = [
        said(FR, 1, REFERRAL, START_MS),
        said(FR, 2, REFERRAL, START_MS),
        said(FR, 2, REFERRAL, START_MS),
    ]
    log = make_log(FR_US, [*opening(FR), *asked])
    answers = [receipt(log, 3, 6, refused=[3, 4])]
    figures = count(tmp_path, [*asked], [*answers])
    assert [(due.index, due.fate) for due in figures.replies.conclude()] == [(5, Fate.ABSENT)]


def test_what_its_sender_cancelled_is_owed_nothing(tmp_path: Path) -> None:
    asked = [said(FR, 1, REFERRAL, START_MS), said(FR, 2, "assist.cancel/1", START_MS + 1, thread=1)]
    assert count(tmp_path, [*asked], []).replies.counts() == {Fate.CANCELLED: 1}


def test_without_the_log_of_the_other_nation_nothing_is_said(tmp_path: Path) -> None:
    figures = count(tmp_path, [said(FR, 1, REFERRAL, START_MS)], None)
    assert figures.replies.counts() == {Fate.UNKNOWN: 1}
    assert "are not at hand" in render_html(figures, language="en")


def test_a_request_under_other_terms_is_not_judged(tmp_path: Path) -> None:
    other = said(FR, 1, REFERRAL, START_MS, change=lambda made: replace(made, type_digest=bytes(48)))
    assert count(tmp_path, [other], []).replies.counts() == {Fate.UNKNOWN: 1}


def test_a_request_of_another_period_is_not_counted(tmp_path: Path) -> None:
    assert not count(tmp_path, [said(FR, 1, REFERRAL, START_MS - 1)], []).replies.counts()
