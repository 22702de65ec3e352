"""What an answer owes to its request, and what it closes by that."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.message.instants import instant_ms
from gateway.core.message.threads import Side, closes
from tests.unit.core.message.rules.samples import ABSENT, changed, example, stamp
from tests.unit.core.message.threads.memory import (
    ALERT,
    CATALOGUE,
    EXAMINATION,
    FIRST,
    REFERRAL,
    REQUEST,
    SECOND,
    SENDER,
    Memory,
    about,
    ask,
    broken,
    follow_up,
    reply_to,
    result,
)


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
    for more in (("DETAIN",), ("BOARD", "SEARCH", "DETAIN")):
        assert broken(memory, decision(*more), side) == refused, more
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
