"""CX-PATCH and the values in force."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.message.threads import Side, examine_thread, uuid_bytes
from gateway.core.message.threads.corrections import MAX_DEPTH, apply_patches, corrected, versions
from tests.unit.core.message.rules.samples import ABSENT, changed, example
from tests.unit.core.message.threads.memory import CATALOGUE, REQUEST, Memory, about, broken, new_id

SIDES: list[Side] = ["sender", "receiver"]
PATCHES = "/payload/patches"
SUBJECT = "/payload/subject"


def patch(path: str, **values: Any) -> dict[str, Any]:
    return {"path": path, **values}


def correction(*patches: dict[str, Any], target: dict[str, Any] = REQUEST, number: int = 2) -> dict[str, Any]:
    """Return a correction of a message, by default the second message of the sender of the request."""
    return about(target, "gov.correction", {PATCHES: list(patches)}, number=number)


def said(*patches: dict[str, Any], side: Side = "sender") -> list[str]:
    """Return the pointers at which a correction of the request breaks CX-PATCH, and nothing else."""
    found = broken(Memory().add(REQUEST), correction(*patches), side)
    assert {rule for rule, _ in found} <= {"CX-PATCH"}
    return [pointer for _, pointer in found]


BEFORE: str = REQUEST["payload"]["subject"]
QUESTIONS: list[str] = REQUEST["payload"]["questions"]


@pytest.mark.parametrize("side", SIDES)
def test_the_old_value_is_what_stands_there(side: Side) -> None:
    assert said(patch(SUBJECT, old=BEFORE, new="After"), side=side) == []
    assert said(patch(SUBJECT, old="Another", new="After"), side=side) == [f"{PATCHES}/0/old"]
    # Without an old value nothing is compared.
    assert said(patch(SUBJECT, new="After"), side=side) == []
    assert said(patch("/payload/unsaid", old="x", new="y"), side=side) == [f"{PATCHES}/0/old"]


def test_true_is_not_one() -> None:
    path = "/payload/persons_may_be_alerted"
    value: bool = REQUEST["payload"]["persons_may_be_alerted"]

    assert said(patch(path, old=value, new=not value)) == []
    assert said(patch(path, old=int(value), new=not value)) == [f"{PATCHES}/0/old"]


@pytest.mark.parametrize("path", ["/payload/nowhere/at/all", "/payload/subject/x", "/payload/questions/x/y"])
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    assert said(patch(path, new="x")) == [f"{PATCHES}/0/path"]


@pytest.mark.parametrize("side", SIDES)
def test_an_index_is_one_that_exists(side: Side) -> None:
    last = len(QUESTIONS) - 1

    assert said(patch(f"/payload/questions/{last}", new="Who?"), side=side) == []
    for index in (last + 1, "00", "x", "1_0"):
        assert said(patch(f"/payload/questions/{index}", new="Who?"), side=side) == [f"{PATCHES}/0/path"], (
            index
        )


def test_a_new_member_may_be_made_and_a_missing_one_not_removed() -> None:
    absent = changed("assist.request", {"/payload/procedure_wanted": ABSENT})
    memory = Memory().add(absent)

    made = correction(patch("/payload/procedure_wanted", new="Certified copy."), target=absent)
    removed = correction(patch("/payload/procedure_wanted"), target=absent)

    assert broken(memory, made) == []
    assert broken(memory, removed) == [("CX-PATCH", f"{PATCHES}/0/path")]


def test_without_a_new_value_the_value_goes() -> None:
    memory = Memory().add(REQUEST, correction(patch("/payload/questions/0", old=QUESTIONS[0])))

    now = corrected(uuid_bytes(REQUEST["header"]["message_id"]), memory)

    assert now is not None
    assert now["payload"]["questions"] == QUESTIONS[1:]
    assert REQUEST["payload"]["questions"] == QUESTIONS


def test_each_patch_is_tried_and_sees_those_before_it() -> None:
    found = said(
        patch(SUBJECT, old="Another", new="x"),
        patch(SUBJECT, old=BEFORE, new="One"),
        patch("/payload/nowhere/x", new="y"),
        patch(SUBJECT, old="One", new="Two"),
    )

    assert found == [f"{PATCHES}/0/old", f"{PATCHES}/2/path"]


@pytest.mark.parametrize("side", SIDES)
def test_the_corrected_message_satisfies_its_schema(side: Side) -> None:
    longest = CATALOGUE.type("assist.request/1").schema["properties"]["payload"]["properties"]["subject"]
    limit = longest["maxLength"]

    assert said(patch(SUBJECT, new="x" * limit), side=side) == []
    assert said(patch(SUBJECT, new="x" * (limit + 1)), side=side) == [PATCHES]
    assert said(patch(SUBJECT), side=side) == [PATCHES]
    assert said(patch("/payload/unknown", new="x"), side=side) == [PATCHES]


@pytest.mark.parametrize("side", SIDES)
def test_the_corrected_message_satisfies_the_rules(side: Side) -> None:
    seizure = example("seizure.report")
    memory = Memory().add(seizure)
    created = seizure["header"]["created_at"]

    def found(at: str) -> list[tuple[str, str]]:
        document = correction(patch("/payload/seized_at", new=at), target=seizure, number=4)
        return broken(memory, document, side)

    memory.documents |= {uuid_bytes(new_id(n)): numbered(seizure, n) for n in (1, 2)}
    assert found(created) == []
    assert found("2031-01-01T00:00:00Z") == [("CX-PATCH", PATCHES)]


def numbered(document: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a message of the same sender and conversation with an earlier number."""
    return changed(
        document["type"].removesuffix("/1"),
        {"/header/message_id": new_id(number), "/header/conversation/seq": number},
    )


