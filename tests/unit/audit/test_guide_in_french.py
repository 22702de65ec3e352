"""The guide of auditors is in French as well: the same sections, commands, checks, events and attacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.core.audit_events import EVENTS

DOCS = Path(__file__).resolve().parents[3] / "docs"
ENGLISH = (DOCS / "auditing.md").read_text(encoding="utf-8")
FRENCH = (DOCS / "auditer.md").read_text(encoding="utf-8")


def headings(guide: str) -> list[str]:
    """Return the level of each heading, and its words."""
    return re.findall(r"^#+ .+$", guide, re.MULTILINE)


def sections(guide: str) -> list[str]:
    """Return the text below each heading."""
    return re.split(r"^#+ .+$", guide, flags=re.MULTILINE)


def commands(section: str) -> list[str]:
    """Return the commands, without what is said of them."""
    found = re.findall(r"^ {4,}(entente .+)$", section, re.MULTILINE)
    return [re.split(r" +# ", command)[0] for command in found]


def first_cells(section: str) -> list[str]:
    """Return the first cell of each row of a table."""
    return [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]


def test_both_have_the_same_sections() -> None:
    levels = [[heading.split(" ")[0] for heading in headings(guide)] for guide in (ENGLISH, FRENCH)]

    assert len(levels[0]) > 12
    assert levels[0] == levels[1]


PAIRS = list(zip(headings(ENGLISH), sections(ENGLISH)[1:], sections(FRENCH)[1:], strict=False))


@pytest.mark.parametrize(("heading", "english", "french"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_each_section_says_as_much_in_both_languages(heading: str, english: str, french: str) -> None:
    assert heading
    assert commands(french) == commands(english)
    assert len(first_cells(french)) == len(first_cells(english))
    for pattern in (r"^\d+\. ", r"^- "):
        steps = [len(re.findall(pattern, text, re.MULTILINE)) for text in (english, french)]
        assert steps[0] == steps[1]


@pytest.mark.parametrize(
    "title", ["What is checked", "Two logs side by side", "Logs that follow one another"]
)
def test_the_lines_of_a_verdict_stand_in_french_as_they_are_printed(title: str) -> None:
    english, french = next((one, other) for heading, one, other in PAIRS if heading.endswith(f" {title}"))

    assert first_cells(english)[2:] == first_cells(french)[2:]


def test_every_attack_is_shown_by_the_same_checks() -> None:
    title = "Who would have to have lied"
    english, french = next((one, other) for heading, one, other in PAIRS if heading.endswith(f" {title}"))
    rows = [[line for line in text.splitlines() if line.startswith("| ")][2:] for text in (english, french)]
    without_tests = [re.sub(r"\|[^|]*\|$", "|", line) for line in rows[0]]

    for one, other in zip(without_tests, rows[1], strict=True):
        for word in (r"\*[^*]+\*", r"`[^`]+`"):
            assert sorted(re.findall(word, one)) == sorted(re.findall(word, other)), one


def test_every_event_of_an_audit_log_is_in_french_too() -> None:
    french = next(other for heading, _, other in PAIRS if heading.endswith(" What an audit log holds"))
    cells = [line.split("|")[2] for line in french.splitlines() if line.startswith("|")]

    assert sorted(name for cell in cells for name in re.findall(r"`([a-z_.]+)`", cell)) == sorted(EVENTS)
