"""The examples beside the schemas: good ones pass, and each bad one breaks the rule in its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.examine import examine
from gateway.core.message.rules import RESERVED, RULES, Stage
from tests.unit.core.message.rules.samples import ROOT, created_ms

EXAMPLES = sorted((ROOT / "schemas").glob("*/examples/*.json"))
VALID = [file for file in EXAMPLES if file.name.startswith("valid-")]
INVALID = [file for file in EXAMPLES if file.name.startswith("invalid-")]
NAMES = {rule.id for rule in RULES} | set(RESERVED.values())
NEEDS_THE_CONVERSATION = {rule.id for rule in RULES if rule.stage is not Stage.STATELESS}
NOT_EXAMINED_HERE = NEEDS_THE_CONVERSATION | set(RESERVED.values())


def rules_broken_by(file: Path) -> set[str]:
    """Return what a node reports at the time when the example was created."""
    body = file.read_bytes()
    now_ms = created_ms(json.loads(body))
    examination = examine(body, catalogue=read_catalogue(ROOT / "schemas"), now_ms=now_ms)
    return {violation.rule for violation in examination.violations}


def rules_named_by(file: Path) -> set[str]:
    """Return the rules whose id begins what the file's name says: one, or a few that share a stem."""
    said = file.name.removeprefix("invalid-")
    return {name for name in NAMES if said.startswith(name.lower() + "-")}


def test_there_are_examples_of_both_kinds() -> None:
    assert len(VALID) >= 14
    assert len(INVALID) >= 30
    assert all(rules_named_by(file) for file in INVALID)


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_good_example_breaks_no_rule(file: Path) -> None:
    assert rules_broken_by(file) == set()


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_a_bad_example_breaks_the_rule_in_its_name(file: Path) -> None:
    broken = rules_broken_by(file)
    named = rules_named_by(file)

    if named <= NOT_EXAMINED_HERE and not broken:
        # tests/unit/core/message/test_threads.py replays its conversation.
        return
    assert broken & named
