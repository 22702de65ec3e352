"""`entente schema`: work on the catalogue offline.

What these commands say is what a node would say, by the same code, without its memory of
earlier messages.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.catalogue import catalogue_folder, read_catalogue, read_lists
from gateway.cli.agency import (
    JsonOption,
    LanguageOption,
    answering,
    language_of,
    print_json,
    show,
    table,
)
from gateway.cli.commented import SUFFIX, commented, read_file
from gateway.cli.drafting import Judgement, canonical, is_draft, judge, new_draft
from gateway.cli.inbox import banner_line
from gateway.core.message.instants import moment_ms
from gateway.core.message.registry import MessageType
from gateway.core.message.wording import Language, Wording
from gateway.handbook import FIRST_PAGE, Handbook
from gateway.system import SystemClock

app = typer.Typer(no_args_is_help=True, help="Message types: list, show, check messages, begin new ones.")

_DRAFT_HINT: Final = Wording(
    en="{file} looks like a draft; as its node would complete it: entente schema check --draft {file}",
    fr="{file} semble être un projet ; complété comme par son nœud : entente schema check --draft {file}",
)

TypeArgument = Annotated[str, typer.Argument(metavar="TYPE", help="Such as assist.request/1.")]


@app.command("list")
def list_command(language: LanguageOption = "en", as_json: JsonOption = False) -> None:
    """List every message type of this installation.

    Example: entente schema list
    """
    spoken = language_of(language)
    with answering(spoken):
        catalogue = read_catalogue()
    if as_json:
        for item in catalogue.types.values():
            print_json({"type": item.id, "title": item.title(spoken), "sha384": item.digest.hex()})
        return
    rows = table(None, "type", "title", "answers")
    for item in catalogue.types.values():
        rows.add_row(item.id, item.title(spoken), " ".join(sorted(item.terms.reply_to)))
    show(rows)
    typer.echo(f"catalogue {catalogue.digest.hex()}")


@app.command("show")
def show_command(type_id: TypeArgument, language: LanguageOption = "en", as_json: JsonOption = False) -> None:
    """Show a type: its fields and its terms; with --json its JSON Schema, self-contained.

    Example: entente schema show target.cargo_referral/1
    """
    spoken = language_of(language)
    with answering(spoken):
        item = read_catalogue().type(type_id)
    if as_json:
        print_json(item.bundled)
        return
    typer.echo(f"{item.id}  {item.title(spoken)}\n{item.description.text(spoken)}\n")
    _print_terms(item, spoken)
    rows = table("\nPayload", "field", "", "what")
    for name, required, text in _fields(item, spoken):
        rows.add_row(name, "required" if required else "", text)
    show(rows)


@app.command("check")
def check_command(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Messages in JSON; - reads standard input.")
    ],
    draft: Annotated[
        bool, typer.Option("--draft", help="Complete each first, as its sender's node would.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(metavar="created|TIME", help="Judge as at this time; `created`: each at its own."),
    ] = None,
    nation: Annotated[
        str | None, typer.Option("--nation", help="Nation of the sender, where a draft does not tell.")
    ] = None,
    lists: Annotated[
        Path | None,
        typer.Option(
            "--lists",
            metavar="DIR",
            help="Reference lists that replace those installed.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Check messages as a node would: JSON, schema, and every rule that needs no other message.

    What stands below an accepted message are warnings: values that are in no reference list. With
    --draft a reply is judged as if the message it answers were there. Exit status 0 if all
    would be accepted, 1 if any would be refused, 2 for wrong usage.

    Example: entente schema check message.json --at created --json
    """
    spoken = language_of(language)
    now_ms = SystemClock().now_ms()
    at_ms = _time_of(at, now_ms)
    with answering():
        catalogue = read_catalogue()
        known = read_lists(lists)
    refused = False
    for name in files:
        judgement = judge(
            read_file(name),
            catalogue=catalogue,
            at_ms=at_ms,
            now_ms=now_ms,
            draft=draft,
            nation=nation,
            lists=known,
        )
        refused |= bool(judgement.violations)
        _print_judgement(name, judgement, spoken, as_json=as_json)
        if judgement.violations and not (draft or as_json) and is_draft(judgement.document):
            typer.echo(_DRAFT_HINT.fill(file=name).text(spoken), err=True)
    if refused:
        raise typer.Exit(1)


