"""What a node says when only people can help: both languages, who acts, and a place to read on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.errors import ConfigError, StoreError
from gateway.keyring.refusals import KeyFileError, TrustError
from gateway.node.advice import ADVICE
from gateway.node.inspection import LogDamagedError
from gateway.node.recovery import GenerationBehindError, UnprovenHistoryError
from gateway.storage.highwater import HighWaterError

DOCS = Path(__file__).resolve().parents[3] / "docs"
GUIDE = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("operating.md", "keys.md"))


@pytest.mark.parametrize(
    "error",
    [
        UnprovenHistoryError,
        GenerationBehindError,
        LogDamagedError,
        HighWaterError,
        ConfigError,
        KeyFileError,
        StoreError,
        TrustError,
    ],
)
def test_every_error_that_stops_a_node_has_advice(error: type[Exception]) -> None:
    assert getattr(error, "code") in ADVICE  # noqa: B009 - a class variable of the tree


@pytest.mark.parametrize("code", ADVICE)
def test_advice_says_in_both_languages_who_has_to_act(code: str) -> None:
    advice = ADVICE[code]
    assert re.search(r"operator|exploitant", advice.en)
    assert "exploitant" in advice.fr
    assert re.findall(r"`[^`]*`", advice.en) == re.findall(r"`[^`]*`", advice.fr)


@pytest.mark.parametrize("code", ADVICE)
def test_a_section_that_advice_names_exists(code: str) -> None:
    # `tests/unit/test_french_pages.py` looks that the French names the same one, of the French page.
    for title in re.findall(r"“([^”]+)”", ADVICE[code].en):
        assert f"## {title}\n" in GUIDE
