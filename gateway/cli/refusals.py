"""Refusals of commands that work on a node's files, for people of both nations.

The text of an error says exactly what was found, in English; `gateway.cli.french` has it in French,
and the kind of refusal stands before it there. The code is the same in both languages, and
docs/keys.md explains it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import typer

from gateway.cli.french import in_french
from gateway.cli.refusal_words import FILES, TOKENS
from gateway.client.transport import Language
from gateway.core.message.wording import Wording
from gateway.errors import GatewayError
from gateway.keyring.refusals import KeyFileError, TokenError

_FRENCH: Final[Mapping[str, str]] = {
    "backup-refused": "la sauvegarde est refusée",
    "catalogue-invalid": "le catalogue est inutilisable",
    "ceremony-refused": "la cérémonie ne peut pas se faire ainsi",
    "config-invalid": "la configuration est inutilisable",
    "high-water": "le fichier high-water est inutilisable",
    "orders": "le fichier des ordres est inutilisable",
    "peer-identity": "ce n'est pas le pair attendu qui répond",
    "reference-list-invalid": "une liste de référence est illisible",
    "statement-refused": "une déclaration de clés est refusée",
    "store-failed": "la base de données est inutilisable",
    "trust-refused": "un fichier de confiance est refusé",
    "unavailable": "le pair ne répond pas",
}


def told(error: GatewayError) -> Wording:
    """Return what an error says in both languages, in French with the kind of the refusal before it."""
    if isinstance(error, KeyFileError):
        return Wording(en=str(error), fr=f"{error.path.name} {FILES[error.refusal]} [{error.path}]")
    if isinstance(error, TokenError):
        about = str(error).removeprefix(error.refusal.value)
        return Wording(en=str(error), fr=f"{TOKENS[error.refusal]}{about}")
    kind, french = _FRENCH.get(error.code), in_french(str(error)) or str(error)
    return Wording(en=str(error), fr=french if kind is None else f"{kind} : {french}")


@contextmanager
def reporting(spoken: Language) -> Iterator[None]:
    """Turn a refusal into one line on standard error and exit status 1."""
    try:
        yield
    except GatewayError as error:
        typer.echo(f"{error.code}: {told(error).text(spoken)}", err=True)
        raise typer.Exit(1) from error
