"""What the commands for auditors share: whose keys are trusted, and how findings look."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.audit.report import Check, Outcome

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
TrustOption = Annotated[
    Path | None, typer.Option("--trust", help="Folder with .vkeys files, or one such file.", exists=True)
]
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Take the keys of this node home.", exists=True, file_okay=False)
]

_WIDTH: Final = 160
_STYLES: Final = {Outcome.HELD: "green", Outcome.FAILED: "bold red", Outcome.NOT_CHECKED: "yellow"}


def trusted(trust: Path | None, home: Path | None) -> Path:
    """Return where the trusted keys are.

    Raises:
        typer.BadParameter: Not exactly one place was given: it has to be clear whose keys count.
    """
    if trust is not None and home is None:
        return trust
    if home is not None and trust is None:
        return home / "trust"
    msg = "give --trust, or --home for its keys"
    raise typer.BadParameter(msg)


def print_table(title: str, facts: Sequence[tuple[str, str]], checks: Sequence[Check]) -> None:
    """Print facts and checks, one a line, the outcome of a check first."""
    # A file or a pipe has no width of its own, and lines that are not broken are easier to search.
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row("", Text(name), Text(value))
    for check in checks:
        outcome = Text(str(check.outcome), style=_STYLES[check.outcome])
        table.add_row(outcome, Text(check.name), Text(check.detail))
    typer.echo(f"\n{title}")
    console.print(table)
