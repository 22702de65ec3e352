"""`entente init`: the key ceremony of one node, or both homes of the demo.

Thin: it gathers names and passphrases, calls `gateway.keyring` and prints fingerprints.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.agency import LanguageOption, language_of
from gateway.cli.refusals import reporting
from gateway.config import TOKEN_TIMEOUT_S, parse_config
from gateway.core.message.wording import Wording
from gateway.errors import GatewayError
from gateway.keyring.ceremony import NodePlan, Passphrases, ServerNames, hold_ceremony
from gateway.keyring.config_file import (
    DEFAULT_PORT_BASE,
    LOOPBACK,
    Addresses,
    Ports,
    config_text,
    write_config,
)
from gateway.keyring.demo import make_demo_homes, make_test_home
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.passphrase import (
    Passphrase,
    check_new_passphrase,
    join_halves,
    parse_passphrase,
    read_passphrase_file,
)
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.token import TokenSettings
from gateway.keyring.transcript import People, fingerprint_lines, transcript_digest
from gateway.keyring.trust import read_published_as_stated
from gateway.system import SystemClock

app = typer.Typer(no_args_is_help=True)

_PROMPT = Path("your input")
_CUSTODIANS = (
    Wording(en="the first custodian", fr="le premier dépositaire"),
    Wording(en="the second custodian", fr="le second dépositaire"),
)
NODE_KEYS = Wording(en="the node's keys", fr="les clés du nœud")
NEW_NODE_KEYS = Wording(en="the node's keys from now on", fr="les clés du nœud, désormais")
ISSUING_KEYS = Wording(en="the issuing authorities", fr="les autorités d'émission")
_ROOT = Wording(en="the root", fr="la racine")
_WALK = (
    "Each custodian types one half of the root's passphrase; the other one looks away.\n"
    "Chaque dépositaire saisit une moitié de la phrase secrète de la racine ; l'autre détourne le regard."
)

EXAMPLE = """
Examples:

  entente init --demo --home var/demo

  entente init --home /srv/entente/fr --nation FR --node fr.gateway.example
  --peer-nation US --peer-node us.gateway.example --authority /media/ceremony/fr
  --custodian "Camille Martin" --custodian "Dominique Petit" --witness "Claude Durand"
  --passphrase-file /run/phrases/node --issuing-passphrase-file /run/phrases/issuing
  --root-passphrase-file /run/phrases/first --root-passphrase-file /run/phrases/second
