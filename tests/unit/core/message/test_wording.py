"""Numbers with their nouns, in two languages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import gateway
from gateway.core.message.wording import Wording, counted

GATEWAY = Path(gateway.__file__).parent
DAYS = Wording(en="in {days:day|days}: {days}", fr="dans {days:jour|jours} : {days}")


@pytest.mark.parametrize(
    ("days", "english", "french"),
    [
        (0, "in 0 days: 0", "dans 0 jour : 0"),
        (1, "in 1 day: 1", "dans 1 jour : 1"),
        (2, "in 2 days: 2", "dans 2 jours : 2"),
        (-1, "in -1 days: -1", "dans -1 jour : -1"),
        (1_000, "in 1000 days: 1000", "dans 1000 jours : 1000"),
    ],
)
def test_a_number_has_the_noun_that_its_language_gives_it(days: int, english: str, french: str) -> None:
    filled = DAYS.fill(days=days)

    assert (filled.en, filled.fr) == (english, french)


def test_texts_are_filled_in_as_they_are() -> None:
    assert Wording(en="{a}!", fr="{a} !").fill(a="x|y") == Wording(en="x|y!", fr="x|y !")


@pytest.mark.parametrize(("count", "said"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries")])
def test_english_alone_counts_alike(count: int, said: str) -> None:
    assert counted(count, "entry", "entries") == said


# A place of a template that is a bare number, with a noun in the plural behind it.
_NOUNS = (
    "days jours entries entrées files fichiers holders titulaires hours heures logs "
    "journaux messages operators exploitants proposals propositions requests demandes rules règles "
    "seconds secondes"
)
_BARE = re.compile(rf"\{{\w+\}} (?:{_NOUNS.replace(' ', '|')})\b")


def test_no_text_in_two_languages_counts_in_the_plural_alone() -> None:
    found = [
        f"{path.relative_to(GATEWAY)}: {match[0]}"
        for path in sorted(GATEWAY.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Wording"
        for keyword in call.keywords
        if isinstance(keyword.value, ast.Constant)
        for match in _BARE.finditer(str(keyword.value.value))
    ]

    assert not found
