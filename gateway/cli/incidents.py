"""`entente incidents`: what a node has recorded that operators and auditors have to know."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from gateway.cli.agency import JsonOption, LanguageOption, language_of, print_json, show, spoken_table
from gateway.cli.operator import OperatorOption, OperatorPort, OpsUrlOption
from gateway.core.message.wording import Wording

_NONE: Final = Wording(en="No incidents.", fr="Aucun incident.")
_COLUMNS: Final = (
    Wording(en="at", fr="quand"),
    Wording(en="kind", fr="type"),
    Wording(en="log", fr="journal"),
    Wording(en="size", fr="taille"),
    Wording(en="what to do", fr="que faire"),
)


def incidents_command(
    folder: OperatorOption,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="At most so many.")] = 100,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """List incidents, the newest first: what happened, and what to do.

    Example: entente incidents --as operators/AUDITOR --language fr
    """
    spoken = language_of(language)
    found = OperatorPort(folder, url, language).get(f"/ops/v1/incidents?limit={limit}")["incidents"]
    if as_json:
        for incident in found:
            print_json(incident)
        return
    if not found:
        typer.echo(_NONE.text(spoken))
        return
    rows = spoken_table(_COLUMNS, spoken)
    for incident in found:
        advice = f"{incident['says']} → {incident['do']}"
        rows.add_row(incident["at"], incident["kind"], incident["origin"], str(incident["size"]), advice)
    show(rows)
