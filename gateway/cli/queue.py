"""`entente queue`: what waits, what is stuck, what failed, why, and what to do about it.

All of it speaks to a running node through its operator port.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from gateway.cli.agency import JsonOption, LanguageOption, language_of, print_json, show, spoken_table
from gateway.cli.operator import (
    IdArgument,
    OperatorOption,
    OperatorPort,
    OpsUrlOption,
    ReasonOption,
    uuid_of,
)
from gateway.core.message.wording import Wording

app = typer.Typer(no_args_is_help=True, help="What waits to be sent, what is stuck or failed, and why.")

_CONDITIONS: Final = ("all", "stuck", "overdue", "refused", "expired", "waiting")
_WORDS: Final = {
    "stuck": Wording(en="stuck", fr="bloqué"),
    "overdue": Wording(en="overdue", fr="en retard"),
    "refused": Wording(en="refused", fr="refusé"),
    "expired": Wording(en="expired", fr="expiré"),
    "waiting": Wording(en="waiting", fr="en attente"),
}
_NOTHING: Final = Wording(en="Nothing that needs anybody.", fr="Rien qui demande quelqu'un.")
_COUNTS: Final = Wording(
    en="{accepted} waiting, {sent} on the way, {delivered} without a receipt, {refused} refused, "
    "{expired} expired, {overdue} overdue",
    fr="{accepted} en attente, {sent} en route, {delivered} sans récépissé, {refused:refusé|refusés}, "
    "{expired:expiré|expirés}, {overdue} en retard",
)
_MORE: Final = Wording(en="There are more: --limit N.", fr="Il y en a d'autres : --limit N.")
_COLUMNS: Final = (
    Wording(en="condition", fr="situation"),
    Wording(en="since", fr="depuis"),
    Wording(en="precedence", fr="urgence"),
    Wording(en="from", fr="de"),
    Wording(en="to", fr="à"),
    Wording(en="type", fr="type"),
    Wording(en="message", fr="message"),
    Wording(en="cause", fr="cause"),
)
_NEXT: Final = Wording(en="next", fr="à faire")
_RULE: Final = Wording(en="rule", fr="règle")
_LINE_GOOD: Final = Wording(
    en="tried at once: the line to the peer works", fr="essayé aussitôt : la ligne vers le pair fonctionne"
)
_LINE_BAD: Final = Wording(
    en="trying at once; the last try ended with", fr="nouvel essai immédiat ; le dernier a donné"
)


@app.command("list", epilog="Example: entente queue list --condition stuck --as operators/AUDITOR")
def list_command(
    folder: OperatorOption,
    condition: Annotated[
        str, typer.Option("--condition", help="all, stuck, overdue, refused, expired or waiting.")
    ] = "all",
    agency: Annotated[
        str | None, typer.Option("--agency", help="Only messages of this sender.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="At most so many.")] = 100,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """List messages that need somebody, with the cause and the next step; `waiting` lists the others.

    Exit status 1 if any is listed that needs somebody, so that a script can ask.
    """
    if condition not in _CONDITIONS:
        msg = ", ".join(_CONDITIONS)
        raise typer.BadParameter(msg, param_hint="--condition")
    spoken = language_of(language)
    named = "" if agency is None else f"&agency={agency}"
    path = f"/ops/v1/queue?condition={condition}&limit={limit}{named}"
    found = OperatorPort(folder, url, language).get(path)
    if as_json:
        for item in found["items"]:
            print_json(item)
    else:
        if found["items"]:
            rows = spoken_table(_COLUMNS, spoken)
            for item in found["items"]:
                rows.add_row(*_cells(item, _WORDS[item["condition"]].text(spoken)))
            show(rows)
        else:
            typer.echo(_NOTHING.text(spoken))
        if found["more"]:
            typer.echo(_MORE.text(spoken))
        typer.echo(_COUNTS.fill(**found["counts"]).text(spoken))
    if any(item["condition"] != "waiting" for item in found["items"]):
        raise typer.Exit(1)


@app.command("show", epilog="Example: entente queue show ID --as operators/AUDITOR --language fr")
def show_command(
    message_id: IdArgument,
    folder: OperatorOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Say where a message is, why, and what to do; never what is in it."""
    spoken = language_of(language)
    port = OperatorPort(folder, url, language)
    message_id = uuid_of(message_id)
    item = port.get(f"/ops/v1/queue/{message_id}")["item"]
    kept = port.get(f"/ops/v1/messages/{message_id}")
    if as_json:
        print_json({**kept, "queue": item})
        return
    typer.echo(f"{kept['type']}  {kept['from']} -> {', '.join(kept['to'])}")
    if item is None:
        typer.echo(f"{kept['status']}. {_NOTHING.text(spoken)}")
        return
    cause = item["cause"]
    typer.echo(f"{item['status']}, {_WORDS[item['condition']].text(spoken)}, {item['since']}")
    typer.echo(f"{cause['text']} [{cause['code']}]")
    if cause["rule"] is not None:
        typer.echo(f"{_RULE.text(spoken)} {cause['rule']}: {cause['rule_text']}")
    typer.echo(f"{_NEXT.text(spoken)}: {cause['next_step']}")


@app.command("retry", epilog='Example: entente queue retry --reason "Line is back" --as operators/OPERATOR')
def retry_command(
    folder: OperatorOption,
    reason: ReasonOption,
    message_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of a message.", show_default=False)
    ] = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Try to reach the peer now, whatever wait is left; all that waits goes with it.

    A message that was refused or has expired is over: its agency sends a new one.
    """
    spoken = language_of(language)
    place = "" if message_id is None else f"/{uuid_of(message_id)}"
    found = OperatorPort(folder, url, language).post(f"/ops/v1/queue{place}:retry", {"reason": reason})
    if as_json:
        print_json(found)
        return
    line = found["line"]
    if line["trouble"] is None:
        typer.echo(_LINE_GOOD.text(spoken))
    else:
        typer.echo(f"{_LINE_BAD.text(spoken)}: {line['text'] or ''} [{line['trouble']}]")


@app.command(
    "cancel", epilog='Example: entente queue cancel ID --reason "Sent by mistake" --as operators/OPERATOR'
)
def cancel_command(
    message_id: IdArgument,
    folder: OperatorOption,
    reason: ReasonOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """End a message that was not sent yet; its agency sees it as withdrawn. For good: tell the agency."""
    path = f"/ops/v1/queue/{uuid_of(message_id)}:cancel"
    found = OperatorPort(folder, url, language).post(path, {"reason": reason})
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['message_id']}: {found['status']}")


def _cells(item: dict[str, Any], condition: str) -> list[str]:
    cause = item["cause"]
    rule = "" if cause["rule"] is None else f" {cause['rule']}: {cause['rule_text']}"
    return [
        condition,
        item["since"],
        item["precedence"],
        item["from"],
        ", ".join(item["to"]),
        item["type"],
        item["message_id"],
        f"{cause['text']}{rule} → {cause['next_step']}",
    ]
