"""What became of a message, as its reader is told."""

from __future__ import annotations

from typing import Any

from gateway.core.message.threads import uuid_bytes
from gateway.core.message.threads.in_force import InForce, in_force
from tests.unit.core.message.rules.samples import changed
from tests.unit.core.message.threads.memory import REQUEST, SENDER, Memory, about, reply_to

READER = "US.ICE.HSI"
REQUEST_ID = uuid_bytes(REQUEST["header"]["message_id"])
LATER = 2_000_000_000_000


def id_of(document: dict[str, Any]) -> bytes:
    return uuid_bytes(document["header"]["message_id"])


def told(*documents: dict[str, Any], reader: str = READER) -> InForce | None:
    return in_force(REQUEST_ID, Memory().add(REQUEST, *documents), reader=reader, now_ms=LATER)


def correction() -> dict[str, Any]:
    patches = [{"path": "/payload/subject", "new": "After"}]
    return about(REQUEST, "gov.correction", {"/payload/patches": patches}, number=2)


def decided(asked: dict[str, Any]) -> dict[str, Any]:
    return reply_to(
        asked,
        "gov.consent_decision",
        {
            "/payload/decision": "GRANTED_WITH_CONDITIONS",
            "/payload/conditions": ["Not in open court."],
            "/payload/valid_until": "2027-06-30",
            "/payload/target": REQUEST["header"]["message_id"],
        },
        number=2,
    )


def test_nothing_became_of_most_messages_and_none_is_opened_for_that() -> None:
    memory = Memory().add(REQUEST, reply_to(REQUEST, "assist.ack"), about(REQUEST, "gov.feedback", {}))
    memory.opened.clear()

    assert in_force(REQUEST_ID, memory, reader=READER, now_ms=LATER) is None
    assert memory.opened == []


def test_a_corrected_message_is_shown_with_the_values_in_force() -> None:
    found = told(correction())

    assert found is not None
    assert found.payload is not None
    assert found.payload["subject"] == "After"
    assert found.payload["questions"] == REQUEST["payload"]["questions"]
    assert [applied.from_agency for applied in found.corrections] == ["FR.DGDDI.DNRED"]
    assert (found.terms, found.retracted_by, found.consents) == (None, None, ())


def test_values_are_shown_to_those_who_were_sent_them() -> None:
    request = changed("assist.request", {"/header/to/-": {"nation": "US", "agency": "US.CBP.NTC"}})
    document = about(request, "gov.correction", {"/payload/patches": []}, number=2)
    document["payload"]["patches"] = [{"path": "/payload/subject", "new": "After"}]
    memory = Memory().add(request, document)

    stranger = in_force(REQUEST_ID, memory, reader="US.CBP.NTC", now_ms=LATER)
    sender = in_force(REQUEST_ID, memory, reader="FR.DGDDI.DNRED", now_ms=LATER)

    assert stranger is not None
    # That there is one, everybody is told who has the message.
    assert (stranger.payload, len(stranger.corrections)) == (None, 1)
    assert sender is not None
    assert sender.payload is not None


def test_terms_bind_everyone() -> None:
    document = about(REQUEST, "gov.use_change", {SENDER: "FR.DGDDI"})
    found = told(document, reader="US.CBP.NTC")

    assert found is not None
    assert found.terms is not None
    assert found.terms.use == document["payload"]["use"]
    assert found.terms.delete_by == document["payload"]["delete_by"]
    assert found.payload is None


def test_a_retraction_is_named() -> None:
    found = told(about(REQUEST, "gov.retraction", {}, number=2))

    assert found is not None
    assert found.retracted_by is not None
    assert found.retracted_by.type == "gov.retraction/1"


def test_a_consent_is_open_until_it_is_decided() -> None:
    asked = about(REQUEST, "gov.consent_request", {})
    decision = decided(asked)

    before, after = told(asked), told(asked, decision)

    assert before is not None
    assert after is not None
    assert [(item.use, item.decision) for item in before.consents] == [(asked["payload"]["use"], None)]
    (consent,) = after.consents
    assert consent.decision == "GRANTED_WITH_CONDITIONS"
    assert (consent.conditions, consent.valid_until) == (("Not in open court.",), "2027-06-30")
    assert consent.decision_id == uuid_bytes(decision["header"]["message_id"])
    # It is between those two agencies.
    stranger = told(asked, decision, reader="US.CBP.NTC")
    assert stranger is not None
    assert stranger.consents == ()


