"""`entente status`, `watch`, `sent` and `whoami`: follow what was sent."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Annotated, Final

import typer

from gateway.cli.agency import (
    AsOption,
    JsonOption,
    LanguageOption,
    UrlOption,
    client_of,
    language_of,
    moment,
    print_json,
    show,
    spoken_table,
)
from gateway.client import TimelineEvent, Tracked
from gateway.client.transport import Language
from gateway.core.message.wording import Wording

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a message.")]
LimitOption = Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")]

GOOD = frozenset({"received", "collected"})

_TO: Final = Wording(en="to", fr="à")
_RULE: Final = Wording(en="rule", fr="règle")
_BY: Final = Wording(en="by", fr="par")
_STEPS: Final = (
    Wording(en="event", fr="étape"),
    Wording(en="time", fr="heure"),
    Wording(en="log", fr="journal"),
    Wording(en="index", fr="numéro"),
)
_SENT: Final = (
    Wording(en="status", fr="statut"),
    Wording(en="precedence", fr="urgence"),
    Wording(en="type", fr="type"),
    _TO,
    Wording(en="created", fr="créé"),
    Wording(en="id", fr="identifiant"),
)
_MAY_SEND: Final = (Wording(en="type", fr="type"), Wording(en="title", fr="titre"), _TO)
_WHO: Final = Wording(
    en="{agency} at {node}; the peer is {peer}", fr="{agency} sur {node} ; le pair est {peer}"
)
_CERTIFICATE: Final = Wording(
    en="certificate until {until}, key {key}", fr="certificat jusqu'au {until}, clé {key}"
)


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
    spoken = language_of(language)
    to = _TO.text(spoken)
    typer.echo(f"{tracked.status}  {summary.type}  {to} {', '.join(summary.addressees)}")
    rows = spoken_table(_STEPS, spoken)
    for event in tracked.timeline:
        rows.add_row(*_columns(event, spoken))
    show(rows)
    _print_exception(tracked, spoken)


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
    spoken = language_of(language)
    with client_of(folder, url, language) as client:
        shown = 0
        for tracked in client.watch(message_id):
            for event in tracked.timeline[shown:]:
                _print_event(event, spoken, as_json=as_json)
            shown = max(shown, len(tracked.timeline))
            status = tracked.status
            if status in good or tracked.is_final:
                if not as_json:
                    _print_exception(tracked, spoken)
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
    rows = spoken_table(_SENT, language_of(language))
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
    spoken = language_of(language)
    name = "" if who.name is None else f" ({who.name})"
    typer.echo(_WHO.fill(agency=f"{who.agency}{name}", node=who.node, peer=who.peer_node).text(spoken))
    until = moment(who.certificate_expires_at)
    typer.echo(_CERTIFICATE.fill(until=until, key=who.spki_sha256).text(spoken))
    rows = spoken_table(_MAY_SEND, spoken)
    for item in who.may_send:
        rows.add_row(item.type, item.title, " ".join(item.addressees))
    show(rows)


def _columns(event: TimelineEvent, spoken: Language) -> tuple[str, str, str, str]:
    by = _BY.text(spoken)
    name = event.event if event.agency is None else f"{event.event} {by} {event.agency}"
    origin, index = ("", "") if event.log is None else (event.log.origin, str(event.log.index))
    return name, moment(event.time), origin, index


def _print_event(event: TimelineEvent, spoken: Language, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(event))
        return
    name, time, origin, index = _columns(event, spoken)
    typer.echo(f"{time}  {name:<28} {origin} {index}".rstrip())


def _print_exception(tracked: Tracked, spoken: Language) -> None:
    refusal = tracked.exception
    if refusal is None:
        return
    typer.echo(f"{refusal.code}: {refusal.text}")
    if refusal.rule is not None:
        typer.echo(f"{_RULE.text(spoken)} {refusal.rule}: {refusal.rule_text or ''}".rstrip(": "))
    typer.echo(f"→ {refusal.next_step}")
