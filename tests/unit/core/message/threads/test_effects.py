"""What an accepted message does to earlier ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.message.effect import CLOSING, Effect, NewEffect
from gateway.core.message.instants import instant_ms
from gateway.core.message.registry import Catalogue
from gateway.core.message.threads import effects_of, examine_thread, subjects_of, uuid_bytes
from gateway.core.message.threads.effects import READINGS
from tests.unit.core.message.rules.samples import changed, example, own_schema
from tests.unit.core.message.threads.memory import (
    ANSWERED,
    CATALOGUE,
    REFERRAL,
    REQUEST,
    Memory,
    about,
    new_id,
    reply_to,
)

REQUEST_ID = uuid_bytes(REQUEST["header"]["message_id"])


def effects(document: dict[str, Any], *before: dict[str, Any]) -> tuple[NewEffect, ...]:
    return effects_of(document, catalogue=CATALOGUE, threads=Memory().add(*before))


def names(document: dict[str, Any], *before: dict[str, Any]) -> list[Effect]:
    return [new.effect for new in effects(document, *before)]


def with_new_answer(**more: Any) -> Catalogue:
    """Return a catalogue with one more type that answers a verification, made of files alone."""
    files, name = dict(CATALOGUE.files), "fraud.verification_result"
    schema, terms = json.loads(files[f"{name}/1.json"]), json.loads(files[f"{name}/1.terms.json"])
    schema["$id"] = schema["$id"].replace("/1.json", "/2.json")
    schema["properties"]["type"]["const"] = terms["type"] = f"{name}/2"
    files[f"{name}/2.json"] = json.dumps(schema).encode()
    files[f"{name}/2.terms.json"] = json.dumps({**terms, **more}).encode()
    return Catalogue.from_files(files)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], Effect.ANSWERS), (["GENUINE"], Effect.ANSWERS_PARTLY), (["FALSE"], Effect.ANSWERS)],
)
def test_an_answer_of_a_new_type_closes_unless_its_terms_leave_open(
    codes: list[str], expected: Effect
) -> None:
    catalogue = (
        with_new_answer(leaves_open={"field": "result", "codes": codes}) if codes else with_new_answer()
    )
    request = example("fraud.verification_request")
    answer = reply_to(request, "fraud.verification_result", {"/payload/result": "GENUINE"})
    answer["type"] = "fraud.verification_result/2"
    memory = Memory().add(request)

    said = examine_thread(answer, catalogue=catalogue, threads=memory, side="sender")
    found = effects_of(answer, catalogue=catalogue, threads=memory)

    assert said.violations == ()
    assert [new.effect for new in found] == [expected]
    assert (expected in CLOSING) is (expected is Effect.ANSWERS)


@pytest.mark.parametrize(
    ("type_name", "payload", "expected"),
    [
        ("assist.ack", {"status": "ACCEPTED"}, Effect.ACKNOWLEDGES),
        ("assist.ack", {"status": "TRANSFERRED"}, Effect.ACKNOWLEDGES),
        ("assist.ack", {"status": "RECEIVED_ONLY"}, Effect.ACKNOWLEDGES),
        ("assist.ack", {"status": "MORE_INFORMATION_NEEDED"}, Effect.ASKS_BACK),
        ("assist.reply", {"status": "PARTIAL"}, Effect.ANSWERS_PARTLY),
        ("assist.reply", {"status": "FINAL"}, Effect.ANSWERS),
        ("assist.refusal", {"kind": "REFUSED"}, Effect.REFUSES),
        ("assist.refusal", {"kind": "POSTPONED"}, Effect.POSTPONES),
        ("assist.refusal", {"kind": "CONDITIONS_OFFERED"}, Effect.ASKS_BACK),
    ],
)
def test_an_answer_is_read_by_what_it_says(type_name: str, payload: dict[str, str], expected: Effect) -> None:
    changes = {f"/payload/{name}": value for name, value in payload.items()}

    assert names(reply_to(REQUEST, type_name, changes), REQUEST) == [expected]


def test_a_time_goes_with_an_answer() -> None:
    document = reply_to(REQUEST, "assist.ack", {"/payload/expected_by": "2026-11-30T12:00:00Z"})
    (found,) = effects(document, REQUEST)

    assert found.subject == REQUEST_ID
    assert found.at_ms == instant_ms("2026-11-30T12:00:00Z")


@pytest.mark.parametrize("type_id", [name for name, reading in READINGS.items() if reading.time_field])
def test_the_time_of_an_answer_is_read_in_the_form_that_its_schema_demands(type_id: str) -> None:
    reading = READINGS[type_id]
    assert reading.time_field is not None
    read = []
    for time in ("2026-12-01", "2026-12-01T23:59:59.999Z"):
        document = changed(type_id.split("/", maxsplit=1)[0], {f"/payload/{reading.time_field}": time})
        if own_schema(type_id).is_valid(document):
            read.append(reading.time_of(document["payload"]))

    assert read in ([instant_ms("2026-12-02T00:00:00Z")], [instant_ms("2026-12-01T23:59:59.999Z")])


@pytest.mark.parametrize(("deletes", "expected"), [(True, "CANCELS_AND_DELETES"), (False, "CANCELS")])
def test_a_cancellation_says_whether_the_data_goes(deletes: bool, expected: str) -> None:
    document = changed(
        "assist.cancel",
        {"/payload/delete_data": deletes, ANSWERED: REQUEST["header"]["message_id"]},
    )

    # Also of a request that this node does not hold yet: it may still come.
    for before in ((REQUEST,), ()):
        (found,) = effects(document, *before)
        assert (found.subject, found.effect) == (REQUEST_ID, Effect[expected])


@pytest.mark.parametrize(
    ("type_name", "changes", "expected"),
    [
        ("gov.correction", {}, Effect.CORRECTS),
        ("gov.retraction", {"/payload/delete": True}, Effect.RETRACTS_AND_DELETES),
        ("gov.retraction", {"/payload/delete": False}, Effect.RETRACTS),
        ("gov.use_change", {}, Effect.CHANGES_USE),
        ("gov.consent_request", {}, Effect.ASKS_CONSENT),
        ("gov.feedback", {}, Effect.GIVES_FEEDBACK),
    ],
)
def test_a_message_about_another_has_its_effect_there(
    type_name: str, changes: dict[str, Any], expected: Effect
) -> None:
    document = about(REQUEST, type_name, changes)

    assert [(new.subject, new.effect) for new in effects(document, REQUEST)] == [(REQUEST_ID, expected)]
    assert subjects_of(document) == (REQUEST_ID,)


def test_a_link_to_the_target_of_a_lifecycle_message_is_no_information() -> None:
    linked = about(REQUEST, "gov.correction", {ANSWERED: REQUEST["header"]["message_id"]})

    assert names(linked, REQUEST) == [Effect.CORRECTS]


def test_a_use_change_takes_effect_at_its_time() -> None:
    (found,) = effects(about(REQUEST, "gov.use_change", {}), REQUEST)

    assert found.at_ms == instant_ms(example("gov.use_change")["payload"]["effective"])


def test_a_decision_concerns_the_request_that_it_answers() -> None:
    asked = about(REQUEST, "gov.consent_request", {})
    document = reply_to(asked, "gov.consent_decision", {"/payload/target": new_id(5)})

    (found,) = effects(document, REQUEST, asked)
    assert found.subject == uuid_bytes(asked["header"]["message_id"])


def test_a_certificate_concerns_every_message_that_it_names_once() -> None:
    retraction = about(REQUEST, "gov.retraction", {}, number=2)
    targets = [REQUEST["header"]["message_id"], new_id(8), REQUEST["header"]["message_id"]]
    document = reply_to(retraction, "gov.deletion_certificate", {"/payload/targets": targets})

    answer, *certified = effects(document, REQUEST, retraction)
    assert answer.effect is Effect.ANSWERS
    assert [(new.subject, new.effect) for new in certified] == [
        (REQUEST_ID, Effect.CERTIFIES_DELETION),
        (uuid_bytes(new_id(8)), Effect.CERTIFIES_DELETION),
    ]


# --- Information -----------------------------------------------------------------------


def link(to: dict[str, Any], nation: str = "FR") -> dict[str, Any]:
    return changed(
        "intel.spontaneous",
        {
            ANSWERED: to["header"]["message_id"],
            "/header/conversation/id": REQUEST["header"]["conversation"]["id"],
            "/header/from/nation": nation,
        },
    )


def test_more_from_the_nation_that_asked_informs_its_request() -> None:
    question = reply_to(REQUEST, "assist.ack", {"/payload/status": "MORE_INFORMATION_NEEDED"})
    expected = (NewEffect(subject=REQUEST_ID, effect=Effect.INFORMS),)

    assert effects(link(REQUEST), REQUEST) == expected
    # Linked to the question, it informs the request as well.
    assert effects(link(question), REQUEST, question) == expected


def test_a_link_of_the_other_nation_or_to_nothing_known_informs_nobody() -> None:
    assert effects(link(REQUEST, "US"), REQUEST) == ()
    assert effects(link(REQUEST)) == ()


# --- No effect -------------------------------------------------------------------------


def test_most_messages_do_nothing_and_are_about_nothing() -> None:
    for document in (REQUEST, REFERRAL, example("intel.spontaneous"), example("gov.security_incident")):
        assert effects(document) == ()
        assert subjects_of(document) == ()


def test_a_message_in_a_room_is_about_the_room() -> None:
    document = example("ops.sitrep")

    assert effects(document) == ()
    assert subjects_of(document) == (uuid_bytes(document["header"]["operation"]["room"]),)


def test_an_answer_of_a_type_that_this_node_does_not_know_has_no_effect() -> None:
    document = reply_to(REQUEST, "assist.reply")
    document["type"] = "assist.reply/9"

    assert effects(document, REQUEST) == ()