def patched(
    value: str, changes: dict[str, Any] | None = None, *, number: int, old: str | None = None
) -> dict[str, Any]:
    patch = {"path": "/payload/subject", "new": value} | ({} if old is None else {"old": old})
    return about(REQUEST, "gov.correction", {"/payload/patches": [patch], **(changes or {})}, number=number)


def test_a_correction_that_was_retracted_corrects_nothing() -> None:
    first, second = correction(), patched("Later", number=3)

    one = told(first, second, about(second, "gov.retraction", {}, number=4))
    none = told(first, about(first, "gov.retraction", {}, number=4))

    assert one is not None
    assert one.payload is not None
    assert one.payload["subject"] == "After"
    assert [applied.message_id for applied in one.corrections] == [id_of(first)]
    assert none is not None
    assert (none.corrections, none.payload) == ((), None)


def test_no_values_are_shown_once_a_correction_of_them_was_erased() -> None:
    first, second = correction(), patched("Later", number=3)
    memory = Memory().add(REQUEST, first, second)
    memory.erase(first)

    found = in_force(REQUEST_ID, memory, reader=READER, now_ms=LATER)

    assert found is not None
    assert found.payload is None
    assert [applied.message_id for applied in found.corrections] == [id_of(first), id_of(second)]


def test_no_values_are_shown_where_corrections_do_not_fit_each_other_any_more() -> None:
    first, second = correction(), patched("Later", number=3, old="After")

    found = told(first, second, about(first, "gov.retraction", {}, number=4))

    # The second was built on the first: nobody but its sender knows what it says now.
    assert found is not None
    assert found.payload is None
    assert [applied.message_id for applied in found.corrections] == [id_of(second)]


def test_a_correction_of_a_correction_is_shown_to_those_who_were_sent_it() -> None:
    other = {"nation": "US", "agency": "US.CBP.NTC"}
    request = changed("assist.request", {"/header/to/-": other})
    first = patched("After", {"/header/to/-": other}, number=2)
    second = about(
        first,
        "gov.correction",
        {
            "/header/to": [request["header"]["to"][0]],
            "/payload/patches": [{"path": "/payload/patches/0/new", "new": "For one alone"}],
        },
        number=3,
    )
    memory = Memory().add(request, first, second)

    one = in_force(REQUEST_ID, memory, reader=READER, now_ms=LATER)
    stranger = in_force(REQUEST_ID, memory, reader="US.CBP.NTC", now_ms=LATER)

    assert one is not None
    assert one.payload is not None
    assert one.payload["subject"] == "For one alone"
    assert stranger is not None
    assert stranger.payload is not None
    assert stranger.payload["subject"] == "After"


def test_a_consent_is_told_as_it_was_last_corrected() -> None:
    asked = about(REQUEST, "gov.consent_request", {})
    decision = decided(asked)
    shorter = [{"path": "/payload/valid_until", "old": "2027-06-30", "new": "2026-12-31"}]
    found = told(asked, decision, about(decision, "gov.correction", {"/payload/patches": shorter}, number=3))

    assert found is not None
    (consent,) = found.consents
    assert (consent.decision, consent.valid_until) == ("GRANTED_WITH_CONDITIONS", "2026-12-31")


def test_a_consent_whose_decision_was_retracted_is_none() -> None:
    asked = about(REQUEST, "gov.consent_request", {})
    decision = decided(asked)
    retraction = about(decision, "gov.retraction", {}, number=3)
    found = told(asked, decision, retraction)

    assert found is not None
    (consent,) = found.consents
    assert (consent.decision, consent.conditions, consent.valid_until) == (None, (), None)
    assert consent.decision_id == id_of(decision)
    assert consent.retracted_by is not None
    assert consent.retracted_by.message_id == id_of(retraction)


def test_a_consent_whose_decision_was_erased_is_not_open_again() -> None:
    asked = about(REQUEST, "gov.consent_request", {})
    decision = decided(asked)
    memory = Memory().add(REQUEST, asked, decision)
    memory.erase(decision)

    found = in_force(REQUEST_ID, memory, reader=READER, now_ms=LATER)

    assert found is not None
    (consent,) = found.consents
    assert (consent.decision_id, consent.decision) == (id_of(decision), None)


def test_a_use_change_that_was_erased_is_named() -> None:
    change = about(REQUEST, "gov.use_change", {})
    memory = Memory().add(REQUEST, change)
    memory.erase(change)

    found = in_force(REQUEST_ID, memory, reader=READER, now_ms=LATER)

    # It has tightened something: the terms of the message as it was sent are not those in force.
    assert found is not None
    assert found.terms is not None
    assert (found.terms.changed_by, found.terms.erased) == ((), (id_of(change),))
