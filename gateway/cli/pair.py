"""`entente pair`: how the pair stands, and what operators decide when it cannot go on by itself.

The commands speak to a running node through its operator port. Only a node that has stopped,
because it cannot prove what it signed, is given its sign-off in its home.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.app import open_home
from gateway.cli.agency import JsonOption, LanguageOption, print_json
from gateway.cli.operator import OperatorPort, OpsUrlOption, ReasonOption
from gateway.cli.refusals import reporting
from gateway.config import resolve
from gateway.configured import open_store, pair_of
from gateway.core.entries import Role
from gateway.core.message.wording import Language, Wording
from gateway.node.advice import ADVICE
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.forks import GIVEN_UP
from gateway.node.log_writer import newest_generation
from gateway.node.resumption import BY_PEER, put_sign_off, remembered_generations, stored_generation
from gateway.ports import LogKind, Step, Transaction
from gateway.storage.highwater import FileHighWater
from gateway.system import SystemClock

app = typer.Typer(no_args_is_help=True, help="The pair: see how it stands, resume it, sign without the peer.")

_NAMES: Final[Mapping[str, Wording]] = {
    "phase": Wording(en="phase", fr="phase"),
    "generation": Wording(en="generation", fr="génération"),
    "frozen": Wording(en="frozen", fr="gelée"),
    "signed_off": Wording(en="signed off", fr="accord"),
    "peer": Wording(en="peer", fr="pair"),
    "fork": Wording(en="fork", fr="divergence"),
}
_NO: Final = Wording(en="no", fr="non")
_AWAY: Final = Wording(en="does not answer", fr="ne répond pas")
_PEER: Final = Wording(
    en="generation {generation}, signed off {signed}", fr="génération {generation}, accord {signed}"
)
_PEER_FROZEN: Final = Wording(en=f"{_PEER.en}, frozen", fr=f"{_PEER.fr}, gelée")
_FORK: Final = Wording(
    en="{origin} at size {size}, {at}, {notes:note|notes}",
    fr="{origin} à la taille {size}, {at}, {notes:note|notes}",
)
_SIGNS: Final = Wording(en="the node signs", fr="le nœud signe")

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--as",
        envvar="ENTENTE_OPS_AS",
        help="Folder of the operator or auditor: client.pem, client.key, ca.pem.",
        show_default=False,
    ),
]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Instead of --as: home of a node that has stopped because it cannot prove what it signed.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]


@app.command("show", epilog="Example: entente pair show --as operators/AUDITOR --save notes")
def show_command(
    folder: FolderOption = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write both notes of each proven fork here, for `entente audit notes`."),
    ] = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Show how the pair stands, who has signed off, and who has to act."""
    found = OperatorPort(_required(folder), url, language).get("/ops/v1/pair")
    if save is not None:
        _save(found, save)
    _print(found, _language(language), as_json=as_json)


@app.command("resume", epilog='Example: entente pair resume --reason "Case 7" --as operators/OPERATOR')
def resume_command(
    reason: ReasonOption,
    folder: FolderOption = None,
    home: HomeOption = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Sign off that a frozen pair goes on, in a new generation of both exchange logs.

    Both nodes have to sign off. The old logs stay, closed; messages that had not arrived are
    sent anew.
    """
    if home is not None:
        if folder is not None or url is not None:
            msg = "--home is for a node that has stopped: neither --as nor --url goes with it"
            raise typer.BadParameter(msg)
        with reporting(_language(language)):
            asyncio.run(_put_sign_off(home, reason))
        typer.echo(ADVICE["signed-off"].text(_language(language)))
        return
    port = OperatorPort(_required(folder), url, language)
    _print(port.post("/ops/v1/pair:resume", {"reason": reason}), _language(language), as_json=as_json)


@app.command("override", epilog='Example: entente pair override --reason "Line down" --as operators/OPERATOR')
def override_command(
    reason: ReasonOption,
    folder: FolderOption = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Let a node sign although its peer does not answer: you vouch that its database is no old copy.

    What the high-water file knows to be missing cannot be overridden.
    """
    found = OperatorPort(_required(folder), url, language).post("/ops/v1/pair:override", {"reason": reason})
    if as_json:
        print_json(found)
        return
    typer.echo(_SIGNS.text(_language(language)))


def _required(folder: Path | None) -> Path:
    if folder is None:
        msg = "--as with the folder of an operator or auditor is required"
        raise typer.BadParameter(msg)
    return folder


def _language(text: str) -> Language:
    return "fr" if text == "fr" else "en"


def _print(found: dict[str, Any], language: Language, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    peer, no = found["peer"], _NO.text(language)
    for name in ("phase", "generation", "frozen", "signed_off"):
        typer.echo(f"{_NAMES[name].text(language):<12}{found[name] or no}")
    if peer is None:
        says = _AWAY
    else:
        says = _PEER_FROZEN if peer["frozen"] else _PEER
        says = Wording(
            en=says.en.format(generation=peer["generation"], signed=peer["signed_off"] or _NO.en),
            fr=says.fr.format(generation=peer["generation"], signed=peer["signed_off"] or _NO.fr),
        )
    typer.echo(f"{_NAMES['peer'].text(language):<12}{says.text(language)}")
    for fork in found["forks"]:
        says = _FORK.fill(
            origin=fork["origin"], size=str(fork["size"]), at=fork["at"], notes=len(fork["notes"])
        )
        typer.echo(f"{_NAMES['fork'].text(language):<12}{says.text(language)}")
    advice = _advice(found)
    if advice:
        typer.echo(ADVICE[advice].text(language))


def _advice(found: dict[str, Any]) -> str:
    """Return which advice fits, or nothing."""
    peer = found["peer"] or {"signed_off": 0, "frozen": False, "leaps": False}
    if peer["leaps"]:
        return "peer-leaps"
    if found["signed_off"]:
        return "signed-off"
    if peer["signed_off"] > found["generation"]:
        return "peer-signed-off"
    if found["frozen"] not in {None, BY_PEER}:
        return "pair-frozen"
    if found["frozen"] or peer["frozen"]:
        return "peer-frozen"
    return "waiting-for-peer" if found["phase"] == "starting" else ""


def _save(found: dict[str, Any], folder: Path) -> None:
    """Write the notes of every fork, each to a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, fork in enumerate(found["forks"], 1):
        for letter, note in zip("ab", fork["notes"], strict=False):
            (folder / f"fork-{number}-{letter}").write_text(note, encoding="utf-8")


async def _put_sign_off(home: Path, reason: str) -> None:
    """Record a sign-off in the database of a node that has stopped."""
    opened = open_home(home)
    pair = pair_of(opened.config)
    marks = FileHighWater(resolve(home, opened.config.store.high_water_file)).read()
    store = open_store(home, opened.config)
    now_ms = SystemClock().now_ms()

    def put(tx: Transaction) -> None:
        own = stored_generation(tx, pair)
        audit = AuditLog(replace(pair, generation=own))
        audit.generation = newest_generation(tx, audit.first_origin, LogKind.AUDIT)
        put_sign_off(
            tx,
            audit,
            # Who may open the node's home is its user; no certificate says more.
            Actor(role=Role.OPERATOR),
            reason,
            target=max(own, *remembered_generations(marks, pair), 1) + 1,
            now_ms=now_ms,
            why=GIVEN_UP,
        )

    try:
        await store.write(Step.RECOVERED, put)
    finally:
        await store.close()
