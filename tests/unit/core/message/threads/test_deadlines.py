"""Every time in a conversation that somebody has to keep."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.message.instants import DAY_MS, day_of_date, instant_ms
from gateway.core.message.terms import FeedbackDue
from gateway.core.message.threads import uuid_bytes
from gateway.core.message.threads.deadlines import (
    CERTIFICATE_DAYS,
    FEEDBACK_DAYS,
    Deadline,
    DeadlineKind,
    Subject,
    deadlines,
)
from gateway.core.message.threads.progress import awaits, progress
from gateway.core.message.threads.rooms import find_room
from tests.unit.core.message.rules.samples import ABSENT, changed, example, stamp
from tests.unit.core.message.threads.memory import CATALOGUE, REQUEST, Memory, about, reply_to

CREATED = instant_ms(REQUEST["header"]["created_at"])
REPLY_BY = instant_ms(REQUEST["header"]["reply_by"])
PROMISED = "2026-12-01T12:00:00Z"
K = DeadlineKind


def found(*documents: dict[str, Any], now_ms: int = CREATED, room: bytes | None = None) -> list[Deadline]:
    """Return the deadlines of a conversation but those of deletion."""
    return [item for item in everything(*documents, now_ms=now_ms, room=room) if item.kind is not K.DELETE_BY]


def everything(
    *documents: dict[str, Any],
    now_ms: int,
    room: bytes | None = None,
    feedback: FeedbackDue | None = None,
    shown: frozenset[bytes] | None = None,
) -> tuple[Deadline, ...]:
    memory = Memory().add(*documents)
    subjects = []
    for document in documents:
        header = document["header"]
        message_id = uuid_bytes(header["message_id"])
        effects = memory.effects(message_id)
        reply_by_ms = instant_ms(header["reply_by"]) if "reply_by" in header else None
        where = progress(reply_by_ms, effects, now_ms=now_ms)
        subjects.append(
            Subject(
                message_id=message_id,
                type=document["type"],
                from_agency=header["from"]["agency"],
                to_agencies=tuple(to["agency"] for to in header["to"]),
                created_ms=instant_ms(header["created_at"]),
                progress=where if awaits(document, CATALOGUE) else None,
                feedback=feedback,
            )
        )
    opened = None if room is None else find_room(room, memory)
    ids = frozenset(subject.message_id for subject in subjects)
    return deadlines(subjects, opened, memory, erasures_of=ids if shown is None else shown, now_ms=now_ms)


def kinds(*documents: dict[str, Any], now_ms: int = CREATED) -> list[DeadlineKind]:
    return [item.kind for item in found(*documents, now_ms=now_ms)]


def test_an_open_request_is_to_be_answered_by_those_who_were_asked() -> None:
    (on_time,) = found(REQUEST, now_ms=REPLY_BY)
    (late,) = found(REQUEST, now_ms=REPLY_BY + 1)

    assert (on_time.kind, on_time.at_ms, on_time.agencies) == (K.REPLY_BY, REPLY_BY, ("US.ICE.HSI",))
    assert (on_time.owed, on_time.overdue) == (True, False)
    assert late.overdue


@pytest.mark.parametrize(
    ("type_name", "payload", "kind"),
    [
        ("assist.ack", {"expected_by": "2026-12-01T12:00:00Z", "status": "ACCEPTED"}, K.EXPECTED_BY),
        ("assist.reply", {"next_part_by": "2026-12-01T12:00:00Z", "status": "PARTIAL"}, K.NEXT_PART_BY),
    ],
)
def test_what_the_newest_answer_promised_is_due(
    type_name: str, payload: dict[str, Any], kind: DeadlineKind
) -> None:
    document = reply_to(REQUEST, type_name, {f"/payload/{name}": value for name, value in payload.items()})
    promised = [item for item in found(REQUEST, document) if item.kind is kind]

    assert [(item.at_ms, item.agencies) for item in promised] == [(instant_ms(PROMISED), ("US.ICE.HSI",))]
    again = reply_to(REQUEST, "assist.ack", {"/payload/expected_by": ABSENT}, number=2)
    assert kind not in kinds(REQUEST, document, again)


def test_a_postponement_lasts_until_the_end_of_its_day() -> None:
    payload = {"/payload/kind": "POSTPONED", "/payload/postponed_until": "2026-12-01"}
    refusal = reply_to(REQUEST, "assist.refusal", payload)

    (postponed,) = (item for item in found(REQUEST, refusal) if item.kind is K.POSTPONED_UNTIL)
    assert (postponed.at_ms, postponed.agencies) == (instant_ms("2026-12-02T00:00:00Z"), ("US.ICE.HSI",))


def test_an_alert_that_is_acted_upon_promises_more() -> None:
    alert = example("alert.urgent")
    under_way = {"/payload/outcome": "ACTION_UNDER_WAY", "/payload/more_by": "2026-12-01T12:00:00Z"}
    response = reply_to(alert, "alert.response", under_way)

    assert K.MORE_BY in kinds(alert, response)


def test_nothing_is_due_of_what_is_closed() -> None:
    answer = reply_to(REQUEST, "assist.reply", {"/payload/status": "FINAL", "/payload/next_part_by": ABSENT})

    assert kinds(REQUEST, answer) == [K.FEEDBACK_BY]


def test_a_hit_may_be_followed_up_until_its_time_or_a_request() -> None:
    query = example("match.query")
    result = example("match.result")
    until = instant_ms(result["payload"]["follow_up_by"])

    (due,) = found(query, result, now_ms=until)
    assert (due.kind, due.at_ms, due.agencies) == (K.FOLLOW_UP_BY, until, ("FR.DGDDI.DNRED",))
    assert found(query, result, now_ms=until + 1) == []
    assert K.FOLLOW_UP_BY not in kinds(query, result, REQUEST)
    missed = reply_to(query, "match.result", {"/payload/follow_up_by": ABSENT})
    assert found(query, missed) == []


def test_a_request_that_was_cancelled_with_its_data_is_certified() -> None:
    query = example("match.query")
    cancel = changed(
        "assist.cancel",
        {
            "/header/from": query["header"]["from"],
            "/header/to": query["header"]["to"],
            "/header/conversation/in_reply_to": query["header"]["message_id"],
        },
    )
    at_ms = instant_ms(cancel["header"]["created_at"]) + CERTIFICATE_DAYS * DAY_MS

    (due,) = found(query, cancel, now_ms=at_ms)
    assert (due.kind, due.at_ms, due.agencies) == (K.CERTIFICATE_BY, at_ms, ("US.ICE.HSI",))
    assert found(query, changed_field(cancel, delete_data=False)) == []
    certificate = reply_to(cancel, "gov.deletion_certificate", {})
    assert found(query, cancel, certificate) == []
    retraction = about(query, "gov.retraction", {}, number=3)
    other = reply_to(
        retraction, "gov.deletion_certificate", {"/payload/targets": [query["header"]["message_id"]]}
    )
    assert K.CERTIFICATE_BY not in kinds(query, cancel, retraction, other)


def changed_field(document: dict[str, Any], **payload: Any) -> dict[str, Any]:
    return {**document, "payload": {**document["payload"], **payload}}


# --- Feedback --------------------------------------------------------------------------


def test_feedback_is_asked_or_owed_as_the_terms_say_in_words() -> None:
    for type_id, (days, owed) in FEEDBACK_DAYS.items():
        message_type = CATALOGUE.find(type_id)
        if message_type is None:
            continue
        words = message_type.terms.replies["gov.feedback/1"].text("en")
        assert f"{days} days" in words, type_id
        assert ("not owed" in words) is not owed, type_id
    for type_id, message_type in CATALOGUE.types.items():
        wording = message_type.terms.replies.get("gov.feedback/1")
        if wording is not None and any(character.isdigit() for character in wording.text("en")):
            assert type_id in FEEDBACK_DAYS or message_type.terms.feedback is not None


def test_feedback_of_a_new_type_is_due_as_its_terms_say_in_numbers() -> None:
    bulletin = example("event.bulletin")
    wanted = FeedbackDue(days=12, owed=True)

    due = [item for item in everything(bulletin, now_ms=0, feedback=wanted) if item.kind is K.FEEDBACK_BY]

    created = instant_ms(bulletin["header"]["created_at"])
    assert [(item.at_ms, item.owed) for item in due] == [(created + 12 * DAY_MS, True)]


def test_feedback_is_due_until_it_comes() -> None:
    practice = example("practice.share")
    created = instant_ms(practice["header"]["created_at"])
    at_ms = created + 90 * DAY_MS

    (due,) = found(practice, now_ms=at_ms + 1)
    assert (due.kind, due.at_ms, due.owed, due.overdue) == (K.FEEDBACK_BY, at_ms, True, True)
    assert due.agencies == tuple(to["agency"] for to in practice["header"]["to"])
    assert kinds(practice, about(practice, "gov.feedback", {})) == []
    # Nobody judges what is not to be used any more.
    retraction = about(practice, "gov.retraction", {}, number=2)
    assert K.FEEDBACK_BY not in kinds(practice, retraction, now_ms=at_ms + 1)


def test_feedback_that_was_only_asked_for_is_forgotten_when_its_time_is_over() -> None:
    intelligence = example("intel.spontaneous")
    at_ms = instant_ms(intelligence["header"]["created_at"]) + 30 * DAY_MS

    (due,) = found(intelligence, now_ms=at_ms)
    assert (due.owed, due.overdue) == (False, False)
    assert found(intelligence, now_ms=at_ms + 1) == []


# --- Deletion and rooms ----------------------------------------------------------------


def test_content_goes_at_the_end_of_the_day_in_the_terms_in_force() -> None:
    intelligence = changed("intel.spontaneous", {"/header/data_protection/delete_by": "2028-11-02"})
    tightened = about(
        intelligence,
        "gov.use_change",
        {"/payload/use": ABSENT, "/payload/delete_by": "2028-01-31", "/payload/effective": stamp(CREATED)},
        number=2,
    )

    def goes(*documents: dict[str, Any]) -> list[tuple[int, tuple[str, ...]]]:
        every = everything(*documents, now_ms=CREATED)
        message_id = uuid_bytes(intelligence["header"]["message_id"])
        return [
            (item.at_ms, item.agencies)
            for item in every
            if item.kind is K.DELETE_BY and item.message_id == message_id
        ]

    assert goes(intelligence) == [((day_of_date("2028-11-02") + 1) * DAY_MS, ())]
    assert goes(intelligence, tightened) == [((day_of_date("2028-01-31") + 1) * DAY_MS, ())]


def test_a_room_ends_for_its_members_unless_it_was_closed() -> None:
    opening = example("ops.room_open", number=1)
    closing = changed("ops.room_close", {"/header/conversation/seq": 2})
    room = uuid_bytes(opening["header"]["conversation"]["id"])
    ends_ms = instant_ms(opening["payload"]["ends_at"])

    (due,) = found(opening, room=room)
    assert (due.kind, due.at_ms) == (K.ROOM_ENDS_AT, ends_ms)
    assert due.agencies == tuple(member["agency"] for member in opening["payload"]["members"])
    assert found(opening, closing, room=room) == []


def test_the_earliest_deadline_comes_first() -> None:
    acknowledged = reply_to(REQUEST, "assist.ack", {"/payload/expected_by": stamp(REPLY_BY - 1)})

    assert kinds(REQUEST, acknowledged) == [K.EXPECTED_BY, K.REPLY_BY]
