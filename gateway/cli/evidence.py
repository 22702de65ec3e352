"""`entente evidence`: files that prove one message to whoever has public keys and nothing else.

An agency gets the file from its node, over the API; an auditor takes it from a node home,
never with the content key. Whoever has such a file verifies it offline.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from gateway.app import read_schedule
from gateway.audit.evidence import EvidenceReport, verify_evidence
from gateway.audit.folder import shown
from gateway.audit.trust import read_trust
from gateway.cli.agency import UrlOption, answering, client_of
from gateway.cli.auditing import HomeOption, JsonOption, TrustOption, print_table, trusted
from gateway.cli.home_logs import open_home
from gateway.configured import pair_of
from gateway.core.evidence import MAX_EVIDENCE_BYTES
from gateway.node.evidence import gather
from gateway.node.inbox import NotFoundError
from gateway.ports import Transaction

app = typer.Typer(no_args_is_help=True, help="Evidence: prove one message to others, and check such a file.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Message id.")]
AsOption = Annotated[
    Path | None,
    typer.Option("--as", envvar="ENTENTE_AS", help="Agency that sent or received it.", show_default=False),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="File to write; default evidence-ID.zip.", dir_okay=False)
]


@app.command()
def export(
    message_id: IdArgument,
    folder: AsOption = None,
    url: UrlOption = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="Or take it from this node home.", exists=True)
    ] = None,
    out: OutOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write what proves origin, delivery and acceptance of a message; its content stays sealed.

    Examples: entente evidence export 01a20847-0135-7993-b063-b5d5cb27d3ff --as agencies/US.CBP.NTC

    entente evidence export 01a20847-0135-7993-b063-b5d5cb27d3ff --home var/demo/fr
    """
    identifier = _identifier(message_id)
    if home is not None:
        with answering():
            archive = _from_home(home, identifier)
    elif folder is not None:
        with client_of(folder, url, "en") as client:
            archive = client.evidence(str(identifier))
    else:
        msg = "give --as, or --home"
        raise typer.BadParameter(msg)
    _write(archive, identifier, out, json_output=json_output)


@app.command()
def disclose(
    message_id: IdArgument,
    folder: Annotated[
        Path, typer.Option("--as", envvar="ENTENTE_AS", help="Agency that sent or received it.")
    ],
    url: UrlOption = None,
    out: OutOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write the same with the key to this message's content, which opens no other. It is logged.

    Example: entente evidence disclose 01a20847-0135-7993-b063-b5d5cb27d3ff --as agencies/US.CBP.NTC
    """
    identifier = _identifier(message_id)
    with client_of(folder, url, "en") as client:
        archive = client.evidence(str(identifier), disclose=True)
    _write(archive, identifier, out, json_output=json_output)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Evidence of a message.", dir_okay=False)],
    trust: TrustOption = None,
    home: HomeOption = None,
    extract: Annotated[
        Path | None, typer.Option("--extract", help="Write the disclosed message to this file.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Say what a file of evidence proves, with keys that did not come with it.

    Example: entente evidence verify evidence-01a20847.zip --trust /media/safe/keys --extract message.json
    """
    keys_in = trusted(trust, home)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_EVIDENCE_BYTES + 1)
    except OSError as error:
        msg = f"{shown(file.name)} cannot be read"
        raise typer.BadParameter(msg) from error
    with answering():
        keys = read_trust(keys_in)
    report = verify_evidence(data, trust=keys)
    if extract is not None and report.message is not None:
        _save(extract, report.message)
    _print(report, json_output=json_output)
    if extract is not None and report.is_verified and report.message is None:
        typer.echo("the content is not disclosed: nothing to extract", err=True)
        raise typer.Exit(1)
    if not report.is_verified:
        raise typer.Exit(1)


def _identifier(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        msg = "a message id is a UUID"
        raise typer.BadParameter(msg) from error


def _from_home(home: Path, message_id: UUID) -> bytes:
    with open_home(home) as logs:
        pair, schedule = pair_of(logs.config), read_schedule(home, logs.config)

        def load(tx: Transaction) -> bytes:
            row = tx.threads.rows([message_id.bytes]).get(message_id.bytes)
            if row is None:
                msg = "this node knows no such message"
                raise NotFoundError(msg)
            return gather(tx, pair, schedule, row).encode()

        return logs.read(load)


def _write(archive: bytes, message_id: UUID, out: Path | None, *, json_output: bool) -> None:
    path = out or Path(f"evidence-{message_id}.zip")
    _save(path, archive)
    if json_output:
        typer.echo(json.dumps({"message_id": str(message_id), "file": str(path), "bytes": len(archive)}))
    else:
        typer.echo(
            f"{path}: {len(archive)} bytes; its README.txt tells how to check it without this software"
        )


def _save(path: Path, content: bytes) -> None:
    """Write a file for its owner alone: evidence may open a message."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        typer.echo(f"{shown(path.name)} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from error


def _print(report: EvidenceReport, *, json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(report.as_json(), ensure_ascii=True))
        return
    typer.echo(report.headline)
    print_table(
        "what it shows" if report.is_verified else "what it claims", list(report.facts), report.checks
    )
