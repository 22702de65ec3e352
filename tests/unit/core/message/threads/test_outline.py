"""What a node keeps of a message until its conversation was asked.

That it is enough is what every other test of this folder asks as well: `memory.ask` holds the
outline of each of its messages against the same conversation.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from gateway.core.message.threads import effects_of, examine_thread, outline_of, subjects_of
from scripts._traffic import example_messages
from tests.unit.core.message.threads.memory import CATALOGUE, REFERRAL, Memory, reply_to

EXAMPLES: list[dict[str, Any]] = list(example_messages())


@pytest.mark.parametrize("document", EXAMPLES, ids=lambda document: str(document["type"]))
def test_conversations_judge_an_outline_as_they_judge_the_message(document: dict[str, Any]) -> None:
    memory = Memory().add(*(example for example in EXAMPLES if example is not document))
    before = deepcopy(document)

    outline = outline_of(document)

    assert document == before
    for side in ("sender", "receiver"):
        said = examine_thread(document, catalogue=CATALOGUE, threads=memory, side=side)
        assert examine_thread(outline, catalogue=CATALOGUE, threads=memory, side=side) == said
    assert effects_of(outline, catalogue=CATALOGUE, threads=memory) == effects_of(
        document, catalogue=CATALOGUE, threads=memory
    )


def test_of_a_message_that_begins_a_conversation_neither_payload_nor_most_of_the_header_is_kept() -> None:
    outline = outline_of(REFERRAL)

    assert outline.keys() == {"type", "header"}
    assert outline["header"].keys() <= {"message_id", "created_at", "from", "conversation", "operation"}


def test_an_answer_and_what_is_about_another_message_stay_whole() -> None:
    answer = reply_to(REFERRAL, "target.disposition")
    abouts = [example for example in EXAMPLES if subjects_of(example) and "gov." in example["type"]]

    assert outline_of(answer) is answer
    assert abouts
    assert all(outline_of(document) is document for document in abouts)
