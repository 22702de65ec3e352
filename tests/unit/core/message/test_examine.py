"""JSON, then schema, then rules: the first step that fails is the only one reported."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.examine import examine, examine_document
from gateway.core.message.instants import instant_ms
from gateway.core.message.strict_json import MAX_BODY_BYTES, MessageTooLargeError

CATALOGUE = read_catalogue()
EXAMPLES = catalogue_folder()
GOOD = (EXAMPLES / "intel.spontaneous/examples/valid-01-intel-spontaneous.json").read_bytes()
NOW = instant_ms("2026-11-02T08:20:00Z")


def rules(body: bytes) -> list[str]:
    return [violation.rule for violation in examine(body, catalogue=CATALOGUE, now_ms=NOW).violations]


def broken(**changes: Any) -> bytes:
    document = orjson.loads(GOOD)
    document["header"].update(changes)
    return orjson.dumps(document)


def test_a_good_message_comes_back_as_a_document() -> None:
    examination = examine(GOOD, catalogue=CATALOGUE, now_ms=NOW)

    assert examination.violations == ()
    assert examination.document == orjson.loads(GOOD)


def test_a_body_that_is_not_strict_json_has_no_document_and_one_violation() -> None:
    examination = examine(broken(language="de").replace(b'"de"', b"NaN"), catalogue=CATALOGUE, now_ms=NOW)

    assert examination.document is None
    assert [violation.rule for violation in examination.violations] == ["JSON"]


def test_schema_violations_hide_rules() -> None:
    # Both an unknown language and an expiry before creation.
    body = broken(language="de", expires_at="2026-11-01T00:00:00Z")

    assert rules(body) == ["SCHEMA"]


def test_every_broken_rule_is_reported_at_once() -> None:
    body = broken(
        expires_at="2026-11-01T00:00:00Z",
        handling={"codes": ["H0", "H2"]},
        legal_basis=["JDI_2024"],
    )

    assert {"H-02", "HD-01", "LB-01"} <= set(rules(body))


@pytest.mark.parametrize(
    "type_id", ["intel.rumour/1", "intel.spontaneous/2", "intel.spontaneous", "", None, 1, []]
)
def test_an_unknown_type_is_told_at_the_type(type_id: object) -> None:
    document = {**orjson.loads(GOOD), "type": type_id}

    (violation,) = examine_document(document, catalogue=CATALOGUE, now_ms=NOW)

    assert (violation.rule, violation.pointer) == ("SCHEMA", "/type")


def test_examining_changes_nothing() -> None:
    document = orjson.loads(GOOD)
    before = copy.deepcopy(document)

    examine_document(document, catalogue=CATALOGUE, now_ms=NOW)

    assert document == before


def test_the_clock_decides_about_expiry() -> None:
    late = examine(GOOD, catalogue=CATALOGUE, now_ms=instant_ms("2026-11-09T08:15:00.001Z"))

    assert [violation.rule for violation in late.violations] == ["H-10"]


def test_a_body_that_is_too_large_is_no_verdict() -> None:
    with pytest.raises(MessageTooLargeError):
        examine(b" " * (MAX_BODY_BYTES + 1), catalogue=CATALOGUE, now_ms=NOW)
