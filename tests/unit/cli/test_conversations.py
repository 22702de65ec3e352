"""`entente conversations` as people read it, in both languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.api.conversation_answers import CHANGES as API_CHANGES
from gateway.cli.conversations import CHANGES, DEADLINES, STATES, _list_all, _show_one
from gateway.client import Change, Conversation, Deadline, RequestStatus, Room, Summary
from gateway.core.message.threads.deadlines import DeadlineKind
from gateway.core.message.threads.progress import RequestState
from gateway.core.message.wording import Language

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
CHANGE = Change(
    change="corrected",
    message_id="correction",
    type="gov.correction/1",
    sender="US.ICE.HSI",
    created_at=NOON,
    at=None,
)
CONVERSATION = Conversation(
    conversation_id="conversation",
    state="OVERDUE",
    overdue=True,
    open_until=NOON,
    missing={"US.ICE.HSI": (2, 3)},
    type="assist.request/1",
    opened_by="US.ICE.HSI",
    opened_at=NOON,
    last_message_at=NOON,
    count=1,
    requests=(
        RequestStatus(
            message_id="request",
            type="assist.request/1",
            awaits=True,
            state="OVERDUE",
            step="ACKNOWLEDGED",
            due=NOON,
            last=replace(CHANGE, change="", type="assist.ack/1", sender="FR.DGDDI.DNRED"),
        ),
    ),
    deadlines=(
        Deadline(kind="feedback_by", at=NOON, message_id="request", agencies=(), owed=False, overdue=True),
    ),
    room=Room(
        opened_by="opening",
        operation="OP-TEST26",
        members={"FR.DGDDI.DNGCD": "LEAD"},
        allowed_types=("ops.sitrep/1",),
        starts_at=NOON,
        ends_at=NOON,
        closed_by=replace(CHANGE, change="", sender="US.CBP.AMO"),
    ),
    messages=(
        Summary(
            message_id="request",
            type="assist.request/1",
            precedence="ROUTINE",
            sender="US.ICE.HSI",
            addressees=("FR.DGDDI.DNRED",),
            conversation_id="conversation",
            seq=1,
            in_reply_to=None,
            created_at=NOON,
            expires_at=NOON,
            reply_by=NOON,
            status="received",
        ),
    ),
    changes={"request": (CHANGE,)},
    terms={
        "request": {
            "marking": {"level": "CUI"},
            "handling": {"codes": ["H1", "H2"]},
            "use": {
                "evidence": "NO",
                "dissemination": "ADDRESSEE_ONLY",
                "onward_transfer": "FORBIDDEN",
            },
            "delete_by": None,
        }
    },
)
TIME = "2026-11-03 12:00:00Z"


def test_every_code_of_the_api_has_a_word_in_both_languages() -> None:
    assert STATES.keys() == {str(state) for state in RequestState}
    assert DEADLINES.keys() == {str(kind) for kind in DeadlineKind}
    assert CHANGES.keys() == set(API_CHANGES.values())


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            [
                f"conversation  overdue, open until {TIME}",
                "missing from US.ICE.HSI: 2, 3",
                f"room of OP-TEST26, {TIME} to {TIME}, closed {TIME} by US.CBP.AMO",
                "types: ops.sitrep/1",
                f"corrected {TIME}",
                "terms in force of request: CUI; H1 H2; evidence NO; ADDRESSEE_ONLY; onward FORBIDDEN;",
                "delete by -",
                "both nodes",
                "overdue, asked, not owed",
            ],
        ),
        (
            "fr",
            [
                f"conversation  en retard, ouverte jusqu'au {TIME}",
                "manquent de US.ICE.HSI : 2, 3",
                f"salle OP-TEST26, du {TIME} au {TIME}, close le {TIME} par US.CBP.AMO",
                "types : ops.sitrep/1",
                f"rectifié {TIME}",
                "conditions en vigueur de request : CUI",
                "les deux nœuds",
                "en retard, souhaité, non dû",
            ],
        ),
    ],
)
def test_a_conversation_is_told_whole(
    language: Language, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _show_one(CONVERSATION, language)

    printed = capsys.readouterr().out
    for word in (*words, "FR.DGDDI.DNGCD", "LEAD", "assist.ack/1", "FR.DGDDI.DNRED"):
        assert word in printed, word


def test_a_plain_conversation_has_no_room_and_no_deadlines(capsys: pytest.CaptureFixture[str]) -> None:
    plain = replace(
        CONVERSATION,
        state="FOR_INFORMATION",
        open_until=None,
        missing={},
        requests=(),
        deadlines=(),
        room=None,
    )
    _show_one(replace(plain, changes={}, terms={}), "en")

    printed = capsys.readouterr().out
    assert printed.startswith("conversation  for information\n")
    for word in ("room of", "both nodes", "answer due", "terms in force"):
        assert word not in printed


@pytest.mark.parametrize(("language", "words"), [("en", "No conversations."), ("fr", "Aucune conversation.")])
def test_an_empty_list_says_so(language: Language, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    _list_all([], language)
    assert capsys.readouterr().out == f"{words}\n"


def test_a_list_speaks_the_readers_language_and_passes_on_a_code_that_it_does_not_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _list_all([CONVERSATION, replace(CONVERSATION, state="FORGOTTEN")], "fr")

    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["état", "échéance"]
    assert first.startswith("en retard")
    assert second.startswith("FORGOTTEN")
