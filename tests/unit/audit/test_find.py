"""Questions to logs, and what the answers are worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.find import Answer, Question, find_entries
from gateway.audit.folder import LogFolder
from gateway.audit.trust import parse_trust
from gateway.core.entries import Entry, EventEntry, KeyStatementEntry, Role
from tests.unit.audit.making import (
    AGENCY,
    FR,
    FR_AUDIT,
    KEM_KEY,
    TIME_S,
    US,
    US_FR,
    MadeLog,
    collected,
    event,
    exchange_log,
    full_trust,
    make_log,
    opening,
    receipt,
    root_vkeys,
    signer,
    statement,
    vkeys,
)

LOG = exchange_log(300)
ANSWERS = make_log(
    US_FR, [*opening(US), receipt(LOG, 3, 200), receipt(LOG, 200, 300), collected(LOG, 10, 11)], cosigner=FR
)
STOLEN = bytes.fromhex("3fa9c1") + bytes(29)
MESSAGE = (7).to_bytes(16, "big")
"""The message at index 10 of the log."""

START_MS = TIME_S * 1_000


def at(
    seconds: int, name: str, role: Role, actor: bytes = b"", objects: tuple[bytes, ...] = ()
) -> EventEntry:
    return replace(
        event(0), at_ms=START_MS + seconds * 1_000, event=name, role=role, actor=actor, objects=objects
    )


EVENTS: list[Entry] = [
    at(0, "message.accepted", Role.AGENCY, STOLEN, (MESSAGE,)),
    at(60, "queue.cancelled", Role.OPERATOR, b"\x11" * 32),
    at(120, "message.read", Role.AGENCY, STOLEN, (MESSAGE, bytes(16))),
    at(180, "evidence.disclosed", Role.AGENCY, STOLEN, (MESSAGE,)),
    at(240, "node.stopped", Role.NODE),
]
AUDIT = make_log(FR_AUDIT, EVENTS, cosigner=US)


def ask(folder: Path, question: Question, *logs: MadeLog) -> list[Answer]:
    answers: list[Answer] = []
    places: dict[tuple[str, int], bytes] = {}
    for number, made in enumerate(logs):
        report = find_entries(
            LogFolder(made.export(folder / str(number))),
            question,
            title="log",
            trust=full_trust(),
            report_answer=answers.append,
            places=places,
        )
        assert report.is_verified
    return answers


def places(answers: list[Answer]) -> list[tuple[str, int]]:
    return [(answer.origin.partition("/")[2], answer.index) for answer in answers]


def test_who_read_this_message(tmp_path: Path) -> None:
    answers = ask(tmp_path, Question(message_id=MESSAGE, event="message.read"), LOG, ANSWERS, AUDIT)
    assert places(answers) == [("audit", 2)]
    assert "message.read ok by agency 3fa9c1" in answers[0].text
    assert answers[0].at_ms == START_MS + 120_000


def test_everything_about_a_message(tmp_path: Path) -> None:
    answers = ask(tmp_path, Question(message_id=MESSAGE), LOG, ANSWERS, AUDIT)
    assert places(answers) == [
        *[("exchange/us", 10), ("exchange/fr", 3), ("exchange/fr", 5)],
        *[("audit", 0), ("audit", 2), ("audit", 3)],
    ]


@pytest.mark.parametrize(("first", "last", "count"), [(0, 300, 297), (0, 5, 5), (5, 7, 2), (297, 400, 0)])
def test_what_an_agency_sent_between_two_dates(tmp_path: Path, first: int, last: int, count: int) -> None:
    question = Question(agency=AGENCY[FR], from_ms=START_MS + first, until_ms=START_MS + last)
    answers = ask(tmp_path, question, LOG, AUDIT)
    assert len(answers) == count
    assert all(answer.kind == "message" for answer in answers)


def test_what_an_agency_collected(tmp_path: Path) -> None:
    assert places(ask(tmp_path, Question(agency=AGENCY[US]), LOG, ANSWERS)) == [("exchange/fr", 5)]


def test_what_an_operator_changed(tmp_path: Path) -> None:
    assert places(ask(tmp_path / "role", Question(role="operator"), LOG, AUDIT)) == [("audit", 1)]
    assert places(ask(tmp_path / "key", Question(actor=b"\x11\x11"), AUDIT)) == [("audit", 1)]


def test_what_was_done_with_a_key_after_it_was_reported_stolen(tmp_path: Path) -> None:
    question = Question(actor=bytes.fromhex("3fa9c1"), from_ms=START_MS + 100_000)
    assert places(ask(tmp_path, question, LOG, AUDIT)) == [("audit", 2), ("audit", 3)]


def test_what_was_sealed_for_a_kem_key(tmp_path: Path) -> None:
    answers = ask(tmp_path, Question(kem_key=KEM_KEY.key_id, until_ms=START_MS + 3), LOG)
    assert [answer.kind for answer in answers] == ["kem-key", "message", "message", "message"]
    assert ask(tmp_path, Question(kem_key=b"another "), LOG) == []


def test_an_answer_from_a_log_that_is_not_as_signed_is_worth_nothing(tmp_path: Path) -> None:
    folder = AUDIT.export(tmp_path)
    path = folder / "tile/entries/000.p/5"
    path.write_bytes(path.read_bytes().replace(b"message.read", b"message.reap"))
    answers: list[Answer] = []
    report = find_entries(
        LogFolder(folder),
        Question(event="message.reap"),
        title="log",
        trust=full_trust(),
        report_answer=answers.append,
        places={},
    )
    assert len(answers) == 1
    assert not report.is_verified


def test_an_answer_from_a_log_that_a_replaced_key_has_signed_is_worth_nothing(tmp_path: Path) -> None:
    entries: list[Entry] = [*EVENTS, KeyStatementEntry(statement=statement(FR, 2, 2))]
    keys = parse_trust([*vkeys(FR), *vkeys(FR, 2), *root_vkeys(FR)])
    for number, is_right in ((2, True), (1, False)):
        made = make_log(FR_AUDIT, entries, by=signer(FR_AUDIT, number))
        report = find_entries(
            LogFolder(made.export(tmp_path / str(number))),
            Question(event="message.read"),
            title="log",
            trust=keys,
            report_answer=lambda _: None,
            places={},
        )
        assert report.is_verified is is_right
        assert is_right or "other keys than those that signed" in (report.reason or "")


def test_an_entry_that_is_none_answers_nothing(tmp_path: Path) -> None:
    made = make_log(FR_AUDIT, [b"\xff", *EVENTS], cosigner=US)
    assert places(ask(tmp_path, Question(role="node"), made)) == [("audit", 5)]


def test_nothing_asked_is_no_question() -> None:
    assert Question().is_empty
    assert not Question(from_ms=0).is_empty
