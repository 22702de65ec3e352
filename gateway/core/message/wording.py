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

    def fill(self, **facts: str) -> Wording:
        """Return the statement with ``{name}`` places filled in both languages.

        Args:
            **facts: Facts of a schema or a rule. Never a value of a message.
        """
        return Wording(en=self.en.format(**facts), fr=self.fr.format(**facts))
