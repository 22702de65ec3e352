"""A question to a person who answers yes or no, in the words of either language."""

from __future__ import annotations

from typing import Final

import typer

from gateway.client.transport import Language
from gateway.core.message.wording import Wording

_CHOICE: Final = Wording(en="[y/N]", fr="[o/N]")
_AGAIN: Final = Wording(en="Please answer yes or no.", fr="Répondez par oui ou par non.")
_YES: Final = frozenset({"y", "yes", "o", "oui"})
_NO: Final = frozenset({"", "n", "no", "non"})


def is_confirmed(question: Wording, spoken: Language) -> bool:
    """Ask until the answer is yes or no, in either language; nothing typed means no."""
    prompt = f"{question.text(spoken)} {_CHOICE.text(spoken)}"
    while True:
        answer = str(typer.prompt(prompt, default="", show_default=False)).strip().lower()
        if answer in _YES | _NO:
            return answer in _YES
        typer.echo(_AGAIN.text(spoken), err=True)
