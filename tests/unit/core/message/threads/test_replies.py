"""Answers against what they answer, as a sender's and as a receiver's node see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.message.threads import Side, closes, uuid_bytes
from tests.unit.core.message.rules.samples import ABSENT, ROOT, changed, example
from tests.unit.core.message.threads.memory import (
    ALERT,
    ANSWERED,
    CATALOGUE,
    CONVERSATION,
    EXAMINATION,
    FIRST,
    REFERRAL,
    REQUEST,
    SECOND,
    SENDER,
    SEQ,
    Memory,
    ask,
    broken,
    follow_up,
    new_id,
    reply_to,
    result,
)

# --- The examples, replayed -----------------------------------------------------------


def examples(kind: str) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = [
        json.loads(file.read_bytes()) for file in sorted((ROOT / "schemas").glob(f"*/examples/{kind}-*.json"))
    ]
    return sorted(documents, key=lambda document: document["header"]["created_at"])


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_the_example_conversations_run_without_a_word(side: Side) -> None:
    memory = Memory()
    for document in examples("valid"):
        if document["type"] == "seizure.report/1":
            # It is the third of its sender; all three are among the examples.
            assert document["header"]["conversation"]["seq"] == 3
        said = ask(memory, document, side)
        assert (said.violations, said.flags) == ((), frozenset()), document["type"]
        memory.add(document)


STATEFUL_EXAMPLES = [
    ("assist.refusal", "invalid-rf-open-*", ("RF-OPEN", ANSWERED)),
    ("assist.reply", "invalid-rf-party-*", ("RF-PARTY", SENDER)),
    ("assist.reply", "invalid-rf-conv-*", ("RF-CONV", CONVERSATION)),
    ("assist.reply", "invalid-cx-reply-*", ("CX-REPLY", "/payload/answers")),
    ("inspect.result", "invalid-cx-inspect-*", ("CX-INSPECT", "/payload/container")),
    ("gov.feedback", "invalid-rf-theirs-*", ("RF-THEIRS", "/payload/about")),
    ("gov.use_change", "invalid-cx-usechange-*", ("CX-USECHANGE", "/payload/use/evidence")),
]


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize(("type_name", "pattern", "expected"), STATEFUL_EXAMPLES)
def test_each_invalid_example_is_refused(
    type_name: str, pattern: str, expected: tuple[str, str], side: Side
) -> None:
    (file,) = (ROOT / "schemas" / type_name / "examples").glob(pattern)
    document = json.loads(file.read_bytes())
    created_at = document["header"]["created_at"]
    memory = Memory().add(*(d for d in examples("valid") if d["header"]["created_at"] < created_at))

    assert expected in broken(memory, document, side)


# --- RF-DUP and RF-SEQ ----------------------------------------------------------------


def test_rf_dup_an_id_is_used_once_and_then_no_number_is_looked_at() -> None:
    memory = Memory().add(REQUEST)
    again = changed("assist.request", {SEQ: 7})

    assert broken(memory, REQUEST) == [("RF-DUP", "/header/message_id")]
    assert broken(memory, again, "receiver") == [("RF-DUP", "/header/message_id")]
    assert ask(memory, again, "receiver").flags == frozenset()


@pytest.mark.parametrize("seq", [1, 3, 100_000])
def test_rf_seq_the_sender_counts_without_a_gap_and_never_back(seq: int) -> None:
    memory = Memory().add(REQUEST)

    assert broken(memory, follow_up(seq)) == [("RF-SEQ", SEQ)]
    assert broken(memory, follow_up(2)) == []


def test_rf_seq_a_conversation_begins_with_one() -> None:
    assert broken(Memory(), follow_up(1)) == []
    assert broken(Memory(), follow_up(2)) == [("RF-SEQ", SEQ)]


def test_each_agency_counts_for_itself() -> None:
    memory = Memory().add(REQUEST)

    assert broken(memory, follow_up(1, "FR.DGDDI.SARC")) == []
    assert broken(memory, follow_up(2, "FR.DGDDI.SARC")) == [("RF-SEQ", SEQ)]


def test_a_gap_is_flagged_at_the_receiver_and_may_be_filled_later() -> None:
    memory = Memory().add(REQUEST)
    late, early = follow_up(2), follow_up(3)

    said = ask(memory, early, "receiver")
    assert (said.violations, said.flags) == ((), frozenset({"gap"}))

    memory.add(early)
    said = ask(memory, late, "receiver")
    assert (said.violations, said.flags) == ((), frozenset())
    # At the sender a number below the last is never right.
    assert broken(memory, late) == [("RF-SEQ", SEQ)]


# --- The five checks of a reply -------------------------------------------------------


def test_rf_open_a_reply_answers_a_message_that_exists() -> None:
    reply = reply_to(REQUEST, "assist.reply")

    assert broken(Memory(), reply) == [("RF-OPEN", ANSWERED)]
    assert broken(Memory().add(REQUEST), reply) == []


def test_rf_type_a_reply_answers_a_type_that_it_can_answer() -> None:
    memory = Memory().add(REFERRAL)

    assert broken(memory, reply_to(REFERRAL, "assist.reply")) == [("RF-TYPE", ANSWERED)]
    assert broken(memory, reply_to(REFERRAL, "target.disposition")) == []


def test_rf_conv_a_reply_stays_in_its_conversation() -> None:
    memory = Memory().add(REQUEST)
    stray = reply_to(REQUEST, "assist.reply", {CONVERSATION: new_id(99)})

    assert broken(memory, stray) == [("RF-CONV", CONVERSATION)]


def test_rf_party_only_who_was_asked_answers() -> None:
    memory = Memory().add(REQUEST)
    stranger = reply_to(REQUEST, "assist.reply", {SENDER: "US.CBP.NTC"})

    assert broken(memory, stranger) == [("RF-PARTY", SENDER)]


def test_every_addressee_may_answer() -> None:
    request = changed("assist.request", {"/header/to/-": {"nation": "US", "agency": "US.CBP.NTC"}})
    memory = Memory().add(request)

    assert broken(memory, reply_to(request, "assist.ack", {SENDER: "US.CBP.NTC", **AMERICAN_HANDLER})) == []
    assert broken(memory, reply_to(request, "assist.ack", AMERICAN_HANDLER)) == []


AMERICAN_HANDLER = {"/payload/handled_by": "US.ICE.HSI"}


def test_only_the_first_failure_of_a_reply_is_reported() -> None:
    memory = Memory().add(REFERRAL, reply_to(REFERRAL, "target.disposition"))
    everything = {CONVERSATION: new_id(99), SENDER: "FR.ONAF", "/header/purpose/code": "REVENUE_PROTECTION"}

    wrong_type = reply_to(REFERRAL, "assist.reply", everything, number=2)
    wrong_place = reply_to(REFERRAL, "assist.ack", everything, number=2)
    closed = reply_to(
        REFERRAL, "assist.ack", {**everything, CONVERSATION: conversation_of(REFERRAL)}, number=2
    )

    assert broken(memory, wrong_type, "receiver") == [("RF-TYPE", ANSWERED)]
    assert broken(memory, wrong_place, "receiver") == [("RF-CONV", CONVERSATION)]
    assert broken(memory, closed, "receiver") == [("RF-OPEN", ANSWERED)]


def conversation_of(document: dict[str, Any]) -> str:
    conversation_id: str = document["header"]["conversation"]["id"]
    return conversation_id


def test_a_link_to_a_thread_is_not_looked_up() -> None:
    link = changed("intel.spontaneous", {ANSWERED: new_id(77)})

    assert broken(Memory(), link) == []


def test_a_reply_type_without_in_reply_to_is_left_to_h05() -> None:
    assert broken(Memory(), changed("assist.refusal", {ANSWERED: ABSENT, SEQ: 1})) == []


# --- Open and closed ------------------------------------------------------------------


def closing(type_name: str, payload: dict[str, Any], request: dict[str, Any], *, number: int = 1) -> bool:
    changes = {f"/payload/{name}": value for name, value in payload.items()}
    memory = Memory().add(request)
    return closes(reply_to(request, type_name, changes, number=number), catalogue=CATALOGUE, threads=memory)


@pytest.mark.parametrize(
    ("type_name", "payload", "request_", "expected"),
    [
        ("assist.ack", {"status": "ACCEPTED"}, REQUEST, False),
        ("assist.reply", {"status": "PARTIAL"}, REQUEST, False),
        ("assist.reply", {"status": "FINAL"}, REQUEST, True),
        ("assist.refusal", {"kind": "REFUSED"}, REQUEST, True),
        ("assist.refusal", {"kind": "POSTPONED"}, REQUEST, False),
        ("assist.refusal", {"kind": "CONDITIONS_OFFERED"}, REQUEST, False),
        ("target.disposition", {"disposition": "PENDING"}, REFERRAL, False),
        ("target.disposition", {"disposition": "POSITIVE"}, REFERRAL, True),
        ("target.disposition", {"disposition": "NOT_SELECTED"}, REFERRAL, True),
        ("alert.response", {"outcome": "ACTION_UNDER_WAY"}, ALERT, False),
        ("alert.response", {"outcome": "ACTION_TAKEN"}, ALERT, True),
        ("match.result", {}, example("match.query"), True),
        ("ops.asset_response", {"answer": "NOT_AVAILABLE"}, example("ops.asset_request"), True),
        (
            "invest.controlled_delivery_decision",
            {"decision": "MORE_INFORMATION_NEEDED"},
            example("invest.controlled_delivery_request"),
            False,
        ),
        (
            "invest.controlled_delivery_decision",
            {"decision": "REFUSED"},
            example("invest.controlled_delivery_request"),
            True,
        ),
        ("alert.response", {"outcome": "TOO_LATE"}, example("marine.vessel_alert"), True),
        ("alert.response", {"outcome": "ACTION_UNDER_WAY"}, example("air.aircraft_alert"), False),
        ("marine.boarding_decision", {"decision": "REFUSED"}, example("marine.boarding_request"), True),
        ("arms.trace_result", {}, example("arms.trace_request"), True),
        ("fraud.verification_result", {}, example("fraud.verification_request"), True),
        ("fin.trade_mirror", {}, example("fin.trade_mirror"), False),
        ("invest.joint_case", {}, example("invest.joint_case"), False),
        ("gov.consent_decision", {"decision": "DENIED"}, example("gov.consent_request"), True),
        ("gov.deletion_certificate", {}, example("gov.retraction"), True),
    ],
)
def test_what_closes_a_request(
    type_name: str, payload: dict[str, Any], request_: dict[str, Any], expected: bool
) -> None:
    assert closing(type_name, payload, request_) is expected


def test_a_message_that_answers_nothing_closes_nothing() -> None:
    assert not closes(REQUEST, catalogue=CATALOGUE, threads=Memory())
    link = changed("seizure.report", {ANSWERED: REQUEST["header"]["message_id"]})
    assert not closes(link, catalogue=CATALOGUE, threads=Memory().add(REQUEST))


def test_an_examination_closes_once_every_container_has_a_result() -> None:
    memory = Memory().add(EXAMINATION)
    first, again, second = result(FIRST, 1), result(FIRST, 2), result(SECOND, 3)

    assert not closes(first, catalogue=CATALOGUE, threads=memory)
    memory.add(first)
    assert not closes(again, catalogue=CATALOGUE, threads=memory)
    memory.add(again)
    assert closes(second, catalogue=CATALOGUE, threads=memory)


def test_an_erased_examination_request_is_closed_by_no_result() -> None:
    memory = Memory().add(EXAMINATION, result(FIRST, 1))
    memory.erase(EXAMINATION)

    assert not closes(result(SECOND, 2), catalogue=CATALOGUE, threads=memory)


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize("late", ["assist.ack", "assist.reply"])
def test_rf_open_nothing_answers_what_is_closed_not_even_an_acknowledgement(late: str, side: Side) -> None:
    memory = Memory().add(REQUEST, reply_to(REQUEST, "assist.reply", {"/payload/status": "FINAL"}))

    assert broken(memory, reply_to(REQUEST, late, number=2), side) == [("RF-OPEN", ANSWERED)]


def cancellation(request: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the message by which the nation that asked takes its request back."""
    header = request["header"]
    return changed(
        "assist.cancel",
        {
            "/header/message_id": new_id(50),
            "/header/from": header["from"],
            "/header/to": header["to"],
            "/header/conversation": {
                "id": header["conversation"]["id"],
                "pattern": header["conversation"]["pattern"],
                "seq": 2,
                "in_reply_to": header["message_id"],
            },
        }
        | changes,
    )


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_rf_own_a_nation_cancels_what_it_has_asked_itself(side: Side) -> None:
    memory = Memory().add(REQUEST)
    refused = [("RF-OWN", ANSWERED)]

    assert broken(memory, cancellation(REQUEST), side) == []
    superior = cancellation(REQUEST, **{SENDER: "FR.DGDDI", SEQ: 1})
    assert broken(memory, superior, side) == []
    for agency in ("FR.DGDDI.SARC", "US.ICE.HSI"):
        changes = {SENDER: agency, "/header/from/nation": agency[:2], SEQ: 1}
        assert broken(memory, cancellation(REQUEST, **changes), side) == refused, agency
    # What is not known is not compared, and neither is its purpose.
    stray = cancellation(REQUEST, **{ANSWERED: new_id(77), "/header/purpose/code": "EVENT_SECURITY"})
    assert broken(memory, stray, side) == []
    assert broken(memory, cancellation(REQUEST, **{ANSWERED: ABSENT}), side) == []