def test_the_rules_are_asked_as_of_the_day_the_target_was_created() -> None:
    # Its delivery time is long over when it is corrected.
    late = correction(patch(SUBJECT, new="After"))
    late["header"]["created_at"] = "2030-01-01T00:00:00.000Z"

    assert broken(Memory().add(REQUEST), late) == []


# --- Corrections of corrections --------------------------------------------------------


def test_a_correction_takes_the_value_as_last_corrected() -> None:
    memory = Memory().add(REQUEST, correction(patch(SUBJECT, old=BEFORE, new="One")))

    again = correction(patch(SUBJECT, old="One", new="Two"), number=3)
    stale = correction(patch(SUBJECT, old=BEFORE, new="Two"), number=3)

    assert broken(memory, again) == []
    assert broken(memory, stale) == [("CX-PATCH", f"{PATCHES}/0/old")]


@pytest.mark.parametrize("side", SIDES)
def test_a_correction_can_be_corrected(side: Side) -> None:
    first = correction(patch(SUBJECT, old=BEFORE, new="One"))
    memory = Memory().add(REQUEST, first)
    second = correction(patch(f"{PATCHES}/0/new", old="One", new="Two"), target=first, number=3)

    assert broken(memory, second, side) == []
    now = corrected(uuid_bytes(REQUEST["header"]["message_id"]), memory.add(second))
    assert now is not None
    assert now["payload"]["subject"] == "Two"


def test_what_a_corrected_correction_corrects_stays_good() -> None:
    first = correction(patch(SUBJECT, old=BEFORE, new="One"))
    memory = Memory().add(REQUEST, first)

    def found(*patches: dict[str, Any]) -> list[tuple[str, str]]:
        return broken(memory, correction(*patches, target=first, number=3))

    assert found(patch(f"{PATCHES}/0/new", new="x" * 1_000)) == [("CX-PATCH", PATCHES)]
    assert found(patch(f"{PATCHES}/0/path", new="/payload/nowhere/x")) == [("CX-PATCH", PATCHES)]
    assert found(patch(f"{PATCHES}/0/old", new="Another")) == [("CX-PATCH", PATCHES)]
    assert found(patch("/payload/reason", new="Misread.")) == []


def test_a_correction_that_others_build_on_keeps_what_they_built_on() -> None:
    first = correction(patch(SUBJECT, old=BEFORE, new="One"))
    second = correction(patch(SUBJECT, old="One", new="Two"), number=3)
    memory = Memory().add(REQUEST, first, second)

    changed_below = correction(patch(f"{PATCHES}/0/new", new="Other"), target=first, number=4)
    changed_above = correction(patch(f"{PATCHES}/0/new", new="Other"), target=second, number=4)

    assert broken(memory, changed_below) == [("CX-PATCH", PATCHES)]
    assert broken(memory, changed_above) == []


