"""The French of what a command refuses, by the English sentence that the error carries.

Errors say in English exactly what was found, deep in modules that know no language; ``french.txt``
beside this module has each of these sentences in French. A fact in a sentence stays as it is,
unless it is such a sentence itself: what the system says of a file, why a statement is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import Final

_FACT: Final = "{}"


def in_french(text: str) -> str | None:
    """Return a sentence in French, or several on lines of their own; None if it is not known."""
    lines = [_sentence(line) for line in text.split("\n")]
    if all(line is None for line in lines):
        return None
    return "\n".join(old if new is None else new for old, new in zip(text.split("\n"), lines, strict=True))


def _sentence(line: str) -> str | None:
    words = line.lstrip(" ")
    for pattern, french in _sentences():
        if (found := pattern.fullmatch(words)) is not None:
            facts = [_sentence(fact) or fact for fact in found.groups()]
            return " " * (len(line) - len(words)) + french.format(*facts)
    return None


@lru_cache(maxsize=1)
def _sentences() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return each English sentence as a pattern, with its French; those that say most come first."""
    text = (files("gateway.cli") / "french.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = sorted(
        zip(lines[::2], lines[1::2], strict=True), key=lambda pair: -len(pair[0].replace(_FACT, ""))
    )
    return tuple(
        (re.compile(re.escape(english).replace(r"\{\}", "(.*?)")), french) for english, french in pairs
    )
