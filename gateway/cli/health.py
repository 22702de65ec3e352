"""`entente health`: ask the node of a home how it is, without a certificate.

What a container's health check runs, so it imports next to nothing.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from gateway.keyring.home import NodeHome

_ANSWER_S: Final = 5.0
_MAX_ANSWER_BYTES: Final = 65_536
_READ_BYTES: Final = 4_096


def health_command(
    home: Annotated[Path, typer.Option("--home", help="Node home, the folder with gateway.toml.")],
    *,
    live: Annotated[bool, typer.Option("--live", help="Ask only whether the process answers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether the node of a home accepts, signs and writes. Exit status 0 if it does, else 1.

    `degraded` is ready too: it says that somebody is needed, and a line each says for what.

    Run it on the node's machine as the node's user: it asks the socket in the data folder.

    Example: entente health --home var/demo/fr
    """
    try:
        answer = ask_health(NodeHome(path=home).health_socket)
    except (OSError, ValueError) as error:
        typer.echo(f"no answer from the node: is it running? ({type(error).__name__})", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(orjson.dumps(answer).decode())
    else:
        peer = "reached" if answer["peer"]["reachable"] else "not reached"
        typer.echo(f"{answer['status']}: {answer['phase']}, peer {peer}, {answer['waiting']} waiting")
        for reason in answer["reasons"]:
            typer.echo(f"  {reason['code']}: {reason['says']} {reason['do']}")
    if not live and answer["status"] == "not-ready":
        raise typer.Exit(1)


def ask_health(path: Path) -> dict[str, Any]:
    """Return the node's answer.

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
    return answer