"""


@app.command("init", epilog=EXAMPLE)
def init(
    home: Annotated[Path, typer.Option(help="Node home to make; with --demo the folder of both homes.")],
    *,
    nation: Annotated[str, typer.Option(help="Nation of the node: FR or US.")] = "",
    node: Annotated[str, typer.Option(help="Node name, such as fr.gateway.test; never changes.")] = "",
    peer_nation: Annotated[str, typer.Option(help="Nation of the peer.")] = "",
    peer_node: Annotated[str, typer.Option(help="Node name of the peer.")] = "",
    peer_url: Annotated[str, typer.Option(help="Peer port of the peer, https://…")] = "",
    mode: Annotated[str, typer.Option(help="production, or test: marked keys, passphrases made here.")] = (
        "production"
    ),
    authority: Annotated[
        Path | None, typer.Option(help="Offline medium for root and authorities (production).")
    ] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="Opens the node's keys at each start.")] = None,
    root_passphrase_file: Annotated[
        list[Path] | None, typer.Option(help="One half of what opens the root; once for each custodian.")
    ] = None,
    custodian: Annotated[
        list[str] | None, typer.Option(help="Name of a custodian of the root, for the transcript; twice.")
    ] = None,
    witness: Annotated[str, typer.Option(help="Name of the witness, for the transcript.")] = "",
    issuing_passphrase_file: Annotated[
        Path | None, typer.Option(help="Opens the issuing authorities.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address the node listens on; several are separated by commas.")
    ] = LOOPBACK,
    name: Annotated[
        list[str] | None, typer.Option(help="Further host name or address of the agency port; repeatable.")
    ] = None,
    port_base: Annotated[int, typer.Option(min=1, max=65_000, help="Ports are counted from it.")] = (
        DEFAULT_PORT_BASE
    ),
    token_module: Annotated[
        Path | None, typer.Option(help="PKCS#11 library: half of each signing key is made in a token.")
    ] = None,
    token_label: Annotated[str, typer.Option(help="Label of that token.")] = "",
    token_pin_file: Annotated[Path | None, typer.Option(help="File with the token's user PIN.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Make both test homes below --home.")] = False,
    language: LanguageOption = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold the key ceremony of a node: root, authorities, keys, certificates, statement, transcript.

    It needs no network: hold it on a machine without one. In production two custodians each give one half of
    the root's passphrase, in a file of their own or at the terminal, and neither sees the other's.
    """
    spoken = language_of(language)
    with reporting(spoken):
        if demo:
            homes = make_demo_homes(home, now=now(), port_base=port_base)
            _print_made(homes, as_json=as_json)
            return
        if mode not in ("production", "test"):
            msg = "--mode is production or test"
            raise typer.BadParameter(msg)
        plan = NodePlan(
            nation=nation,
            node=node,
            peer_nation=peer_nation,
            peer_node=peer_node,
            test=mode == "test",
            names=ServerNames.of(name or ([LOOPBACK, "localhost"] if mode == "test" else [])),
        )
        node_home = NodeHome(path=home)
        token = _token(node_home, token_module, token_label, token_pin_file)
        text = config_text(
            plan,
            Ports.from_base(port_base, plan.nation),
            peer_url=peer_url
            or f"https://{plan.peer_node}:{Ports.from_base(port_base, plan.peer_nation).peer}",
            addresses=Addresses.all_on(host),
            passphrase_file=str((passphrase_file or node_home.passphrase).absolute()),
            token=token,
        )
        # Before anybody is asked for a passphrase: the names are final, and nothing is made twice.
        parse_config(text, path=node_home.config)
        if plan.test:
            make_test_home(node_home, plan, now=now(), token=token)
        else:
            offline = offline_of(node_home, authority)
            people = people_of(custodian or [], witness)
            passphrases = Passphrases(
                node=new_passphrase(NODE_KEYS, passphrase_file),
                root=new_root_passphrase(root_passphrase_file or []),
                issuing=new_passphrase(ISSUING_KEYS, issuing_passphrase_file),
            )
            with _from_nothing(node_home, offline):
                hold_ceremony(node_home, offline, plan, passphrases, now=now(), people=people, token=token)
        write_config(node_home, text)
        _print_made({plan.nation: node_home}, as_json=as_json)


def now() -> datetime:
    """Return the present, UTC."""
    return datetime.fromtimestamp(SystemClock().now_ms() / 1_000, UTC)


@contextmanager
def _from_nothing(home: NodeHome, authority: AuthorityHome) -> Iterator[None]:
    """Say of a ceremony that stops half-way what to do with what it has made."""
    folders = (home.keys, authority.root, authority.issuing)
    had_keys = any(folder.exists() for folder in folders)
    try:
        yield
    except GatewayError as error:
        if had_keys or not any(folder.exists() for folder in folders):
            # Nothing was made, or what is there may be of another ceremony: that is not to be destroyed.
            raise
        msg = (
            f"{error}; the ceremony has stopped half-way, and what it has made is worth nothing: "
            f"destroy {', '.join(str(folder) for folder in folders)}, and begin again"
        )
        raise CeremonyError(msg) from error


def ask_passphrase(what: Wording, *, confirm: bool = False) -> Passphrase:
    """Ask a person for a passphrase without showing it, in both languages: who holds one may read either.

    Raises:
        CeremonyError: No terminal is attached.
        KeyFileError: What was typed is no passphrase.
    """
    if not sys.stdin.isatty():
        msg = f"a passphrase for {what.en} is needed: give a file, or run this at a terminal"
        raise CeremonyError(msg)
    prompt = f"Passphrase for {what.en} / Phrase secrète pour {what.fr}"
    text: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return parse_passphrase(text.encode(), source=_PROMPT)


def read_root_passphrase(files: Sequence[Path]) -> Passphrase:
    """Return the root's passphrase: from a file that holds all of it, or from one for each half.

    Raises:
        CeremonyError: More than two files.
        KeyFileError: A file is not private, or holds something else.
    """
    if len(files) > 2:
        msg = "the root's passphrase has two halves: give --root-passphrase-file once or twice"
        raise CeremonyError(msg)
    halves = [read_passphrase_file(file) for file in files]
    return halves[0] if len(halves) == 1 else join_halves(halves[0], halves[1])