def test_corrections_of_corrections_are_followed_only_so_deep() -> None:
    target, memory = REQUEST, Memory().add(REQUEST)
    path = SUBJECT
    accepted = 0
    for number in range(2, MAX_DEPTH + 6):
        document = correction(patch(path, new="Deeper"), target=target, number=number)
        if broken(memory, document):
            assert broken(memory, document) == [("CX-PATCH", PATCHES)]
            break
        accepted += 1
        memory.add(document)
        target, path = document, "/payload/reason"
    assert accepted == MAX_DEPTH + 2


# --- Erased, and the values in force ---------------------------------------------------


def test_what_was_erased_cannot_be_compared() -> None:
    first = correction(patch(SUBJECT, old=BEFORE, new="One"))
    second = correction(patch(SUBJECT, old="Whatever", new="Two"), number=3)

    memory = Memory().add(REQUEST)
    memory.erase(REQUEST)
    assert broken(memory, correction(patch(SUBJECT, old="Whatever", new="Two"))) == []
    assert corrected(uuid_bytes(REQUEST["header"]["message_id"]), memory) is None

    memory = Memory().add(REQUEST, first)
    memory.erase(first)
    assert broken(memory, second) == []
    assert corrected(uuid_bytes(REQUEST["header"]["message_id"]), memory) is REQUEST


@pytest.mark.parametrize("deletes", [True, False])
def test_a_correction_that_was_retracted_says_nothing_any_more(deletes: bool) -> None:
    first = correction(patch(SUBJECT, old=BEFORE, new="One"))
    retraction = about(first, "gov.retraction", {"/payload/delete": deletes}, number=3)
    memory = Memory().add(REQUEST, first, retraction)
    if deletes:
        memory.erase(first)

    assert corrected(uuid_bytes(REQUEST["header"]["message_id"]), memory) is REQUEST
    assert broken(memory, correction(patch(SUBJECT, old=BEFORE, new="Two"), number=4)) == []
    stale = correction(patch(SUBJECT, old="One", new="Two"), number=4)
    assert broken(memory, stale) == [("CX-PATCH", f"{PATCHES}/0/old")]


def test_a_message_that_was_never_corrected_is_given_as_it_is() -> None:
    memory = Memory().add(REQUEST)
    message_id = uuid_bytes(REQUEST["header"]["message_id"])

    assert corrected(message_id, memory) is REQUEST
    assert versions(message_id, memory) == [REQUEST]
    memory.add(correction(patch(SUBJECT, new="After")))
    sent, now = versions(message_id, memory)
    assert (sent["payload"]["subject"], now["payload"]["subject"]) == (BEFORE, "After")


def test_a_value_that_was_set_is_a_copy() -> None:
    document: dict[str, Any] = {"payload": {"a": [1]}}
    patches: list[dict[str, Any]] = [{"path": "/payload/b", "new": [2]}, {"path": "/payload/b/0", "new": 3}]

    assert apply_patches(document, patches) == []
    assert document == {"payload": {"a": [1], "b": [3]}}
    assert patches[0]["new"] == [2]


@pytest.mark.parametrize("side", SIDES)
def test_a_refusal_says_what_the_corrected_message_itself_breaks(side: Side) -> None:
    memory = Memory().add(REQUEST)
    by_schema = correction(patch(SUBJECT, new=""))
    by_rule = correction(patch("/payload/urgency", new="URGENT_DIRECT"))

    (empty,), urgent = (
        examine_thread(item, catalogue=CATALOGUE, threads=memory, side=side).violations
        for item in (by_schema, by_rule)
    )

    assert (empty.rule, empty.pointer) == ("CX-PATCH", PATCHES)
    assert (
        "The corrected message breaks SCHEMA at /payload/subject: Subject (subject): expected"
        in empty.text("en")
    )
    assert "Le message rectifié enfreint SCHEMA à /payload/subject : Objet (subject)" in empty.text("fr")
    assert [item.rule for item in urgent] == ["CX-PATCH"]
    assert "CX-URGENCY at /payload/urgency_reason: An urgent request says why" in urgent[0].text("en")
    assert "URGENT_DIRECT at" not in urgent[0].text("en")