def test_a_reply_that_crossed_a_cancellation_is_flagged_at_the_receiver_and_refused_at_the_sender() -> None:
    memory = Memory().add(REQUEST, cancellation(REQUEST))
    reply = reply_to(REQUEST, "assist.reply")

    said = ask(memory, reply, "receiver")
    assert (said.violations, said.flags) == ((), frozenset({"crossed"}))
    assert broken(memory, reply, "sender") == [("RF-OPEN", ANSWERED)]


def test_a_reply_that_crossed_still_comes_from_one_who_was_asked() -> None:
    memory = Memory().add(REQUEST, cancellation(REQUEST))
    stranger = reply_to(REQUEST, "assist.reply", {SENDER: "US.CBP.NTC"})

    assert broken(memory, stranger, "receiver") == [("RF-PARTY", SENDER)]


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_the_second_deconfliction_notice_closes_the_first(side: Side) -> None:
    notice, answer = example("invest.deconfliction"), example("invest.deconfliction", number=1)
    memory = Memory().add(notice, answer)
    third = changed("invest.deconfliction", {"/header/message_id": new_id(51), SEQ: 2}, number=1)

    assert closes(answer, catalogue=CATALOGUE, threads=Memory().add(notice))
    assert not closes(notice, catalogue=CATALOGUE, threads=Memory())
    assert broken(memory, third, side) == [("RF-OPEN", ANSWERED)]