def ask_root_passphrase(*, confirm: bool = False) -> Passphrase:
    """Ask both custodians, one after the other, for their half of the root's passphrase."""
    first, second = (ask_passphrase(_half(which), confirm=confirm) for which in _CUSTODIANS)
    return join_halves(first, second)


def _half(custodian: Wording) -> Wording:
    return Wording(en=f"{_ROOT.en}, {custodian.en}", fr=f"{_ROOT.fr}, {custodian.fr}")


def people_of(custodians: list[str], witness: str) -> People:
    """Return who is at a ceremony; a person at a terminal is asked for names that are not given.

    Raises:
        CeremonyError: Not two custodians, or a name that cannot stand in the transcript.
    """
    if custodians and len(custodians) != 2:
        msg = "a root has two custodians: give --custodian twice"
        raise CeremonyError(msg)
    if not custodians and sys.stdin.isatty():
        custodians = [
            typer.prompt(f"Name of {which.en} / Nom : {which.fr}", err=True) for which in _CUSTODIANS
        ]
        witness = witness or typer.prompt("Name of the witness / Nom du témoin", err=True)
    return People(custodians=tuple(custodians), witness=witness)


def new_root_passphrase(files: list[Path]) -> Passphrase:
    """Return what two custodians give, each of whom has a half that would do by itself."""
    if files and len(files) != 2:
        msg = "in production two custodians each give a half: --root-passphrase-file twice"
        raise CeremonyError(msg)
    if files:
        halves = [new_passphrase(_ROOT, file) for file in files]
        if halves[0] == halves[1]:
            msg = "both custodians gave the same half"
            raise CeremonyError(msg)
        return join_halves(halves[0], halves[1])
    typer.echo(_WALK, err=True)
    first, second = (new_passphrase(_half(which), None) for which in _CUSTODIANS)
    return join_halves(first, second)


def new_passphrase(what: Wording, file: Path | None) -> Passphrase:
    """Return a passphrase for new keys, from a file or a person.

    Raises:
        CeremonyError: No file, and no terminal is attached.
        KeyFileError: It is too short, or the file is not private.
    """
    passphrase = read_passphrase_file(file) if file else ask_passphrase(what, confirm=True)
    check_new_passphrase(passphrase, source=file or _PROMPT)
    return passphrase


def _token(home: NodeHome, module: Path | None, label: str, pin_file: Path | None) -> TokenSettings | None:
    """Return the token that three options name, or None for none of them."""
    if module is None and not label and pin_file is None:
        return None
    if module is None or not label or pin_file is None:
        msg = "a token needs all three: --token-module, --token-label and --token-pin-file"
        raise CeremonyError(msg)
    return TokenSettings(
        module=module.absolute(),
        label=label,
        pin_file=pin_file.absolute(),
        refused_file=home.token_pin_refused,
        timeout_s=TOKEN_TIMEOUT_S,
    )


def offline_of(home: NodeHome, authority: Path | None) -> AuthorityHome:
    """Return the medium of a root in production.

    Raises:
        CeremonyError: None is named, or one inside the node's home.
    """
    if authority is None or authority.resolve().is_relative_to(home.path.resolve()):
        msg = "in production the authority is kept offline: --authority names a folder outside the home"
        raise CeremonyError(msg)
    return AuthorityHome(path=authority)


def print_transcript(transcript: str, file: str) -> None:
    """Print the transcript of a ceremony, which stands in a file of the home, and its digest."""
    typer.echo(transcript)
    typer.echo(f"this transcript, SHA-384 / ce procès-verbal, SHA-384 (sha384sum {file})")
    typer.echo("\n".join(fingerprint_lines(transcript_digest(transcript))))


def _print_made(homes: dict[str, NodeHome], *, as_json: bool) -> None:
    made: dict[str, Any] = {}
    for nation, home in homes.items():
        published = read_published_as_stated(home.own)
        made[nation] = {
            "home": str(home.path),
            "node": published.statement.node,
            "test": published.statement.test,
            "fingerprints": published.fingerprints(),
            "transcript_sha384": ""
            if published.statement.ceremony is None
            else published.statement.ceremony.hex(),
        }
        if not as_json:
            print_transcript(home.ceremony_record.read_text(encoding="utf-8"), "trust/ceremony.txt")
            typer.echo(f"home: {home.path}\n")
    if as_json:
        typer.echo(json.dumps(made, indent=2))
