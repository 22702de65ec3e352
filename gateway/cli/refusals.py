"""Refusals of commands that work on a node's files, for people of both nations.

The text of an error is English, and says exactly what was found; in French, what kind of refusal
it is stands before it. The code is the same in both languages, and docs/keys.md explains it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import typer

from gateway.client.transport import Language
from gateway.core.message.wording import Wording
from gateway.errors import GatewayError

_FRENCH: Final[Mapping[str, str]] = {
    "backup-refused": "la sauvegarde est refusée",
    "catalogue-invalid": "le catalogue est inutilisable",
    "ceremony-refused": "la cérémonie ne peut pas se faire ainsi",
    "config-invalid": "la configuration est inutilisable",
    "high-water": "le fichier high-water est inutilisable",
    "key-file-refused": "un fichier de clé est refusé",
    "orders": "le fichier des ordres est inutilisable",
    "peer-identity": "ce n'est pas le pair attendu qui répond",
    "reference-list-invalid": "une liste de référence est illisible",
    "statement-refused": "une déclaration de clés est refusée",
    "store-failed": "la base de données est inutilisable",
    "trust-refused": "un fichier de confiance est refusé",
    "unavailable": "le pair ne répond pas",
}


def told(error: GatewayError) -> Wording:
    """Return what an error says, with the kind of the refusal before it in French."""
    french = _FRENCH.get(error.code)
    return Wording(en=str(error), fr=str(error) if french is None else f"{french} : {error}")


@contextmanager
def reporting(spoken: Language) -> Iterator[None]:
    """Turn a refusal into one line on standard error and exit status 1."""
    try:
        yield
    except GatewayError as error:
        typer.echo(f"{error.code}: {told(error).text(spoken)}", err=True)
        raise typer.Exit(1) from error
