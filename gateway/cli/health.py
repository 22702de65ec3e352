"""`entente health`: ask the node of a home how it is, without a certificate.

What a container's health check runs, so it imports next to nothing.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from gateway.core.message.wording import Language, Wording
from gateway.keyring.home import NodeHome

_ANSWER_S: Final = 5.0
_MAX_ANSWER_BYTES: Final = 65_536
_READ_BYTES: Final = 4_096

_SUMMARY: Final = Wording(
    en="{status}: {phase}, peer {peer}, {waiting} waiting",
    fr="{status} : {phase}, pair {peer}, {waiting} en attente",
)
_REACHED: Final = Wording(en="reached", fr="joint")
_NOT_REACHED: Final = Wording(en="not reached", fr="pas joint")
_SILENT: Final = Wording(
    en="no answer from the node: is it running? ({error})",
    fr="pas de réponse du nœud : tourne-t-il ? ({error})",
)


def health_command(
    home: Annotated[Path, typer.Option("--home", help="Node home, the folder with gateway.toml.")],
    *,
    live: Annotated[bool, typer.Option("--live", help="Ask only whether the process answers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    language: Annotated[
        str, typer.Option("--language", envvar="ENTENTE_LANGUAGE", help="Language of messages: en or fr.")
    ] = "en",
) -> None:
    """Say whether the node of a home accepts, signs and writes. Exit status 0 if it does, else 1.

    `degraded` is ready too: it says that somebody is needed, and a line each says for what.

    Run it on the node's machine as the node's user: it asks the socket in the data folder.

    Example: entente health --home var/demo/fr
    """
    spoken: Language = "en" if language == "en" else _other_than_english(language)
    try:
        answer = ask_health(NodeHome(path=home).health_socket)
    except (OSError, ValueError) as error:
        typer.echo(_SILENT.fill(error=type(error).__name__).text(spoken), err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(orjson.dumps(answer).decode())
    else:
        peer = (_REACHED if answer["peer"]["reachable"] else _NOT_REACHED).text(spoken)
        facts = {name: str(answer[name]) for name in ("status", "phase", "waiting")}
        typer.echo(_SUMMARY.fill(peer=peer, **facts).text(spoken))
        for reason in answer["reasons"]:
            typer.echo(f"  {reason['code']}: {_in_words(reason, spoken)}")
    if not live and answer["status"] == "not-ready":
        raise typer.Exit(1)


def _other_than_english(language: str) -> Language:
    # Imported late: a container asks for its health every few seconds, and in English.
    from gateway.cli.agency import language_of  # noqa: PLC0415

    return language_of(language)


def _in_words(reason: dict[str, str], spoken: Language) -> str:
    """Return what a reason means and what to do; the node itself says it in English."""
    if spoken != "en":
        from gateway.console.words import HEALTH  # noqa: PLC0415 - late for the same cause

        if (advice := HEALTH.get(reason["code"])) is not None:
            return f"{advice.says.text(spoken)} {advice.do.text(spoken)}"
    return f"{reason['says']} {reason['do']}"


def ask_health(path: Path) -> dict[str, Any]:
    """Return the node's answer. During an upgrade the node may be of another release than this program.

    Raises:
        OSError: Nobody answers in time.
        ValueError: The answer is not one of a node.
    """
    received = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_S)
        connection.connect(str(path))
        while part := connection.recv(_READ_BYTES):
            received += part
            if len(received) > _MAX_ANSWER_BYTES:
                msg = "the answer is too long"
                raise ValueError(msg)
    answer = orjson.loads(received)
    if not isinstance(answer, dict):
        msg = "the answer is not an object"
        raise ValueError(msg)  # noqa: TRY004 - of the answer, not of an argument
    # Release 0.1.0 says neither.
    return {"reasons": [], "overdue": 0} | answer
