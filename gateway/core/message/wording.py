"""Texts that exist in English and in French, and nothing else.

Agencies of two nations read the same refusal. So every text that reaches one of them is
written twice, side by side, and the reader's language picks one at the last moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "fr"]
"""A language that people on both sides read: ISO 639-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """One statement in both languages.

    Attributes:
        en: The statement in English.
        fr: The same statement in French.
    """

    en: str
    fr: str

    def text(self, language: Language) -> str:
        """Return the statement in ``language``."""
        return self.fr if language == "fr" else self.en

    def fill(self, **facts: str | int) -> Wording:
        """Return the statement with ``{name}`` places filled in both languages.

        A place ``{name:day|days}`` holds a number with its noun, in the singular or the plural.

        Args:
            **facts: Facts of a schema or a rule. Never a value of a message.
        """
        english = {name: _English(fact) if isinstance(fact, int) else fact for name, fact in facts.items()}
        french = {name: _French(fact) if isinstance(fact, int) else fact for name, fact in facts.items()}
        return Wording(en=self.en.format(**english), fr=self.fr.format(**french))


def counted(count: int, one: str, many: str) -> str:
    """Return a number with its English noun: 1 entry, 2 entries, 0 entries.

    Args:
        count: How many.
        one: The noun in the singular.
        many: The noun in the plural.
    """
    return format(_English(count), f"{one}|{many}")


class _English(int):
    """A number that is followed by a noun: in English only 1 has the singular."""

    def __format__(self, nouns: str) -> str:
        one, _, many = nouns.partition("|")
        noun = one if self._is_one() else many
        return f"{int(self)} {noun}" if noun else str(int(self))

    def _is_one(self) -> bool:
        return self == 1


class _French(_English):
    """The same in French, where 0 has the singular as well."""

    def _is_one(self) -> bool:
        return -2 < self < 2