@app.command("new")
def new_command(
    type_id: TypeArgument,
    reply_to: Annotated[
        str | None, typer.Option("--reply-to", metavar="ID", help="Id of the message that is answered.")
    ] = None,
    nation: Annotated[
        str | None, typer.Option("--nation", help="Nation that sends it: FR or US; else the example's.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write it here instead of printing it.")] = None,
    comments: Annotated[
        bool | None,
        typer.Option(
            "--comments/--no-comments",
            help="Say above each field what it is. Else only on a terminal and in a file .jsonc.",
            show_default=False,
        ),
    ] = None,
    language: LanguageOption = "en",
) -> None:
    """Write a draft to fill in: the type's example without what the node fills in.

    Comments are lines that begin with //. The commands that check and send leave them out of files whose name
    ends in .jsonc; a node reads none.

    Example: entente schema new assist.request/1 --nation FR --out request.jsonc
    """
    spoken = language_of(language)
    with answering(spoken):
        catalogue = read_catalogue()
        item = catalogue.type(type_id)
    if nation is not None and nation not in item.terms.agencies:
        msg = "one of: " + ", ".join(sorted(item.terms.agencies))
        raise typer.BadParameter(msg, param_hint="--nation")
    document = new_draft(
        item,
        catalogue=catalogue,
        folder=catalogue_folder(),
        now_ms=SystemClock().now_ms(),
        in_reply_to=reply_to,
        nation=nation,
    )
    if document is None:
        typer.echo(f"{type_id} has no example in the catalogue", err=True)
        raise typer.Exit(1)
    if comments is None:
        comments = sys.stdout.isatty() if out is None else out.suffix == SUFFIX
    content = commented(document, item, spoken) if comments else canonical(document)
    if out is None:
        typer.echo(content.decode(), nl=False)
        return
    try:
        with out.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        typer.echo(f"{out} exists already", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        typer.echo(f"{out} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    of_nation = "" if nation is None else f" --nation {nation}"  # a new answer does not tell who sends it
    typer.echo(f"{out}: a draft of {type_id}; check it with: entente schema check {out} --draft{of_nation}")


@app.command("docs")
def docs_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is absent.")],
) -> None:
    """Write the handbook of all messages: pages in English and French for any browser.

    Example: entente schema docs handbook
    """
    with answering():
        book = Handbook(read_catalogue(), catalogue_folder())
    try:
        for path, page in book.pages():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(page.body)
    except OSError as error:
        typer.echo(f"{folder} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{folder / FIRST_PAGE}: {len(book.paths)} files")


def _time_of(at: str | None, now_ms: int) -> int | None:
    """Return the time of judgement; None for each message's own creation."""
    if at is None:
        return now_ms
    if at == "created":
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        msg = "`created`, or a time such as 2026-11-23T12:00:00Z"
        raise typer.BadParameter(msg, param_hint="--at") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment_ms(moment)


def _print_judgement(name: str, judgement: Judgement, language: Language, *, as_json: bool) -> None:
    verdict = "refused" if judgement.violations else "accepted"
    errors = [
        {"rule": item.rule, "pointer": item.pointer, "message": item.text(language)}
        for item in judgement.violations
    ]
    warnings = [
        {"warning": item.warning, "pointer": item.pointer, "message": item.text(language)}
        for item in judgement.warnings
    ]
    if as_json:
        line: dict[str, Any] = {"file": name, "verdict": verdict, "errors": errors}
        print_json({**line, "warnings": warnings} if warnings else line)
        return
    shown = "" if errors or judgement.document is None else f"  {banner_line(judgement.document)}"
    typer.echo(f"{verdict:<9} {name}{shown}")
    for error in errors:
        typer.echo(f"  {error['rule']:<10} {error['pointer'] or '/'}: {error['message']}")
    for warning in warnings:
        typer.echo(f"  {warning['warning']:<10} {warning['pointer']}: {warning['message']}")


def _print_terms(item: MessageType, language: Language) -> None:
    terms = item.terms
    for nation, agencies in sorted(terms.agencies.items()):
        typer.echo(f"{nation} agencies:  {' '.join(sorted(agencies))}")
    typer.echo(f"answers:      {' '.join(sorted(terms.reply_to)) or 'nothing: it opens a conversation'}")
    for reply, deadline in sorted(terms.replies.items()):
        typer.echo(f"answered by:  {reply} within {deadline.text(language)}")
    typer.echo(f"purposes:     {' '.join(sorted(terms.purposes))}")
    typer.echo(f"kept:         {terms.keep_days} days at most")
    if terms.daily_limit is not None:
        typer.echo(f"limit:        {terms.daily_limit} an agency and UTC day")


def _fields(item: MessageType, language: Language) -> list[tuple[str, bool, str]]:
    """Return the fields of a payload: name, whether required, title and description."""
    payload: dict[str, Any] = item.schema["properties"]["payload"]
    required = set(payload.get("required", ()))
    rows = []
    for name, field in payload.get("properties", {}).items():
        suffix = "-fr" if language == "fr" else ""
        title = field.get(f"x-title{suffix}" if suffix else "title", "")
        text = field.get(f"x-description{suffix}" if suffix else "description", "")
        rows.append((name, name in required, f"{title}: {text}".strip(": ")))
    return rows
