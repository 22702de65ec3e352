"""Every event of the audit log has words, a row in the specification, and somebody who writes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.core.audit_events import EVENTS
from gateway.core.entries import Role
from gateway.node.access import CAUSES, OTHER
from gateway.node.audit_log import NODE, AuditLog
from tests.world import pair_of

ROOT = Path(__file__).resolve().parents[3]
SPEC = (ROOT / "docs/spec/log.md").read_text(encoding="utf-8").split("## Audit log\n")[1].split("\n## ")[0]


def test_the_specification_has_a_row_for_every_event_and_for_no_other() -> None:
    cells = [line.split("|")[1] for line in SPEC.splitlines() if line.startswith("| `")]
    named = [name for cell in cells for name in re.findall(r"`([a-z_.]+)`", cell)]
    assert len(named) == len(set(named))
    assert set(named) == set(EVENTS)


def test_every_event_is_written_somewhere() -> None:
    sources = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "gateway").rglob("*.py")
        if path.name != "audit_events.py" and "audit" not in path.parent.name
    ]
    for name in EVENTS:
        assert any(f'"{name}"' in source for source in sources), name


def test_every_event_has_words_in_both_languages() -> None:
    for name, words in EVENTS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", name)
        assert words.text("en") != words.text("fr")


def test_an_event_that_the_specification_does_not_have_is_never_written() -> None:
    with pytest.raises(ValueError, match="no event"):
        AuditLog(pair_of("FR")).event(at_ms=1, actor=NODE, event="message.guessed")


def test_the_specification_names_every_cause_and_every_role() -> None:
    for cause in (*CAUSES, OTHER):
        assert f"`{cause}`" in SPEC, cause
    whole = (ROOT / "docs/spec/log.md").read_text(encoding="utf-8")
    for role in Role:
        assert f"{int(role)} {role.name.lower()}" in whole
