"""A violation says what to mend, in the reader's language."""

from __future__ import annotations

import pytest

from gateway.core.message.violation import Violation, pointer_to
from gateway.core.message.wording import Wording


def test_the_reader_chooses_the_language() -> None:
    violation = Violation(rule="H-02", pointer="/header/expires_at", wording=Wording(en="late", fr="tard"))

    assert (violation.text("en"), violation.text("fr")) == ("late", "tard")


def test_facts_fill_both_languages() -> None:
    assert Wording(en="at most {n}", fr="au plus {n}").fill(n="3") == Wording(en="at most 3", fr="au plus 3")


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        ((), ""),
        (("payload", "persons", 0, "dob"), "/payload/persons/0/dob"),
        (("a/b", "m~n", ""), "/a~1b/m~0n/"),
    ],
)
def test_pointers_follow_rfc_6901(steps: tuple[str | int, ...], pointer: str) -> None:
    assert pointer_to(*steps) == pointer
