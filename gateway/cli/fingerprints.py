"""Fingerprints that two people compare, as commands print them."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from gateway.cli import key_words as words
from gateway.client.transport import Language


def print_fingerprints(fingerprints: Mapping[str, str], spoken: Language) -> None:
    """Print what `Published.fingerprints` names, each on lines of its own."""
    for what, digits in fingerprints.items():
        typer.echo(f"  {words.FINGERPRINTS[what].text(spoken)}\n    {digits}")
