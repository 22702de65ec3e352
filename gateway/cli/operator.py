"""What the commands of operators and auditors share: who they are, and calls of the operator port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID

import orjson
import typer

from gateway.cli.agency import answering, language_of
from gateway.client import Retries
from gateway.client.errors import AnswerUnreadableError
from gateway.client.identity import known_url, open_context
from gateway.client.transport import Call, Language, Transport

OperatorOption = Annotated[
    Path,
    typer.Option(
        "--as",
        envvar="ENTENTE_OPS_AS",
        help="Folder of the operator or auditor: client.pem, client.key, ca.pem.",
        show_default=False,
    ),
]
OpsUrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="ENTENTE_OPS_URL",
        help="Address of the operator port; else the one in the file `url` of the operator's folder.",
        show_default=False,
    ),
]
ReasonOption = Annotated[
    str,
    typer.Option("--reason", help="Why, at most 500 characters. Its digest goes into the audit log."),
]


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a message.")]


def uuid_of(text: str) -> str:
    """Return an id in the one form that the operator port takes.

    Raises:
        typer.BadParameter: It is no UUID.
    """
    try:
        return str(UUID(text))
    except ValueError as error:
        msg = "an id is a UUID"
        raise typer.BadParameter(msg) from error


class OperatorPort:
    """The operator port of a running node, for one command.

    Attributes:
        language: Language of whoever gave the command.
    """

    def __init__(self, folder: Path, url: str | None, language: str) -> None:
        """Say who calls, and where; nothing is opened yet."""
        self._folder = folder
        self._url = url
        self.language: Language = language_of(language)

    def get(self, path: str) -> dict[str, Any]:
        """Return what the node answers; a refusal ends the command with exit status 1."""
        return self._call(Call(method="GET", path=path))

    def post(self, path: str, document: Mapping[str, str | int | None]) -> dict[str, Any]:
        """Send a decision and return the answer; a refusal ends the command with exit status 1."""
        return self._call(Call(method="POST", path=path, body=orjson.dumps(dict(document))))

    def _call(self, call: Call) -> dict[str, Any]:
        with answering(self.language):
            return asyncio.run(self._answer(call))

    async def _answer(self, call: Call) -> dict[str, Any]:
        transport = Transport(
            known_url(self._folder, self._url),
            context=open_context(self._folder),
            language=self.language,
            retries=Retries(),
        )
        try:
            body = await transport.call(call)
        finally:
            await transport.close()
        try:
            document = orjson.loads(body)
        except ValueError as error:
            msg = "the answer is not one of an operator port"
            raise AnswerUnreadableError(msg) from error
        return cast("dict[str, Any]", document)
