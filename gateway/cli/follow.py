"""`entente status`, `watch`, `sent` and `whoami`: follow what was sent."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer

from gateway.cli.agency import (
    AsOption,
    JsonOption,
    LanguageOption,
    UrlOption,
    client_of,
    moment,
    print_json,
    show,
    table,
)
from gateway.client import TimelineEvent, Tracked

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a message.")]
LimitOption = Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")]

GOOD = frozenset({"received", "collected"})


def status_command(
    message_id: IdArgument,
    folder: AsOption,
    url: UrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Show where a message is, and which log proves each step.

    Example: entente status 01a20847-0135-7993-b063-b5d5cb27d3ff --as agencies/FR.DGDDI.SARC
    """
    with client_of(folder, url, language) as client:
        tracked = client.status(message_id)
    if as_json:
        print_json(asdict(tracked))
        return
    summary = tracked.summary
    typer.echo(f"{tracked.status}  {summary.type}  to {', '.join(summary.addressees)}")
    rows = table(None, "event", "time", "log", "index")
    for event in tracked.timeline:
        rows.add_row(*_columns(event))
    show(rows)
    _print_exception(tracked)


def watch_command(
    message_id: IdArgument,
    folder: AsOption,
    url: UrlOption = None,
    until: Annotated[
        str, typer.Option(help="Stop at this state: sent, delivered, received or collected.")
    ] = "collected",
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Follow a message live until it is collected, or comes to another end.

    Exit status 1 if it is refused, expired or withdrawn.

    Example: entente watch 01a20847-0135-7993-b063-b5d5cb27d3ff --as agencies/FR.DGDDI.SARC
    """
    order = ("accepted", "sent", "delivered", "received", "collected")
    if until not in order[1:]:
        msg = "one of: " + ", ".join(order[1:])
        raise typer.BadParameter(msg, param_hint="--until")
    good = frozenset(order[order.index(until) :])
    status = ""
    with client_of(folder, url, language) as client:
        shown = 0
        for tracked in client.watch(message_id):
            for event in tracked.timeline[shown:]:
                _print_event(event, as_json=as_json)
            shown = max(shown, len(tracked.timeline))
            status = tracked.status
            if status in good or tracked.is_final:
                if not as_json:
                    _print_exception(tracked)
                break
    if status not in good:
        raise typer.Exit(1)


def sent_command(
    folder: AsOption,
    url: UrlOption = None,
    limit: LimitOption = 20,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """List what this agency posted, newest first.

    Example: entente sent --as agencies/FR.DGDDI.SARC --limit 50
    """
    with client_of(folder, url, language) as client:
        found = list(islice(client.sent(limit=min(limit, 1_000)), limit))
    if as_json:
        for item in found:
            print_json(asdict(item))
        return
    rows = table(None, "status", "precedence", "type", "to", "created", "id")
    for item in found:
        rows.add_row(
            item.status,
            item.precedence,
            item.type,
            " ".join(item.addressees),
            moment(item.created_at),
            item.message_id,
        )
    show(rows)


def whoami_command(
    folder: AsOption,
    url: UrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Say which agency the certificate stands for, and what it may send to whom.

    Example: entente whoami --as agencies/FR.DGDDI.SARC --url https://127.0.0.1:9441
    """
    with client_of(folder, url, language) as client:
        who = client.whoami()
    if as_json:
        print_json(asdict(who))
        return
    name = "" if who.name is None else f" ({who.name})"
    typer.echo(f"{who.agency}{name} at {who.node}; the peer is {who.peer_node}")
    typer.echo(f"certificate until {moment(who.certificate_expires_at)}, key {who.spki_sha256}")
    rows = table(None, "type", "title", "to")
    for item in who.may_send:
        rows.add_row(item.type, item.title, " ".join(item.addressees))
    show(rows)


def _columns(event: TimelineEvent) -> tuple[str, str, str, str]:
    name = event.event if event.agency is None else f"{event.event} by {event.agency}"
    origin, index = ("", "") if event.log is None else (event.log.origin, str(event.log.index))
    return name, moment(event.time), origin, index


def _print_event(event: TimelineEvent, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(event))
        return
    name, time, origin, index = _columns(event)
    typer.echo(f"{time}  {name:<28} {origin} {index}".rstrip())


def _print_exception(tracked: Tracked) -> None:
    refusal = tracked.exception
    if refusal is None:
        return
    typer.echo(f"{refusal.code}: {refusal.text}")
    if refusal.rule is not None:
        typer.echo(f"rule {refusal.rule}: {refusal.rule_text or ''}".rstrip(": "))
    typer.echo(f"→ {refusal.next_step}")
