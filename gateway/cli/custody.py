"""`entente erase` and `entente hold`: what operators decide about content.

Both speak to a running node through its operator port.
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

app = typer.Typer(no_args_is_help=True, help="Legal hold: keep content from being erased while it is needed.")

SubjectArgument = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Id of a message.", show_default=False)
]
ConversationOption = Annotated[
    str | None,
    typer.Option(
        "--conversation", metavar="ID", help="Id of a conversation, with all that is still to come in it."
    ),
]


_ERASED: Final = Wording(
    en="erased at {at}: log {log}, index {index}", fr="effacé le {at} : journal {log}, index {index}"
)
_HELD: Final = Wording(
    en="held: {kept:message|messages} with content", fr="conservation : {kept:message|messages} avec contenu"
)
_LIFTED: Final = Wording(en="lifted", fr="levée")
_COLUMNS: Final = (
    Wording(en="since", fr="depuis"),
    Wording(en="what", fr="quoi"),
    Wording(en="id", fr="id"),
    Wording(en="reason", fr="motif"),
)


def erase_command(
    message_id: IdArgument,
    folder: OperatorOption,
    reason: ReasonOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Destroy the content of a message at this node, for good. Its proofs stay.

    The other node goes by its own dates and orders: ask its operators, or let the sender
    retract the message. What is on legal hold is not erased.

    Example: entente erase ID --reason "Order 12/2026" --as operators/OPERATOR
    """
    port = OperatorPort(folder, url, language)
    found = port.post(f"/ops/v1/messages/{uuid_of(message_id)}:erase", {"reason": reason})
    erased = found["erased"]
    says = _ERASED.fill(at=erased["at"], log=erased["audit_log"], index=str(erased["audit_index"]))
    _tell(found, says, language, as_json=as_json)


@app.command(
    "set",
    epilog='Example: entente hold set --conversation ID --reason "Trial 7/2026" --as operators/OPERATOR',
)
def set_command(
    folder: OperatorOption,
    reason: ReasonOption,
    message_id: SubjectArgument = None,
    conversation: ConversationOption = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Hold a message, or a conversation: its content is not erased until the hold is lifted."""
    port = OperatorPort(folder, url, language)
    found = port.post("/ops/v1/holds", {**_subject(message_id, conversation), "reason": reason})
    _tell(found, _HELD.fill(kept=found["kept"]), language, as_json=as_json)


@app.command("lift", epilog='Example: entente hold lift ID --reason "Trial over" --as operators/OPERATOR')
def lift_command(
    folder: OperatorOption,
    reason: ReasonOption,
    message_id: SubjectArgument = None,
    conversation: ConversationOption = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Lift a hold: what is over by now is erased within seconds."""
    port = OperatorPort(folder, url, language)
    found = port.post("/ops/v1/holds:lift", {**_subject(message_id, conversation), "reason": reason})
    _tell(found, _LIFTED, language, as_json=as_json)


@app.command("list", epilog="Example: entente hold list --as operators/AUDITOR")
def list_command(
    folder: OperatorOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """List what is held, since when and why."""
    holds = OperatorPort(folder, url, language).get("/ops/v1/holds")["holds"]
    if as_json:
        for hold in holds:
            print_json(hold)
        return
    rows = spoken_table(_COLUMNS, language_of(language))
    for hold in holds:
        # The same word in both languages.
        what = "conversation" if "conversation_id" in hold else "message"
        rows.add_row(hold["since"], what, hold[f"{what}_id"], hold["reason"])
    show(rows)


def _tell(found: dict[str, Any], says: Wording, language: str, *, as_json: bool) -> None:
    """Print what the node answered, for machines or for people."""
    if as_json:
        print_json(found)
    else:
        typer.echo(says.text(language_of(language)))


def _subject(message_id: str | None, conversation: str | None) -> dict[str, str]:
    """Return what a hold is about, as the operator port takes it."""
    if (message_id is None) == (conversation is None):
        msg = "either the id of a message, or --conversation with the id of a conversation"
        raise typer.BadParameter(msg)
    if conversation is not None:
        return {"conversation_id": uuid_of(conversation)}
    return {"message_id": uuid_of(message_id or "")}
