"""`entente conversations`: what is discussed, where it stands, and what is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any, Final

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
from gateway.client import Change, Conversation, Room
from gateway.core.message.threads.progress import RequestState
from gateway.core.message.wording import Language, Wording

STATES: Final = {
    "OPEN": Wording(en="open", fr="ouverte"),
    "ACKNOWLEDGED": Wording(en="acknowledged", fr="prise en charge"),
    "WAITING_INFO": Wording(en="waiting for information", fr="en attente d'informations"),
    "PARTLY_ANSWERED": Wording(en="partly answered", fr="réponse partielle"),
    "POSTPONED": Wording(en="postponed", fr="en sursis"),
    "ANSWERED": Wording(en="answered", fr="répondue"),
    "REFUSED": Wording(en="refused", fr="refusée"),
    "CANCELLED": Wording(en="cancelled", fr="retirée"),
    "OVERDUE": Wording(en="overdue", fr="en retard"),
    "FOR_INFORMATION": Wording(en="for information", fr="pour information"),
}
DEADLINES: Final = {
    "reply_by": Wording(en="answer", fr="réponse"),
    "expected_by": Wording(en="answer promised", fr="réponse promise"),
    "next_part_by": Wording(en="next part", fr="partie suivante"),
    "more_by": Wording(en="more about the action", fr="suite de l'action"),
    "postponed_until": Wording(en="end of the postponement", fr="fin du sursis"),
    "follow_up_by": Wording(en="follow-up of a hit", fr="suite d'une concordance"),
    "certificate_by": Wording(en="deletion certificate", fr="attestation d'effacement"),
    "feedback_by": Wording(en="feedback", fr="retour d'expérience"),
    "delete_by": Wording(en="content is deleted", fr="effacement du contenu"),
    "room_ends_at": Wording(en="end of the room", fr="fin de la salle"),
}
CHANGES: Final = {
    "corrected": Wording(en="corrected", fr="rectifié"),
    "retracted": Wording(en="retracted", fr="rétracté"),
    "use-changed": Wording(en="terms changed", fr="conditions modifiées"),
    "consent-asked": Wording(en="consent asked", fr="autorisation demandée"),
}

_NONE: Final = Wording(en="No conversations.", fr="Aucune conversation.")
_LIST: Final = (
    Wording(en="state", fr="état"),
    Wording(en="open until", fr="échéance"),
    Wording(en="type", fr="type"),
    Wording(en="opened by", fr="ouverte par"),
    Wording(en="messages", fr="messages"),
    Wording(en="last message", fr="dernier message"),
    Wording(en="id", fr="identifiant"),
)
_MESSAGES: Final = (
    Wording(en="no.", fr="nº"),
    Wording(en="from", fr="de"),
    Wording(en="type", fr="type"),
    Wording(en="created", fr="créé"),
    Wording(en="status", fr="statut"),
    Wording(en="id", fr="identifiant"),
    Wording(en="changes", fr="modifications"),
)
_REQUESTS: Final = (
    Wording(en="request", fr="demande"),
    Wording(en="state", fr="état"),
    Wording(en="answer due", fr="réponse due"),
    Wording(en="last step", fr="dernière étape"),
    Wording(en="by", fr="par"),
    Wording(en="id", fr="identifiant"),
)
_DUE: Final = (
    Wording(en="due", fr="échéance"),
    Wording(en="what", fr="objet"),
    Wording(en="by", fr="par"),
    Wording(en="message", fr="message"),
    Wording(en="", fr=""),
)
_OPEN_UNTIL: Final = Wording(en=", open until {time}", fr=", ouverte jusqu'au {time}")
_MISSING: Final = Wording(en="missing from {agency}: {numbers}", fr="manquent de {agency} : {numbers}")
_OVERDUE: Final = Wording(en="overdue", fr="en retard")
_ASKED: Final = Wording(en="asked, not owed", fr="souhaité, non dû")
_NODES: Final = Wording(en="both nodes", fr="les deux nœuds")
_ROOM: Final = Wording(
    en="room of {operation}, {starts} to {ends}{closed}",
    fr="salle {operation}, du {starts} au {ends}{closed}",
)
_CLOSED: Final = Wording(en=", closed {time} by {agency}", fr=", close le {time} par {agency}")
_MEMBERS: Final = (Wording(en="member", fr="membre"), Wording(en="role", fr="rôle"))
_TYPES: Final = Wording(en="types: {types}", fr="types : {types}")
_TERMS: Final = Wording(
    en="terms in force of {id}: {level}; {codes}; evidence {evidence}; {dissemination}; onward {onward}; "
    "delete by {delete_by}",
    fr="conditions en vigueur de {id} : {level} ; {codes} ; preuve {evidence} ; {dissemination} ; "
    "transmission {onward} ; effacement {delete_by}",
)


def conversations_command(
    folder: AsOption,
    conversation_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show this conversation with its messages.")
    ] = None,
    url: UrlOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 50,
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="Only conversations in this state, such as OPEN or OVERDUE; may be repeated.",
            show_default=False,
        ),
    ] = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """List conversations, open ones first by their deadline; or show one with all that is due.

    Example: entente conversations --as agencies/FR.DGDDI.SARC --state OVERDUE --state OPEN
    """
    wanted = [item.upper() for item in state or ()]
    if not set(wanted) <= set(RequestState):
        msg = "one of: " + ", ".join(RequestState)
        raise typer.BadParameter(msg, param_hint="--state")
    spoken = language_of(language)
    with client_of(folder, url, language) as client:
        if conversation_id is not None:
            found = [client.conversation(conversation_id)]
        else:
            found = list(islice(client.conversations(limit=min(limit, 200), states=wanted), limit))
    if as_json:
        for conversation in found:
            print_json(asdict(conversation))
    elif conversation_id is not None:
        _show_one(found[0], spoken)
    else:
        _list_all(found, spoken)


def _list_all(found: Sequence[Conversation], spoken: Language) -> None:
    if not found:
        typer.echo(_NONE.text(spoken))
        return
    rows = spoken_table(_LIST, spoken)
    for item in found:
        rows.add_row(
            _word(STATES, item.state, spoken),
            moment(item.open_until),
            item.type,
            item.opened_by,
            str(item.count),
            moment(item.last_message_at),
            item.conversation_id,
        )
    show(rows)


def _show_one(conversation: Conversation, spoken: Language) -> None:
    until = conversation.open_until
    deadline = "" if until is None else _OPEN_UNTIL.fill(time=moment(until)).text(spoken)
    typer.echo(f"{conversation.conversation_id}  {_word(STATES, conversation.state, spoken)}{deadline}")
    for agency, numbers in sorted(conversation.missing.items()):
        typer.echo(_MISSING.fill(agency=agency, numbers=", ".join(map(str, numbers))).text(spoken))
    if conversation.room is not None:
        _show_room(conversation.room, spoken)
    _show_messages(conversation, spoken)
    if conversation.requests:
        rows = spoken_table(_REQUESTS, spoken)
        for item in conversation.requests:
            rows.add_row(
                item.type,
                _word(STATES, item.state, spoken),
                moment(item.due),
                "" if item.last is None else item.last.type,
                "" if item.last is None else item.last.sender,
                item.message_id,
            )
        typer.echo()
        show(rows)
    _show_deadlines(conversation, spoken)


def _show_messages(conversation: Conversation, spoken: Language) -> None:
    rows = spoken_table(_MESSAGES, spoken)
    for item in conversation.messages:
        changes = conversation.changes.get(item.message_id, ())
        rows.add_row(
            str(item.seq),
            item.sender,
            item.type,
            moment(item.created_at),
            item.status,
            item.message_id,
            ", ".join(_change(change, spoken) for change in changes),
        )
    show(rows)
    for message_id, terms in conversation.terms.items():
        typer.echo(_terms(message_id, terms).text(spoken))


def _show_deadlines(conversation: Conversation, spoken: Language) -> None:
    if not conversation.deadlines:
        return
    rows = spoken_table(_DUE, spoken)
    for item in conversation.deadlines:
        notes = [note.text(spoken) for note in _notes(overdue=item.overdue, owed=item.owed)]
        rows.add_row(
            moment(item.at),
            _word(DEADLINES, item.kind, spoken),
            " ".join(item.agencies) or _NODES.text(spoken),
            item.message_id,
            ", ".join(notes),
        )
    typer.echo()
    show(rows)


def _show_room(room: Room, spoken: Language) -> None:
    closed = ""
    if room.closed_by is not None:
        closed = _CLOSED.fill(time=moment(room.closed_by.created_at), agency=room.closed_by.sender).text(
            spoken
        )
    line = _ROOM.fill(
        operation=room.operation, starts=moment(room.starts_at), ends=moment(room.ends_at), closed=closed
    )
    typer.echo(line.text(spoken))
    typer.echo(_TYPES.fill(types=" ".join(room.allowed_types)).text(spoken))
    rows = spoken_table(_MEMBERS, spoken)
    for agency, role in room.members.items():
        rows.add_row(agency, role)
    show(rows)
    typer.echo()


def _notes(*, overdue: bool, owed: bool) -> list[Wording]:
    return [_OVERDUE] * overdue + [_ASKED] * (not owed)


def _change(change: Change, spoken: Language) -> str:
    return f"{_word(CHANGES, change.change, spoken)} {moment(change.created_at)}"


def _terms(message_id: str, terms: dict[str, Any]) -> Wording:
    use = terms["use"]
    return _TERMS.fill(
        id=message_id,
        level=terms["marking"]["level"],
        codes=" ".join(terms["handling"]["codes"]),
        evidence=use["evidence"],
        dissemination=use["dissemination"],
        onward=use["onward_transfer"],
        delete_by=terms["delete_by"] or "-",
    )


def _word(words: dict[str, Wording], code: str, spoken: Language) -> str:
    """Return the word for a code; a newer node may know one that this program does not."""
    word = words.get(code)
    return code if word is None else word.text(spoken)
