"""`entente init`: the key ceremony of one node, or both homes of the demo.

Thin: it gathers names and passphrases, calls `gateway.keyring` and prints fingerprints.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.errors import GatewayError
from gateway.keyring.ceremony import NodePlan, Passphrases, ServerNames, hold_ceremony
from gateway.keyring.config_file import DEFAULT_PORT_BASE, LOOPBACK, Addresses, Ports, write_config
from gateway.keyring.demo import make_demo_homes, make_test_home
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.passphrase import (
    Passphrase,
    check_new_passphrase,
    parse_passphrase,
    read_passphrase_file,
)
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.trust import read_published_as_stated
from gateway.system import SystemClock

app = typer.Typer(no_args_is_help=True)

_PROMPT = Path("your input")

EXAMPLE = """
Examples:

  entente init --demo --home var/demo

  entente init --home /srv/entente/fr --nation FR --node fr.gateway.example
  --peer-nation US --peer-node us.gateway.example --authority /media/ceremony/fr
  --passphrase-file /run/secrets/node --root-passphrase-file /run/secrets/root
  --issuing-passphrase-file /run/secrets/issuing
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
    root_passphrase_file: Annotated[Path | None, typer.Option(help="Opens the root.")] = None,
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
    demo: Annotated[bool, typer.Option("--demo", help="Make both test homes below --home.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make keys, certificates, key statement and configuration of a node."""
    with reporting():
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
            names=_names(name or ([LOOPBACK, "localhost"] if mode == "test" else [])),
        )
        node_home = NodeHome(path=home)
        if plan.test:
            make_test_home(node_home, plan, now=now())
        else:
            offline = _offline(node_home, authority)
            passphrases = Passphrases(
                node=_new_passphrase("the node's keys", passphrase_file),
                root=_new_passphrase("the root", root_passphrase_file),
                issuing=_new_passphrase("the issuing authorities", issuing_passphrase_file),
            )
            hold_ceremony(node_home, offline, plan, passphrases, now=now())
        write_config(
            node_home,
            plan,
            Ports.from_base(port_base, plan.nation),
            peer_url=peer_url
            or f"https://{plan.peer_node}:{Ports.from_base(port_base, plan.peer_nation).peer}",
            addresses=Addresses.all_on(host),
            passphrase_file=str((passphrase_file or node_home.passphrase).absolute()),
        )
        _print_made({plan.nation: node_home}, as_json=as_json)


def now() -> datetime:
    """Return the present, UTC."""
    return datetime.fromtimestamp(SystemClock().now_ms() / 1_000, UTC)


@contextmanager
def reporting() -> Iterator[None]:
    """Turn a refusal into one line on standard error and exit status 1."""
    try:
        yield
    except GatewayError as error:
        typer.echo(f"{error.code}: {error}", err=True)
        raise typer.Exit(1) from error


def ask_passphrase(what: str, *, confirm: bool = False) -> Passphrase:
    """Ask a person for a passphrase without showing it.

    Raises:
        CeremonyError: No terminal is attached.
        KeyFileError: What was typed is no passphrase.
    """
    if not sys.stdin.isatty():
        msg = f"a passphrase for {what} is needed: give a file, or run this at a terminal"
        raise CeremonyError(msg)
    text: str = typer.prompt(f"Passphrase for {what}", hide_input=True, confirmation_prompt=confirm, err=True)
    return parse_passphrase(text.encode(), source=_PROMPT)


def _new_passphrase(what: str, file: Path | None) -> Passphrase:
    passphrase = read_passphrase_file(file) if file else ask_passphrase(what, confirm=True)
    check_new_passphrase(passphrase, source=file or _PROMPT)
    return passphrase


def _offline(home: NodeHome, authority: Path | None) -> AuthorityHome:
    if authority is None or authority.resolve().is_relative_to(home.path.resolve()):
        msg = "in production the authority is kept offline: --authority names a folder outside the home"
        raise CeremonyError(msg)
    return AuthorityHome(path=authority)


def _names(texts: list[str]) -> ServerNames:
    addresses = []
    hosts = []
    for text in texts:
        try:
            addresses.append(ip_address(text))
        except ValueError:
            hosts.append(text)
    return ServerNames(dns_names=tuple(hosts), addresses=tuple(addresses))


def _print_made(homes: dict[str, NodeHome], *, as_json: bool) -> None:
    made: dict[str, Any] = {}
    for nation, home in homes.items():
        published = read_published_as_stated(home.own)
        made[nation] = {
            "home": str(home.path),
            "node": published.statement.node,
            "test": published.statement.test,
            "fingerprints": published.fingerprints(),
        }
        if not as_json:
            typer.echo(home.ceremony_record.read_text(encoding="utf-8"))
            typer.echo(f"home: {home.path}\n")
    if as_json:
        typer.echo(json.dumps(made, indent=2))
