from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

ASSESSMENT = "/payload/assessment"
LIKELIHOOD = "/payload/likelihood"
CONFIDENCE = "/payload/confidence"


@pytest.mark.parametrize("missing", [[LIKELIHOOD], [CONFIDENCE], [LIKELIHOOD, CONFIDENCE]])
def test_cx_assess_a_judgement_is_graded(missing: list[str]) -> None:
    message = changed("intel.spontaneous", dict.fromkeys(missing, ABSENT))

    assert verdict(message) == {("CX-ASSESS", ASSESSMENT)}


def test_facts_without_a_judgement_need_no_grade() -> None:
    message = changed("intel.spontaneous", dict.fromkeys((ASSESSMENT, LIKELIHOOD), ABSENT))

    assert verdict(message) == set()


@pytest.mark.parametrize(
    ("precedence", "broken"), [("FLASH", False), ("IMMEDIATE", False), ("PRIORITY", True), ("ROUTINE", True)]
)
def test_cx_alert_an_alert_travels_fast(precedence: str, broken: bool) -> None:
    pointer = "/header/precedence"

    assert verdict(changed("alert.urgent", {pointer: precedence})) == (
        {("CX-ALERT", pointer)} if broken else set()
    )