# --- A transferred request ------------------------------------------------------------


def transfer(to_agency: str, *, number: int = 1, from_agency: str = "US.ICE.HSI") -> dict[str, Any]:
    return reply_to(
        REQUEST,
        "assist.ack",
        {
            "/payload/status": "TRANSFERRED",
            "/payload/handled_by": to_agency,
            "/header/message_id": new_id(200 + number),
            SEQ: number,
            SENDER: from_agency,
        },
    )


def answer_of(agency: str, *, seq: int) -> dict[str, Any]:
    return reply_to(REQUEST, "assist.reply", {SENDER: agency, SEQ: seq})


def test_after_a_transfer_the_named_agency_answers_and_the_first_one_does_not() -> None:
    memory = Memory().add(REQUEST, transfer("US.CBP.NTC"))

    assert broken(memory, answer_of("US.CBP.NTC", seq=1)) == []
    assert broken(memory, answer_of("US.ICE.HSI", seq=2)) == [("RF-PARTY", SENDER)]
    assert broken(memory, answer_of("US.CBP.OT", seq=1)) == [("RF-PARTY", SENDER)]


def test_a_request_may_be_transferred_on_and_back() -> None:
    memory = Memory().add(
        REQUEST,
        transfer("US.CBP.NTC"),
        transfer("US.CBP.OT", number=2, from_agency="US.CBP.NTC"),
    )
    assert broken(memory, answer_of("US.CBP.NTC", seq=3)) == [("RF-PARTY", SENDER)]
    assert broken(memory, answer_of("US.CBP.OT", seq=1)) == []

    memory.add(transfer("US.ICE.HSI", number=3, from_agency="US.CBP.OT"))
    assert broken(memory, answer_of("US.ICE.HSI", seq=2)) == []


