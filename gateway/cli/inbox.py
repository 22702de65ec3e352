"""`entente inbox` and `entente ack`: read what arrived, and acknowledge it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, cast

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
from gateway.client import Client, LogPlace, ProblemError, Received
from gateway.client.transport import Language
from gateway.core.message.banner import banner, equivalent
from gateway.core.message.defang import defanged
from gateway.core.message.wording import Wording
from gateway.keyring.files import fsync_folder

_EMPTY: Final = Wording(en="The inbox is empty.", fr="La boîte de réception est vide.")
_MESSAGE: Final = Wording(en="message", fr="message")
_TYPE: Final = Wording(en="type", fr="type")
_FROM: Final = Wording(en="from", fr="de")
_TO: Final = Wording(en="to", fr="à")
_CONVERSATION: Final = Wording(en="conversation", fr="échange")
_RECEIVED: Final = Wording(en="received", fr="reçu")
_COLLECTED: Final = Wording(en="collected", fr="relevé")
_IN_LOG: Final = Wording(en="in log", fr="au journal")
_CHECKPOINT: Final = Wording(en="checkpoint", fr="checkpoint")
_RECEIPT: Final = Wording(en="receipt", fr="récépissé")
_CHANGED: Final = Wording(en="changed", fr="modifié")
_IN_FORCE: Final = Wording(en="in force now:", fr="en vigueur maintenant :")
_NUMBERED: Final = Wording(en="{id} no. {seq}", fr="{id} nº {seq}")
_NOT_YET: Final = Wording(en="not yet", fr="pas encore")
_NOT_LOGGED: Final = Wording(en="not logged yet", fr="pas encore au journal")
_AT: Final = Wording(en="{origin} at {index}", fr="{origin}, numéro {index}")
_SIZE_AND_ROOT: Final = Wording(en="size {size}, root {root}", fr="taille {size}, racine {root}")
_LIST: Final = (
    Wording(en="precedence", fr="urgence"),
    _TYPE,
    _FROM,
    _RECEIVED,
    Wording(en="reply by", fr="réponse avant"),
    Wording(en="id", fr="identifiant"),
    Wording(en="marking", fr="marquage"),
    Wording(en="flags", fr="signes"),
)


def inbox_command(
    folder: AsOption,
    message_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show this message, with what was verified.")
    ] = None,
    url: UrlOption = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait while there is nothing, up to 60.")] = 0.0,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many messages.")] = 100,
    collected: Annotated[bool, typer.Option("--collected", help="What was acknowledged instead.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Store each message here as ID.json.", file_okay=False)
    ] = None,
    ack: Annotated[
        bool, typer.Option("--ack", help="Acknowledge what was stored with --out, and what was erased.")
    ] = False,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """List the inbox by precedence, then arrival; or show or store messages.

    Web addresses in a message that is shown are defanged (hxxps://host[.]example); with --json and
    --out it is as it was sent.

    Example: entente inbox --as agencies/US.CBP.NTC --wait 30 --out received --ack
    """
    if ack and out is None:
        msg = "--ack needs --out: what is acknowledged has to be stored first"
        raise typer.BadParameter(msg)
    with client_of(folder, url, language) as client:
        if message_id is not None:
            print_message(client.read(message_id), language_of(language), as_json=as_json)
            return
        page = client.inbox_page(wait_s=min(wait, 60.0), limit=limit, collected=collected)
        if out is not None:
            _store(client, page.messages, out, ack=ack)
        if as_json:
            for received in page.messages:
                print_json(asdict(received))
        else:
            print_messages(page.messages, language_of(language))


def ack_command(
    message_ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of messages.")],
    folder: AsOption,
    url: UrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Acknowledge messages: they are stored here. The sender learns it through the log.

    Example: entente ack 01a20847-0135-7993-b063-b5d5cb27d3ff --as agencies/US.CBP.NTC
    """
    with client_of(folder, url, language) as client:
        results = client.ack_batch(message_ids)
        refused: ProblemError | None = None
        for message_id, result in zip(message_ids, results, strict=True):
            if isinstance(result, ProblemError):
                refused = refused or result
            elif as_json:
                print_json({"message_id": message_id, "collected_at": result})
            else:
                typer.echo(f"collected  {message_id}  {moment(result)}")
        # Those that could be acknowledged are, whatever stood beside them.
        if refused is not None:
            raise refused


def print_messages(messages: tuple[Received, ...], spoken: Language = "en") -> None:
    """Print a page of the inbox as a table."""
    if not messages:
        typer.echo(_EMPTY.text(spoken))
        return
    rows = spoken_table(_LIST, spoken)
    for item in messages:
        summary = item.summary
        rows.add_row(
            summary.precedence,
            summary.type,
            summary.sender,
            moment(item.received_at),
            moment(summary.reply_by),
            summary.message_id,
            "" if item.message is None else banner(_marking(item)),
            " ".join((*item.flags, *_changes(item), *(() if item.message else ("erased",)))),
        )
    show(rows)


def print_message(received: Received, spoken: Language = "en", *, as_json: bool) -> None:
    """Print one message with what was verified, between its banners, web addresses defanged."""
    if as_json:
        print_json(asdict(received))
        return
    summary = received.summary
    facts: list[tuple[Wording, str]] = [
        (_MESSAGE, summary.message_id),
        (_TYPE, summary.type),
        (_FROM, summary.sender),
        (_TO, ", ".join(summary.addressees)),
        (_CONVERSATION, _NUMBERED.fill(id=summary.conversation_id, seq=str(summary.seq)).text(spoken)),
        (_RECEIVED, moment(received.received_at)),
        (_COLLECTED, moment(received.collected_at) or _NOT_YET.text(spoken)),
    ]
    if received.verification is not None:
        verified = received.verification
        receipt = verified.receipt
        checkpoint = {"size": str(verified.checkpoint_size), "root": verified.checkpoint_root}
        facts += [
            (_IN_LOG, _place(verified.log, spoken)),
            (_CHECKPOINT, _SIZE_AND_ROOT.fill(**checkpoint).text(spoken)),
            (_RECEIPT, _NOT_LOGGED.text(spoken) if receipt is None else _place(receipt, spoken)),
        ]
    changes = _changes(received)
    if changes:
        facts.append((_CHANGED, ", ".join(changes)))
    for name, value in facts:
        typer.echo(f"{name.text(spoken):<13} {value}")
    if received.message is None:
        return
    # Above and below the text, as on paper: what is torn off stays marked.
    line = _line(_marking(received))
    typer.echo(f"\n{line}\n")
    typer.echo(json.dumps(defanged(received.message), indent=2, ensure_ascii=False))
    if received.in_force is not None:
        typer.echo(f"\n{_IN_FORCE.text(spoken)}")
        typer.echo(json.dumps(defanged(received.in_force), indent=2, ensure_ascii=False))
    typer.echo(f"\n{line}")


def _place(place: LogPlace, spoken: Language) -> str:
    return _AT.fill(origin=place.origin, index=str(place.index)).text(spoken)


def banner_line(message: Mapping[str, Any]) -> str:
    """Return the banner of a message and what it equals in the other nation."""
    return _line(message["header"]["marking"])


def _line(marking: Mapping[str, Any]) -> str:
    return f"{banner(marking)}  (= {equivalent(marking)})"


def _marking(received: Received) -> Mapping[str, Any]:
    """Return the marking in force of a message that is not erased."""
    terms = None if received.in_force is None else received.in_force["terms"]
    marking = (received.message or {})["header"]["marking"] if terms is None else terms["marking"]
    return cast("Mapping[str, Any]", marking)


def _changes(received: Received) -> tuple[str, ...]:
    """Return in words what became of a message."""
    changed = received.in_force or {}
    words = {
        "corrected": changed.get("corrected_by"),
        "retracted": changed.get("retracted_by"),
        "terms-changed": changed.get("terms"),
        "consent-asked": changed.get("consents"),
    }
    return tuple(word for word, found in words.items() if found)


def _store(client: Client, messages: tuple[Received, ...], out: Path, *, ack: bool) -> None:
    """Write each message to its own file, durable before it is acknowledged.

    Of an erased one there is nothing to write. It is acknowledged as any other: left in the inbox it would
    be listed again and again, before what is less urgent.
    """
    out.mkdir(parents=True, exist_ok=True)
    for item in messages:
        if item.message is None:
            continue
        path = out / f"{item.message_id}.json"
        with path.open("w", encoding="utf-8") as file:
            json.dump(item.message, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
    if ack:
        fsync_folder(out)
        fsync_folder(out.parent)
        for result in client.ack_batch([item.message_id for item in messages]):
            if isinstance(result, ProblemError):
                raise result
