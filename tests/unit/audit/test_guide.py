"""The auditor's guide: every claim names a test, and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.core.audit_events import EVENTS

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs/auditing.md").read_text(encoding="utf-8")
_NAMED = re.compile(r"(?P<file>(?:tests/[a-z_/]+/)?test_[a-z_]+\.py)(?:::(?P<test>test_[a-z_0-9]+))?")


def named_tests() -> list[tuple[str, str | None]]:
    return sorted({(match["file"], match["test"]) for match in _NAMED.finditer(GUIDE)}, key=str)


def rows(title: str) -> list[list[str]]:
    """Return the rows of the first table below a title, without its head."""
    section = GUIDE.split(f"# {title}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(("file", "test"), named_tests())
def test_a_test_that_the_guide_names_exists(file: str, test: str | None) -> None:
    path = ROOT / file if file.startswith("tests/") else ROOT / "tests/unit/audit" / file
    assert path.is_file()
    if test is not None:
        assert re.search(rf"^(?:async )?def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_guide_names_many_tests() -> None:
    assert len(named_tests()) > 60


def test_every_attack_names_who_what_shows_it_and_its_test() -> None:
    found = rows("Who would have to have lied")
    assert len(found) > 20
    for attack, whom, shown, _, test in found:
        assert attack
        assert whom
        assert shown
        assert _NAMED.search(test), attack


def test_every_event_of_an_audit_log_has_a_test_that_makes_it_happen() -> None:
    found = rows("What an audit log holds")
    named = [name for _, cell, _ in found for name in re.findall(r"`([a-z_.]+)`", cell)]
    assert sorted(named) == sorted(EVENTS)


@pytest.mark.parametrize("title", ["What is checked", "Two logs side by side", "What an audit log holds"])
def test_every_check_names_its_test(title: str) -> None:
    for name, holds, test in rows(title):
        assert holds
        assert _NAMED.search(test), name