def test_an_agency_that_keeps_the_request_stays_a_party() -> None:
    memory = Memory().add(REQUEST, transfer("US.ICE.HSI"))

    assert broken(memory, answer_of("US.ICE.HSI", seq=2)) == []


HANDLERS = ["US.ICE.HSI", "US.CBP.NTC", "US.CBP.OT"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(HANDLERS), st.sampled_from(["ACCEPTED", "TRANSFERRED"]), st.sampled_from(HANDLERS)
        ),
        max_size=8,
    )
)
@settings(deadline=None)
def test_whoever_holds_a_request_after_any_acknowledgements_may_answer_and_nobody_else(
    history: list[tuple[str, str, str]],
) -> None:
    memory, holders = Memory().add(REQUEST), {"US.ICE.HSI"}
    for number, (agency, status, handler) in enumerate(history, start=1):
        if agency not in holders:
            continue
        acknowledgement = transfer(handler, number=number, from_agency=agency)
        acknowledgement["payload"]["status"] = status
        memory.add(acknowledgement)
        if status == "TRANSFERRED":
            holders = (holders - {agency}) | {handler}

    may = {a for a in HANDLERS if ("RF-PARTY", SENDER) not in broken(memory, answer_of(a, seq=9))}
    assert may == holders


def test_of_a_request_that_is_acknowledged_again_and_again_only_the_newest_is_opened() -> None:
    def again(number: int) -> dict[str, Any]:
        acknowledgement = transfer("US.CBP.NTC", number=1 + number, from_agency="US.CBP.NTC")
        acknowledgement["payload"]["status"] = "ACCEPTED"
        acknowledgement["header"]["conversation"]["seq"] = number
        return acknowledgement

    memory = Memory().add(REQUEST, transfer("US.CBP.NTC"), *map(again, range(1, 100)))
    memory.opened.clear()

    assert broken(memory, again(100)) == []

    newest = uuid_bytes(again(99)["header"]["message_id"])
    assert set(memory.opened) == {newest}


@pytest.mark.parametrize("status", ["ACCEPTED", "MORE_INFORMATION_NEEDED", "RECEIVED_ONLY"])
def test_any_other_acknowledgement_transfers_nothing(status: str) -> None:
    acknowledgement = transfer("US.CBP.NTC")
    acknowledgement["payload"]["status"] = status
    memory = Memory().add(REQUEST, acknowledgement)

    assert broken(memory, answer_of("US.ICE.HSI", seq=2)) == []
    assert broken(memory, answer_of("US.CBP.NTC", seq=1)) == [("RF-PARTY", SENDER)]
