"""What the commands of an agency share: who it is, where its node is, how answers look."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.refusals import reporting
from gateway.client import Client, ProblemError, ValueWarning
from gateway.client.transport import Language
from gateway.core.message.wording import Wording

AsOption = Annotated[
    Path,
    typer.Option(
        "--as",
        envvar="ENTENTE_AS",
        help="Folder of the agency: client.pem, client.key, ca.pem.",
        show_default=False,
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="ENTENTE_URL",
        help="Address of the node; else the one in the file `url` of the agency's folder.",
        show_default=False,
    ),
]
LanguageOption = Annotated[
    str, typer.Option("--language", envvar="ENTENTE_LANGUAGE", help="Language of messages: en or fr.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines, one object a line.")]

PLAIN_WIDTH: Final = 10_000
"""Columns where no terminal tells its width: nothing is cut off in a file or a pipe."""


def language_of(text: str) -> Language:
    """Return a language.

    Raises:
        typer.BadParameter: Another one than English or French.
    """
    if text not in {"en", "fr"}:
        msg = "en or fr"
        raise typer.BadParameter(msg, param_hint="--language")
    return cast("Language", text)


@contextmanager
def client_of(folder: Path, url: str | None, language: str) -> Iterator[Client]:
    """Open a client; every refusal becomes a line on standard error and exit status 1."""
    spoken = language_of(language)
    with answering(spoken), Client.from_folder(folder, url=url, language=spoken) as client:
        yield client


@contextmanager
def answering(spoken: Language = "en") -> Iterator[None]:
    """Turn a refusal into words on standard error and exit status 1.

    Args:
        spoken: Language of the reader; English for what speaks English alone.
    """
    with reporting(spoken):
        try:
            yield
        except ProblemError as problem:
            print_problem(problem)
            raise typer.Exit(1) from problem


def print_problem(problem: ProblemError, *, source: str | None = None) -> None:
    """Print why the node refuses: a line, and one for each violation."""
    prefix = "" if source is None else f"{source}: "
    typer.echo(f"{prefix}{problem.problem} ({problem.status}): {problem.title}. {problem.detail}", err=True)
    if problem.retry_after_s is not None:
        typer.echo(f"  Retry-After: {problem.retry_after_s} s", err=True)
    for item in problem.errors:
        typer.echo(f"  {item.rule:<10} {item.pointer or '/'}: {item.message}", err=True)


def problem_document(problem: ProblemError) -> dict[str, Any]:
    """Return a problem as JSON."""
    return {
        "status": problem.status,
        "code": problem.problem,
        "title": problem.title,
        "detail": problem.detail,
        "errors": [
            {"rule": item.rule, "pointer": item.pointer, "message": item.message} for item in problem.errors
        ],
        **({} if problem.truncated is None else {"truncated": problem.truncated}),
        **({} if problem.retry_after_s is None else {"retry_after": problem.retry_after_s}),
    }


def print_warnings(warnings: Iterable[ValueWarning]) -> None:
    """Print what is in no reference list, a line each."""
    for item in warnings:
        typer.echo(f"  {item.warning:<10} {item.pointer}: {item.message}")


def print_json(value: Any) -> None:
    """Print one value on one line."""
    typer.echo(json.dumps(value, default=_json_default, ensure_ascii=False))


def show(made: Table) -> None:
    """Print a table: as wide as the terminal, or uncut into a file or a pipe.

    What its cells say is text of other people: brackets and colons in it mean nothing.
    """
    if sys.stdout.isatty():
        Console(markup=False, emoji=False).print(made)
        return
    text = StringIO()
    Console(file=text, width=PLAIN_WIDTH, markup=False, emoji=False).print(made)
    for line in text.getvalue().splitlines():
        typer.echo(line.rstrip())


def table(title: str | None, *columns: str) -> Table:
    """Return an empty table."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, no_wrap=True)
    return made


def spoken_table(columns: Iterable[Wording], spoken: Language) -> Table:
    """Return an empty table whose columns are named in the reader's language."""
    return table(None, *(column.text(spoken) for column in columns))


def moment(value: datetime | None) -> str:
    """Return a time for people: UTC, to the second."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S}Z"


def _json_default(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1_000:03d}Z"
    raise TypeError
