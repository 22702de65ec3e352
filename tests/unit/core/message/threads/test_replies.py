"""Answers against what they answer, as a sender's and as a receiver's node see it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.message.instants import instant_ms
from gateway.core.message.threads import Side, closes
from tests.unit.core.message.rules.samples import ABSENT, ROOT, changed, example, stamp
from tests.unit.core.message.threads.memory import (
    ALERT,
    ANSWERED,
    CATALOGUE,
    CONVERSATION,
    EXAMINATION,
    REFERRAL,
    REQUEST,
    SENDER,
    SEQ,
    Memory,
    about,
    ask,
    broken,
    new_id,
    reply_to,
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
    documents = examples("valid")
    opened = {document["header"]["message_id"] for document in documents}
    for document in documents:
        if document["header"]["conversation"]["id"] not in opened:
            continue  # what opens its conversation, an operation room, has no type yet
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


def follow_up(number: int, agency: str = "FR.DGDDI.DNRED") -> dict[str, Any]:
    return changed(
        "intel.spontaneous",
        {
            "/header/message_id": new_id(number),
            CONVERSATION: REQUEST["header"]["conversation"]["id"],
            SEQ: number,
            SENDER: agency,
        },
    )


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


def result(container: str, number: int) -> dict[str, Any]:
    return reply_to(EXAMINATION, "inspect.result", {"/payload/container": container}, number=number)


FIRST, SECOND = (container["number"] for container in EXAMINATION["payload"]["consignment"]["containers"])


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


@pytest.mark.parametrize("status", ["ACCEPTED", "MORE_INFORMATION_NEEDED", "RECEIVED_ONLY"])
def test_any_other_acknowledgement_transfers_nothing(status: str) -> None:
    acknowledgement = transfer("US.CBP.NTC")
    acknowledgement["payload"]["status"] = status
    memory = Memory().add(REQUEST, acknowledgement)

    assert broken(memory, answer_of("US.ICE.HSI", seq=2)) == []
    assert broken(memory, answer_of("US.CBP.NTC", seq=1)) == [("RF-PARTY", SENDER)]


# --- What a reply owes to its request -------------------------------------------------


def test_pu04_a_reply_keeps_the_purpose_of_its_request() -> None:
    memory = Memory().add(REQUEST)
    other = {"/header/purpose/code": "CRIMINAL_INVESTIGATION"}

    assert broken(memory, reply_to(REQUEST, "assist.reply")) == []
    assert broken(memory, reply_to(REQUEST, "assist.reply", other)) == [("PU-04", "/header/purpose/code")]
    # The areas may differ, and an acknowledgement may have any purpose.
    assert broken(memory, reply_to(REQUEST, "assist.reply", {"/header/purpose/areas": ["ARMS"]})) == []
    assert broken(memory, reply_to(REQUEST, "assist.ack", other)) == []


def test_h08_a_reply_may_be_flash_if_its_request_was() -> None:
    calm = reply_to(REQUEST, "assist.reply", {"/header/precedence": "FLASH"})
    # No type of this catalogue allows FLASH and takes an assist.reply, so the request is made FLASH.
    urgent = changed("assist.request", {"/header/precedence": "FLASH"})

    assert broken(Memory().add(REQUEST), calm) == [("H-08", "/header/precedence")]
    assert broken(Memory().add(urgent), calm) == []


def test_a_response_may_be_flash_to_any_alert() -> None:
    memory = Memory().add(changed("alert.urgent", {"/header/precedence": "IMMEDIATE"}))

    assert broken(memory, reply_to(ALERT, "alert.response", {"/header/precedence": "FLASH"})) == []


REPLY_BY = instant_ms(REFERRAL["header"]["reply_by"])


@pytest.mark.parametrize("status", ["ACCEPTED", "RECEIVED_ONLY"])
def test_cx_ack_who_will_be_late_says_why(status: str) -> None:
    memory = Memory().add(REFERRAL)

    def acknowledgement(expected_by: int, **more: object) -> dict[str, Any]:
        changes = {"/payload/expected_by": stamp(expected_by), "/payload/status": status}
        return reply_to(
            REFERRAL, "assist.ack", changes | {f"/payload/{name}": value for name, value in more.items()}
        )

    assert broken(memory, acknowledgement(REPLY_BY)) == []
    assert broken(memory, acknowledgement(REPLY_BY + 1)) == [("CX-ACK", "/payload/expected_by")]
    assert broken(memory, acknowledgement(REPLY_BY + 1, delay_reason="Storm.")) == []


def test_without_a_deadline_nothing_is_late() -> None:
    request = changed("target.cargo_referral", {"/header/reply_by": ABSENT})
    late = reply_to(request, "assist.ack", {"/payload/expected_by": "2029-01-01T00:00:00Z"})

    assert broken(Memory().add(request), late) == []


def part(number: int, *, seq: int | None = None) -> dict[str, Any]:
    return reply_to(REQUEST, "assist.reply", {"/payload/part": number}, number=seq or number)


def test_cx_reply_parts_run_one_two_three() -> None:
    memory = Memory().add(REQUEST)
    assert broken(memory, part(2, seq=1)) == [("CX-REPLY", "/payload/part")]
    assert broken(memory, part(1)) == []

    memory.add(part(1))
    assert broken(memory, part(2)) == []
    assert broken(memory, part(1, seq=2)) == [("CX-REPLY", "/payload/part")]
    assert broken(memory, part(3, seq=2)) == [("CX-REPLY", "/payload/part")]


def test_other_replies_do_not_count_as_parts() -> None:
    memory = Memory().add(REQUEST, reply_to(REQUEST, "assist.ack", number=1), part(1, seq=2))

    assert broken(memory, part(2, seq=3)) == []


def test_an_erased_part_still_counts() -> None:
    first = part(1)
    memory = Memory().add(REQUEST, first)
    memory.erase(first)

    assert broken(memory, part(2)) == []
    assert broken(memory, part(1, seq=2)) == [("CX-REPLY", "/payload/part")]


def answering(*questions: int) -> dict[str, Any]:
    answers = [{"q": question, "text": "Yes."} for question in questions]
    return reply_to(REQUEST, "assist.reply", {"/payload/answers": answers})


def test_cx_reply_only_questions_that_were_asked_are_answered() -> None:
    memory = Memory().add(REQUEST)
    assert len(REQUEST["payload"]["questions"]) == 3

    assert broken(memory, answering(1, 3)) == []
    assert broken(memory, answering()) == []
    assert broken(memory, answering(1, 4)) == [("CX-REPLY", "/payload/answers")]


def test_questions_of_an_erased_request_cannot_be_counted() -> None:
    memory = Memory().add(REQUEST)
    memory.erase(REQUEST)

    assert broken(memory, answering(30)) == []


def test_cx_inspect_the_container_is_one_of_the_request() -> None:
    memory = Memory().add(EXAMINATION)

    assert broken(memory, result(FIRST, 1)) == []
    assert broken(memory, result("CSQU3054383", 1)) == [("CX-INSPECT", "/payload/container")]
    memory.erase(EXAMINATION)
    assert broken(memory, result("CSQU3054383", 1)) == []


BOARDING = changed("marine.boarding_request", {"/payload/authorise": ["BOARD", "SEARCH"]})


def decision(*steps: str) -> dict[str, Any]:
    return reply_to(BOARDING, "marine.boarding_decision", {"/payload/steps": list(steps)})


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_cx_boarddec_no_step_is_decided_that_was_not_asked_for(side: Side) -> None:
    memory = Memory().add(BOARDING)
    refused = [("CX-BOARDDEC", "/payload/steps")]

    for steps in ((), ("BOARD",), ("BOARD", "SEARCH"), ("SEARCH", "BOARD")):
        assert broken(memory, decision(*steps), side) == [], steps
    for steps in (("DETAIN",), ("BOARD", "SEARCH", "DETAIN")):
        assert broken(memory, decision(*steps), side) == refused, steps
    memory.erase(BOARDING)
    assert broken(memory, decision("DETAIN"), side) == []


QUERY = example("match.query")


def results(*indexes: int) -> dict[str, Any]:
    entries = [{"idx": index, "outcome": "NO_HIT"} for index in indexes]
    return reply_to(QUERY, "match.result", {"/payload/results": entries})


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_cx_results_there_is_exactly_one_result_for_each_token(side: Side) -> None:
    memory = Memory().add(QUERY)
    assert [token["idx"] for token in QUERY["payload"]["tokens"]] == [0, 1, 2]
    refused = [("CX-RESULTS", "/payload/results")]

    assert broken(memory, results(0, 1, 2), side) == []
    assert broken(memory, results(2, 0, 1), side) == []
    for indexes in ((0, 1), (0, 1, 2, 3), (0, 1, 3), (0, 1, 2, 2), (0, 1, 1)):
        assert broken(memory, results(*indexes), side) == refused, indexes
    memory.erase(QUERY)
    assert broken(memory, results(7), side) == []


def test_an_answer_fits_its_request_as_sent_or_as_corrected() -> None:
    number = EXAMINATION["payload"]["consignment"]["containers"][0]["number"]
    patches = [{"path": "/payload/consignment/containers/0/number", "old": number, "new": "MSKU6011672"}]
    correction = about(EXAMINATION, "gov.correction", {"/payload/patches": patches}, number=2)
    memory = Memory().add(EXAMINATION)

    assert broken(memory, result("MSKU6011672", 1)) == [("CX-INSPECT", "/payload/container")]
    memory.add(correction)
    assert broken(memory, result("MSKU6011672", 1)) == []
    assert broken(memory, result(number, 1)) == []
    assert broken(memory, result("CSQU3054383", 1)) == [("CX-INSPECT", "/payload/container")]
    # What is in force says when every container has a result.
    memory.add(result("MSKU6011672", 1))
    assert closes(result(SECOND, 2), catalogue=CATALOGUE, threads=memory)


def test_what_a_reply_owes_is_examined_only_if_it_is_a_fitting_reply() -> None:
    memory = Memory().add(EXAMINATION)
    stray = result("CSQU3054383", 1)
    stray["header"]["from"]["agency"] = "FR.ONAF"
    stray["header"]["purpose"]["code"] = "REVENUE_PROTECTION"

    assert broken(memory, stray) == [("RF-PARTY", SENDER)]


def test_most_messages_open_no_stored_content() -> None:
    memory = Memory().add(REFERRAL)
    ask(memory, reply_to(REFERRAL, "assist.ack"))
    ask(memory, reply_to(REFERRAL, "target.disposition"))
    ask(memory, follow_up(1))

    assert memory.opened == []


def test_violations_carry_the_rules_wording_in_both_languages() -> None:
    (violation,) = ask(Memory(), reply_to(REQUEST, "assist.reply")).violations

    assert violation.text("en").startswith("A reply answers a message")
    assert violation.text("fr").startswith("Une réponse répond")
